"""Follows requests through what one proxy is told: listener, route, cluster, endpoints, and where each of them is declared."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from reconciler.core.dump import content, endpoints
from reconciler.core.model import Snapshot, XdsResource

MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
TCP = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
# Routes looked at in one proxy: a thousand hosts of a hundred each.
MOST_ROUTES = 100_000
MATCHES = ("path", "prefix", "path_separated_prefix", "safe_regex", "path_match_policy", "connect_matcher")


@dataclass(frozen=True, slots=True)
class Listening:
    """One listener and the address it takes requests on, as "address:port"."""

    resource: XdsResource
    address: str
    port: int

    @property
    def name(self) -> str:
        return self.resource.name


@dataclass(frozen=True, slots=True)
class Route:
    """One way that requests go. `table` is None for a route table written into its listener, and for TCP.

    `host` and `place` count from 0: which virtual host of the table, which route of that. `action` says what is done with a
    request that goes to no cluster.
    """

    listening: Listening
    table: XdsResource | None
    virtual_host: str
    domains: tuple[str, ...]
    host: int
    place: int
    name: str
    match: str
    clusters: tuple[tuple[str, int], ...]
    action: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """A cluster that requests may go to, by weight, and its endpoints (address, port, health). Missing: no `resource`."""

    name: str
    weight: int
    resource: XdsResource | None
    endpoints: tuple[tuple[str, int, str], ...]


def listeners(snapshot: Snapshot) -> list[Listening]:
    found = []
    for _, resource in sorted(snapshot.resources.get("lds", {}).items()):
        address = _at(content(resource), "address", "socket_address")
        port = address.get("port_value", 0) if isinstance(address, Mapping) else 0
        host = str(address.get("address", "")) if isinstance(address, Mapping) else ""
        found.append(Listening(resource, host, port if isinstance(port, int) else 0))
    return found


def routes(snapshot: Snapshot, listening: Listening) -> Iterator[Route]:
    """In the order in which the proxy tries them."""
    yield from islice(_routes(snapshot, listening), MOST_ROUTES)


def _routes(snapshot: Snapshot, listening: Listening) -> Iterator[Route]:
    seen: set[str] = set()
    for config in _filters(content(listening.resource)):
        kind = str(config.get("@type", "")).rpartition("/")[2]
        if kind == TCP:
            clusters = tuple(_clusters(config))
            yield Route(listening, None, "", (), 0, 0, "", "every connection", clusters)
        elif kind == MANAGER:
            named = _at(config, "rds", "route_config_name")
            if isinstance(named, str):
                if named in seen:
                    # Several filter chains of one listener mostly share their table.
                    continue
                seen.add(named)
            table = snapshot.get("rds", named) if isinstance(named, str) else None
            value = content(table) if table is not None else config.get("route_config")
            yield from _table(listening, table, value)


def _table(listening: Listening, table: XdsResource | None, value: Any) -> Iterator[Route]:
    for host, virtual in enumerate(_list(value, "virtual_hosts")):
        domains = tuple(str(one) for one in _list(virtual, "domains"))
        for place, route in enumerate(_list(virtual, "routes")):
            if isinstance(route, Mapping):
                action = route.get("route")
                clusters = tuple(_clusters(action)) if isinstance(action, Mapping) else ()
                yield Route(
                    listening,
                    table,
                    str(virtual.get("name", "")),
                    domains,
                    host,
                    place,
                    str(route.get("name", "")),
                    _match(route.get("match")),
                    clusters,
                    "" if clusters else _action(route),
                )


def _clusters(action: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    if isinstance(action.get("cluster"), str):
        yield action["cluster"], 1
    for one in _list(action.get("weighted_clusters"), "clusters"):
        if isinstance(one, Mapping) and isinstance(one.get("name"), str):
            weight = one.get("weight", 0)
            yield one["name"], weight if isinstance(weight, int) else 0


def _action(route: Mapping[str, Any]) -> str:
    if isinstance(route.get("redirect"), Mapping):
        return "is redirected"
    if isinstance(route.get("direct_response"), Mapping):
        return f"is answered with {route['direct_response'].get('status', 0)} by the proxy itself"
    return "goes to a cluster that each request names" if isinstance(route.get("route"), Mapping) else "is not routed"


def _match(match: Any) -> str:
    """`/api`, with a star behind a prefix, as people write it."""
    if not isinstance(match, Mapping):
        return ""
    for name in MATCHES:
        if name in match:
            value = match[name]
            if name in ("prefix", "path_separated_prefix"):
                return f"{value}*"
            return str(value) if isinstance(value, str) else f"{name} {_at(value, 'regex') or ''}".strip()
    return ""


def targets(snapshot: Snapshot, route: Route) -> list[Target]:
    found = []
    for name, weight in route.clusters:
        resource = snapshot.get("cds", name)
        value = content(resource) if resource is not None else None
        assignment = snapshot.get("eds", resource.eds) if resource is not None and resource.eds else None
        said = content(assignment) if assignment is not None else _at(value, "load_assignment")
        found.append(Target(name, weight, resource, tuple(endpoints(said))))
    return found


def named(found: Sequence[Route], word: str) -> list[Route]:
    """The routes that a person means: by name, by what they match, by cluster, by host; the closest way of naming counts."""
    path = word if word.startswith("/") else f"/{word}"
    ways: tuple[Callable[[Route], bool], ...] = (
        lambda route: route.name == word,
        lambda route: route.match.rstrip("*") in (word, path) or route.match in (word, path),
        lambda route: word in (name for name, _ in route.clusters),
        lambda route: word == route.virtual_host or word in route.domains,
        lambda route: word in route.name or (len(word) > 1 and word in route.match),
    )
    return next((chosen for way in ways if (chosen := [route for route in found if way(route)])), [])


def words_of(snapshot: Snapshot) -> list[str]:
    """`listener` and `listener/route` as `named` takes them, for completion and for near words."""
    found: list[str] = []
    for listening in listeners(snapshot):
        found.append(listening.name)
        found += [
            f"{listening.name}/{route.name or route.match.rstrip('*').lstrip('/')}" for route in routes(snapshot, listening)
        ]
    return list(dict.fromkeys(one.rstrip("/") for one in found))


def _filters(value: Any) -> Iterator[Mapping[str, Any]]:
    chains = [*_list(value, "filter_chains"), *([value["default_filter_chain"]] if _at(value, "default_filter_chain") else [])]
    for chain in chains:
        for one in _list(chain, "filters"):
            config = _at(one, "typed_config")
            if isinstance(config, Mapping):
                yield config


def _list(value: Any, name: str) -> Sequence[Any]:
    found = value.get(name) if isinstance(value, Mapping) else None
    return found if isinstance(found, list) else ()


def _at(value: Any, *path: str) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
