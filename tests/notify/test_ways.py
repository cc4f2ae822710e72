"""Real receivers: what arrives is signed and whole; what must not be told is not, and nothing waits for ever."""

import contextlib
import email
import http.server
import ipaddress
import json
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from reconciler.core.kinds.notification import To
from reconciler.core.kinds.sealed import Sealed
from reconciler.core.notices import signature
from reconciler.notify import NotTold, outbound, tell
from reconciler.notify.outbound import forbidden
from reconciler.seams import Seams
from reconciler.secrets import SecretError
from reconciler.tls import self_signed

SECRET = b"a-very-secret-word"
SEALED = {"age": "-----BEGIN AGE ENCRYPTED FILE-----\nx\n-----END AGE ENCRYPTED FILE-----", "hash": "0" * 64}
MESSAGE = {
    "id": "m1",
    "notification": "Notification/a",
    "installation": "us",
    "at": 1.0,
    "events": [{"kind": "status.failed", "ref": "Container/a", "message": "no\nluck", "at": 1.0, "number": 1}],
    "more": 0,
}


def opened(plaintext: bytes) -> Any:
    return lambda sealed, purpose, to: plaintext


def to(way: str, spec: dict[str, Any]) -> Any:
    return To.model_validate({way: spec}).way


class Receiver(http.server.BaseHTTPRequestHandler):
    """Keeps what it is told, and answers as it was told to."""

    got: ClassVar[list[tuple[str, dict[str, str], bytes]]] = []
    # Who is slow goes on for as long as this is not set.
    enough: ClassVar[threading.Event]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.got.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        if self.path == "/slow":
            with contextlib.suppress(OSError):
                while not self.enough.wait(0.1):
                    self.wfile.write(b"H")
            return
        self.send_response({"/500": 500, "/moved": 307}.get(self.path, 204))
        if self.path == "/moved":
            self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *about: Any) -> None:
        """Quiet."""


@pytest.fixture
def receiver() -> Iterator[str]:
    Receiver.got.clear()
    enough = Receiver.enough = threading.Event()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    # Whoever is still heard is not heard by the next test: closing waits for them.
    server.daemon_threads = False
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    enough.set()
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_webhook_is_signed_over_what_arrives(receiver: str) -> None:
    """Whoever has the secret can tell that it is ours, and when it was sent."""
    way = to("webhook", {"url": f"{receiver}/hook?a=b", "secret": SEALED, "allowPrivate": True})
    begun = int(time.time())
    tell(way, MESSAGE, opened(SECRET), Seams())
    ((path, headers, body),) = Receiver.got
    assert path == "/hook?a=b"
    at = int(headers["webhook-timestamp"])
    assert begun <= at <= time.time()
    assert headers["webhook-signature"] == signature(SECRET, headers["webhook-id"], at, body)
    said = json.loads(body)
    assert (said["id"], said["events"]) == ("m1", MESSAGE["events"])
    assert said["title"] == "convoy: status.failed Container/a"
    assert SECRET not in body


def test_what_is_no_success_is_none(receiver: str) -> None:
    """Errors, and redirects, which are not followed; the message says what to do and not where it went."""
    for path, words in (("/500", "answers with 500"), ("/moved", "redirects are not followed")):
        with pytest.raises(NotTold, match=words) as told:
            tell(to("slack", {"url": SEALED, "allowPrivate": True}), MESSAGE, opened(f"{receiver}{path}".encode()), Seams())
        assert path not in str(told.value)
    assert [path for path, _, _ in Receiver.got] == ["/500", "/moved"]


def test_private_addresses_only_where_they_are_allowed(receiver: str) -> None:
    """Neither by number nor by name, and plain HTTP no further than such a network."""
    port = receiver.rpartition(":")[2]
    for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433"):
        with pytest.raises(NotTold, match=r"not a public address|cannot be told"):
            tell(to("webhook", {"url": f"https://{host}:{port}/"}), MESSAGE, opened(b""), Seams())
    with pytest.raises(NotTold, match="without TLS"):
        tell(to("webhook", {"url": "http://example.com/"}), MESSAGE, opened(b""), Seams())
    for nonsense in (b"file:///etc/passwd", b"https://user@host/", b"https://[", b"gopher://x", b"\xff", b"https://h:99999/"):
        with pytest.raises(NotTold):
            tell(to("slack", {"url": SEALED, "allowPrivate": True}), MESSAGE, opened(nonsense), Seams())
    assert Receiver.got == []


