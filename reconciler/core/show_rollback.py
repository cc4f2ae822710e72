"""Words a rollback: which document, what comes back, what goes, and the lines that change."""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from reconciler.core.show_layout import BLANK, Block, Fixed, Page, Span, Style, text
from reconciler.core.show_problems import short

# More changed lines than this are for a program that shows differences.
MOST_LINES = 60
SIGNS: dict[str, Style] = {"+": "add", "-": "remove", "@": "dim"}


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit as people tell it from others."""

    revision: str
    subject: str
    author: str


@dataclass(frozen=True, slots=True)
class Rollback:
    """`was` is the commit whose content comes back, `since` the one that changed it; `held` says that what goes stays out."""

    ref: str
    path: str
    branch: str
    was: Commit
    since: Commit
    held: bool
    before: bytes
    after: bytes


def rollback(back: Rollback) -> Page:
    page: list[Block] = [
        text(Span("roll back", "strong"), " ", Span(back.ref, "name"), f" in {back.path}", Span(f"  {back.branch}", "dim")),
        *_commit("to what it was in", back.was),
        *_commit("before", back.since),
    ]
    if back.held:
        release = Span(f"`Convoy-Release: {back.ref}`", "strong")
        page.append(text("what it is now stays out until a commit says ", release, indent=2, hang=2))
    lines = [*_changes(back.before, back.after)]
    page += [BLANK, *(_line(line) for line in lines[:MOST_LINES])]
    if len(lines) > MOST_LINES:
        page.append(text(f"… and {len(lines) - MOST_LINES} more lines", indent=2))
    return (*page, BLANK)


def _commit(words: str, commit: Commit) -> Iterator[Block]:
    author = Span(f"  {commit.author}", "dim")
    yield text(f"{words} ", Span(short(commit.revision), "strong"), f" {commit.subject}", author, indent=2, hang=2)


def _changes(before: bytes, after: bytes) -> Sequence[str]:
    """As `diff -u` shows them, without its first two lines."""
    old, new = (content.decode("utf-8", "replace").splitlines() for content in (before, after))
    return [*difflib.unified_diff(old, new, lineterm="", n=2)][2:]


def _line(line: str) -> Block:
    return Fixed((Span(line.replace("\t", " "), SIGNS.get(line[:1], "")),), 2)


def rolled_back(revision: str, branch: str, proposed: bool) -> Page:
    words = "proposed on" if proposed else "on"
    end = ": merge it to bring it into force" if proposed else ": whoever follows it carries it out"
    return (text(Span("rolled back", "good"), f" by {short(revision)} {words} {branch}{end}"),)
