"""`convoy serve` whose web process is replaced while it is asked all the time; and control and web, each alone."""

import collections
import contextlib
import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from reconciler import web as web_module
from reconciler.log import Log
from reconciler.metrics import Metrics
from reconciler.seams import Seams
from reconciler.store import Store, default_url
from reconciler.web import Http, Web
from tests import people, repos
from tests.api.hooks.payloads import hexed
from tests.drivers.world import soon
from tests.ports import free_port
from tests.test_against import CONVOY, FLEET, PLAN, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
HOST = FLEET.split("---")[0]
# How long a connection is kept on which nothing is asked (api/serve.py); and one when nobody answers any more (api/worker.py).
KEPT_S, ENDING_S = 5.0, 2.0


class Parts:
    """Processes of `convoy serve` in one state directory, and the repository that they follow."""

    def __init__(self, directory: Path, started: contextlib.ExitStack) -> None:
        self._directory, self._started = directory, started
        self._state, self._log = directory / "state", directory / "serve.log"
        self.origin = repos.make_origin(directory)
        self.origin.commit({"fleet.yaml": HOST})

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def ports(self, count: int) -> list[int]:
        return [free_port() for _ in range(count)]

    def start(self, *words: str) -> "subprocess.Popen[bytes]":
        own = {"PATH": os.environ["PATH"], "HOME": str(self._directory), "CONVOY_STATE": str(self._state), "LANG": "C.UTF-8"}
        with self._log.open("ab") as log:
            made = subprocess.Popen([*CONVOY, "serve", *words], env=own, stderr=log, start_new_session=True)
        self._started.callback(made.wait, 60)
        self._started.callback(made.terminate)
        return made

    def answering(self, *ports: int) -> None:
        """From then on."""

        def answers(port: int) -> bool:
            with contextlib.suppress(OSError):
                return asked(port, "", "GET", "/health")[0] == 200
            return False

        for port in ports:
            until(partial(answers, port), f"it does not answer:\n{self.log}")

    def store(self) -> contextlib.closing[Store]:
        return contextlib.closing(Store(default_url(self._state), Seams()))

    def token(self, *scopes: str) -> str:
        with self.store() as store:
            return store.tokens.create("ci", scopes, None)[1]

    def web(self, serve: "subprocess.Popen[bytes]") -> list[psutil.Process]:
        """Those that serve HTTP, each with its worker."""
        found = []
        for one in psutil.Process(serve.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                found += [one] if one.cmdline()[-1:] == ["api"] else []
        return found


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    with contextlib.ExitStack() as started:
        yield Parts(tmp_path, started)


class Asking:
    """Clients that ask all the time: on one connection, or on a new one for each request; soon again, or after a while."""

    def __init__(self, port: int, pauses_s: tuple[float, ...] = (0.02, 1.0)) -> None:
        self._port, self._over = port, threading.Event()
        self.said: collections.Counter[str] = collections.Counter()
        self.longest_s = 0.0
        # How long a connection on which nothing is asked is kept: who comes later, since the machine is busy, comes too late.
        self.kept_s = KEPT_S
        each = [(pause_s, kept) for pause_s in pauses_s for kept in (True, False)]
        self._threads = [threading.Thread(target=self._ask, args=one) for one in each]

    def __enter__(self) -> "Asking":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, pause_s: float, kept: bool) -> None:
        # Not one that connects anew by itself where it finds its connection closed.
        connection: http.client.HTTPConnection | None = None
        since = 0.0
        while not self._over.is_set():
            begun = asked_at = time.monotonic()
            since = since if connection else begun
            try:
                connection = connection or http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
                try:
                    connection.request("GET", "/health")
                finally:
                    asked_at = time.monotonic()
                with connection.getresponse() as answer:
                    answer.read()
                    said, ends = str(answer.status), answer.will_close or not kept
            except (OSError, http.client.HTTPException) as error:
                said, ends = f"{type(error).__name__}: {error}", True
            late = asked_at - since > self.kept_s and said.startswith(("RemoteDisconnected", "ConnectionReset", "BrokenPipe"))
            if not late:
                self.said[said] += 1
            since = begun
            self.longest_s = max(self.longest_s, time.monotonic() - begun)
            if ends and connection is not None:
                connection.close()
                connection = None
            self._over.wait(pause_s)
        if connection is not None:
            connection.close()


