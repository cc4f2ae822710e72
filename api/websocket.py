"""One WebSocket (RFC 6455), in the thread of the request that opened it: what is said, how long is waited, and how it ends.

Nothing piles up: there is always less than a piece that the client has not taken, and only then more is asked for.
"""

import contextlib
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from flask import Response
from websockets.datastructures import Headers
from websockets.exceptions import InvalidState
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

# What a client may say at once, and how often within how long: it subscribes, and then listens.
LARGEST_MESSAGE = 16 * 1024
MOST_FRAMES, FRAMES_IN_S = 60, 10.0
# More is not asked for while so much is not taken.
MOST_WAITING = 64 * 1024
READ = 4096
# How often we ask whether the other side is there, and how long an answer may take; how long it may take nothing that we say.
PING_S, PONG_S, STUCK_S = 25.0, 20.0, 30.0
# How often whoever listens is asked for anew, and how long the other side may take to say goodbye.
CHECK_S, GOODBYE_S = 5.0, 2.0


# What of a request is looked at. No extension is offered: what is packed is not bounded by what it takes on the wire.
HEADERS = ("Connection", "Upgrade", "Sec-WebSocket-Key", "Sec-WebSocket-Version")
# What is called in a request's environ so that it may last (api/worker.py).
UNTIMED = "convoy.untimed"


class Talk(Protocol):
    """What is said on one WebSocket. Each method is called in its one thread."""

    def hear(self, text: str) -> Iterable[bytes]:
        """The answers to what the client says."""

    def tell(self) -> Iterable[bytes]:
        """What there is to say now, a piece of it at most; nothing where there is nothing."""

    def over(self) -> str:
        """Why this client may not listen any more; "" while it may."""


class NotUpgraded(Exception):
    """This request is no WebSocket's: with which status it is answered, why, and which headers belong to that."""

    def __init__(self, status: int, what: str, headers: Mapping[str, str]) -> None:
        super().__init__(what)
        self.status, self.headers = status, headers


def upgrade(environ: Mapping[str, Any]) -> dict[str, str]:
    """The headers with which a 101 answers this request; raises NotUpgraded."""
    said = {name: str(environ.get(f"HTTP_{name.upper().replace('-', '_')}", "")) for name in HEADERS}
    if not all(value.isascii() and value.isprintable() for value in said.values()):
        raise NotUpgraded(400, "the headers of this request are none of a WebSocket's", {})
    headers = Headers({name: value for name, value in said.items() if value})
    if environ.get("CONTENT_LENGTH", "0") not in ("", "0") or "HTTP_TRANSFER_ENCODING" in environ:
        raise NotUpgraded(400, "a WebSocket begins with a request without a body", {})
    asked = Request(environ.get("PATH_INFO", ""), headers, environ["REQUEST_METHOD"], environ.get("SERVER_PROTOCOL", ""))
    answer = ServerProtocol().accept(asked)
    if answer.status_code != 101:
        status = 400 if answer.status_code == 505 else answer.status_code
        hint = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"} if status == 426 else {}
        raise NotUpgraded(status, "this is a WebSocket (RFC 6455, version 13), and the request is none", hint)
    if not isinstance(environ.get("gunicorn.socket"), socket.socket):
        raise NotUpgraded(501, "this server has no WebSockets", {})
    return {"Upgrade": "websocket", "Connection": "upgrade", "Sec-WebSocket-Accept": answer.headers["Sec-WebSocket-Accept"]}


