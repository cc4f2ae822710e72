"""Writes the trees of a new commit: the named files as they should be, everything else byte for byte as it was."""

import re
from collections.abc import Mapping

import pygit2
from pygit2.enums import ObjectType

from reconciler.git.source import DEEPEST, LARGEST_FILE
from reconciler.git.trees import DIRECTORY, FILES, entries, starts_of

# Names that git, or a file system that a clone may stand on, takes for the repository itself.
GITS = re.compile(r"\.git[ .]*|git~\d+", re.IGNORECASE)
Entry = tuple[bytes, bytes, str]


class NotEditable(Exception):
    """This change cannot be made in this tree; the message goes on from the path."""


def edited(repository: pygit2.Repository, tree: str, changes: Mapping[str, bytes | None]) -> str:
    """The id of the tree that has these contents (None: no such file). Raises NotEditable and pygit2's errors.

    Objects come before what names them. A new file is plain, one that was there keeps its mode.
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
    return _edited(repository, tree, split, ()) or str(repository.odb.write(ObjectType.TREE, b""))


def _flaw(path: str, content: bytes | None) -> str:
    parts = path.split("/")
    if not path.isprintable() or any(part in ("", ".", "..") or GITS.fullmatch(part) for part in parts):
        return "is not the path of a file in a repository"
    if len(parts) > DEEPEST:
        return f"is more than {DEEPEST} directories deep"
    if content is not None and len(content) > LARGEST_FILE:
        return f"would be {len(content)} bytes long; the most is {LARGEST_FILE}"
    return ""


def _edited(
    repository: pygit2.Repository, tree: str, changes: Mapping[tuple[str, ...], bytes | None], above: tuple[str, ...]
) -> str:
    """The new tree's id, or "" when nothing is left in it. `tree` "" is a directory that is not there."""
    kind, raw = repository.odb.read(pygit2.Oid(hex=tree)) if tree else (ObjectType.TREE, b"")
    if kind != ObjectType.TREE:
        raise ValueError(f"{tree} is not a tree")
    there: dict[bytes, Entry] = {name: (mode, name, id) for mode, name, id in entries(raw, starts_of(raw))}
    below: dict[str, dict[tuple[str, ...], bytes | None]] = {}
    for parts, content in changes.items():
        if len(parts) > 1:
            below.setdefault(parts[0], {})[parts[1:]] = content
            continue
        shown, name = "/".join((*above, parts[0])), parts[0].encode()
        old = there.get(name)
        if old is not None and old[0] not in FILES:
            raise NotEditable(f"{shown!r} is a directory, a link or a submodule there, not a file")
        if content is not None:
            there[name] = (old[0] if old else FILES[0], name, str(repository.odb.write(ObjectType.BLOB, content)))
        elif there.pop(name, None) is None:
            raise NotEditable(f"{shown!r} is not there, so it cannot be removed")
    for directory, inner in below.items():
        shown, name = "/".join((*above, directory)), directory.encode()
        old = there.get(name)
        if old is not None and old[0] != DIRECTORY:
            raise NotEditable(f"{shown!r} is a file, a link or a submodule there, not a directory")
        new = _edited(repository, old[2] if old else "", inner, (*above, directory))
        if new:
            there[name] = (DIRECTORY, name, new)
        else:
            there.pop(name, None)
    if not there:
        return ""
    written = b"".join(mode + b" " + name + b"\0" + bytes.fromhex(id) for mode, name, id in sorted(there.values(), key=_order))
    return str(repository.odb.write(ObjectType.TREE, written))


def _order(entry: Entry) -> bytes:
    """As git sorts a tree: a directory's name counts as if a slash followed it."""
    mode, name, _ = entry
    return name + b"/" if mode == DIRECTORY else name
