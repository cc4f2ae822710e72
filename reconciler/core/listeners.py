"""Listeners: where an Envoy accepts connections, from the short spelling, from Envoy's own message, and for VirtualHosts."""

from collections.abc import Mapping, Sequence

from envoy.config.listener.v3 import listener_pb2  # type: ignore[import-untyped]
from envoy.extensions.filters.http.router.v3 import router_pb2  # type: ignore[import-untyped]
from envoy.extensions.filters.listener.tls_inspector.v3 import tls_inspector_pb2  # type: ignore[import-untyped]
from envoy.extensions.filters.network.http_connection_manager.v3 import (  # type: ignore[import-untyped]
    http_connection_manager_pb2,
)
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2  # type: ignore[import-untyped]

from reconciler.core.envoy import ADS, packing
from reconciler.core.kinds.traffic import Listener
from reconciler.core.messages import Fault, Message, Path, spelled
from reconciler.core.pieces import Draft, Piece, piece
from reconciler.core.references import Mention

ROUTER = packing(router_pb2.Router())
TLS_INSPECTOR = packing(tls_inspector_pb2.TlsInspector())
# With neither filter chains nor one of these an Envoy refuses a listener.
WITHOUT_CHAINS = ("filter_chains", "default_filter_chain", "api_listener", "listener_filters", "internal_listener")
# These have no address, and Envoy refuses them with one.
WITHOUT_ADDRESS = ("api_listener", "internal_listener")

# Where a short spelling puts what it says.
SHORT: dict[Path, Path] = {
    ("filter_chains", 0, "filters", 0): ("routes",),
    ("filter_chains", 0, "transport_socket"): ("tls", "certificate"),
    ("address", "socket_address", "address"): ("address",),
    ("address", "socket_address", "port_value"): ("port",),
}


def listener(spec: Listener, path: Path) -> tuple[Piece | None, tuple[Fault, ...]]:
    """One listener of a Configuration."""
    draft = Draft()
    message = listener_pb2.Listener(name=spec.name)
    mentioned: list[Mention] = []
    if not any(spelled(spec.envoy, (name,)) for name in WITHOUT_ADDRESS):
        _address(message, spec.address, spec.port or 0)
    if spec.routes is not None:
        chain = message.filter_chains.add()
        _http(chain, spec.name, spec.routes)
        mentioned.append(Mention("rds", spec.routes, (*path, "routes")))
        if spec.tls is not None:
            _tls(chain, spec.tls.certificate)
            mentioned.append(Mention("sds", spec.tls.certificate, (*path, "tls", "certificate")))
    elif spec.tls is not None:
        draft.faults.append(Fault((*path, "tls"), "needs `routes`; other listeners say their TLS in envoy.filter_chains"))
    draft.lay(message, spec.envoy, path, short=SHORT)
    if message.name != spec.name:
        draft.faults.append(Fault((*path, "envoy", "name"), f"must be {spec.name!r}, the name it is declared under"))
    found = draft.finish(message)
    if not draft.faults and not any(_has(message, name) for name in WITHOUT_CHAINS):
        draft.faults.append(Fault(path, f"listener {spec.name!r} does nothing with what it accepts", "give routes or envoy"))
    if draft.faults:
        return None, tuple(draft.faults)
    if draft.raw:
        mentioned = list(found)
    return piece("lds", message, path, mentioned), ()


def port_listener(name: str, address: str, port: int, chains: Mapping[str, Sequence[str]]) -> Piece:
    """The listener of a group's VirtualHosts on one port, serving the route configuration of the same name.

    `chains` are the certificates and the names each is shown for; none for plain HTTP. A single one is shown to everybody.
    """
    message = listener_pb2.Listener(name=name)
    _address(message, address, port)
    if len(chains) > 1:
        message.listener_filters.add(name="tls_inspector").typed_config.CopyFrom(TLS_INSPECTOR)
    for certificate, names in chains.items():
        chain = message.filter_chains.add(name=certificate)
        if len(chains) > 1 and "*" not in names:
            chain.filter_chain_match.server_names.extend(names)
        _http(chain, name, name)
        _tls(chain, certificate)
    if not chains:
        _http(message.filter_chains.add(), name, name)
    mentioned = [Mention("rds", name, ()), *(Mention("sds", certificate, ("tls", "certificate")) for certificate in chains)]
    return piece("lds", message, (), mentioned)


def _address(message: Message, address: str, port: int) -> None:
    message.address.socket_address.address = address
    message.address.socket_address.port_value = port


def _http(chain: Message, name: str, route_config: str) -> None:
    manager = http_connection_manager_pb2.HttpConnectionManager(stat_prefix=name)
    manager.rds.route_config_name = route_config
    manager.rds.config_source.CopyFrom(ADS)
    manager.http_filters.add(name="envoy.filters.http.router").typed_config.CopyFrom(ROUTER)
    chain.filters.add(name="envoy.filters.network.http_connection_manager").typed_config.CopyFrom(packing(manager))


def _tls(chain: Message, certificate: str) -> None:
    context = tls_pb2.DownstreamTlsContext()
    # The names under which both protocols are agreed upon: https://www.rfc-editor.org/rfc/rfc7301#section-6
    context.common_tls_context.alpn_protocols.extend(["h2", "http/1.1"])
    secret = context.common_tls_context.tls_certificate_sds_secret_configs.add(name=certificate)
    secret.sds_config.CopyFrom(ADS)
    chain.transport_socket.name = "envoy.transport_sockets.tls"
    chain.transport_socket.typed_config.CopyFrom(packing(context))


def _has(message: Message, name: str) -> bool:
    value = getattr(message, name)
    return bool(len(value)) if hasattr(value, "__len__") else bool(message.HasField(name))
