"""Keeps where each proxy stands with what it is told, written where it changes and has settled, never per round."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from reconciler.core.delivery import delivery, settled
from reconciler.core.model import Connected, Snapshot
from reconciler.seams import Seams
from reconciler.store import Store

# A proxy takes in what it is told within milliseconds: what is under way for less than this is nobody's news, and is not
# written for a thousand proxies at once. What stays so is written again only so often.
UNDER_WAY_S, AGAIN_S = 2.0, 10.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What was last found of a proxy, since when (Unix seconds); whether that is `written`, and when anything was last."""

    wanted: str
    told: str
    state: Connected | None
    settled: bool
    since: float
    written: bool = False
    last: float = -AGAIN_S

    def same(self, other: "Seen") -> bool:
        # The server gives the very same value for a proxy to which nothing has happened.
        return (self.wanted, self.told) == (other.wanted, other.told) and self.state is other.state

    def due(self, now: float) -> bool:
        waited = now - self.since >= UNDER_WAY_S and now - self.last >= AGAIN_S
        return not self.written and (self.settled or waited)


class Deliveries:
    """Called from the loop's thread alone."""

    def __init__(self, store: Store, seams: Seams) -> None:
        self._store, self._seams = store, seams
        self.forget()

    def forget(self) -> None:
        """Whatever is in the store may be of an earlier Convoy."""
        self._seen: dict[str, Seen] | None = None

    def keep(
        self, wanted: Mapping[str, Snapshot], told: Mapping[str, Snapshot], connected: Mapping[str, Connected]
    ) -> Callable[[], None]:
        """Write what is due; call what this returns once that is in the store for good."""
        now, before = self._seams.now(), self._seen or {}
        gone = (self._store.delivered() if self._seen is None else before.keys()) - wanted.keys()
        seen = {node: _found(before.get(node), wanted[node], told.get(node), connected.get(node), now) for node in wanted}
        due = {node: one for node, one in seen.items() if one.due(now)}
        if due or gone:
            rows = {node: delivery(wanted[node], told.get(node), connected.get(node), one.since) for node, one in due.items()}
            self._store.put_deliveries({**rows, **dict.fromkeys(gone)})

        def kept() -> None:
            self._seen = seen | {node: replace(one, written=True, last=now) for node, one in due.items()}

        return kept


def _found(was: Seen | None, wanted: Snapshot, told: Snapshot | None, state: Connected | None, now: float) -> Seen:
    here = Seen(wanted.version, told.version if told else "", state, settled(told, state), now)
    if was is None:
        return here
    if was.same(here):
        return was
    # Half way, it changes with every acknowledgement.
    return replace(here, since=was.since if not was.settled and not here.settled else now, last=was.last)
