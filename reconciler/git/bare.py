"""The bare repository that Convoy owns: made whole or not at all, used by one process at a time, packed now and then."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pygit2
from pygit2.enums import ConfigLevel

from reconciler.git.command import Git
from reconciler.git.source import SourceError
from reconciler.git.trees import Trees
from reconciler.seams import Seams

# One ref, whatever the branch is called: names of branches can exclude each other (`a` and `a/b`) when the branch is changed.
TIP = "refs/convoy/tip"
# Left behind by a git that was killed. The mirror is ours and its lock is held, so nobody else is at work in it.
LOCKS = (f"{TIP}.lock", "packed-refs.lock", "HEAD.lock", "config.lock", "shallow.lock")
# git's own way to guess: one of 256 directories stands for all. Eight files there are about 2,000 loose objects.
MANY_LOOSE, MANY_PACKS = 8, 40
# libgit2 holds open every pack that it has read from, and knows of every pack it has seen, though they were packed anew and are
# gone. After so many uses it forgets them all.
MANY_USES = 64
PYGIT2_ERRORS = (pygit2.GitError, KeyError, ValueError, OSError)


def read_only() -> None:
    """Open repositories whoever owns them, and depend on nobody's settings.

    Convoy reads objects and refs, which runs nothing; libgit2's refusal of other people's repositories protects programs that
    run hooks and filters from them. And a home directory that may not be read would make every repository unreadable.
    """
    pygit2.settings.owner_validation = False
    for level in (ConfigLevel.SYSTEM, ConfigLevel.XDG, ConfigLevel.GLOBAL):
        pygit2.settings.search_path[level] = ""


class Bare:
    """Not thread-safe; its mirror's lock guards it. Raises PYGIT2_ERRORS unless it says otherwise."""

    def __init__(self, directory: Path, seams: Seams, deadline_s: float) -> None:
        self.directory = Path(os.path.abspath(directory))
        self._seams, self._deadline_s = seams, deadline_s
        self._repository: pygit2.Repository | None = None
        self._inode, self._uses = 0, 0
        self._trees: Trees | None = None

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """No other process works here meanwhile (`convoy plan` beside `convoy serve`); raises SourceError when one does."""
        # `parents=True` would make those above readable by everybody: one of them may be the state directory.
        for missing in reversed([one for one in self.directory.parents if not one.exists()]):
            missing.mkdir(mode=0o700, exist_ok=True)
        name = self.directory.with_name(self.directory.name + ".lock")
        file = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            give_up_at = self._seams.monotonic() + self._deadline_s
            while not locked(file):
                if self._seams.monotonic() > give_up_at:
                    raise SourceError(
                        f"another process has been using {self.directory} for {self._deadline_s:g} s: see what it does"
                    )
                self._seams.sleep(0.02)
            yield
        finally:
            os.close(file)

    def usable(self) -> pygit2.Repository | None:
        """The repository, freed of a killed process's locks; None when there is none or it is only half there."""
        if not self.directory.is_dir():
            return None
        for name in LOCKS:
            (self.directory / name).unlink(missing_ok=True)
        self._sweep()
        try:
            return self.opened()
        except PYGIT2_ERRORS:
            return None

    def _sweep(self) -> None:
        """Away with what fetches that were killed, or found the disk full, had half written: nobody else ever would."""
        with contextlib.suppress(OSError):
            for left in (self.directory / "objects" / "pack").glob("tmp_*"):
                left.unlink(missing_ok=True)
            for left in (self.directory / "objects").glob("tmp_objdir-*"):
                shutil.rmtree(left, ignore_errors=True)

    def opened(self) -> pygit2.Repository:
        """The repository; opened again when another process has made it anew."""
        inode = self.directory.stat().st_ino
        self._uses += 1
        if self._repository is not None and self._uses % MANY_USES == 0:
            if self._repository.is_shallow:
                # It would forget where its history is cut off, too, and looks for that only when it is opened; and whoever has
                # it in hand still needs that.
                self._repository = None
            else:
                self._repository.free()
        if self._repository is None or inode != self._inode:
            self._repository = pygit2.Repository(str(self.directory), pygit2.enums.RepositoryOpenFlag.NO_SEARCH)
            self._inode = inode
        return self._repository

    def trees(self) -> Trees:
        """Listings of this repository; they go on from the last one."""
        repository = self.opened()
        if self._trees is None or self._trees.repository is not repository:
            self._trees = Trees(repository)
        return self._trees

    def make_anew(self, fill: Callable[[Path], None]) -> None:
        """A whole new one, put in the old one's place only when `fill` has succeeded: until then the old one stays."""
        parent, prefix = self.directory.parent, f"{self.directory.name}.new-"
        # A git whose Convoy was killed may still be writing in one of these: each has a name of its own, and goes in the end.
        for left in parent.glob(f"{prefix}*"):
            shutil.rmtree(left, ignore_errors=True)
        new, old = (Path(tempfile.mkdtemp(prefix=prefix, dir=parent)) for _ in range(2))
        repository = pygit2.init_repository(str(new), bare=True)
        # Loose objects are few and soon packed; compressing them is most of what writing them costs.
        repository.config["core.looseCompression"] = 0
        repository.free()
        try:
            fill(new)
        except BaseException:
            for left in (new, old):
                shutil.rmtree(left, ignore_errors=True)
            raise
        self.free()
        if self.directory.exists():
            self.directory.rename(old)
        new.rename(self.directory)
        shutil.rmtree(old, ignore_errors=True)

    def tidy(self, git: Git) -> None:
        """Pack what has gathered. A last good revision may be on no branch, so nothing is dropped. Raises as `git.run`."""
        objects = self.directory / "objects"
        sample = objects / "17"
        loose = len(os.listdir(sample)) if sample.is_dir() else 0
        packs = sum(name.endswith(".pack") for name in os.listdir(objects / "pack"))
        if loose >= MANY_LOOSE or packs >= MANY_PACKS:
            self._seams.point("git.tidy", self.directory)
            with self.alone():
                git.run(self.directory, ["repack", "--geometric=2", "-d", "-q"])

    def free(self) -> None:
        if self._repository is not None:
            self._repository.free()
        self._repository = self._trees = None


def locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
