"""`convoy sync` with a real Convoy at work on real processes, and without one."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from reconciler.ask import NAME
from reconciler.control import Control, open_control
from reconciler.git import Directory
from reconciler.log import Log
from reconciler.rundir import run_directory
from reconciler.seams import Seams
from reconciler.store import Store
from tests.cli.conftest import Convoy
from tests.drivers.world import soon

FLEET = """apiVersion: convoy/v1
kind: Settings
metadata: {name: fleet}
spec: {drainSeconds: 0, %s}
---
apiVersion: convoy/v1
kind: Host
metadata: {name: local}
---
apiVersion: convoy/v1
kind: Container
metadata: {name: migrate, hook: {when: before-sync, only: [Container/a]}}
spec: {command: [sh, -c, "%s"]}
---
apiVersion: convoy/v1
kind: Container
metadata: {name: a}
spec: {command: [sleep, "%s"]}
"""


@contextmanager
def at_work(folder: Path, state: Path) -> Iterator[Control]:
    with closing(Directory(folder, Seams())) as source:
        with open_control(state, source=source, log=Log(level="error")) as control:
            running = threading.Thread(target=control.run)
            running.start()
            try:
                while not (run_directory(state) / NAME).exists():
                    time.sleep(0.02)
                yield control
            finally:
                control.stop()
                running.join()
        with open_control(state, source=None, log=Log(level="error")) as control:
            control.down(200)


def test_nobody_is_at_work(convoy: Convoy, state: Path) -> None:
    """It says so, and what to do; and a word that cannot be meant is a mistake on the command line."""
    assert "no Convoy has worked in" in convoy("sync").stderr
    state.mkdir(mode=0o700)
    Store(f"sqlite:///{state / 'convoy.db'}", Seams()).close()
    result = convoy("sync")
    assert (result.exit_code, "`convoy serve` starts one" in result.stderr) == (1, True)
    assert convoy("sync", "--only", "robots").exit_code == 2
    assert convoy("sync", "--override-window", " ").exit_code == 2


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_sync_reads_waits_and_releases(convoy: Convoy, state: Path, tmp_path: Path) -> None:
    """It is done when the revision is; it ends early where a person is waited for; and what is released is written down."""
    folder = tmp_path / "fleet"
    folder.mkdir()
    file = folder / "fleet.yaml"
    file.write_text(FLEET % ("sync: automatic", "echo done", "600"))
    with at_work(folder, state) as control:
        result = convoy("sync", "--timeout", "200")
        assert result.exit_code == 0, result.output
        assert "as declared: 4 resources" in result.stdout
        assert "everything is synced by itself here" in convoy("sync", "--only", "container/a").stderr

        file.write_text(FLEET % ("sync: automatic", "echo no such table; exit 3", "601"))
        result = convoy("sync", "--timeout", "200")
        assert result.exit_code == 1
        assert "exited with status 3" in result.stdout
        assert result.stdout.count("no such table") >= 1
        (before,) = control.store.status()["Container/a"]["instances"]
        assert before["state"] == "running"
        # The very same fails again, and is run again because a person said so.
        runs = control.store.guards()["hook/Container/migrate"]["number"]
        assert convoy("sync", "--retry", "--timeout", "200").exit_code == 1
        assert control.store.guards()["hook/Container/migrate"]["number"] == runs + 1

        file.write_text(FLEET % ("sync: manual", "sleep 600", "602"))
        assert convoy("sync", "--only", "container/b").exit_code == 1
        assert control.store.guards()["hook/Container/migrate"]["number"] == runs + 1
        assert convoy("sync", "--only", "container/*", "--timeout", "1").exit_code == 3
        soon(lambda: "Container/migrate is running before it" in convoy("status").stdout)
        (order,) = control.store.orders()
        assert (order.verb, order.subject.split(" ")[1]) == ("sync", "Container/*")
        assert "released revision" in convoy("status").stdout

        file.write_text(FLEET % ("sync: manual", "true", "603"))
        assert convoy("sync", "--no-wait").exit_code == 0
        assert convoy("sync", "--timeout", "200").exit_code == 0

        denied = 'windows: [{kind: deny, schedule: "* * * * *", durationSeconds: 3600}]'
        file.write_text(FLEET % (denied, "true", "604"))
        result = convoy("sync", "--timeout", "200")
        assert (result.exit_code, "a sync window denies changes now" in result.stdout) == (1, True)
        assert convoy("sync", "--override-window", "the shop is down", "--timeout", "200").exit_code == 0
        (order,) = [one for one in control.store.orders() if one.verb == "override"]
        assert (order.reason, order.subject.strip()) == ("the shop is down", control.view().revision)
        # The order goes with its revision; that it was given stays.
        file.write_text(FLEET % ("sync: automatic", "true", "604"))
        assert convoy("sync", "--timeout", "200").exit_code == 0
        assert not control.store.orders()
        said = [one for one in control.store.events() if one.kind == "order.override"]
        assert [(one.ref, one.message.endswith(": the shop is down")) for one in said] == [(order.subject, True)]

        file.write_text("kind: Nothing\n")
        result = convoy("sync")
        assert (result.exit_code, "is refused, and the one before stays in force" in result.stderr) == (1, True)
