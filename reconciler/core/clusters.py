"""Clusters: where requests go, from the short spelling or from Envoy's own message."""

import ipaddress
from functools import lru_cache

from envoy.config.cluster.v3 import cluster_pb2  # type: ignore[import-untyped]

from reconciler.core.eds import eds_name
from reconciler.core.envoy import ADS
from reconciler.core.kinds.application import Application
from reconciler.core.kinds.container import Container
from reconciler.core.kinds.spec import Run
from reconciler.core.kinds.traffic import Upstream
from reconciler.core.messages import Fault, Message, Path
from reconciler.core.model import Resource
from reconciler.core.near import did_you_mean
from reconciler.core.pieces import Draft, Piece, piece

# Below this share of healthy endpoints an Envoy sends to all of them, sick or not. Its own default of 50 % would give
# requests to a dead endpoint as soon as most are sick; 1 % means: only when no other is left.
# https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/load_balancing/panic_threshold
PANIC_PERCENT = 1.0


# Stands where the real name cannot be told, so that the rest of a cluster can still be checked.
UNKNOWN_EDS = "Application/unknown/unknown"


def port_of(target: Resource, wanted: str | None = None) -> str | None:
    """The port of a workload that requests go to: the one asked for, else its `port`, else its first; None without one."""
    spec = target.spec
    if not isinstance(spec, Run) or not spec.ports:
        return None
    chosen = wanted or (spec.port if isinstance(spec, Application) else None)
    if chosen is None:
        return spec.ports[0].name
    return chosen if any(port.name == chosen for port in spec.ports) else None


def upstream_eds(upstream: Upstream, target: Resource | None) -> str | Fault:
    """The EDS name this upstream takes its endpoints from, "" where it takes none; a Fault where that port is missing."""
    kind, name = ("application", upstream.application) if upstream.application else ("container", upstream.container)
    if not name:
        return ""
    if target is None:
        return Fault((kind,), f"there is no {kind.capitalize()} {name!r}")
    if isinstance(target.spec, Container) and target.spec.registered:
        hint = "write its machine's address under `endpoints`"
        return Fault((kind,), f"{target.ref} runs on a virtual machine without Convoy, which does not know its ports", hint)
    port = port_of(target, upstream.port)
    if port is not None:
        return eds_name(target.ref, port)
    names = [one.name for one in target.spec.ports] if isinstance(target.spec, Run) else []
    if upstream.port and names:
        hint = did_you_mean(upstream.port, names, f"it has {', '.join(names)}")
        return Fault(("port",), f"{target.ref} has no port {upstream.port!r}", hint)
    return Fault((kind,), f"{target.ref} has no port to send requests to", "give it `ports`")


def application_cluster(name: str, eds: str) -> Piece:
    """The cluster that every Application is by itself."""
    return piece("cds", _eds(name, eds), (), (), eds)


def cluster(name: str, upstream: Upstream, eds: str, path: Path) -> tuple[Piece | None, tuple[Fault, ...]]:
    """One cluster. `eds` is what `upstream_eds` found for it."""
    draft = Draft()
    if eds:
        message = _eds(name, eds)
    else:
        message = cluster_pb2.Cluster(name=name)
        _endpoints(message, upstream)
    message.connect_timeout.FromNanoseconds(int(upstream.connect_timeout_s * 1e9))
    draft.lay(message, upstream.envoy, path)
    if message.name != name:
        draft.faults.append(Fault((*path, "envoy", "name"), f"must be {name!r}, the name it is declared under"))
    if message.HasField("load_assignment") and not message.load_assignment.cluster_name:
        message.load_assignment.cluster_name = name
    mentioned = draft.finish(message)
    eds = _eds_of(message, eds, draft)
    if draft.faults:
        return None, tuple(draft.faults)
    return piece("cds", message, path, mentioned, eds), ()


def _eds(name: str, eds: str) -> Message:
    message = cluster_pb2.Cluster(name=name, type="EDS")
    message.connect_timeout.seconds = 5
    message.eds_cluster_config.service_name = eds
    message.eds_cluster_config.eds_config.CopyFrom(ADS)
    message.common_lb_config.healthy_panic_threshold.value = PANIC_PERCENT
    return message


def _endpoints(message: Message, upstream: Upstream) -> None:
    if not upstream.endpoints:
        return
    message.type = cluster_pb2.Cluster.STATIC
    message.common_lb_config.healthy_panic_threshold.value = PANIC_PERCENT
    message.load_assignment.cluster_name = message.name
    locality = message.load_assignment.endpoints.add()
    for text in upstream.endpoints:
        host, _, port = text.rpartition(":")
        address = host.removeprefix("[").removesuffix("]")
        socket = locality.lb_endpoints.add().endpoint.address.socket_address
        socket.address, socket.port_value = address, int(port)
        if not is_address(address):
            # Envoy resolves names only in clusters of this type.
            message.type = cluster_pb2.Cluster.STRICT_DNS


@lru_cache(maxsize=4096)
def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _eds_of(message: Message, eds: str, draft: Draft) -> str:
    """The EDS name in the finished message, when it takes its endpoints from us."""
    if message.WhichOneof("cluster_discovery_type") != "type" or message.type != cluster_pb2.Cluster.EDS:
        return ""
    config = message.eds_cluster_config
    if config.eds_config.WhichOneof("config_source_specifier") not in ("ads", "self"):
        return ""
    if not eds or config.service_name != eds:
        at = draft.written(("eds_cluster_config", "service_name") if config.service_name != eds else ("type",))
        draft.faults.append(Fault(at, "these endpoints come from Convoy", "say whose by `application` or `container`"))
    return eds
