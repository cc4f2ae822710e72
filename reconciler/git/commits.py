"""Reads any commit of a repository on this machine where it is, by whatever name a person gives it."""

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pygit2
from pygit2.enums import RepositoryOpenFlag

from reconciler.git.bare import PYGIT2_ERRORS, read_only
from reconciler.git.command import local_path
from reconciler.git.history import Ancestry, below, between, commit_of, makers
from reconciler.git.layers import NoDirectory, tree
from reconciler.git.names import checked_subdirectory
from reconciler.git.source import Commit, Signature, SourceError, Tree
from reconciler.git.trees import Trees
from reconciler.seams import Seams

# https://git-scm.com/docs/gitrevisions. Left out is what looks through all of the past for words (`:/…`, `^{/…}`), what names
# a file (`REV:path`) or several commits (`A..B`), and what git would read as an option.
NAME = re.compile(r"(?!-)(?!.*\.\.)(?!.*\{/)[^\s:]([^:]*[^\s:])?")
LONGEST_NAME = 250
EXAMPLES = "name a commit as git does: a branch, a tag, digits of a commit, HEAD~2"


class Commits:
    """A Source that stays at one commit, `revision`. Nobody is asked for signatures here.

    Objects and refs are read, and no program runs: neither git nor what a repository's settings name.
    """

    def __init__(self, repository: str, subdirectory: str, seams: Seams) -> None:
        """`repository` is a path or a URL of one on this machine; raises SourceError where there is none."""
        self._seams, self._root = seams, checked_subdirectory(subdirectory)
        self.revision = ""
        path = local_path(repository)
        if path is None:
            raise SourceError(f"{repository!r} is not on this machine")
        self.shown = str(path)
        read_only()
        with self._reading("it"):
            seams.point("git.open", self.shown)
            self._repository = pygit2.Repository(os.path.abspath(path), RepositoryOpenFlag.NO_SEARCH)
        self._trees, self._ancestry = Trees(self._repository), Ancestry()

    @classmethod
    def around(cls, folder: Path, seams: Seams) -> "Commits":
        """The repository that this folder is in, with the folder as the fleet's directory; raises SourceError."""
        read_only()
        here = folder.resolve()
        try:
            found = pygit2.discover_repository(str(here))
        except PYGIT2_ERRORS:
            found = None
        if found is None:
            raise SourceError(f"{folder} is in no Git repository, so it has no commits: name a repository with --source")
        with contextlib.closing(cls(found, "", seams)) as commits:
            top = commits._repository.workdir
        below = "" if top is None else os.path.relpath(here, os.path.realpath(top))
        return cls(found, "" if below == "." else below, seams)

    def resolve(self, name: str) -> str:
        """The commit that a person names; raises SourceError."""
        if len(name) > LONGEST_NAME or not name.isprintable() or not NAME.fullmatch(name):
            raise SourceError(f"{name[:50]!r} is no name of a commit: {EXAMPLES}")
        with self._reading(f"{name!r}"):
            self._seams.point("git.resolve", self.shown, name)
            try:
                found = self._repository.revparse_single(name)
            except (KeyError, ValueError, pygit2.GitError) as error:
                if "ambiguous" in str(error):
                    raise SourceError(f"{name!r} is the beginning of several in {self.shown}: {EXAMPLES}") from None
                near = _near(name, self._repository)
                raise SourceError(f"there is no commit {name!r} in {self.shown}{near}: {EXAMPLES}") from None
            try:
                return str(found.peel(pygit2.Commit).id)
            except (pygit2.GitError, ValueError):
                raise SourceError(f"{name!r} is no commit in {self.shown}: {EXAMPLES}") from None

    def at(self, name: str) -> "Commits":
        """Stay at the commit that a person names."""
        self.revision = self.resolve(name)
        return self

    def fetch(self) -> str:
        return self.revision

    def signature(self, revision: str, at: float, after: str) -> Signature:
        return Signature()

    def tree(self, revision: str) -> Tree:
        with self._reading(f"revision {revision[:12]}"):
            self._seams.point("git.tree", revision)
            try:
                top = self._commit(revision).tree_id
                return tree(revision, self._root, lambda root: self._trees.files(top, root), self._trees.contents)
            except NoDirectory:
                raise SourceError(f"revision {revision[:12]} of {self.shown} has no directory {self._root}") from None

    def past(self, revision: str, commit: str) -> Tree:
        with self._reading(f"revision {commit[:12]}"):
            self._seams.point("git.past", revision, commit)
            return below(self._ancestry.past(self._repository, revision, commit), self._root, self._trees)

    def read(self, blob_ids: Iterable[str]) -> Mapping[str, bytes]:
        with self._reading("a file"):
            self._seams.point("git.read", self.shown)
            return self._trees.contents(blob_ids)

    def info(self, revision: str) -> Commit:
        with self._reading(f"revision {revision[:12]}"):
            self._seams.point("git.info", revision)
            return commit_of(self._commit(revision))

    def commits(self, old: str, new: str) -> tuple[Commit, ...]:
        with self._reading(f"history of {new[:12]}"):
            self._seams.point("git.commits", old, new)
            return between(self._repository, old, self._commit(new))

    def makers(self, old: str, new: str, files: Iterable[str]) -> Mapping[str, Commit]:
        with self._reading(f"history of {new[:12]}"):
            self._seams.point("git.commits", old, new)
            return makers(self._repository, old, self._commit(new), files)

    def changed(self, timeout_s: float | None) -> bool:
        return False

    def hint(self) -> None:
        """A commit does not change."""

    def close(self) -> None:
        self._repository.free()

    def _commit(self, revision: str) -> pygit2.Commit:
        return self._repository[revision].peel(pygit2.Commit)

    @contextlib.contextmanager
    def _reading(self, what: str) -> Iterator[None]:
        try:
            yield
        except PYGIT2_ERRORS as error:
            # A shallow or partial clone has not everything that its commits name.
            raise SourceError(f"cannot read {what} in {self.shown}: {error}; fetch what is missing there") from error


def _near(name: str, repository: pygit2.Repository) -> str:
    """Branches that may have been meant; where there are few, all of them."""
    listed = [*repository.branches.local, *repository.branches.remote][:1000]
    likely = [one for one in listed if one.endswith(f"/{name}")]
    return f" (there is {', '.join(likely[:3])})" if likely else ""