class Half:
    """Somebody who has begun to ask, and says so little at a time that it lasts as long as it may."""

    def __init__(self, port: int, token: str) -> None:
        body = json.dumps({"files": {"fleet.yaml": HOST}}).encode()
        self._left = b" " * 1_000 + body
        self._socket = socket.create_connection(("127.0.0.1", port), 60)
        head = f"POST {PLAN} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        self._socket.sendall(f"{head}Content-Length: {len(self._left)}\r\n\r\n".encode())

    def go_on(self) -> None:
        said, self._left = self._left[:1], self._left[1:]
        self._socket.sendall(said)

    def answer(self) -> bytes:
        """The status of the answer to all of it."""
        with self._socket:
            self._socket.sendall(self._left)
            return self._socket.recv(12)[9:]


def test_a_web_process_is_replaced(parts: Parts) -> None:
    """By SIGHUP, again and again: nobody is refused, reset or told of an error; what was under way is answered by the one that
    it was begun with. Control goes on as it was."""
    (port,) = parts.ports(1)
    control = parts.start("--source", str(parts.origin.path), "--http", f"127.0.0.1:{port}")
    parts.answering(port)
    with Asking(port) as asking:
        until(lambda: asking.said["200"] > 20, "nobody is answered")
        token = parts.token("plan")

        def replaced(half: Half, times: int) -> bool:
            half.go_on()
            return parts.log.count("web.replaced") == times

        for times in (1, 2):
            # Nobody may take longer than a minute to say what he has to say, so each time somebody else does.
            serving, half = parts.web(control), Half(port, token)
            control.send_signal(signal.SIGHUP)
            until(partial(replaced, half, times), f"it was not replaced:\n{parts.log}")
            before = asking.said["200"]
            until(lambda before=before: asking.said["200"] > before + 20, "nobody is answered any more")  # type: ignore[misc]
            assert any(one.is_running() for one in serving), "nothing was under way any more"
            assert half.answer() == b"200"
        until(lambda: len(parts.web(control)) == 2, "the old ones have not ended")
    assert set(asking.said) == {"200"}
    assert (control.poll(), parts.log.count("serve.started")) == (None, 1)


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Web]:
    """A web process that answers, and what has started it."""
    with contextlib.closing(Store(default_url(tmp_path), Seams())):
        pass
    with contextlib.closing(
        Web(Http("127.0.0.1:0"), default_url(tmp_path), tmp_path, Metrics(), Log(level="error"), Seams())
    ) as web:
        yield web


def port_of(web: Web) -> int:
    return int(web.address.rpartition(":")[2])


