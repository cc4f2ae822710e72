"""Bytes on the wire: type URLs, and responses put together from resources that are already encoded.

A message's fields may be written one after the other, so a response is a join of finished pieces and costs no encoding:
https://protobuf.dev/programming-guides/encoding/#last-one-wins
"""

from collections.abc import Iterable

PREFIX = "type.googleapis.com/"
TYPE_URLS = {
    "cds": PREFIX + "envoy.config.cluster.v3.Cluster",
    "eds": PREFIX + "envoy.config.endpoint.v3.ClusterLoadAssignment",
    "sds": PREFIX + "envoy.extensions.transport_sockets.tls.v3.Secret",
    "lds": PREFIX + "envoy.config.listener.v3.Listener",
    "rds": PREFIX + "envoy.config.route.v3.RouteConfiguration",
}
TYPES = {url: type for type, url in TYPE_URLS.items()}

_NOT_FOUND = 5  # google.rpc.Code


def varint(number: int) -> bytes:
    """A non-negative integer in base 128, least significant group first."""
    pieces = bytearray()
    while number > 0x7F:
        pieces.append(number & 0x7F | 0x80)
        number >>= 7
    pieces.append(number)
    return bytes(pieces)


def head(number: int, size: int) -> bytes:
    """What stands before the `size` bytes of the length-delimited field `number`."""
    return varint(number << 3 | 2) + varint(size)


def field(number: int, content: bytes) -> bytes:
    return head(number, len(content)) + content


def text(number: int, content: str) -> bytes:
    return field(number, content.encode())


def resource_error(name: str, type: str) -> bytes:
    """A ResourceError (xDS TP3) that says why nothing comes for this name."""
    message = f"there is no {type.upper()} resource {name!r} in what this node is told"
    status = varint(1 << 3) + varint(_NOT_FOUND) + text(2, message)
    return field(1, text(1, name)) + field(2, status)


# Where DiscoveryResponse and DeltaDiscoveryResponse differ in field numbers.
_REMOVED, _SOTW_ERRORS, _DELTA_ERRORS = 6, 7, 9


def sotw(url: str, version: str, nonce: str, bodies: Iterable[bytes], errors: Iterable[bytes]) -> bytes:
    """A DiscoveryResponse. `bodies` are encoded `Any`s, `errors` encoded ResourceErrors."""
    pieces = [text(1, version)]
    for body in bodies:
        pieces += (head(2, len(body)), body)
    pieces += (text(4, url), text(5, nonce))
    pieces += (field(_SOTW_ERRORS, error) for error in errors)
    return b"".join(pieces)


def delta(
    url: str,
    version: str,
    nonce: str,
    resources: Iterable[tuple[str, str, bytes]],
    removed: Iterable[str],
    errors: Iterable[bytes],
) -> bytes:
    """A DeltaDiscoveryResponse. `resources` are (name, version, encoded `Any`)."""
    pieces = [text(1, version)]
    for name, resource_version, body in resources:
        label = text(1, resource_version) + text(3, name) + head(2, len(body))
        pieces += (head(2, len(label) + len(body)), label, body)
    pieces += (text(4, url), text(5, nonce))
    pieces += (text(_REMOVED, name) for name in removed)
    pieces += (field(_DELTA_ERRORS, error) for error in errors)
    return b"".join(pieces)


def empty_assignment(cluster: str) -> bytes:
    """An `Any` of a ClusterLoadAssignment without endpoints: how the state of the world says that there are none."""
    return text(1, TYPE_URLS["eds"]) + field(2, text(1, cluster))
