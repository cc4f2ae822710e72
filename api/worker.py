"""Gunicorn's worker of many threads, with an end to how long a client may take, and an end of its own that drops nobody."""

import contextlib
import http.client
import os
import signal
import socket
import ssl
import struct
import threading
import time
from functools import partial
from typing import Any, Protocol, cast

from gunicorn import util
from gunicorn.workers.gthread import TConn, ThreadWorker

from api.bodies import SENDING_S
from api.websocket import UNTIMED

# A client that says nothing for so long only holds a thread.
SILENT_S = 15
# A client that says a little now and then would hold one too: until its request's head is there, and its body, and until it
# has taken the answer, which may take as long as a plan.
HEAD_S, BODY_S, ANSWER_S = 8.0, SENDING_S + 15.0, SENDING_S + 210.0
# Whoever has connected before we leave the port is accepted; there are no more of them than wait there (reconciler/web.py).
MOST_LEFT = 256
# Who says nothing then has so long to begin, where nobody answers after us; gunicorn gives connections that are kept as long.
LINGER_S = 2.0
# What a request of our own may take.
OWN_S = 30.0
HERE = ("127.0.0.1", 0)


class App(Protocol):
    """Ours (api/serve.py): `succeeded` is set where another answers already, `leave` is called when we are about to end."""

    succeeded: threading.Event

    def leave(self, worker: "Worker") -> None: ...


