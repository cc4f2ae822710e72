"""Which host bears a workload: stay where seen, else the same free choice every time (rendezvous hashing)."""

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import cast

from reconciler.core.kinds.application import Application
from reconciler.core.kinds.host import Host
from reconciler.core.model import FleetState, Key, Observed, ObservedState, Ref, Want


def place(want: Want, allowed: Collection[str], seen: Iterable[Observed]) -> str | None:
    """The host for this workload out of those it may run on; None when there is none.

    A host that already bears it is kept, so adding a host moves nothing. Otherwise each workload ranks the hosts by a hash
    of both names (https://en.wikipedia.org/wiki/Rendezvous_hashing): taking a host away moves only what was on it.
    """
    if not allowed:
        return None
    bearing = sorted((o.instance != want.instance, o.since, o.host) for o in seen if o.host in allowed)
    if bearing:
        return bearing[0][2]
    return max(allowed, key=lambda host: (_rank(host, want.ref), host))


def _rank(host: str, ref: Ref) -> bytes:
    return hashlib.sha256(f"{host}\n{ref}".encode()).digest()


class Hosts:
    """The declared hosts, and which of them may bear what."""

    def __init__(self, fleet: FleetState) -> None:
        self._fleet = fleet
        self.declared = {resource.ref.name: cast(Host, resource.spec).state for resource in fleet.of("Host")}
        self._names = sorted(self.declared)
        self._active = [name for name in self._names if self.declared[name] == "active"]

    def may_bear(self, want: Want) -> list[str]:
        """Where it may be now: also on a host that gets nothing new, but not on one that is lost."""
        return [host for host in self._named(want, self._names) if self.declared[host] != "lost"]

    def open(self, want: Want, bearing: Iterable[Observed]) -> list[str]:
        """Where it may be from now on. What a cordoned host bears as declared may stay there."""
        active = self._named(want, self._active)
        cordoned = {one.host for one in bearing if one.instance == want.instance and self.declared.get(one.host) == "cordoned"}
        return sorted({*active, *self._named(want, sorted(cordoned))}) if cordoned else active

    def keeps(self, want: Want, one: Observed) -> bool:
        """Whether this instance of it is where it may be from now on."""
        state = self.declared.get(one.host)
        if state != "active" and (state != "cordoned" or one.instance != want.instance):
            return False
        return one.host in self._named(want, [one.host])

    def why_none(self, want: Want) -> tuple[str, str]:
        """Why no host is open to it, and what to do about that."""
        named = self._named(want, self._names)
        if not named:
            return "no Host may bear it", "declare a Host that may"
        states = ", ".join(f"{host} is {self.declared[host]}" for host in named)
        return f"no Host may bear it: {states}", "make one of them `state: active`, or let it run on others"

    def _named(self, want: Want, hosts: list[str]) -> list[str]:
        if want.host:
            return [want.host] if want.host in hosts else []
        owner = self._fleet.resources.get(want.owner)
        if owner is not None and isinstance(owner.spec, Application) and owner.spec.hosts:
            return [host for host in hosts if host in owner.spec.hosts]
        return hosts


def staying(seen: ObservedState, ending: Collection[Key]) -> ObservedState:
    """What requests may go to: an instance whose delete has begun is no way out any more, whatever befalls the others."""
    if not ending:
        return seen
    return replace(seen, resources={key: one for key, one in seen.resources.items() if key not in ending})


def without_lost(fleet: FleetState, seen: ObservedState) -> ObservedState:
    """What is seen, without the hosts that are declared lost and cannot be seen: nobody waits for them any more."""
    lost = {name for name, state in Hosts(fleet).declared.items() if state == "lost" and name in seen.blind}
    if not lost:
        return seen
    return ObservedState(
        {key: one for key, one in seen.resources.items() if one.host not in lost},
        {host: reason for host, reason in seen.blind.items() if host not in lost},
        {key: whose for key, whose in seen.foreign.items() if key[0] not in lost},
    )
