"""A shim keeps its child running and its output bounded, and knows how it is, whatever the child does."""

import itertools
import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from reconciler.drivers.process.shim.output import Output

from .contract import act, eventually, healthy, seen, want
from .world import ProcessWorld, belonging, failing, named, script, soon

pytestmark = pytest.mark.slow


def test_a_killed_child_is_restarted_and_seen_at_once(world: ProcessWorld) -> None:
    """SIGKILL of the child wakes the driver, shows the signal until a check has passed again, and a new child comes up."""
    waiting = "until test -e well; do sleep 0.05; done"
    check = {"command": ["/bin/sh", "-c", waiting], "timeoutSeconds": 100, "intervalSeconds": 100}
    driver, app = world.driver(), want("app", run=script("exec sleep 1000", check=check))
    act(driver, "create", app)
    well = world.directory("app") / "home" / "well"
    well.touch()
    before = eventually(driver, app, healthy)
    while driver.changed(0.2):
        seen(driver)
    well.unlink()
    os.kill(before.fields["pid"], 9)
    assert driver.changed(60.0)
    down = eventually(driver, app, failing)
    assert down.fields["exit"] == -9
    assert "killed by signal 9" in down.health.message
    well.touch()
    after = eventually(driver, app, healthy)
    assert after.fields["pid"] != before.fields["pid"]
    assert after.fields["restarts"] == 1
    assert after.since > before.since


def test_restarts_grow_rarer(world: ProcessWorld) -> None:
    """What ends at once is started again after 0.1 s, then after twice as long each time, and is never called healthy."""
    driver, app = world.driver(), want("app", run=script("date +%s.%N"))
    act(driver, "create", app)
    statuses = set[str]()

    def gaps(name: str) -> list[float]:
        times = [float(line) for line in world.log(name).split()]
        # On a busy machine the first run may well last as long as one that is called healthy.
        if len(times) > 3:
            statuses.update(one.health.status for one in seen(driver).values())
        return [later - earlier for earlier, later in itertools.pairwise(times)]

    soon(lambda: len(gaps("app")) >= 5)
    for gap, least in zip(gaps("app"), (0.1, 0.2, 0.4, 0.8), strict=False):
        assert gap >= least
    # What a program takes to print and end is in all of them, and a busy machine may take its time with one.
    firsts, fourth = [gaps("app")[0]], gaps("app")[3]
    while min(firsts) >= fourth - 0.4:
        assert len(firsts) < 20, firsts
        name = f"app-{len(firsts)}"
        act(driver, "create", want(name, run=app.run))
        soon(lambda name=name: gaps(name))  # type: ignore[misc]
        firsts.append(gaps(name)[0])
    assert "healthy" not in statuses


def test_on_failure_restarts_failures_alone(world: ProcessWorld) -> None:
    """`restart: on-failure` runs again what failed, and leaves what succeeded."""
    text = 'echo run >> runs; test "$(wc -l < runs)" -ge 3'
    driver, app = world.driver(), want("app", run=script(text, restart="on-failure"))
    act(driver, "create", app)
    one = eventually(driver, app, lambda o: o.fields["state"] == "stopped")
    assert (one.fields["exit"], one.fields["restarts"], one.health.status) == (0, 2, "healthy")


def test_a_failed_job_with_a_port_is_unhealthy(world: ProcessWorld) -> None:
    """`restart: never` and a failure: failed, unhealthy, and it stays so."""
    driver, app = world.driver(), want("app", run=script("exit 7", restart="never", ports=[{}]))
    act(driver, "create", app)
    one = eventually(driver, app, lambda o: o.fields["state"] == "failed")
    assert (one.fields["exit"], one.health.status) == (7, "unhealthy")
    soon(lambda: not belonging(world.root))


def test_logs_are_bounded_whatever_is_printed(world: ProcessWorld) -> None:
    """100 MB without a line's end fill the files to their bounds and no further, and the newest is what is kept."""
    run = script("head -c 100000000 /dev/zero; echo; echo the end; exec sleep 1000", log={"maxBytes": 65536, "files": 3})
    driver, app = world.driver(), want("app", run=run)
    act(driver, "create", app)
    soon(lambda: world.log("app").endswith("the end\n"), 200)
    sizes = {path.name: path.stat().st_size for path in world.directory("app").glob("output.log*")}
    assert sizes.keys() == {"output.log", "output.log.1", "output.log.2"}
    assert max(sizes.values()) <= 65536
    assert psutil.Process(world.shim("app")).memory_info().rss < 40_000_000


def test_a_flood_delays_nothing(world: ProcessWorld) -> None:
    """While a child prints as fast as it can, its check passes and a stop is as quick as ever."""
    check = {"command": ["true"], "intervalSeconds": 0.1}
    run = script("exec yes", check=check, log={"maxBytes": 65536}, stop={"graceSeconds": 3600})
    driver, app = world.driver(), want("app", run=run)
    act(driver, "create", app)
    eventually(driver, app, healthy)
    # Neither the grace nor the deadline is waited for.
    act(driver, "delete", app, deadline_s=3600)
    soon(lambda: not belonging(world.root))


