"""Gunicorn with one worker of many threads, on a socket that it was given, until the process that gave it is gone."""

import contextlib
import os
import signal
import socket
import ssl
import struct
import threading
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.workers.gthread import TConn, ThreadWorker

from api import create_app
from api.limits import Limits
from api.reach import Reach
from reconciler.log import Log
from reconciler.seams import Seams
from reconciler.store import Store

# Plans and changes at once (api/limits.py, api/surfaces/convoy/resources.py), and some for those who ask how things are.
THREADS = 72
# What waits for a thread beside those that have one.
CONNECTIONS = 200
# A client that says nothing for so long only holds a thread.
SILENT_S = 15
ENDING_S = 7


class Worker(ThreadWorker):
    """Gunicorn's own, with an end to how long a client may be silent in the middle of a request."""

    def handle(self, conn: TConn) -> Any:
        with contextlib.suppress(OSError):
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", SILENT_S, 0))
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", SILENT_S, 0))
        return super().handle(conn)


class Application(BaseApplication):
    """What we were told, as gunicorn wants it. The app is made in the worker: no connection to a store crosses a fork."""

    def __init__(self, told: dict[str, Any]) -> None:
        self._told = told
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
            "post_worker_init": ends_with_its_pipe,
            # Nobody in front is believed about who asks or how they came.
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
        return create_app(Reach(store, Path(told["run"]), log, Limits(), bool(told["certificate"])))


def modern(_: Any, make: Any) -> ssl.SSLContext:
    context: ssl.SSLContext = make()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def ends_with_its_pipe(_: Any) -> None:
    """Watched in the worker, since a thread in the master would be in the way of its forks."""

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                pass
        master = os.getppid()
        # 1 has taken over an orphan: the master is gone already, and the worker will have noticed.
        if master > 1:
            with contextlib.suppress(OSError):
                os.kill(master, signal.SIGTERM)

    threading.Thread(target=watch, name="pipe", daemon=True).start()
