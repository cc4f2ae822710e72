"""What the xDS server has done so far, in numbers."""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.core.model import Nack

# Enough for a percentile over the last push to a thousand proxies.
LATENCIES_KEPT = 1024


@dataclass(frozen=True, slots=True)
class Counters:
    """Totals since the start, by type where that matters. `latencies_s` are the last pushes' times until their ACK."""

    streams: int
    connects: int
    denied: int
    rejected: int
    pushes: Mapping[str, int]
    acks: Mapping[str, int]
    nacks: Mapping[str, int]
    overdue: Mapping[str, int]
    bytes_sent: int
    latencies_s: tuple[float, ...]


@dataclass(slots=True)
class Count:
    """The running totals; changed under the server's lock."""

    streams: int = 0
    connects: int = 0
    denied: int = 0
    rejected: int = 0
    pushes: Counter[str] = field(default_factory=Counter)
    acks: Counter[str] = field(default_factory=Counter)
    nacks: Counter[str] = field(default_factory=Counter)
    overdue: Counter[str] = field(default_factory=Counter)
    bytes_sent: int = 0
    latencies_s: deque[float] = field(default_factory=lambda: deque(maxlen=LATENCIES_KEPT))

    def copy(self) -> Counters:
        return Counters(
            self.streams,
            self.connects,
            self.denied,
            self.rejected,
            dict(self.pushes),
            dict(self.acks),
            dict(self.nacks),
            dict(self.overdue),
            self.bytes_sent,
            tuple(self.latencies_s),
        )


@dataclass(slots=True)
class Tally:
    """What a client answered since the tally was last cleared: types acknowledged, after how long, and refusals."""

    acks: list[str] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)
    nacks: list[Nack] = field(default_factory=list)
    # Responses refused, whether or not it is known yet for which resource.
    refusals: int = 0

    def clear(self) -> None:
        self.refusals = 0
        self.acks.clear()
        self.latencies_s.clear()
        self.nacks.clear()
