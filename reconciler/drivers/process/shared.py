"""Finds who listens on a port beside one of our Envoys: the kernel deals the connections out between them, unasked.

Envoy opens its sockets so that they can be shared (SO_REUSEPORT), which a second Envoy of the same user then does, of another
Convoy, say. Neither is told. Linux only: elsewhere nothing is found.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace

from reconciler.core.model import Observed
from reconciler.seams import Seams

# It takes a look at every open file of every Envoy.
AGAIN_S = 5.0
TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
# https://www.kernel.org/doc/Documentation/networking/proc_net_tcp.txt; include/net/tcp_states.h
LISTEN = "0A"
EVERYWHERE = ("0" * 8, "0" * 32)
# Which table, which port, and the address as it is written there.
Socket = tuple[str, int, str]


class Shared:
    """Of one host. What is found twice is said: a socket that is opened or closed meanwhile is nobody's for a moment."""

    def __init__(self, seams: Seams) -> None:
        self._seams = seams
        self._at = -AGAIN_S
        self._before: frozenset[str] = frozenset()
        # Process of an Envoy of ours ⇒ what is said of it.
        self._words: dict[int, str] = {}

    def __call__(self, found: list[Observed]) -> list[Observed]:
        """The same, with `shared` in the fields of those whose port another has."""
        now = self._seams.monotonic()
        if now - self._at >= AGAIN_S:
            self._at = now
            self._words = self._look(found)
        if not self._words:
            return found
        return [
            replace(one, fields={**one.fields, "shared": self._words[pid]})
            if isinstance(pid := one.fields.get("pid"), int) and pid in self._words
            else one
            for one in found
        ]

    def _look(self, found: Iterable[Observed]) -> dict[int, str]:
        envoys = {pid for one in found if one.ref.kind == "Proxy" and isinstance(pid := one.fields.get("pid"), int)}
        listening = dict(_listening()) if envoys else {}
        if not listening:
            return {}
        ours = {inode: pid for pid in envoys for inode in _sockets(pid) if inode in listening}
        others: dict[tuple[str, int], list[str]] = {}
        for inode, (table, port, _) in listening.items():
            if inode not in ours:
                others.setdefault((table, port), []).append(inode)
        strange: dict[str, int] = {}
        for inode, pid in ours.items():
            table, port, address = listening[inode]
            for other in others.get((table, port), ()):
                if address == listening[other][2] or address in EVERYWHERE or listening[other][2] in EVERYWHERE:
                    strange[other] = pid
        again, self._before = {one for one in strange if one in self._before}, frozenset(strange)
        return {strange[one]: _worded(listening[one][1], one) for one in sorted(again)}


def _listening() -> Iterator[tuple[str, Socket]]:
    """Inode ⇒ socket, of all that listen on this machine."""
    for table in TABLES:
        try:
            with open(table, encoding="ascii") as file:
                lines = file.readlines()[1:]
        except OSError:
            continue
        for line in lines:
            words = line.split()
            with contextlib.suppress(IndexError, ValueError):
                if words[3] == LISTEN:
                    address, _, port = words[1].partition(":")
                    yield words[9], (table, int(port, 16), address)


def _sockets(pid: int) -> set[str]:
    """The inodes of its open sockets; none where we may not look, or it has ended."""
    found = set()
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                target = os.readlink(f"/proc/{pid}/fd/{name}")
                if target.startswith("socket:["):
                    found.add(target[8:-1])
    return found


def _worded(port: int, inode: str) -> str:
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
    who = next((f"process {pid}" for pid in pids if inode in _sockets(pid)), "another process")
    return (
        f"{who} listens on port {port} too and is not of this Convoy: each gets a part of the connections; end it, or give "
        "one of them another port (`ports` of a Proxy)"
    )