def test_one_that_does_not_come_up(alone: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it ends at once or never answers: the old one serves on, which is said; whatever clients keep their connections
    for. Asked to end in the middle of requests, it finishes them, and whoever comes later is refused and does not wait."""
    stuck = tmp_path / "stuck"
    stuck.write_text("#!/bin/sh\nexec sleep 60\n")
    stuck.chmod(0o700)
    monkeypatch.setattr(web_module, "COMING_S", 0.5)
    with Asking(port_of(alone), (0.02,)) as asking:
        soon(lambda: asking.said["200"] > 20, 60)
        pid = alone.pid

        def failed(times: int) -> bool:
            return f'convoy_web_replacements_total{{outcome="failed"}} {times}.0' in alone._metrics.exposition().decode()

        for times, program in enumerate(("/bin/false", str(stuck)), 1):
            with monkeypatch.context() as patched:
                patched.setattr(sys, "executable", program)
                alone.replace()
                soon(partial(failed, times))
        with contextlib.ExitStack() as held:
            # Gunicorn would wait for each in turn, two seconds, and for nobody else.
            for _ in range(20):
                stays = held.enter_context(socket.create_connection(("127.0.0.1", port_of(alone)), 60))
                stays.sendall(b"GET /health HTTP/1.0\r\n\r\n")
                assert stays.recv(12) == b"HTTP/1.0 200"
            asking.longest_s, before = 0.0, asking.said["200"]
            soon(lambda: asking.said["200"] > before + 20, 60)
        assert asking.longest_s < 20
        assert (alone.pid, set(asking.said)) == (pid, {"200"})
        half = Half(port_of(alone), "nobody")
        half.go_on()
        asking.kept_s = ENDING_S
        # One is coming just then, and will not be needed any more.
        monkeypatch.setattr(web_module, "COMING_S", 60.0)
        monkeypatch.setattr(sys, "executable", str(stuck))
        alone.replace()
        soon(lambda: b"convoy_web_starts_total 4.0" in alone._metrics.exposition())
        closing = threading.Thread(target=alone.close)
        closing.start()
        soon(lambda: any("refused" in said for said in asking.said))
        assert half.answer() == b"401"
        closing.join()
    assert {said.partition(":")[0] for said in asking.said} == {"200", "ConnectionRefusedError"}
    assert b'outcome="done"' not in alone._metrics.exposition()


def asked(port: int, token: str, method: str, path: str, body: object = None, **more: str) -> tuple[int, dict[str, Any]]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as asking:
        given = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"} | more
        asking.request(method, path, json.dumps(body) if body is not None else None, given)
        answer = asking.getresponse()
        return answer.status, json.loads(answer.read())


def test_two_webs_at_one_port(parts: Parts) -> None:
    """The second is told at once that the port is taken, and by whom; the first is answering all the time. One that comes when
    the first was killed has it."""
    (port,) = parts.ports(1)
    words = ("--only", "web", "--http", f"127.0.0.1:{port}")
    first = parts.start(*words)
    parts.answering(port)
    with Asking(port, (0.02,)) as asking:
        second = parts.start(*words)
        assert second.wait(60) == 1
    assert "another `convoy serve` in this state directory" in parts.log
    assert "web.waits" not in parts.log
    assert {*asking.said} == {"200"}
    first.kill()
    first.wait()
    parts.start(*words)
    until(lambda: parts.log.count("web.started") == 2, f"it does not start:\n{parts.log}")
    parts.answering(port)


def test_control_and_web_each_alone(parts: Parts) -> None:
    """Web before there is any control: what is asked of that is told so, and works as soon as it comes; two webs are as good as
    one. When control has gone, what is read is still answered."""
    path, label = "/convoy/v1/resources/host/local", {"metadata": {"labels": {"zone": "a"}}}
    one, other = parts.ports(2)
    webs = [parts.start("--only", "web", "--http", f"127.0.0.1:{port}") for port in (one, other)]
    parts.answering(one, other)
    token = parts.token("read", "write")
    assert asked(one, "", "GET", "/ready")[1]["control"] is False
    assert asked(one, token, "GET", path)[0] == 404
    status, said = asked(one, token, "POST", "/convoy/v1/sync", {})
    assert (status, said["error"]["code"]) == (503, "away")
    with parts.store() as store:
        _, place, secret = store.hooks.create("fleet", "generic")

    def verdict() -> str:
        """On a push to the repository, as a forge tells of it."""
        said = {"repository": str(parts.origin.path), "branch": "main"}
        signature = f"sha256={hexed(json.dumps(said).encode(), secret.encode())}"
        return str(asked(other, "", "POST", f"/hooks/generic/{place}", said, **{"X-Signature-256": signature})[1]["verdict"])

    assert verdict() == "elsewhere"
    control = parts.start("--only", "control", "--source", str(parts.origin.path))
    until(lambda: asked(one, "", "GET", "/ready")[0] == 200, f"it is not ready:\n{parts.log}")
    assert asked(one, token, "PATCH", f"{path}?wait=synced&timeoutSeconds=60", label)[0] == 200
    assert asked(other, token, "GET", path)[1]["document"]["metadata"]["labels"] == {"zone": "a"}
    assert repos.git(parts.origin.path, "show", "main:fleet.yaml").count('"zone": "a"') == 1
    assert verdict() == "woken"
    control.terminate()
    assert control.wait(60) == 0
    assert asked(other, token, "GET", path)[0] == 200
    status, said = asked(other, token, "PATCH", f"{path}?dry_run=true", label)
    assert (status, said["error"]["code"]) == (503, "away")
    for web in webs:
        web.terminate()
    assert [web.wait(60) for web in webs] == [0, 0]


def test_a_signature_is_good_once_for_all_that_serve(parts: Parts) -> None:
    """Of two that share a store, whichever is asked first; both take what is critical only signed, as they were told to."""
    one, other = parts.ports(2)
    for port in (one, other):
        parts.start("--only", "web", "--http-signed", "--http", f"127.0.0.1:{port}")
    parts.answering(one, other)
    path, body = "/api/v1/bulk/proxies/update", {"proxy_ids": ["absent"], "updates": {"cluster_id": None}}
    with parts.store() as store:
        account = people.account(store, "operator")
        token = people.key(store, account)

        def code(port: int, **headers: str) -> tuple[int, str]:
            status, said = asked(port, token, "POST", path, body, **headers)
            return status, said["error"]["code"]

        assert code(one) == code(other) == (401, "SIGNATURE_REQUIRED")
        secret = store.signatures.give(account.email)
    at = f"{time.time():.6f}"
    words = f"POST\n{path}\n{at}\n{hashlib.sha256(json.dumps(body).encode()).hexdigest()}"
    right = {"X-Request-Timestamp": at, "X-Request-Signature": f"sha256={hexed(words.encode(), secret.encode())}"}
    # There is no such proxy: it came as far as that, once.
    assert code(one, **right) == (422, "VALIDATION_ERROR")
    assert code(one, **right) == code(other, **right) == (401, "SIGNATURE_REPLAYED")
    assert secret not in parts.log
