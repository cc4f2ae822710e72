"""A shim keeps its child running, its output bounded and its end orderly, whatever the child does."""

import itertools
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from reconciler.core.kinds.spec import Run
from reconciler.core.model import Observed
from reconciler.drivers.process.shim.launch import ALREADY
from reconciler.drivers.process.shim.output import Output
from reconciler.drivers.process.shim.probe import Connection, Http, Probe
from reconciler.drivers.process.supervise import MAIN

from .contract import act, eventually, healthy, seen, want
from .world import ProcessWorld, alive, belonging, process_world, soon

pytestmark = pytest.mark.slow


@pytest.fixture
def world() -> Iterator[ProcessWorld]:
    with process_world() as made:
        yield made


def script(text: str, **more: object) -> Run:
    return Run.model_validate({"command": ["/bin/sh", "-c", text], **more})


def python(text: str, **more: object) -> Run:
    return Run.model_validate({"command": ["python3", "-I", "-S", "-c", text], **more})


def failing(one: Observed) -> bool:
    return one.health.status == "unhealthy"


def test_a_killed_child_is_restarted_and_seen_at_once(world: ProcessWorld) -> None:
    """SIGKILL of the child wakes the driver within a second, shows the signal, and a new child comes up."""
    driver, app = world.driver(), want("app")
    act(driver, "create", app)
    before = eventually(driver, app, healthy)
    while driver.changed(0.2):
        seen(driver)
    begun = time.monotonic()
    os.kill(before.fields["pid"], 9)
    assert driver.changed(5.0)
    down = eventually(driver, app, failing)
    assert time.monotonic() - begun < 1.0
    assert down.fields["exit"] == -9
    assert "killed by signal 9" in down.health.message
    after = eventually(driver, app, healthy)
    assert after.fields["pid"] != before.fields["pid"]
    assert after.fields["restarts"] == 1
    assert after.since > before.since


def test_restarts_grow_rarer(world: ProcessWorld) -> None:
    """What ends at once is started again after 0.1 s, then after twice as long each time, and is never called healthy."""
    driver, app = world.driver(), want("app", run=script("date +%s.%N"))
    act(driver, "create", app)
    statuses = set()

    def started() -> list[float]:
        statuses.add(seen(driver)["Container/app", "i1"].health.status)
        return [float(line) for line in world.log("app").split()]

    soon(lambda: len(started()) >= 5)
    times = started()
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    for gap, least in zip(gaps, (0.1, 0.2, 0.4, 0.8), strict=False):
        assert gap >= least
    assert gaps[0] < 0.4
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
    soon(lambda: world.log("app").endswith("the end\n"), 60)
    sizes = {path.name: path.stat().st_size for path in world.directory("app").glob("output.log*")}
    assert sizes.keys() == {"output.log", "output.log.1", "output.log.2"}
    assert max(sizes.values()) <= 65536
    assert psutil.Process(world.shim("app")).memory_info().rss < 40_000_000


def test_a_flood_delays_nothing(world: ProcessWorld) -> None:
    """While a child prints as fast as it can, its check passes and a stop is as quick as ever."""
    run = script("exec yes", check={"command": ["true"], "intervalSeconds": 0.1}, log={"maxBytes": 65536})
    driver, app = world.driver(), want("app", run=run)
    act(driver, "create", app)
    eventually(driver, app, healthy)
    begun = time.monotonic()
    act(driver, "delete", app)
    assert time.monotonic() - begun < 2.0


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
    assert sorted(path.name for path in tmp_path.iterdir()) == ["output.log"]
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


DAEMON = """
import os, time
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            open("daemon", "a").write(f"{os.getpid()}\\n")
            time.sleep(1000)
        os._exit(0)
    os.wait()
"""


def daemons(world: ProcessWorld) -> list[int]:
    path = world.directory("app") / "home" / "daemon"
    return [int(word) for word in path.read_text().split()] if path.exists() else []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux hands orphans to the shim")
def test_daemons_end_with_their_instance(world: ProcessWorld) -> None:
    """What left its process group and session by forking twice is still ended, by a stop and by a crash of its parent."""
    driver, app = world.driver(), want("app", run=python(DAEMON + "\ntime.sleep(1000)"))
    act(driver, "create", app)
    pid = eventually(driver, app, healthy).fields["pid"]
    soon(lambda: len(daemons(world)) == 3)
    first = daemons(world)
    assert all(alive(one) for one in first)
    os.kill(pid, 9)
    eventually(driver, app, lambda o: healthy(o) and o.fields["pid"] != pid)
    assert not any(alive(one) for one in first)
    soon(lambda: len(daemons(world)) == 6)
    second = daemons(world)[3:]
    act(driver, "delete", app)
    assert not any(alive(one) for one in second)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows the environment of processes")
