"""The files of one instance's log, newest first, held open over rotations, and when what is in them was printed."""

import bisect
import contextlib
import os
import stat
from dataclasses import dataclass, field

from reconciler.drivers.process.shim.output import NAME, TIMES

# Read and looked for line ends so much at a time.
PIECE = 1 << 16
QUIETLY = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass
class Times:
    """When what stands from each offset on was printed, and where runs begin; grows as its file does."""

    fd: int
    read: int
    rest: bytes = b""
    offsets: list[int] = field(default_factory=list)
    ats: list[float] = field(default_factory=list)
    runs: list[int] = field(default_factory=list)

    def refresh(self) -> None:
        while data := os.pread(self.fd, PIECE, self.read):
            self.read += len(data)
            *lines, self.rest = (self.rest + data).split(b"\n")
            for line in lines:
                with contextlib.suppress(ValueError, IndexError):
                    words = line.split()
                    at, offset = float(words[0]), int(words[1])
                    self.ats.append(at)
                    self.offsets.append(offset)
                    if words[2:] == [b"run"]:
                        self.runs.append(offset)

    def at(self, offset: int) -> float | None:
        place = bisect.bisect_right(self.offsets, offset)
        return self.ats[place - 1] if place else None


class File:
    """One file of a log, held open: whatever it is called by now, it is still this one."""

    def __init__(self, directory: str, fd: int) -> None:
        self.fd, self._directory = fd, directory
        about = os.fstat(fd)
        if not stat.S_ISREG(about.st_mode):
            raise OSError("not a file")
        self.inode, self.changed_at = about.st_ino, about.st_mtime
        self._times: Times | None = None

    @property
    def size(self) -> int:
        return os.fstat(self.fd).st_size

    @property
    def dropped(self) -> bool:
        """It has no name any more: it was the oldest of too many."""
        return os.fstat(self.fd).st_nlink == 0

    def times(self) -> Times:
        """Those that name this file in their first line; empty where it has none."""
        if self._times is None:
            for name in (TIMES, *(f"{TIMES}.{number}" for number in range(1, count(self._directory, TIMES)))):
                with contextlib.suppress(OSError, ValueError):
                    fd = os.open(f"{self._directory}/{name}", QUIETLY)
                    head = os.pread(fd, 32, 0).partition(b"\n")[0]
                    if head.isdigit() and int(head) == self.inode:
                        self._times = Times(fd, len(head) + 1)
                        break
                    os.close(fd)
        if self._times is None:
            # Asked again next time: a file that has just begun may get its times in a moment.
            return Times(-1, 0)
        self._times.refresh()
        return self._times

    def truncated(self) -> None:
        """A log of one file begins anew in its place, and its times with it."""
        if self._times is not None:
            os.close(self._times.fd)
        self._times = None

    def close(self) -> None:
        os.close(self.fd)
        self.truncated()


def opened(directory: str, number: int) -> File | None:
    path = f"{directory}/{NAME}.{number}" if number else f"{directory}/{NAME}"
    try:
        fd = os.open(path, QUIETLY)
    except FileNotFoundError:
        return None
    try:
        return File(directory, fd)
    except OSError:
        os.close(fd)
        raise


def inode_of(directory: str, number: int) -> int:
    try:
        return os.stat(f"{directory}/{NAME}.{number}" if number else f"{directory}/{NAME}", follow_symlinks=False).st_ino
    except OSError:
        return 0


def count(directory: str, name: str) -> int:
    """How many files of this log there are, the newest included."""
    with contextlib.suppress(FileNotFoundError):
        return sum(1 for one in os.listdir(directory) if one == name or one.startswith(f"{name}."))
    return 0
