"""Words how what runs stands against what is declared: a proxy's resources step by step, a workload's instances by field."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reconciler.core.fields import Fields
from reconciler.core.model import XDS_TYPES
from reconciler.core.proxy_diff import ProxyDiff, Row, Side, State
from reconciler.core.show_history import field_lines, fields_json
from reconciler.core.show_holds import ago
from reconciler.core.show_layout import BLANK, Block, Line, Page, Span, Style, Table, text, words
from reconciler.core.show_problems import count, short
from reconciler.core.show_tells import XDS_WORDS

STATES: Mapping[State, tuple[str, Style]] = {
    "same": ("✓", "good"),
    "other": ("≠ other", "bad"),
    "missing": ("- missing", "bad"),
    "surplus": ("+ not declared", "wait"),
    "unknown": ("?", "dim"),
    "none": ("", "dim"),
}
# More rows of one Envoy that differ are for a program.
MOST_ROWS = 60


@dataclass(frozen=True, slots=True)
class Made:
    """One instance and what it was made from: what is `declared` now, or change `n` of its resource (0: not known any more).

    `fields` are those in which that differs from what is declared.
    """

    instance: str
    host: str
    state: str
    health: str
    declared: bool
    n: int = 0
    revision: str = ""
    fields: Fields = field(default_factory=Fields)


@dataclass(frozen=True, slots=True)
class WorkloadDiff:
    """One workload: how it stands, and why where it is not as declared."""

    ref: str
    where: str
    sync: str
    why: str
    made: tuple[Made, ...]

    @property
    def same(self) -> bool:
        return self.sync == "synced" and all(one.declared for one in self.made)


def proxy_page(found: ProxyDiff, now: float, *, fields: bool, ref: str = "") -> Page:
    """With `ref`, only what comes from that resource."""
    page: list[Block] = [_head(found, now)]
    page += [
        text(Span(f"{_side(side)}cannot be asked what it runs", "wait"), f": {side.unasked}", indent=2, hang=2)
        for side in found.sides
        if side.unasked
    ]
    several = len(found.rows) > 1
    names = {side.instance: _side(side) for side in found.sides}
    for instance, rows in found.rows.items():
        rows = about(rows, ref)
        if several:
            page.append(text(Span(names.get(instance, "").rstrip(": "), "strong"), indent=2))
        page += _rows(rows, asked=instance != "", fields=fields)
    return tuple(page)


def about(rows: Iterable[Row], ref: str) -> tuple[Row, ...]:
    return tuple(row for row in rows if not ref or str(row.owner) == ref)


def _side(side: Side) -> str:
    return f"{side.instance[:8]} on {side.host}: " if side.instance else ""


def _head(found: ProxyDiff, now: float) -> Block:
    kept = found.delivery
    since = Span(f" for {ago(now - kept.at)}" if kept.at else "", "dim")
    name = Span(f"Proxy/{found.node}", "strong")
    envoy = Span(f"  Envoy {kept.envoy}" if kept.envoy else "", "dim")
    if not kept.connected:
        return text(name, envoy, "  ", Span("not connected", "bad"), since)
    if not kept.synced:
        number = len(kept.behind) + kept.more
        return text(name, envoy, "  ", Span(f"has not acknowledged {count(number, 'resource')} it was sent", "wait"), since)
    return text(name, envoy, "  ", Span("has acknowledged all it was sent", "good"), since)


def _rows(rows: Sequence[Row], *, asked: bool, fields: bool) -> Iterable[Block]:
    same = Counter(row.type for row in rows if row.same)
    differing = [row for row in rows if not row.same]
    if same:
        sizes = ", ".join(count(same[type], XDS_WORDS[type]) for type in XDS_TYPES if same[type])
        steps = "sent, acknowledged and run as declared" if asked else "sent and acknowledged as declared"
        yield text(Span("✓ ", "good"), f"{sizes}: {steps}", indent=2, hang=2)
    hidden = sum(row.type == "sds" and row.runs == "unknown" for row in rows)
    if hidden and asked:
        yield text(Span(f"what is in {count(hidden, 'secret')} is shown by nobody, and not compared", "dim"), indent=4)
    if not rows:
        yield text(Span("nothing", "dim"), indent=2)
    if differing and fields:
        for row in differing[:MOST_ROWS]:
            yield BLANK
            yield Table(("", "SENT", "ACKED", "RUNS", ""), (_row(row),), 2)
            if row.fields.listed:
                yield text(Span("declared → run", "dim"), indent=4)
            yield from field_lines(row.fields, 4, effect=False)
    elif differing:
        yield BLANK
        yield Table(("", "SENT", "ACKED", "RUNS", ""), tuple(_row(row) for row in differing[:MOST_ROWS]), 2)
    if len(differing) > MOST_ROWS:
        yield text(f"… and {len(differing) - MOST_ROWS:,} more that differ; ", Span("-o json", "strong"), " has all", indent=2)


def _row(row: Row) -> tuple[Line, ...]:
    where: list[Span] = [Span(str(row.origin) if row.origin and row.origin.file else "", "dim")]
    if row.why:
        where.append(Span(f"  refused: {row.why}", "bad"))
    return (
        (Span(XDS_WORDS[row.type], "dim"), Span(f" {row.name}", "name")),
        _state(row.sent),
        _state(row.acked),
        (*_state(row.runs), Span(" (warming)" if row.warming else "", "wait")),
        tuple(where),
    )


def _state(state: State) -> Line:
    return words(*STATES[state])


def workload_page(found: WorkloadDiff, *, fields: bool) -> Page:
    style: Style = "good" if found.same else "wait"
    page: list[Block] = [
        text(Span(found.ref, "strong"), Span(f"  {found.where}", "dim"), "  ", Span(found.sync, style)),
    ]
    if found.why:
        page.append(text(found.why, indent=4))
    if not found.made:
        page.append(text(Span("nothing of it runs", "wait"), indent=2))
    for one in found.made:
        sign = Span("✓ ", "good") if one.declared else Span("≠ ", "wait")
        made = "made from what is declared" if one.declared else "made from what is not declared any more"
        change = f": change {one.n}" if one.n and not one.declared else ""
        commit = Span(f"  {short(one.revision)}" if one.revision and not one.declared else "", "dim")
        page.append(
            text(
                sign,
                Span(one.instance[:8], "name"),
                f" on {one.host}, {one.state}, {one.health}; {made}{change}",
                commit,
                indent=2,
            )
        )
        if fields and not one.declared:
            page += field_lines(one.fields, 6)
    return tuple(page)


def workloads_line(number: int) -> Block:
    return text(Span("✓ ", "good"), f"{count(number, 'workload')} as declared")


def proxy_json(found: ProxyDiff, ref: str = "") -> dict[str, Any]:
    kept = found.delivery
    return {
        "ref": f"Proxy/{found.node}",
        "same": all(row.same for rows in found.rows.values() for row in about(rows, ref)),
        "connected": kept.connected,
        "acknowledged": kept.synced,
        "envoy": kept.envoy,
        "since": kept.at or None,
        "instances": [
            {
                "instance": side.instance,
                "host": side.host,
                "asked": side.running is not None,
                "unasked": side.unasked,
                "resources": [_row_json(row) for row in about(found.rows.get(side.instance, ()), ref)],
            }
            for side in found.sides
        ],
        "resources": [_row_json(row) for row in about(found.rows.get("", ()), ref)],
    }


def _row_json(row: Row) -> dict[str, Any]:
    return {
        "type": XDS_WORDS[row.type],
        "name": row.name,
        "owner": str(row.owner) if row.owner else None,
        "where": str(row.origin) if row.origin and row.origin.file else "",
        "sent": row.sent,
        "acked": row.acked,
        "runs": row.runs,
        "warming": row.warming,
        "refused": row.why,
        "fields": fields_json(row.fields),
    }


def workload_json(found: WorkloadDiff) -> dict[str, Any]:
    return {
        "ref": found.ref,
        "same": found.same,
        "where": found.where,
        "sync": found.sync,
        "why": found.why,
        "instances": [
            {
                "instance": one.instance,
                "host": one.host,
                "state": one.state,
                "health": one.health,
                "asDeclared": one.declared,
                "change": one.n or None,
                "revision": one.revision or None,
                "fields": fields_json(one.fields),
            }
            for one in found.made
        ],
    }
