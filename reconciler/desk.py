"""Where is written: a branch of a repository, and the commits that what was accepted becomes on it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reconciler.acceptance import Accepted, author_of
from reconciler.core.proposal import Proposed, message
from reconciler.git import Branch, Person, Source, SourceError, Words

CONVOY = Person("Convoy", "convoy@localhost")


def _nowhere(name: str) -> Branch:
    raise SourceError(f"there is no repository for branch {name}")


@dataclass(frozen=True, slots=True)
class Desk:
    """Where is written: the branch, a Source of its own for it, and whether its commits have to be signed."""

    source: Source
    branch: Branch
    sign: bool = False
    # Another branch of that repository, by its name.
    aside: Callable[[str], Branch] = _nowhere

    def made(self, tip: str, accepted: Sequence[Accepted]) -> list[str]:
        """The commit of each, on top of each other in our mirror alone; of one that changes nothing, the one before."""
        commits = [
            (one.files, Words(message(one.proposed, one.proposal.id), author_of(one.proposed), CONVOY, self.sign))
            for one in accepted
            if one.files
        ]
        made = iter(self.branch.chain(commits, tip) if commits else ())
        head, revisions = tip, list[str]()
        for one in accepted:
            head = next(made) if one.files else head
            revisions.append(head)
        return revisions

    def close(self) -> None:
        self.source.close()
        self.branch.close()


@dataclass(frozen=True, slots=True)
class Drafted:
    """A commit that stands in our mirror alone: on top of the branch's tip, or that itself where nothing changes."""

    proposed: Proposed
    tip: str
    revision: str
    answer: Mapping[str, Any]
