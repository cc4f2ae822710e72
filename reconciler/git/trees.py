"""Lists the document files of a Git tree, reading again only the directories that changed since the last listing."""

import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pygit2
from pygit2.enums import FileMode, ObjectType

from reconciler.core.edition import Edition, differing
from reconciler.core.layers import MOST_LAYERS
from reconciler.core.model import Problem, Where
from reconciler.git.layers import NoDirectory
from reconciler.git.names import bad_name, fold, shown
from reconciler.git.source import DEEPEST, LARGEST_FILE, MOST_ENTRIES, is_document

# How an entry's kind is written in a tree object: https://git-scm.com/docs/git-fast-import#_filemodify
FILES = (b"100644", b"100755", b"100664")
DIRECTORY, LINK, SUBMODULE = b"40000", b"120000", b"160000"
MODE = re.compile(rb"[0-7]{1,7}")
KINDS = {0o100000: FILES[0], 0o040000: DIRECTORY, 0o120000: LINK, 0o160000: SUBMODULE}
ID_BYTES = 20
# Entries compared at once when looking for what differs between two listings of one directory.
BLOCK = 64


# All the entries that are read, with long names, in one directory.
LARGEST_TREE = 64 * MOST_ENTRIES


class Boundless(Exception):
    """More entries than any fleet has."""


@dataclass(slots=True)
class Listing:
    """One directory, and everything below it. `starts` are the offsets of its entries in `raw`, its tree object."""

    id: str
    raw: bytes
    starts: list[int]
    children: dict[str, "Listing"] = field(default_factory=dict)
    files: Edition[str, str] = field(default_factory=Edition)
    links: dict[str, str] = field(default_factory=dict)
    # What is wrong with names and kinds, and (a matter of content alone) with sizes.
    problems: dict[str, Problem] = field(default_factory=dict)
    sizes: dict[str, Problem] = field(default_factory=dict)

    def add(self, child: "Listing") -> None:
        """All of it but its files."""
        self.links.update(child.links)
        self.problems.update(child.problems)
        self.sizes.update(child.sizes)

    def drop(self, child: "Listing") -> None:
        for path in child.links:
            del self.links[path]
        for path in child.problems:
            del self.problems[path]
        for path in child.sizes:
            del self.sizes[path]


