"""A socket that listens where HTTP is to be served, as soon as a process of an earlier life has left the port.

Each process that serves HTTP has the directory for sockets open, with a lock that is let go of when all of them are gone: by
that it is known whether who has the port is one of ours, or somebody else, who is not waited for. Whoever has started them has
a lock of his own, of that port, until he ends: while he has it they do not leave, and are not waited for either.
Where that is control, another that takes over from it waits all the same: it ends, or it would not have lost its place.
"""

import contextlib
import errno
import fcntl
import ipaddress
import os
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from reconciler.log import Log
from reconciler.seams import Seams

BACKLOG = 128
LOOK_S = 0.05


class ListenError(Exception):
    """There is no listening there; the message says why. `taken`: somebody does already."""

    def __init__(self, message: str, *, taken: bool = False) -> None:
        super().__init__(message)
        self.taken = taken


@dataclass(slots=True)
class Listening:
    """`alive` is the file that whoever serves there has open."""

    socket: socket.socket
    alive: int
    _claim: int | None

    def leave(self) -> None:
        """From now on whoever wants the port waits for those who serve there."""
        claim, self._claim = self._claim, None
        if claim is not None:
            os.close(claim)


def listen(
    address: str,
    run: Path,
    within_s: float,
    log: Log,
    seams: Seams,
    ended: Callable[[], bool] = lambda: False,
    *,
    plain: bool,
    alone: bool = False,
) -> Listening:
    """Nothing is waited for once we have `ended`. `plain`: without TLS, for loopback alone. `alone`: we have no control, and
    take over from nobody. Raises ListenError."""
    stay = [_claim(run, address.rpartition(":")[2], one) for one in ((True, False) if alone else (True,))]
    alive = os.open(run, os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = _once_left(address, stay, alive, within_s, log, seams, ended, plain=plain)
    except ListenError:
        os.close(alive)
        raise
    with contextlib.suppress(OSError):
        fcntl.flock(alive, fcntl.LOCK_SH)
    return Listening(found, alive, _claimed(_claim(run, found.getsockname()[1], alone)))


def _once_left(
    address: str,
    stay: Iterable[Path],
    alive: int,
    within_s: float,
    log: Log,
    seams: Seams,
    ended: Callable[[], bool],
    *,
    plain: bool,
) -> socket.socket:
    """`stay`: what those who do not leave have locks on."""
    end, waits = seams.monotonic() + within_s, False
    while True:
        try:
            return _listening(address, plain=plain)
        except ListenError as error:
            if not error.taken or not _held(alive):
                raise
            if any(map(_is_claimed, stay)):
                why = "another `convoy serve` in this state directory does; end that one, or name another HOST:PORT"
                raise ListenError(f"cannot serve HTTP at {address}: {why}", taken=True) from None
            if ended() or seams.monotonic() >= end:
                raise
            if not waits:
                log.warning("web.waits", address=address, why="a process of an earlier life is about to leave the port")
            waits = True
            seams.sleep(LOOK_S)


def _claim(run: Path, port: int | str, alone: bool) -> Path:
    """What whoever has started those who serve there has a lock on: for each port a file, which is left where it is."""
    return run / f"http-{port}-{'web' if alone else 'control'}.lock"


def _claimed(claim: Path) -> int | None:
    """None where there are no locks, and no room for a file: then a port is waited for, though nobody leaves it."""
    with contextlib.suppress(OSError):
        file = os.open(claim, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with contextlib.suppress(OSError):
            # With others, at other addresses of this machine.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return file
    return None


def _is_claimed(claim: Path) -> bool:
    with contextlib.suppress(OSError):
        file = os.open(claim, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            return _held(file)
        finally:
            os.close(file)
    return False


def _held(file: int) -> bool:
    """Whether somebody else has a lock on it; if not, we have, save where there are none (a directory by NFS)."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _listening(address: str, *, plain: bool) -> socket.socket:
    """Raises ListenError."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not port.isdecimal() or not port.isascii() or int(port) > 65535:
        raise ListenError(f"cannot serve HTTP at {address!r}: it looks like 127.0.0.1:8080, or a port alone")
    try:
        family, _, _, _, place = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        if plain and not _is_loopback(str(place[0])):
            raise ListenError(
                f"plain HTTP at {address} would show tokens to the network: give it a certificate (--http-cert and "
                "--http-key), or serve on loopback behind a proxy that ends TLS (an Envoy, say); where that proxy is on "
                "another machine, say --http-plaintext"
            )
        listening = socket.create_server((str(place[0]), int(port)), family=family, backlog=BACKLOG)
        # Gunicorn asks for this too, once it runs; whoever has connected before would have waited 40 ms for every answer, its
        # body behind its head until the client says that it has that.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except (OSError, OverflowError) as error:
        why, taken = getattr(error, "strerror", None) or error, getattr(error, "errno", 0) == errno.EADDRINUSE
        raise ListenError(f"cannot serve HTTP at {address}: {why}; name another HOST:PORT", taken=taken) from None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
