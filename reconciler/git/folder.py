"""Reads the wishes from a plain folder, as it is now: for trying things out before they are committed."""

import contextlib
import errno
import hashlib
import os
import stat
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.core.layers import ENVIRONMENT, bases_in
from reconciler.core.model import Problem, Where, blob_id
from reconciler.git.commits import Commits
from reconciler.git.history import NotThere
from reconciler.git.layers import NoDirectory, tree
from reconciler.git.names import bad_name
from reconciler.git.source import (
    DEEPEST,
    LARGEST_FILE,
    MOST_ENTRIES,
    Commit,
    NoHistory,
    Signature,
    SourceError,
    Tree,
    is_document,
)
from reconciler.git.watch import Changes
from reconciler.seams import Seams

POLL_S = 5.0
NO_COMMITS = "follow a branch, with --source, or leave `revision` out"
# Revisions whose contents are kept: the one in force, and what came after it.
MOST_REVISIONS = 4
# A file whose times are older than this when it is read cannot be changed again without new times (the clock of most file
# systems ticks every 4 ms, of some every 2 s).
SETTLED_NS = 2_500_000_000
# Never follows a link, nor waits for the other end of a pipe that took a file's place.
FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(slots=True)
class Found:
    """What one look found in the folder and below `top`: path from there ⇒ (blob id, content), and the look's own limits."""

    top: Path
    files: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    newest: float = 0.0
    left: int = MOST_ENTRIES


