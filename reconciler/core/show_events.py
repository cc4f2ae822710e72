"""Words what happened as it happens: events and what became of actions, one line each."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from reconciler.core.show_layout import Line, Span, Style
from reconciler.core.show_logs import moment

# Ends of kinds ⇒ how they look; everything else is plain.
STYLES: Mapping[str, Style] = {
    "refused": "bad",
    "failed": "bad",
    "held": "wait",
    "drifted": "wait",
    "pending": "wait",
    "unhealthy": "bad",
    "degraded": "wait",
    "unknown": "wait",
    "starting": "wait",
    "synced": "good",
    "healthy": "good",
    "accepted": "good",
    "done": "good",
    "converged": "good",
    "completed": "good",
}
# What an event's `--only` is completed with; there may be others.
EVENT_KINDS = (
    "action.done",
    "action.failed",
    "action.skipped",
    "fleet.converged",
    "health.*",
    "health.healthy",
    "health.unhealthy",
    "notification.failed",
    "order.*",
    "revision.accepted",
    "revision.refused",
    "rollout.completed",
    "rollout.failed",
    "rollout.progress",
    "rollout.started",
    "secret.opened",
    "status.drifted",
    "status.failed",
    "status.held",
    "status.pending",
    "status.refused",
    "status.synced",
    "xds.refused",
)


@dataclass(frozen=True, slots=True)
class Happened:
    """An event, or what became of an action (then `number` counts those, and `action` is its record)."""

    at: float
    kind: str
    ref: str
    message: str
    number: int = 0
    action: Mapping[str, Any] = field(default_factory=dict)


def of_action(number: int, record: Mapping[str, Any]) -> Happened:
    """From what `outcome_json` made, as far as nobody has spoiled it since."""
    seconds = _number(record.get("seconds"))
    took = f" ({seconds:.1f} s)" if seconds >= 0.05 else ""
    error = f": {record['error']}" if record.get("error") else ""
    message = f"{record.get('verb', '')} on {record.get('host', '')}{took}{error}"
    kind = f"action.{record.get('status', 'unknown')}"
    return Happened(_number(record.get("at")), kind, str(record.get("ref", "")), message, number, record)


def fared(before: str, why: str) -> str:
    """What an event `health.…` says: how it fared before, and why it fares otherwise now."""
    return f"was {before}: {why}" if why else f"was {before}"


def fared_before(message: str) -> str:
    """From what `fared` made; "" from anything else."""
    word = message.partition(":")[0]
    return word.removeprefix("was ") if word.startswith("was ") else ""


def _number(value: object) -> float:
    return float(value) if isinstance(value, float | int) and abs(value) < 2**53 else 0.0


def wanted(kind: str, patterns: Iterable[str]) -> bool:
    """Whether any pattern is this kind; `status.*` and `status` are all that begin with it. None given: everything."""
    listed = list(patterns)
    return not listed or any(fnmatchcase(kind, pattern) or kind.startswith(f"{pattern}.") for pattern in listed)


def event_line(one: Happened) -> Line:
    # A message of several lines is one line here: an event is a line.
    message = " ".join(one.message.split())
    return (
        Span(moment(one.at), "dim"),
        Span(f"  {one.kind:17}", STYLES.get(one.kind.rpartition(".")[2], "")),
        Span(f"  {one.ref}", "name"),
        Span(f"  {message}" if message else ""),
    )


def event_json(one: Happened) -> dict[str, Any]:
    found: dict[str, Any] = {"at": one.at, "kind": one.kind, "ref": one.ref, "message": one.message, "number": one.number}
    return found | {"action": dict(one.action)} if one.action else found