def test_rotation_cuts_at_lines(tmp_path: Path) -> None:
    """Lines are kept whole over a rotation, nothing is lost before the bound, and fewer files take effect at once."""
    output = Output(str(tmp_path), 4096, 4)
    for number in range(300):
        output.write(b"line %06d of some length\n" % number * 2)
    texts = [(tmp_path / name).read_text() for name in ("output.log.2", "output.log.1", "output.log")]
    lines = "".join(texts).splitlines()
    assert all(text.endswith("\n") and len(text) <= 4096 for text in texts)
    assert all(len(line) == 26 for line in lines)
    assert lines[-1].startswith("line 000299")
    output.bound(4096, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["output.log", "output.times"]
    output.write(b"x" * 10000)
    assert (tmp_path / "output.log").stat().st_size <= 4096


def test_a_child_that_closes_its_output(world: ProcessWorld) -> None:
    """No output is no end: the child runs on, and its shim does not spin."""
    driver, app = world.driver(), want("app", run=script("exec >&- 2>&-; exec sleep 1000"))
    act(driver, "create", app)
    pid = eventually(driver, app, healthy).fields["pid"]
    shim = psutil.Process(world.shim("app"))
    before = sum(shim.cpu_times()[:2])
    time.sleep(1.0)
    assert sum(shim.cpu_times()[:2]) - before < 0.1
    assert seen(driver)["Container/app", "i1"].fields["pid"] == pid


def test_the_shim_needs_nothing_but_the_standard_library(world: ProcessWorld) -> None:
    """It runs isolated and without site packages, holds no file of ours open, and is small."""
    driver, app = world.driver(), want("app")
    act(driver, "create", app)
    eventually(driver, app, healthy)
    shim = psutil.Process(world.shim("app"))
    assert "-I" in shim.cmdline()
    assert "-S" in shim.cmdline()
    if sys.platform == "linux":
        outside = [file.path for file in shim.open_files() if not file.path.startswith(str(world.directory("app")))]
        assert outside == []
        assert os.getsid(shim.pid) == shim.pid
        maps = Path(f"/proc/{shim.pid}/maps").read_text()
        assert "site-packages" not in maps
    assert shim.memory_info().rss < 20_000_000


def test_a_check_that_hangs_blocks_nothing(world: ProcessWorld) -> None:
    """A check command that never ends fails by its timeout, leaves no process, and delays neither logs nor the stop."""
    check = {"command": ["/bin/sh", "-c", "sleep 1234 & sleep 1234"], "timeoutSeconds": 0.3, "intervalSeconds": 0.1}
    run = script("while :; do echo tick; sleep 0.05; done", check=check, stop={"graceSeconds": 3600})
    driver, app = world.driver(), want("app", run=run)
    act(driver, "create", app)
    soon(lambda: world.log("app").count("tick") > 20)

    def hanging() -> int:
        return len(named(world.root, "sleep", "1234"))

    # Several checks have been begun by now; who was killed may take a moment to be gone.
    soon(lambda: hanging() <= 2)
    act(driver, "delete", app, deadline_s=3600)
    soon(lambda: not belonging(world.root))


def test_health_follows_the_check(world: ProcessWorld) -> None:
    """Passes and failures in a row, as many as declared, turn the verdict; the first verdict does not wait an interval."""
    check = {"command": ["test", "-e", "well"], "intervalSeconds": 0.2, "healthyAfter": 2, "unhealthyAfter": 2}
    driver, app = world.driver(), want("app", run=script("exec sleep 1000", check=check))
    act(driver, "create", app)
    time.sleep(0.3)
    assert seen(driver)["Container/app", "i1"].health.status == "starting"
    well = world.directory("app") / "home" / "well"
    well.touch()
    up = eventually(driver, app, healthy)
    assert up.health.passed >= 2
    well.unlink()
    down = eventually(driver, app, failing)
    assert down.health.failed >= 2
    assert "test exited with status 1" in down.health.message


def test_a_quiet_instance_writes_nothing(world: ProcessWorld) -> None:
    """While nothing changes, ten checks a second write no file and wake nobody."""
    check = {"command": ["true"], "intervalSeconds": 0.1}
    driver, app = world.driver(), want("app", run=script("exec sleep 1000", check=check))
    act(driver, "create", app)
    eventually(driver, app, healthy)
    while driver.changed(0.3):
        seen(driver)
    state = world.directory("app") / "state.json"
    before = state.stat().st_mtime_ns
    assert driver.changed(1.0) is False
    assert state.stat().st_mtime_ns == before
