"""xDS resources as bytes: type URLs, content versions, endpoints, and the few changes made to finished resources."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache

from envoy.config.core.v3 import config_source_pb2  # type: ignore[import-untyped]
from envoy.config.endpoint.v3 import endpoint_pb2  # type: ignore[import-untyped]
from envoy.config.listener.v3 import listener_pb2  # type: ignore[import-untyped]
from google.protobuf import any_pb2  # type: ignore[import-untyped]

from reconciler.core.messages import Message
from reconciler.core.model import XDS_TYPES, Ref, Snapshot, Where, XdsResource

TYPE_URLS: dict[str, str] = {
    "cds": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
    "eds": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
    "sds": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
    "lds": "type.googleapis.com/envoy.config.listener.v3.Listener",
    "rds": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
}
NOWHERE = Where("")

# Everything a proxy asks for beyond its bootstrap comes over the one aggregated stream, in the v3 API.
ADS = config_source_pb2.ConfigSource(ads={}, resource_api_version="V3")


def packed(message: Message) -> bytes:
    """The `google.protobuf.Any` that carries this message, as bytes that depend on its content alone."""
    return wrapped(f"type.googleapis.com/{message.DESCRIPTOR.full_name}", message.SerializeToString(deterministic=True))


def wrapped(url: str, value: bytes) -> bytes:
    result: bytes = any_pb2.Any(type_url=url, value=value).SerializeToString()
    return result


def packing(message: Message) -> Message:
    """An Any to put into another message."""
    return any_pb2.Any.FromString(packed(message))


def version_of(type: str, body: bytes) -> str:
    """The version of a resource: a hash of its content, so equal content never looks new."""
    return hashlib.sha256(type.encode() + b"\0" + body).hexdigest()[:16]


def content(body: bytes) -> bytes:
    """The message's own bytes within a resource's body."""
    value: bytes = any_pb2.Any.FromString(body).value
    return value


Endpoint = tuple[str, int, str]


def assignment(name: str, endpoints: Iterable[Endpoint], owner: Ref, origin: Where) -> XdsResource:
    """The endpoints of one EDS name, as (address, port, health: HEALTHY | UNHEALTHY | DRAINING)."""
    message = endpoint_pb2.ClusterLoadAssignment(cluster_name=name)
    locality = None
    for address, port, health in endpoints:
        locality = locality if locality is not None else message.endpoints.add()
        one = locality.lb_endpoints.add(health_status=health)
        one.endpoint.address.socket_address.address = address
        one.endpoint.address.socket_address.port_value = port
    body = packed(message)
    return XdsResource("eds", name, version_of("eds", body), body, origin, owner)


def endpoints_of(resource: XdsResource) -> frozenset[tuple[str, int]]:
    """The addresses and ports to which this assignment lets an Envoy send requests."""
    message = endpoint_pb2.ClusterLoadAssignment.FromString(content(resource.body))
    sockets = (one.endpoint.address.socket_address for group in message.endpoints for one in group.lb_endpoints)
    return frozenset((socket.address, socket.port_value) for socket in sockets)


def with_port(resource: XdsResource, port: int) -> XdsResource:
    """The same listener on another port."""
    message = listener_pb2.Listener.FromString(content(resource.body))
    message.address.socket_address.port_value = port
    body = packed(message)
    return replace(resource, version=version_of(resource.type, body), body=body)


def type_version(resources: Mapping[str, XdsResource]) -> str:
    """A hash of all versions of one type."""
    hashed = hashlib.sha256()
    for name in sorted(resources):
        hashed.update(f"{name}\0{resources[name].version}\n".encode())
    return hashed.hexdigest()[:16]


def snapshot(resources: Mapping[str, Mapping[str, XdsResource]], versions: Mapping[str, str] | None = None) -> Snapshot:
    """The snapshot of these resources; `versions` are the types' own (`type_version`) where they are known already."""
    known = versions or {}
    words = "\n".join(
        f"{type}\0{known.get(type) or type_version(resources.get(type, {}))}" for type in XDS_TYPES if resources.get(type)
    )
    return Snapshot(hashlib.sha256(words.encode()).hexdigest()[:16], resources)


def missing(snapshot: Snapshot) -> list[tuple[XdsResource, str, str]]:
    """Every reference that leads nowhere, as (what refers, type, name). Empty for a snapshot that may be told."""
    found: list[tuple[XdsResource, str, str]] = []
    for type in ("cds", "lds", "rds"):
        for resource in snapshot.resources.get(type, {}).values():
            found.extend((resource, *need) for need in needs(resource) if snapshot.get(*need) is None)
    return found


def needs(resource: XdsResource) -> tuple[tuple[str, str], ...]:
    """All that this resource refers to, as (type, name)."""
    return (*resource.refers, ("eds", resource.eds)) if resource.eds else resource.refers


@cache
def empty_assignment(name: str) -> bytes:
    return packed(endpoint_pb2.ClusterLoadAssignment(cluster_name=name))
