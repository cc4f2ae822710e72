"""What a child prints, in files that never grow beyond their bounds, and beside each when it was printed."""

import contextlib
import os
import time

NAME, TIMES = "output.log", "output.times"
# Times are noted no more often than this; each 64 KiB of them double it, so that they stay small beside what they are about.
NOTED_S, NOTED_BYTES = 0.1, 1 << 16


class Output:
    """Appends to output.log; at `max_bytes` it becomes output.log.1, and so on up to `files` files.

    Each has an output.times beside it, which moves with it: the inode of its log in the first line, then a line
    `<Unix seconds> <offset>` for what stands from there on, with ` run` behind it where a run begins.
    """

    def __init__(self, directory: str, max_bytes: int, files: int) -> None:
        self._path = os.path.join(directory, NAME)
        self._times_path = os.path.join(directory, TIMES)
        self._fd, self._size = -1, 0
        self._times, self._noted, self._noted_at = -1, 0, 0.0
        self.bound(max_bytes, files)
        self._open()

    def bound(self, max_bytes: int, files: int) -> None:
        """Other bounds from now on; files that are too many go at once."""
        self._max_bytes, self._files = max_bytes, files
        for path in (self._path, self._times_path):
            number = files
            with contextlib.suppress(OSError):
                while True:
                    os.unlink(f"{path}.{number}")
                    number += 1

    def begin(self) -> None:
        """A run begins: what comes from now on is of another one than what was there."""
        self._note(" run")

    def write(self, data: bytes) -> None:
        """Never raises: a full disk must not stop what is supervised, so what cannot be written is lost."""
        try:
            while data:
                room = self._max_bytes - self._size
                if room <= 0:
                    self._rotate()
                    continue
                cut = len(data) if len(data) <= room else data.rfind(b"\n", 0, room) + 1
                if cut == 0 and self._size:
                    self._rotate()
                    continue
                # A line is cut in two only where a whole file cannot hold it.
                cut = cut or room
                self._note()
                written = os.write(self._fd, data[:cut])
                self._size += written
                data = data[written:]
                if data and written == cut:
                    self._rotate()
        except OSError:
            if self._fd < 0:
                self._open()

    def _note(self, run: str = "") -> None:
        """When what is written next was printed, unless that was noted just now."""
        now = time.time()
        patience_s = NOTED_S * (1 << self._noted // NOTED_BYTES)
        if self._times < 0 or (not run and 0 <= now - self._noted_at < patience_s):
            return
        try:
            self._noted += os.write(self._times, f"{now:.3f} {self._size}{run}\n".encode())
            self._noted_at = now
        except OSError:
            # Without times the output is still there.
            os.close(self._times)
            self._times = -1

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        with contextlib.suppress(OSError):
            self._fd = os.open(self._path, flags, 0o600)
            self._size = os.fstat(self._fd).st_size
        if self._times >= 0:
            os.close(self._times)
            self._times = -1
        with contextlib.suppress(OSError):
            self._times = os.open(self._times_path, flags, 0o600)
            self._begin_times()

    def _begin_times(self) -> None:
        """Go on with the times of this very log, or begin anew: those of another say nothing of it."""
        self._noted_at = 0.0
        head = f"{os.fstat(self._fd).st_ino}\n".encode()
        if self._size and os.pread(self._times, len(head), 0) == head:
            self._noted = os.fstat(self._times).st_size
            return
        os.ftruncate(self._times, 0)
        self._noted = os.write(self._times, head)

    def _rotate(self) -> None:
        if self._files == 1:
            os.ftruncate(self._fd, 0)
            self._size = 0
            with contextlib.suppress(OSError):
                self._begin_times()
            return
        os.close(self._fd)
        self._fd = -1
        for number in range(self._files - 1, 0, -1):
            for path in (self._path, self._times_path):
                newer = f"{path}.{number - 1}" if number > 1 else path
                with contextlib.suppress(FileNotFoundError):
                    os.replace(newer, f"{path}.{number}")
        self._open()
        if self._fd < 0:
            raise OSError(f"cannot open {self._path}")
