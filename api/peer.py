"""From where a request comes: the one place that says so, for limits, lock-outs, the audit and the log."""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

# What one customer of a provider is given of IPv6, at least: https://www.rfc-editor.org/rfc/rfc6177.
IPV6_PREFIX = 64
# No chain of proxies is longer; whatever stands before these is not looked at.
MOST_HOPS = 20
PEER = "convoy.peer"
# By these a proxy says that it stands between.
BETWEEN = ("HTTP_FORWARDED", "HTTP_VIA", "HTTP_X_FORWARDED", "HTTP_X_REAL_IP")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def address(environ: Mapping[str, Any]) -> str:
    """The client's, as text; "" where there is none (a Unix socket)."""
    return str(environ.get(PEER, environ.get("REMOTE_ADDR", "")))


def believe(environ: dict[str, Any], trusted: Sequence[Network]) -> None:
    """Where whoever has connected is one of our proxies, the client is who that says it is, and came as that says.

    In X-Forwarded-For each proxy has written at the end who had connected to it: so it is read from there, for as long as
    what stands there is a proxy of ours too. What stands before that anybody may have written.
    """
    peer = str(environ.get("REMOTE_ADDR", ""))
    if not trusted or not _within(peer, trusted):
        return
    hops = [one.strip() for one in str(environ.get("HTTP_X_FORWARDED_FOR", "")).split(",")[-MOST_HOPS:]]
    while hops and _within(peer, trusted):
        before = _plain(hops.pop())
        if not before:
            break
        peer = before
    environ[PEER] = peer
    if str(environ.get("HTTP_X_FORWARDED_PROTO", "")).rpartition(",")[2].strip().lower() == "https":
        environ["wsgi.url_scheme"] = "https"


def local(environ: Mapping[str, Any]) -> bool:
    """Whether a program on this machine asks, and by itself: who comes through a proxy here does not, believed or not. It asks
    for this machine by name: a browser here can be led to us by a page of others, under a name of theirs."""
    host = str(environ.get("HTTP_HOST", ""))
    named = host.partition(":")[0].lower() == "localhost" or _loopback(_plain(host))
    between = any(name.startswith(BETWEEN) for name in environ)
    return named and not between and _loopback(str(environ.get("REMOTE_ADDR", "")))


def _loopback(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return bool((getattr(found, "ipv4_mapped", None) or found).is_loopback)


def _plain(hop: str) -> str:
    """An address as it is written mostly; "" for what is none. Some proxies add the port."""
    if hop.startswith("["):
        hop = hop[1:].partition("]")[0]
    elif hop.count(":") == 1:
        hop = hop.partition(":")[0]
    try:
        return str(ipaddress.ip_address(hop.partition("%")[0]))
    except ValueError:
        return ""


def _within(address: str, trusted: Sequence[Network]) -> bool:
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return any((mapped or found) in one for one in trusted)


def network(address: str) -> str:
    """Whose address that is, for counting: with IPv6, everybody has as many as he likes."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, IPV6_PREFIX if found.version == 6 else 32), strict=False).network_address)
