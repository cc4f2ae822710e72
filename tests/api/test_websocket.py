"""One WebSocket: what is said arrives, who says too much or nothing is sent away, and it ends with a word."""

import os
import socket
import struct
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from api import websocket
from api.websocket import LARGEST_MESSAGE, MOST_FRAMES, MOST_WAITING, NotUpgraded, Stream, upgrade
from tests.drivers.world import soon


class Said:
    """A talk of a test: it echoes, and tells what is put into `news`."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.news: list[bytes] = []
        self.ended = ""
        self.told = 0

    def hear(self, text: str) -> Iterable[bytes]:
        self.heard.append(text)
        yield f"heard {len(text)}".encode()

    def tell(self) -> Iterable[bytes]:
        piece, self.news = self.news[:10], self.news[10:]
        self.told += len(piece)
        return piece

    def over(self) -> str:
        return self.ended


class Client:
    """The other end, without a library's own patience; `raw` sends what no client should."""

    def __init__(self, peer: socket.socket) -> None:
        self.peer, self.speaking = peer, ClientProtocol(parse_uri("ws://x/"), state=State.OPEN, max_size=None)
        self.frames: list[Frame] = []
        peer.settimeout(60)

    def say(self, text: str) -> None:
        self.speaking.send_text(text.encode())
        self.flush()

    def flush(self) -> None:
        for piece in self.speaking.data_to_send():
            if piece:
                self.peer.sendall(piece)

    def raw(self, *pieces: bytes) -> None:
        self.peer.sendall(b"".join(pieces))

    def texts(self, enough: int) -> list[str]:
        while sum(frame.opcode is Opcode.TEXT for frame in self.frames) < enough and self.read():
            pass
        return [bytes(frame.data).decode() for frame in self.frames if frame.opcode is Opcode.TEXT]

    def read(self) -> bool:
        try:
            read = self.peer.recv(65536)
            if read:
                self.speaking.receive_data(read)
                self.frames += [one for one in self.speaking.events_received() if isinstance(one, Frame)]
                self.flush()
        except OSError:
            return False
        return bool(read)

    def ending(self) -> tuple[int, str]:
        """With which code and reason we were sent away."""
        while self.read():
            pass
        self.peer.close()
        said = self.speaking.close_rcvd
        return (said.code, said.reason) if said is not None else (1006, "")


def frame(opcode: int, data: bytes, *, fin: bool = True, masked: bool = True, length: int | None = None) -> bytes:
    """By hand (RFC 6455, 5.2)."""
    size = len(data) if length is None else length
    head = bytes([(0x80 if fin else 0) | opcode])
    mask = 0x80 if masked else 0
    if size < 126:
        head += bytes([mask | size])
    elif size < 65536:
        head += bytes([mask | 126]) + struct.pack("!H", size)
    else:
        head += bytes([mask | 127]) + struct.pack("!Q", size)
    return head + (b"\0\0\0\0" if masked else b"") + data


class Opened:
    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.talk, self.ending = Said(), threading.Event()
        self.stream, self.client = Stream(ours, self.talk, self.ending), Client(theirs)
        self.thread = threading.Thread(target=self._run, args=(ours,))
        self.thread.start()

    def _run(self, ours: socket.socket) -> None:
        with closing(ours):
            self.stream.run()

    def tell(self, *texts: bytes) -> None:
        self.talk.news += texts
        self.stream.wake()

    def over(self, within_s: float = 60.0) -> bool:
        self.thread.join(within_s)
        return not self.thread.is_alive()


@contextmanager
def opening() -> Iterator[Opened]:
    opened = Opened()
    try:
        yield opened
    finally:
        opened.ending.set()
        opened.client.peer.close()
        assert opened.over()


@pytest.fixture
def opened() -> Iterator[Opened]:
    with opening() as found:
        yield found


def test_both_sides_are_heard(opened: Opened) -> None:
    """Answers, news, a ping's pong, and a message in pieces; and a goodbye is answered."""
    opened.client.say("one")
    assert opened.client.texts(1) == ["heard 3"]
    opened.tell(b"news")
    assert opened.client.texts(2)[1:] == ["news"]
    opened.client.raw(frame(1, b"tw", fin=False), frame(9, b"are you there"), frame(0, b"o!"))
    assert opened.client.texts(3)[2:] == ["heard 4"]
    assert opened.talk.heard == ["one", "two!"]
    assert [bytes(one.data) for one in opened.client.frames if one.opcode is Opcode.PONG] == [b"are you there"]
    opened.client.speaking.send_close(1000, "bye")
    opened.client.flush()
    assert opened.client.ending() == (1000, "bye")
    assert opened.over()


