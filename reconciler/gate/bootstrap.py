"""The bootstrap that puts xDS resources before an Envoy as static ones, each as near to what a proxy gets as can be."""

import hashlib
import re
from collections.abc import Collection, Iterable, MutableMapping, Sequence
from dataclasses import dataclass, field

from envoy.config.bootstrap.v3 import bootstrap_pb2  # type: ignore[import-untyped]
from envoy.config.cluster.v3 import cluster_pb2  # type: ignore[import-untyped]
from envoy.config.core.v3 import config_source_pb2  # type: ignore[import-untyped]
from envoy.config.listener.v3 import listener_pb2  # type: ignore[import-untyped]
from envoy.config.route.v3 import route_pb2  # type: ignore[import-untyped]
from envoy.extensions.bootstrap.internal_listener.v3 import internal_listener_pb2  # type: ignore[import-untyped]
from envoy.extensions.filters.http.router.v3 import router_pb2  # type: ignore[import-untyped]
from envoy.extensions.filters.network.http_connection_manager.v3 import (  # type: ignore[import-untyped]
    http_connection_manager_pb2 as hcm_pb2,
)

from reconciler.core.envoy import content, packing
from reconciler.core.messages import Message
from reconciler.core.model import Snapshot, XdsResource
from reconciler.core.references import mentions
from reconciler.gate.stand_ins import StandIns

# What a verdict was made with: raise it when what an Envoy is shown for the same resource changes.
FORMAT = "1"
CHECKED = ("cds", "lds", "rds")
# The static cluster that the aggregated stream would come from. No dots or slashes: nobody's names look like this one.
ADS_CLUSTER = "_convoy_gate_xds"
# Ports of listeners are replaced by ones counted from here: what counts is which are the same.
FIRST_PORT = 10_001

# Clusters of a type of their own (dynamic forward proxy, …) share state with listeners by names inside their typed config.
_OWN_TYPE = re.compile(rb"/envoy\.(?:extensions\.)?clusters\.")


@dataclass(frozen=True)
class Item:
    """One resource as Envoy is asked about it. `digest` names all that the answer depends on but its surroundings.

    `apart`: no other resource can change the answer, so that it holds in every snapshot.
    """

    resource: XdsResource = field(repr=False)
    digest: str
    raw: bytes = field(repr=False)
    apart: bool
    # Clusters that it asks for by name.
    clusters: frozenset[str] = frozenset()

    @property
    def type(self) -> str:
        return self.resource.type

    @property
    def name(self) -> str:
        return self.resource.name

    @property
    def listener(self) -> bool:
        """Whether it stands in the bootstrap's list of listeners (as a route configuration does, within one)."""
        return self.type != "cds"


# What reads the bytes of each type.
_CLASSES = {"cds": cluster_pb2.Cluster, "lds": listener_pb2.Listener, "rds": route_pb2.RouteConfiguration}


def items_of(type: str, resources: Iterable[XdsResource], known: MutableMapping[tuple[str, str], Item]) -> list[Item]:
    """The items of one type, in the order of their names. `known` remembers what depends on a version alone."""
    ports: dict[int, int] = {0: 0}
    result = []
    for resource in sorted(resources, key=lambda one: one.name):
        key = (type, resource.version)
        item = known.get(key)
        if item is None:
            item = _item(type, resource, ports)
            if type != "lds":
                known[key] = item
        result.append(item)
    return result


def _item(type: str, resource: XdsResource, ports: dict[int, int]) -> Item:
    raw = content(resource.body)
    apart = type != "lds"
    if type == "lds":
        raw = _with_counted_port(raw, ports)
    elif type == "cds":
        apart = not _OWN_TYPE.search(raw)
    elif type == "rds":
        # Routes sent by RDS may name clusters that are not there, unless they say that this is to be checked.
        apart = not route_pb2.RouteConfiguration.FromString(raw).HasField("validate_clusters")
    digest = hashlib.sha256(f"{FORMAT}/{type}/".encode() + raw).hexdigest()[:32]
    asks = () if apart else mentions(_CLASSES[type].FromString(raw))
    return Item(resource, digest, raw, apart, frozenset(mention.name for mention in asks if mention.type == "cds"))


