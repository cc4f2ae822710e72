"""From where a request comes: the one place that says so, for limits, lock-outs and the audit."""

import ipaddress
from collections.abc import Mapping
from typing import Any

# What one customer of a provider is given of IPv6, at least: https://www.rfc-editor.org/rfc/rfc6177.
IPV6_PREFIX = 64


def address(environ: Mapping[str, Any]) -> str:
    """The client's, as text; "" where there is none (a Unix socket)."""
    return str(environ.get("REMOTE_ADDR", ""))


def network(address: str) -> str:
    """Whose address that is, for counting: with IPv6, everybody has as many as he likes."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, IPV6_PREFIX if found.version == 6 else 32), strict=False).network_address)
