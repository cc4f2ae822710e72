"""Carries the commits that a repository on this machine has gained into the mirror, object by object."""

import pygit2
from pygit2.enums import ObjectType, SortMode

from reconciler.git.trees import DIRECTORY, SUBMODULE, entries, same_names, starts_of

# More new commits than this are left to git, which moves whole packs.
MOST_COMMITS = 64


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
    commits = list(walk)
    if len(commits) > MOST_COMMITS or not all(commit.parent_ids for commit in commits):
        return False
    for commit in commits:
        parent = source[commit.parent_ids[0]].peel(pygit2.Commit)
        _carry_tree(source, mirror, str(commit.tree_id), str(parent.tree_id))
        mirror.odb.write(*source.odb.read(commit.id))
    return True


def _carry_tree(source: pygit2.Repository, mirror: pygit2.Repository, id: str, old: str) -> None:
    if id == old:
        return
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
        if entry == was or mode == SUBMODULE:
            continue
        if mode == DIRECTORY:
            _carry_tree(source, mirror, entry, was)
        else:
            mirror.odb.write(*source.odb.read(pygit2.Oid(hex=entry)))
    mirror.odb.write(ObjectType.TREE, raw)


def _tree(repository: pygit2.Repository, id: str) -> bytes:
    kind, raw = repository.odb.read(pygit2.Oid(hex=id))
    if kind != ObjectType.TREE:
        raise ValueError(f"{id} is not a tree")
    return raw
