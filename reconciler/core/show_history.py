"""Words what happened: to one resource change by change, and to the fleet as a whole."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from reconciler.core.declared import CHANGES, Change, Changed
from reconciler.core.fields import Field, Fields, differences, effects
from reconciler.core.model import Problem
from reconciler.core.show_fields import SEALED_AGAIN, field_json, field_row, sign_of
from reconciler.core.show_fields import words as in_words
from reconciler.core.show_holds import ago
from reconciler.core.show_layout import BLANK, Block, Line, Page, Span, Style, Table, text, words
from reconciler.core.show_problems import count, problem_json, short

# Fields that are named in a line; the others are counted.
MOST_IN_A_LINE = 3
SIGNS: Mapping[Change, tuple[str, Style]] = {
    "created": ("+", "add"),
    "changed": ("~", "change"),
    "moved": ("»", "dim"),
    "deleted": ("-", "remove"),
}
What = Literal["accepted", "refused", "order", "dropped", "failed"]
HAPPENED: Mapping[What, tuple[str, Style]] = {
    "accepted": ("✓", "good"),
    "refused": ("✗", "bad"),
    "order": ("‖", "wait"),
    "dropped": ("·", "dim"),
    "failed": ("✗", "bad"),
}
ORDERS: Mapping[str, str] = {
    "confirm": "confirmed",
    "suspend": "suspended",
    "resume": "resumed",
    "hold": "kept out",
    "take-over": "taken over",
}
DROPPED: Mapping[str, str] = {"suspend": "resumed", "hold": "let in again", "confirm": "no longer confirmed"}


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happened to the fleet. `counts`: how many resources a revision changed in each way; `times`: how often.

    `subject` is a revision, a printed ref, or what an order is about; `by` who did it, `signer` who answers for it.
    """

    at: float
    what: What
    verb: str
    subject: str
    by: str = ""
    words: str = ""
    signer: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    times: int = 1


def resource_history(ref: str, changes: Sequence[Changed], now: float, *, fields: bool, more: bool = False) -> Page:
    """Newest first; with `fields`, what each of them changed field by field."""
    head = text(Span(ref, "strong"), Span(f"  {count(len(changes), 'change')}, newest first", "dim"))
    if not changes:
        return (text(Span(ref, "strong"), ": nothing is known of what it was"),)
    page: list[Block] = [head]
    if fields:
        for one in changes:
            page += [BLANK, text(*_spaced(change_row(one, now))), *field_lines(compared(one), indent=4)]
    else:
        page += [BLANK, Table(("N", "WHEN", "WHO", "COMMIT", "WHAT"), tuple(change_row(one, now) for one in changes), 2)]
    if more:
        page.append(text(Span("… older ones with -n", "dim"), indent=2))
    return tuple(page)


def change_row(one: Changed, now: float) -> tuple[Line, ...]:
    """Its number, when, by whom, in which commit, and what."""
    sign, style = SIGNS[one.change]
    return (
        words(str(one.n), "strong"),
        words(f"{ago(now - one.at)} ago", "dim"),
        words(name_of(one.author)),
        words(short(one.revision)),
        (Span(f"{sign} ", style), Span(in_few_words(one))),
    )


def _spaced(cells: Iterable[Line]) -> Iterable[Span]:
    for number, cell in enumerate(cells):
        yield from (Span("  "), *cell) if number else cell


def compared(one: Changed) -> Fields:
    """What this change changed; nothing where either side is not kept."""
    if one.change in ("created", "deleted", "moved") or one.before is None or one.after is None:
        return Fields()
    return differences(one.before, one.after, effects(one.ref.partition("/")[0], one.after))


def in_few_words(one: Changed) -> str:
    if one.change == "created":
        return f"created in {one.file}" if one.n == 1 else f"created again, in {one.file}"
    if one.change == "deleted":
        return f"deleted from {one.file}"
    if one.change == "moved":
        return f"moved to {one.file}"
    if one.before is None or one.after is None:
        return "changed; what it was is not kept any more"
    found = compared(one)
    if not found.listed:
        return SEALED_AGAIN
    named = [f"{_lead(each)}{each.path} {in_words(each)}" for each in found.listed[:MOST_IN_A_LINE]]
    rest = len(found.listed) + found.more - len(named)
    return ", ".join(named) + (f" and {count(rest, 'more field')}" if rest else "")


