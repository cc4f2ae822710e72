"""Where each proxy stands with what it is told is kept where it changed and has settled, and never per round."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from reconciler.core.delivery import Behind
from reconciler.core.model import Connected, Snapshot
from reconciler.deliveries import Deliveries
from reconciler.store import Store
from tests.store.conftest import Clock
from tests.xds.snapshot import raw, snapshot

OLD = snapshot([raw("cds", "a", "1"), raw("cds", "b", "1")])
NEW = snapshot([raw("cds", "a", "2"), raw("cds", "b", "1")])


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    with closing(Store(f"sqlite:///{tmp_path / 'convoy.db'}", clock)) as store:
        yield store


def state(acked: Snapshot, sent: Snapshot) -> Connected:
    versions: Mapping[str, Mapping[str, str]] = {
        type: {name: one.version for name, one in resources.items()} for type, resources in acked.resources.items()
    }
    return Connected("edge", "1.40.0", 1.0, sent.version, acked is sent, versions)


def keep(deliveries: Deliveries, wanted: Snapshot, told: Snapshot | None, connected: Connected | None) -> None:
    deliveries.keep({"edge": wanted}, {"edge": told} if told else {}, {"edge": connected} if connected else {})()


def test_what_is_acknowledged_is_written_at_once_and_once(store: Store, clock: Clock) -> None:
    """With the contents of both; the next life finds it there and writes nothing."""
    deliveries, here = Deliveries(store, clock), state(OLD, OLD)
    keep(deliveries, OLD, OLD, here)
    found = store.delivery("edge")
    assert found is not None
    assert (found.wanted, found.told, found.synced, found.envoy, found.at) == (OLD, OLD, True, "1.40.0", 1000.0)
    written = store.writes
    clock.time_s = 2000.0
    keep(deliveries, OLD, OLD, here)
    keep(Deliveries(store, clock), OLD, OLD, state(OLD, OLD))
    assert store.writes == written


def test_what_is_under_way_is_written_when_it_lasts(store: Store, clock: Clock) -> None:
    """Each acknowledgement changes it: it is not written each time, and what stays unacknowledged is named."""
    deliveries = Deliveries(store, clock)
    keep(deliveries, OLD, OLD, state(OLD, OLD))
    written = store.writes
    for second in range(10):
        clock.time_s = 1000.0 + second
        keep(deliveries, NEW, NEW, state(OLD, NEW))
    assert store.writes == written
    for second in range(20, 60):
        clock.time_s = 1000.0 + second
        keep(deliveries, NEW, NEW, state(OLD, NEW))
    assert store.writes <= written + 4
    found = store.delivery("edge")
    assert found is not None
    assert not found.synced
    assert found.behind == (Behind("cds", "a", OLD.resources["cds"]["a"].version),)
    keep(deliveries, NEW, NEW, state(NEW, NEW))
    found = store.delivery("edge")
    assert found is not None
    assert (found.synced, found.behind) == (True, ())


def test_who_is_away_or_gone(store: Store, clock: Clock) -> None:
    """A proxy that is not connected is told apart from one that is; one that is no more wanted is dropped."""
    deliveries = Deliveries(store, clock)
    keep(deliveries, OLD, OLD, state(OLD, OLD))
    clock.time_s = 1020.0
    keep(deliveries, OLD, OLD, None)
    clock.time_s = 1023.0
    keep(deliveries, OLD, OLD, None)
    found = store.delivery("edge")
    assert found is not None
    assert (found.connected, found.synced, found.at) == (False, False, 1020.0)
    Deliveries(store, clock).keep({}, {}, {})()
    assert store.delivery("edge") is None
    assert store.delivered() == set()
