"""Which host bears a workload: stay where seen, else the same free choice every time (rendezvous hashing)."""

import hashlib
from collections.abc import Collection, Iterable

from reconciler.core.model import Observed, Ref, Want


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
