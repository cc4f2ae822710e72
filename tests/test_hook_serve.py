"""A real `convoy serve --http` that looks at a real repository once an hour: a push with its hook is in force at once."""

import http.client
import json
import os
import socket
import socketserver
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.api.hooks.payloads import hexed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
CONVOY = (sys.executable, "-m", "reconciler")
FLEET = "apiVersion: convoy/v1\nkind: Host\nmetadata: {name: local}\nspec: {driver: process}\n"
WITHIN_S = 90.0


class Serving:
    """A Convoy that follows a bare repository, and somebody who pushes to that."""

    def __init__(self, directory: Path, source: str) -> None:
        self.directory, self.source = directory, source
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("CONVOY_")}
        self.environment |= {"CONVOY_STATE": str(directory / "state"), "HOME": str(directory), "NO_COLOR": "1"}
        self.environment |= {"PYTHONPATH": str(Path(__file__).parent.parent)}
        self.log = directory / "serve.log"

    def convoy(self, *words: str) -> Any:
        ran = subprocess.run([*CONVOY, *words, "-o", "json"], env=self.environment, capture_output=True, text=True, timeout=120)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return json.loads(ran.stdout)

    def git(self, *words: str) -> str:
        who = ("-c", "user.name=me", "-c", "user.email=me@example.com")
        return subprocess.run(
            ["git", "-C", str(self.directory / "work"), *who, *words],
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    def push(self, text: str) -> str:
        (self.directory / "work" / "fleet.yaml").write_text(text)
        self.git("add", ".")
        self.git("commit", "-q", "-m", "A change")
        self.git("push", "-q", "origin", "main")
        return self.git("rev-parse", "HEAD")

    def until(self, true: Any, what: str) -> float:
        begun = time.monotonic()
        while not true():
            assert time.monotonic() - begun < WITHIN_S, f"{what}\n{self.log.read_text()}"
            time.sleep(0.02)
        return time.monotonic() - begun

    @property
    def address(self) -> str:
        return self.log.read_text().rsplit("web.started address=", 1)[1].split()[0]


@contextmanager
def git_daemon(base: Path) -> Iterator[str]:
    """A server for what is in this directory: so it is another machine's, and not watched by its files."""
    words = ["git", "daemon", "--inetd", "--export-all", f"--base-path={base}", str(base)]

    class Served(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            subprocess.run(words, stdin=self.request, stdout=self.request, stderr=subprocess.DEVNULL, check=False)

    # It has its port from the beginning: one that is looked for and left may be another's when it is wanted.
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Served) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.05,))
        serving.start()
        try:
            yield f"git://127.0.0.1:{server.server_address[1]}/fleet.git"
        finally:
            server.shutdown()
            serving.join()


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(tmp_path / "fleet.git")], check=True)
    subprocess.run(["git", "init", "-q", "-b", "main", str(tmp_path / "work")], check=True)
    with git_daemon(tmp_path) as url:
        one = Serving(tmp_path, url)
        one.git("remote", "add", "origin", str(tmp_path / "fleet.git"))
        first = one.push(FLEET)
        words = [
            *CONVOY,
            "serve",
            "--source",
            url,
            "--branch",
            "main",
            "--poll",
            "3600",
            "--http",
            "127.0.0.1:0",
            "--metrics",
            "127.0.0.1:0",
        ]
        with one.log.open("w") as log:
            process = subprocess.Popen(words, env=one.environment, stdout=log, stderr=log, cwd=tmp_path)
        try:
            one.until(
                lambda: "web.started" in one.log.read_text() and f"revision={first}" in one.log.read_text(), "it never began"
            )
            yield one
        finally:
            process.terminate()
            assert process.wait(60) == 0, one.log.read_text()


def deliver(one: Serving, url: str, secret: str, body: bytes, **headers: str) -> tuple[int, Any]:
    shown = {"Content-Type": "application/json", "X-Signature-256": f"sha256={hexed(body, secret.encode())}"}
    shown |= {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(f"http://{one.address}{url}", body, shown, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_a_push_is_in_force_at_once(serving: Serving) -> None:
    """Without the hook nothing happens for an hour; with it the commit is in force in a second or so. A delivery by nobody
    we know, or about another branch, wakes nobody."""
    made = serving.convoy("hook", "create", "fleet", "--provider", "generic")
    said = json.dumps({"repository": serving.source, "branch": "main"}).encode()
    pushed = serving.push(
        FLEET + "---\napiVersion: convoy/v1\nkind: Settings\nmetadata: {name: fleet}\nspec: {drainSeconds: 0}\n"
    )

    def in_force() -> bool:
        return f"revision.accepted revision={pushed}" in serving.log.read_text()

    assert deliver(serving, made["url"], made["secret"][:-1], said)[0] == 401
    assert deliver(serving, made["url"][:-4] + "0000", made["secret"], said)[0] == 404
    other = json.dumps({"repository": serving.source, "branch": "other"}).encode()
    assert deliver(serving, made["url"], made["secret"], other) == (
        202,
        {"verdict": "elsewhere", "message": "not followed here"},
    )
    time.sleep(1)
    assert not in_force()
    status, answer = deliver(serving, made["url"], made["secret"], said)
    assert (status, answer["verdict"]) == (202, "woken")
    serving.until(in_force, "the hook has not woken it")
    serving.until(lambda: serving.convoy("hook", "list")["hooks"][0]["deliveries"].get("woken"), "it was not written down")
    assert serving.convoy("hook", "list", "fleet")["deliveries"] == {"elsewhere": 1, "refused": 1, "woken": 1}
    text = serving.log.read_text()
    assert made["secret"] not in text
    assert made["url"].rpartition("-")[2] not in text


def test_bodies_by_a_real_server(serving: Serving) -> None:
    """Chunks count as one body does; broken ones, a gigabyte and gzip are the sender's fault."""
    made = serving.convoy("hook", "create", "fleet", "--provider", "generic")
    said = json.dumps({"repository": serving.source, "branch": "main"}).encode()
    signed = {"Content-Type": "application/json", "X-Signature-256": f"sha256={hexed(said, made['secret'].encode())}"}

    def ask(sent: bytes, headers: dict[str, str]) -> int:
        host, _, port = serving.address.rpartition(":")
        with socket.create_connection((host, int(port)), 60) as calling:
            head = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "x", **headers}.items())
            calling.sendall(f"POST {made['url']} HTTP/1.1\r\n{head}\r\n".encode() + sent)
            answer = http.client.HTTPResponse(calling)
            answer.begin()
            return answer.status

    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(said), said)
    assert ask(chunks, {**signed, "Transfer-Encoding": "chunked"}) == 202
    assert ask(b"zz\r\n" + said, {**signed, "Transfer-Encoding": "chunked"}) == 400
    assert ask(said, {**signed, "Content-Length": str(1 << 30)}) == 413
    assert ask(said, {**signed, "Content-Length": str(len(said)), "Content-Encoding": "gzip"}) == 415
    assert ask(said, {**signed, "Content-Length": "-1"}) in (400, 411)
    assert ask(said, {**signed, "Content-Length": str(len(said))}) == 202
    assert serving.convoy("hook", "revoke", "fleet") == {"revoked": "fleet"}
    assert ask(said, {**signed, "Content-Length": str(len(said))}) == 404
