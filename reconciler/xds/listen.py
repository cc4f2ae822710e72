"""Where the server may listen: until it speaks TLS, only where no other machine can hear."""

import errno
import ipaddress
import os
import socket
from pathlib import Path

# sun_path on Linux; macOS has four less.
LONGEST_SOCKET = 103


class ListenError(Exception):
    """The server cannot or may not listen there."""


def checked(address: str) -> str:
    """The address, if it is a Unix socket or on loopback; raises ListenError for any other."""
    if address.startswith("unix:"):
        path = path_of(address)
        if not path.is_absolute():
            raise ListenError(f"cannot listen on {address!r}: the path of a Unix socket must be absolute")
        if len(os.fsencode(path)) > LONGEST_SOCKET:
            raise ListenError(f"cannot listen on {address!r}: the path of a Unix socket may have {LONGEST_SOCKET} bytes")
        return address
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise ListenError(f"cannot listen on {address!r}: write unix:/path/of/socket or 127.0.0.1:PORT")
    if not _loopback(host):
        raise ListenError(f"cannot listen on {address!r}: without TLS only Unix sockets and loopback addresses are served")
    return address


def path_of(address: str) -> Path:
    """The path of a `unix:` address."""
    return Path(address.removeprefix("unix:").removeprefix("//"))


def answers(address: str) -> bool:
    """Whether somebody serves this Unix socket now. gRPC would take its path over without a word."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path_of(address)))
        except OSError:
            return False
    return True


def untaken(address: str) -> None:
    """Raises ListenError where somebody listens on a TCP address, by any of the names that it has here."""
    host, _, port = address.rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except OSError as error:
        raise ListenError(f"cannot listen on {address}: {error.strerror}") from None
    for family, kind, protocol, _, place in found if int(port) else ():
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(place)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                words = "another Convoy, or another program, listens there; stop it, or choose another port"
                raise ListenError(f"cannot listen on {address}: {words}") from None


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False
