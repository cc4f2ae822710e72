"""Endpoints that an Envoy was told by its control plane, as a dump shows them."""

from collections.abc import Collection, Iterable

from reconciler.core.adopt.inventory import Item
from reconciler.core.adopt.ledger import Ledger
from reconciler.core.eds import eds_target
from reconciler.core.messages import Message

# What a dump shows where nobody has set it, in percent:
# https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/endpoint/v3/endpoint.proto#config-endpoint-v3-clusterloadassignment-policy
OVERPROVISIONING = 140


class Assignments:
    """Those of a dump, by the name under which a cluster asks for them; each is in the ledger in the end."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._items = list(items)
        self._by_name = {one.name: one for one in self._items if one.dynamic}
        # Section of the dump ⇒ the cluster whose endpoints it became.
        self._taken: dict[str, str] = {}

    def take(self, service: str, cluster: str) -> Message | None:
        """As fixed endpoints: how healthy each was is no part of what is declared."""
        item = self._by_name.get(service)
        if item is None:
            return None
        self._taken[item.section] = cluster
        copy = type(item.message)()
        copy.CopyFrom(item.message)
        copy.ClearField("named_endpoints")
        if copy.policy.overprovisioning_factor.value == OVERPROVISIONING:
            copy.policy.ClearField("overprovisioning_factor")
        if copy.HasField("policy"):
            _without_added(copy, ("policy",))
        for group in copy.endpoints:
            _without_added(group, ("locality", "load_balancing_weight"))
            for one in group.lb_endpoints:
                one.ClearField("health_status")
                if one.load_balancing_weight.value == 1:
                    one.ClearField("load_balancing_weight")
                _without_added(one, ("metadata", "load_balancing_weight"))
                _without_added(one.endpoint, ("health_check_config",))
        return copy

    def tell(self, ledger: Ledger, clusters: Collection[str]) -> None:
        for item in self._items:
            if self._taken.get(item.section) in clusters:
                ledger.changed(item.section, "written down as fixed endpoints, without how healthy they were", item.name)
            elif item.name in clusters or not item.dynamic:
                ledger.carried(item.section, "within its cluster", item.name, "observed, not declared")
            elif eds_target(item.name) is not None:
                ledger.carried(item.section, "", item.name, "observed: Convoy sees these endpoints itself")
            else:
                ledger.left(item.section, "no cluster that is imported asks for these endpoints", item.name)


def _without_added(message: Message, names: Iterable[str]) -> None:
    """A dump shows empty messages and weights of nought where nobody said anything."""
    for name in names:
        if message.HasField(name) and not getattr(message, name).ListFields():
            message.ClearField(name)
