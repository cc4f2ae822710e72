"""What an Envoy message refers to by name: clusters, route configurations and secrets, also inside typed configs."""

from collections.abc import Iterator
from dataclasses import dataclass

from reconciler.core.messages import Message, Path, is_map, unpacked


@dataclass(frozen=True, slots=True)
class Mention:
    """A name that stands for another resource. `firm`: without that resource the message cannot work."""

    type: str
    name: str
    path: Path
    firm: bool = True


# Fields that name a cluster which must exist, by the message they are in.
CLUSTERS = {
    ("envoy.config.route.v3.RouteAction", "cluster"),
    ("envoy.config.route.v3.RouteAction.RequestMirrorPolicy", "cluster"),
    ("envoy.config.route.v3.WeightedCluster.ClusterWeight", "name"),
    ("envoy.config.core.v3.GrpcService.EnvoyGrpc", "cluster_name"),
    ("envoy.config.core.v3.HttpUri", "cluster"),
    ("envoy.extensions.clusters.aggregate.v3.ClusterConfig", "clusters"),
    ("envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "cluster"),
    ("envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster.ClusterWeight", "name"),
    ("envoy.extensions.filters.network.redis_proxy.v3.RedisProxy.PrefixRoutes.Route", "cluster"),
    ("envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig", "cluster"),
    ("envoy.extensions.filters.udp.udp_proxy.v3.Route", "cluster"),
}
# Fields of these names elsewhere most likely name a cluster too: what is declared under that name is sent along.
LIKELY = frozenset({"cluster", "cluster_name", "cluster_names", "collector_cluster", "shadow_cluster"})
UNLIKELY = frozenset({"envoy.config.core.v3.Node", "envoy.config.endpoint.v3.ClusterLoadAssignment"})

SECRET = "envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig"  # noqa: S105 - a type's name
ROUTES = "envoy.extensions.filters.network.http_connection_manager.v3.Rds"


def mentions(message: Message, path: Path = ()) -> Iterator[Mention]:
    """Every name this message mentions; paths in protobuf's field names."""
    owner = message.DESCRIPTOR.full_name
    if owner == SECRET and _from_us(message.sds_config):
        yield Mention("sds", message.name, (*path, "name"))
    elif owner == ROUTES and _from_us(message.config_source):
        yield Mention("rds", message.route_config_name, (*path, "route_config_name"))
    for field, value in message.ListFields():
        at = (*path, field.name)
        if field.message_type is not None:
            yield from _inside(field, value, at)
        elif field.cpp_type == field.CPPTYPE_STRING and field.type != field.TYPE_BYTES:
            firm = (owner, field.name) in CLUSTERS
            if firm or (field.name in LIKELY and owner not in UNLIKELY):
                values = enumerate(value) if field.is_repeated else [(None, value)]
                for i, name in values:
                    yield Mention("cds", name, at if i is None else (*at, i), firm)


def _from_us(source: Message) -> bool:
    """Whether a config source is the aggregated stream, and not a file or somebody else's server."""
    return source.WhichOneof("config_source_specifier") in ("ads", "self")


def _inside(field: object, value: Message, at: Path) -> Iterator[Mention]:
    if is_map(field):
        if field.message_type.fields_by_name["value"].message_type is not None:  # type: ignore[attr-defined]
            for key in sorted(value):
                yield from _message(value[key], (*at, key))
    elif field.is_repeated:  # type: ignore[attr-defined]
        for i, one in enumerate(value):
            yield from _message(one, (*at, i))
    else:
        yield from _message(value, at)


def _message(message: Message, path: Path) -> Iterator[Mention]:
    name = message.DESCRIPTOR.full_name
    if name == "google.protobuf.Any":
        inner = unpacked(message)
        if inner is not None:
            yield from _message(inner, path)
    elif not name.startswith("google.protobuf."):
        yield from mentions(message, path)
