"""Keeps one comment of ours on a pull request, whoever else writes there and however many of our jobs run at once."""

from dataclasses import dataclass, replace
from typing import Literal

from reconciler.core.show_comment import Mark, outdated, read_mark
from reconciler.forge import Comment, Forge, Gone

# Each round is another job, or a person, having changed the comments meanwhile.
MOST_ROUNDS = 6

Done = Literal["created", "updated", "unchanged", "newer", "none"]


@dataclass(frozen=True, slots=True)
class Posted:
    """What became of it: `newer` where a later run has written already, `none` where there was nothing to mark as outdated."""

    done: Done
    comment: Comment | None = None


class _Ours:
    """Which of the comments are ours: written by our account, and of the same name.

    Anybody can write a mark into a comment of theirs, so the mark alone proves nothing.
    """

    def __init__(self, forge: Forge, number: int, name: str, author: str) -> None:
        self._forge, self._number, self._name = forge, number, name
        self._author = author or forge.author()

    def learn(self, written: Comment) -> None:
        """What was just written tells who we are where the forge would not."""
        self._author = self._author or written.author

    def __call__(self) -> list[tuple[Comment, Mark]]:
        """The oldest first: all jobs agree which one is to stay."""
        found = []
        for comment in self._forge.comments(self._number):
            mark = read_mark(comment.body)
            if mark is not None and mark.name == self._name and self._author and comment.author == self._author:
                found.append((comment, mark))
        return sorted(found, key=lambda one: one[0].id)


def post(forge: Forge, number: int, mark: Mark, body: str, *, author: str = "") -> Posted:
    """Leave one comment with this body; raises ForgeError. `author`: as whom we write, where a person has said so.

    No forge can change a comment on condition, so what was written is looked at again: of several the oldest stays, and an
    older run gives way to a newer one.
    """
    ours = _Ours(forge, number, mark.name, author)
    done: Done = "unchanged"
    written: Comment | None = None
    for _ in range(MOST_ROUNDS):
        found = ours()
        if not found:
            written = forge.create(number, body)
            ours.learn(written)
            done = "created"
            continue
        (kept, its), *others = found
        newest = max(one.run for _, one in found)
        for comment, one in others:
            # One of a newer run, which will write its words into the kept one: it is that run's to take away.
            if one.run <= mark.run:
                _delete(forge, number, comment)
        if newest > mark.run:
            return Posted("newer", kept)
        # A forge may keep a text a little differently; what stands there with our own mark is what we have written.
        if _same(kept.body, body) or (written is not None and written.id == kept.id and its == mark):
            return Posted(done, kept)
        try:
            written = forge.edit(number, kept.id, body)
        except Gone:
            continue
        done = "updated"
    return Posted(done, written)


def mark_outdated(forge: Forge, number: int, mark: Mark, limit: int, *, author: str = "") -> Posted:
    """Say in our comment, where there is one, that `mark.revision` has come since; raises ForgeError."""
    found = _Ours(forge, number, mark.name, author)()
    if not found:
        return Posted("none")
    comment, its = found[0]
    if its.run > mark.run:
        return Posted("newer", comment)
    if mark.revision in (its.revision, its.next):
        return Posted("unchanged", comment)
    body = outdated(comment.body, replace(its, next=mark.revision), limit)
    try:
        return Posted("updated", forge.edit(number, comment.id, body))
    except Gone:
        return Posted("none")


def _delete(forge: Forge, number: int, comment: Comment) -> None:
    try:
        forge.delete(number, comment.id)
    except Gone:
        return


def _same(one: str, other: str) -> bool:
    """Forges keep a text without the spaces at its end, some with other ends of lines."""
    return one.replace("\r\n", "\n").rstrip() == other.replace("\r\n", "\n").rstrip()
