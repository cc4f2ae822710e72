"""Writes the trees of new commits: the named files as they should be, everything else byte for byte as it was."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import pygit2
from pygit2.enums import ObjectType

from reconciler.git.packs import BLOB, TREE, Pack
from reconciler.git.source import DEEPEST, LARGEST_FILE
from reconciler.git.trees import DIRECTORY, FILES, ID_BYTES, entries, starts_of

# Names that git, or a file system that a clone may stand on, takes for the repository itself.
GITS = re.compile(r"\.git[ .]*|git~\d+", re.IGNORECASE)
# Trees kept in memory from one commit to the next, the last that were written.
MOST_KEPT = 256


class NotEditable(Exception):
    """This change cannot be made in this tree; the message goes on from the path."""


@dataclass(frozen=True, slots=True)
class _Tree:
    """A tree object, and where in it the entry of each name begins. With other contents under the same names these stay."""

    raw: bytes
    places: Mapping[bytes, int]

    def entry(self, name: bytes) -> tuple[bytes, str] | None:
        """Its mode and id."""
        start = self.places.get(name)
        if start is None:
            return None
        mode = self.raw[start : self.raw.index(b" ", start)]
        at = start + len(mode) + len(name) + 2
        return mode, self.raw[at : at + ID_BYTES].hex()

    def changed(self, named: Mapping[bytes, tuple[bytes, str] | None]) -> "_Tree":
        """With these modes and ids under these names (None: without). Where no name comes or goes, nothing is sorted anew."""
        raw, moved = bytearray(self.raw), False
        for name, new in named.items():
            old = self.entry(name)
            if new is not None and old is not None and old[0] == new[0]:
                at = self.places[name] + len(new[0]) + len(name) + 2
                raw[at : at + ID_BYTES] = bytes.fromhex(new[1])
            else:
                moved = moved or new is not None or old is not None
        return self._sorted(named) if moved else _Tree(bytes(raw), self.places)

    def _sorted(self, named: Mapping[bytes, tuple[bytes, str] | None]) -> "_Tree":
        """The same, where git sorts it: a directory as if a slash followed its name."""
        found = [(_order(new[0], name), _entry(name, *new)) for name, new in named.items() if new is not None]
        bounds = [*starts_of(self.raw), len(self.raw)]
        for start, end in pairwise(bounds):
            written = self.raw[start:end]
            head, _, name = written[: -ID_BYTES - 1].partition(b" ")
            if name not in named:
                found.append((_order(head, name), written))
        return _opened(b"".join(written for _, written in sorted(found)))


def _entry(name: bytes, mode: bytes, id: str) -> bytes:
    return mode + b" " + name + b"\0" + bytes.fromhex(id)


def _order(mode: bytes, name: bytes) -> bytes:
    return name + b"/" if mode == DIRECTORY else name


def _opened(raw: bytes) -> _Tree:
    starts = starts_of(raw)
    return _Tree(raw, {name: start for start, (_, name, _) in zip(starts, entries(raw, starts), strict=True)})


class Editing:
    """Trees of one repository, of which the last ones are kept: the next commit's are these with a few entries changed."""

    def __init__(self, repository: pygit2.Repository) -> None:
        self.repository = repository
        # What is made anew; it is in the repository when whoever edits has written it.
        self.pack = Pack(repository)
        self._kept: dict[str, _Tree] = {}

    def edited(self, tree: str, changes: Mapping[str, bytes | None]) -> str:
        """The id of the tree that has these contents (None: no such file). Raises NotEditable and pygit2's errors.

        A new file is plain, one that was there keeps its mode.
        """
        for path, content in changes.items():
            flaw = _flaw(path, content)
            if flaw:
                raise NotEditable(f"{path!r} {flaw}")
        split = {tuple(path.split("/")): content for path, content in changes.items()}
        for parts in split:
            for depth in range(1, len(parts)):
                if parts[:depth] in split:
                    raise NotEditable(f"{'/'.join(parts[:depth])!r} cannot be a file and a directory")
        return self._edited(tree, split, ()) or self.pack.add(TREE, b"")

    def _edited(self, id: str, changes: Mapping[tuple[str, ...], bytes | None], above: tuple[str, ...]) -> str:
        """The new tree's id, or "" when nothing is left in it. `id` "" is a directory that is not there."""
        tree = self._read(id)
        below: dict[str, dict[tuple[str, ...], bytes | None]] = {}
        named: dict[bytes, tuple[bytes, str] | None] = {}
        for parts, content in changes.items():
            if len(parts) > 1:
                below.setdefault(parts[0], {})[parts[1:]] = content
                continue
            shown, name = "/".join((*above, parts[0])), parts[0].encode()
            old = tree.entry(name)
            if old is not None and old[0] not in FILES:
                raise NotEditable(f"{shown!r} is a directory, a link or a submodule there, not a file")
            if content is not None:
                named[name] = old[0] if old else FILES[0], self.pack.add(BLOB, content)
            elif old is None:
                raise NotEditable(f"{shown!r} is not there, so it cannot be removed")
            else:
                named[name] = None
        for directory, inner in below.items():
            shown, name = "/".join((*above, directory)), directory.encode()
            old = tree.entry(name)
            if old is not None and old[0] != DIRECTORY:
                raise NotEditable(f"{shown!r} is a file, a link or a submodule there, not a directory")
            new = self._edited(old[1] if old else "", inner, (*above, directory))
            named[name] = (DIRECTORY, new) if new else None
        tree = tree.changed(named)
        if not tree.raw:
            return ""
        written = self.pack.add(TREE, tree.raw, id)
        # The one before is nobody's parent any more, save where this commit comes to nothing.
        self._kept.pop(id, None)
        self._keep(written, tree)
        return written

    def _read(self, id: str) -> _Tree:
        if not id:
            return _Tree(b"", {})
        found = self._kept.get(id)
        if found is None:
            raw = self.pack.tree(id)
            if raw is None:
                kind, raw = self.repository.odb.read(pygit2.Oid(hex=id))
                if kind != ObjectType.TREE:
                    raise ValueError(f"{id} is not a tree")
            found = _opened(raw)
            self._keep(id, found)
        return found

    def _keep(self, id: str, tree: _Tree) -> None:
        self._kept[id] = tree
        while len(self._kept) > MOST_KEPT:
            del self._kept[next(iter(self._kept))]


def _flaw(path: str, content: bytes | None) -> str:
    parts = path.split("/")
    if not path.isprintable() or any(part in ("", ".", "..") or GITS.fullmatch(part) for part in parts):
        return "is not the path of a file in a repository"
    if len(parts) > DEEPEST:
        return f"is more than {DEEPEST} directories deep"
    if content is not None and len(content) > LARGEST_FILE:
        return f"would be {len(content)} bytes long; the most is {LARGEST_FILE}"
    return ""
