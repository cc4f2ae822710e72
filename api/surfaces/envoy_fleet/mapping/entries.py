"""Listeners and routes as sections 8 and 9 write them, which is the document's own model ⇔ the entries of a Configuration.

What the document does not name may be said as Envoy has it: other members of a listener are those of
envoy.config.listener.v3.Listener, of a route those of envoy.config.route.v3.VirtualHost, and so on below them.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from api.surfaces.envoy_fleet.mapping.envoy import duration
from api.surfaces.envoy_fleet.mapping.faults import faulty, refused
from api.surfaces.envoy_fleet.mapping.filters import Untyped, type_of, typed, untyped
from reconciler.core import native
from reconciler.core.masked import shown
from reconciler.core.messages import TYPE_PREFIX, Path
from reconciler.core.native import PortOf, Unsaid
from reconciler.core.routes import RETRIES, RETRY_ON

Body = Mapping[str, Any]
Entry = dict[str, Any]
MANAGER = "envoy.filters.network.http_connection_manager"
SECURE = frozenset({"envoy.transport_sockets.tls", "envoy.transport_sockets.quic"})
# Where a listener's own members stand in Envoy's message.
PLACES: dict[Path, Path] = {
    ("address", "socket_address", "address"): ("address",),
    ("address", "socket_address", "port_value"): ("port",),
    ("address", "socket_address", "protocol"): ("protocol",),
}
# Members in whole milliseconds ⇒ Envoy's durations.
MILLISECONDS = {"timeout_ms": "timeout", "per_try_timeout_ms": "per_try_timeout", "idle_timeout_ms": "idle_timeout"}
DURATIONS = {duration: member for member, duration in MILLISECONDS.items()}
# Google's Duration reaches so far.
LONGEST_MS = 315_576_000_000_000


# Listeners


def listener_entry(body: Body, tenant: str, port_of: PortOf) -> Entry:
    """The entry of `listeners` that this body asks for. Raises Invalid."""
    own = ("name", "address", "port", "protocol")
    try:
        rest = typed({key: value for key, value in body.items() if key not in own})
    except Untyped as error:
        raise refused(error.path, error.reason) from None
    given = {"name": body["name"], "address": _address(body), **rest}
    entry, faults = native.written("listeners", given, (), tenant, None, port_of)
    if entry is None:
        raise faulty(faults, body, PLACES)
    _same_protocol(body.get("protocol"), protocol(given))
    return entry


def _address(body: Body) -> Any:
    address, port = body["address"], body.get("port")
    if isinstance(address, Mapping):
        if port is not None:
            raise refused(("port",), "stands in `address` already")
        return address
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise refused(("address",), "is no IP address: 0.0.0.0 is every one of the proxy's machine") from None
    if port is None:
        raise refused(("port",), "is required")
    socket = {"address": address, "port_value": port}
    return {"socket_address": {**socket, "protocol": "UDP"} if body.get("protocol") == "UDP" else socket}


def protocol(listener: Body) -> str:
    """What a listener speaks, as Envoy's message says it."""
    socket = _member(listener.get("address"), "socket_address")
    if _member(socket, "protocol") == "UDP":
        return "UDP"
    chains = [one for one in (*_list(listener, "filter_chains"), listener.get("default_filter_chain")) if one]
    filters = [one for chain in chains for one in _list(chain, "filters")]
    manager = f"{TYPE_PREFIX}{type_of(MANAGER)}"
    if not any(_member(_member(one, "typed_config"), "@type") == manager for one in filters):
        return "TCP"
    secure = any(_member(_member(chain, "transport_socket"), "name") in SECURE for chain in chains)
    return "HTTPS" if secure else "HTTP"


def _same_protocol(said: str | None, made: str) -> None:
    # What HTTPS carries is HTTP.
    if said not in (None, made) and (said, made) != ("HTTP", "HTTPS"):
        raise refused(("protocol",), f"these filter chains make {made} of it")


