"""Words where a fleet stands: all of it, a list, or everything known of one resource."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reconciler.core.health import WELL
from reconciler.core.model import Problem, Ref, Where
from reconciler.core.show_holds import ago
from reconciler.core.show_layout import BLANK, Block, Line, Page, Span, Style, Table, text, words
from reconciler.core.show_problems import count, problems, short
from reconciler.core.statuses import Status

# What the store keeps for one resource or workload: see reconciler/record.py.
Row = Mapping[str, Any]

# The revision that `convoy down` puts in force: it declares nothing.
STOPPED = "down"

SYNC: Mapping[str, tuple[str, Style]] = {
    "synced": ("✓", "good"),
    "pending": ("…", "wait"),
    "drifted": ("≠", "wait"),
    "held": ("‖", "wait"),
    "failed": ("✗", "bad"),
    "refused": ("✗", "bad"),
}
HEALTH: Mapping[str, Style] = {
    "healthy": "good",
    "starting": "wait",
    "degraded": "wait",
    "unknown": "wait",
    "unhealthy": "bad",
    "none": "dim",
}
# A list of thousands that are as they should be hides the one that is not.
MOST_WELL = 40
# Of what commits say in their trailers and cannot mean.
MOST_NOTES = 5


@dataclass(frozen=True, slots=True)
class Standing:
    """The fleet as a whole. `acting` says whether a Convoy is at work on it now, or None where nobody knows; `by` which one."""

    revision: str = ""
    refused: str = ""
    unreadable: str = ""
    converged: bool = False
    problems: tuple[Problem, ...] = ()
    acting: bool | None = None
    source: str = ""
    signer: str = ""
    by: str = ""
    notes: tuple[str, ...] = ()


def standing(state: Mapping[str, Any], acting: bool | None = None, source: str = "", by: str = "") -> Standing:
    """From what the store keeps."""
    found = tuple(
        Problem(Where(one["file"], one["line"], one["column"]), one["what"], one.get("hint", ""))
        for one in state.get("problems", ())
    )
    return Standing(
        state.get("revision", ""),
        state.get("refused", ""),
        state.get("unreadable", ""),
        bool(state.get("converged")),
        found,
        acting,
        source,
        state.get("signer", ""),
        by,
        tuple(state.get("notes", ())),
    )


def status(fleet: Standing, rows: Mapping[str, Row], now: float, *, most_well: int = MOST_WELL) -> Page:
    """Where the fleet stands; what needs attention comes first, then at most so many of those that are as they should be."""
    declared = [row for row in rows.values() if row.get("declared", True)]
    page: list[Block] = [*_head(fleet, declared)]
    if fleet.refused or fleet.problems:
        page += [
            BLANK,
            text(Span("refused", "bad"), f" {short(fleet.refused)}: the fleet stays on what was good before", hang=2),
        ]
        page += [BLANK, *problems(fleet.problems, {}, limit=10)]
    # A workload's trouble is its declared resource's; what follows from nothing declared stands for itself.
    troubled = [row for row in rows.values() if not _well(row) and (row.get("declared", True) or not row.get("where"))]
    well = [row for row in declared if _well(row)]
    shown = [*_sorted(troubled), *_sorted(well)[:most_well]]
    if shown:
        page += [BLANK, _list(shown, now)]
    if shown and len(well) > most_well:
        page.append(text(f"… and {len(well) - most_well:,} more as declared; ", Span("convoy get", "strong"), " lists them"))
    return tuple(page)


def _head(fleet: Standing, declared: Sequence[Row]) -> Iterable[Block]:
    size = count(len(declared), "resource")
    if not fleet.revision:
        yield text(Span("nothing in force yet", "wait"), f" {fleet.source}")
    elif fleet.revision == STOPPED and fleet.converged:
        yield text(Span("stopped", "good"), ": nothing runs from here; ", Span("convoy apply", "strong"), " makes it all again")
        return
    elif fleet.converged:
        yield text(Span("as declared", "good"), f": {size}, all synced and healthy", Span(f"  {short(fleet.revision)}", "dim"))
    else:
        sizes = Counter(row["sync"] for row in declared)
        parts: list[str | Span] = []
        for name in SYNC:
            if sizes[name]:
                parts += [Span(f"{sizes[name]:,} {name}", SYNC[name][1]), ", "]
        unhealthy = sum(row["health"] == "unhealthy" for row in declared)
        if unhealthy:
            parts += [Span(f"{unhealthy:,} unhealthy", "bad"), ", "]
        yield text(Span("not as declared", "wait"), f": {size}; ", *parts[:-1], Span(f"  {short(fleet.revision)}", "dim"))
    if fleet.signer:
        yield text(Span("signed by", "dim"), f" {fleet.signer}", hang=2)
    for note in fleet.notes[:MOST_NOTES]:
        yield text(Span("trailer of no use", "wait"), f": {note}", hang=2)
    if len(fleet.notes) > MOST_NOTES:
        yield text(f"… and {len(fleet.notes) - MOST_NOTES} more")
    if fleet.unreadable:
        yield text(Span("source unreadable", "bad"), f": {fleet.unreadable}; what was read before stays in force", hang=2)
    if fleet.by:
        yield text(Span("at work", "dim"), f": {fleet.by}", hang=2)
    if fleet.acting is False:
        yield text(Span("no Convoy is at work here", "wait"), ": this is what the last one saw")


def _well(row: Row) -> bool:
    return row["sync"] == "synced" and row["health"] in ("healthy", "none")


def _sorted(rows: Iterable[Row]) -> list[Row]:
    order = list(SYNC)
    return sorted(rows, key=lambda row: (-order.index(row["sync"]), row["ref"]))


def listing(rows: Iterable[Row], now: float) -> Page:
    listed = sorted(rows, key=lambda row: str(row["ref"]))
    return (_list(listed, now),) if listed else (text(Span("none", "dim")),)


def _list(rows: Iterable[Row], now: float) -> Table:
    return Table(("", "RESOURCE", "HEALTH", "AGE", "WHY"), tuple(_row(row, now) for row in rows))


def _row(row: Row, now: float) -> tuple[Line, ...]:
    sign, style = SYNC.get(row["sync"], ("?", "wait"))
    health = "" if row["health"] == "none" else row["health"]
    why = row.get("why", "")
    label = "" if row["sync"] == "synced" else row["sync"]
    return (
        words(sign, style),
        words(row["ref"], "name"),
        words(health, HEALTH.get(row["health"], "")),
        words(ago(now - row["since"]) if row.get("since") else "", "dim"),
        (Span(label, style), Span(": " if label and why else ""), Span(why)),
    )


def status_json(fleet: Standing, state: Mapping[str, Any], rows: Mapping[str, Row]) -> dict[str, Any]:
    """What `convoy status --output json` prints: the fleet as a whole, and its declared resources without their instances."""
    declared = [row for row in rows.values() if row.get("declared", True)]
    return {
        "revision": fleet.revision,
        "signer": fleet.signer,
        "notes": list(fleet.notes),
        "refused": fleet.refused,
        "unreadable": fleet.unreadable,
        "converged": fleet.converged,
        "acting": fleet.acting,
        "by": fleet.by,
        "source": fleet.source,
        "problems": list(state.get("problems", ())),
        "summary": dict(sorted(Counter(row["sync"] for row in declared).items())),
        "resources": [
            {k: v for k, v in row.items() if k != "instances"} for row in sorted(declared, key=lambda r: str(r["ref"]))
        ],
    }


def rows(statuses: Mapping[Ref, Status]) -> dict[str, Row]:
    """Rows of what a loop knows, without instances."""
    return {
        str(ref): {
            "ref": str(ref),
            "sync": one.sync,
            "health": one.health,
            "since": one.since,
            "why": one.why,
            "declared": True,
        }
        for ref, one in statuses.items()
    }


def progress(statuses: Mapping[Ref, Status]) -> tuple[int, int, str]:
    """How many resources are as declared, of how many, and what one of the others waits for."""
    waiting = [one for one in statuses.values() if not (one.sync == "synced" and one.health in WELL)]
    first = min(waiting, key=lambda one: one.ref, default=None)
    return len(statuses) - len(waiting), len(statuses), f"{first.ref}: {first.why or first.health}" if first else ""
