"""Follows one branch of a repository through a bare mirror of our own, from which alone anything is read."""

import contextlib
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pygit2

from reconciler.git.bare import MANY_USES, PYGIT2_ERRORS, TIP, Bare, read_only
from reconciler.git.carry import carry
from reconciler.git.command import NO_FILE, Git, GitFailed, local_path, redacted, remote_settings
from reconciler.git.history import REVISION, Ancestry, below, between, commit_of, makers
from reconciler.git.layers import NoDirectory, tree
from reconciler.git.names import checked_branch, checked_subdirectory
from reconciler.git.signers import Files, Signers
from reconciler.git.source import Commit, Signature, SourceError, Tree
from reconciler.git.watch import Changes
from reconciler.seams import Seams

# A repository on this machine costs 20 µs to look at; another costs a connection.
LOCAL_POLL_S, REMOTE_POLL_S = 1.0, 30.0
# The owner of a repository on this machine may be another user. Its data is read; none of its programs runs (uploadpack
# takes hooks from protected settings only). Other parents that he grafts on for himself are not what the commits say.
LOCAL_UPLOAD = f"GIT_GRAFT_FILE={NO_FILE} git -c 'safe.directory=*' upload-pack"
NOBODY = Files()
# In these words errno's ENOSPC and EDQUOT reach us, through git's and libgit2's messages.
FULL = re.compile(r"No space left on device|[Dd]isk quota exceeded")