class Trees:
    """Listings of one mirror. The last one of each directory is kept; what it saves is work, never the answer."""

    def __init__(self, repository: pygit2.Repository) -> None:
        self.repository = repository
        self._last: dict[str, Listing] = {}
        self._left = 0
        # Tree ⇒ how many entries it stands for; the trees of a hundred revisions of a large fleet.
        self._counts: dict[str, int] = {}
        # Those counted for this listing, as they were read.
        self._fresh: dict[str, tuple[bytes, list[int]]] = {}
        # Tree objects read so far: what a listing costs.
        self.trees_read = 0

    def files(self, top: pygit2.Oid, root: str) -> tuple[dict[str, str], tuple[Problem, ...]]:
        """The document files below `root` ("" or ending in "/"), and what is wrong with any of them.

        Raises NoDirectory, and pygit2's errors (KeyError, ValueError, GitError, OSError) when objects are missing or damaged.
        """
        start = entry_at(self.repository[top].peel(pygit2.Tree), root.rstrip("/")) if root else None
        if root and not isinstance(start, pygit2.Tree):
            raise NoDirectory("it is no directory in this commit" if start is not None else "there is no such directory")
        self._left = MOST_ENTRIES
        try:
            self._count(str(start.id if start else top), 0)
            listing = self._read(str(start.id if start else top), root, self._last.get(root), 0)
        except Boundless:
            what = f"more than {MOST_ENTRIES} files and directories"
            return {}, (Problem(Where(root or "."), what, "keep the fleet in a directory of its own and name that one"),)
        finally:
            self._fresh.clear()
        self._last.pop(root, None)
        self._last[root] = listing
        while len(self._last) > MOST_LAYERS:
            del self._last[next(iter(self._last))]
        if len(self._counts) > MOST_ENTRIES // 10:
            self._counts.clear()
        problems = listing.problems | listing.sizes
        for path, blob in listing.links.items():
            problem = self._link(self.repository[top].peel(pygit2.Tree), path, blob)
            if problem:
                problems[path] = problem
        return listing.files, tuple(problems[path] for path in sorted(problems))

    def contents(self, blob_ids: Iterable[str]) -> Mapping[str, bytes]:
        """What these blobs hold; raises pygit2's errors."""
        return {id: self.repository.odb.read(pygit2.Oid(hex=id))[1] for id in blob_ids}

    def _count(self, id: str, depth: int) -> int:
        """How many entries a tree stands for, reading each tree but once: a few kilobytes can say the same a billion times."""
        total = self._counts.get(id)
        if total is None:
            raw, starts = self._fresh[id] = self._tree(id)
            total = len(starts)
            # Most directories have no others below them, which is seen without looking at every entry.
            if depth < DEEPEST and b"40000 " in raw:
                for mode, name, entry in entries(raw, starts):
                    if kind(mode) == DIRECTORY and not name.startswith(b"."):
                        total += self._count(entry, depth + 1)
                        if total > MOST_ENTRIES:
                            break
            self._counts[id] = total
        if total > MOST_ENTRIES:
            raise Boundless
        return total

    def _tree(self, id: str) -> tuple[bytes, list[int]]:
        oid = pygit2.Oid(hex=id)
        if self.repository.odb.read_header(oid)[1] > LARGEST_TREE:
            raise Boundless
        type, raw = self.repository.odb.read(oid)
        if type != ObjectType.TREE:
            raise ValueError(f"{id} is not a tree")
        return raw, starts_of(raw)

    def _read(self, id: str, prefix: str, old: Listing | None, depth: int) -> Listing:
        if old is not None and old.id == id:
            return old
        raw, starts = self._fresh.get(id) or self._tree(id)
        self.trees_read += 1
        edited = same_names(old.raw, old.starts, raw) if old is not None else None
        if old is not None and edited is not None:
            return self._patched(id, raw, prefix, old, edited, depth)
        listing = Listing(id, raw, starts)
        self._spend(len(listing.starts))
        folded: dict[str, str] = {}
        names: set[bytes] = set()
        for mode, name, blob in entries(raw, listing.starts):
            self._put(listing, prefix, kind(mode), name, blob, old, depth)
            text = name.decode("utf-8", "replace")
            if name in names:
                path = prefix + name.decode("utf-8", "backslashreplace")
                what = "is there twice, and which of the two is meant nobody can tell"
                listing.problems[path] = Problem(Where(shown(path)), what, "the commit is malformed: make it again")
            names.add(name)
            if (mode != DIRECTORY and not is_document(text)) or text.startswith("."):
                continue
            other = folded.setdefault(fold(text), text)
            if other != text:
                what = f"differs from {prefix + other!r} only in upper and lower case or in how its accents are written"
                hint = "rename one: on other machines they are the same file"
                listing.problems[prefix + text] = Problem(Where(shown(prefix + text)), what, hint)
        return listing

    def _patched(self, id: str, raw: bytes, prefix: str, old: Listing, edited: list[int], depth: int) -> Listing:
        """The old listing with other contents under the same names."""
        listing = Listing(id, raw, old.starts, dict(old.children), links=dict(old.links))
        listing.problems, listing.sizes = dict(old.problems), dict(old.sizes)
        self._spend(len(edited))
        changes: dict[str, str | None] = {}
        for mode, name, blob in entries(raw, [old.starts[i] for i in edited]):
            path = prefix + name.decode("utf-8", "backslashreplace")
            before = old.children.get(path) if kind(mode) == DIRECTORY else None
            if before is None:
                changes[path] = None
                self._put(listing, prefix, kind(mode), name, blob, old, depth)
            else:
                listing.drop(before)
                child = listing.children[path] = self._read(blob, path + "/", before, depth + 1)
                listing.add(child)
                changes.update((one, child.files.get(one)) for one in differing(before.files, child.files))
        listing.files = old.files.edited({**changes, **listing.files})
        return listing

    def _put(self, listing: Listing, prefix: str, mode: bytes, name: bytes, id: str, old: Listing | None, depth: int) -> None:
        path = prefix + name.decode("utf-8", "backslashreplace")
        if name in (b"", b".", b"..") or b"/" in name:
            listing.problems[path] = Problem(
                Where(shown(path)), f"{name!r} is not the name of a file", "the commit is malformed: make it again"
            )
            return
        if name.startswith(b"."):
            return
        if mode == FILES[0] and not is_document(path):
            return
        problem = bad_name(path, name)
        if problem is None and mode == SUBMODULE:
            hint = "copy the files here, or remove the submodule: only what is in this repository is reviewed with it"
            problem = Problem(Where(path), "is a submodule, which Convoy does not follow", hint)
        elif problem is None and mode == DIRECTORY:
            if depth >= DEEPEST:
                problem = Problem(Where(path), f"is more than {DEEPEST} directories deep", "move it further up")
            else:
                child = self._read(id, path + "/", old.children.get(path) if old else None, depth + 1)
                listing.children[path] = child
                listing.add(child)
                listing.files.update(child.files)
        elif problem is None and mode == LINK:
            listing.links[path] = id
        elif problem is None and mode != FILES[0]:
            problem = Problem(Where(path), f"is of no kind that git knows ({mode!r})", "the commit is malformed: make it again")
        elif problem is None:
            type, size = self.repository.odb.read_header(pygit2.Oid(hex=id))
            listing.files.pop(path, None)
            listing.sizes.pop(path, None)
            if type != ObjectType.BLOB:
                what = "is said to be a file, and is something else"
                listing.sizes[path] = Problem(Where(path), what, "the commit is malformed: make it again")
            elif size > LARGEST_FILE:
                what = f"is {size} bytes long; the most is {LARGEST_FILE}"
                listing.sizes[path] = Problem(Where(path), what, "split it into several files")
            else:
                listing.files[path] = id
        if problem is not None:
            listing.problems[path] = problem

    def _spend(self, entries: int) -> None:
        self._left -= entries
        if self._left < 0:
            raise Boundless

    def _link(self, top: pygit2.Tree, path: str, blob: str) -> Problem | None:
        """A link is never followed. One that cannot stand for documents is left alone, any other is a Problem."""
        where = Where(path)
        hint = "put the file itself there: Convoy reads only what the commit holds"
        oid = pygit2.Oid(hex=blob)
        target = (
            self.repository.odb.read(oid)[1].decode("utf-8", "backslashreplace")
            if self.repository.odb.read_header(oid)[1] <= 4096
            else "…"
        )
        reached = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        if target.startswith("/") or reached == ".." or reached.startswith("../"):
            return Problem(where, f"is a symbolic link out of the repository, to {target!r}", hint)
        there = None if is_document(path) or is_document(reached) else entry_at(top, reached)
        if there is not None and there.filemode in (FileMode.BLOB, FileMode.BLOB_EXECUTABLE):
            return None
        return Problem(where, f"is a symbolic link, to {target!r}, which Convoy does not follow", hint)


