"""What goes together: what the proxies of one ProxyGroup are told something of, or one Proxy with its own Configuration."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import cast

from reconciler.core.eds import eds_target
from reconciler.core.kinds.proxy import Proxy
from reconciler.core.kinds.virtualhost import VirtualHost
from reconciler.core.model import FleetState, Ref, Resource

# What says where an Envoy runs says nothing of what it is told.
ELSEWHERE = frozenset({"Host"})


def group_of(proxy: Resource) -> Ref:
    """The ProxyGroup of a Proxy."""
    return Ref("ProxyGroup", cast(Proxy, proxy.spec).group, proxy.ref.tenant)


def told_as(proxy: Resource, fleet: FleetState) -> Ref:
    """Under whose name it stands in `FleetState.traffic` what this Proxy is told: its own, or its group's."""
    return proxy.ref if proxy.ref in fleet.traffic else group_of(proxy)


def own_told(fleet: FleetState) -> Iterator[Resource]:
    """The Proxies that are told something of their own."""
    return (fleet.resources[ref] for ref in fleet.traffic if ref.kind == "Proxy" and ref in fleet.resources)


def carried_by(*fleets: FleetState) -> dict[Ref, set[Ref]]:
    """ProxyGroup, or Proxy with a Configuration of its own ⇒ whatever is told of. What is pinned is of no document of today."""
    carried: dict[Ref, set[Ref]] = defaultdict(set)
    for fleet in fleets:
        for key, types in fleet.traffic.items():
            told = (one for resources in types.values() for one in resources.values())
            carried[key] |= {key, *(one.owner for one in told if not one.pinned)}
            carried[key] |= {ref for ref in _named(fleet, key) if ref in fleet.resources}
            ends = (eds_target(one.eds) for one in types.get("cds", {}).values() if one.eds)
            carried[key] |= {end[0] for end in ends if end is not None}
        for host, keys in _virtual_hosts(fleet, _own(fleet)):
            for key in keys:
                carried[key].add(host)
    return carried


def carriers(wanted: FleetState) -> dict[Ref, set[Ref]]:
    """Declared resource ⇒ the ProxyGroups whose proxies carry something of it, and the Proxies with a Configuration of their
    own. What is pinned is of no document of today."""
    carried: dict[Ref, set[Ref]] = defaultdict(set)
    own = _own(wanted)
    for key, types in wanted.traffic.items():
        for resources in types.values():
            for resource in resources.values():
                if not resource.pinned:
                    carried[resource.owner].add(key)
        if key.kind == "ProxyGroup":
            carried[key] |= {key, *own.get(key, ())}
    # VirtualHosts of one port share what they are told as, and its owner is only the first of them.
    for host, keys in _virtual_hosts(wanted, own):
        carried[host].update(keys)
    return carried


def _own(fleet: FleetState) -> Mapping[Ref, list[Ref]]:
    """ProxyGroup ⇒ those of its Proxies that are told something of their own."""
    own: dict[Ref, list[Ref]] = defaultdict(list)
    for proxy in own_told(fleet):
        own[group_of(proxy)].append(proxy.ref)
    return own


def _virtual_hosts(fleet: FleetState, own: Mapping[Ref, list[Ref]]) -> Iterator[tuple[Ref, tuple[Ref, ...]]]:
    """Each, and whoever carries it: its ProxyGroup, and the Proxies of that in `own`."""
    for host in fleet.of("VirtualHost"):
        group = Ref("ProxyGroup", cast(VirtualHost, host.spec).group, host.ref.tenant)
        yield host.ref, (group, *own.get(group, ()))


def _named(fleet: FleetState, key: Ref) -> Iterable[Ref]:
    resource = fleet.resources.get(key)
    if resource is None:
        return ()
    named = (one for one in resource.spec.references() if ELSEWHERE.isdisjoint(one.kinds))
    return (Ref(kind, one.name, key.tenant) for one in named for kind in one.kinds)