def _lead(one: Field) -> str:
    sign = sign_of(one)[0]
    return "" if sign == "~" else sign


def field_lines(found: Fields, indent: int, *, effect: bool = True) -> Iterable[Block]:
    """Every field that is listed, as plans show them; `effect`: and how its change takes effect."""
    rows = tuple(field_row(each, effect=effect) for each in found.listed)
    if rows:
        yield Table(("", "", "", ""), rows, indent)
    if found.more:
        yield text(Span(f"… and {count(found.more, 'more field')}", "dim"), indent=indent)
    if not found.whole:
        yield text(Span("… and more: too large to be compared as a whole", "dim"), indent=indent)


def name_of(author: str) -> str:
    """The name in "Name <mail>", or the mail where there is none."""
    name, _, mail = author.partition(" <")
    return name.strip() or mail.rstrip(">") or author


def change_json(one: Changed) -> dict[str, Any]:
    found = compared(one)
    return {
        "ref": one.ref,
        "n": one.n,
        "at": one.at,
        "author": one.author,
        "revision": one.revision,
        "accepted": one.accepted,
        "change": one.change,
        "file": one.file,
        "line": one.line,
        "digest": one.digest or None,
        "digestBefore": one.digest_before or None,
        "kept": one.change != "changed" or (one.before is not None and one.after is not None),
        "what": in_few_words(one),
        "fields": fields_json(found),
        "moreFields": found.more,
    }


def fields_json(found: Fields) -> list[dict[str, Any]]:
    return [field_json(each) for each in found.listed]


def fleet_history(happened: Sequence[Happening], now: float, *, more: bool = False) -> Page:
    """Newest first: revisions, what people told beside them, and what failed."""
    if not happened:
        return (text("nothing has happened yet that is kept"),)
    rows = tuple(
        (
            words(f"{ago(now - one.at)} ago", "dim"),
            (
                Span(f"{HAPPENED[one.what][0]} ", HAPPENED[one.what][1]),
                Span(_verb(one)),
                Span(f" {short(one.subject)}", "name"),
            ),
            words(name_of(one.by)),
            _said(one),
        )
        for one in happened
    )
    page: list[Block] = [Table(("WHEN", "WHAT", "WHO", ""), rows)]
    if more:
        page.append(
            text(Span("… older ones with -n; ", "dim"), Span("convoy history KIND/NAME", "strong"), " shows one resource")
        )
    return tuple(page)


def _verb(one: Happening) -> str:
    if one.what == "order":
        return ORDERS.get(one.verb, one.verb)
    if one.what == "dropped":
        return DROPPED.get(one.verb, f"no longer {one.verb}")
    return f"could not {one.verb}" if one.what == "failed" else one.what


def _said(one: Happening) -> Line:
    parts: list[Span] = []
    if one.counts:
        for change in CHANGES:
            if one.counts.get(change):
                sign, style = SIGNS[change]
                parts += [Span(f"{sign}{one.counts[change]:,} {change}", style), Span("  ")]
    elif one.what == "accepted":
        parts += [Span("no resource changed", "dim"), Span("  ")]
    if one.words:
        parts += [Span(one.words), Span("  ")]
    if one.problems:
        more = len(one.problems) - 1
        parts += [Span(str(one.problems[0])), Span(f" (and {count(more, 'more Problem')})" if more else ""), Span("  ")]
    if one.signer:
        parts += [Span(f"signed by {one.signer}", "dim"), Span("  ")]
    if one.times > 1:
        parts += [Span(f"{one.times:,} times", "dim"), Span("  ")]
    return tuple(parts[:-1])


def happening_json(one: Happening) -> dict[str, Any]:
    return {
        "at": one.at,
        "what": one.what,
        "verb": one.verb,
        "subject": one.subject,
        "by": one.by,
        "words": one.words,
        "signer": one.signer,
        "changes": {change: one.counts.get(change, 0) for change in CHANGES},
        "problems": [problem_json(problem) for problem in one.problems],
        "times": one.times,
    }