class Worker(ThreadWorker):
    """Gunicorn's own, with an end to how long a client may be silent in the middle of a request, and how long one may take."""

    @property
    def _app(self) -> App:
        return cast(App, self.app)

    def init_process(self) -> None:
        # Who is being served ⇒ a socket of our own to the same client, and when what of it is ended.
        self._due: dict[TConn, tuple[socket.socket, list[tuple[float, int]]]] = {}
        # Those among them whose request has become something else.
        self._lasting: set[TConn] = set()
        self._proved = False
        threading.Thread(target=self._end_the_slow, name="slow", daemon=True).start()
        super().init_process()

    def _end_the_slow(self) -> None:
        while True:
            time.sleep(0.5)
            now = time.monotonic()
            for peer, steps in [*self._due.values()]:
                # It may have become a stream at this moment.
                with contextlib.suppress(OSError, IndexError):
                    while steps and steps[0][0] <= now:
                        # What waits for more of it is told that nothing comes.
                        peer.shutdown(steps.pop(0)[1])

    def handle_request(self, req: Any, conn: TConn) -> Any:
        now, due = time.monotonic(), self._due.get(conn)
        if due is not None:
            due[1][:] = [(now + BODY_S, socket.SHUT_RD), (now + ANSWER_S, socket.SHUT_RDWR)]
        kept = super().handle_request(req, conn)
        # What was a WebSocket is no request's any more.
        return kept and conn not in self._lasting

    def load_wsgi(self) -> None:
        super().load_wsgi()
        inner = self.wsgi

        def wsgi(environ: Any, start: Any) -> Any:
            environ[UNTIMED] = partial(self._untimed, environ["gunicorn.socket"])
            return inner(environ, start)

        self.wsgi = wsgi

    def _untimed(self, sock: socket.socket) -> None:
        """What is served there lasts as long as it says itself."""
        for conn, (_, steps) in [*self._due.items()]:
            if conn.sock is sock:
                steps.clear()
                self._lasting.add(conn)

    def handle(self, conn: TConn) -> Any:
        try:
            # A second one: by TLS, gunicorn puts another in the place of its own.
            peer = socket.fromfd(conn.sock.fileno(), socket.AF_INET, socket.SOCK_STREAM)
        except OSError:
            conn.close()
            return False
        self._due[conn] = peer, [(time.monotonic() + HEAD_S, socket.SHUT_RDWR)]
        try:
            kept = self._handled(conn)
            if not kept:
                # Waits until the client has read it all and closes, which gunicorn would do where everybody waits for it.
                with contextlib.suppress(OSError):
                    conn.sock.setblocking(True)
                    util.close_graceful(conn.sock)
            return kept
        finally:
            del self._due[conn]
            self._lasting.discard(conn)
            peer.close()

    def _handled(self, conn: TConn) -> Any:
        with contextlib.suppress(OSError):
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", SILENT_S, 0))
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", SILENT_S, 0))
        return super().handle(conn)

    def finish_request(self, conn: TConn, fs: Any) -> None:
        if not fs.cancelled() and fs.exception() is None and not fs.result():
            # It is closed already.
            self.nr_conns -= 1
            return
        super().finish_request(conn, fs)
        if self._app.succeeded.is_set() and conn in self.keepalived_conns:
            # It was told that it may ask again, as below.
            conn.set_timeout()

    # How it begins to answer, and how it ends

    def ask_ourselves(self) -> None:
        """One request through all that a client's goes through. Raises OSError, HTTPException and ValueError where there is no
        good answer."""
        ours, theirs = socket.socketpair()
        self.method_queue.defer(self._let_in, TConn(self.cfg, theirs, HERE, HERE))
        with contextlib.closing(http.client.HTTPConnection(HERE[0], timeout=OWN_S)) as asking:
            asking.sock = ours
            ours.settimeout(OWN_S)
            if self.cfg.is_ssl:
                # Whose certificate it is, is for those to judge who come from elsewhere.
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                asking.sock = context.wrap_socket(ours)
            asking.request("GET", "/health", headers={"Connection": "close"})
            status = asking.getresponse().status
            if status != 200:
                raise ValueError(f"it answers with {status}")
        self._proved = True
        self.method_queue.defer(self.set_accept_enabled, True)

    def set_accept_enabled(self, enabled: bool | None) -> None:
        # Whom we let in before we know that we can answer would be dropped with us, where another could have answered.
        super().set_accept_enabled(bool(enabled) and self._proved)

    def _let_in(self, conn: TConn) -> None:
        self.nr_conns += 1
        self.enqueue_req(conn)

    def handle_exit(self, sig: int, frame: Any) -> None:
        super().handle_exit(sig, frame)
        self.method_queue.defer(self._app.leave, self)
        self.method_queue.defer(self._leave_port)

    def accept(self, listener: Any) -> None:
        # Ready at the same moment at which we left it.
        if listener in self.sockets:
            super().accept(listener)

    def _leave_port(self) -> None:
        """Gunicorn keeps it until the last request is finished: whoever starts after us would find it taken for seconds, and
        who connects meanwhile would wait for nobody."""
        if not self.sockets:
            return
        self.set_accept_enabled(False)
        for listening in self.sockets:
            for _ in range(MOST_LEFT if self._proved else 0):
                before = self.nr_conns
                with contextlib.suppress(OSError):
                    self.accept(listening)
                if self.nr_conns == before:
                    break
            listening.close()
        self.sockets = []
        now = time.monotonic()
        for conn, (_, steps) in [*self._due.items()]:
            if not (conn.data_ready or self._app.succeeded.is_set()):
                # It has connected and said nothing.
                steps[:] = [(now + LINGER_S, socket.SHUT_RDWR)]

    def _cap_keepalive(self, deadline: float) -> None:
        # Where nobody was being served, gunicorn comes here without a look at what else was to be done.
        self._leave_port()
        # Where another answers, nobody waits for our end: a client finds no connection closed earlier than ever.
        if not self._app.succeeded.is_set():
            # Gunicorn's stubs are of one that does not know it.
            super()._cap_keepalive(deadline)  # type: ignore[misc]

    def end_all(self) -> None:
        """As a SIGTERM to our master would from outside."""
        # Another may have taken over an orphan: our master is gone then, and we notice.
        if os.getppid() == self.ppid:
            with contextlib.suppress(OSError):
                os.kill(self.ppid, signal.SIGTERM)
