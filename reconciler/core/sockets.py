"""Sockets: no two listeners may want the same one, on one Envoy or on one machine."""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import cast

from envoy.config.listener.v3 import listener_pb2  # type: ignore[import-untyped]

from reconciler.core.carried import group_of
from reconciler.core.envoy import content
from reconciler.core.group import Found, Group, Traffic
from reconciler.core.kinds.proxy import Proxy
from reconciler.core.messages import Fault
from reconciler.core.model import Ref, Resource, XdsResource
from reconciler.core.near import did_you_mean

EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, never bound
Socket = tuple[str, str, int]


@lru_cache(maxsize=65536)
def _socket(body: bytes) -> Socket | None:
    """(protocol, address, port) of a listener; None when it listens on no IP socket."""
    message = listener_pb2.Listener.FromString(content(body))
    if message.address.WhichOneof("address") != "socket_address":
        return None
    socket = message.address.socket_address
    return ("udp" if socket.protocol else "tcp", socket.address, socket.port_value)


def socket_of(listener: XdsResource) -> Socket | None:
    return _socket(listener.body)


def overlap(one: Socket, other: Socket) -> bool:
    same = one[1] == other[1] or one[1] in EVERYWHERE or other[1] in EVERYWHERE
    return one[0] == other[0] and one[2] == other[2] and same


def shared_sockets(group: Group) -> Iterator[Found]:
    """Listeners of one group that want the same socket."""
    taken: dict[int, list[tuple[Socket, str]]] = {}
    for name, part in group.parts["lds"].items():
        socket = socket_of(part.resource)
        if socket is None or not socket[2]:
            continue
        for other, holder in taken.get(socket[2], ()):
            if overlap(socket, other):
                path = (*part.piece.path, "port")
                yield part.resource.owner, Fault(path, f"listeners {holder!r} and {name!r} both want {socket[1]}:{socket[2]}")
        taken.setdefault(socket[2], []).append((socket, name))


def proxy_faults(
    proxies: Mapping[str, Resource], hosts: Mapping[str, Resource], traffic: Mapping[Ref, Traffic]
) -> Iterator[Found]:
    """Overrides of ports that fit no listener, listeners left without a port, and Envoys that get in each other's way.

    All of one tenant; proxies and hosts by name.
    """
    only = next(iter(hosts)) if len(hosts) == 1 else ""
    taken: dict[tuple[str, int], list[tuple[Socket, Ref, str]]] = {}
    for _, resource in sorted(proxies.items()):
        proxy = cast(Proxy, resource.spec)
        own = traffic.get(resource.ref)
        if own is None and proxy.revision:
            # What it is pinned to is not known, which is said elsewhere.
            continue
        told = own if own is not None else traffic.get(group_of(resource), {})
        listeners = told.get("lds", {})
        yield from _misfits(resource, proxy, listeners)
        # Without a host we know of clashes within one Envoy alone.
        host = proxy.host or only or f"\0{resource.ref.name}"
        for name, listener in listeners.items():
            socket = socket_of(listener)
            if socket is None:
                continue
            port = proxy.ports.get(name, socket[2])
            path = ("ports", name) if name in proxy.ports else ("ports",)
            if not port:
                what = f"listener {name!r} has no port, so each Proxy must say which"
                yield resource.ref, Fault(("ports",), what, f"ports: {{{name}: 10000}}")
                continue
            # Two Envoys on one port both come up and share its connections, so nothing else would tell.
            yield from _taken(taken, resource, host, (socket[0], socket[1], port), name, path)


def _misfits(resource: Resource, proxy: Proxy, listeners: Mapping[str, XdsResource]) -> Iterator[Found]:
    for name in proxy.ports:
        if name not in listeners:
            whose = f"Configuration/{proxy.configuration}" if proxy.configuration else f"ProxyGroup/{proxy.group}"
            what = f"{whose} has no listener {name!r}"
            hint = did_you_mean(name, listeners, f"it has {', '.join(listeners) or 'none'}")
            yield resource.ref, Fault(("ports", name), what, hint)
        elif socket_of(listeners[name]) is None:
            yield resource.ref, Fault(("ports", name), f"listener {name!r} listens on no port")


def _taken(
    taken: dict[tuple[str, int], list[tuple[Socket, Ref, str]]],
    resource: Resource,
    host: str,
    socket: Socket,
    name: str,
    path: tuple[str, ...],
) -> Iterable[Found]:
    place = (host, socket[2])
    for other, ref, holder in taken.get(place, ()):
        if overlap(socket, other):
            whose = "" if ref == resource.ref else f" in {ref} on the same host"
            what = f"listener {name!r} wants {socket[1]}:{socket[2]}, which listener {holder!r} has{whose}"
            yield resource.ref, Fault(path, what, "give this proxy another under `ports`")
            break
    taken.setdefault(place, []).append((socket, resource.ref, name))