@pytest.mark.parametrize(
    ("address", "by_default", "allowed"),
    [
        ("8.8.8.8", False, False),
        ("2606:4700::1111", False, False),
        ("127.0.0.1", True, False),
        ("10.1.2.3", True, False),
        ("192.168.1.1", True, False),
        ("100.64.0.1", True, False),
        ("::1", True, False),
        ("fd12::1", True, False),
        ("169.254.169.254", True, True),
        ("::ffff:169.254.169.254", True, True),
        ("64:ff9b::a9fe:a9fe", True, True),
        ("2002:a9fe:a9fe::1", True, True),
        ("fe80::1", True, True),
        ("fd00:ec2::254", True, True),
        ("100.100.100.200", True, True),
        ("0.0.0.0", True, True),
        ("::", True, True),
        ("224.0.0.1", True, True),
        ("::ffff:10.0.0.1", True, False),
        ("::169.254.169.254", True, True),
        ("::127.0.0.1", True, False),
        ("::ffff:0:a9fe:a9fe", True, True),
        ("64:ff9b:1::a9fe:a9fe", True, True),
        ("64:ff9b::808:808", False, False),
        ("64:ff9b:1::808:808", True, False),
        ("fec0::1", True, False),
        ("192.0.0.8", True, False),
        ("192.0.0.192", True, True),
        ("fd20:ce::254", True, True),
        ("fd00:42::42", True, True),
    ],
)
def test_where_nobody_is_told(address: str, by_default: bool, allowed: bool) -> None:
    """Clouds tell their secrets on link-local addresses: never, however they are spelled."""
    assert forbidden(ipaddress.ip_address(address), False) is by_default
    assert forbidden(ipaddress.ip_address(address), True) is allowed


