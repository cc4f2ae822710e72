"""The one way of writing to the followed branch: a commit on the parent that was expected, or nothing at all."""

import re
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pygit2
from pygit2.enums import SortMode

from reconciler.core.trailers import LONGEST_MESSAGE, REQUEST, trailers
from reconciler.git.bare import PYGIT2_ERRORS, TIP, Bare
from reconciler.git.checkout import checked_out
from reconciler.git.command import Git, GitFailed, local_path, redacted, remote_settings
from reconciler.git.edit import Editing, NotEditable
from reconciler.git.history import REVISION
from reconciler.git.names import checked_branch
from reconciler.git.packs import COMMIT, Pack
from reconciler.git.person import Person
from reconciler.git.source import SourceError
from reconciler.seams import Seams

# What the user's own settings may not change about a push: what else is pushed, who is asked, what is run.
PUSHED = {"push.gpgSign": "false", "push.followTags": "false", "push.recurseSubmodules": "no", "push.pushOption": ""}
# To a repository on this machine, objects go as they are, and more than a few commits stay the pack as which they come:
# looking for what is alike among them, and making files of them again, is half of what pushing 32 commits costs.
LOCAL_PUSHED = {**PUSHED, "pack.window": "0"}
LOCAL_RECEIVE = "--receive-pack=git -c receive.unpackLimit=20 receive-pack"
# What the other side says where another push holds the branch for longer than it waits, which is no refusal.
LOCKED = re.compile(r"Unable to create '[^']*\.lock': File exists")
# A request's trailer wherever it stands in a message; a forge that squashes may put it into a list.
LINE = re.compile(rf"^[ \t*-]*{REQUEST}:[ \t]*([^\s]+)[ \t]*$", re.MULTILINE)


class Conflict(Exception):
    """The branch is not where it was expected: `tip` is what it names now ("": it is not there). Nothing was changed."""

    def __init__(self, message: str, tip: str) -> None:
        super().__init__(message)
        self.tip = tip


class Declined(SourceError):
    """The other side could be asked, and does not take the commit, or it would be taken badly there. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class Words:
    """What a commit says. `author` made the change, `committer` the commit; `sign`: by the committer's own git settings."""

    message: str
    author: Person
    committer: Person
    sign: bool = False


