"""Chooses ports: from the host's range, used by no other instance, free at this moment, and kept for the instance's life."""

import contextlib
import errno
import hashlib
import os
import socket
from collections.abc import Mapping
from pathlib import Path

from reconciler.core.model import Want
from reconciler.drivers import DriverError
from reconciler.drivers.process.instance import read_json

CLAIMS = "ports"


def choose(host: Path, sockets: Path, name: str, want: Want, span: str) -> dict[str, int | str]:
    """Port name ⇒ number or socket path, for the instance that will be `host`/`name`; the caller holds the host's lock.

    A claim is a symbolic link `ports/<number>` to the instance's directory. One that leads nowhere is of an instance that
    is gone or was never finished, and is free: so nothing needs to be given back.
    """
    claims = host / CLAIMS
    claims.mkdir(mode=0o700, exist_ok=True)
    chosen: dict[str, int | str] = {}
    for port in want.run.ports:
        if port.protocol == "unix":
            digest = hashlib.sha256(f"{host}/{name}/{port.name}".encode()).hexdigest()[:16]
            chosen[port.name] = str(sockets / f"{digest}.sock")
        elif port.port is not None:
            chosen[port.name] = port.port
            if not _taken(claims, port.port, name):
                _claim(claims, port.port, name)
        else:
            chosen[port.name] = _free(claims, name, f"{host}/{name}/{port.name}", span, set(chosen.values()), want)
    return chosen


def _free(claims: Path, name: str, seed: str, span: str, mine: set[int | str], want: Want) -> int:
    first, last = (int(end) for end in span.split("-"))
    if not 1 <= first <= last <= 65535:
        raise DriverError(f"cannot choose a port for {want.ref}: the host's range of ports {span} is empty: mend spec.ports")
    count = last - first + 1
    fixed = {port.port for port in want.run.ports}
    # Not the lowest free one: a number that was just given back may still be dialled by whoever has not heard of it. Nor the
    # same one as another Convoy on this machine, which may be choosing at this moment.
    begin = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:4], "big")
    for step in range(count):
        number = first + (begin + step) % count
        if number in mine or number in fixed or _taken(claims, number, name) or not bindable(number):
            continue
        _claim(claims, number, name)
        return number
    raise DriverError(f"cannot choose a port for {want.ref}: none of {span} is free on this host: widen the Host's spec.ports")


def _taken(claims: Path, number: int, name: str) -> bool:
    try:
        owner = os.path.basename(os.readlink(claims / str(number)))
    except OSError:
        return False
    if owner == name:
        return False
    mark = read_json(claims.parent / owner / "mark.json")
    ports: Mapping[str, object] = (mark or {}).get("ports") or {}
    return number in ports.values()


def _claim(claims: Path, number: int, name: str) -> None:
    link = claims / str(number)
    with contextlib.suppress(FileNotFoundError):
        link.unlink()
    link.symlink_to(f"../{name}")


def bindable(number: int) -> bool:
    """Nobody has this TCP port on any address, and no connection on it lingers."""
    for family, address in ((socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0")):  # noqa: S104 - bound, never listened on
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind((address, number))
        except OSError as error:
            # A machine without IPv6 says so here, which is no reason against the port.
            if family == socket.AF_INET or error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
    return True