def test_daemons_of_a_killed_shim_are_hunted_down(world: ProcessWorld) -> None:
    """When the shim itself was killed, a delete still finds what had escaped it."""
    driver, app = world.driver(), want("app", run=python(DAEMON + "\ntime.sleep(1000)"))
    act(driver, "create", app)
    eventually(driver, app, healthy)
    soon(lambda: len(daemons(world)) == 3)
    escaped = daemons(world)
    os.kill(world.shim("app"), 9)
    soon(lambda: seen(driver)["Container/app", "i1"].fields["state"] == "lost")
    act(driver, "delete", app)
    assert not any(alive(one) for one in escaped)
    soon(lambda: not belonging(world.root), 2.0)


def test_a_second_shim_goes_away(world: ProcessWorld) -> None:
    """The lock admits one shim to a directory; another leaves at once and disturbs nothing."""
    driver, app = world.driver(), want("app")
    act(driver, "create", app)
    before = eventually(driver, app, healthy)
    begun = time.monotonic()
    second = subprocess.run([sys.executable, "-I", "-S", str(MAIN), str(world.directory("app"))], check=False)
    assert second.returncode == ALREADY
    assert time.monotonic() - begun < 2.0
    assert eventually(driver, app, healthy).fields["pid"] == before.fields["pid"]


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


def test_a_stop_asks_first(world: ProcessWorld) -> None:
    """The stop's request comes before its signal, with the declared wait between, and the child may end in peace."""
    text = """
import os, signal, socket, sys, time
say = lambda word: os.write(log, f"{word} {time.monotonic()}\\n".encode())
log = os.open(os.environ["SAY"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
def leave(*_):
    say("signal")
    time.sleep(0.2)
    say("ended")
    sys.exit(0)
signal.signal(signal.SIGINT, leave)
s = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    c, _ = s.accept()
    line = c.recv(1000).split(b"\\r\\n")[0].decode()
    if "drain" in line: say(line.replace(" ", "_"))
    c.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\n")
    c.close()
"""
    record = world.root / "said"
    run = Run.model_validate(
        {
            "command": ["python3", "-I", "-c", text, "${PORT}"],
            "environment": {"SAY": str(record)},
            "ports": [{}],
            "check": {"http": {}},
            "stop": {"http": {"path": "/drain", "method": "POST"}, "waitSeconds": 0.3, "signal": "INT"},
        }
    )
    driver, app = world.driver(), want("app", run=run)
    act(driver, "create", app)
    assert eventually(driver, app, healthy).fields["stop_s"] >= 10.3
    act(driver, "delete", app)
    said = [line.split() for line in record.read_text().splitlines()]
    assert [words[0] for words in said] == ["POST_/drain_HTTP/1.1", "signal", "ended"]
    assert float(said[1][1]) - float(said[0][1]) >= 0.3


DEAF = 'trap "" TERM; echo deaf; while :; do sleep 0.1; done'


def test_who_does_not_hear_is_killed_after_grace(world: ProcessWorld) -> None:
    """A child that ignores its signal gets its grace, no less and not much more."""
    driver, app = world.driver(), want("app", run=script(DEAF, stop={"graceSeconds": 0.5}))
    act(driver, "create", app)
    soon(lambda: "deaf" in world.log("app"))
    begun = time.monotonic()
    act(driver, "delete", app)
    assert 0.5 <= time.monotonic() - begun < 2.5
    assert not belonging(world.root)


def test_the_deadline_of_a_delete_beats_grace(world: ProcessWorld) -> None:
    """A delete ends by force when its deadline comes before the declared grace is over."""
    driver, app = world.driver(), want("app", run=script(DEAF, stop={"graceSeconds": 600}))
    act(driver, "create", app)
    soon(lambda: "deaf" in world.log("app"))
    begun = time.monotonic()
    act(driver, "delete", app, deadline_s=3.0)
    assert time.monotonic() - begun < 4.0
    assert seen(driver) == {}
    soon(lambda: not belonging(world.root), 2.0)


def test_an_interrupted_stop_is_lost_and_comes_back(world: ProcessWorld) -> None:
    """What was told to end and is wanted again after all shows as lost, and runs again after an update."""
    driver, app = world.driver(), want("app")
    act(driver, "create", app)
    eventually(driver, app, healthy)
    os.kill(world.shim("app"), 15)
    eventually(driver, app, lambda o: o.fields["state"] == "lost")
    act(driver, "update", app)
    eventually(driver, app, healthy)


def test_an_update_waits_for_a_stop_under_way(world: ProcessWorld) -> None:
    """An update of what is just ending lets it end, and then starts it anew."""
    text = 'trap "sleep 0.5; exit 0" TERM; echo up; while :; do sleep 0.05; done'
    driver, app = world.driver(), want("app", run=script(text))
    act(driver, "create", app)
    before = eventually(driver, app, healthy)
    soon(lambda: "up" in world.log("app"))
    os.kill(world.shim("app"), 15)
    eventually(driver, app, lambda o: o.fields["state"] == "stopping")
    act(driver, "update", app)
    assert eventually(driver, app, healthy).fields["pid"] != before.fields["pid"]


