"""What the process driver has made it finds again, and what it has not made it leaves alone."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

import reconciler.drivers.process
from reconciler.core.kinds.spec import Check
from reconciler.drivers import DriverError
from reconciler.drivers.process.shim.system import birth
from reconciler.drivers.process.supervise import tell

from .contract import act, eventually, healthy, seen, want
from .world import ProcessWorld, alive, belonging, named, script, soon

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("garbage", [b"", b"{", b"[]", b'{"state":"dancing","health":{}}', b"\xff\xfe", b'{"health":3}'])
def test_a_corrupt_state_is_one_thing_unknown(world: ProcessWorld, garbage: bytes) -> None:
    """Whatever stands in a state.json, the others are seen, and that one is of unknown health until its shim writes again."""
    driver, app, other = world.driver(), want("app"), want("other")
    for one in (app, other):
        act(driver, "create", one)
        eventually(driver, one, healthy)
    path = world.directory("app") / "state.json"
    path.with_name("x").write_bytes(garbage)
    path.with_name("x").replace(path)
    found = seen(driver)
    assert found["Container/app", "i1"].health.status == "unknown"
    assert found["Container/other", "i1"].health.status == "healthy"
    act(driver, "update", replace(app, live="l2"))
    assert seen(driver)["Container/app", "i1"].health.status == "healthy"


def test_a_corrupt_mark_is_left_alone(world: ProcessWorld) -> None:
    """What has no readable mark is not seen and not touched, and a create there says why it cannot be."""
    driver, app = world.driver(), want("app")
    directory = world.directory("app")
    directory.mkdir(parents=True)
    (directory / "mark.json").write_text("not a mark")
    (directory / "precious").write_text("data")
    assert seen(driver) == {}
    for verb in ("create", "update", "delete"):
        with pytest.raises(DriverError, match="not a mark"):
            act(driver, verb, app)
    assert (directory / "precious").read_text() == "data"


def test_an_empty_mark_is_half_made(world: ProcessWorld) -> None:
    """The empty file that a power failure leaves is nobody's mark: the next create makes it whole."""
    driver, app = world.driver(), want("app")
    world.directory("app").mkdir(parents=True)
    (world.directory("app") / "mark.json").write_text("")
    assert seen(driver) == {}
    act(driver, "create", app)
    eventually(driver, app, healthy)


def test_a_newer_mark_makes_the_host_blind(world: ProcessWorld) -> None:
    """What a newer Convoy has written is not guessed at: nothing is planned for this host."""
    world.directory("app").mkdir(parents=True)
    (world.directory("app") / "mark.json").write_text('{"format": 99}')
    with pytest.raises(DriverError, match="newer Convoy"):
        seen(world.driver())


def test_numbers_of_others_are_never_signalled(world: ProcessWorld) -> None:
    """A number in our files that now belongs to another process is left alone."""
    bystander = subprocess.Popen(["sleep", "1000"])
    try:
        driver, app = world.driver(), want("app")
        act(driver, "create", app)
        eventually(driver, app, healthy)
        directory = world.directory("app")
        os.kill(world.shim("app"), 9)
        soon(lambda: seen(driver)["Container/app", "i1"].fields["state"] == "lost")
        (directory / "lock").write_text(f"{bystander.pid} somewhen\n")
        (directory / "state.json").write_text(f'{{"pid": {bystander.pid}, "born": "somewhen", "state": "running"}}')
        act(driver, "delete", app)
        assert seen(driver) == {}
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_in_place_changes_take_effect(world: ProcessWorld) -> None:
    """A new check judges the running process at once."""
    driver, app = world.driver(), want("app", run=script("exec sleep 1000"))
    act(driver, "create", app)
    before = eventually(driver, app, healthy)
    failing = Check(command=("false",), interval_s=0.1, unhealthy_after=1)
    act(driver, "update", replace(app, live="l2", run=app.run.model_copy(update={"check": failing})))
    after = eventually(driver, app, lambda o: o.health.status == "unhealthy")
    assert "false exited with status 1" in after.health.message
    assert after.fields["pid"] == before.fields["pid"]
    act(driver, "update", replace(app, live="l3"))
    eventually(driver, app, healthy)


def test_a_finished_job_stays_finished(world: ProcessWorld) -> None:
    """`restart: never`: what has ended is not run again, neither by repeating the step nor by an update in place."""
    driver, job = world.driver(), want("job", run=script("echo once; exit 0", restart="never"))
    act(driver, "create", job)
    eventually(driver, job, lambda o: o.fields["state"] == "stopped")
    act(driver, "create", job)
    act(driver, "update", replace(job, live="l2"))
    one = seen(driver)["Container/job", "i1"]
    assert (one.fields["state"], one.fields["exit"], one.fields["live"], one.health.status) == ("stopped", 0, "l2", "healthy")
    assert world.log("job") == "once\n"
    again = replace(job, live="l3", run=script("echo once; exit 0", restart="always"))
    act(driver, "update", again)
    soon(lambda: world.log("job").count("once") > 1)