def entry_at(tree: pygit2.Tree, path: str) -> pygit2.Object | None:
    try:
        return tree / path
    except (KeyError, ValueError):
        return None


def starts_of(raw: bytes) -> list[int]:
    """Offsets of the entries in a tree object; raises ValueError when it is cut short."""
    starts, at = [], 0
    while at < len(raw):
        starts.append(at)
        at = raw.index(b"\0", at) + 1 + ID_BYTES
    if at != len(raw):
        raise ValueError("a tree object is cut short")
    return starts


def entries(raw: bytes, starts: Iterable[int]) -> Iterable[tuple[bytes, bytes, str]]:
    """(mode, name, id in hexadecimal) of the entries at these offsets."""
    for start in starts:
        end = raw.index(b"\0", start)
        mode, _, name = raw[start:end].partition(b" ")
        yield mode, name, raw[end + 1 : end + 1 + ID_BYTES].hex()


def kind(mode: bytes) -> bytes:
    """A mode as git writes it today: old programs wrote other permissions, and zeros in front, which git reads all the same."""
    known = mode in (FILES[0], DIRECTORY)
    return mode if known or not MODE.fullmatch(mode) else KINDS.get(int(mode, 8) & 0o170000, mode)


def same_names(old: bytes, starts: list[int], raw: bytes) -> list[int] | None:
    """Which entries differ, as indexes, when both trees hold the same names in the same modes; None when they do not."""
    if len(raw) != len(old):
        return None
    bounds, result = [*starts, len(raw)], []
    for block in range(0, len(starts), BLOCK):
        last = min(block + BLOCK, len(starts))
        if raw[bounds[block] : bounds[last]] == old[bounds[block] : bounds[last]]:
            continue
        for index in range(block, last):
            start, end = bounds[index], bounds[index + 1]
            if raw[start:end] != old[start:end]:
                if raw[start : end - ID_BYTES] != old[start : end - ID_BYTES]:
                    return None
                result.append(index)
    return result
