"""`convoy status`, `get` and `explain`: where the fleet stands, from what is kept, whether a Convoy is at work or not."""

import difflib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from reconciler.commands import sources
from reconciler.commands.options import Call, Command, Failure, common
from reconciler.commands.options import names as names

if TYPE_CHECKING:
    from reconciler.core.show import Known, Row
    from reconciler.store import Store

Rows = Mapping[str, Mapping[str, Any]]

# What `explain` shows of the past.
MOST_RECENT = 15
MOST_OUTCOMES = 2000


@contextmanager
def kept(call: Call) -> "Iterator[Store | None]":
    """The store of this call, or None where no Convoy has ever worked."""
    from contextlib import closing

    from reconciler.store import NoStore

    try:
        opened = call.open_store(make=False)
    except NoStore:
        yield None
        return
    with closing(opened) as store:
        yield store


@click.command(
    cls=Command,
    examples=[
        ("convoy status", "what is in force, and what is not as declared"),
        ("convoy status -o json | jq .converged", "for a script that waits"),
    ],
    exits=[(0, "the status is shown, whatever it is"), (1, "it cannot be read")],
)
@common()
def status(call: Call) -> None:
    """Show where the fleet stands; what needs attention comes first."""
    from reconciler.core import show

    with kept(call) as store:
        state = (store.state() if store else None) or {}
        rows = store.status() if store else {}
        acting = (store.holder("control") if store else None) or ""
        orders = store.orders() if store else ()
    place = sources.remembered(call.state)
    fleet = show.standing(state, bool(acting), place.shown if place else "", acting)
    foreign, now = state.get("foreign", {}), time.time()
    page = (*show.status(fleet, rows, now), *show.orders(orders, foreign, now))
    call.page(page, {**show.status_json(fleet, state, rows), **show.orders_json(orders, foreign)})


@click.command(
    cls=Command,
    examples=[
        ("convoy get", "everything"),
        ("convoy get proxies", "everything of one kind"),
        ("convoy get Application/web", "one resource, its instances, their addresses and logs"),
        ("convoy get Proxy/edge-1 -o json | jq '.instances[0].pid'", "for other programs"),
    ],
    exits=[(0, "it is shown"), (1, "there is no such resource")],
)
@click.argument("what", required=False, default="", metavar="[KIND[/NAME]]", shell_complete=names)
@common()
def get(call: Call, what: str) -> None:
    """List resources, or show one with its instances."""
    from reconciler.core import show

    with kept(call) as store:
        rows = _rows(call, store)
    now = time.time()
    if "/" in what:
        row = found(what, rows)
        call.page(show.one(row, now), row)
        return
    kind = kind_of(what, rows) if what else ""
    listed = [row for ref, row in sorted(rows.items()) if not kind or ref.split("/")[0] == kind]
    call.page(show.listing(listed, now), listed)


@click.command(
    cls=Command,
    examples=[
        ("convoy explain Application/web", "where it is declared, how it stands, why, and what happened to it"),
        ("convoy explain proxy/edge-1", "and, for a proxy, what it runs and what it refused"),
    ],
    exits=[(0, "it is explained"), (1, "there is no such resource")],
)
@click.argument("what", metavar="KIND/NAME", shell_complete=names)
@common()
def explain(call: Call, what: str) -> None:
    """Show everything known of one resource."""
    from reconciler.core import show

    with kept(call) as store:
        rows = _rows(call, store)
        row = found(what, rows)
        known = _known(call, store, row, rows) if store else show.Known()
    call.page(show.explain(row, known, time.time()), show.explain_json(row, known))


def _rows(call: Call, store: "Store | None") -> "Mapping[str, Row]":
    if store is None:
        raise Failure(f"no Convoy has worked in {call.state} yet: start with `convoy apply` or `convoy serve`")
    return store.status()


def found(what: str, rows: Rows) -> Mapping[str, Any]:
    """The row a person means; raises Failure with what they may have meant."""
    kind, _, name = what.partition("/")
    ref = f"{kind_of(kind, rows)}/{name}"
    if ref in rows:
        return rows[ref]
    near = difflib.get_close_matches(ref, rows, 3, 0.6)
    raise Failure(
        f"there is no {ref}" + (f": did you mean {' or '.join(near)}?" if near else "; `convoy get` lists what there is")
    )


def kind_of(word: str, rows: Rows) -> str:
    """`Proxy` for proxy, proxies and PROXY, `Application` for app; raises Failure for what is no kind."""
    from reconciler.core.kinds import KINDS
    from reconciler.core.select import SelectorError, kind_named

    try:
        return kind_named(word, {*KINDS, *(ref.split("/")[0] for ref in rows)})
    except SelectorError as error:
        raise Failure(str(error)) from error


def _known(call: Call, store: "Store", row: "Row", rows: Rows) -> "Known":
    from reconciler.core import show
    from reconciler.core.handover import node_id
    from reconciler.core.model import Ref

    ref = Ref.parse(row["ref"])
    # A workload's row names the place of what it follows from.
    follow = [one for _, one in sorted(rows.items()) if not one.get("declared", True) and one.get("where") == row["where"]]
    replicas = follow if row.get("declared", True) else []
    names = {row["ref"], *(one["ref"] for one in replicas)}
    events = [(event.at, event.kind, event.message) for event in store.recent(row["ref"], MOST_RECENT)]
    done = [one for one in store.outcomes(MOST_OUTCOMES) if one["ref"] in names][:MOST_RECENT]
    happened = [(one["at"], f"{one['verb']} {one['status']}", _happened(one, row["ref"])) for one in done]
    refused = next((message for _, kind, message in events if kind == "xds.refused"), "")
    document, where, revision = _declared(call, store, row)
    return show.Known(
        document,
        where or str(row.get("where", "")),
        revision,
        tuple(replicas),
        store.good(node_id(ref)) if ref.kind == "Proxy" else None,
        refused,
        tuple(sorted([*events, *happened], reverse=True)[:MOST_RECENT]),
    )


def _happened(outcome: Mapping[str, Any], ref: str) -> str:
    who = "" if outcome["ref"] == ref else f"{outcome['ref']} "
    return f"{who}on {outcome['host']}" + (f": {outcome['error']}" if outcome["error"] else "")


def _declared(call: Call, store: "Store", row: "Row") -> tuple[str, str, str]:
    """The document as a person wrote it, where it stands, and in which revision; empty where it cannot be read any more."""
    from reconciler.core.parse import parse
    from reconciler.git import SourceError
    from reconciler.seams import Seams

    place, revision = sources.remembered(call.state), (store.state() or {}).get("revision", "")
    file = str(row.get("where", "")).rpartition(":")[0]
    if place is None or not revision or not file:
        return "", "", revision
    # What is in force was judged when it came: to show it again needs no signature.
    wishes = replace(place, signers={}).source(call.state, Seams())
    try:
        if not place.branch and wishes.fetch() != revision:
            return "", "", revision
        tree = wishes.tree(revision)
        text = wishes.read([tree.files[file]])[tree.files[file]]
    except (SourceError, KeyError):
        return "", "", revision
    finally:
        wishes.close()
    line = str(row["where"]).rpartition(":")[2]
    for document in parse(file, tree.files[file], text).documents:
        if str(document.source.line) == line:
            written = document.raw.decode("utf-8", "replace")
            # A document begins with its `---`; a person looks for its first word.
            blank = len(written) - len(written.lstrip("\r\n"))
            first = document.source.line + written[:blank].count("\n")
            return written.strip("\r\n") + "\n", f"{file}:{first}", revision
    return "", "", revision
