"""The past of a branch: which document files each commit along its first parents changed."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pygit2
from pygit2.enums import FileMode, ObjectType

from reconciler.git.bare import PYGIT2_ERRORS, Bare
from reconciler.git.command import redacted
from reconciler.git.history import commit_of, named_commit
from reconciler.git.names import checked_branch, checked_subdirectory
from reconciler.git.source import DEEPEST, MOST_ENTRIES, Commit, SourceError, is_document
from reconciler.git.trees import DIRECTORY, FILES, Boundless, entries, entry_at, starts_of
from reconciler.seams import Seams

# How far back it is looked: ten years of ten commits a day, read in half a minute at most.
MOST_STEPS = 40_000


@dataclass(frozen=True, slots=True)
class Step:
    """One commit; `before` is the revision it was made on, "" for the first one."""

    commit: Commit
    before: str
    _past: "Past"

    def same(self, path: str) -> bool:
        """Whether it left this file alone: twenty times as quick as to find out all that it changed."""
        return self._past.blob(self.before, path) == self._past.blob(self.commit.revision, path)

    def changed(self) -> Mapping[str, tuple[str | None, str | None]]:
        """The document files that differ: path ⇒ (blob before, blob now), None for no such file."""
        return self._past.difference(self.before, self.commit.revision)


class Past:
    """What the mirror in `directory`, filled by a Mirror of the same url, knows of a branch. Not thread-safe.

    Methods may raise SourceError and nothing else. Nothing is asked about signatures here: whoever answers for a tip answers
    for all that led to it.
    """

    def __init__(self, url: str, branch: str, directory: Path, seams: Seams, *, subdirectory: str = "") -> None:
        self._shown, self._branch = redacted(url), checked_branch(branch)
        self._root = checked_subdirectory(subdirectory)
        self._seams = seams
        self._bare = Bare(directory, seams, 0.0)

    def steps(self, tip: str) -> Iterator[Step]:
        """Newest first, at most MOST_STEPS. A merge is one step: what it brought to the branch."""
        following = tip
        for _ in range(MOST_STEPS):
            with self._reading():
                self._seams.point("git.past", following)
                commit = self._commit(following)
                parent = str(commit.parent_ids[0]) if commit.parent_ids else ""
            yield Step(commit_of(commit), parent, self)
            if not parent:
                return
            following = parent

    def blob(self, revision: str, path: str) -> str | None:
        """The content of a file in a revision ("": none at all), None where there is no such file."""
        with self._reading():
            found = entry_at(self._commit(revision).tree, path) if revision else None
            return str(found.id) if isinstance(found, pygit2.Blob) and found.filemode != FileMode.LINK else None

    def difference(self, old: str, new: str) -> dict[str, tuple[str | None, str | None]]:
        """The document files that differ between two revisions ("": none at all)."""
        with self._reading():
            before, now = (self._below(self._commit(revision)) if revision else "" for revision in (old, new))
            return difference(self._bare.opened(), before, now, self._root)

    def named(self, tip: str, name: str) -> tuple[Commit, Mapping[str, str]]:
        """The commit that a person names, which is `tip` or led to it, and its document files: path ⇒ blob."""
        with self._reading():
            self._seams.point("git.named", tip, name)
            repository = self._bare.opened()
            found = named_commit(repository, self._commit(tip), name, self._branch)
            if found is None:
                raise SourceError(f"{name[:50]!r} is no commit that branch {self._branch} of {self._shown} has gone through")
            listed = self.difference("", str(found.id))
            return commit_of(found), {path: blob for path, (_, blob) in listed.items() if blob is not None}

    def close(self) -> None:
        self._bare.free()

    def _commit(self, revision: str) -> pygit2.Commit:
        return self._bare.opened()[revision].peel(pygit2.Commit)

    def _below(self, commit: pygit2.Commit) -> str:
        """The id of the tree in which the fleet lives, "" when there is none."""
        found = entry_at(commit.tree, self._root.rstrip("/")) if self._root else commit.tree
        return str(found.id) if isinstance(found, pygit2.Tree) else ""

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        what = f"the history of branch {self._branch} of {self._shown}"
        try:
            yield
        except SourceError:
            raise
        except Boundless:
            raise SourceError(f"cannot read {what}: a commit has more than {MOST_ENTRIES} files") from None
        except PYGIT2_ERRORS as error:
            raise SourceError(f"cannot read {what}: {redacted(str(error)) or type(error).__name__}") from error


def difference(repository: pygit2.Repository, old: str, new: str, root: str) -> dict[str, tuple[str | None, str | None]]:
    """Between two trees ("": none) at `root`. Raises pygit2's errors and Boundless."""
    found: dict[str, tuple[str | None, str | None]] = {}
    _Difference(repository, found).between(old, new, root, 0)
    return found


class _Difference:
    """Between two trees; what they share is not read. A tree of a few kilobytes can name itself billions of times: bounded."""

    def __init__(self, repository: pygit2.Repository, found: dict[str, tuple[str | None, str | None]]) -> None:
        self._odb, self._found, self._left = repository.odb, found, MOST_ENTRIES

    def between(self, old: str, new: str, prefix: str, depth: int) -> None:
        if old == new:
            return
        before, now = self._listed(old), self._listed(new)
        self._left -= len(before) + len(now)
        if self._left < 0 or depth > DEEPEST:
            raise Boundless
        for name in before.keys() | now.keys():
            was, here = before.get(name), now.get(name)
            if was == here:
                continue
            path = prefix + name.decode("utf-8", "backslashreplace")
            blobs = self._file(was), self._file(here)
            if blobs != (None, None) and is_document(path):
                self._found[path] = blobs
            trees = self._tree(was), self._tree(here)
            if trees != ("", ""):
                self.between(*trees, path + "/", depth + 1)

    def _listed(self, id: str) -> dict[bytes, tuple[bytes, str]]:
        if not id:
            return {}
        kind, raw = self._odb.read(pygit2.Oid(hex=id))
        if kind != ObjectType.TREE:
            raise ValueError(f"{id} is not a tree")
        return {name: (mode, blob) for mode, name, blob in entries(raw, starts_of(raw)) if not name.startswith(b".")}

    def _file(self, entry: tuple[bytes, str] | None) -> str | None:
        return entry[1] if entry is not None and entry[0] in FILES else None

    def _tree(self, entry: tuple[bytes, str] | None) -> str:
        return entry[1] if entry is not None and entry[0] == DIRECTORY else ""
