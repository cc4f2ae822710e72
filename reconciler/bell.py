"""A socket beside the state by which a command wakes the Convoy at work there: it only wakes, what is to do is in the store."""

import contextlib
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from reconciler.rundir import run_directory

NAME = "control.bell"
# Rung by whoever has put a proposal into the store.
PROPOSED = "proposals.bell"
# Rung when the source may have something new.
SOURCE = "source.bell"


class Bell:
    """Calls `wake` whenever it is rung, from a thread of its own, until it is closed. Where no socket can be made nothing
    is lost: the loop looks again by itself within seconds."""

    def __init__(self, run: Path, wake: Callable[[], None], name: str = NAME) -> None:
        self._path, self._wake = run / name, wake
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        # Left by a Convoy that was killed: only one at a time works on a state directory.
        self._path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._socket.bind(str(self._path))
            os.chmod(self._path, 0o600)
        self._thread = threading.Thread(target=self._listen, name="bell", daemon=True)
        self._over = False
        self._thread.start()

    def _listen(self) -> None:
        while not self._over:
            try:
                self._socket.recv(16)
            except OSError:
                return
            self._wake()

    def close(self) -> None:
        self._over = True
        with contextlib.suppress(OSError):
            # Wakes the thread: closing a socket alone does not end a read of it.
            self._socket.shutdown(socket.SHUT_RDWR)
        ring_at(self._path)
        self._thread.join(1.0)
        self._socket.close()
        self._path.unlink(missing_ok=True)


def ring(state: Path) -> None:
    """Wake the Convoy at work on this state directory, if there is one."""
    with contextlib.suppress(OSError):
        ring_at(run_directory(state) / NAME)


def ring_at(path: Path) -> None:
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as calling:
        calling.setblocking(False)
        calling.sendto(b"!", str(path))
