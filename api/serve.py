"""Gunicorn with one worker of many threads, on a socket that it was given, until the process that gave it is gone."""

import contextlib
import http.client
import ipaddress
import json
import os
import ssl
import threading
import time
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication

from api import create_app
from api.events import STREAMS_AT_ONCE
from api.limits import CHANGES_AT_ONCE, HOOKS_AT_ONCE, PLANS_AT_ONCE, STRANGERS_AT_ONCE, WAITS_AT_ONCE, Limits
from api.outer import Front
from api.reach import Reach
from api.recorder import Recorder
from api.worker import ANSWER_S, Worker
from reconciler.log import Log
from reconciler.seams import Seams
from reconciler.store import Store
from reconciler.web_process import ANSWERS, SUCCEEDED

# All that may hold one for long, and some for those who ask how things are.
THREADS = PLANS_AT_ONCE + CHANGES_AT_ONCE + WAITS_AT_ONCE + HOOKS_AT_ONCE + STREAMS_AT_ONCE + STRANGERS_AT_ONCE + 16
# What waits for a thread beside those that have one.
CONNECTIONS = 100 + THREADS
# What requests under way have when we end and nobody answers after us; and then those that were told that nothing comes.
ENDING_S, LAST_S = 5.0, 7.0


class Application(BaseApplication):
    """What we were told, as gunicorn wants it. The app is made in the worker: no connection to a store crosses a fork."""

    def __init__(self, told: dict[str, Any]) -> None:
        self._told, self._over = told, threading.Event()
        # Set when we are about to end; and before that, where another answers already.
        self.ending, self.succeeded = threading.Event(), threading.Event()
        self._closing = contextlib.ExitStack()
        # The last certificate that could be read, and why there is none that is newer.
        self._context: ssl.SSLContext | None = None
        self._unreadable = ""
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
            # No request takes longer; where nobody answers after us, we end sooner.
            "graceful_timeout": int(ANSWER_S),
            "timeout": 60,
            # It would be a file in the home directory by which others could command it.
            "control_socket_disable": True,
            "loglevel": "warning",
            "proc_name": "convoy web",
            "post_worker_init": self._begun,
            "worker_exit": self._ended,
            # Gunicorn believes nobody in front about who asks or how they came: api/peer.py does, where it is told to.
            "forwarded_allow_ips": "",
            "forwarder_headers": "",
        }
        if told["certificate"]:
            settings |= {"certfile": told["certificate"], "keyfile": told["key"], "ssl_context": self._secured}
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        told = self._told
        self._log = log = Log(form=told["form"], level=told["level"], colour=told["colour"])
        store = Store(told["store"], Seams(), make=False)
        self._closing.callback(store.close)
        secure = bool(told["certificate"])
        recorder = Recorder(store, log)
        self._closing.callback(recorder.close)
        about = Limits(), secure, self._followed, self._over, self.ending, self.succeeded
        front = Front(tuple(map(ipaddress.ip_network, told["trusted"])), frozenset(told["origins"]))
        around: dict[str, Any] = {"recorder": recorder, "front": front, "closing": self._closing, "signed": told["signed"]}
        return create_app(Reach(store, Path(told["run"]), log, *about, **around))

    def _followed(self) -> tuple[str, str]:
        """As we were told, or as whoever follows has written it down by now."""
        url, branch = self._told["followed"]
        if self._told.get("source"):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                kept = json.loads(Path(self._told["source"]).read_text())
                url, branch = kept["url"], kept["branch"]
        return (str(url), str(branch)) if branch else ("", "")

    def _ended(self, _server: Any, _worker: Any) -> None:
        self._closing.close()

    def _begun(self, worker: Worker) -> None:
        # In the worker, since a thread in the master would be in the way of its forks.
        threading.Thread(target=self._listen, args=(worker,), name="line", daemon=True).start()
        threading.Thread(target=self._say, args=(worker,), name="first", daemon=True).start()

    def _say(self, worker: Worker) -> None:
        """That we answer, once we do; else there is no use in us."""
        try:
            worker.ask_ourselves()
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._log.error("web.not_well", why=f"it does not answer itself: {error}")
            worker.end_all()
        else:
            # Who has started us without a line does not want to know.
            with contextlib.suppress(OSError):
                os.write(0, ANSWERS)

    def _listen(self, worker: Worker) -> None:
        with contextlib.suppress(OSError):
            while said := os.read(0, 1):
                if said == SUCCEEDED:
                    self.succeeded.set()
                    worker.end_all()
        self._hurry(worker, 0.0)

    def leave(self, worker: Worker) -> None:
        """We are about to end."""
        self.ending.set()
        if not self.succeeded.is_set():
            threading.Thread(target=self._hurry, args=(worker, ENDING_S), name="last", daemon=True).start()

    def _hurry(self, worker: Worker, in_s: float) -> None:
        time.sleep(in_s)
        # Whoever waits for control is answered now: it cannot come back to them.
        self._over.set()
        worker.end_all()
        time.sleep(LAST_S)
        os._exit(1)

    def _secured(self, _: Any, make: Any) -> ssl.SSLContext:
        """For each connection anew. A certificate and a key that are replaced one after the other do not belong together for a
        moment: until they do, the last that did are shown."""
        try:
            context: ssl.SSLContext = make()
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            self._context, self._unreadable = context, ""
        except OSError as error:
            if self._context is None:
                raise
            if self._unreadable != str(error):
                self._log.error("web.certificate", why=str(error), file=self._told["certificate"])
            self._unreadable = str(error)
        return self._context
