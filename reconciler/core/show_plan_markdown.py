"""Words a plan for a pull request: its size first, then every resource folded away, within what a forge takes."""

import html
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from reconciler.core.edits import Edit
from reconciler.core.model import Plan, Ref
from reconciler.core.show_blast import NOTHING, Background, Blast, blast, reach, summary
from reconciler.core.show_fields import SIGNS as EDIT_SIGNS
from reconciler.core.show_fields import edit_markdown, place
from reconciler.core.show_holds import names
from reconciler.core.show_layout import harmless
from reconciler.core.show_plan import left_out
from reconciler.core.show_problems import code, inert, short
from reconciler.core.show_steps import DANGER, SIGNS, Change, Step, in_order, stands_alone, steps, told
from reconciler.core.show_tells import Running, nodes_shown, tell_markdown

# GitHub takes comments of 65,536 characters; whoever posts one puts words of their own around it.
LIMIT, LEAST = 60_000, 3_000
# Kept for the line that counts what is not shown.
FOOT = 500
LONGEST_WORDS = 300
# After what begins a mention or a reference on some forge, and within what begins an address.
REFERENCE = re.compile(r"(?<=[@#!~%$&])(?=\w)|(?=://)|(?<=\bwww)(?=\.)")
VERBS: Mapping[Change, str] = {
    "take-over": "take over",
    "create": "create",
    "replace": "replace",
    "restart": "restart",
    "update": "update in place",
    "delete": "delete",
    "tell": "new configuration",
    "hold": "held",
}


@dataclass(frozen=True, slots=True)
class Piece:
    """What is said of one resource, or of `number` alike: whole, or in one line where there is no room. `what` names it when
    it is only counted."""

    what: str
    line: str
    inside: tuple[str, ...] = ()
    number: int = 1

    def whole(self) -> str:
        if not self.inside:
            return self.short()
        # Nothing inside a fold is Markdown to a forge unless a blank line stands before it.
        inside = "\n".join(self.inside)
        return f"<details><summary>{self.line}</summary>\n\n{inside}\n\n</details>\n\n"

    def short(self) -> str:
        # HTML up to the blank line, as in a fold's head.
        return f"<p>{self.line}</p>\n\n"


def plan_markdown(
    planned: Plan, running: Running | None = None, background: Background = NOTHING, *, limit: int = LIMIT
) -> str:
    """At most `limit` characters (3,000 at least, else ValueError). What does not fit is counted; it is the least dangerous.

    The size comes first, then a fold for each resource: deletes, replacements, restarts, updates, creates, and what proxies are
    told. Nothing that a fleet file holds is read as Markdown or HTML, and no fold is ever cut.
    """
    if limit < LEAST:
        raise ValueError(f"a plan takes {LEAST:,} characters of Markdown at least, not {limit:,}")
    listed = in_order(steps(planned, background.owners), DANGER)
    size = blast(listed, background)
    head = _head(planned, listed, size, background)
    room = limit - len(head) - FOOT
    body: list[str] = []
    missing: Counter[str] = Counter()
    pieces = tuple(_pieces(planned, listed, running or {}, background))
    # A line for each comes before more about any, where there is room for all of those.
    later = sum(len(piece.short()) for piece in pieces)
    later = 0 if later > room else later
    for piece in pieces:
        later -= min(later, len(piece.short()))
        for words, kept in ((piece.whole(), later), (piece.short(), 0)):
            if not missing and len(words) + kept <= room:
                body.append(words)
                room -= len(words)
                break
        else:
            # From the first that does not fit: one that is less dangerous must not take the place of one that is more so.
            missing[piece.what] += piece.number
    foot = ""
    if missing:
        rest = ", ".join(f"{number:,} × {what}" for what, number in missing.items())
        foot = f"\n**Not shown, for lack of room:** {inert(rest)}\n"
    return head + ("\n" if body else "") + "".join(body) + foot


