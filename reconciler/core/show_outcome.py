"""Words what became of one step."""

from collections.abc import Mapping
from typing import Any

from reconciler.core.model import Outcome, Verb
from reconciler.core.show_layout import Line, Span

DONE: Mapping[Verb, str] = {"create": "created", "update": "updated", "delete": "deleted", "take-over": "took over"}


def outcome(done: Outcome) -> Line:
    """One line for a step that is over."""
    action = done.action
    if done.status == "done":
        sign, verb = Span("✓", "good"), DONE[action.verb]
    elif done.status == "failed":
        sign, verb = Span("✗", "bad"), f"could not {action.verb}"
    else:
        sign, verb = Span("·", "dim"), f"skipped {action.verb} of"
    took = f" ({done.seconds:.1f} s)" if done.seconds >= 0.05 else ""
    line = (sign, Span(f" {verb} "), Span(str(action.ref), "name"), Span(f" on {action.host}{took}", "dim"))
    return (*line, Span(f": {done.error}", "bad")) if done.error else line


def outcome_json(done: Outcome) -> dict[str, Any]:
    action = done.action
    return {
        "verb": action.verb,
        "ref": str(action.ref),
        "instance": action.instance,
        "host": action.host,
        "status": done.status,
        "error": done.error,
        "at": done.at,
        "seconds": round(done.seconds, 3),
    }
