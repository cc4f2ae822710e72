"""What is missing, surplus, or not as declared: one workload against what bears its name."""

from collections.abc import Iterable
from dataclasses import dataclass

from reconciler.core.kinds.document import SUPERVISION
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
    # The fields that differ, as drift policies name them; empty where the driver cannot tell which.
    fields: tuple[str, ...] = ()
    # Whether putting it right ends what runs and starts it again.
    restarts: bool = False


def diff(want: Want, host: str, seen: Iterable[Observed]) -> Difference:
    """Compare by the digests of declared fields alone: what a driver adds of its own is never a difference."""
    current: Observed | None = None
    surplus: list[Observed] = []
    for one in sorted(seen, key=lambda o: (o.host, o.instance)):
        if one.instance == want.instance and one.host == host:
            current = one
        else:
            surplus.append(one)
    if current is None or as_declared(want, current):
        return Difference(current, tuple(surplus))
    if current.fields.get("state") in ENDED:
        return Difference(current, tuple(surplus), "its supervisor is gone", (SUPERVISION,), True)
    fields = _fields(want, current)
    words = f"changed in place: {', '.join(fields)}" if fields else "changed in place"
    return Difference(current, tuple(surplus), words, fields)


def as_declared(want: Want, one: Observed) -> bool:
    """Whether this instance, which is the one declared, needs nothing done to it."""
    return one.fields.get("state") not in ENDED and one.fields.get("live") == want.live


def _fields(want: Want, one: Observed) -> tuple[str, ...]:
    seen = one.fields.get("fields")
    if not isinstance(seen, dict):
        return ()
    return tuple(sorted(name for name in {*seen, *want.fields} if seen.get(name) != want.fields.get(name)))