def listener_view(entry: Body, tenant: str, port_of: PortOf) -> Entry:
    """An entry of `listeners` as section 8.2 writes it."""
    try:
        said = native.said("listeners", entry, tenant, port_of)
    except Unsaid:
        said = {"name": entry.get("name", ""), "filter_chains": []}
    address = said.pop("address", None)
    socket = _member(address, "socket_address") or {}
    plain = address is not None and set(socket) <= {"address", "port_value", "protocol"} and "port_value" in socket
    view = {
        "name": said.pop("name"),
        "address": socket["address"] if plain else address,
        "port": socket["port_value"] if plain else None,
        "protocol": protocol({**said, "address": address}),
        **untyped({"filter_chains": [], **said}),
    }
    return dict(shown(view))


# Routes


def route_entry(body: Body, tenant: str, port_of: PortOf) -> Entry:
    """The entry of `routes` that this body asks for: a route configuration of one virtual host. Raises Invalid."""
    own = ("name", "virtual_host", "domains", "routes", "retry_policy")
    host = {
        "name": body.get("virtual_host") or body["name"],
        "domains": body["domains"],
        "routes": [_durations(one, ("routes", place)) for place, one in enumerate(body["routes"])],
        # Where nothing is said, what Convoy does for everybody.
        "retry_policy": {"retry_on": RETRY_ON, "num_retries": RETRIES},
        **{key: value for key, value in body.items() if key not in own},
    }
    if "retry_policy" in body:
        host["retry_policy"] = _durations(body["retry_policy"], ("retry_policy",))
    given = {
        "name": body["name"],
        "ignore_port_in_host_matching": not any(":" in one for one in body["domains"]),
        "virtual_hosts": [host],
    }
    entry, faults = native.written("routes", given, (), tenant, None, port_of)
    if entry is None:
        raise faulty(faults, body, {("virtual_hosts", 0, "name"): ("virtual_host",), ("virtual_hosts", 0): ()})
    return entry


def _durations(value: Any, path: Path) -> Any:
    """With Envoy's durations in the place of milliseconds. Raises Invalid."""
    if isinstance(value, list):
        return [_durations(one, (*path, place)) for place, one in enumerate(value)]
    if not isinstance(value, Mapping):
        return value
    found: dict[str, Any] = {}
    for key, one in value.items():
        name = MILLISECONDS.get(key)
        if name is None:
            found[key] = one if key in ("metadata", "typed_per_filter_config") else _durations(one, (*path, key))
        elif name in value:
            raise refused((*path, key), f"exclude each other: give `{key}` or `{name}`")
        elif isinstance(one, bool) or not isinstance(one, int) or not 0 <= one <= LONGEST_MS:
            raise refused((*path, key), "must be a whole number of milliseconds")
        else:
            found[name] = duration(one)
    return found


def route_views(entry: Body, tenant: str, port_of: PortOf) -> Iterable[Entry]:
    """An entry of `routes` as section 9.2 writes it: each of its virtual hosts."""
    try:
        said = native.said("routes", entry, tenant, port_of)
    except Unsaid:
        said = {"name": entry.get("name", "")}
    for host in said.get("virtual_hosts") or [{}]:
        rest = {key: value for key, value in host.items() if key not in ("name", "domains", "routes")}
        view = {
            "name": said["name"],
            "virtual_host": host.get("name"),
            "domains": host.get("domains", []),
            "routes": _milliseconds(host.get("routes", [])),
            **_milliseconds(rest),
        }
        yield dict(shown(view))


def _milliseconds(value: Any) -> Any:
    if isinstance(value, list):
        return [_milliseconds(one) for one in value]
    if not isinstance(value, Mapping):
        return value
    found: dict[str, Any] = {}
    for key, one in value.items():
        ns = native.nanoseconds(one) if key in DURATIONS and isinstance(one, str) else None
        if ns is not None and ns % 1_000_000 == 0 and ns >= 0:
            found[DURATIONS[key]] = ns // 1_000_000
        else:
            found[key] = one if key in ("metadata", "typed_per_filter_config") else _milliseconds(one)
    return found


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None


def _list(value: Any, name: str) -> list[Any]:
    found = _member(value, name)
    return found if isinstance(found, list) else []
