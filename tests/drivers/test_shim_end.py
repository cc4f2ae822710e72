"""A shim ends all that its child has started, and ends it in order: a request, a signal, and at last by force."""

import os
import subprocess
import sys
import threading
import time

import pytest

from reconciler.core.kinds.spec import Run
from reconciler.drivers.process import supervise
from reconciler.drivers.process.shim.launch import ALREADY
from reconciler.drivers.process.supervise import MAIN

from .contract import act, eventually, healthy, seen, want
from .world import ProcessWorld, alive, belonging, python, script, soon

pytestmark = pytest.mark.slow


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
    soon(lambda: not any(alive(one) for one in first))
    soon(lambda: len(daemons(world)) == 6)
    second = daemons(world)[3:]
    act(driver, "delete", app)
    soon(lambda: not any(alive(one) for one in second))


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
    soon(lambda: not any(alive(one) for one in escaped))
    soon(lambda: not belonging(world.root))


def test_a_second_shim_goes_away(world: ProcessWorld) -> None:
    """The lock admits one shim to a directory; another leaves at once and disturbs nothing."""
    driver, app = world.driver(), want("app")
    act(driver, "create", app)
    before = eventually(driver, app, healthy)
    second = subprocess.run([sys.executable, "-I", "-S", str(MAIN), str(world.directory("app"))], check=False)
    assert second.returncode == ALREADY
    assert eventually(driver, app, healthy).fields["pid"] == before.fields["pid"]


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
            "stop": {"http": {"path": "/drain", "method": "POST"}, "waitSeconds": 0.3, "signal": "INT", "graceSeconds": 100},
        }
    )
    driver, app = world.driver(), want("app", run=run)
    act(driver, "create", app)
    assert eventually(driver, app, healthy).fields["stop_s"] >= 100.3
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
    assert 0.5 <= time.monotonic() - begun < 60
    soon(lambda: not belonging(world.root))


def test_the_deadline_of_a_delete_beats_grace(world: ProcessWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A delete ends by force when its deadline comes before the declared grace is over."""
    # What is kept for the end by force; a busy machine may need more of it.
    monkeypatch.setattr(supervise, "FORCE_S", 120.0)
    driver, app = world.driver(), want("app", run=script(DEAF, stop={"graceSeconds": 3600}))
    act(driver, "create", app)
    soon(lambda: "deaf" in world.log("app"))
    act(driver, "delete", app, deadline_s=121.0)
    assert seen(driver) == {}
    soon(lambda: not belonging(world.root))


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
    text = 'trap "until test -e gone; do sleep 0.05; done; exit 0" TERM; echo up; while :; do sleep 0.05; done'
    driver, app = world.driver(), want("app", run=script(text, stop={"graceSeconds": 3600}))
    act(driver, "create", app)
    before = eventually(driver, app, healthy)
    soon(lambda: "up" in world.log("app"))
    os.kill(world.shim("app"), 15)
    eventually(driver, app, lambda o: o.fields["state"] == "stopping")
    going = threading.Timer(0.5, (world.directory("app") / "home" / "gone").touch)
    going.start()
    act(driver, "update", app)
    going.join()
    assert eventually(driver, app, healthy).fields["pid"] != before.fields["pid"]


def test_a_removed_directory_ends_its_shim(world: ProcessWorld) -> None:
    """Who deletes the state directory by hand does not leave processes that nobody can find again."""
    driver, app = world.driver(), want("app")
    act(driver, "create", app)
    pid = eventually(driver, app, healthy).fields["pid"]
    subprocess.run(["rm", "-rf", str(world.directory("app"))], check=True)
    soon(lambda: not alive(pid))
