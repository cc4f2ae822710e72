"""status(): for every declared resource, whether it is as declared, how it fares, since when, and why not."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

from reconciler.core.facts import NOT_YET, Facts, Failure
from reconciler.core.handover import node_id
from reconciler.core.hooks import HookRun
from reconciler.core.kinds.host import Host
from reconciler.core.kinds.proxy import Proxy
from reconciler.core.kinds.virtualhost import VirtualHost
from reconciler.core.model import FleetState, Held, Observed, ObservedState, Plan, Ref
from reconciler.core.plan import settings_of

Sync = Literal["synced", "pending", "drifted", "held", "failed", "refused"]
TRAFFIC_KINDS = frozenset({"ProxyGroup", "Configuration", "Cluster", "VirtualHost", "Certificate"})


@dataclass(frozen=True, slots=True)
class Status:
    """One resource. `health` is "none" for what does not run; `since` is when sync or health last changed (Unix seconds)."""

    ref: Ref
    sync: Sync
    health: Literal["healthy", "unhealthy", "starting", "unknown", "none"]
    since: float
    why: str = ""


def status(
    wanted: FleetState,
    plan: Plan,
    seen: ObservedState,
    facts: Facts,
    refused: Mapping[Ref, str],
    before: Mapping[Ref, Status],
    now: float,
) -> dict[Ref, Status]:
    """`refused` says what Envoys have refused of each resource, in their words."""
    works = _workloads(wanted, plan, seen, facts, refused, now)
    groups = _groups(wanted)
    told = {group: _group(group, nodes, facts, now) for group, nodes in groups.items()}
    carried = _carried(wanted)
    result: dict[Ref, Status] = {}
    for ref in dict.fromkeys((*wanted.resources, *wanted.workloads)):
        resource = wanted.resources.get(ref)
        if resource is not None and resource.hook is not None:
            result[ref] = _hook(ref, facts.hooks.get(ref), plan, now)
        elif ref in refused and ref not in wanted.workloads:
            result[ref] = Status(ref, "refused", "none", now, refused[ref])
        elif ref in works:
            result[ref] = _worst(ref, works[ref], now)
        elif ref.kind == "Application":
            result[ref] = Status(ref, "synced", "none", now, "no replicas")
        elif ref.kind == "Host":
            state = cast(Host, wanted.resources[ref].spec).state
            result[ref] = _host(ref, seen.blind.get(ref.name, ""), state, now)
        elif ref.kind in TRAFFIC_KINDS:
            result[ref] = _worst(ref, [told[g] for g in carried.get(ref, ()) if g in told], now)
        else:
            result[ref] = Status(ref, "synced", "none", now)
    for ref, held in facts.withheld.items():
        words = f"{held.reason}; to go on: {held.release}" if held.release else held.reason
        result[ref] = Status(ref, "held", result[ref].health if ref in result else "none", now, words)
    for ref in [*result]:
        old = before.get(ref)
        if old is not None and (old.sync, old.health) == (result[ref].sync, result[ref].health):
            result[ref] = replace(result[ref], since=old.since)
    return result


def _workloads(
    wanted: FleetState, plan: Plan, seen: ObservedState, facts: Facts, refused: Mapping[Ref, str], now: float
) -> dict[Ref, list[Status]]:
    """Workload, and declared resource that workloads come from ⇒ how each of them is."""
    bearing = {(one.ref, one.instance): one for one in seen.resources.values()}
    doing = {action.ref: f"{action.verb}: {action.reason}" for action in plan.actions}
    instances = {ref: want.instance for ref, want in wanted.workloads.items()}
    failures = {key[1]: failure for key, failure in facts.failures.items() if instances.get(key[1]) == key[2]}
    holding = _holding(plan)
    deadline_s = settings_of(wanted).start_deadline_s
    works: dict[Ref, list[Status]] = defaultdict(list)
    for ref, want in wanted.workloads.items():
        current = bearing.get((ref, want.instance))
        if ref in plan.left:
            one = Status(ref, "synced", current.health.status if current else "none", now, plan.left[ref])
        else:
            sync, why = _sync(ref, current, refused, failures, doing, holding, deadline_s, facts, now)
            one = Status(ref, sync, current.health.status if current else "unknown", now, why)
        works[ref].append(one)
        if want.owner != ref:
            works[want.owner].append(one)
    return works


def _holding(plan: Plan) -> dict[Ref, Held]:
    """Workload ⇒ its hold, one that waits for a person before all others."""
    holding: dict[Ref, Held] = {}
    for held in plan.held:
        if held.ref not in holding or (held.release and not holding[held.ref].release):
            holding[held.ref] = held
    return holding


def _held(held: Held) -> tuple[Sync, str]:
    if not held.release:
        return "pending", held.reason
    return ("drifted" if held.drifted else "held"), f"{held.reason}; to go on: {held.release}"


def leftovers(instances: Mapping[Ref, Sequence[Observed]], plan: Plan) -> dict[Ref, Status]:
    """How things stand that are on a host and that no revision declares any more."""
    holding = _holding(plan)
    result: dict[Ref, Status] = {}
    for ref, found in instances.items():
        first = found[0]
        sync: Sync
        why: str
        if ref in plan.left:
            sync, why = "synced", plan.left[ref]
        elif ref in holding and holding[ref].release:
            sync, why = _held(holding[ref])
        else:
            sync, why = "pending", "no longer declared"
        result[ref] = Status(ref, sync, first.health.status, first.since, why)
    return result


def _sync(
    ref: Ref,
    current: Observed | None,
    refused: Mapping[Ref, str],
    failures: Mapping[Ref, Failure],
    doing: Mapping[Ref, str],
    holding: Mapping[Ref, Held],
    deadline_s: float,
    facts: Facts,
    now: float,
) -> tuple[Sync, str]:
    healthy = current is not None and current.health.status == "healthy"
    if ref in refused:
        return "refused", refused[ref]
    if ref in failures:
        return "failed", failures[ref].error
    if current is not None and not healthy and now - current.since > deadline_s:
        return "failed", f"not healthy within {deadline_s:g} s: {current.health.message}".rstrip(": ")
    if ref in doing:
        return "pending", doing[ref]
    if ref in holding:
        return _held(holding[ref])
    if current is None:
        return "pending", "missing"
    waiting = _waiting(node_id(ref), facts) if ref.kind == "Proxy" else ""
    return ("pending", waiting) if waiting else ("synced", "" if healthy else current.health.message)


def _hook(ref: Ref, run: HookRun | None, plan: Plan, now: float) -> Status:
    """A hook is neither well nor unwell: what counts is how its last run ended."""
    if run is None or run.state == "idle":
        return Status(ref, "synced", "none", now, "a hook; nothing it is for has changed since it is here")
    if run.state == "succeeded":
        return Status(ref, "synced", "none", now, f"succeeded for revision {run.revision[:12]}")
    if run.state == "failed":
        why = f"failed for revision {run.revision[:12]}: {run.why}; to go on: a newer commit, or `convoy sync --retry`"
        return Status(ref, "failed", "none", now, why)
    held = _holding(plan).get(ref)
    if held is None:
        return Status(ref, "pending", "none", now, "is to run")
    sync, why = _held(held)
    return Status(ref, sync, "none", now, why)


def _host(ref: Ref, blind: str, state: str, now: float) -> Status:
    if state == "lost":
        return Status(ref, "synced", "none", now, state)
    if not blind:
        return Status(ref, "synced", "healthy", now, "" if state == "active" else state)
    return Status(ref, "pending" if blind == NOT_YET else "held", "unknown", now, blind)


def _waiting(node: str, facts: Facts) -> str:
    """What this proxy still has to do, in words; empty when it runs all it was told."""
    snapshot, connected = facts.snapshots.get(node), facts.connected.get(node)
    if snapshot is None:
        return "nothing to tell it yet"
    if connected is None:
        return f"proxy {node} is not connected"
    if connected.sent != snapshot.version or not connected.synced:
        return f"proxy {node} has not acknowledged its configuration"
    return ""


def _groups(wanted: FleetState) -> dict[Ref, list[str]]:
    groups: dict[Ref, list[str]] = {resource.ref: [] for resource in wanted.of("ProxyGroup")}
    for resource in wanted.of("Proxy"):
        group = Ref("ProxyGroup", cast(Proxy, resource.spec).group, resource.ref.tenant)
        groups.setdefault(group, []).append(node_id(resource.ref))
    return groups


def _group(ref: Ref, nodes: list[str], facts: Facts, now: float) -> Status:
    waits = [why for node in sorted(nodes) if (why := _waiting(node, facts))]
    if not waits:
        return Status(ref, "synced", "none", now)
    return Status(ref, "pending", "none", now, waits[0] + (f" (and {len(waits) - 1} more)" if len(waits) > 1 else ""))


def _carried(wanted: FleetState) -> dict[Ref, set[Ref]]:
    """Declared resource ⇒ the ProxyGroups whose proxies carry something of it."""
    carried: dict[Ref, set[Ref]] = defaultdict(set)
    for group, types in wanted.traffic.items():
        carried[group].add(group)
        for resources in types.values():
            for resource in resources.values():
                carried[resource.owner].add(group)
    # VirtualHosts of one port share what they are told as, and its owner is only the first of them.
    for host in wanted.of("VirtualHost"):
        carried[host.ref].add(Ref("ProxyGroup", cast(VirtualHost, host.spec).group, host.ref.tenant))
    return carried


_ORDER: Mapping[Sync, int] = {"synced": 0, "pending": 1, "drifted": 2, "held": 3, "failed": 4, "refused": 5}
_HEALTH = {"none": 0, "healthy": 1, "starting": 2, "unknown": 3, "unhealthy": 4}


def _worst(ref: Ref, parts: Iterable[Status], now: float) -> Status:
    listed = list(parts)
    if not listed:
        return Status(ref, "synced", "none", now, "not used by any proxy")
    if len(listed) == 1 and listed[0].ref == ref:
        return listed[0]
    worst = max(listed, key=lambda s: _ORDER[s.sync])
    health = max((s.health for s in listed), key=_HEALTH.__getitem__)
    why = worst.why or next((s.why for s in listed if s.why), "")
    return Status(ref, worst.sync, health, now, why if worst.ref == ref or not why else f"{worst.ref}: {why}")
