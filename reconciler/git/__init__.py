"""The source of wishes: a branch of a Git repository, followed by a mirror of our own, or a plain folder."""

from reconciler.git.branch import Branch, Conflict, Declined, Words
from reconciler.git.commits import Commits
from reconciler.git.folder import Directory
from reconciler.git.history import NotThere
from reconciler.git.mirror import Mirror
from reconciler.git.past import Past, Step
from reconciler.git.person import Person, person
from reconciler.git.signers import Files
from reconciler.git.source import MOST_COMMITS, Commit, NoHistory, Signature, Source, SourceError, Tree

__all__ = [
    "MOST_COMMITS",
    "Branch",
    "Commit",
    "Commits",
    "Conflict",
    "Declined",
    "Directory",
    "Files",
    "Mirror",
    "NoHistory",
    "NotThere",
    "Past",
    "Person",
    "Signature",
    "Source",
    "SourceError",
    "Step",
    "Tree",
    "Words",
    "person",
]
