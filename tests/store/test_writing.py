"""Who may write, and what is written together."""

import pytest

from reconciler.store import LeaseLost, Store, StoreError
from tests.store.conftest import Clock, Place, again


def test_whoever_lost_the_lease_writes_nothing(store: Store, place: Place, clock: Clock) -> None:
    """The epoch is checked in the same transaction: late writes of an old holder are refused, people's are not."""
    assert store.acquire("control", "a", 15) is not None
    clock.time_s += 16
    store.event("kind", "Host/h", "nobody has taken it")
    other, person = again(place, clock), again(place, clock)
    assert other.acquire("control", "b", 15) is not None
    written = store.writes
    with pytest.raises(LeaseLost, match=r"another Convoy \(b\) has taken the lease"):
        store.event("kind", "Host/h", "late")
    with pytest.raises(LeaseLost), store.batch():
        store.put_status({"Host/h": {"n": 1}})
    assert store.writes == written
    person.event("kind", "Host/h", "said")
    assert [event.message for event in store.events()] == ["nobody has taken it", "said"]
    assert store.status() == {}
    other.close()
    person.close()


def test_a_batch_is_one_transaction(store: Store, place: Place, clock: Clock) -> None:
    """All of it or nothing; others see it when it is whole, its own thread at once; nothing written, nothing begun."""
    other = again(place, clock)
    written = store.writes
    with store.batch():
        store.status()
    assert store.writes == written
    with store.batch():
        store.put_status({"Host/h": {"n": 1}})
        with store.batch():
            store.event("kind", "Host/h", "one")
        store.event("kind", "Host/h", "two")
        assert [event.message for event in store.events()] == ["one", "two"]
        assert other.events() == []
    assert store.writes == written + 1
    assert [event.number for event in other.events()] == [1, 2]
    other.close()


def test_a_batch_that_fails_leaves_nothing(store: Store, clock: Clock) -> None:
    """Neither in the database nor in what is remembered of it, also when part of it failed and the rest went on."""
    installation = ""

    def fail() -> None:
        nonlocal installation
        with store.batch():
            store.put_status({"Host/h": {"n": 1}})
            installation = store.installation()
            raise ValueError("on purpose")

    def fail_in_part() -> None:
        with store.batch():
            store.put_status({"Host/h": {"n": 1}})
            clock.failing = "store.write"
            with pytest.raises(StoreError, match="No space left"):
                store.event("kind", "Host/h", "never")
            clock.failing = ""
            store.put_status({"Host/i": {"n": 1}})

    with pytest.raises(ValueError, match="on purpose"):
        fail()
    assert store.status() == {}
    assert store.installation() != installation
    with pytest.raises(StoreError, match="part of it failed"):
        fail_in_part()
    assert store.status() == {}
    store.put_status({"Host/h": {"n": 1}})
    assert store.status() == {"Host/h": {"n": 1}}
