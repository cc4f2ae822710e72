"""From what Envoys have counted to what they served in each minute, and from minutes to hours and days: by adding up."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from reconciler.core.latency import Histogram, added, percentile_ms, unpacked
from reconciler.core.refs import Ref
from reconciler.core.running import Counted, Usage

# Resolutions, finest first, in seconds; each is made from the one before it.
STEPS: Mapping[str, int] = {"1m": 60, "5m": 300, "1h": 3600, "1d": 86400}
MINUTE_S = STEPS["1m"]
# Two looks that are further apart say nothing about any one minute: those between them stay a gap.
LONGEST_S = 1.5 * MINUTE_S
PERCENTILES: Mapping[str, float] = {"p50_latency_ms": 0.5, "p90_latency_ms": 0.9, "p99_latency_ms": 0.99}
METRICS = ("requests_per_second", "error_rate", *PERCENTILES, "active_connections")


@dataclass(frozen=True, slots=True)
class Reading:
    """What was served in a span of time, of which `ms` were seen: requests that were answered, errors (5xx) among them, and how
    long they took; and connections, added up over so many `looks`."""

    requests: int = 0
    errors: int = 0
    ms: int = 0
    connections: int = 0
    looks: int = 0
    latency: Histogram = field(default_factory=dict)


Of = TypeVar("Of")


def subject(owner: Ref, cluster: str) -> str:
    """Whose readings those of a cluster are: its document's, and of those that a Configuration declares within itself, each
    one's own."""
    return f"{owner}/{cluster}" if owner.kind == "Configuration" else str(owner)


def tenant(name: str) -> str:
    """Whose readings those of all proxies of a tenant are."""
    return f"tenant {name}"


def joined(readings: Iterable[Reading]) -> Reading:
    """One after the other: as if the span were all of theirs."""
    every = [*readings]
    return Reading(
        sum(one.requests for one in every),
        sum(one.errors for one in every),
        sum(one.ms for one in every),
        sum(one.connections for one in every),
        sum(one.looks for one in every),
        added(one.latency for one in every),
    )


def beside(readings: Iterable[Reading]) -> Reading:
    """At the same time: as if one had served what each of them did. Each is of one look."""
    every = [*readings]
    return Reading(
        sum(one.requests for one in every),
        sum(one.errors for one in every),
        max((one.ms for one in every), default=0),
        sum(one.connections for one in every),
        max((one.looks for one in every), default=0),
        added(one.latency for one in every),
    )


def rolled(readings: Iterable[tuple[Of, int, Reading]], step: int) -> dict[tuple[Of, int], Reading]:
    """Whose, from when (Unix seconds), what ⇒ the same in spans of `step` seconds, in UTC."""
    found: dict[tuple[Of, int], list[Reading]] = {}
    for whose, at, one in readings:
        found.setdefault((whose, at - at % step), []).append(one)
    return {key: joined(every) for key, every in found.items()}


@dataclass(frozen=True, slots=True)
class Served:
    """By one Envoy between two looks, the later at `at` (by the clock that never goes back): as a whole, and by cluster."""

    at: float
    whole: Reading
    clusters: Mapping[str, Reading]


def served(before: Usage | None, now: Usage, watched_from: float) -> Served | None:
    """None where nobody can tell. `watched_from`: since when its host is looked at, so that what has begun since then has
    counted from nothing, and nothing of it is counted twice."""
    counts = now.counts
    if counts is None:
        return None
    zero = Counted()
    if before is not None and before.counts is not None and before.pid == now.pid:
        then, seconds = before.counts, counts.at - before.counts.at
        if _less(counts.whole, then.whole):
            return None
        whole, clusters = then.whole, then.clusters
    elif now.age_s is not None and counts.at - now.age_s >= watched_from:
        whole, clusters, seconds = zero, {}, now.age_s
    else:
        return None
    if not 0 < seconds <= LONGEST_S:
        return None
    ms = max(1, round(1000 * seconds))
    found = {}
    for name, one in counts.clusters.items():
        was = clusters.get(name, zero)
        # A cluster that was taken away and has come again counts from nothing.
        found[name] = _between(zero if _less(one, was) else was, one, ms)
    return Served(counts.at, _between(whole, counts.whole, ms), found)


def _less(now: Counted, then: Counted) -> bool:
    return now.requests < then.requests or now.errors < then.errors


def _between(then: Counted, now: Counted, ms: int) -> Reading:
    # An Envoy adds its threads' histograms up every few seconds: they follow the counters, and never go back.
    took: dict[int, int] = {}
    if now.latency != then.latency:
        before = unpacked(then.latency)
        took = {bin: more for bin, number in unpacked(now.latency).items() if (more := number - before.get(bin, 0)) > 0}
    return Reading(now.requests - then.requests, now.errors - then.errors, ms, now.connections, 1, took)


def values(one: Reading) -> dict[str, float]:
    """Metric ⇒ value. What there is none of is not there: without requests there is no share of errors, and no latency."""
    found: dict[str, float] = {}
    if one.ms > 0:
        found["requests_per_second"] = round(1000 * one.requests / one.ms, 3)
    if one.requests > 0:
        found["error_rate"] = round(min(1.0, one.errors / one.requests), 6)
    for name, share in PERCENTILES.items():
        if (ms := percentile_ms(one.latency, share)) is not None:
            found[name] = ms
    if one.looks > 0:
        found["active_connections"] = round(one.connections / one.looks, 1)
    return found


def series(readings: Mapping[int, Reading], metrics: Sequence[str]) -> dict[str, list[tuple[int, float]]]:
    """From when ⇒ what, as metric ⇒ (from when, value) in the order of time; what nobody knows is a gap."""
    told = {at: values(one) for at, one in sorted(readings.items())}
    return {name: [(at, found[name]) for at, found in told.items() if name in found] for name in metrics}
