"""Ends a conversation by HTTP that takes too long, whatever the other side does in it: a byte now and then is no answer."""

import contextlib
import http.client
import socket
import ssl
import threading
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

# Host, port and time-out in seconds ⇒ a connection; raises OSError, and what whoever wrote it catches.
Dial = Callable[[str, int, float], socket.socket]
LONGEST_DIAL_S = 30.0
# How soon what is connected after the time is over is cut off.
AGAIN_S = 0.5


class _Stay(urllib.request.HTTPRedirectHandler):
    """Redirects are looked at by whoever asks, and not followed: whoever we are sent to is not who the token is for."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class Line:
    """The connections that one opener makes, while they are spoken on. For one thread at a time."""

    def __init__(self, dial: Dial | None = None) -> None:
        """`dial` connects in the place of the library's own way, to what it has looked at; no proxy is asked then."""
        self._made: list[socket.socket] = []
        self._dial = dial

    def handlers(self, context: ssl.SSLContext | None = None) -> tuple[urllib.request.BaseHandler, ...]:
        """In the places of urllib's own, for http, https and redirects."""
        line, dial = self, self._dial
        trusting = context or (ssl.create_default_context() if dial is not None else None)

        class Plain(http.client.HTTPConnection):
            def connect(self) -> None:
                if dial is None:
                    super().connect()
                else:
                    self.sock = dial(self.host, self.port, self.timeout or LONGEST_DIAL_S)
                line._made.append(self.sock)

        class Secure(http.client.HTTPSConnection):
            def connect(self) -> None:
                if dial is None or trusting is None:
                    super().connect()
                    line._made.append(self.sock)
                else:
                    made = dial(self.host, self.port, self.timeout or LONGEST_DIAL_S)
                    # Who drips in the handshake is cut off as well.
                    self.sock = secured = trusting.wrap_socket(made, server_hostname=self.host, do_handshake_on_connect=False)
                    line._made.append(secured)
                    secured.do_handshake()

        class Http(urllib.request.HTTPHandler):
            def http_open(self, request: urllib.request.Request) -> Any:
                return self.do_open(Plain, request)

        class Https(urllib.request.HTTPSHandler):
            def https_open(self, request: urllib.request.Request) -> Any:
                return self.do_open(Secure, request, context=context)

        direct = (urllib.request.ProxyHandler({}),) if dial is not None else ()
        return (*direct, Http(), Https(), _Stay())

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """What has not ended inside after so long is cut off, as below."""

        def cut() -> None:
            for made in [*self._made]:
                shut(made)

        try:
            with within(seconds, cut):
                yield
        finally:
            self._made.clear()


@contextlib.contextmanager
def within(seconds: float, cut: Callable[[], None]) -> Iterator[None]:
    """Whatever waits inside is cut off after so long, for a byte now and then would keep us for ever: TimeoutError, also where
    what came looked whole. What is connected only then is cut off as well, and nothing of what comes after."""
    ended, over = threading.Event(), threading.Event()

    def watch() -> None:
        left_s = seconds
        while not ended.wait(left_s):
            over.set()
            cut()
            left_s = AGAIN_S

    watching = threading.Thread(target=watch, name="patience", daemon=True)
    watching.start()
    try:
        yield
    except (OSError, http.client.HTTPException):
        if over.is_set():
            raise TimeoutError("timed out") from None
        raise
    finally:
        ended.set()
        watching.join()
    if over.is_set():
        raise TimeoutError("timed out")


def shut(made: socket.socket | None) -> None:
    """Whoever reads from it or writes to it in another thread fails. By the system's own call: TLS's would first take its
    secrecy away, and what is written at that moment would be seen."""
    with contextlib.suppress(OSError):
        if made is None:
            return
        socket.socket.shutdown(made, socket.SHUT_RDWR)
