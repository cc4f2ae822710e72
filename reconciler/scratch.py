"""A private place for plaintext while a person edits it: in memory where possible, overwritten and removed afterwards."""

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from reconciler.seams import Seams

PREFIX = "convoy-edit-"
# https://man7.org/linux/man-pages/man5/proc_mounts.5.html: what lives in memory and swap alone.
IN_MEMORY = frozenset({"tmpfs", "ramfs"})
CHUNK = 1 << 16


class Scratch:
    """A directory of our own; `in_memory` is False when its files may have reached a disk."""

    def __init__(self, path: Path, in_memory: bool, seams: Seams) -> None:
        self.path, self.in_memory, self._seams = path, in_memory, seams

    def write(self, name: str, content: bytes) -> Path:
        """A new file that nobody else can read."""
        path = self.path / name
        self._seams.point("scratch.write", path)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(content)
        return path

    def read(self, name: str) -> bytes:
        path = self.path / name
        self._seams.point("scratch.read", path)
        return path.read_bytes()


@contextlib.contextmanager
def scratch(environment: Mapping[str, str], seams: Seams) -> Iterator[Scratch]:
    """A place that is gone afterwards, whatever happens but SIGKILL; what that has left, the next one removes. OSError."""
    parent, in_memory = _parent(environment)
    _sweep(parent, seams)
    seams.point("scratch.make", parent)
    path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    held = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Tells it from what a killed one has left.
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield Scratch(path, in_memory, seams)
    finally:
        try:
            destroy(path, seams)
        finally:
            os.close(held)


def _parent(environment: Mapping[str, str]) -> tuple[Path, bool]:
    mounts = _in_memory()
    for place in (environment.get("XDG_RUNTIME_DIR", ""), "/dev/shm"):  # noqa: S108 - a directory of our own in it
        if place and os.path.isdir(place) and os.access(place, os.W_OK | os.X_OK):
            real = os.path.realpath(place)
            if _mount_of(real, mounts):
                return Path(real), True
    return Path(tempfile.gettempdir()), False


def _in_memory() -> dict[str, bool]:
    """Mount point ⇒ whether it is in memory; nothing where the system does not say."""
    try:
        lines = Path("/proc/self/mounts").read_text(errors="replace").splitlines()
    except OSError:
        return {}
    rows = [line.split() for line in lines]
    return {row[1]: row[2] in IN_MEMORY for row in rows if len(row) > 2}


def _mount_of(place: str, mounts: Mapping[str, bool]) -> bool:
    while place not in mounts and place != "/":
        place = os.path.dirname(place)
    return mounts.get(place, False)


def _sweep(parent: Path, seams: Seams) -> None:
    for left in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            found = left.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
                continue
            held = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                destroy(left, seams)
            finally:
                os.close(held)


def destroy(directory: Path, seams: Seams) -> None:
    """Overwrite every file in it, the copies an editor has made included, and remove it; goes on past what resists."""
    for parent, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(parent, name)
            with contextlib.suppress(OSError):
                seams.point("scratch.overwrite", path)
                _overwrite(path)
    seams.point("scratch.remove", directory)
    shutil.rmtree(directory, ignore_errors=True)


def _overwrite(path: str) -> None:
    file = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
            return
        for start in range(0, found.st_size, CHUNK):
            os.pwrite(file, b"\0" * min(CHUNK, found.st_size - start), start)
        os.fsync(file)
    finally:
        os.close(file)