def _with_counted_port(raw: bytes, ports: dict[int, int]) -> bytes:
    """Proxies that differ only in where they listen are one question; which of one proxy's ports are the same stays."""
    message = listener_pb2.Listener.FromString(raw)
    port = message.address.socket_address.port_value
    if not port:
        return raw
    message.address.socket_address.port_value = ports.setdefault(port, FIRST_PORT + len(ports) - 1)
    counted: bytes = message.SerializeToString(deterministic=True)
    return counted


def named_clusters(items: Iterable[Item], names: Collection[str]) -> frozenset[str]:
    """The clusters that the items may ask for: whatever they name as one, and all of `names` that stand anywhere in them.

    Whether those exist is not the question here: compiling has seen to that, which knows a proxy's own bootstrap too.
    """
    bound = [item for item in items if not item.apart]
    raws = [item.raw for item in bound]
    found = frozenset(name for name in names if any(name.encode() in raw for raw in raws))
    return found.union(*(item.clusters for item in bound))


def bootstrap(items: Sequence[Item], clusters: Collection[str], secrets: Collection[str]) -> bytes:
    """A serialised Bootstrap with these items; of `clusters`, those that are no items are stubs. `secrets` have stand-ins.

    Raises CannotStandIn when an item must not be tried.
    """
    result = bootstrap_pb2.Bootstrap()
    result.node.id = result.node.cluster = "convoy-gate"
    ads = result.dynamic_resources.ads_config
    # Some things (VHDS, …) need the delta protocol, or internal listeners; whether a proxy has them its bootstrap says.
    ads.api_type, ads.transport_api_version = ads.DELTA_GRPC, config_source_pb2.V3
    ads.grpc_services.add().envoy_grpc.cluster_name = ADS_CLUSTER
    internal = internal_listener_pb2.InternalListener()
    result.bootstrap_extensions.add(name="internal", typed_config=packing(internal))
    static = result.static_resources
    stand_ins = StandIns(secrets)
    for item in items:
        if item.listener:
            static.listeners.add().CopyFrom(_listener(item, len(static.listeners), stand_ins))
        else:
            static.clusters.add().CopyFrom(_cluster(item, stand_ins))
    present = {item.name for item in items if item.type == "cds"}
    # Behind the items, so that an index in Envoy's words is an item's.
    for name in sorted({*clusters, ADS_CLUSTER} - present - {""}):
        static.clusters.add(name=name, type="STATIC").connect_timeout.seconds = 1
    static.secrets.extend(stand_ins.secrets.values())
    raw: bytes = result.SerializeToString()
    return raw


def _cluster(item: Item, stand_ins: StandIns) -> Message:
    message = cluster_pb2.Cluster.FromString(item.raw)
    for check in message.health_checks:
        # Envoy would make the file.
        check.event_log_path = ""
    stand_ins.prepare(message, item.raw)
    return message


def _listener(item: Item, index: int, stand_ins: StandIns) -> Message:
    if item.type == "lds":
        message = listener_pb2.Listener.FromString(item.raw)
        stand_ins.prepare(message, item.raw)
        return message
    routes = route_pb2.RouteConfiguration.FromString(item.raw)
    if not routes.HasField("validate_clusters"):
        routes.validate_clusters.value = False
    stand_ins.prepare(routes, item.raw)
    manager = hcm_pb2.HttpConnectionManager(stat_prefix="gate", route_config=routes)
    manager.http_filters.add(name="router", typed_config=packing(router_pb2.Router()))
    message = listener_pb2.Listener(name=f"rds/{index}")
    message.address.socket_address.address = "127.0.0.1"
    message.address.socket_address.port_value = 0
    message.filter_chains.add().filters.add(name="hcm", typed_config=packing(manager))
    return message


def secrets_of(snapshot: Snapshot) -> frozenset[str]:
    return frozenset(snapshot.resources.get("sds", ()))
