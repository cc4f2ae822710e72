"""The services and methods of xDS: which stream each opens, and how its requests are read."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc  # type: ignore[import-untyped]
from envoy.service.discovery.v3 import discovery_pb2  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from reconciler.xds.admission import Rejected
from reconciler.xds.delta import Delta
from reconciler.xds.sotw import Sotw
from reconciler.xds.stream import Stream


@dataclass(frozen=True, slots=True)
class Protocol:
    """One method. `only` is the type it serves, empty for all."""

    stream: type[Stream]
    request: Any
    only: str = ""

    def parse(self, raw: bytes) -> Any:
        """Raises Rejected for bytes that are no request."""
        try:
            return self.request.FromString(raw)
        except DecodeError as error:
            raise Rejected("INVALID_ARGUMENT", f"these bytes are no {self.request.DESCRIPTOR.name}") from error


# Type ⇒ (package and service, what its methods' names end with).
_SERVICES = {
    "": ("envoy.service.discovery.v3.AggregatedDiscoveryService", "AggregatedResources"),
    "cds": ("envoy.service.cluster.v3.ClusterDiscoveryService", "Clusters"),
    "eds": ("envoy.service.endpoint.v3.EndpointDiscoveryService", "Endpoints"),
    "lds": ("envoy.service.listener.v3.ListenerDiscoveryService", "Listeners"),
    "rds": ("envoy.service.route.v3.RouteDiscoveryService", "Routes"),
    "sds": ("envoy.service.secret.v3.SecretDiscoveryService", "Secrets"),
}


def services(serve: Callable[[Protocol, Any], Awaitable[None]]) -> list[grpc.GenericRpcHandler]:
    """Every service, with bytes in and out: what is sent is encoded once for all, and what comes is read by us."""
    result = []
    for only, (service, ending) in _SERVICES.items():
        methods = {
            f"Stream{ending}": Protocol(Sotw, discovery_pb2.DiscoveryRequest, only),
            f"Delta{ending}": Protocol(Delta, discovery_pb2.DeltaDiscoveryRequest, only),
        }
        handlers = {name: _method(serve, protocol) for name, protocol in methods.items()}
        result.append(grpc.method_handlers_generic_handler(service, handlers))
    return result


def _method(serve: Callable[[Protocol, Any], Awaitable[None]], protocol: Protocol) -> grpc.RpcMethodHandler:
    async def behave(_: Any, context: Any) -> None:
        await serve(protocol, context)

    return grpc.stream_stream_rpc_method_handler(behave)
