"""What proxies and clusters served, as every surface asks for it: of some time, and lately."""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from reconciler.core.model import Ref
from reconciler.core.near import did_you_mean, listing
from reconciler.core.readings import METRICS, MINUTE_S, STEPS, series, values
from reconciler.store import Store, StoreError

# What is older than so many minutes is not how things are now.
RECENT_S = 3 * MINUTE_S
# What is said of each proxy where many are listed.
LATEST = ("requests_per_second", "error_rate", "p99_latency_ms")
# No answer has more points, and one that nobody says the resolution of has no more than these.
MOST_POINTS, USUAL_POINTS = 1_500, 300
# What is looked at where nobody says how far back.
USUAL_S = 3600
# The end of the year 9999, and of what can be written as a date.
LAST_S = 253_402_300_799
EXAMPLE = "write it in ISO 8601, as 2024-01-15T10:30:00Z"


class BadQuery(Exception):
    """A parameter that cannot be taken as it is, and why."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"`{field}`: {reason}")
        self.field, self.reason = field, reason


@dataclass(frozen=True, slots=True)
class Span:
    """From `start` to before `end` (Unix seconds), in steps of `resolution`, which is a word of STEPS."""

    start: int
    end: int
    resolution: str

    @property
    def step(self) -> int:
        return STEPS[self.resolution]


def points(start: int, end: int, step: int) -> int:
    return -(-end // step) - start // step


def usual(start: int, end: int) -> str:
    """The finest resolution that says it in not too many points."""
    return next((name for name, step in STEPS.items() if points(start, end, step) <= USUAL_POINTS), [*STEPS][-1])


def span(query: Mapping[str, Any], now: float) -> Span:
    """Of `start_time`, `end_time` and `resolution`; left out: the last hour, and the finest that is not too long. Raises
    BadQuery."""
    # The minute that has begun is not over: nothing is known of it.
    end = _time(query, "end_time", math.floor(now))
    start = _time(query, "start_time", end - USUAL_S)
    if start >= end:
        raise BadQuery("start_time", "it is not before end_time")
    resolution = query.get("resolution", usual(start, end))
    if resolution not in STEPS:
        raise BadQuery("resolution", f"it is one of {listing([*STEPS])}")
    number = points(start, end, STEPS[resolution])
    if number > MOST_POINTS:
        hint = "ask for less, or more coarsely" if resolution != [*STEPS][-1] else "ask for less"
        raise BadQuery("resolution", f"that would be {number:,} points, and {MOST_POINTS:,} are the most: {hint}")
    return Span(start, end, resolution)


def _time(query: Mapping[str, Any], name: str, otherwise: int) -> int:
    text = query.get(name)
    if text is None:
        return otherwise
    try:
        read = datetime.fromisoformat(text)
        # Without an offset it is UTC, as everything that is answered.
        at = math.floor((read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp())
        if not 0 <= at <= LAST_S:
            raise ValueError(text)
        return at
    except (ValueError, OverflowError):
        hint = "; a + in an address is written %2B" if " " in text else ""
        raise BadQuery(name, f"it is no time: {EXAMPLE}{hint}") from None


def metrics(query: Mapping[str, Any]) -> tuple[str, ...]:
    """The names in `metrics`, each once; left out, all. Raises BadQuery."""
    text = query.get("metrics")
    if text is None:
        return METRICS
    names = dict.fromkeys(name.strip() for name in text.split(","))
    for name in names:
        if name not in METRICS:
            hint = did_you_mean(name, METRICS, f"there is {listing([*METRICS])}")
            raise BadQuery("metrics", f"there is no such metric: {hint}")
    return tuple(names)


def over(store: Store, subject: str, span: Span, metrics: Sequence[str]) -> dict[str, list[tuple[int, float]]]:
    """Metric ⇒ (from when, value) in the order of time; gaps are not there. Raises StoreError."""
    return series(store.readings.read(subject, span.step, span.start, span.end), metrics)


def latest(store: Store, refs: Iterable[Ref], metrics: Sequence[str] = LATEST) -> dict[Ref, dict[str, float | None]]:
    """Each of these proxies ⇒ its last minute, None where there is nothing to say; who has not been seen lately is not there.

    One query for all of them. Where the readings cannot be read nobody has any.
    """
    named = {str(ref): ref for ref in refs}
    try:
        found = store.readings.latest(named, int(time.time()) - RECENT_S)
    except StoreError:
        return {}
    return {named[subject]: chosen(values(one), metrics) for subject, (_, one) in found.items()}


def chosen(found: Mapping[str, float], metrics: Sequence[str]) -> dict[str, float | None]:
    return {name: found.get(name) for name in metrics}