def test_it_is_the_address_that_was_looked_at(receiver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that says another address the second time is not asked a second time."""
    port = int(receiver.rpartition(":")[2])
    asked: list[Any] = []
    real = socket.getaddrinfo

    def once(host: str, *about: Any, **more: Any) -> Any:
        asked.append(host)
        return real("127.0.0.1", *about, **more)

    monkeypatch.setattr(socket, "getaddrinfo", once)
    outbound.post(f"http://rebound.example:{port}/", {}, b"{}", True)
    assert asked == ["rebound.example"]
    assert Receiver.got[0][1]["host"] == f"rebound.example:{port}"


def test_a_receiver_that_drips_is_cut(receiver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much it has to say, and however slowly."""
    monkeypatch.setattr(outbound, "PATIENCE_S", 1.0)
    with pytest.raises(NotTold):
        outbound.post(f"{receiver}/slow", {}, b"{}", True)
    assert not Receiver.enough.is_set()


class Mailbox(socketserver.StreamRequestHandler):
    """A mail server as far as RFC 5321 and a client need it."""

    got: ClassVar[list[str]] = []
    context: ClassVar[ssl.SSLContext]
    login: ClassVar[list[str]] = []

    def handle(self) -> None:
        secure = False
        self.say("220 mailbox")
        while line := self.rfile.readline().decode().strip():
            word = line.split()[0].upper()
            if word == "EHLO":
                self.say("250-mailbox\r\n250 " + ("AUTH PLAIN" if secure else "STARTTLS"))
            elif word == "STARTTLS":
                self.say("220 go on")
                try:
                    self.connection = self.context.wrap_socket(self.connection, server_side=True)
                except (ssl.SSLError, OSError):
                    # Who does not trust us goes, and says so where it is asked about.
                    return
                self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
                secure = True
            elif word == "AUTH":
                self.login.append(line)
                self.say("235 come in" if secure else "530 not so")
            elif word == "DATA":
                self.say("354 yes")
                text = b""
                while not text.endswith(b"\r\n.\r\n"):
                    text += self.rfile.readline()
                self.got.append(text.decode())
                self.say("250 taken")
            elif word == "QUIT":
                self.say("221 bye")
                return
            else:
                self.say("250 yes")

    def finish(self) -> None:
        super().finish()
        self.connection.close()

    def say(self, words: str) -> None:
        self.wfile.write(f"{words}\r\n".encode())


@pytest.fixture
def mailbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    pair = self_signed(("localhost",), 90, 1, time.time())
    (tmp_path / "chain.pem").write_bytes(pair.chain_pem)
    (tmp_path / "key.pem").write_bytes(pair.key_pem)
    Mailbox.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    Mailbox.context.load_cert_chain(tmp_path / "chain.pem", tmp_path / "key.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "chain.pem"))
    Mailbox.got.clear()
    Mailbox.login.clear()
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mailbox)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


def mail(port: int, **more: Any) -> Any:
    spec = {"host": "localhost", "port": port, "from": "convoy@example.com", "to": ["a@example.com", "b@example.com"]}
    return to("email", {**spec, "allowPrivate": True, **more})


def test_a_mail_goes_by_tls_alone(mailbox: int) -> None:
    """With the password under TLS, every header as it is meant, and every line of the message in it."""
    tell(mail(mailbox, user="convoy", password=SEALED), MESSAGE, opened(SECRET), Seams())
    (text,) = Mailbox.got
    found = email.message_from_string(text)
    assert found["Subject"] == "convoy: status.failed Container/a"
    assert found["To"] == "a@example.com, b@example.com"
    assert found["Message-ID"] == "<m1@convoy>"
    assert "no luck" in text
    assert len(Mailbox.login) == 1


def test_what_is_sent_openly_goes_where_it_was_sealed_for(receiver: str, mailbox: int) -> None:
    """A mail's password and a forge's token are asked for with the address they will go to: nobody leads them to another."""
    asked: list[tuple[str, str]] = []

    def elsewhere(sealed: Sealed, purpose: str, to: str) -> bytes:
        asked.append((purpose, to))
        raise SecretError("sealed for another")

    forge = {"forge": "gitea", "api": f"{receiver}/api/v1", "repository": "us/fleet", "token": SEALED, "allowPrivate": True}
    for way in (mail(mailbox, user="convoy", password=SEALED), to("commitStatus", forge)):
        with pytest.raises(SecretError, match="another"):
            tell(way, MESSAGE, elsewhere, Seams())
    assert asked == [("tell: password", f"smtp://localhost:{mailbox}"), ("tell: token", receiver)]
    with pytest.raises(NotTold):
        tell(mail(25, host="a:b:c", user="convoy", password=SEALED), MESSAGE, elsewhere, Seams())
    assert (Mailbox.login, Mailbox.got, Receiver.got) == ([], [], [])


def test_a_mail_server_that_cannot_be_trusted(mailbox: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its certificate is checked, and the password stays here."""
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(NotTold, match="certificate is not trusted"):
        tell(mail(mailbox, user="convoy", password=SEALED), MESSAGE, opened(SECRET), Seams())
    assert (Mailbox.login, Mailbox.got) == ([], [])


def test_a_mail_server_that_is_not_there() -> None:
    """Said in words, with whom."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(NotTold, match="the mail server localhost cannot be told"):
            tell(mail(bound.getsockname()[1], tls="none"), MESSAGE, opened(b""), Seams())
    with pytest.raises(NotTold, match="not a public address"):
        tell(mail(25, allowPrivate=False), MESSAGE, opened(b""), Seams())


def test_a_commit_status_goes_to_its_forge(receiver: str) -> None:
    """By the API that the forge documents, with the token in the header that it wants; other events say nothing there."""
    spec = {"forge": "gitea", "api": f"{receiver}/api/v1", "repository": "us/fleet", "token": SEALED, "allowPrivate": True}
    commit = {"kind": "revision.refused", "ref": "a" * 40, "message": "e.yaml:3: bad", "at": 1.0, "number": 2}
    tell(to("commitStatus", spec), {**MESSAGE, "events": [commit, commit | {"kind": "status.failed"}]}, opened(SECRET), Seams())
    ((path, headers, body),) = Receiver.got
    assert path == f"/api/v1/repos/us/fleet/statuses/{'a' * 40}"
    assert SECRET.decode() in headers["authorization"]
    assert json.loads(body)["state"] == "failure"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_forge_is_the_address_that_was_looked_at(receiver: str, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name is resolved once for each connection, a private address takes `allowPrivate`, and no proxy comes in between."""
    port = int(receiver.rpartition(":")[2])
    asked: list[Any] = []
    real = socket.getaddrinfo

    def rebound(host: str, *about: Any, **more: Any) -> Any:
        asked.append(host)
        return real("127.0.0.1", *about, **more)

    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    monkeypatch.setenv(f"{scheme}_proxy", "http://127.0.0.1:9")
    spec = {"forge": "gitea", "api": f"{scheme}://rebound.example:{port}/api/v1", "repository": "us/fleet", "token": SEALED}
    events = [{"kind": "revision.refused", "ref": "a" * 40, "message": "bad", "at": 1.0, "number": 2}]
    way = to("commitStatus", spec | {"allowPrivate": False})
    if scheme == "https":
        with pytest.raises(NotTold, match=r"rebound\.example is not a public address"):
            tell(way, {**MESSAGE, "events": events}, opened(SECRET), Seams())
        assert not Receiver.got
    else:
        tell(to("commitStatus", spec | {"allowPrivate": True}), {**MESSAGE, "events": events}, opened(SECRET), Seams())
        assert [headers["host"] for _, headers, _ in Receiver.got] == [f"rebound.example:{port}"]
    assert asked == ["rebound.example"]


def test_rules_between_fields() -> None:
    """One way, no password in the open, no header in an address."""
    sealed = Sealed.model_validate(SEALED)
    for way, spec in (
        ("email", {"host": "h", "from": "a@b\r\nBcc: c@d", "to": ["a@b"]}),
        ("email", {"host": "h", "from": "a@b", "to": ["a@b, c@d"]}),
        ("email", {"host": "h", "from": "a@b", "to": ["a@b"], "tls": "none"}),
        ("email", {"host": "h", "from": "a@b", "to": ["a@b"], "user": "me"}),
        ("webhook", {"url": "https://user:pass@host/"}),
        ("webhook", {"url": "https://host/\r\nX: y"}),
        ("slack", {"url": "https://hooks.slack.com/services/T/B/x"}),
    ):
        with pytest.raises(ValueError, match="validation error"):
            to(way, spec)
    with pytest.raises(ValueError, match="more than one way"):
        To.model_validate({"slack": {"url": sealed}, "webhook": {"url": "https://host/"}})
