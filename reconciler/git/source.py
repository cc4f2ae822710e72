"""What a source of wishes is, whether a Git branch or a plain folder, and the nouns it speaks in."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from reconciler.core.layers import Layer
from reconciler.core.model import Problem

# Only these can hold documents; other files in the repository are nobody's business here.
DOCUMENT_ENDINGS = (".yaml", ".yml")

# A hundred times the size of a large hand-written document. Known before a byte of the file is read.
LARGEST_FILE = 5 * 1024 * 1024

# What one revision may hold in files and directories, and how deep. Trees of a few kilobytes can stand for billions of
# files by naming the same subtree again and again, so the walk itself must have an end.
MOST_ENTRIES = 500_000
DEEPEST = 64

# What is told of the commits between two revisions: more than anybody pushes at once, and read in a tenth of a second.
MOST_COMMITS = 1000


class SourceError(Exception):
    """The source could not be read. Says nothing about what is in it: least of all that it is empty."""


class NoHistory(SourceError):
    """It never will be: this source keeps nothing but what is there now."""


@dataclass(frozen=True, slots=True)
class Tree:
    """The documents' files in one revision: path from the repository's root ⇒ blob id (40 hexadecimal digits).

    `root` is the directory the fleet lives in, "" or ending in "/"; every path begins with it. `problems` are about files
    that cannot be read as documents at all (links, sizes, names); such a revision is refused like any with Problems.
    Of an environment, `layers` are the directories that it is made of, bases first and `root` last, and `files` those of all.
    """

    revision: str
    files: Mapping[str, str]
    problems: tuple[Problem, ...] = ()
    root: str = ""
    layers: tuple[Layer, ...] = ()

    @property
    def roots(self) -> str | tuple[str, ...]:
        """Where paths of documents count from: in an environment each layer's directory, else `root`."""
        return tuple(layer.root for layer in self.layers) or self.root


@dataclass(frozen=True, slots=True)
class Commit:
    """Who made a revision, when, and what they said. Times are Unix seconds; `author` is "Name <mail>", "" for a folder."""

    revision: str
    author: str
    authored_at: float
    committed_at: float
    message: str
    parents: tuple[str, ...]

    @property
    def subject(self) -> str:
        return self.message.partition("\n")[0]


@dataclass(frozen=True, slots=True)
class Signature:
    """Who answers for a revision ("" where nobody is asked), and why it may not be used, where it may not."""

    signer: str = ""
    problem: Problem | None = None


class Source(Protocol):
    """Where the wishes are. Every method may raise SourceError and nothing else."""

    def fetch(self) -> str:
        """The revision that is wanted now, after getting everything needed to read it."""

    def signature(self, revision: str, at: float, after: str) -> Signature:
        """Who answers for this revision. Without signers to judge by: nobody is asked, and nothing is wrong.

        Keys have to be valid at `at` (Unix seconds: now, or when the revision was accepted, never what a commit says).
        `after` is the revision in force, from which a signed one has to lead on, or "" to look at a revision alone. To ask
        again costs nothing.
        """

    def tree(self, revision: str) -> Tree:
        """The files of a revision that `fetch` has returned, now or in an earlier life.

        Where there are signers to judge by, `signature` has found nothing wrong with it before.
        """

    def past(self, revision: str, commit: str) -> Tree:
        """The files of a commit that led to `revision`, or is it: whoever answers for that answers for all of its past.

        Raises `history.NotThere` as well, where `commit` is nothing of the kind.
        """

    def read(self, blob_ids: Iterable[str]) -> Mapping[str, bytes]:
        """The contents of blobs that a Tree names."""

    def info(self, revision: str) -> Commit:
        """Who made this revision, and when."""

    def commits(self, old: str, new: str) -> tuple[Commit, ...]:
        """The commits that lead from `old` to `new`, newest first, merged ones too; at most MOST_COMMITS, the newest.

        None when both are the same. Only `new` itself where `old` is "", not known, or not among what `new` descends from
        (the branch was rewritten, or is a folder).
        """

    def makers(self, old: str, new: str, files: Iterable[str]) -> Mapping[str, Commit]:
        """The newest commit on the branch's own line, after `old` ("": ever) up to `new`, that changed each of these files.

        One that none did, or none of the last hundred, is left out. The one that was changed last comes first.
        """

    def changed(self, timeout_s: float | None) -> bool:
        """Wait until a fetch may find something new (True), the time is over, or the source is closed (False)."""

    def hint(self) -> None:
        """Somebody says that there is something new: `changed` returns at once."""

    def close(self) -> None:
        """Let go of everything; a `fetch` or `changed` under way ends soon. May be called from any thread, and twice."""


def is_document(path: str) -> bool:
    return path.endswith(DOCUMENT_ENDINGS)
