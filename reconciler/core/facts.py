"""What the planner must know besides what is wanted and what is seen."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.core.model import Connected, Key, Snapshot

Endpoint = tuple[str, int]

# Why a host cannot be seen in the first moments after a start: no outage, and not worth telling anybody.
NOT_YET = "not looked at yet"


@dataclass(frozen=True, slots=True)
class Failure:
    """An action that failed: how often in a row, when last (Unix seconds), and how."""

    count: int
    at: float
    error: str

    @property
    def retry_at(self) -> float:
        """One second after the first failure, doubling up to a minute: a failing host is visited less often."""
        return self.at + min(60.0, 2.0 ** (self.count - 1))


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything here was seen or done; nothing is a choice."""

    in_flight: frozenset[Key] = frozenset()
    failures: Mapping[Key, Failure] = field(default_factory=dict)
    connected: Mapping[str, Connected] = field(default_factory=dict)
    # Node ⇒ what it should run now: complete, consistent and without anything an Envoy has refused.
    snapshots: Mapping[str, Snapshot] = field(default_factory=dict)
    # Node ⇒ version of the snapshot that was last handed to the xDS server.
    published: Mapping[str, str] = field(default_factory=dict)
    # Node ⇒ the endpoints its acknowledged content may send requests to; None when that is not known.
    reaches: Mapping[str, frozenset[Endpoint] | None] = field(default_factory=dict)
    # Instance ⇒ since when no running proxy reaches it (Unix seconds).
    let_go: Mapping[Key, float] = field(default_factory=dict)


NO_FACTS = Facts()
