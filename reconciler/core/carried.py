"""What goes together: what the proxies of one ProxyGroup are told something of."""

from collections import defaultdict
from collections.abc import Iterable
from typing import cast

from reconciler.core.clusters import eds_target
from reconciler.core.kinds.proxy import Proxy
from reconciler.core.kinds.virtualhost import VirtualHost
from reconciler.core.model import FleetState, Ref, Resource


def group_of(proxy: Resource) -> Ref:
    """The ProxyGroup of a Proxy."""
    return Ref("ProxyGroup", cast(Proxy, proxy.spec).group, proxy.ref.tenant)


def carried_by(*fleets: FleetState) -> dict[Ref, set[Ref]]:
    """ProxyGroup ⇒ whatever its proxies are told something of."""
    carried: dict[Ref, set[Ref]] = defaultdict(set)
    for fleet in fleets:
        for group, types in fleet.traffic.items():
            carried[group] |= {group, *(one.owner for resources in types.values() for one in resources.values())}
            carried[group] |= {ref for ref in _named(fleet, group) if ref in fleet.resources}
            ends = (eds_target(one.eds) for one in types.get("cds", {}).values() if one.eds)
            carried[group] |= {end[0] for end in ends if end is not None}
        for host in fleet.of("VirtualHost"):
            carried[Ref("ProxyGroup", cast(VirtualHost, host.spec).group, host.ref.tenant)].add(host.ref)
    return carried


def _named(fleet: FleetState, group: Ref) -> Iterable[Ref]:
    resource = fleet.resources.get(group)
    if resource is None:
        return ()
    return (Ref(kind, one.name, group.tenant) for one in resource.spec.references() for kind in one.kinds)
