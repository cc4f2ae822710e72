"""Routes: which request goes to which cluster, from the short spelling, from Envoy's own messages, and from VirtualHosts."""

from collections.abc import Iterator, Mapping

from envoy.config.route.v3 import route_components_pb2, route_pb2  # type: ignore[import-untyped]

from reconciler.core.kinds.traffic import Route, RouteHost, Routes
from reconciler.core.kinds.virtualhost import VirtualHost
from reconciler.core.messages import Fault, Message, Path
from reconciler.core.pieces import Draft, Piece, piece
from reconciler.core.references import Mention

# Another endpoint is tried when a request has not left the Envoy: nothing can have been done twice.
# https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/router_filter#x-envoy-retry-on
RETRY_ON = "connect-failure,refused-stream,reset-before-request"
RETRIES = 2


def routes(spec: Routes, path: Path) -> tuple[Piece | None, tuple[Fault, ...]]:
    """One route configuration."""
    draft = Draft()
    message = route_pb2.RouteConfiguration(name=spec.name)
    mentioned: list[Mention] = []
    for j, host in enumerate(spec.virtual_hosts):
        mentioned.extend(_host(message, j, host, draft, (*path, "virtualHosts", j)))
    # With it `shop.example` also answers for `shop.example:8443`; without, Envoy compares the port as part of the name.
    message.ignore_port_in_host_matching = not any(_has_port(d) for host in spec.virtual_hosts for d in host.domains)
    draft.lay(message, spec.envoy, path)
    if message.name != spec.name:
        draft.faults.append(Fault((*path, "envoy", "name"), f"must be {spec.name!r}, the name it is declared under"))
    found = draft.finish(message)
    draft.faults.extend(_same_domains(message, draft))
    if draft.faults:
        return None, tuple(draft.faults)
    return piece("rds", message, path, found if draft.raw else mentioned), ()


def _host(config: Message, j: int, spec: RouteHost, draft: Draft, path: Path) -> Iterator[Mention]:
    message = config.virtual_hosts.add(name=spec.name or f"host-{j}", domains=spec.domains)
    retried(message)
    for k, route in enumerate(spec.routes):
        at = (*path, "routes", k)
        one = message.routes.add()
        yield from _route(one, route, at)
        draft.lay(one, route.envoy, at, ("virtual_hosts", j, "routes", k), _short(route))
    domains: dict[Path, Path] = {("domains", i): ("domains", i) for i in range(len(spec.domains))}
    draft.lay(message, spec.envoy, path, ("virtual_hosts", j), {("name",): ("name",), **domains})


def _short(spec: Route) -> dict[Path, Path]:
    """Where the short spellings of a route put what they say."""
    names = enumerate(spec.weights or ())
    weights: dict[Path, Path] = {("route", "weighted_clusters", "clusters", i): ("weights", name) for i, name in names}
    return {("route", "cluster"): ("cluster",), **weights}


def _route(message: Message, spec: Route, path: Path) -> Iterator[Mention]:
    if spec.prefix is not None:
        message.match.prefix = spec.prefix
    elif spec.path is not None:
        message.match.path = spec.path
    if spec.cluster is not None:
        message.route.cluster = spec.cluster
        yield Mention("cds", spec.cluster, (*path, "cluster"))
    elif spec.weights is not None:
        yield from _weights(message, spec.weights, (*path, "weights"))
    if spec.timeout_s is not None:
        message.route.timeout.FromNanoseconds(int(spec.timeout_s * 1e9))


def _weights(message: Message, weights: Mapping[str, int], path: Path) -> Iterator[Mention]:
    for name, weight in weights.items():
        one = message.route.weighted_clusters.clusters.add(name=name)
        one.weight.value = weight
        yield Mention("cds", name, (*path, name))


def retried(host: Message) -> None:
    host.retry_policy.retry_on = RETRY_ON
    host.retry_policy.num_retries.value = RETRIES


def _same_domains(message: Message, draft: Draft) -> Iterator[Fault]:
    """Envoy refuses a route configuration that has a domain, or a host's name, twice."""
    names: set[str] = set()
    domains: dict[str, str] = {}
    for j, host in enumerate(message.virtual_hosts):
        if host.name in names:
            yield Fault(draft.written(("virtual_hosts", j, "name")), f"two virtual hosts are named {host.name!r}")
        names.add(host.name)
        for i, domain in enumerate(host.domains):
            other = domains.get(domain.lower())
            if other is not None:
                what = f"domain {domain!r} is already in host {other!r}"
                yield Fault(draft.written(("virtual_hosts", j, "domains", i)), what)
            domains[domain.lower()] = host.name


def _has_port(domain: str) -> bool:
    return ":" in domain


def virtual_host(name: str, spec: VirtualHost) -> tuple[bytes, tuple[Mention, ...]]:
    """A VirtualHost as an encoded virtual host of its port's route configuration, and what it mentions."""
    mentioned: list[Mention] = []
    message = route_components_pb2.VirtualHost(name=name, domains=spec.domains)
    retried(message)
    route = message.routes.add()
    route.match.prefix = "/"
    if spec.backend is not None:
        route.route.cluster = spec.backend
        mentioned.append(Mention("cds", spec.backend, ("backend",)))
    elif spec.weights is not None:
        mentioned.extend(_weights(route, spec.weights, ("weights",)))
    return message.SerializeToString(deterministic=True), tuple(mentioned)


def joined(name: str, hosts: list[bytes], ignore_port: bool) -> bytes:
    """A route configuration of these encoded virtual hosts. Encoded fields of one message may be put one after another:
    https://protobuf.dev/programming-guides/encoding/#last-one-wins"""
    head = route_pb2.RouteConfiguration(name=name, ignore_port_in_host_matching=ignore_port).SerializeToString(
        deterministic=True
    )
    return b"".join([head, *(piece for host in hosts for piece in (HOST_TAG, varint(len(host)), host))])


# Field 2 (virtual_hosts), length-delimited.
HOST_TAG = b"\x12"


def varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
