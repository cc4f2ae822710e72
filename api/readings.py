"""What proxies and clusters served, as every surface asks for it: of some time, and lately."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from reconciler.core.model import Ref
from reconciler.core.readings import MINUTE_S, STEPS, series, values
from reconciler.store import Store, StoreError

# What is older than so many minutes is not how things are now.
RECENT_S = 3 * MINUTE_S
# What is said of each proxy where many are listed.
LATEST = ("requests_per_second", "error_rate", "p99_latency_ms")
# No answer has more points, and one that nobody says the resolution of has no more than these.
MOST_POINTS, USUAL_POINTS = 1_500, 300


@dataclass(frozen=True, slots=True)
class Span:
    """From `start` to before `end` (Unix seconds), in steps of `resolution`, which is a word of STEPS."""

    start: int
    end: int
    resolution: str

    @property
    def step(self) -> int:
        return STEPS[self.resolution]

    @property
    def points(self) -> int:
        return points(self.start, self.end, self.step)


def points(start: int, end: int, step: int) -> int:
    return -(-end // step) - start // step


def usual(start: int, end: int) -> str:
    """The finest resolution that says it in not too many points."""
    return next((name for name, step in STEPS.items() if points(start, end, step) <= USUAL_POINTS), [*STEPS][-1])


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
