"""Whoever answers a byte now and then is hung up on: in the middle of a head, too, and by whoever asks."""

import contextlib
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from reconciler import remote
from reconciler.core.kinds.notification import To
from reconciler.forge import ForgeError, Wire
from reconciler.notify import NotTold, outbound, tell, ways
from reconciler.remote import Remote, RemoteError
from reconciler.seams import Seams

HEAD = b"HTTP/1.1 200 OK\r\nX-A: "
MESSAGE: dict[str, Any] = {
    "id": "m1",
    "notification": "Notification/a",
    "installation": "us",
    "at": 1.0,
    "events": [{"kind": "status.failed", "ref": "Container/a", "message": "no luck", "at": 1.0, "number": 1}],
    "more": 0,
}
# No head ends by itself before these are over, and they have not begun to be spent when it is asked.
PATIENCE_S, FAR_TOO_LONG_S = 2.0, 100.0


@pytest.fixture
def dripping() -> Iterator[str]:
    """The URL of a server whose answers have no end of headers."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    peer, _ = server.accept()
                    with peer, contextlib.suppress(OSError):
                        peer.sendall(HEAD)
                        while not over.wait(0.05):
                            peer.sendall(b"b")

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            over.set()
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_a_forge_that_drips(dripping: str) -> None:
    """Its headers are not waited for for ever, and what came of them is no answer."""
    begun = time.monotonic()
    with pytest.raises(ForgeError, match="timed out"):
        Wire(dripping, "token", {}, Seams(), patience_s=PATIENCE_S).send("GET", "/x")
    assert time.monotonic() - begun < FAR_TOO_LONG_S


def test_a_convoy_that_drips(dripping: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither are those of whoever is behind `--against`."""
    monkeypatch.setattr(remote, "ANSWERING_S", PATIENCE_S)
    begun = time.monotonic()
    with pytest.raises(RemoteError, match="has not answered within"):
        remote.post(Remote(dripping, "cvy_x"), "/plan", b"{}", Seams())
    assert time.monotonic() - begun < FAR_TOO_LONG_S


def test_who_is_connected_when_the_time_is_over(dripping: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is cut off all the same."""
    connect = outbound.connect

    def late(host: str, port: int, *_: object) -> socket.socket:
        time.sleep(0.5)
        return connect(host, port, True, PATIENCE_S)

    with pytest.raises(ForgeError, match=r"timed out|too slow"):
        Wire(dripping, "token", {}, Seams(), patience_s=0.1, dial=late).send("GET", "/x")
    monkeypatch.setattr(outbound, "PATIENCE_S", 0.1)
    monkeypatch.setattr(outbound, "connect", late)
    with pytest.raises(NotTold):
        outbound.post(dripping, {}, b"{}", True)


class Post(socketserver.StreamRequestHandler):
    """Takes mail, and drips once it has been told this."""

    drips_at: ClassVar[bytes]
    taken: ClassVar[list[bytes]]
    over: ClassVar[threading.Event]

    def handle(self) -> None:
        said, mail = b"", False
        with contextlib.suppress(OSError):
            while not said.startswith(self.drips_at):
                if mail and said == b".\r\n":
                    mail = False
                    self.taken.append(b"mail")
                if not mail:
                    self.wfile.write({b"": b"220 here\r\n", b"DATA\r\n": b"354 go on\r\n"}.get(said, b"250 fine\r\n"))
                    mail = said == b"DATA\r\n"
                said = self.rfile.readline().upper()
                if not said:
                    return
            while not self.over.wait(0.05):
                self.wfile.write(b"2")


@pytest.mark.parametrize(("drips_at", "taken"), [(b"", 0), (b"EHLO", 0), (b"DATA", 0), (b"QUIT", 1)])
def test_a_mail_server_that_drips(drips_at: bytes, taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """From its first words to its last; what it has taken is told, and is not told again."""
    monkeypatch.setattr(ways, "PATIENCE_S", PATIENCE_S / 2)
    Post.drips_at, Post.taken, Post.over = drips_at, [], threading.Event()
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Post) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        begun = time.monotonic()
        try:
            mail = {"host": "127.0.0.1", "port": server.server_address[1], "from": "a@b.example", "to": ["c@d.example"]}
            way = To.model_validate({"email": mail | {"tls": "none", "allowPrivate": True}}).way
            with contextlib.nullcontext() if taken else pytest.raises(NotTold, match="does not answer in time"):
                tell(way, MESSAGE, lambda sealed, purpose, to: b"", Seams())
            assert time.monotonic() - begun < FAR_TOO_LONG_S
        finally:
            Post.over.set()
            server.shutdown()
            serving.join()
    assert len(Post.taken) == taken


@pytest.mark.parametrize(
    "url",
    ["ftp://u:hunter2@h", "https://u:h\u00fcnter2@h", "https://u:hunter2@h:99999", "//u:hunter2@h", "https://u:hunter2@[h"],
)
def test_a_password_in_a_url_is_not_repeated(url: str) -> None:
    """Whatever is wrong with it."""
    with pytest.raises(RemoteError) as raised:
        remote.post(Remote(url, "cvy_x"), "/plan", b"{}", Seams())
    assert "nter2" not in str(raised.value)
