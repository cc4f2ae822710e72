"""One process that serves HTTP: how it is started, says that it answers, hands over to the next one, and ends.

It is started by exec and never by a fork: grpc has threads in here that no child of a fork would have. What it must know comes
over its standard input, since the store's URL may hold a password, and that is a socket: it says there that it answers, and is
told there that another one does. When that closes we are gone, however that came about, and so is it.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

from reconciler.seams import Seams

# A byte from it: it has answered a request of its own. And one to it: another answers now, finish what you have.
ANSWERS, SUCCEEDED = b"!", b">"
# What gunicorn, or a service manager's protocol, would read from the environment; and what may hold passwords of ours.
KEPT_BACK = ("CONVOY_", "FORWARDED_ALLOW_IPS", "GUNICORN_", "LISTEN_", "NOTIFY_SOCKET", "WEB_CONCURRENCY")


class WebProcess:
    """`answers` once it does; `ended` is how, "" before that. `ring` is called, in another thread, whenever these change."""

    def __init__(
        self, told: Mapping[str, Any], listening: socket.socket, alive: int, ring: Callable[[], None], seams: Seams
    ) -> None:
        """`listening` is what it accepts from, with others that have it too; `alive` a file that it has open until its end.
        Raises OSError."""
        self._told, self._ring = told, ring
        self.answers, self.ended = False, ""
        # By the monotonic clock, when one that finishes what it has must have done so.
        self.due = float("inf")
        self._line, theirs = socket.socketpair()
        with theirs:
            try:
                # -P: whatever lies in the directory that we were started in is not what is meant by `api`.
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "api"],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    pass_fds=(listening.fileno(), alive),
                    env={name: value for name, value in os.environ.items() if not name.startswith(KEPT_BACK)},
                    # Ctrl-C in a terminal is for us to hear, and then to tell it.
                    start_new_session=True,
                )
            except OSError:
                self._line.close()
                raise
        self._listen = listening.fileno()
        self.pid = self._process.pid
        self._thread = seams.thread(self._watch, "web process")
        self._thread.start()

    def _watch(self) -> None:
        # It may be dead already, or never read what it is told.
        with contextlib.suppress(OSError):
            self._line.sendall(json.dumps({**self._told, "listen": self._listen}).encode() + b"\n")
            self.answers = self._line.recv(1) == ANSWERS
            self._ring()
        code = self._process.wait()
        self.ended = f"signal {-code}" if code < 0 else f"exit code {code}"
        # A worker that outlives its master ends when this does.
        self._line.close()
        self._ring()

    def hand_over(self, due: float) -> None:
        """Another answers: it accepts nothing more, finishes what it has, also what comes on connections that are kept, and
        ends. Who gives it longer than until `due`, cuts it off."""
        self.due = due
        with contextlib.suppress(OSError):
            self._line.send(SUCCEEDED)

    def end(self) -> None:
        """The same where no other answers: connections that are kept are not for long."""
        with contextlib.suppress(OSError):
            self._process.terminate()

    def cut(self) -> None:
        """It must end now, whatever it has: within seconds, it does."""
        self.due = float("inf")
        with contextlib.suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)

    def kill(self) -> None:
        """With its worker, at once."""
        self.cut()
        if not self.ended:
            with contextlib.suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)

    def join(self) -> None:
        """Until it is gone."""
        self._thread.join()
