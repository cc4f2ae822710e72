"""Snapshots built by hand, from protobuf messages, for the tests of the xDS server."""

import hashlib
from collections.abc import Iterable
from typing import Any

from envoy.config.cluster.v3 import cluster_pb2  # type: ignore[import-untyped]
from envoy.config.endpoint.v3 import endpoint_pb2  # type: ignore[import-untyped]
from envoy.config.listener.v3 import listener_pb2  # type: ignore[import-untyped]
from envoy.config.route.v3 import route_pb2  # type: ignore[import-untyped]
from envoy.extensions.filters.http.router.v3 import router_pb2  # type: ignore[import-untyped]
from envoy.extensions.filters.network.http_connection_manager.v3 import (  # type: ignore[import-untyped]
    http_connection_manager_pb2,
)
from google.protobuf.any_pb2 import Any as Packed  # type: ignore[import-untyped]
from google.protobuf.json_format import ParseDict  # type: ignore[import-untyped]

from reconciler.core.model import Ref, Snapshot, Where, XdsResource

WHERE = Where("fleet.yaml", 1, 1)
ADS = {"ads": {}, "resource_api_version": "V3"}


def resource(type: str, name: str, message: Any, **more: Any) -> XdsResource:
    packed = Packed()
    packed.Pack(message)
    body = packed.SerializeToString(deterministic=True)
    version = hashlib.sha256(body).hexdigest()[:12]
    return XdsResource(type, name, version, body, WHERE, Ref("Cluster", name), **more)


def raw(type: str, name: str, version: str, **more: Any) -> XdsResource:
    """A resource whose content is only its name and version, as `name@version`."""
    packed = Packed(type_url="type.googleapis.com/test", value=f"{name}@{version}".encode())
    return XdsResource(type, name, version, packed.SerializeToString(), WHERE, Ref("Cluster", name), **more)


def cluster(name: str, eds: bool = True, connect_timeout: str = "1s", **fields: Any) -> XdsResource:
    values: dict[str, Any] = {"name": name, "connect_timeout": connect_timeout, **fields}
    if eds:
        values |= {"type": "EDS", "eds_cluster_config": {"eds_config": ADS}}
    return resource("cds", name, ParseDict(values, cluster_pb2.Cluster()), eds=name if eds else "")


def assignment(name: str, *ports: int, health: str = "HEALTHY") -> XdsResource:
    endpoints = [
        {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}, "health_status": health}
        for port in ports
    ]
    values = {
        "cluster_name": name,
        "endpoints": [{"locality": {"zone": "z"}, "lb_endpoints": endpoints, "load_balancing_weight": 1}],
    }
    return resource("eds", name, ParseDict(values, endpoint_pb2.ClusterLoadAssignment()))


def routes(name: str, weights: dict[str, int], **fields: Any) -> XdsResource:
    action = {"weighted_clusters": {"clusters": [{"name": n, "weight": w} for n, w in weights.items()]}}
    values = {
        "name": name,
        "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": action}]}],
    }
    refers = tuple(("cds", n) for n in weights)
    return resource("rds", name, ParseDict(values | fields, route_pb2.RouteConfiguration()), refers=refers)


def listener(name: str, port: int, rds: str, **fields: Any) -> XdsResource:
    router = Packed()
    router.Pack(router_pb2.Router())
    manager = ParseDict(
        {"stat_prefix": name, "rds": {"config_source": ADS, "route_config_name": rds}, "http_filters": [{"name": "router"}]},
        http_connection_manager_pb2.HttpConnectionManager(),
    )
    manager.http_filters[0].typed_config.CopyFrom(router)
    values = {
        "name": name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [{"name": "hcm"}]}],
    }
    message = ParseDict(values | fields, listener_pb2.Listener())
    message.filter_chains[0].filters[0].typed_config.Pack(manager)
    return resource("lds", name, message, refers=(("rds", rds),))


def snapshot(resources: Iterable[XdsResource]) -> Snapshot:
    by_type: dict[str, dict[str, XdsResource]] = {}
    for one in resources:
        by_type.setdefault(one.type, {})[one.name] = one
    words = sorted(f"{one.type}/{one.name}/{one.version}" for values in by_type.values() for one in values.values())
    return Snapshot(hashlib.sha256("\n".join(words).encode()).hexdigest()[:12], by_type)