HOSTILE: dict[str, tuple[int, tuple[bytes, ...]]] = {
    "not masked": (1002, (frame(1, b"x", masked=False),)),
    "reserved bits": (1002, (bytes([0xF1, 0x80]) + b"\0\0\0\0",)),
    "an unknown opcode": (1002, (frame(3, b"x"),)),
    "a piece of nothing": (1002, (frame(0, b"x"),)),
    "a message in a message": (1002, (frame(1, b"x", fin=False), frame(1, b"y"))),
    "a control frame in pieces": (1002, (frame(9, b"x", fin=False),)),
    "a control frame that is too long": (1002, (frame(9, b"x" * 126),)),
    "a close with a code that is none": (1002, (frame(8, struct.pack("!H", 999)),)),
    "a close of one byte": (1002, (frame(8, b"\1"),)),
    "binary": (1003, (frame(2, b"x"),)),
    "no UTF-8": (1007, (frame(1, b"\xff\xfe"),)),
    "half a character": (1007, (frame(1, b"\xed\xa0\x80"),)),
    "too long": (1009, (frame(1, b"x" * (LARGEST_MESSAGE + 1)),)),
    "said to be endless": (1009, (frame(1, b"", length=1 << 62),)),
    "too long in pieces": (1009, (frame(1, b"x" * LARGEST_MESSAGE, fin=False), frame(0, b"x"))),
    "many messages": (1008, (frame(1, b"x") * (MOST_FRAMES + 1),)),
    "many pings": (1008, (frame(9, b"x" * 125) * (MOST_FRAMES + 1),)),
    "many pieces of nothing": (1008, (frame(1, b"", fin=False), frame(0, b"", fin=False) * MOST_FRAMES)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_no_client_may_say(name: str, opened: Opened) -> None:
    """It is sent away with the code that says what it did, and nothing of it is heard as a message."""
    code, pieces = HOSTILE[name]
    opened.client.raw(*pieces)
    assert opened.client.ending()[0] == code
    assert opened.over()
    assert not opened.talk.heard or name == "many messages"


def test_noise(opened: Opened) -> None:
    """Whatever bytes come, it ends, and soon."""
    opened.client.raw(os.urandom(50_000) or b"")
    opened.client.ending()
    assert opened.over()


def test_half_a_frame_and_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever answers no ping is gone, wherever he stopped; one who does stays."""
    ahead_s, real = [0.0], time.monotonic
    monkeypatch.setattr(websocket, "time", SimpleNamespace(monotonic=lambda: real() + ahead_s[0]))
    # So long that whoever answers does so in time, also where the machine is busy.
    monkeypatch.setattr(websocket, "PONG_S", 240.0)
    with opening() as silent, opening() as well:
        silent.client.raw(frame(1, b"x" * 100)[:20])
        ahead_s[0] += websocket.PING_S
        while not any(one.opcode is Opcode.PING for one in well.client.frames):
            assert well.client.read()
        # Its pong has been heard before what was said after that.
        well.client.say("one")
        assert well.client.texts(1) == ["heard 3"]
        soon(lambda: silent.stream._pong_by < float("inf"))
        ahead_s[0] += websocket.PONG_S
        assert silent.over()
        assert silent.client.ending()[0] in (1011, 1006)
        well.client.say("still")
        assert well.client.texts(2) == ["heard 3", "heard 5"]
        assert well.thread.is_alive()


def test_who_has_answered_while_we_stood_still_stays(monkeypatch: pytest.MonkeyPatch, opened: Opened) -> None:
    """A pong that lies there unread when its time is over has come in time."""
    ahead_s, real, hears, answered = [0.0], time.monotonic, threading.Event(), threading.Event()
    # What a busy machine takes on the way is less.
    monkeypatch.setattr(websocket, "PONG_S", 240.0)
    monkeypatch.setattr(websocket, "time", SimpleNamespace(monotonic=lambda: real() + ahead_s[0]))

    def hear(text: str) -> Iterable[bytes]:
        if text == "b":
            hears.set()
            answered.wait(60)
        ahead_s[0] += {"a": websocket.PING_S, "b": websocket.PONG_S + 1}.get(text, 0.0)
        yield text.encode()

    monkeypatch.setattr(opened.talk, "hear", hear)
    client = opened.client
    client.raw(frame(1, b"a"))
    while not any(one.opcode is Opcode.PING for one in client.frames):
        client.speaking.receive_data(client.peer.recv(65536))
        client.frames += [one for one in client.speaking.events_received() if isinstance(one, Frame)]
    client.raw(frame(1, b"b"))
    assert hears.wait(60)
    client.flush()
    answered.set()
    assert client.texts(2) == ["a", "b"]
    client.raw(frame(1, b"c"))
    assert client.texts(3) == ["a", "b", "c"]


def test_nothing_is_kept_for_one_who_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As much as fits is asked for, and no more, until he takes some; one who never does is cut off."""
    monkeypatch.setattr(websocket, "STUCK_S", 60.0)
    with opening() as opened:
        opened.client.peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        opened.tell(*(f"{n:05} {'x' * 10_000}".encode() for n in range(500)))
        time.sleep(0.5)
        held = opened.talk.told
        assert held * 10_000 < MOST_WAITING + 10 * 10_006 + 2_000_000
        assert held < 500
        assert opened.client.texts(500)[-1].startswith("00499 ")
        assert [text[:5] for text in opened.client.texts(500)] == [f"{n:05}" for n in range(500)]
        monkeypatch.setattr(websocket, "STUCK_S", 1.0)
        opened.tell(*(b"y" * 10_000 for _ in range(500)))
        assert opened.over()


def test_who_may_listen_no_more(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends with the reason, soon after that is so."""
    monkeypatch.setattr(websocket, "CHECK_S", 0.1)
    opened.stream._check_at = 0.0
    opened.tell(b"still")
    assert opened.client.texts(1) == ["still"]
    opened.talk.ended = "the token has expired"
    assert opened.client.ending() == (1008, "the token has expired")


def test_a_process_that_ends(opened: Opened) -> None:
    """1001, and the client's own goodbye is waited for, though not for long."""
    opened.ending.set()
    code, why = opened.client.ending()
    assert (code, "connect again" in why) == (1001, True)
    assert opened.over()


def test_a_client_that_is_gone(opened: Opened) -> None:
    """Without a goodbye, and while there is much to tell."""
    opened.tell(*(b"z" * 10_000 for _ in range(200)))
    opened.client.peer.close()
    assert opened.over()


def asked(**changes: str) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/api/v1/ws",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_CONNECTION": "keep-alive, Upgrade",
        "HTTP_UPGRADE": "websocket",
        "HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25jZQ==",
        "HTTP_SEC_WEBSOCKET_VERSION": "13",
        "gunicorn.socket": socket.socket,
    } | changes


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"HTTP_UPGRADE": ""}, 426),
        ({"HTTP_UPGRADE": "h2c"}, 426),
        ({"HTTP_CONNECTION": "close"}, 426),
        ({"HTTP_SEC_WEBSOCKET_VERSION": "8"}, 400),
        ({"HTTP_SEC_WEBSOCKET_KEY": "short"}, 400),
        ({"HTTP_SEC_WEBSOCKET_KEY": "\udcff"}, 400),
        ({"SERVER_PROTOCOL": "HTTP/1.0"}, 400),
        ({"CONTENT_LENGTH": "3"}, 400),
        ({"HTTP_TRANSFER_ENCODING": "chunked"}, 400),
        ({"REQUEST_METHOD": "POST"}, 405),
        ({}, 501),
    ],
)
def test_what_is_no_upgrade(changes: dict[str, str], status: int) -> None:
    """It is refused before anything of HTTP is given up; a server that cannot says so."""
    with pytest.raises(NotUpgraded) as raised:
        upgrade(asked(**changes))
    assert raised.value.status == status


def test_the_key_is_answered() -> None:
    """By the example of RFC 6455, 1.3."""
    with closing(socket.socket()) as ours:
        headers = upgrade(asked() | {"gunicorn.socket": ours})
    assert headers["Sec-WebSocket-Accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