def test_a_dead_shim_is_seen_and_replaced(world: ProcessWorld) -> None:
    """After SIGKILL of the shim nothing of the instance runs on; it shows as lost, and an update brings it back on its port."""
    driver, app = world.driver(), want("app", run=script("sleep 1000 & sleep 1001 & wait", ports=[{}]))
    act(driver, "create", app)
    before = eventually(driver, app, healthy)
    soon(lambda: len(named(world.root, "sleep")) == 2)
    first = named(world.root, "sleep")
    os.kill(world.shim("app"), 9)
    soon(lambda: not alive(before.fields["pid"]))
    lost = eventually(driver, app, lambda o: o.fields["state"] == "lost")
    assert lost.health.status == "unhealthy"
    act(driver, "update", app)
    after = eventually(driver, app, healthy)
    assert after.fields["ports"] == before.fields["ports"]
    assert after.fields["restarts"] == 1
    # What the killed one had started in its turn has been found and ended before the new one began.
    assert not first.keys() & named(world.root, "sleep").keys()
    soon(lambda: len(named(world.root, "sleep")) == 2)


def test_convoy_killed_and_started_again(world: ProcessWorld) -> None:
    """What a Convoy that was killed has started goes on, and the next one finds it and can end it."""
    code = f"""
import os
from pathlib import Path
from tests.drivers.contract import act, want
from tests.drivers.world import ProcessWorld
act(ProcessWorld(Path({str(world.root)!r})).driver(), "create", want("app"))
os.kill(os.getpid(), 9)
"""
    killed = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False)
    assert killed.returncode == -9
    driver = world.driver()
    eventually(driver, want("app"), healthy)
    act(driver, "delete", want("app"))
    soon(lambda: not belonging(world.root))


def test_an_ordinary_user(world: ProcessWorld) -> None:
    """Everything works without being root."""
    if os.geteuid() != 0:
        pytest.skip("the other tests are it, for this user is not root: run as root")
    nobody = 65534
    # The interpreter of a root's virtual environment may be for root alone; shims need no more than any Python.
    python = next((path for path in (sys.executable, "/usr/bin/python3") if _can_run(path, nobody)), None)
    if python is None:
        pytest.skip("no Python here that other users can run")
    os.chown(world.root, nobody, nobody)
    code = f"""
import os, sys
from pathlib import Path
from tests.drivers.contract import act, eventually, healthy, seen, want
from tests.drivers.world import ProcessWorld
os.setgroups([]); os.setgid({nobody}); os.setuid({nobody})
sys.executable = {python!r}
driver = ProcessWorld(Path({str(world.root)!r})).driver()
act(driver, "create", want("app"))
eventually(driver, want("app"), healthy)
os.kill(int(Path({str(world.directory("app"))!r}, "lock").read_text().split()[0]), 9)
eventually(driver, want("app"), lambda one: one.fields["state"] == "lost")
act(driver, "update", want("app"))
eventually(driver, want("app"), healthy)
act(driver, "delete", want("app"))
assert seen(driver) == {{}}
driver.close()
"""
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=True)


def _can_run(python: str, user: int) -> bool:
    """Whether this user may run it, and read what a shim is made of."""
    main = Path(reconciler.drivers.process.__file__).with_name("shim") / "launch.py"
    try:
        return subprocess.run([python, "-c", f"open({str(main)!r})"], user=user, check=False).returncode == 0
    except OSError:
        return False


def test_a_signal_goes_to_whoever_wrote_the_number(world: ProcessWorld) -> None:
    """Not even a directory whose lock is held makes us signal a process that began at another time than is written there."""
    bystander = subprocess.Popen(["sleep", "1000"])
    try:
        world.directory("app").mkdir(parents=True)
        (world.directory("app") / "lock").write_text(f"{bystander.pid} somewhen\n")
        assert tell(world.directory("app"), signal.SIGKILL) is False
        assert bystander.poll() is None
        (world.directory("app") / "lock").write_text(f"{bystander.pid} {birth(bystander.pid)}\n")
        assert tell(world.directory("app"), signal.SIGKILL) is True
        assert bystander.wait(60.0) == -9
    finally:
        bystander.kill()
        bystander.wait()


def test_two_changes_in_one_tick_are_both_seen(world: ProcessWorld) -> None:
    """A file replaced so soon after a look that the time stamp is the same is still read again."""
    driver, app = world.driver(), want("app")
    act(driver, "create", app)
    eventually(driver, app, healthy)
    directory = world.directory("app")
    text = (directory / "state.json").read_text()
    stamp = time.time_ns()
    for restarts in (41, 42):
        (directory / "x").write_text(text.replace('"restarts":0', f'"restarts":{restarts}'))
        (directory / "x").replace(directory / "state.json")
        os.utime(directory, ns=(stamp, stamp))
        assert seen(driver)["Container/app", "i1"].fields["restarts"] == restarts
