"""`convoy explain`: everything known of one resource, or of the way that requests take through one proxy."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from reconciler.commands import sources
from reconciler.commands.look import Rows, kept_or_fail, meant
from reconciler.commands.options import Call, Command, common, completed
from reconciler.commands.trace import asked, completions, follow

if TYPE_CHECKING:
    from reconciler.core.declared import Declared
    from reconciler.core.model import Ref
    from reconciler.core.parse import Document
    from reconciler.core.show import Known, Row
    from reconciler.core.show_known import Carried, Wait
    from reconciler.store import Store

# What is shown of the past.
MOST_RECENT = 15
MOST_OUTCOMES = 2000
MOST_CHANGES = 6
# Proxies that are asked what they have of a resource: each is a set of all that one is told.
MOST_PROXIES = 50


def words(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Completion: resources, and the listeners and routes of a proxy whose name is typed."""

    def known(store: "Store") -> set[str]:
        rows = store.status()
        return {*rows, *completions(store, rows, incomplete)}

    return completed(context, incomplete, known)


@click.command(
    cls=Command,
    examples=[
        ("convoy explain Application/web", "where it is declared and by whom, how it stands and why, what proxies have of it"),
        ("convoy explain edge-1", "and, for a proxy, what it was sent, acknowledged and refused"),
        ("convoy explain edge-1/http", "a listener (by name or port) and all its routes"),
        ("convoy explain edge-1/http/api", "where a request goes: a route by its name, path, host or cluster"),
    ],
    exits=[(0, "it is explained"), (1, "there is no such resource, listener or route")],
)
@click.argument("what", metavar="KIND/NAME|PROXY/LISTENER[/ROUTE]", shell_complete=words)
@common()
def explain(call: Call, what: str) -> None:
    """Show everything known of one resource, or where requests go through one proxy.

    Of a listener or a route: the line that declares it, the cluster and the endpoints it leads to now, the instances behind
    them, and whether that proxy has acknowledged all this.
    """
    from reconciler.core import show, show_trace

    with kept_or_fail(call) as store:
        rows = store.status()
        about = asked(what, rows)
        if about is not None:
            found = follow(store, rows, about, Documents(call, store).line)
            call.page(show_trace.trace(found), show_trace.trace_json(found))
            return
        row = rows[meant(what, rows)]
        known = _known(call, store, row, rows)
    call.page(show.explain(row, known, time.time()), show.explain_json(row, known))


class Documents:
    """Documents as a person wrote them, as far as they can still be read from what is followed here."""

    def __init__(self, call: Call, store: "Store") -> None:
        self._call, self._store = call, store
        self._read: dict[str, Document | None] = {}

    def of(self, declared: "Declared") -> "Document | None":
        if declared.ref not in self._read:
            self._read[declared.ref] = self._document(declared)
        return self._read[declared.ref]

    def line(self, ref: str, path: tuple[str | int, ...]) -> str:
        """Where a path in a resource's document begins; "" where that cannot be told."""
        from reconciler.core.parse import locate

        declared = self._store.declared([ref]).get(ref)
        document = self.of(declared) if declared is not None else None
        return str(locate(document, path)) if document is not None else ""

    def _document(self, declared: "Declared") -> "Document | None":
        from reconciler.core.parse import parse
        from reconciler.git import SourceError
        from reconciler.seams import Seams

        place = sources.remembered(self._call.state)
        if place is None or not declared.blob:
            return None
        try:
            # What is in force was judged when it came: to show it again needs no signature.
            wishes = replace(place, signers={}).source(self._call.state, Seams())
        except SourceError:
            return None
        try:
            if not place.branch:
                # A folder is only what it is now.
                wishes.fetch()
            text = wishes.read([declared.blob])[declared.blob]
        except (SourceError, KeyError):
            return None
        finally:
            wishes.close()
        found = parse(declared.file, declared.blob, text).documents
        return next((one for one in found if one.source.line == declared.line), None)