def test_a_check_that_hangs_blocks_nothing(world: ProcessWorld) -> None:
    """A check command that never ends fails by its timeout, leaves no process, and delays neither logs nor the stop."""
    check = {"command": ["/bin/sh", "-c", "sleep 1234 & sleep 1234"], "timeoutSeconds": 0.3, "intervalSeconds": 0.1}
    run = script("while :; do echo tick; sleep 0.05; done", check=check)
    driver, app = world.driver(), want("app", run=run)
    act(driver, "create", app)
    soon(lambda: world.log("app").count("tick") > 20)

    def hanging() -> int:
        return sum("1234" in process.cmdline() for process in belonging(world.root) if alive(process.pid))

    assert hanging() <= 2
    begun = time.monotonic()
    act(driver, "delete", app)
    assert time.monotonic() - begun < 2.0
    assert not belonging(world.root)


def test_health_follows_the_check(world: ProcessWorld) -> None:
    """Passes and failures in a row, as many as declared, turn the verdict; the first verdict does not wait an interval."""
    check = {"command": ["test", "-e", "well"], "intervalSeconds": 0.2, "healthyAfter": 2, "unhealthyAfter": 2}
    driver, app = world.driver(), want("app", run=script("exec sleep 1000", check=check))
    act(driver, "create", app)
    time.sleep(0.3)
    assert seen(driver)["Container/app", "i1"].health.status == "starting"
    well = world.directory("app") / "home" / "well"
    well.touch()
    up = eventually(driver, app, healthy, 5.0)
    assert up.health.passed >= 2
    well.unlink()
    down = eventually(driver, app, failing, 5.0)
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


def test_a_removed_directory_ends_its_shim(world: ProcessWorld) -> None:
    """Who deletes the state directory by hand does not leave processes that nobody can find again."""
    driver, app = world.driver(), want("app")
    act(driver, "create", app)
    pid = eventually(driver, app, healthy).fields["pid"]
    subprocess.run(["rm", "-rf", str(world.directory("app"))], check=True)
    soon(lambda: not alive(pid), 15.0)


def answering(serve: Callable[[socket.socket], object]) -> list[Any]:
    """An address at which one connection is answered by `serve`."""
    listening = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        with listening:
            connection, _ = listening.accept()
            with connection:
                try:
                    serve(connection)
                except OSError:
                    return

    threading.Thread(target=run, daemon=True).start()
    return list(listening.getsockname())


def play(probe: Probe) -> Probe:
    """Do what the shim's loop does with one try."""
    while not probe.over:
        poll = select.poll()
        if probe.fd >= 0:
            poll.register(probe.fd, probe.events)
        left_s = probe.deadline - time.monotonic()
        if left_s <= 0:
            probe.expire()
        elif poll.poll(int(left_s * 1000) + 1):
            probe.step()
    return probe


def drip(connection: socket.socket) -> None:
    for byte in b"HTTP/1.1 200 OK\r\n" * 100:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


def endless(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"x" * 65536)


def endless_body(connection: socket.socket) -> None:
    connection.recv(1000)
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    endless(connection)


@pytest.mark.parametrize(
    ("serve", "passed", "said"),
    [
        (lambda c: c.sendall(b"HTTP/1.0 204 No Content\r\n\r\n"), True, ""),
        (lambda c: c.sendall(b"HTTP/1.1 302 Found\r\n\r\n"), True, ""),
        (lambda c: c.sendall(b"HTTP/1.1 503 Sorry\r\n\r\n"), False, "status 503"),
        (lambda c: c.sendall(b"HTTP/1.1 199\r\n"), False, "status 199"),
        (lambda c: c.sendall(b"SSH-2.0-OpenSSH_9.2\r\n"), False, "not an HTTP answer"),
        (lambda c: c.sendall(b"HTTP/1.1 2000 OK\r\n"), False, "not an HTTP answer"),
        (lambda c: c.sendall(b"\x00\xff" * 50 + b"\n"), False, "not an HTTP answer"),
        (lambda c: c.recv(1000), False, ""),
        (lambda c: time.sleep(3), False, "no answer within 0.4 s"),
        (drip, False, "no answer within 0.4 s"),
        (endless, False, "not an HTTP answer"),
        (endless_body, True, ""),
    ],
)
def test_answers_of_any_kind_are_judged_in_time(serve: Callable[[socket.socket], object], passed: bool, said: str) -> None:
    """An HTTP check is decided by the status line alone, within its timeout, whatever else comes or does not come."""
    begun = time.monotonic()
    probe = play(Http(answering(serve), "GET", "/", 0.4))
    assert time.monotonic() - begun < 2.0
    assert probe.passed is passed
    assert said in probe.message
    assert len(probe.message) < 300


def test_nobody_at_the_port() -> None:
    """A refused connection fails at once, over TCP and over a Unix socket, and says so."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = list(server.getsockname())
    assert "connection refused" in play(Connection(target, 1.0, "connect")).message
    assert "no such file" in play(Connection("/nonexistent/socket", 1.0, "connect")).message
    assert play(Connection("/" + "x" * 300, 1.0, "connect")).passed is False