class Stream:
    """What follows on the socket once the client has its 101."""

    def __init__(self, peer: socket.socket, talk: Talk, ending: threading.Event) -> None:
        """`ending`: this process is about to end."""
        self._peer, self._talk, self._ending = peer, talk, ending
        self._speaking = ServerProtocol(state=State.OPEN, max_size=LARGEST_MESSAGE)
        self._out = bytearray()
        self._parts = bytearray()
        self._bell, self._rung = socket.socketpair()
        self._bell.setblocking(False)
        self._rung.setblocking(False)
        self._news, self._shut = True, False
        now = time.monotonic()
        self._frames, self._frames_since = 0, now
        self._ping_at, self._pong_by, self._took = now + PING_S, float("inf"), now
        self._check_at, self._gone_by = now + CHECK_S, float("inf")

    def wake(self) -> None:
        """There may be something to tell. From any thread."""
        # One that is full has been rung.
        with contextlib.suppress(OSError):
            self._bell.send(b"!")

    def run(self) -> None:
        """Until it is over, however that comes about."""
        try:
            with contextlib.suppress(OSError, InvalidState), selectors.DefaultSelector() as selector:
                self._peer.setblocking(False)
                selector.register(self._rung, selectors.EVENT_READ)
                selector.register(self._peer, selectors.EVENT_READ)
                while self._turn(selector):
                    pass
        finally:
            self._bell.close()
            self._rung.close()
            # Whoever gave us the socket takes it for one that may be asked again.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._peer, socket.SHUT_RDWR)

    def _turn(self, selector: selectors.BaseSelector) -> bool:
        now = time.monotonic()
        if now >= self._pong_by and not self._read():
            # Where it is we who stood still, the answer may have come long ago.
            return False
        self._due(now)
        if self._news and self._speaking.state is State.OPEN and len(self._out) < MOST_WAITING:
            self._news = self._say(self._talk.tell())
        self._write(now)
        if self._speaking.eof_sent and not self._out and not self._shut:
            # Both have said goodbye. What it goes on saying is read, since closing on that would take our word away from it.
            self._shut, self._gone_by = True, min(self._gone_by, now + GOODBYE_S)
            socket.socket.shutdown(self._peer, socket.SHUT_WR)
        if now >= self._gone_by or (self._out and now - self._took > STUCK_S):
            return False
        selector.modify(self._peer, selectors.EVENT_READ | (selectors.EVENT_WRITE if self._out else 0))
        more = self._news and len(self._out) < MOST_WAITING and self._speaking.state is State.OPEN
        pending = isinstance(self._peer, ssl.SSLSocket) and self._peer.pending() > 0
        for key, ready in selector.select(0.0 if more or pending else self._wait_s(now)):
            if key.fileobj is self._rung:
                self._news = True
                with contextlib.suppress(BlockingIOError):
                    self._rung.recv(READ)
            elif ready & selectors.EVENT_READ and not self._read():
                return False
        return not pending or self._read()

    def _wait_s(self, now: float) -> float:
        # `ending` rings no bell.
        due = min(self._ping_at, self._pong_by, self._check_at, self._gone_by, now + 0.5)
        return max(0.0, due - now)

    def _due(self, now: float) -> None:
        """What time brings."""
        if self._speaking.state is not State.OPEN:
            return
        if self._ending.is_set():
            self._close(CloseCode.GOING_AWAY, "Convoy's web process ends: connect again, and go on after the last event")
        elif now >= self._pong_by:
            self._close(CloseCode.INTERNAL_ERROR, f"no pong within {PONG_S:g} s")
        elif now >= self._check_at:
            self._check_at = now + CHECK_S
            self._news = True
            why = self._talk.over()
            if why:
                self._close(CloseCode.POLICY_VIOLATION, why)
        if now >= self._ping_at and self._speaking.state is State.OPEN:
            self._ping_at = now + PING_S
            self._pong_by = min(self._pong_by, now + PONG_S)
            self._speaking.send_ping(b"")

    def _close(self, code: int, why: str) -> None:
        # A reason has at most 123 bytes: what is left of a control frame.
        self._speaking.send_close(code, why.encode()[:123].decode("utf-8", "ignore"))
        self._gone_by = time.monotonic() + GOODBYE_S

    def _say(self, texts: Iterable[bytes]) -> bool:
        said = False
        for text in texts:
            self._speaking.send_text(text)
            said = True
        return said

    def _write(self, now: float) -> None:
        for piece in self._speaking.data_to_send():
            self._out += piece
        if not self._out:
            self._took = now
        while self._out:
            try:
                sent = self._peer.send(self._out[:MOST_WAITING])
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                return
            del self._out[:sent]
            self._took = now

    def _read(self) -> bool:
        """Whether it goes on."""
        try:
            read = self._peer.recv(READ)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return True
        if not read:
            return False
        was_open = self._speaking.state is State.OPEN
        self._speaking.receive_data(read)
        for frame in self._speaking.events_received():
            if was_open and isinstance(frame, Frame):
                self._hear(frame)
        if self._speaking.state is not State.OPEN:
            # It said goodbye, or what it said was against the protocol: the answer to either is on its way.
            self._gone_by = min(self._gone_by, time.monotonic() + GOODBYE_S)
        return True

    def _hear(self, frame: Frame) -> None:
        if self._speaking.state is not State.OPEN:
            return
        now = time.monotonic()
        if now - self._frames_since > FRAMES_IN_S:
            self._frames, self._frames_since = 0, now
        self._frames += 1
        if self._frames > MOST_FRAMES:
            self._close(CloseCode.POLICY_VIOLATION, f"more than {MOST_FRAMES} frames within {FRAMES_IN_S:g} s")
        elif frame.opcode is Opcode.BINARY:
            self._close(CloseCode.UNSUPPORTED_DATA, "messages are text")
        elif frame.opcode in (Opcode.TEXT, Opcode.CONT):
            self._parts += frame.data
            if frame.fin:
                self._heard(bytes(self._parts))
                self._parts.clear()
        elif frame.opcode is Opcode.PONG:
            # A ping is answered by itself.
            self._pong_by = float("inf")

    def _heard(self, message: bytes) -> None:
        try:
            text = message.decode()
        except UnicodeDecodeError:
            self._close(CloseCode.INVALID_DATA, "messages are UTF-8")
            return
        self._say(self._talk.hear(text))
        self._news = True


class Upgrade(Response):
    """The answer to a request that becomes a WebSocket. `held` is let go of when that is over."""

    def __init__(self, headers: Mapping[str, str], stream: Stream, held: contextlib.ExitStack) -> None:
        super().__init__(status=101, headers=dict(headers))
        del self.headers["Content-Type"], self.headers["Content-Length"]
        self._stream, self._held = stream, held

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ[UNTIMED]()
        start_response("101 Switching Protocols", self.headers.to_wsgi_list())
        return _Body(self._stream, self._held)


class _Body:
    """There is none, but what asks for it has sent the head by then, and the thread is ours."""

    def __init__(self, stream: Stream, held: contextlib.ExitStack) -> None:
        self._stream, self._held = stream, held

    def __iter__(self) -> Iterator[bytes]:
        yield b""
        self._stream.run()

    def close(self) -> None:
        self._held.close()
