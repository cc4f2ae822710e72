"""Words what a plan holds back and what it leaves alone: why, and what a person does about it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from reconciler.core.model import Held, Ref
from reconciler.core.show_layout import Block, Line, Span, Style, Table, text
from reconciler.core.show_problems import code, inert

WAITS: tuple[str, Style] = ("…", "wait")
HELD: tuple[str, Style] = ("‖", "wait")
# A lot of hundreds is one hold; who wants every name asks for JSON.
MOST_REFS = 8


def holds(held: Iterable[Held]) -> Iterable[Block]:
    """Those that wait for a person first, alike ones together, each with what releases it."""
    waiting: list[Held] = []
    alike: dict[tuple[str, str], list[Ref]] = defaultdict(list)
    for one in held:
        if one.release:
            alike[one.reason, one.release].append(one.ref)
        else:
            waiting.append(one)
    for (reason, release), refs in alike.items():
        yield text(Span(*HELD), " ", Span(_names(refs), "name"), f"  {reason}", indent=2, hang=2)
        yield text(Span("to go on: ", "dim"), release, indent=4, hang=2)
    if waiting:
        yield Table(("", "", ""), tuple(_row(one) for one in waiting), 2)


def _row(hold: Held) -> tuple[Line, ...]:
    instance = f" {hold.instance[:8]}" if hold.instance else ""
    return (Span(*WAITS),), (Span(str(hold.ref), "name"), Span(instance, "dim")), (Span(hold.reason),)


def _names(refs: Iterable[Ref]) -> str:
    names = list(dict.fromkeys(str(ref) for ref in refs))
    more = f" and {len(names) - MOST_REFS:,} more" if len(names) > MOST_REFS else ""
    return ", ".join(names[:MOST_REFS]) + more


def left(alone: Mapping[Ref, str]) -> Iterable[Block]:
    """What differs and is meant to."""
    rows = tuple(((Span("·", "dim"),), (Span(str(ref), "name"),), (Span(why),)) for ref, why in sorted(alone.items()))
    yield Table(("", "", ""), rows, 2)


def holds_markdown(held: Iterable[Held]) -> list[str]:
    """Rows of the plan's table."""
    return [
        f"| {code('…')} | {code(str(hold.ref))} | | held: {inert(hold.reason)}"
        + (f"; to go on: {inert(hold.release)}" if hold.release else "")
        + " |"
        for hold in held
    ]


def held_json(hold: Held) -> dict[str, Any]:
    return {
        "verb": hold.verb,
        "reason": hold.reason,
        "release": hold.release,
        "until": hold.until,
        "instance": hold.instance,
        "drifted": hold.drifted,
    }
