"""Words a Rollout: how far it has got, and what each of its proxies waits for."""

from collections.abc import Iterable, Mapping
from typing import Any

from reconciler.core.rollout import OVER, Progress
from reconciler.core.show_layout import BLANK, Block, Span, Style, Table, text, words
from reconciler.core.show_problems import count

WORDS: Mapping[str, tuple[str, Style]] = {
    "pending": ("pending", "wait"),
    "in_progress": ("in progress", "wait"),
    "completed": ("completed", "good"),
    "failed": ("failed", "bad"),
    "superseded": ("superseded", "dim"),
}
# Proxies that are shown, those with something to say first; JSON has all.
MOST_PROXIES = 30


def rollout_json(progress: Progress) -> dict[str, Any]:
    """As the store keeps it for a status, and as every surface gets it. Times are Unix seconds."""
    return {
        "state": progress.state,
        "startedAt": progress.started_at,
        "endedAt": progress.ended_at,
        "total": len(progress.turns),
        **{str(state): number for state, number in progress.counts.items()},
        "proxies": [{"proxy": name, "state": turn.state, "why": turn.why} for name, turn in progress.turns.items()],
    }


def rollout_blocks(row: Mapping[str, Any]) -> Iterable[Block]:
    """From the row of a Rollout's status."""
    found = row.get("rollout")
    if not isinstance(found, Mapping):
        return
    word, style = WORDS.get(str(found.get("state")), ("?", "wait"))
    to = f", to {count(len(found['proxies']), 'proxy')}"
    yield from (BLANK, text(Span("rollout", "strong"), "  ", Span(word, style), to))
    listed = sorted(found["proxies"], key=lambda one: one["state"] in OVER)
    rows = tuple(
        (
            words(one["proxy"], "name"),
            words(*WORDS[one["state"]]),
            words(one["why"], "bad" if one["state"] == "failed" else ""),
        )
        for one in listed[:MOST_PROXIES]
    )
    yield Table(("", "", ""), rows, 2)
    if len(listed) > MOST_PROXIES:
        yield text(f"… and {len(listed) - MOST_PROXIES:,} more; ", Span("-o json", "strong"), " has all", indent=2)
