"""Where one proxy stands with what it is told: what it should run, what it was sent, and what it has acknowledged of that."""

from collections.abc import Iterator
from dataclasses import dataclass

from reconciler.core.model import XDS_TYPES, Connected, Snapshot

# Of what a proxy has not acknowledged yet: a proxy that has just connected has acknowledged nothing at all.
MOST_BEHIND = 50


@dataclass(frozen=True, slots=True)
class Behind:
    """One resource of what was sent that is not acknowledged: `acked` is the version it has acknowledged instead, or ""."""

    type: str
    name: str
    acked: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """`wanted`: what the revision in force says; `told`: what was sent, None where nothing was since Convoy started.

    `behind` lists what of that is not acknowledged, `more` counts what is not listed. `at` (Unix seconds): since when all this
    is so.
    """

    wanted: Snapshot
    told: Snapshot | None
    connected: bool
    synced: bool
    envoy: str = ""
    behind: tuple[Behind, ...] = ()
    more: int = 0
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Standing:
    """The same in short. `current`: what it was sent is what the revision in force says."""

    connected: bool
    synced: bool
    current: bool
    envoy: str
    at: float


def delivery(wanted: Snapshot, told: Snapshot | None, state: Connected | None, at: float) -> Delivery:
    synced = settled(told, state)
    if state is None or told is None:
        return Delivery(wanted, told, state is not None, synced, state.envoy if state else "", at=at)
    behind = [] if synced else list(_behind(told, state))
    return Delivery(wanted, told, True, synced, state.envoy, tuple(behind[:MOST_BEHIND]), max(0, len(behind) - MOST_BEHIND), at)


def settled(told: Snapshot | None, state: Connected | None) -> bool:
    """Whether the proxy is here and has acknowledged all that it was told."""
    return told is not None and state is not None and state.synced and state.sent == told.version


def _behind(told: Snapshot, state: Connected) -> Iterator[Behind]:
    for type in XDS_TYPES:
        acked = state.acked.get(type, {})
        for name, resource in sorted(told.resources.get(type, {}).items()):
            if acked.get(name) != resource.version:
                yield Behind(type, name, acked.get(name, ""))