def _known(call: Call, store: "Store", row: "Row", rows: Rows) -> "Known":
    from reconciler.core import show
    from reconciler.core.handover import node_id
    from reconciler.core.model import Ref
    from reconciler.core.parse import locate

    ref = Ref.parse(row["ref"])
    # A workload's row names the place of what it follows from.
    follow = [one for _, one in sorted(rows.items()) if not one.get("declared", True) and one.get("where") == row["where"]]
    replicas = follow if row.get("declared", True) else []
    names = {row["ref"], *(one["ref"] for one in replicas)}
    events = [(event.at, event.kind, event.message) for event in store.recent(row["ref"], MOST_RECENT)]
    done = [one for one in store.outcomes(MOST_OUTCOMES) if one["ref"] in names][:MOST_RECENT]
    happened = [(one["at"], f"{one['verb']} {one['status']}", _happened(one, row["ref"])) for one in done]
    refused = next((message for _, kind, message in events if kind == "xds.refused"), "")
    # What follows from a resource is declared by it.
    owner = str(row.get("owner") or row["ref"])
    declared = store.declared([owner]).get(owner)
    document = Documents(call, store).of(declared) if declared is not None else None
    needs, needed_by = _related(store, declared)
    carried, more = _carried(store, rows, Ref.parse(owner)) if ref.kind != "Proxy" else ([], 0)
    return show.Known(
        document=_written(document) if document is not None else "",
        where=str(locate(document, ())).rpartition(":")[0] if document is not None else str(row.get("where", "")),
        revision=(store.state() or {}).get("revision", ""),
        replicas=tuple(replicas),
        runs=store.good(node_id(ref)) if ref.kind == "Proxy" else None,
        refused=refused,
        recent=tuple(sorted([*events, *happened], reverse=True)[:MOST_RECENT]),
        declared=declared,
        changes=tuple(store.history(owner, most=MOST_CHANGES)),
        waits=tuple(_waits(store, names)),
        needs=needs,
        needed_by=needed_by,
        carried=tuple(carried),
        more_proxies=more,
        delivery=store.delivery(node_id(ref)) if ref.kind == "Proxy" else None,
        refusals=store.refused() if ref.kind == "Proxy" else {},
    )


def _happened(outcome: Mapping[str, Any], ref: str) -> str:
    who = "" if outcome["ref"] == ref else f"{outcome['ref']} "
    return f"{who}on {outcome['host']}" + (f": {outcome['error']}" if outcome["error"] else "")


def _written(document: "Document") -> str:
    """Without the line breaks around it: it begins with its `---`, and a person looks for its first word."""
    return document.raw.decode("utf-8", "replace").strip("\r\n") + "\n"


def _waits(store: "Store", names: set[str]) -> "list[Wait]":
    """What the last plan holds back of it."""
    from reconciler.core.show_known import Wait

    found = []
    for step in (store.last_plan() or {}).get("steps", ()):
        if step.get("ref") in names:
            found += [Wait(step["ref"], str(one["reason"]), str(one["release"])) for one in step.get("held", ())]
    return found


def _related(store: "Store", declared: "Declared | None") -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What it needs, and what needs it."""
    from reconciler.core.model import Ref
    from reconciler.core.related import named_by, needing

    if declared is None:
        return (), ()
    ref = Ref.parse(declared.ref)
    named = named_by(ref, declared.document)
    there = store.declared({str(one) for ones in named for one in ones})
    needs = [next((str(one) for one in ones if str(one) in there), str(ones[0])) for ones in named if ones]
    mentioning = store.mentioning(declared.name)
    needed_by = needing(ref, ((Ref.parse(one.ref), one.document) for one in mentioning.values()))
    return tuple(sorted(needs)), tuple(str(one) for one in needed_by)


def _carried(store: "Store", rows: Rows, ref: "Ref") -> "tuple[list[Carried], int]":
    """What each proxy has of a resource, and how many proxies were not looked at."""
    from reconciler.core.handover import node_id
    from reconciler.core.model import Ref
    from reconciler.core.show_known import carried

    proxies = [name for name in sorted(rows) if name.startswith("Proxy/")]
    refused = store.refused()
    found: list[Carried] = []
    for name in proxies[:MOST_PROXIES]:
        delivery = store.delivery(node_id(Ref.parse(name)))
        if delivery is not None:
            found += carried(name.partition("/")[2], delivery, ref, refused)
    return found, max(0, len(proxies) - MOST_PROXIES)
