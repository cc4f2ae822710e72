"""Words one resource: how it stands and why, its instances, and everything else that is known of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reconciler.core.declared import Changed, Declared
from reconciler.core.delivery import Delivery
from reconciler.core.model import XDS_TYPES, Snapshot
from reconciler.core.show_holds import ago
from reconciler.core.show_known import (
    Carried,
    Wait,
    carried_blocks,
    carried_json,
    declared_blocks,
    declared_json,
    delivery_blocks,
    delivery_json,
    related_blocks,
    runs_table,
    serves,
    serves_blocks,
    waits_blocks,
)
from reconciler.core.show_layout import BLANK, Block, Page, Span, Table, text, words
from reconciler.core.show_rollout import rollout_blocks
from reconciler.core.show_status import HEALTH, SYNC, Row, listing


@dataclass(frozen=True, slots=True)
class Known:
    """Everything known of one resource beside its row. `recent` is (Unix seconds, what, message), newest first."""

    document: str = ""
    where: str = ""
    revision: str = ""
    replicas: tuple[Row, ...] = ()
    runs: Snapshot | None = None
    refused: str = ""
    recent: tuple[tuple[float, str, str], ...] = ()
    declared: Declared | None = None
    changes: tuple[Changed, ...] = ()
    waits: tuple[Wait, ...] = ()
    needs: tuple[str, ...] = ()
    needed_by: tuple[str, ...] = ()
    # What proxies have of it; of how many more nobody has looked.
    carried: tuple[Carried, ...] = ()
    more_proxies: int = 0
    # Of a proxy: where it stands with what it is told, and what Envoys have refused, by content version.
    delivery: Delivery | None = None
    refusals: Mapping[str, str] = field(default_factory=dict)


def one(row: Row, now: float) -> Page:
    """One resource or workload and its instances."""
    page: list[Block] = [*_title(row, now)]
    if row.get("instances"):
        page += [BLANK, *_instances(row["instances"], now)]
    return tuple(page)


def _title(row: Row, now: float) -> Iterable[Block]:
    yield text(Span(row["ref"], "strong"), Span(f"  {row.get('where', '')}", "dim"))
    sign, style = SYNC.get(row["sync"], ("?", "wait"))
    since = f" for {ago(now - row['since'])}" if row.get("since") else ""
    parts: list[str | Span] = [Span(f"{sign} {row['sync']}", style)]
    if row["health"] != "none":
        parts += [", ", Span(row["health"], HEALTH.get(row["health"], ""))]
    yield text(*parts, Span(since, "dim"), indent=2)
    if row.get("why"):
        yield text(row["why"], indent=4)


def _instances(instances: Sequence[Row], now: float) -> Iterable[Block]:
    rows = tuple(
        (
            words(str(it["instance"])[:8], "name"),
            words(str(it.get("state") or "")),
            words(it["health"], HEALTH.get(it["health"], "")),
            words(str(it["host"])),
            words(str(it.get("pid") or "")),
            words(str(it.get("restarts") or "")),
            words(ago(now - it["since"]) if it.get("since") else "", "dim"),
            words(_reach(it)),
        )
        for it in instances
    )
    yield Table(("INSTANCE", "STATE", "HEALTH", "HOST", "PID", "RESTARTS", "AGE", "ADDRESS"), rows, 2)
    for it in instances:
        if it.get("message") and it["health"] != "healthy":
            yield text(Span(f"{str(it['instance'])[:8]}: ", "dim"), str(it["message"]), indent=2, hang=2)
        if it.get("log"):
            yield text(Span("log  ", "dim"), str(it["log"]), indent=2)


def _reach(instance: Row) -> str:
    address = str(instance.get("address") or "")
    ports = instance.get("ports") or {}
    return ", ".join(f"{name} {address}:{port}" if isinstance(port, int) else f"{name} {port}" for name, port in ports.items())


def explain(row: Row, known: Known, now: float) -> Page:
    """Everything known of one resource: how it stands and why, what runs, what is declared, what happened."""
    page: list[Block] = [*one({**row, "where": known.where or row.get("where", "")}, now)]
    page += waits_blocks(known.waits)
    if known.replicas:
        page += [BLANK, text(Span("its workloads", "strong")), *_nested(listing(known.replicas, now))]
        for replica in known.replicas:
            if replica.get("instances"):
                page += [BLANK, text(str(replica["ref"]), indent=2), *_instances(replica["instances"], now)]
    page += rollout_blocks(row)
    page += serves_blocks(known.declared)
    page += delivery_blocks(known.delivery, known.refusals, now)
    told = known.delivery.told if known.delivery is not None else None
    if known.runs is not None and (told is None or told.version != known.runs.version):
        page += [
            BLANK,
            text(Span("runs", "strong"), Span(f"  acknowledged, {known.runs.version[:12]}", "dim")),
            runs_table(known.runs),
        ]
    page += carried_blocks(known.carried, known.more_proxies)
    if known.refused:
        page += [BLANK, text(Span("last refused", "bad")), text(known.refused, indent=2)]
    page += declared_blocks(known.declared, known.document, known.where, known.revision, known.changes, now)
    page += _layer_blocks(row)
    page += related_blocks(known.needs, known.needed_by)
    if known.recent:
        rows = tuple((words(f"{ago(now - at)} ago", "dim"), words(what), words(message)) for at, what, message in known.recent)
        page += [BLANK, text(Span("recently", "strong")), Table(("", "", ""), rows, 2)]
    return tuple(page)


def _layer_blocks(row: Row) -> Page:
    """What an environment's layers made of the document that is declared."""
    others = [str(one) for one in list(row.get("layers", ()))[1:]]
    if not others:
        return ()
    said = text("by its environment; `convoy render --explain` prints what comes of it", indent=2)
    return (BLANK, text(Span("changed", "strong")), said, *(text(one, indent=2) for one in others))


def _nested(page: Page) -> Page:
    return tuple(Table(block.heads, block.rows, block.indent + 2) if isinstance(block, Table) else block for block in page)


def explain_json(row: Row, known: Known) -> dict[str, Any]:
    configuration, commit = serves(known.declared)
    return {
        **row,
        "where": known.where or row.get("where", ""),
        "revision": known.revision,
        "document": known.document,
        "workloads": [dict(replica) for replica in known.replicas],
        "runs": {t: {n: r.version for n, r in sorted(known.runs.resources.get(t, {}).items())} for t in XDS_TYPES}
        if known.runs
        else None,
        **({"serves": {"configuration": configuration, "revision": commit or None}} if configuration else {}),
        "lastRefused": known.refused,
        **declared_json(known.declared, known.changes),
        "waits": [{"ref": one.ref, "reason": one.reason, "release": one.release} for one in known.waits],
        "needs": list(known.needs),
        "neededBy": list(known.needed_by),
        "inProxies": [carried_json(one) for one in known.carried],
        "told": delivery_json(known.delivery, known.refusals),
        "recent": [{"at": at, "what": what, "message": message} for at, what, message in known.recent],
    }
