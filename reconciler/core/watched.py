"""What a person who watches a fleet sees: taken in change by change, so that a look costs what changed and not what exists."""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

# What stands on a screen at most; what is dropped was seen.
RECENT = 50


@dataclass(frozen=True, slots=True)
class Slim:
    """What is remembered of one row: ten thousand whole ones would be much."""

    ref: str
    sync: str
    health: str
    why: str
    since: float
    declared: bool
    where: str
    hosts: tuple[str, ...]

    @property
    def well(self) -> bool:
        return self.sync == "synced" and self.health in ("healthy", "none")

    @property
    def troubled(self) -> bool:
        """A workload's trouble is its declared resource's; what follows from nothing declared stands for itself."""
        return not self.well and (self.declared or not self.where)


def slim(row: Mapping[str, Any]) -> Slim:
    bearing = tuple(str(one.get("host", "")) for one in row.get("instances") or ())
    ref, sync, health, why, where = (str(row.get(name, "")) for name in ("ref", "sync", "health", "why", "where"))
    return Slim(ref, sync, health, why, float(row.get("since") or 0.0), bool(row.get("declared", True)), where, bearing)


class Watched:
    """One reader's picture. Everything in it is kept up to date by `take`, and read by `show_watch`."""

    def __init__(self) -> None:
        self.state: Mapping[str, Any] = {}
        self.plan: Mapping[str, Any] = {}
        self.proxies: Mapping[str, Mapping[str, Any]] = {}
        # (Unix seconds, kind, printed ref, message), the newest last.
        self.recent: deque[tuple[float, str, str, str]] = deque(maxlen=RECENT)
        self._clear()

    def _clear(self) -> None:
        self._rows: dict[str, Slim] = {}
        # Of declared resources.
        self.sync: Counter[str] = Counter()
        self.unhealthy = 0
        self.troubled: dict[str, Slim] = {}
        self.hosts: dict[str, Slim] = {}
        # Host ⇒ how many instances it bears.
        self.bearing: Counter[str] = Counter()

    def take(self, status: Mapping[str, Mapping[str, Any] | None], anew: bool) -> None:
        """Printed ref ⇒ its row, or None for one that is gone; `anew`: these are all there are."""
        if anew:
            self._clear()
        for ref, row in status.items():
            self._count(self._rows.pop(ref, None), -1)
            self.troubled.pop(ref, None)
            self.hosts.pop(ref, None)
            if row is None:
                continue
            one = self._rows[ref] = slim(row)
            self._count(one, 1)
            if one.troubled:
                self.troubled[ref] = one
            if ref.startswith("Host/"):
                self.hosts[ref] = one

    def _count(self, one: Slim | None, by: int) -> None:
        if one is None:
            return
        if one.declared:
            self.sync[one.sync] += by
            self.unhealthy += by * (one.health == "unhealthy")
        for host in one.hosts:
            self.bearing[host] += by

    def happened(self, news: Iterable[tuple[float, str, str, str]]) -> None:
        """Events and what became of actions, in the order of time."""
        self.recent.extend(sorted(news))

    @property
    def declared(self) -> int:
        return sum(self.sync.values())

    @property
    def well(self) -> int:
        """Declared resources that are as declared and not unwell."""
        return self.declared - sum(one.declared for one in self.troubled.values())
