"""`convoy history`: what changed, when, by whom and in which commit; of one resource, or of the fleet."""

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

import click

from reconciler.commands import sources
from reconciler.commands.look import kept_or_fail, kind_of, meant, names
from reconciler.commands.options import Call, Command, common

if TYPE_CHECKING:
    from reconciler.core.declared import Changed
    from reconciler.git import Commit
    from reconciler.store import Store

MOST = 1_000


def since(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    """`2h`, `7d`, or a date; as seconds since 1970."""
    from reconciler.core.facts import UNITS_S

    if value is None:
        return None
    read = re.fullmatch(r"(\d{1,6})([smhdw])", value)
    if read is not None:
        return time.time() - float(read[1]) * {**UNITS_S, "w": 7 * UNITS_S["d"]}[read[2]]
    try:
        return datetime.fromisoformat(value).timestamp()
    except (ValueError, OverflowError):
        raise click.BadParameter(f"{value!r} is not a time like 2h, 7d, 2026-01-31 or 2026-01-31T12:00") from None


@click.command(
    cls=Command,
    examples=[
        ("convoy history", "revisions accepted and refused, what people told Convoy, and what failed"),
        ("convoy history Application/web", "each change of one resource: when, by whom, in which commit"),
        ("convoy history Configuration/edge --diff", "and what it changed, field by field"),
        ("convoy history --since 2h -o json | jq '.[].subject'", "for other programs"),
    ],
    exits=[(0, "it is shown"), (1, "there is no such resource")],
)
@click.argument("what", required=False, default="", metavar="[KIND/NAME]", shell_complete=names)
@click.option("--diff", is_flag=True, help="What each change changed, field by field.")
@click.option("--since", "since_", callback=since, metavar="TIME", help="Not older than this: 2h, 7d, or a date.")
@click.option("-n", "most", type=click.IntRange(1, MOST), default=20, show_default=True, help="At most so many.")
@common()
def history(call: Call, what: str, diff: bool, since_: float | None, most: int) -> None:
    """Show what changed, newest first.

    The numbers of a resource's changes are names for what it was: `convoy rollback KIND/NAME --to N`.
    """
    with kept_or_fail(call) as store:
        if what:
            _of_one(call, store, what, diff, since_, most)
        elif diff:
            raise click.UsageError("--diff is for the history of one resource: name it")
        else:
            _of_all(call, store, since_, most)


def _of_one(call: Call, store: "Store", what: str, diff: bool, since_: float | None, most: int) -> None:
    from reconciler.core import show_history

    ref, changes = changes_of(store, what, most + 1)
    changes = [one for one in changes if since_ is None or one.at >= since_]
    shown = changes[:most]
    page = show_history.resource_history(ref, shown, time.time(), fields=diff, more=len(changes) > most)
    call.page(page, [show_history.change_json(one) for one in shown])


def changes_of(store: "Store", what: str, most: int) -> "tuple[str, list[Changed]]":
    """The resource a person means, declared, followed from or long gone, and its newest changes."""
    kind, _, name = what.partition("/")
    if name:
        ref = f"{kind_of(kind, {})}/{name}"
        changes = store.history(ref, most=most)
        if changes:
            return ref, changes
    rows = store.status()
    row = rows[meant(what, rows)]
    owner = str(row.get("owner") or row["ref"])
    # A replica is what its Application declares.
    return owner, store.history(owner, most=most)


def _of_all(call: Call, store: "Store", since_: float | None, most: int) -> None:
    from reconciler import chronicle
    from reconciler.core import show_history

    def made(revisions: Sequence[str]) -> Mapping[str, tuple[str, str]]:
        return {revision: (one.author, one.subject) for revision, one in commits(call, revisions).items()}

    happened = chronicle.fleet(store, most + 1, made)
    happened = [one for one in happened if since_ is None or one.at >= since_]
    shown = happened[:most]
    page = show_history.fleet_history(shown, time.time(), more=len(happened) > most)
    call.page(page, [show_history.happening_json(one) for one in shown])


def commits(call: Call, revisions: Iterable[str]) -> "Mapping[str, Commit]":
    """Who made these revisions, as far as the mirror that is followed here still knows them."""
    from reconciler.git import SourceError
    from reconciler.seams import Seams

    place = sources.remembered(call.state)
    if place is None or not place.branch:
        return {}
    known: dict[str, Commit] = {}
    try:
        # Only the mirror is read: nothing is fetched, and nothing that is shown comes into force by it.
        source = replace(place, signers={}).source(call.state, Seams())
    except SourceError:
        return {}
    try:
        for revision in revisions:
            try:
                known[revision] = source.info(revision)
            except SourceError:
                continue
    finally:
        source.close()
    return known