class Branch:
    """Writes to `branch` of the repository at `url`. `directory` is the mirror that a Mirror of the same url has filled.

    Every method may raise SourceError, and `push` also Conflict. Objects are made in our own mirror and change nothing for
    anybody; only `push` does, by one comparison and one step that the other side makes or refuses as a whole. Being killed
    anywhere leaves the branch either as it was or with the whole commit.
    """

    def __init__(self, url: str, branch: str, directory: Path, seams: Seams, *, deadline_s: float = 120.0) -> None:
        self.shown = redacted(url)
        self.name = checked_branch(branch)
        self._local = local_path(url)
        self._url, self._seams = url, seams
        self._git = Git(deadline_s)
        self._bare = Bare(directory, seams, deadline_s)
        self._editing: Editing | None = None

    def commit(self, changes: Mapping[str, bytes | None], parent: str, words: Words) -> str:
        """Make the commit and push it; the new revision."""
        revision = self.make(changes, parent, words)
        self.push(revision, parent)
        return revision

    def make(self, changes: Mapping[str, bytes | None], parent: str, words: Words) -> str:
        """A commit on `parent` with these files (None: gone) in our mirror alone; its revision."""
        return self.chain([(changes, words)], parent)[0]

    def chain(self, commits: Iterable[tuple[Mapping[str, bytes | None], Words]], parent: str) -> list[str]:
        """The same, of several, each on the one before: the revision of each."""
        revisions: list[str] = []
        with self._bare.alone(), self._failing(f"make a commit for branch {self.name} of {self.shown}"):
            repository = self._bare.opened()
            if self._editing is None or self._editing.repository is not repository:
                self._editing = Editing(repository)
            found = repository.get(parent) if REVISION.fullmatch(parent) else None
            if not isinstance(found, pygit2.Commit):
                raise SourceError(f"revision {parent[:12]} is not in the mirror of {self.shown}: fetch first")
            tree = str(found.tree_id)
            for changes, words in commits:
                self._seams.point("git.commit", parent)
                tree = self._editing.edited(tree, changes)
                parent = self._written(self._editing.pack, tree, parent, words)
                revisions.append(parent)
            self._editing.pack.write()
        return revisions

    def _written(self, pack: Pack, tree: str, parent: str, words: Words) -> str:
        message = checked(words.message)
        if words.sign:
            # A program makes this commit, and it reads the repository.
            pack.write()
            return self._signed(tree, parent, words, message)
        stamp = f"{int(self._seams.now())} +0000"
        header = f"tree {tree}\nparent {parent}\nauthor {words.author} {stamp}\ncommitter {words.committer} {stamp}\n"
        return pack.add(COMMIT, f"{header}\n{message}".encode())

    def _signed(self, tree: str, parent: str, words: Words, message: str) -> str:
        """The same by `git commit-tree`, which knows the user's keys and programs (gpg.format, user.signingKey)."""
        now = f"@{int(self._seams.now())} +0000"
        variables = {
            **words.author.variables("AUTHOR"),
            **words.committer.variables("COMMITTER"),
            "GIT_AUTHOR_DATE": now,
            "GIT_COMMITTER_DATE": now,
        }
        with tempfile.NamedTemporaryFile(suffix=".message") as file:
            file.write(message.encode())
            file.flush()
            arguments = ["commit-tree", tree, "-p", parent, "-S", "-F", file.name]
            try:
                return self._git.run(self._bare.directory, arguments, variables=variables).strip()
            except GitFailed as error:
                raise SourceError(
                    f"cannot sign the commit: {error}; see that `git commit -S` works without a question (user.signingKey, "
                    "gpg.format, an agent that has the key)"
                ) from error

    def push(self, revision: str, expected: str) -> None:
        """Move the branch from `expected` ("": it must not be there) to this revision of our mirror, or raise Conflict."""
        self.writable()
        with self._failing(f"push to branch {self.name} of {self.shown}"):
            self._seams.point("git.push", self.shown, revision)
            # What moves the branch only if it is still where it was expected, on the other side and in one step. A plain push
            # would also bring back what somebody has just taken off the branch; and nothing is forced: the commit's parent is
            # what was expected.
            words = ["push", "--quiet", "--no-verify", "--no-follow-tags", "--recurse-submodules=no"]
            words += [LOCAL_RECEIVE] if self._local is not None else []
            words += [f"--force-with-lease=refs/heads/{self.name}:{expected}", "origin", f"{revision}:refs/heads/{self.name}"]
            try:
                settings = LOCAL_PUSHED if self._local is not None else PUSHED
                self._git.run(self._bare.directory, words, {**self._settings(), **settings})
            except (GitFailed, SourceError) as error:
                # The answer may have been lost on its way: what counts is what the branch names.
                tip = self._tip(error)
                if tip == revision:
                    return
                if tip != expected:
                    raise Conflict(self._moved(expected, tip), tip) from error
                if LOCKED.search(str(error)) or isinstance(error, SourceError):
                    # Somebody else is in the middle of a push there, or ours was given up, and its other end goes on:
                    # whatever becomes of that.
                    raise SourceError(f"cannot push to {self.shown} now: {heard(str(error))}") from error
                raise Declined(f"{self.shown} does not take the commit for branch {self.name}: {heard(str(error))}") from error

    def tip(self) -> str:
        """What the branch names now; "" when it is not there."""
        with self._failing(f"look at branch {self.name} of {self.shown}"):
            lines = self._git.run(self._bare.directory, ["ls-remote", "origin", f"refs/heads/{self.name}"], self._settings())
            return next((id for id, _, ref in (line.partition("\t") for line in lines.splitlines()) if self._is(ref)), "")

    def followed(self, revision: str) -> None:
        """The followed branch is at this revision of our mirror now, so whoever reads it need not bring anything here."""
        with self._bare.alone(), self._failing(f"note where branch {self.name} of {self.shown} is"):
            self._bare.opened().references.create(TIP, pygit2.Oid(hex=revision), force=True)

    def tidy(self) -> None:
        """Pack what was made, where that is worth it; takes up to seconds."""
        with self._failing(f"pack {self._bare.directory}"):
            self._bare.tidy(self._git)

    def requested(
        self, tip: str, ids: Collection[str], most: int, *, since: str = "", anywhere: bool = False
    ) -> dict[str, str]:
        """Which of these requests the branch's commits answer (by their trailer), and the commit of each; newest first, so many
        are looked at, those of merged branches too: a person may have merged ours into theirs. What has led to `since` is left
        out. `anywhere`: also where the trailer is no longer at the end, as a forge leaves it that adds words of its own."""
        found: dict[str, str] = {}
        with self._bare.alone(), self._failing(f"read the history of branch {self.name} of {self.shown}"):
            self._seams.point("git.requested", tip)
            repository = self._bare.opened()
            walk = repository.walk(pygit2.Oid(hex=tip), SortMode.TIME)
            if REVISION.fullmatch(since) and isinstance(repository.get(since), pygit2.Commit):
                walk.hide(pygit2.Oid(hex=since))
            for commit in islice(walk, most):
                if REQUEST.encode() not in commit.raw_message:
                    continue
                message = commit.raw_message[:LONGEST_MESSAGE].decode("utf-8", "replace")
                # In a commit of ours, whoever asked for it may have said anything before the trailers.
                said = _said(message) or (LINE.findall(message) if anywhere else ())
                found.update((id, str(commit.id)) for id in said if id in ids)
                if len(found) == len(ids):
                    break
        return found

    def holds(self, tip: str, revision: str) -> bool:
        """Whether this commit, as somebody else names it, has led to `tip`, or is it."""
        with self._bare.alone(), self._failing(f"read the history of branch {self.name} of {self.shown}"):
            repository = self._bare.opened()
            found = repository.get(revision) if REVISION.fullmatch(revision) else None
            if not isinstance(found, pygit2.Commit):
                return False
            return revision == tip or repository.descendant_of(pygit2.Oid(hex=tip), found.id)

    def close(self) -> None:
        self._git.stop()
        self._editing = None
        self._bare.free()

    def _is(self, ref: str) -> bool:
        return ref == f"refs/heads/{self.name}"

    def _tip(self, failed: Exception) -> str:
        try:
            return self.tip()
        except SourceError as error:
            raise SourceError(
                f"cannot push to {self.shown}: {failed}; whether branch {self.name} has moved is not known, for it cannot be "
                f"read either ({error})"
            ) from failed

    def _moved(self, expected: str, tip: str) -> str:
        if not tip:
            return f"branch {self.name} of {self.shown} is gone"
        if not expected:
            return f"{self.shown} has a branch {self.name} already, at {tip[:12]}: choose another name"
        return f"branch {self.name} of {self.shown} has moved from {expected[:12]} to {tip[:12]} meanwhile"

    def writable(self) -> None:
        """Nobody's working tree may be left behind its branch: their next `commit -a` would undo what we committed."""
        if self._local is None:
            return
        with self._failing(f"look at {self.shown}"):
            tree = checked_out(self._local, self.name)
        if tree:
            raise Declined(
                f"branch {self.name} is checked out in {tree}, and committing under it would be undone by the next commit made "
                f"there: check out another branch there, follow the repository it is pushed to, or let git bring the working "
                f"tree along (git -C {tree} config receive.denyCurrentBranch updateInstead)"
            )

    def _settings(self) -> Mapping[str, str]:
        return {"remote.origin.url": str(self._local.absolute())} if self._local is not None else remote_settings(self._url)

    @contextmanager
    def _failing(self, attempt: str) -> Iterator[None]:
        try:
            yield
        except (SourceError, Conflict):
            raise
        except NotEditable as error:
            raise Declined(f"cannot {attempt}: {error}") from error
        except GitFailed as error:
            raise SourceError(f"cannot {attempt}: {error}") from error
        except PYGIT2_ERRORS as error:
            raise SourceError(f"cannot {attempt}: {redacted(str(error)) or type(error).__name__}") from error


def _said(message: str) -> list[str]:
    return [trailer.value for trailer in trailers(message) if trailer.token == REQUEST]


def checked(message: str) -> str:
    """The message as a commit holds it: no NUL, which would end it for readers, and one line break at the end."""
    if "\0" in message or not message.strip():
        raise SourceError("a commit's message is text, and not empty")
    text = message.strip("\n") + "\n"
    # Of a longer one no trailer would be heard.
    if len(text.encode()) > LONGEST_MESSAGE:
        raise SourceError(f"the commit's message is longer than {LONGEST_MESSAGE} bytes: shorten it")
    return text


def heard(words: str) -> str:
    """What the other side said, first: its hooks know why they refuse."""
    said = [part.removeprefix("remote: ").strip() for part in words.split("; ") if part.startswith("remote: ")]
    rest = [part for part in words.split("; ") if not part.startswith("remote: ")]
    return "; ".join([part for part in said if part] + rest) if said else words
