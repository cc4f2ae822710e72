"""Words what a plan holds back and what it leaves alone: why, and what a person does about it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from reconciler.core.facts import Order
from reconciler.core.model import Held, Ref
from reconciler.core.release import about
from reconciler.core.show_layout import Block, Line, Span, Style, Table, text
from reconciler.core.show_problems import code, inert, short

WAITS: tuple[str, Style] = ("…", "wait")
HELD: tuple[str, Style] = ("‖", "wait")
# A lot of hundreds is one hold; who wants every name asks for JSON.
MOST_REFS = 8
# Orders that somebody may wonder about later, in words.
SHOWN_ORDERS = {"suspend": "suspended", "hold": "kept out", "override": "sync windows overridden for", "sync": "released"}


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
        yield text(Span(*HELD), " ", Span(names(refs), "name"), f"  {reason}", indent=2, hang=2)
        yield text(Span("to go on: ", "dim"), release, indent=4, hang=2)
    if waiting:
        yield Table(("", "", ""), tuple(_row(one) for one in waiting), 2)


def _row(hold: Held) -> tuple[Line, ...]:
    instance = f" {hold.instance[:8]}" if hold.instance else ""
    return (Span(*WAITS),), (Span(str(hold.ref), "name"), Span(instance, "dim")), (Span(hold.reason),)


def names(refs: Iterable[Ref]) -> str:
    listed = list(dict.fromkeys(str(ref) for ref in refs))
    more = f" and {len(listed) - MOST_REFS:,} more" if len(listed) > MOST_REFS else ""
    return ", ".join(listed[:MOST_REFS]) + more


def left(alone: Mapping[Ref, str]) -> Iterable[Block]:
    """What differs and is meant to."""
    rows = tuple(((Span("·", "dim"),), (Span(str(ref), "name"),), (Span(why),)) for ref, why in sorted(alone.items()))
    yield Table(("", "", ""), rows, 2)


def orders(given: Iterable[Order], foreign: Mapping[str, int], now: float) -> Iterable[Block]:
    """What people have suspended, what rolled-back content is kept out, and whose marks are seen that are not ours."""
    for one in given:
        if one.verb not in SHOWN_ORDERS or (one.until is not None and one.until <= now):
            continue
        word = SHOWN_ORDERS[one.verb]
        over = "" if one.until is None else f" for {ago(one.until - now)} more"
        yield text(Span(word, "wait"), f" {_about(one)}{over}, by {one.by}", f": {one.reason}" if one.reason else "", hang=2)
    for whose, number in sorted(foreign.items()):
        words = f" of installation {whose} here, {number:,} in all, left alone; if it is no more: "
        yield text(Span("things", "wait"), words, Span(f"convoy take-over {whose}", "strong"), hang=2)


def _about(order: Order) -> str:
    if order.verb not in ("sync", "override"):
        return order.subject
    revision, only = about(order.subject)
    return f"revision {short(revision)}" + (f", only {only}" if only else "")


def orders_json(given: Iterable[Order], foreign: Mapping[str, int]) -> dict[str, Any]:
    rows = [
        {"verb": one.verb, "subject": one.subject, "reason": one.reason, "by": one.by, "at": one.at, "until": one.until}
        for one in given
    ]
    return {"orders": rows, "foreign": dict(sorted(foreign.items()))}


def ago(seconds: float) -> str:
    """How long, in one unit and at most three digits."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(max(seconds, 0))}s"


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