class Mirror:
    """A Source: `branch` of the repository at `url` (URL, `user@host:path`, or a path), mirrored in `directory`."""

    def __init__(
        self,
        url: str,
        branch: str,
        directory: Path,
        seams: Seams,
        *,
        subdirectory: str = "",
        poll_s: float | None = None,
        deadline_s: float = 120.0,
        signers: Files = NOBODY,
    ) -> None:
        """Touches nothing yet; raises SourceError when the words themselves cannot be right."""
        self.shown = redacted(url)
        path = local_path(url)
        self._local = Path(os.path.abspath(path)) if path is not None else None
        self._url = url
        self._branch = checked_branch(branch)
        self._root = checked_subdirectory(subdirectory)
        self._signers = Signers(signers, seams) if signers else None
        self._seams = seams
        self._git = Git(deadline_s)
        self._bare = Bare(directory, seams, deadline_s)
        self._ancestry = Ancestry()
        self._lock = threading.RLock()
        self._source: pygit2.Repository | None = None
        self._looks = 0
        self._tip = ""
        # Something in the mirror could not be read: the next fetch makes it anew.
        self._damaged = False
        self._grown = False
        local = self._local is not None
        self._changes = Changes(seams, poll_s or (LOCAL_POLL_S if local else REMOTE_POLL_S), self._places if local else None)
        read_only()

    def fetch(self) -> str:
        with self._lock, self._reading(f"branch {self._branch} of {self.shown}"):
            self._seams.point("git.fetch", self.shown)
            if self._local is None:
                return self._fetch("")
            tip = self._local_tip(self._local)
            return tip if tip == self._tip and not self._damaged else self._fetch(tip)

    def signature(self, revision: str, at: float, after: str) -> Signature:
        with self._lock, self._reading(f"revision {revision[:12]} in {self._bare.directory}", ours=True):
            if self._signers is None:
                return Signature()
            return self._signers.signature(self._bare.opened(), self._commit(revision), at, after)

    def tree(self, revision: str) -> Tree:
        with self._lock, self._reading(f"revision {revision[:12]} in {self._bare.directory}", ours=True):
            self._seams.point("git.tree", revision)
            commit = self._vouched(revision)
            try:
                trees = self._bare.trees()
                return tree(revision, self._root, lambda root: trees.files(commit.tree_id, root), trees.contents)
            except NoDirectory:
                hint = "name another directory, or bring it back"
                raise SourceError(f"revision {revision[:12]} of {self.shown} has no directory {self._root}: {hint}") from None

    def past(self, revision: str, commit: str) -> Tree:
        with self._lock, self._reading(f"revision {commit[:12]} in {self._bare.directory}", ours=True):
            self._seams.point("git.past", revision, commit)
            self._vouched(revision)
            found = self._ancestry.past(self._bare.opened(), revision, commit)
            return below(found, self._root, self._bare.trees())

    def read(self, blob_ids: Iterable[str]) -> Mapping[str, bytes]:
        with self._lock, self._reading(f"a file in {self._bare.directory}", ours=True):
            self._seams.point("git.read", self.shown)
            return self._bare.trees().contents(blob_ids)

    def info(self, revision: str) -> Commit:
        with self._lock, self._reading(f"revision {revision[:12]} in {self._bare.directory}", ours=True):
            self._seams.point("git.info", revision)
            return commit_of(self._commit(revision))

    def commits(self, old: str, new: str) -> tuple[Commit, ...]:
        with self._lock, self._reading(f"history of {new[:12]} in {self._bare.directory}", ours=True):
            self._seams.point("git.commits", old, new)
            return between(self._bare.opened(), old, self._commit(new))

    def makers(self, old: str, new: str, files: Iterable[str]) -> Mapping[str, Commit]:
        with self._lock, self._reading(f"history of {new[:12]} in {self._bare.directory}", ours=True):
            return makers(self._bare.opened(), old, self._commit(new), files)

    def changed(self, timeout_s: float | None) -> bool:
        with self._lock, contextlib.suppress(SourceError, GitFailed, OSError):
            # Untidy is only slower; the next fetch says what is wrong, if anything is.
            if self._grown:
                self._grown = False
                self._bare.tidy(self._git)
        return self._changes.wait(timeout_s)

    def hint(self) -> None:
        self._changes.ring()

    def close(self) -> None:
        self._git.stop()
        self._changes.close()
        with self._lock:
            if self._source is not None:
                self._source.free()
                self._source = None
            self._bare.free()
            self._tip = ""

    @contextlib.contextmanager
    def _reading(self, what: str, *, ours: bool = False) -> Iterator[None]:
        """Turn every failure into a SourceError that says what was being read. `ours`: it is the mirror that failed."""
        try:
            yield
        except GitFailed as error:
            raise SourceError(f"cannot read {what}: {error}{self._room(error)}") from error
        except PYGIT2_ERRORS as error:
            self._damaged = self._damaged or ours
            hint = "; the mirror is made anew with the next fetch" if ours else self._room(error)
            raise SourceError(f"cannot read {what}: {redacted(str(error)) or type(error).__name__}{hint}") from error

    def _room(self, error: Exception) -> str:
        """What to do where a disk is full."""
        return f"; see that {self._bare.directory.parent} has room" if FULL.search(str(error)) else ""

    def _local_tip(self, path: Path) -> str:
        """What the branch names now, read without starting a process."""
        self._looks += 1
        if self._source is not None and self._looks % MANY_USES == 0:
            # Each push may be a pack there, too, which is open from here on although it is packed anew and gone.
            self._source.free()
            self._source = None
        if self._source is not None:
            with contextlib.suppress(*PYGIT2_ERRORS):
                return str(self._source.references[f"refs/heads/{self._branch}"].peel(pygit2.Commit).id)
            self._source = None
        try:
            self._source = pygit2.Repository(str(path), pygit2.enums.RepositoryOpenFlag.NO_SEARCH)
        except PYGIT2_ERRORS as error:
            reason: Exception = error
            try:
                # libgit2 takes what it may not look at for what is not there.
                os.stat(path / "HEAD")
            except PermissionError as forbidden:
                reason = forbidden
            except OSError:
                pass
            raise SourceError(f"{path} is not a Git repository that can be read: {reason}") from error
        name = f"refs/heads/{self._branch}"
        if not self._source.references.get(name):
            names = [one.removeprefix("refs/heads/") for one in self._source.references if one.startswith("refs/heads/")]
            raise SourceError(no_branch(self._branch, self.shown, names))
        try:
            return str(self._source.references[name].peel(pygit2.Commit).id)
        except PYGIT2_ERRORS as error:
            why = f"it names {self._source.references[name].target}, which is no commit that is there"
            raise SourceError(
                f"cannot read branch {self._branch} of {self.shown}: {why}; `git fsck` there says more"
            ) from error

    def _fetch(self, tip: str) -> str:
        """Bring the branch into the mirror. `tip` is what a local branch is known to name, or empty."""
        with self._bare.alone():
            mirror = None if self._damaged else self._bare.usable()
            revision = self._gain(mirror, tip) if mirror is not None else ""
            if not revision:
                self._bare.make_anew(self._fill)
                revision = named(self._bare.opened())
                if not revision:
                    raise SourceError(f"branch {self._branch} of {self.shown} names no commit")
            self._damaged, self._tip = False, revision
            return revision

    def _gain(self, mirror: pygit2.Repository, tip: str) -> str:
        """Bring what is new into a mirror that is there; gives the revision, or "" when the mirror itself is at fault."""
        old = named(mirror)
        if not old or old == tip:
            return old
        if tip and self._source is not None:
            # Whatever is in the way, git is asked next, and says it better.
            with contextlib.suppress(*PYGIT2_ERRORS):
                oid = pygit2.Oid(hex=tip)
                if carry(self._source, mirror, oid, pygit2.Oid(hex=old)):
                    mirror.references.create(TIP, oid, force=True)
                    self._grown = True
                    return tip
        try:
            self._git_fetch(self._bare.directory)
        except GitFailed as error:
            if FULL.search(str(error)):
                raise
            self._blame(error)
            return ""
        self._grown = True
        return named(mirror)

    def _git_fetch(self, directory: Path) -> None:
        words = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--update-shallow"]
        if self._local is not None:
            words += ["--upload-pack", LOCAL_UPLOAD]
        self._git.run(directory, [*words, "origin", f"+refs/heads/{self._branch}:{TIP}"], self._settings())

    def _fill(self, directory: Path) -> None:
        try:
            self._git_fetch(directory)
        except GitFailed as error:
            self._blame(error)
            raise

    def _settings(self) -> Mapping[str, str]:
        return {"remote.origin.url": str(self._local)} if self._local is not None else remote_settings(self._url)

    def _blame(self, error: GitFailed) -> None:
        """Raise what is wrong with the source; returns when nothing is."""
        words = ["ls-remote", "--heads", *(["--upload-pack", LOCAL_UPLOAD] if self._local is not None else []), "origin"]
        try:
            lines = self._git.run(
                self._bare.directory if self._bare.directory.is_dir() else Path("/"), words, self._settings()
            ).splitlines()
        except GitFailed as unreachable:
            raise SourceError(f"cannot reach {self.shown}: {unreachable}") from error
        names = [line.partition("\t")[2].removeprefix("refs/heads/") for line in lines]
        if self._branch not in names:
            raise SourceError(no_branch(self._branch, self.shown, names)) from error

    def _commit(self, revision: str) -> pygit2.Commit:
        if not REVISION.fullmatch(revision):
            raise SourceError(f"{revision!r} is not a revision: 40 hexadecimal digits are expected")
        found = self._bare.opened().get(revision)
        if found is None:
            raise SourceError(f"revision {revision[:12]} is not in the mirror of {self.shown}: fetch first")
        return found.peel(pygit2.Commit)

    def _vouched(self, revision: str) -> pygit2.Commit:
        commit = self._commit(revision)
        if self._signers is not None and not self._signers.vouch(revision):
            raise SourceError(f"revision {revision[:12]} of {self.shown} is not read: nobody who counts is known to sign it")
        return commit

    def _places(self) -> tuple[Path, ...]:
        """Where a commit on the branch leaves its traces."""
        with self._lock:
            if self._source is None:
                return ()
            git = Path(self._source.path)
        # A linked worktree keeps its branches in the repository it belongs to: https://git-scm.com/docs/gitrepository-layout
        shared = git / "commondir"
        common = Path(os.path.normpath(git / shared.read_text().strip())) if shared.is_file() else git
        heads = common / "refs" / "heads"
        chain = [common, common / "refs", heads, *(heads / p for p in reversed(Path(self._branch).parents) if p != Path("."))]
        return tuple(directory for directory in chain if directory.is_dir())


def named(mirror: pygit2.Repository) -> str:
    """The revision that the mirror has, or "" when there is none that can be read."""
    try:
        return str(mirror.references[TIP].peel(pygit2.Commit).id)
    except PYGIT2_ERRORS:
        return ""


def no_branch(branch: str, shown: str, names: list[str]) -> str:
    if not names:
        return f"{shown} has no commits yet: commit something and push it to {branch}"
    return f"{shown} has no branch {branch!r}; it has {', '.join(sorted(names)[:10])}"
