"""From two looks at what instances have used to what they use: processor, memory, requests, errors, latencies."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from reconciler.core.envoy_stats import percentile
from reconciler.core.running import Usage

By = Literal["instance", "resource", "host"]
Order = Literal["cpu", "memory", "requests", "errors", "latency", "name"]


@dataclass(frozen=True, slots=True)
class Rate:
    """What one instance, resource or host uses. `cpu` counts processors (1.0 is one, busy all the time); latencies are
    in ms. None where nobody can tell: of what began between the two looks, and of what is no Envoy or does not answer."""

    name: str
    host: str = ""
    instances: int = 1
    cpu: float | None = None
    memory_bytes: int = 0
    processes: int = 0
    requests_s: float | None = None
    errors_s: float | None = None
    connections: int | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None


def rates(before: Iterable[Usage], now: Sequence[Usage], owners: Mapping[str, str], by: By) -> list[Rate]:
    """`owners`: printed ref of a workload ⇒ of the declared resource that it comes from."""
    earlier = {(one.host, one.ref, one.instance): one for one in before}
    groups: dict[tuple[str, str], list[tuple[Usage | None, Usage]]] = {}
    for one in now:
        if by == "host":
            key = (one.host, one.host)
        elif by == "resource":
            key = (owners.get(str(one.ref), str(one.ref)), "")
        else:
            key = (f"{one.ref} {one.instance[:8]}", one.host)
        groups.setdefault(key, []).append((earlier.get((one.host, one.ref, one.instance)), one))
    return [_rate(name, host, pairs) for (name, host), pairs in groups.items()]


def _rate(name: str, host: str, pairs: Sequence[tuple[Usage | None, Usage]]) -> Rate:
    cpu = [one for old, new in pairs if (one := _per_s(old, new, _cpu_s)) is not None]
    told = [new.traffic for _, new in pairs if new.traffic is not None]
    requests = [one for old, new in pairs if (one := _per_s(old, new, _requests)) is not None]
    errors = [one for old, new in pairs if (one := _per_s(old, new, _errors)) is not None]
    buckets: Counter[float] = Counter()
    for traffic in told:
        buckets.update(traffic.buckets)
    return Rate(
        name,
        host,
        len(pairs),
        sum(cpu) if cpu else None,
        sum(new.memory_bytes for _, new in pairs),
        sum(new.processes for _, new in pairs),
        sum(requests) if requests else None,
        sum(errors) if errors else None,
        sum(traffic.connections for traffic in told) if told else None,
        percentile(buckets, 0.5),
        percentile(buckets, 0.99),
    )


def _cpu_s(one: Usage) -> float:
    return one.cpu_s


def _requests(one: Usage) -> int | None:
    return one.traffic.requests if one.traffic else None


def _errors(one: Usage) -> int | None:
    return one.traffic.errors if one.traffic else None


def _per_s(old: Usage | None, new: Usage, counted: Callable[[Usage], float | None]) -> float | None:
    """What has begun again meanwhile counts from nothing again."""
    if old is None or new.at <= old.at:
        return None
    was, now = counted(old), counted(new)
    return None if was is None or now is None else max(0.0, now - was if now >= was else now) / (new.at - old.at)


def sorted_by(found: Iterable[Rate], order: Order) -> list[Rate]:
    """The most first; by name, the first first."""
    return sorted(found, key=lambda one: (-(MEASURES[order](one) or 0.0), one.name, one.host))


MEASURES: Mapping[Order, Callable[[Rate], float | None]] = {
    "cpu": lambda one: one.cpu,
    "memory": lambda one: one.memory_bytes,
    "requests": lambda one: one.requests_s,
    "errors": lambda one: one.errors_s,
    "latency": lambda one: one.p99_ms,
    "name": lambda _: None,
}
