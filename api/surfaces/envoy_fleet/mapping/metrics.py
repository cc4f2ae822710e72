"""Metrics (section 12): what was asked for, and what was served as the document writes it."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from api.readings import LATEST, MOST_POINTS, Span, chosen, points, usual
from api.surfaces.envoy_fleet.wire import Invalid, moment
from reconciler.core.near import did_you_mean, listing
from reconciler.core.readings import METRICS, STEPS, Reading, values

# What is looked at where nobody says how far back.
USUAL_S = 3600
# The end of the year 9999, and of what can be written as a date.
LAST_S = 253_402_300_799
# What is told of the xDS server, and of the last look.
XDS = ("streams", "connects", "denied", "rejected", "pushes", "acks", "nacks", "sent_bytes")
SCRAPE = ("proxies", "silent", "hosts", "seconds")
EXAMPLE = "write it in ISO 8601, as 2024-01-15T10:30:00Z"


def span(query: Mapping[str, Any], now: float) -> Span:
    """Of `start_time`, `end_time` and `resolution`; left out: the last hour, and the finest that is not too long. Raises
    Invalid."""
    # The minute that has begun is not over: nothing is known of it.
    end = _time(query, "end_time", math.floor(now))
    start = _time(query, "start_time", end - USUAL_S)
    if start >= end:
        raise Invalid("start_time", "it is not before end_time")
    resolution = query.get("resolution") or usual(start, end)
    number = points(start, end, STEPS[resolution])
    if number > MOST_POINTS:
        hint = "ask for less, or more coarsely" if resolution != [*STEPS][-1] else "ask for less"
        raise Invalid("resolution", f"that would be {number:,} points, and {MOST_POINTS:,} are the most: {hint}")
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
        raise Invalid(name, f"it is no time: {EXAMPLE}{hint}") from None


def metrics(query: Mapping[str, Any]) -> tuple[str, ...]:
    """The names in `metrics`, each once; left out, all. Raises Invalid."""
    text = query.get("metrics")
    if text is None:
        return METRICS
    names = dict.fromkeys(name.strip() for name in text.split(","))
    for name in names:
        if name not in METRICS:
            hint = did_you_mean(name, METRICS, f"there is {listing([*METRICS])}")
            raise Invalid("metrics", f"there is no such metric: {hint}")
    return tuple(names)


def shown(asked: Span, found: Mapping[str, Sequence[tuple[int, float]]]) -> dict[str, Any]:
    """The part that all of them have in common."""
    return {
        "time_range": {"start": moment(asked.start), "end": moment(asked.end)},
        "resolution": asked.resolution,
        "metrics": {name: [{"timestamp": moment(at), "value": value} for at, value in every] for name, every in found.items()},
    }


def latest(found: Reading | None) -> dict[str, float | None]:
    return chosen(values(found) if found is not None else {}, (*LATEST, "active_connections"))


def system(found: Mapping[str, Any], tenant: str, whole: bool) -> dict[str, Any]:
    """What Convoy has told of itself, as this tenant may see it: how many resources of its own fare how; and, for who sees the
    `whole`, what Convoy and its hosts use."""
    own = _part(found, "resources").get(tenant)
    hosts = _part(found, "hosts")
    at = found.get("at")
    return {
        "timestamp": moment(at) if isinstance(at, int | float) else None,
        "resources": own if isinstance(own, dict) else {},
        "convoy": _fields(found, "convoy", {"cpu": "cpu", "memory_bytes": "memory_bytes", "uptime_seconds": "up_s"}, whole),
        "loop": _fields(found, "loop", {"rounds": "rounds", "turning": "turning"}, whole),
        "xds": _fields(found, "xds", {name: name for name in XDS}, whole),
        "scrape": _fields(found, "scrape", {name: name for name in SCRAPE}, whole),
        "hosts": [_host(name, one) for name, one in sorted(hosts.items()) if isinstance(one, dict)] if whole else None,
    }


def _part(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = found.get(name)
    return part if isinstance(part, dict) else {}


def _fields(found: Mapping[str, Any], part: str, names: Mapping[str, str], whole: bool) -> dict[str, Any] | None:
    said = _part(found, part)
    return {name: said.get(ours) for name, ours in names.items()} if whole and said else None


def _host(name: str, one: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name} | {field: one.get(field) for field in ("cpu", "memory_bytes", "instances")}
