"""What is missing, surplus, or not as declared: one workload against what bears its name."""

from collections.abc import Iterable
from dataclasses import dataclass

from reconciler.core.model import Observed, Want

# States in which nothing supervises the instance any more, so that only we can start it again.
ENDED = frozenset({"lost"})


@dataclass(frozen=True, slots=True)
class Difference:
    """`current` is the instance as declared on the right host, if there is one; `surplus` is everything else of its name."""

    current: Observed | None
    surplus: tuple[Observed, ...]
    # Why `current` needs an update; empty when it is as declared.
    changed: str = ""


def diff(want: Want, host: str, seen: Iterable[Observed]) -> Difference:
    """Compare by the digests of declared fields alone: what a driver adds of its own is never a difference."""
    current: Observed | None = None
    surplus: list[Observed] = []
    for one in sorted(seen, key=lambda o: (o.host, o.instance)):
        if one.instance == want.instance and one.host == host:
            current = one
        else:
            surplus.append(one)
    changed = ""
    if current is not None:
        if current.fields.get("state") in ENDED:
            changed = "its supervisor is gone"
        elif current.fields.get("live") != want.live:
            changed = "changed in place"
    return Difference(current, tuple(surplus), changed)