def _head(planned: Plan, listed: Sequence[Step], size: Blast, background: Background) -> str:
    now = code(_cut(harmless(short(planned.revision)), 80))
    revisions = f"{code(_cut(harmless(short(background.before)), 80))} → {now}" if background.before else now
    if listed:
        lines = [f"**{inert(''.join(span.text for span in summary(size)))}** ({revisions})"]
    elif background.before:
        lines = [f"**Nothing changes for what runs** ({revisions})"]
    else:
        what = "for what is selected" if background.selected else "the fleet is as declared"
        lines = [f"**Nothing to do**: {what} ({revisions})"]
    touched = reach(size)
    if touched:
        lines += ["", inert(touched[:1].upper() + touched[1:])]
    if background.selected:
        lines += ["", inert(_cut(left_out(background), 120))]
    return "\n".join(lines) + "\n"


def _pieces(planned: Plan, listed: Iterable[Step], running: Running, background: Background) -> Iterator[Piece]:
    edits = {edit.ref: edit for edit in background.edits}
    told_of: set[Ref] = set()
    held = []
    for _, alike in groupby(listed, _alike):
        some = list(alike)
        if some[0].change == "hold":
            held += some
        elif some[0].change == "tell":
            yield from (_tell(step, running) for step in some)
        else:
            yield _steps(some, edits, told_of)
    for edit in background.edits:
        if edit.ref not in told_of:
            sign, words = EDIT_SIGNS[edit.made][0], f"document {edit.made}"
            line = _line(sign, str(edit.ref), f"{words} {place(edit)}".rstrip())
            yield Piece("changed document", line, tuple(edit_markdown(edit)))
    for step in held:
        for hold in step.held:
            line = _line(SIGNS["hold"][0], str(step.ref), f"held: {hold.reason}")
            yield Piece("held", line, (f"To go on: {inert(_cut(hold.release, LONGEST_WORDS))}",) if hold.release else ())
    for ref, why in sorted(planned.left.items()):
        yield Piece("left alone", _line("·", str(ref), why))


def _alike(step: Step) -> tuple[str, Ref, str]:
    """Replicas to which the same happens for the same reason are one piece; what is held of one is its own."""
    alone = any(stands_alone(hold, step) for hold in step.held)
    return step.change, step.ref if alone else step.owner, step.reason


def _tell(step: Step, running: Running) -> Piece:
    words = f"{VERBS['tell']} for {nodes_shown(told(step))}"
    return Piece(VERBS["tell"], _line(SIGNS["tell"][0], str(step.ref), words), tuple(tell_markdown(step, running)))


def _steps(alike: Sequence[Step], edits: Mapping[Ref, Edit], told_of: set[Ref]) -> Piece:
    """What is done to one resource, or to several replicas."""
    step, inside = alike[0], list[str]()
    hosts = sorted({host for one in alike for host in one.hosts})
    words = VERBS[step.change] + (f" on {nodes_shown(hosts)}" if hosts else "")
    if step.reason and (step.change, step.reason) != ("create", "missing"):
        words += f": {step.reason}"
    edit = edits.get(step.owner)
    # What was changed in what they all come from is told once.
    if edit is not None and step.owner not in told_of:
        inside += edit_markdown(edit)
    told_of.add(step.owner)
    for hold in step.held:
        if stands_alone(hold, step):
            release = f"; to go on: {inert(_cut(hold.release, LONGEST_WORDS))}" if hold.release else ""
            inside += ([""] if inside else []) + [f"Held: {inert(_cut(hold.reason, LONGEST_WORDS))}{release}"]
    return Piece(
        VERBS[step.change],
        _line(SIGNS[step.change][0], names(one.ref for one in alike), words),
        tuple(inside),
        len(alike),
    )


def _line(sign: str, ref: str, words: str) -> str:
    return f"<code>{html.escape(sign)}</code> <code>{_html(ref)}</code> {_html(words)}".rstrip()


def _html(words: str) -> str:
    """One line of text where forges read HTML and no Markdown, but still look for mentions, references and addresses."""
    apart = REFERENCE.sub("\u200b", _cut(" ".join(harmless(words).split()), LONGEST_WORDS))
    return html.escape(apart)


def _cut(words: str, longest: int) -> str:
    return words if len(words) <= longest else f"{words[: longest - 1]}…"
