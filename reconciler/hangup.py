"""Ends a conversation by HTTP that takes too long, whatever the other side does in it: a byte now and then is no answer."""

import contextlib
import http.client
import socket
import ssl
import threading
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any


class _Stay(urllib.request.HTTPRedirectHandler):
    """Redirects are looked at by whoever asks, and not followed: whoever we are sent to is not who the token is for."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class Line:
    """The connections that one opener makes, while they are spoken on. For one thread at a time."""

    def __init__(self) -> None:
        self._made: list[socket.socket] = []

    def handlers(self, context: ssl.SSLContext | None = None) -> tuple[urllib.request.BaseHandler, ...]:
        """In the places of urllib's own, for http, https and redirects."""
        line = self

        class Plain(http.client.HTTPConnection):
            def connect(self) -> None:
                super().connect()
                line._made.append(self.sock)

        class Secure(http.client.HTTPSConnection):
            def connect(self) -> None:
                super().connect()
                line._made.append(self.sock)

        class Http(urllib.request.HTTPHandler):
            def http_open(self, request: urllib.request.Request) -> Any:
                return self.do_open(Plain, request)

        class Https(urllib.request.HTTPSHandler):
            def https_open(self, request: urllib.request.Request) -> Any:
                return self.do_open(Secure, request, context=context)

        return Http(), Https(), _Stay()

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """What has not ended inside after so long is cut off: TimeoutError, also where what came looked whole."""
        over = threading.Event()

        def cut() -> None:
            over.set()
            for made in [*self._made]:
                shut(made)

        try:
            with within(seconds, cut):
                yield
        except (OSError, http.client.HTTPException):
            if over.is_set():
                raise TimeoutError("timed out") from None
            raise
        finally:
            self._made.clear()
        if over.is_set():
            raise TimeoutError("timed out")


@contextlib.contextmanager
def within(seconds: float, cut: Callable[[], None]) -> Iterator[None]:
    """Whatever waits inside is cut off after so long: a byte now and then would keep us for ever."""
    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def shut(made: socket.socket | None) -> None:
    """Whoever reads from it or writes to it in another thread fails. By the system's own call: TLS's would first take its
    secrecy away, and what is written at that moment would be seen."""
    with contextlib.suppress(OSError):
        if made is None:
            return
        socket.socket.shutdown(made, socket.SHUT_RDWR)
