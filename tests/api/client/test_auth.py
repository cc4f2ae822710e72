"""Logging in: what is kept and who may read it, tokens that go on by themselves, and where they never go."""

import hashlib
import hmac
import json
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from api.client import wire
from api.client.exits import AWAY, REFUSED, UNKNOWN, USAGE
from api.client.kept import Kept
from api.client.session import Session
from api.client.wire import Request, Server
from reconciler.seams import Seams
from tests import people
from tests.api.client.conftest import PASSWORD, Envoyctl, Served
from tests.committing import together

pytestmark = pytest.mark.slow


def login(envoyctl: Envoyctl, served: Served, role: str = "operator") -> str:
    email = served.person(role)
    done = envoyctl("auth", "login", "--email", email, role=None, ENVOYCTL_PASSWORD=PASSWORD)
    assert done.exit_code == 0, done.output
    assert done.stdout == f"logged in to {served.url} as {email}, {role}\n"
    return email


def kept(tmp_path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((tmp_path / ".config" / "envoyctl" / "logins.json").read_text())
    return found


def test_in_and_out(envoyctl: Envoyctl, served: Served, tmp_path: Path) -> None:
    """The server is kept with the login, tokens for their owner alone; out, both are good no more."""
    email = login(envoyctl, served)
    file = tmp_path / ".config" / "envoyctl" / "logins.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert not list(file.parent.glob("*.tmp"))
    listed = envoyctl("proxy", "list", role=None, ENVOYCTL_SERVER=None)
    assert listed.exit_code == 0, listed.output
    shown = envoyctl("auth", "status", role=None)
    tokens = kept(tmp_path)["logins"][served.url]
    assert email in shown.stdout
    assert not [one for one in ("access", "refresh") if tokens[one] in shown.output + listed.output]
    assert envoyctl("auth", "logout", role=None).exit_code == 0
    assert envoyctl("proxy", "list", role=None).exit_code == UNKNOWN
    assert envoyctl("proxy", "list", ENVOYCTL_TOKEN=tokens["access"]).exit_code == UNKNOWN
    assert tokens["access"] not in file.read_text()


def test_passwords_by_pipe(envoyctl: Envoyctl, served: Served, tmp_path: Path) -> None:
    """By standard input; a wrong one is told, shown by nothing, and nothing is kept."""
    email = served.person()
    wrong = envoyctl("auth", "login", "--email", email, role=None, input="wrong password\n")
    assert (wrong.exit_code, "wrong password" in wrong.output) == (UNKNOWN, False)
    assert not (tmp_path / ".config" / "envoyctl" / "logins.json").exists()
    assert envoyctl("auth", "login", "--email", email, role=None, input=PASSWORD + "\n").exit_code == 0
    assert envoyctl("auth", "login", "--email", email, role=None, input="").exit_code == USAGE


def test_tokens_go_on_by_themselves(envoyctl: Envoyctl, served: Served, tmp_path: Path) -> None:
    """One that has ended is refreshed before it is shown; many at once refresh it once, and none rotates another out."""
    login(envoyctl, served)
    file = Kept(tmp_path / ".config" / "envoyctl")
    before = kept(tmp_path)
    before["logins"][served.url]["expires"] = 0.0
    file.file.write_text(json.dumps(before))

    def one() -> int:
        session = Session(Server(served.url), Kept(file.directory), "", Seams())
        return session.ask(Request("GET", "/proxies", {"limit": 1})).status

    assert together(*[one] * 8) == [200] * 8
    after = kept(tmp_path)["logins"][served.url]
    assert after["refresh"] != before["logins"][served.url]["refresh"]
    assert envoyctl("proxy", "list", role=None).exit_code == 0
    # The server's word counts, whatever the clock here says.
    spoilt = kept(tmp_path)
    spoilt["logins"][served.url]["access"] = "ended"
    file.file.write_text(json.dumps(spoilt))
    assert envoyctl("proxy", "list", role=None).exit_code == 0
    spoilt["logins"][served.url] |= {"refresh": "ended", "access": "ended"}
    file.file.write_text(json.dumps(spoilt))
    ended = envoyctl("proxy", "list", role=None)
    assert ended.exit_code == UNKNOWN
    assert "envoyctl auth login --email" in ended.stderr


def test_what_others_may_read_is_not_used(envoyctl: Envoyctl, served: Served, tmp_path: Path) -> None:
    """And how that is mended; a file that is spoilt is told as one."""
    login(envoyctl, served)
    file = tmp_path / ".config" / "envoyctl" / "logins.json"
    file.chmod(0o640)
    refused = envoyctl("proxy", "list", role=None)
    assert refused.exit_code == UNKNOWN
    assert "chmod 600" in refused.stderr
    os.truncate(file, 20)
    file.chmod(0o600)
    assert "delete it" in envoyctl("proxy", "list", role=None).stderr


Answers = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def answering(answer: Answers) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A server that says what it likes, and what it was told."""
    heard: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(dict(self.headers.items()))
            answer(self)

        do_POST = do_PUT = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        running = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        running.start()
        yield f"http://127.0.0.1:{server.server_port}", heard
        server.shutdown()
        running.join()


def says(status: int, body: bytes, **headers: str) -> Answers:
    def answer(to: BaseHTTPRequestHandler) -> None:
        to.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            to.send_header(name, value)
        to.end_headers()
        to.wfile.write(body)

    return answer


def test_redirects_take_no_token_elsewhere(envoyctl: Envoyctl) -> None:
    """Wherever a server sends us, nobody there hears of us, and where that was is said; by WebSocket too."""
    with answering(says(200, b"{}")) as (elsewhere, heard):
        for status in (301, 302, 307, 308):
            with answering(says(status, b"", Location=f"{elsewhere}/api/v1/proxies")) as (url, asked):
                done = envoyctl("proxy", "list", "--server", url)
                assert done.exit_code == REFUSED
                assert elsewhere in done.stderr
                assert asked[0]["Authorization"].startswith("Bearer ")
                assert envoyctl("events", "--server", url).exit_code != 0
        assert heard == []


def test_another_server_is_not_shown_this_ones_token(envoyctl: Envoyctl, served: Served) -> None:
    """A login is for its server alone."""
    login(envoyctl, served)
    with answering(says(200, b'{"data": []}')) as (url, heard):
        assert envoyctl("proxy", "list", "--server", url, role=None).exit_code == UNKNOWN
        assert heard == []


def test_hostile_answers(envoyctl: Envoyctl) -> None:
    """What would drive a terminal is written out, in tables, YAML, JSON and errors; what is no answer of this API is told."""
    name = "\x1b]0;owned\x07\x9b2J‮evil"
    row = {"proxy_id": name, "status": name, "version": name, "id": name, "deep": [{name: name}]}
    listed = json.dumps({"data": [row], "cursor": {"next": "again", "has_more": True}}).encode()
    bad = ("\x1b", "\x07", "\x9b", "‮", "\x7f")
    with answering(says(200, listed)) as (url, _):
        for output in ("table", "json", "yaml"):
            done = envoyctl("proxy", "list", "--server", url, "-o", output)
            assert done.exit_code == 0, done.output
            assert "owned" in done.stdout
            assert not [char for char in bad if char in done.output]
    error = {"error": {"code": name, "message": name, "details": {"field": name, "reason": name}, "request_id": name}}
    with answering(says(422, json.dumps(error).encode())) as (url, _):
        for output in ("table", "json", "yaml"):
            done = envoyctl("proxy", "list", "--server", url, "-o", output)
            assert not [char for char in bad if char in done.output]
    for status, body in ((200, b"<html>"), (200, b"[" * 100_000), (502, b"bad gateway"), (404, b'{"error": 5}')):
        with answering(says(status, body)) as (url, _):
            done = envoyctl("proxy", "list", "--server", url)
            assert done.exit_code == (AWAY if status == 502 else REFUSED)
            assert "see whether the URL is right" in done.stderr


@pytest.mark.parametrize(
    "url", ["convoy.example", "ftp://a", "http://u:secret@127.0.0.1", "https://a/?b", "http://10.0.0.1", "http://["]
)
def test_what_is_no_server(url: str, envoyctl: Envoyctl) -> None:
    """Said before anything is sent, and a password in it is not said again."""
    done = envoyctl("proxy", "list", "--server", url)
    assert done.exit_code == USAGE
    assert "secret" not in done.output


def test_nobody_there(envoyctl: Envoyctl) -> None:
    """A code of its own, so that a script can try again."""
    with answering(says(200, b"")) as (url, _):
        pass
    assert envoyctl("proxy", "list", "--server", url).exit_code == AWAY


def test_who_has_a_signing_secret_signs(envoyctl: Envoyctl, served: Served, tmp_path: Path) -> None:
    """Kept with the login, for as long as that is: by another login of the same account, too; and for a program, from its
    environment. It is shown by nothing."""
    email = login(envoyctl, served)
    signatures = served.dialect.store.signatures
    secret = signatures.give(email)
    bulk = ("bulk", "update-proxies", "--proxy-ids", "proxy-west-001", "--set", "cluster_id=null")
    refused = envoyctl(*bulk, role=None)
    assert refused.exit_code == UNKNOWN
    assert "envoyctl auth signing" in refused.stderr
    assert "auth login" not in refused.stderr

    assert envoyctl("auth", "signing", role=None, input="\n").exit_code == USAGE
    assert envoyctl("auth", "signing", role=None, input="two words\n").exit_code == UNKNOWN
    given = envoyctl("auth", "signing", role=None, input=f"{secret}\n")
    assert given.stdout == f"{email} signs for {served.url}\n"
    outputs = [given, *(envoyctl(*bulk, role=None) for _ in range(2)), envoyctl("auth", "status", role=None)]
    assert [one.exit_code for one in outputs] == [0] * 4, outputs[1].output
    assert not [one for one in outputs if secret in one.output]
    # It goes on when the token is refreshed, and with another login.
    spoilt = kept(tmp_path)
    spoilt["logins"][served.url]["expires"] = 0.0
    Kept(tmp_path / ".config" / "envoyctl").file.write_text(json.dumps(spoilt))
    assert envoyctl(*bulk, role=None).exit_code == 0
    assert envoyctl("auth", "login", "--email", email, role=None, ENVOYCTL_PASSWORD=PASSWORD).exit_code == 0
    assert envoyctl(*bulk, role=None).exit_code == 0
    # Nobody else's: another account, another secret.
    login(envoyctl, served)
    assert kept(tmp_path)["logins"][served.url]["signing"] == ""

    account = served.dialect.store.accounts.of(email)
    assert account is not None
    key = people.key(served.dialect.store, account)
    assert envoyctl(*bulk, ENVOYCTL_TOKEN=key).exit_code == UNKNOWN
    assert envoyctl(*bulk, ENVOYCTL_TOKEN=key, ENVOYCTL_SIGNING_SECRET=secret).exit_code == 0
    signatures.give(email)
    wrong = envoyctl(*bulk, ENVOYCTL_TOKEN=key, ENVOYCTL_SIGNING_SECRET=secret)
    assert (wrong.exit_code, secret in wrong.output) == (UNKNOWN, False)
    assert "envoyctl auth signing" in wrong.stderr


def test_what_the_network_lost_is_signed_anew() -> None:
    """Each time that it is sent: a signature is good once, and the key keeps it from being done twice."""
    tries = iter(range(2))

    def answer(asked: BaseHTTPRequestHandler) -> None:
        asked.rfile.read(int(asked.headers["Content-Length"]))
        if next(tries) == 0:
            asked.close_connection = True
            return
        asked.send_response(200)
        asked.send_header("Content-Length", "2")
        asked.end_headers()
        asked.wfile.write(b"{}")

    with answering(answer) as (url, heard):
        request = Request("POST", "/bulk/delete", body={}, key="k")
        assert wire.ask(Server(url), request, "t", Seams(), signing="cvy_signing_1").status == 200
    first, second = heard
    assert first["Idempotency-Key"] == second["Idempotency-Key"]
    for one in heard:
        words = f"POST\n/api/v1/bulk/delete\n{one['X-Request-Timestamp']}\n{hashlib.sha256(b'{}').hexdigest()}"
        right = hmac.new(b"cvy_signing_1", words.encode(), hashlib.sha256).hexdigest()
        assert one["X-Request-Signature"] == f"sha256={right}"
    assert first["X-Request-Signature"] != second["X-Request-Signature"]
