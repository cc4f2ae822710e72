"""Words where requests go through one proxy: listener, route, cluster, endpoints, each with the line that declares it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reconciler.core.model import XdsResource
from reconciler.core.show_known import as_pinned
from reconciler.core.show_layout import BLANK, Block, Line, Page, Span, Style, Table, text, words
from reconciler.core.show_problems import count
from reconciler.core.trace import Listening, Route, Target

HEALTHS: Mapping[str, Style] = {"HEALTHY": "good", "DEGRADED": "wait", "UNHEALTHY": "bad", "DRAINING": "wait"}
# More routes than these are a table for a program.
MOST_ROUTES = 40
MOST_FOLLOWED = 3
MOST_ENDPOINTS = 50


@dataclass(frozen=True, slots=True)
class Bearer:
    """The instance that listens at an endpoint."""

    ref: str
    instance: str
    host: str
    health: str


@dataclass(frozen=True, slots=True)
class Followed:
    """One route with where it leads now; `where` is the line of the route itself, where that is known."""

    route: Route
    where: str
    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class Trace:
    """What a person asked about one proxy. `sent` says whether this was sent (else it is only declared).

    `behind`: types and names of what the proxy has not acknowledged, all of it where `behind_whole`; `bearers`: address and
    port ⇒ who listens there.
    """

    proxy: str
    listening: Listening
    asked: str
    routes: tuple[Route, ...]
    followed: tuple[Followed, ...]
    sent: bool
    connected: bool
    behind: frozenset[tuple[str, str]]
    behind_whole: bool
    bearers: Mapping[tuple[str, int], Bearer]


def trace(found: Trace) -> Page:
    page: list[Block] = [_listener(found)]
    if not found.asked:
        page += [BLANK, *_listed(found.routes)]
        return tuple(page)
    for one in found.followed[:MOST_FOLLOWED]:
        page += [BLANK, *_route(found, one)]
    if len(found.routes) > len(found.followed[:MOST_FOLLOWED]):
        page += [BLANK, text(f"{count(len(found.routes), 'route')} of that name:"), *_listed(found.routes)]
    return tuple(page)


def _listener(found: Trace) -> Block:
    one = found.listening
    return text(
        Span(f"{found.proxy}/{one.name}", "strong"),
        f"  listener on {one.address}:{one.port}",
        "  ",
        _acked(found, one.resource),
        *_declared(one.resource),
    )


def _declared(resource: XdsResource, where: str = "") -> tuple[Span, ...]:
    origin = where or (str(resource.origin) if resource.origin.file else "")
    return Span(f"  {resource.owner}{as_pinned(resource.pinned)}", "name"), Span(f"  {origin}", "dim")


def _acked(found: Trace, resource: XdsResource) -> Span:
    words, style = acked(found, resource)
    return Span(words, style)


def acked(found: Trace, resource: XdsResource) -> tuple[str, Style]:
    """Whether this proxy has acknowledged it."""
    if not found.sent:
        return "not sent yet", "wait"
    if not found.connected:
        return "the proxy is not connected", "bad"
    if (resource.type, resource.name) in found.behind:
        return "not acknowledged yet", "wait"
    return ("acknowledged", "good") if found.behind_whole else ("sent", "dim")


def _listed(routes: Sequence[Route]) -> list[Block]:
    rows = tuple(
        (
            words(", ".join(route.domains[:3]) + (" …" if len(route.domains) > 3 else "")),
            words(route.match, "name"),
            words(route.name, "dim"),
            _leads(route),
        )
        for route in routes[:MOST_ROUTES]
    )
    page: list[Block] = [Table(("HOSTS", "PATH", "NAME", "GOES TO"), rows, 2)]
    if len(routes) > MOST_ROUTES:
        page.append(text(f"… and {len(routes) - MOST_ROUTES:,} more; ", Span("-o json", "strong"), " has all", indent=2))
    return page


def _leads(route: Route) -> Line:
    if not route.clusters:
        return words(route.action, "dim")
    if len(route.clusters) == 1:
        return words(route.clusters[0][0])
    return words(", ".join(f"{weight} {name}" for name, weight in route.clusters))


def _route(found: Trace, one: Followed) -> list[Block]:
    route = one.route
    hosts = f" of {', '.join(route.domains[:5])}" if route.domains else ""
    name = f"  {route.name}" if route.name else ""
    table = route.table or found.listening.resource
    page: list[Block] = [
        text(
            Span(f"route {route.match}", "strong"),
            hosts,
            name,
            "  ",
            _acked(found, table),
            *_declared(table, one.where),
            indent=2,
        )
    ]
    if route.action:
        page.append(text(f"a request {route.action}", indent=4))
    for target in one.targets:
        page += _target(found, target, several=len(one.targets) > 1)
    return page


def _target(found: Trace, target: Target, *, several: bool) -> list[Block]:
    share = f" (weight {target.weight})" if several else ""
    if target.resource is None:
        return [
            text(
                Span(f"cluster {target.name}{share}", "strong"), ": ", Span("this proxy knows no such cluster", "bad"), indent=4
            )
        ]
    head = text(
        Span(f"cluster {target.name}{share}", "strong"),
        "  ",
        _acked(found, target.resource),
        *_declared(target.resource),
        indent=4,
    )
    if not target.endpoints:
        return [head, text(Span("no endpoint", "bad"), ": requests are answered with 503", indent=6)]
    rows = tuple(_endpoint(found, *endpoint) for endpoint in target.endpoints[:MOST_ENDPOINTS])
    page: list[Block] = [head, Table(("ENDPOINT", "AS TOLD", "RUNS", "HEALTH"), rows, 6)]
    if len(target.endpoints) > MOST_ENDPOINTS:
        page.append(text(f"… and {len(target.endpoints) - MOST_ENDPOINTS:,} more", indent=6))
    return page


def _endpoint(found: Trace, address: str, port: int, health: str) -> tuple[Line, ...]:
    bearer = found.bearers.get((address, port))
    place = f"{address}:{port}" if port else address
    return (
        words(place, "name"),
        words(health.lower(), HEALTHS.get(health, "")),
        words(
            f"{bearer.ref} {bearer.instance[:8]} on {bearer.host}" if bearer else "not run by this fleet",
            "" if bearer else "dim",
        ),
        words(bearer.health if bearer else "", "good" if bearer and bearer.health == "healthy" else "wait"),
    )


def trace_json(found: Trace) -> dict[str, Any]:
    one = found.listening
    return {
        "proxy": f"Proxy/{found.proxy}",
        "listener": {"name": one.name, "address": one.address, "port": one.port, **_about(found, one.resource)},
        "routes": [
            {
                "hosts": list(route.domains),
                "path": route.match,
                "name": route.name,
                "clusters": [{"name": name, "weight": weight} for name, weight in route.clusters],
                "action": route.action,
            }
            for route in found.routes
        ],
        "followed": [
            {
                "path": followed.route.match,
                "name": followed.route.name,
                "hosts": list(followed.route.domains),
                **_about(found, followed.route.table or one.resource, followed.where),
                "action": followed.route.action,
                "clusters": [_target_json(found, target) for target in followed.targets],
            }
            for followed in found.followed
        ],
    }


def _about(found: Trace, resource: XdsResource, where: str = "") -> dict[str, Any]:
    return {
        "declared": str(resource.owner),
        **({"pinned": resource.pinned} if resource.pinned else {}),
        "where": where or (str(resource.origin) if resource.origin.file else ""),
        "standing": acked(found, resource)[0],
    }


def _target_json(found: Trace, target: Target) -> dict[str, Any]:
    answer: dict[str, Any] = {"name": target.name, "weight": target.weight, "known": target.resource is not None}
    if target.resource is not None:
        answer |= _about(found, target.resource)
    answer["endpoints"] = []
    for address, port, health in target.endpoints:
        bearer = found.bearers.get((address, port))
        answer["endpoints"].append(
            {
                "address": address,
                "port": port or None,
                "health": health,
                "ref": bearer.ref if bearer else None,
                "instance": bearer.instance if bearer else None,
                "host": bearer.host if bearer else None,
                "seen": bearer.health if bearer else None,
            }
        )
    return answer
