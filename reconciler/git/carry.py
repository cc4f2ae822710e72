"""Carries the commits that a repository on this machine has gained into the mirror, object by object."""

import itertools

import pygit2
from pygit2.enums import ObjectType, SortMode

from reconciler.git.source import DEEPEST
from reconciler.git.trees import DIRECTORY, SUBMODULE, entries, kind, same_names, starts_of

# More new commits than this are left to git, which moves whole packs; so are files that should not be held in memory, and
# directories deeper than any fleet's.
MOST_COMMITS = 64
LARGEST_OBJECT = 64 * 1024 * 1024


class Heavy(Exception):
    """This is work for git."""


def carry(source: pygit2.Repository, mirror: pygit2.Repository, tip: pygit2.Oid, old: pygit2.Oid) -> bool:
    """Bring `tip` and all it needs into the mirror, which has `old` and all that needs; False when that is git's work.

    A fetch by git starts processes, and one by libgit2 builds a pack: 15 to 50 ms for a commit that is four objects. Whatever
    is in the mirror but not part of `old` may be half of a fetch that was killed, so it is no reason to leave anything out:
    what a commit's tree shares with its parent's is there, the rest is carried. Objects come before what names them.
    """
    if old not in source or source[old].type != ObjectType.COMMIT:
        return False
    walk = source.walk(tip, SortMode.TOPOLOGICAL | SortMode.REVERSE)
    walk.hide(old)
    commits = list(itertools.islice(walk, MOST_COMMITS + 1))
    if len(commits) > MOST_COMMITS or not all(commit.parent_ids for commit in commits):
        return False
    carried: set[str] = set()
    try:
        for commit in commits:
            if parents(source, commit.id) != [str(parent) for parent in commit.parent_ids]:
                # The repository's owner has grafted other parents on; git can be told to leave them out, libgit2 cannot.
                return False
            parent = source[commit.parent_ids[0]].peel(pygit2.Commit)
            _carry_tree(source, mirror, str(commit.tree_id), str(parent.tree_id), carried, 0)
            mirror.odb.write(*_read(source, commit.id))
    except Heavy:
        return False
    return True


def _carry_tree(source: pygit2.Repository, mirror: pygit2.Repository, id: str, old: str, carried: set[str], depth: int) -> None:
    # Twelve small trees can name each other a billion times.
    if id == old or id in carried:
        return
    if depth > DEEPEST:
        raise Heavy
    raw, before = _tree(source, id), _tree(source, old) if old else b""
    starts = starts_of(before)
    edited = same_names(before, starts, raw)
    if edited is not None:
        new, there = entries(raw, [starts[i] for i in edited]), entries(before, [starts[i] for i in edited])
    else:
        new, there = entries(raw, starts_of(raw)), entries(before, starts)
    known = {(mode, name): entry for mode, name, entry in there}
    for mode, name, entry in new:
        was = known.get((mode, name), "")
        if entry == was or kind(mode) == SUBMODULE:
            continue
        if kind(mode) == DIRECTORY:
            _carry_tree(source, mirror, entry, was, carried, depth + 1)
        else:
            mirror.odb.write(*_read(source, pygit2.Oid(hex=entry)))
    mirror.odb.write(ObjectType.TREE, raw)
    carried.add(id)


def parents(repository: pygit2.Repository, id: pygit2.Oid) -> list[str]:
    """What the commit itself names."""
    head = _read(repository, id)[1].partition(b"\n\n")[0]
    return [line.removeprefix(b"parent ").decode() for line in head.split(b"\n") if line.startswith(b"parent ")]


def _tree(repository: pygit2.Repository, id: str) -> bytes:
    type, raw = _read(repository, pygit2.Oid(hex=id))
    if type != ObjectType.TREE:
        raise ValueError(f"{id} is not a tree")
    return raw


def _read(repository: pygit2.Repository, id: pygit2.Oid) -> tuple[ObjectType, bytes]:
    if repository.odb.read_header(id)[1] > LARGEST_OBJECT:
        raise Heavy
    type, raw = repository.odb.read(id)
    return ObjectType(type), raw
