"""Two `convoy serve` on one PostgreSQL, stopped and killed; and a store lost and restored: what runs is the same."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port
from tests.postgres import Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
FLEET = """\
apiVersion: convoy/v1
kind: Host
metadata: {name: local}
spec: {driver: process, ports: 23000-23999}
---
apiVersion: convoy/v1
kind: Settings
metadata: {name: fleet}
spec: {validateWithEnvoy: false, drainSeconds: 0}
---
apiVersion: convoy/v1
kind: Application
metadata: {name: app}
spec:
  replicas: 2
  command: [python3, -c, "import time; time.sleep(10000)"]
  environment: {VERSION: "1"}
"""
# How long a lease lasts, a look at it, and what a busy machine makes of both.
TAKEOVER_S = 150.0


@dataclass
class Fleet:
    """A folder, a state directory and a store, and every Convoy that works on them."""

    directory: Path
    store: str
    serving: list["subprocess.Popen[str]"] = field(default_factory=list)
    # The state directory from which commands are given.
    state: str = "state"

    def __post_init__(self) -> None:
        (self.directory / "fleet").mkdir()
        self.version("1")

    def version(self, version: str) -> None:
        new = self.directory / "new.yaml"
        new.write_text(FLEET.replace('"1"', f'"{version}"'))
        new.replace(self.directory / "fleet" / "fleet.yaml")

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "reconciler", "--state", str(self.directory / self.state), *words]

    def environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "CONVOY_STORE": self.store, "HOME": str(self.directory)}

    def convoy(self, *words: str, code: int = 0) -> str:
        done = subprocess.run(self.command(*words), capture_output=True, text=True, env=self.environment(), timeout=200)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def serve(self, name: str, *words: str) -> "subprocess.Popen[str]":
        with (self.directory / f"{name}.log").open("w") as log:
            process = subprocess.Popen(
                self.command("serve", "--source", str(self.directory / "fleet"), *words),
                env=self.environment(),
                stderr=log,
                text=True,
            )
        self.serving.append(process)
        return process

    def log(self, name: str) -> str:
        return (self.directory / f"{name}.log").read_text()

    def status(self) -> Any:
        return json.loads(self.convoy("status", "-o", "json"))

    def running(self) -> dict[str, int]:
        """Container ⇒ its process."""
        found = {}
        for row in json.loads(self.convoy("get", "container", "-o", "json")):
            for one in row["instances"]:
                found[f"{row['ref']} {one['instance']}"] = int(one["pid"])
        return found


@pytest.fixture
def fleet(tmp_path: Path, postgres: Server) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path, postgres.new())
    yield fleet
    for process in fleet.serving:
        if process.poll() is None:
            process.kill()
            process.wait()
    # A lease that nobody holds any more may have to run out first.
    eventually(lambda: not fleet.status()["acting"])
    fleet.convoy("down")


def test_stopped_and_killed(fleet: Fleet) -> None:
    """The one that waits takes over from one that is stopped, which does nothing when it goes on; and from one that is killed.
    What runs is never doubled, and what is as declared is never touched."""
    first = fleet.serve("first")
    eventually(lambda: fleet.status()["converged"])
    second = fleet.serve("second", "--standby")
    eventually(lambda: "leader.stands_by" in fleet.log("second"))
    before = fleet.running()
    assert len(before) == 2

    first.send_signal(signal.SIGSTOP)
    fleet.version("2")
    eventually(lambda: "leader.acts" in fleet.log("second"))
    eventually(lambda: fleet.status()["converged"] and set(fleet.running()).isdisjoint(before))
    after = fleet.running()
    assert len(after) == 2
    assert f"process {second.pid}" in fleet.status()["by"]

    # What it last read is version 1.
    first.send_signal(signal.SIGCONT)
    assert first.wait(100) == 1
    assert "took over" in fleet.log("first")
    assert "action." not in fleet.log("first").partition("lease.lost")[2]
    time.sleep(2)
    assert fleet.running() == after
    assert all(Path(f"/proc/{pid}").exists() for pid in after.values())

    third = fleet.serve("third", "--standby")
    eventually(lambda: "leader.stands_by" in fleet.log("third"))
    second.kill()
    second.wait()
    eventually(lambda: "leader.acts" in fleet.log("third"))
    eventually(lambda: fleet.status()["converged"])
    time.sleep(2)
    assert fleet.running() == after
    assert "action." not in fleet.log("third")
    third.send_signal(signal.SIGTERM)
    assert third.wait(100) == 0


def test_the_one_that_was_stopped_waits_for_its_turn(fleet: Fleet) -> None:
    """Started with --standby it stands by again, and acts when the other has ended in order."""
    first = fleet.serve("first", "--standby")
    eventually(lambda: fleet.status()["converged"])
    second = fleet.serve("second", "--standby")
    eventually(lambda: "leader.stands_by" in fleet.log("second"))
    first.send_signal(signal.SIGSTOP)
    eventually(lambda: "leader.acts" in fleet.log("second"))
    eventually(lambda: fleet.status()["converged"])
    running = fleet.running()
    first.send_signal(signal.SIGCONT)
    eventually(lambda: "leader.stands_by" in fleet.log("first").partition("lease.lost")[2])
    second.send_signal(signal.SIGTERM)
    assert second.wait(100) == 0
    eventually(lambda: fleet.log("first").count("leader.acts") == 2)
    eventually(lambda: fleet.status()["acting"] and fleet.status()["converged"])
    assert fleet.running() == running
    first.send_signal(signal.SIGTERM)
    assert first.wait(100) == 0


def test_at_the_same_address(fleet: Fleet) -> None:
    """Who stands by says at once that another is there, and when it takes over from one that hangs, it waits until that has
    left; what is no address is refused while another still acts."""
    words = ("--standby", "--xds", f"127.0.0.1:{free_port()}")
    first = fleet.serve("first", *words)
    eventually(lambda: fleet.status()["converged"])
    assert fleet.serve("wrong", "--standby", "--xds", "here").wait(100) == 1
    assert "cannot listen on 'here'" in fleet.log("wrong")
    second = fleet.serve("second", *words)
    eventually(lambda: "leader.stands_by" in fleet.log("second"))
    assert "xds.later" in fleet.log("second").partition("leader.stands_by")[0]
    first.send_signal(signal.SIGSTOP)
    eventually(lambda: "xds.waits" in fleet.log("second"))
    first.send_signal(signal.SIGCONT)
    eventually(lambda: "leader.stands_by" in fleet.log("first").partition("lease.lost")[2])
    fleet.version("2")
    eventually(lambda: f"process {second.pid}" in fleet.status()["by"] and fleet.status()["converged"])
    for process in (second, first):
        process.send_signal(signal.SIGTERM)
        assert process.wait(100) == 0


def test_another_machine_makes_nothing_a_second_time(fleet: Fleet) -> None:
    """What runs cannot be seen from another state directory: nothing is planned on that host until it is said to be no more."""
    first = fleet.serve("first")
    eventually(lambda: fleet.status()["converged"])
    before = fleet.running()
    fleet.state = "other"
    second = fleet.serve("second", "--standby")
    eventually(lambda: "leader.stands_by" in fleet.log("second"))
    first.kill()
    first.wait()
    eventually(lambda: "leader.acts" in fleet.log("second"))
    identity = (fleet.directory / "state" / "id").read_text()
    eventually(lambda: f"convoy take-over {identity}" in fleet.convoy("status"))
    fleet.version("2")
    time.sleep(3)
    assert "action." not in fleet.log("second")
    assert all(Path(f"/proc/{pid}").exists() for pid in before.values())
    # Gone for good, and said so: the fleet is made where it can be.
    second.send_signal(signal.SIGTERM)
    assert second.wait(100) == 0
    fleet.state = "state"
    fleet.convoy("down")
    fleet.state = "other"
    fleet.convoy("take-over", identity, "--yes")
    second = fleet.serve("again")
    eventually(lambda: fleet.status()["converged"] and len(fleet.running()) == 2)
    assert set(fleet.running()).isdisjoint(before)
    second.send_signal(signal.SIGTERM)
    assert second.wait(100) == 0


def test_a_lost_store_is_restored_elsewhere(fleet: Fleet, tmp_path: Path) -> None:
    """Backed up at work from SQLite, lost, restored into PostgreSQL: what runs is found again, and nothing is planned."""
    there, fleet.store = fleet.store, ""
    serving = fleet.serve("first")
    eventually(lambda: fleet.status()["converged"])
    running = fleet.running()
    fleet.convoy("backup", str(tmp_path / "backup"), "--plain")
    serving.kill()
    serving.wait()
    for path in (tmp_path / "state").glob("convoy.db*"):
        path.unlink()
    # Without it, what runs bears the mark of an installation that is not this one.
    assert "convoy take-over" in fleet.convoy("plan", str(tmp_path / "fleet"))
    for path in (tmp_path / "state").glob("convoy.db*"):
        path.unlink()
    fleet.store = there
    fleet.convoy("restore", str(tmp_path / "backup"))
    fleet.convoy("plan", str(tmp_path / "fleet"), "--exit-code")
    fleet.convoy("apply", str(tmp_path / "fleet"))
    assert fleet.running() == running


def eventually(so: Callable[[], Any], within_s: float = TAKEOVER_S) -> None:
    end = time.monotonic() + within_s
    while not so():
        assert time.monotonic() < end
        time.sleep(0.2)