class Directory:
    """A Source: every document file below `path`. Links are not followed; names that begin with a dot are left out.

    Where an environment is declared there, its bases may lie anywhere in the Git repository around it (the folder itself,
    where it is in none), and paths count from that repository's root, as they do when it is read from Git.
    """

    def __init__(self, path: Path, seams: Seams, *, poll_s: float = POLL_S) -> None:
        self._path, self._seams = Path(os.path.abspath(path)), seams
        self._lock = threading.Lock()
        self._revisions: dict[str, tuple[Tree, dict[str, bytes], float]] = {}
        # The repository around it, once a document has named one of its commits; it bears one thread at a time, and whoever
        # asks for a plan reads beside whoever follows.
        self._commits: Commits | None = None
        self._looking_back = threading.Lock()
        # Path ⇒ (device, inode, size, times), blob id and content of the last look.
        self._known: dict[str, tuple[tuple[int, ...], str, bytes]] = {}
        # What is watched: the folder, and the bases that the last look found outside it.
        self._places: tuple[Path, ...] = (self._path,)
        self._changes = Changes(seams, poll_s, self._there, recursive=True, ignore=self._hidden)

    def fetch(self) -> str:
        with self._lock, reading(self._path):
            self._seams.point("folder.fetch", self._path)
            top = repository_around(self._path) if self._declares() else self._path
            root = self._path.relative_to(top).as_posix() + "/" if top != self._path else ""
            found = Found(top)
            # Each file counts once, whichever directory it was found below.
            here = tree("", root, lambda root: self._listed(root, found), lambda blobs: contents(found, blobs))
        self._known = {path: known for path, known in self._known.items() if path in found.files}
        files, problems = {path: here.files[path] for path in sorted(here.files)}, here.problems
        content = hashlib.sha256(repr((list(files.items()), [str(problem) for problem in problems])).encode())
        revision = f"folder-{content.hexdigest()[:12]}"
        beside = [top / layer.root for layer in here.layers if not (top / layer.root).is_relative_to(self._path)]
        self._places = (self._path, *beside)
        kept = Tree(revision, files, problems, root, here.layers)
        with self._lock:
            self._revisions.pop(revision, None)
            self._revisions[revision] = (kept, dict(found.files.values()), found.newest)
            while len(self._revisions) > MOST_REVISIONS:
                del self._revisions[next(iter(self._revisions))]
        return revision

    def signature(self, revision: str, at: float, after: str) -> Signature:
        return Signature()

    def tree(self, revision: str) -> Tree:
        return self._kept(revision)[0]

    def past(self, revision: str, commit: str) -> Tree:
        """Of the commits that led to the one that is checked out."""
        with self._looking_back:
            try:
                self._commits = self._commits or Commits.around(self._path, self._seams)
                head = self._commits.resolve("HEAD")
            except SourceError:
                raise NotThere("this folder has no commits: it is in no Git repository", NO_COMMITS) from None
            return self._commits.past(head, commit)

    def read(self, blob_ids: Iterable[str]) -> Mapping[str, bytes]:
        with self._lock:
            kept = [contents for _, contents, _ in reversed(self._revisions.values())]
        result: dict[str, bytes] = {}
        for id in blob_ids:
            content = next((contents[id] for contents in kept if id in contents), None)
            if content is None and self._commits is not None:
                with self._looking_back:
                    content = self._commits.read([id])[id]
            if content is None:
                raise SourceError(f"{self._path} no longer holds what was read as {id}: look again")
            result[id] = content
        return result

    def info(self, revision: str) -> Commit:
        at = self._kept(revision)[2]
        return Commit(revision, "", at, at, f"the folder {self._path}", ())

    def commits(self, old: str, new: str) -> tuple[Commit, ...]:
        return () if old == new else (self.info(new),)

    def makers(self, old: str, new: str, files: Iterable[str]) -> Mapping[str, Commit]:
        return {}

    def changed(self, timeout_s: float | None) -> bool:
        return self._changes.wait(timeout_s)

    def hint(self) -> None:
        self._changes.ring()

    def close(self) -> None:
        self._changes.close()
        if self._commits is not None:
            self._commits.close()

    def _kept(self, revision: str) -> tuple[Tree, dict[str, bytes], float]:
        with self._lock:
            kept = self._revisions.get(revision)
        if kept is None:
            raise NoHistory(f"{revision} is not what {self._path} holds now, and a folder keeps no history: put it under Git")
        return kept

    def _there(self) -> tuple[Path, ...]:
        return tuple(place for place in self._places if place.is_dir())

    def _hidden(self, path: str) -> bool:
        """Changes there change nothing here (our own state directory may be one of them)."""
        place = next((one for one in self._places if Path(path).is_relative_to(one)), self._path)
        return any(part.startswith(".") for part in os.path.relpath(path, place).split(os.sep) if part not in (".", ".."))

    def _declares(self) -> bool:
        """Whether this folder is an environment; what is in that file is read once more, and judged, with all the others."""
        try:
            with open(os.open(self._path / ENVIRONMENT, FLAGS), "rb") as file:
                text = file.read(LARGEST_FILE + 1) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else b""
        except OSError:
            return False
        return len(text) <= LARGEST_FILE and bases_in(ENVIRONMENT, text) is not None

    def _listed(self, root: str, found: "Found") -> tuple[Mapping[str, str], tuple[Problem, ...]]:
        """The document files below a directory; raises NoDirectory and OSError."""
        files, problems = found.files, found.problems
        found.files, found.problems = {}, []
        try:
            with contextlib.ExitStack() as stack:
                directory = stack.enter_context(opened(found.top, None))
                own = self._path.relative_to(found.top).parts
                parts = tuple(part for part in root.split("/") if part)
                for part in parts:
                    try:
                        directory = stack.enter_context(opened(Path(part), directory))
                    except OSError as error:
                        if parts == own:
                            raise
                        raise NoDirectory(words(error)) from None
                self._walk(directory, root, found, 0)
            listed = {path: found.files[path][0] for path in sorted(found.files)}
            return listed, tuple(sorted(found.problems, key=lambda problem: problem.where))
        finally:
            found.files, found.problems = files | found.files, problems

    def _walk(self, directory: int, prefix: str, found: Found, depth: int) -> None:
        """Every step goes from an open directory to a name in it, so that nothing swapped meanwhile leads out of the folder."""
        with os.scandir(directory) as entries:
            names = sorted(
                (entry.name, entry.stat(follow_symlinks=False)) for entry in entries if not entry.name.startswith(".")
            )
        found.left -= len(names)
        if found.left < 0:
            raise SourceError(
                f"{self._path} holds more than {MOST_ENTRIES} files and directories: name the fleet's own directory"
            )
        for name, there in names:
            path, kind = prefix + os.fsencode(name).decode("utf-8", "backslashreplace"), stat.S_IFMT(there.st_mode)
            if kind == stat.S_IFREG and not is_document(name):
                continue
            problem = bad_name(path, os.fsencode(name))
            if problem is not None:
                found.problems.append(problem)
            elif kind == stat.S_IFLNK:
                problem = self._link(found.top, path, name, directory, prefix)
                found.problems += [problem] if problem else []
            elif kind == stat.S_IFDIR and depth >= DEEPEST:
                found.problems.append(Problem(Where(path), f"is more than {DEEPEST} directories deep", "move it further up"))
            elif kind == stat.S_IFDIR:
                with reading(found.top / path), opened(Path(name), directory) as below:
                    self._walk(below, path + "/", found, depth + 1)
            elif kind == stat.S_IFREG:
                with reading(found.top / path):
                    self._file(directory, name, path, there, found)
            elif is_document(name):
                found.problems.append(Problem(Where(path), "is not a regular file", "put a file there"))

    def _file(self, directory: int, name: str, path: str, there: os.stat_result, found: Found) -> None:
        if there.st_size > LARGEST_FILE:
            what = f"is {there.st_size} bytes long; the most is {LARGEST_FILE}"
            found.problems.append(Problem(Where(path), what, "split it into several files"))
            return
        found.newest = max(found.newest, there.st_mtime)
        known = self._known.get(path)
        if known is not None and known[0] == times(there):
            found.files[path] = known[1:]
            return
        self._seams.point("folder.read", path)
        file = os.open(name, FLAGS, dir_fd=directory)
        with os.fdopen(file, "rb") as stream:
            now = os.fstat(stream.fileno())
            if not stat.S_ISREG(now.st_mode):
                raise OSError(errno.EINVAL, "it is no file any more")
            content = stream.read(LARGEST_FILE + 1)
            if times(os.fstat(stream.fileno())) != times(now):
                # Half of a file is a fleet with less in it.
                raise OSError(errno.EAGAIN, "it is being written")
        id = blob_id(content)
        found.files[path] = (id, content)
        if self._seams.now() * 1e9 - max(now.st_mtime_ns, now.st_ctime_ns) > SETTLED_NS:
            self._known[path] = (times(now), id, content)
        else:
            self._known.pop(path, None)

    def _link(self, top: Path, path: str, name: str, directory: int, prefix: str) -> Problem | None:
        """A link is never followed. One that cannot stand for documents is left alone, any other is a Problem."""
        target = os.readlink(name, dir_fd=directory)
        reached = os.path.normpath(os.path.join(prefix, target))
        hint = "put the file itself there: Convoy reads only what is in the folder"
        if target.startswith("/") or reached == ".." or reached.startswith("../"):
            return Problem(Where(path), f"is a symbolic link out of the folder, to {target!r}", hint)
        try:
            mode = os.lstat(top / reached).st_mode
        except OSError:
            mode = 0
        if not is_document(name) and stat.S_ISREG(mode) and not is_document(reached):
            return None
        return Problem(Where(path), f"is a symbolic link, to {target!r}, which Convoy does not follow", hint)


def repository_around(path: Path) -> Path:
    """The nearest directory above that is a Git repository's; `path` itself where there is none."""
    return next((one for one in (path, *path.parents) if os.path.lexists(one / ".git")), path)


def contents(found: Found, blobs: Iterable[str]) -> Mapping[str, bytes]:
    known = dict(found.files.values())
    return {blob: known[blob] for blob in blobs}


def words(error: OSError) -> str:
    """Why a base's directory cannot be opened."""
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return "a link or a file stands on the way to it, and Convoy follows no links"
    return "there is no such directory" if error.errno == errno.ENOENT else f"it cannot be read: {error.strerror}"


def times(there: os.stat_result) -> tuple[int, ...]:
    return (there.st_dev, there.st_ino, there.st_size, there.st_mtime_ns, there.st_ctime_ns)


@contextlib.contextmanager
def opened(name: Path, directory: int | None) -> Iterator[int]:
    """A directory, open. The folder itself may be named through a link; nothing below it may."""
    follow = 0 if directory is None else os.O_NOFOLLOW
    file = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | follow, dir_fd=directory)
    try:
        yield file
    finally:
        os.close(file)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}; see that it is there and may be read") from error
