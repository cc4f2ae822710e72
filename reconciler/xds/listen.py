"""Where the server may listen: until it speaks TLS, only where no other machine can hear."""

import errno
import ipaddress
import os
import socket
import threading
from collections.abc import Iterable
from pathlib import Path

from reconciler.log import Log
from reconciler.seams import Seams

# sun_path on Linux; macOS has four less.
LONGEST_SOCKET = 103


# How often is looked whether who listens there has left.
LOOK_S = 0.1


class ListenError(Exception):
    """The server cannot or may not listen there."""


class Taken(ListenError):
    """Somebody listens there."""


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
    """Raises Taken where somebody listens on a TCP address, by any of the names that it has here; ListenError where that is
    none."""
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
                raise Taken(f"cannot listen on {address}: {words}") from None


def later(addresses: Iterable[str], log: Log) -> None:
    """For whoever is to listen there once he acts: says who will have to leave until then. Raises ListenError where that can
    never be."""
    for address in filter(_is_tcp, map(checked, addresses)):
        try:
            untaken(address)
        except Taken:
            words = "another listens there; once this Convoy acts, it waits until that one has left"
            log.info("xds.later", address=address, why=words)


def once_left(addresses: Iterable[str], within_s: float, stopped: threading.Event, log: Log, seams: Seams) -> bool:
    """Wait until nobody listens there: a Convoy that has lost its place is about to end, unless it hangs. False where `stopped`
    is set first; raises ListenError, also when the time is over."""
    end = seams.monotonic() + within_s
    for address in filter(_is_tcp, addresses):
        waits = False
        while not stopped.is_set():
            try:
                untaken(address)
                break
            except Taken:
                if seams.monotonic() >= end:
                    raise
                if not waits:
                    log.warning("xds.waits", address=address, why="another listens there, and has not left yet")
                waits = True
                seams.wait(stopped, LOOK_S)
    return not stopped.is_set()


def _is_tcp(address: str) -> bool:
    return not address.startswith("unix:")


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False
