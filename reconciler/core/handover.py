"""When what is replaced may go: nothing that a proxy may still send requests to, before what replaces it serves."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from reconciler.core.carried import group_of
from reconciler.core.facts import Facts
from reconciler.core.model import Connected, FleetState, Observed, ObservedState, Ref, Snapshot, Want, instance_on
from reconciler.core.place import Hosts


def node_id(ref: Ref) -> str:
    """By which name the xDS server knows a Proxy."""
    return str(ref).removeprefix("Proxy/")


def surplus_of(wanted: FleetState, seen: ObservedState) -> list[Observed]:
    """Every seen instance that is not the only one declared: what will be deleted once nothing uses it, or may be.

    Of an instance that is on two hosts, because it moves, both are given.
    """
    hosts = Hosts(wanted)
    copies = Counter((one.ref, one.instance) for one in seen.resources.values())
    return [
        one
        for one in seen.resources.values()
        if one.ref not in wanted.workloads
        or wanted.workloads[one.ref].instance != one.instance
        or copies[one.ref, one.instance] > 1
        or not hosts.keeps(wanted.workloads[one.ref], one)
    ]


def unready(new: Observed | None, bearing: Collection[Observed], facts: Facts) -> str:
    """Why what this instance replaces must stay; empty when it may go. `bearing`: both, and all else of their name."""
    if new is None or new.health.status != "healthy":
        return "its replacement is not healthy yet"
    if new.ref.kind != "Proxy":
        return ""
    # An Envoy is ready as soon as it has waited long enough for its configuration, whether that came or not.
    node = node_id(new.ref)
    snapshot, connected = facts.snapshots.get(node), facts.connected.get(node)
    synced = connected is not None and connected.instances.get(instance_on(new.host, new.instance))
    if connected is not None and synced is None and not _mute(filter(_carries, bearing), connected):
        synced = connected.synced
    if connected is None or synced is None:
        return "its replacement is not connected yet"
    if snapshot is None or connected.sent != snapshot.version or not synced:
        return "its replacement has not acknowledged its configuration"
    return ""


def reached_by(one: Observed, facts: Facts, running: Mapping[str, Sequence[Observed]]) -> str:
    """The node of a proxy whose acknowledged content may still send requests to this instance; empty when there is none."""
    address = one.fields.get("address")
    ends = {(address, port) for port in dict(one.fields.get("ports") or {}).values() if isinstance(port, int)}
    for node in sorted(facts.connected.keys() | running.keys()):
        reaches = facts.reaches.get(node)
        # A running Envoy we hear nothing from still serves what it was last told, and we cannot know what that is.
        if reaches is None or ends & reaches or _mute(running.get(node, ()), facts.connected.get(node)):
            return node
    return ""


def running_proxies(seen: ObservedState) -> dict[str, list[Observed]]:
    """Node id ⇒ the observed Proxies whose Envoys may carry traffic: they are up, or still end what they have begun."""
    found: dict[str, list[Observed]] = defaultdict(list)
    for one in seen.resources.values():
        if one.ref.kind == "Proxy" and _carries(one):
            found[node_id(one.ref)].append(one)
    return found


def _mute(running: Iterable[Observed], connected: Connected | None) -> bool:
    """Whether one of a node's Envoys is up and not connected.

    One that an earlier Convoy started says only whose it is: where as many do as there are, it is among them.
    """
    named = connected.instances if connected is not None else {}
    silent = sum(instance_on(one.host, one.instance) not in named for one in running)
    return silent > (connected.unnamed if connected is not None else 0)


def _carries(proxy: Observed) -> bool:
    state = proxy.fields.get("state")
    return state == "stopping" or (state == "running" and proxy.health.status == "healthy")


def why_made(want: Want, bearing: Sequence[Observed]) -> str:
    """Why an instance is made that is not there."""
    if not bearing:
        return "missing"
    if any(one.instance == want.instance for one in bearing):
        return f"moves from host {bearing[0].host}"
    return "changed: made before the old one is removed"


def news(wanted: FleetState, facts: Facts) -> Iterator[tuple[Ref, Ref, Snapshot]]:
    """Every Proxy that is to be told something new, its group, and all that it is to run."""
    for proxy in sorted(wanted.of("Proxy"), key=lambda one: one.ref):
        snapshot = facts.snapshots.get(node_id(proxy.ref))
        if snapshot is not None and facts.published.get(node_id(proxy.ref)) != snapshot.version:
            yield proxy.ref, group_of(proxy), snapshot


def some(names: Iterable[str], most: int = 5) -> str:
    listed = sorted(names)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")
