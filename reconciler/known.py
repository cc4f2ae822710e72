"""Everything known of one resource, read from the store."""

from collections.abc import Callable, Mapping
from typing import Any

from reconciler.core.declared import Declared
from reconciler.core.handover import node_id
from reconciler.core.model import Ref
from reconciler.core.related import named_by, needing
from reconciler.core.show import Known
from reconciler.core.show_known import Carried, Wait, carried
from reconciler.store import Store

Row = Mapping[str, Any]
# A document as text, and where it stands; both "" where it cannot be read.
Written = Callable[[Declared], tuple[str, str]]
# What is shown of the past.
MOST_RECENT = 15
MOST_OUTCOMES = 2000
MOST_CHANGES = 6
# Proxies that are asked what they have of a resource: each is a set of all that one is told.
MOST_PROXIES = 50


def known(store: Store, row: Row, rows: Mapping[str, Row], written: Written) -> Known:
    """`row` is of the resource that is meant, `rows` of all that there is. Raises StoreError."""
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
    document, where = written(declared) if declared is not None else ("", "")
    needs, needed_by = _related(store, declared)
    carried, more = _carried(store, rows, Ref.parse(owner)) if ref.kind != "Proxy" else ([], 0)
    return Known(
        document=document,
        where=where or str(row.get("where", "")),
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


def _waits(store: Store, names: set[str]) -> list[Wait]:
    """What the last plan holds back of it."""
    found = []
    for step in (store.last_plan() or {}).get("steps", ()):
        if step.get("ref") in names:
            found += [Wait(step["ref"], str(one["reason"]), str(one["release"])) for one in step.get("held", ())]
    return found


def _related(store: Store, declared: Declared | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What it needs, and what needs it."""
    if declared is None:
        return (), ()
    ref = Ref.parse(declared.ref)
    named = named_by(ref, declared.document)
    there = store.declared({str(one) for ones in named for one in ones})
    needs = [next((str(one) for one in ones if str(one) in there), str(ones[0])) for ones in named if ones]
    mentioning = store.mentioning(declared.name)
    needed_by = needing(ref, ((Ref.parse(one.ref), one.document) for one in mentioning.values()))
    return tuple(sorted(needs)), tuple(str(one) for one in needed_by)


def _carried(store: Store, rows: Mapping[str, Row], ref: Ref) -> tuple[list[Carried], int]:
    """What each proxy has of a resource, and how many proxies were not looked at."""
    proxies = [name for name in sorted(rows) if name.startswith("Proxy/")]
    refused = store.refused()
    found: list[Carried] = []
    for name in proxies[:MOST_PROXIES]:
        delivery = store.delivery(node_id(Ref.parse(name)))
        if delivery is not None:
            found += carried(name.partition("/")[2], delivery, ref, refused)
    return found, max(0, len(proxies) - MOST_PROXIES)
