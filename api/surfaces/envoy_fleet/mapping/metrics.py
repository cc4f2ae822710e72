"""Metrics (section 12): what was asked for, and what was served as the document writes it."""

from collections.abc import Mapping, Sequence
from typing import Any

from api import readings
from api.readings import LATEST, Span, chosen
from api.surfaces.envoy_fleet.wire import Invalid, moment
from reconciler.core.readings import Reading, values

# What is told of the xDS server, and of the last look.
XDS = ("streams", "connects", "denied", "rejected", "pushes", "acks", "nacks", "sent_bytes")
SCRAPE = ("proxies", "silent", "hosts", "seconds")


def asked(query: Mapping[str, Any], now: float) -> tuple[Span, tuple[str, ...]]:
    """Of which time, and which metrics. Raises Invalid."""
    try:
        return readings.span(query, now), readings.metrics(query)
    except readings.BadQuery as why:
        raise Invalid(why.field, why.reason) from None


def shown(over: Span, found: Mapping[str, Sequence[tuple[int, float]]]) -> dict[str, Any]:
    """The part that all of them have in common."""
    return {
        "time_range": {"start": moment(over.start), "end": moment(over.end)},
        "resolution": over.resolution,
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
