"""What is known of each resource in a round, as the values that its health is judged by."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from math import floor
from typing import Any, cast

from reconciler.core import health
from reconciler.core.facts import Facts
from reconciler.core.health import Verdict
from reconciler.core.kinds.certificate import Certificate
from reconciler.core.kinds.host import Host
from reconciler.core.kinds.virtualhost import VirtualHost
from reconciler.core.model import FleetState, Observed, ObservedState, Ref

DAY_S = 86400
UNUSED = health.Traffic()


def instance(one: Observed | None) -> health.Instance:
    if one is None:
        return health.Instance()
    told, fields = one.health, one.fields
    ended = isinstance(fields.get("exit"), int)
    return health.Instance(
        True,
        _text(fields.get("state")),
        told.status,
        told.message,
        _number(fields.get("restarts")),
        _number(fields.get("exit")) if ended else 0,
        ended,
        told.failed,
        round(float(told.latency_ms), 1),
    )


def proxy(one: Observed | None, node: str, waits: str, facts: Facts) -> health.Proxy:
    shared = _text(one.fields.get("shared")) if one is not None else ""
    return health.Proxy(instance(one), node in facts.connected or node in facts.away, not waits, waits, shared)


def application(parts: Sequence[tuple[Observed | None, Verdict]]) -> health.Application:
    """Its replicas, each as it is seen and as it is judged."""
    words = [verdict.status for _, verdict in parts]
    restarts = sum(_number(one.fields.get("restarts")) for one, _ in parts if one is not None)
    healthy = words.count("healthy") + words.count("degraded")
    worst = "" if words.count("healthy") == len(words) else max((verdict for _, verdict in parts), key=_badness).message
    return health.Application(len(words), healthy, words.count("starting"), words.count("unhealthy"), restarts, worst)


def _badness(verdict: Verdict) -> int:
    return health.ORDER.index(verdict.status)


def host(ref: Ref, fleet: FleetState, seen: ObservedState, bearing: Mapping[str, int]) -> health.Host:
    blind = seen.blind.get(ref.name, "")
    return health.Host(not blind, blind, cast(Host, fleet.resources[ref].spec).state, bearing.get(ref.name, 0))


def certificate(ref: Ref, fleet: FleetState, ends: Mapping[Ref, float], now: float) -> health.Certificate:
    """`ends` says when those end that are known; Unix seconds."""
    if ref not in ends:
        return health.Certificate()
    return health.Certificate(
        True, floor((ends[ref] - now) / DAY_S), cast(Certificate, fleet.resources[ref].spec).chain is None
    )


class Told:
    """What groups of proxies are told, and whether they have it: asked for one resource at a time."""

    def __init__(self, fleet: FleetState, groups: Mapping[Ref, Sequence[str]], waits: Mapping[str, str], facts: Facts) -> None:
        self._fleet, self._groups, self._waits, self._facts = fleet, groups, waits, facts
        self._empty: dict[Ref, dict[Ref, list[tuple[str, int, int]]]] = {}

    def traffic(self, ref: Ref, carried: Iterable[Ref]) -> health.Traffic:
        """`carried` are the groups whose proxies carry something of it."""
        groups = sorted(group for group in carried if group in self._groups)
        if not groups:
            return UNUSED
        nodes = [node for group in groups for node in self._groups[group]]
        # Where a proxy waits for backends to become healthy, requests still go elsewhere: nothing is wrong with that.
        sure = [group for group in groups if self._facts.awaiting.keys().isdisjoint(self._groups[group])]
        ends = [one for group in groups for one in self._clusters(ref, group)]
        sick = [one for group in sure for one in self._clusters(ref, group)]
        return health.Traffic(
            len(nodes),
            sum(node in self._facts.connected or node in self._facts.away for node in nodes),
            sum(not self._waits[node] for node in nodes),
            sum(known for _, known, _ in ends),
            sum(healthy for _, _, healthy in ends),
            next((name for name, known, healthy in sick if known and not healthy), ""),
            next((name for name, known, _ in sick if not known), ""),
        )

    def _clusters(self, ref: Ref, group: Ref) -> Iterable[tuple[str, int, int]]:
        """Clusters that this resource declares or leads to: name, endpoints, and how many of them are healthy."""
        if ref.kind == "ProxyGroup":
            return ()
        if group not in self._empty:
            self._empty[group] = self._counted(group)
        found = self._empty[group]
        if ref.kind == "VirtualHost":
            spec = cast(VirtualHost, self._fleet.resources[ref].spec)
            led = {spec.backend, *(name for name, weight in (spec.weights or {}).items() if weight)}
            return [one for ends in found.values() for one in ends if one[0] in led]
        return found.get(ref, ())

    def _counted(self, group: Ref) -> dict[Ref, list[tuple[str, int, int]]]:
        snapshots = (self._facts.snapshots.get(node) for node in self._groups[group])
        snapshot = next((one for one in snapshots if one is not None), None)
        found: dict[Ref, list[tuple[str, int, int]]] = {}
        if snapshot is None:
            return found
        told = snapshot.resources.get("eds", {})
        for cluster in self._fleet.traffic.get(group, {}).get("cds", {}).values():
            if cluster.eds in told:
                found.setdefault(cluster.owner, []).append((cluster.name, *_endpoints(told[cluster.eds].body)))
        return found


@lru_cache(16384)
def _endpoints(body: bytes) -> tuple[int, int]:
    # Here: Envoy's types take long to import, and who shows what has been judged needs none of them.
    from envoy.config.endpoint.v3 import endpoint_pb2  # type: ignore[import-untyped]

    from reconciler.core.envoy import content

    message = endpoint_pb2.ClusterLoadAssignment.FromString(content(body))
    words = [one.health_status for group in message.endpoints for one in group.lb_endpoints]
    # https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/core/v3/health_check.proto#enum-config-core-v3-healthstatus
    return len(words), sum(word in (0, 1) for word in words)


def _number(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 62 else 0


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
