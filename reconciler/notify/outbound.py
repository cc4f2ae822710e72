"""Connections outward: only to addresses that were looked at, within a time, and what is answered is not kept."""

import contextlib
import http.client
import ipaddress
import socket
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

from reconciler.hangup import shut, within

# In all, whatever the receiver does; the end of a Convoy may have to wait for it.
PATIENCE_S = 10.0
MOST_ANSWERED = 64 * 1024
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# IPv4 addresses in the last bits of IPv6 ones, where a network translates: RFC 6052, RFC 8215, RFC 2765, RFC 4291.
TRANSLATED = tuple(map(ipaddress.ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "::ffff:0:0:0/96", "::/96")))
# Nobody's in public, though Python 3.11 takes them for that: RFC 6890, RFC 7526, RFC 3879, RFC 8215, RFC 9602.
INSIDE = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "fec0::/10", "64:ff9b:1::/48", "5f00::/16")))
# Under which the clouds of Alibaba, Amazon, Microsoft, Google, Oracle and Scaleway tell their secrets, beside link-local ones.
SECRETS = frozenset(
    map(
        ipaddress.ip_address,
        ("100.100.100.200", "fd00:ec2::254", "168.63.129.16", "fd20:ce::254", "192.0.0.192", "fd00:42::42"),
    )
)


class NotTold(Exception):
    """Somebody could not be told; the message says whom, why and what to do, and holds no secret."""


def forbidden(address: Address, allow_private: bool) -> bool:
    """Whether nobody is to be told there: a link-local address or a cloud's own in any case, a private one unless allowed."""
    inside = not address.is_global or any(address in network for network in INSIDE)
    inner = _inner(address)
    if inner is not None:
        return forbidden(inner, allow_private) or (not allow_private and any(address in network for network in INSIDE))
    if address.is_link_local or address.is_multicast or address.is_unspecified or address in SECRETS:
        return True
    return not allow_private and (inside or address.is_private or address.is_loopback)


def _inner(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that this one stands for."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if any(address in network for network in TRANSLATED):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def connect(host: str, port: int, allow_private: bool, timeout_s: float) -> socket.socket:
    """A connection to one of this host's addresses, each looked at before; raises NotTold, OSError.

    It is the address itself that is connected to: asked a second time, a name server might say another.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    refused: OSError | None = None
    allowed = [one for one in found if not forbidden(ipaddress.ip_address(str(one[4][0]).partition("%")[0]), allow_private)]
    if not allowed:
        hint = "nobody is told there" if allow_private else "`allowPrivate: true` allows private addresses"
        raise NotTold(f"{host} is not a public address: {hint}")
    for family, kind, protocol, _, address in allowed:
        made = socket.socket(family, kind, protocol)
        try:
            made.settimeout(timeout_s)
            made.connect(address)
        except OSError as error:
            made.close()
            refused = error
        else:
            return made
    raise refused or OSError(f"{host} has no address")


def tls() -> ssl.SSLContext:
    return ssl.create_default_context()


class _Checked(http.client.HTTPConnection):
    def __init__(self, host: str, port: int, allow_private: bool, secure: bool) -> None:
        super().__init__(host, port, timeout=PATIENCE_S)
        self._allow_private, self._secure = allow_private, secure
        self.default_port = 443 if secure else 80

    def connect(self) -> None:
        self.sock = made = connect(self.host, self.port, self._allow_private, PATIENCE_S)
        if self._secure:
            # Who drips in the handshake is cut off as well.
            self.sock = secured = tls().wrap_socket(made, server_hostname=self.host, do_handshake_on_connect=False)
            secured.do_handshake()

    def cut(self) -> None:
        shut(self.sock)


def post(url: str, headers: Mapping[str, str], body: bytes, allow_private: bool) -> None:
    """A POST that is answered with 2xx; redirects are not followed. Raises NotTold, which never shows the URL."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if host is None or parts.scheme not in ("http", "https") or "@" in parts.netloc:
        raise NotTold("the address is no URL that can be told: it looks like https://hooks.example/path")
    if parts.scheme == "http" and not allow_private:
        raise NotTold(f"{host} would be told without TLS: use https, or `allowPrivate: true` in a network of your own")
    secure = parts.scheme == "https"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    asking = _Checked(host, port or (443 if secure else 80), allow_private, secure)
    try:
        with contextlib.closing(asking), within(PATIENCE_S, asking.cut):
            asking.request("POST", target, body, {"User-Agent": "convoy", **headers})
            answer = asking.getresponse()
            answer.read(MOST_ANSWERED)
            if not 200 <= answer.status < 300:
                raise NotTold(f"{host} answers with {answer.status}{_hint(answer.status)}")
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NotTold(f"{host} cannot be told: {words(error)}") from None


def words(error: Exception) -> str:
    """Why, without what was sent."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message})"
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    if isinstance(error, OSError):
        return str(error.strerror or type(error).__name__)
    return f"it does not answer as it should ({type(error).__name__})"


def _hint(status: int) -> str:
    if 300 <= status < 400:
        return ": redirects are not followed, give the address that it names"
    if status in (401, 403):
        return ": is its secret the right one?"
    return ""
