"""Gunicorn with one worker of many threads, on a socket that it was given, until the process that gave it is gone."""

import contextlib
import ipaddress
import os
import signal
import socket
import ssl
import struct
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any, cast

from gunicorn.app.base import BaseApplication
from gunicorn.workers.gthread import TConn, ThreadWorker

from api import create_app
from api.bodies import SENDING_S
from api.events import STREAMS_AT_ONCE
from api.limits import CHANGES_AT_ONCE, HOOKS_AT_ONCE, PLANS_AT_ONCE, STRANGERS_AT_ONCE, WAITS_AT_ONCE, Limits
from api.outer import Front
from api.reach import Reach
from api.recorder import Recorder
from api.websocket import UNTIMED
from reconciler.log import Log
from reconciler.seams import Seams
from reconciler.store import Store

# All that may hold one for long, and some for those who ask how things are.
THREADS = PLANS_AT_ONCE + CHANGES_AT_ONCE + WAITS_AT_ONCE + HOOKS_AT_ONCE + STREAMS_AT_ONCE + STRANGERS_AT_ONCE + 16
# What waits for a thread beside those that have one.
CONNECTIONS = 100 + THREADS
# A client that says nothing for so long only holds a thread.
SILENT_S = 15
ENDING_S = 7
# A client that says a little now and then would hold one too: until its request's head is there, and its body, and until it
# has taken the answer, which may take as long as a plan.
HEAD_S, BODY_S, ANSWER_S = 8.0, SENDING_S + 15.0, SENDING_S + 210.0


class Worker(ThreadWorker):
    """Gunicorn's own, with an end to how long a client may be silent in the middle of a request, and how long one may take."""

    def init_process(self) -> None:
        # Who is being served ⇒ a socket of our own to the same client, and when what of it is ended.
        self._due: dict[TConn, tuple[socket.socket, list[tuple[float, int]]]] = {}
        # Those among them whose request has become something else.
        self._lasting: set[TConn] = set()
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

    def handle_exit(self, sig: int, frame: Any) -> None:
        super().handle_exit(sig, frame)
        self.method_queue.defer(cast(Application, self.app).ending.set)
        self.method_queue.defer(self._leave_port)

    def _leave_port(self) -> None:
        """Gunicorn keeps it until the last request is finished: whoever starts after us would find it taken for seconds."""
        self.set_accept_enabled(False)
        for listening in self.sockets:
            listening.close()
        self.sockets = []

    def handle(self, conn: TConn) -> Any:
        try:
            # A second one: by TLS, gunicorn puts another in the place of its own.
            peer = socket.fromfd(conn.sock.fileno(), socket.AF_INET, socket.SOCK_STREAM)
        except OSError:
            return False
        self._due[conn] = peer, [(time.monotonic() + HEAD_S, socket.SHUT_RDWR)]
        try:
            return self._handled(conn)
        finally:
            del self._due[conn]
            self._lasting.discard(conn)
            peer.close()

    def _handled(self, conn: TConn) -> Any:
        with contextlib.suppress(OSError):
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", SILENT_S, 0))
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", SILENT_S, 0))
        return super().handle(conn)


class Application(BaseApplication):
    """What we were told, as gunicorn wants it. The app is made in the worker: no connection to a store crosses a fork."""

    def __init__(self, told: dict[str, Any]) -> None:
        self._told, self._over, self.ending = told, threading.Event(), threading.Event()
        self._recorder: Recorder | None = None
        super().__init__()

    def load_config(self) -> None:
        told = self._told
        settings: dict[str, Any] = {
            "bind": f"fd://{told['listen']}",
            "worker_class": Worker,
            "workers": 1,
            "threads": THREADS,
            "worker_connections": CONNECTIONS,
            "keepalive": 5,
            "graceful_timeout": ENDING_S,
            "timeout": 60,
            # It would be a file in the home directory by which others could command it.
            "control_socket_disable": True,
            "loglevel": "warning",
            "proc_name": "convoy web",
            "post_worker_init": self._watch_pipe,
            "worker_exit": self._ended,
            # Gunicorn believes nobody in front about who asks or how they came: api/peer.py does, where it is told to.
            "forwarded_allow_ips": "",
            "forwarder_headers": "",
        }
        if told["certificate"]:
            settings |= {"certfile": told["certificate"], "keyfile": told["key"], "ssl_context": modern}
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        told = self._told
        log = Log(form=told["form"], level=told["level"], colour=told["colour"])
        store = Store(told["store"], Seams(), make=False)
        followed = tuple(told["followed"])
        secure = bool(told["certificate"])
        self._recorder = recorder = Recorder(store, log)
        about = Limits(), secure, followed, self._over, self.ending
        front = Front(tuple(map(ipaddress.ip_network, told["trusted"])), frozenset(told["origins"]))
        return create_app(Reach(store, Path(told["run"]), log, *about, recorder=recorder, front=front))

    def _ended(self, _server: Any, _worker: Any) -> None:
        if self._recorder is not None:
            self._recorder.close()

    def _watch_pipe(self, _: Any) -> None:
        ends_with_its_pipe(self._over)


def modern(_: Any, make: Any) -> ssl.SSLContext:
    context: ssl.SSLContext = make()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def ends_with_its_pipe(over: threading.Event) -> None:
    """Watched in the worker, since a thread in the master would be in the way of its forks."""

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                pass
        # Whoever waits for control is answered now: it cannot come back to them.
        over.set()
        master = os.getppid()
        # 1 has taken over an orphan: the master is gone already, and the worker will have noticed.
        if master > 1:
            with contextlib.suppress(OSError):
                os.kill(master, signal.SIGTERM)

    threading.Thread(target=watch, name="pipe", daemon=True).start()
