"""One socket per host that every shim touches when something changed: a thousand instances cost one file descriptor."""

import contextlib
import os
import select
import socket
import threading
from pathlib import Path

NAME = "bell"


class Bell:
    """`wait` makes the socket at its first call, so that who only looks takes it from nobody."""

    def __init__(self, host: Path, sockets: Path) -> None:
        self._link, self._path = host / NAME, sockets / NAME
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._inode = 0
        self._end: tuple[int, int] | None = None
        self._waiting, self._over = 0, False

    def wait(self, timeout_s: float) -> bool:
        """True when it was rung; raises OSError when there can be no socket."""
        with self._lock:
            if self._over:
                return False
            listening = self._socket or self._listen()
            end = self._end = self._end or os.pipe()
            self._waiting += 1
        try:
            poll = select.poll()
            poll.register(listening, select.POLLIN)
            poll.register(end[0], select.POLLIN)
            rung = listening.fileno() in [fd for fd, _ in poll.poll(max(0, int(timeout_s * 1000)))]
            with contextlib.suppress(BlockingIOError):
                while rung:
                    listening.recv(64)
            return rung
        finally:
            with self._lock:
                self._waiting -= 1
                self._dispose()

    def _listen(self) -> socket.socket:
        self._path.unlink(missing_ok=True)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            listening.setblocking(False)
            listening.bind(str(self._path))
            self._inode = self._path.stat().st_ino
            # Shims reach it by this name from their own directory, however long the path to it is.
            temporary = self._link.with_name(f".{NAME}.new")
            temporary.unlink(missing_ok=True)
            temporary.symlink_to(self._path)
            os.replace(temporary, self._link)
        except OSError:
            listening.close()
            raise
        self._socket = listening
        return listening

    def close(self) -> None:
        """Whoever waits returns at once."""
        with self._lock:
            if self._over:
                return
            self._over = True
            if self._end is not None:
                os.write(self._end[1], b"!")
            with contextlib.suppress(OSError):
                if self._socket is not None and self._path.stat().st_ino == self._inode:
                    self._path.unlink()
            self._dispose()

    def _dispose(self) -> None:
        """The last one out: nothing is closed under somebody who still waits on it."""
        if not self._over or self._waiting:
            return
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._end is not None:
            for fd in self._end:
                os.close(fd)
            self._end = None
