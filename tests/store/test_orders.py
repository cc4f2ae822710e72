"""What people told Convoy beside Git outlives the process, and what the guards remember does too."""

from dataclasses import replace

import pytest

from reconciler.core.facts import Order
from reconciler.store import Store, StoreError
from tests.store.conftest import Clock, Place, again

CONFIRMED = Order("confirm", "Container/a", "it may go", "eve", 1.0)
SUSPENDED = Order("suspend", "Container/a", "at work on it", "eve", 2.0, 3602.0)


def test_orders_are_kept_until_dropped(store: Store, place: Place, clock: Clock) -> None:
    """In another life they are the same; the later one about the same thing wins."""
    store.put_order(CONFIRMED)
    store.put_order(SUSPENDED)
    later = Order("suspend", "Container/a", "longer", "bob", 3.0, None)
    store.put_order(later)
    other = again(place, clock)
    assert other.orders() == (CONFIRMED, later)
    assert other.drop_orders(("suspend", "Container/a"), ("suspend", "Container/b")) == 1
    assert store.orders() == (CONFIRMED,)
    other.close()


def test_dropping_nothing_writes_nothing(store: Store) -> None:
    """Neither an order that is not there nor no order at all costs a write."""
    store.put_order(CONFIRMED)
    writes = store.writes
    assert store.drop_orders() == store.drop_orders(("hold", "Container/a@1")) == 0
    assert store.writes == writes


def test_what_the_guards_remember_is_written_when_it_changes(store: Store, place: Place, clock: Clock) -> None:
    """The same again writes nothing; another life reads it."""
    store.put_guards({"lot": {"before": 10}})
    writes = store.writes
    store.put_guards({"lot": {"before": 10}})
    assert store.writes == writes
    other = again(place, clock)
    assert other.guards() == {"lot": {"before": 10}}
    other.close()


def test_a_revision_brings_its_orders(store: Store) -> None:
    """In one write, also where the revision itself is recorded already; one without orders leaves them as they are."""
    store.put_order(SUSPENDED)
    writes = store.writes
    store.record_revision("r1", "good", (), (CONFIRMED,), (("suspend", "Container/a"),))
    assert store.writes == writes + 1
    store.record_revision("r1", "good", ())
    assert store.writes == writes + 1
    assert (store.orders(), store.last_good()) == ((CONFIRMED,), "r1")
    later = replace(CONFIRMED, at=9.0)
    store.record_revision("r1", "good", (), (later,))
    assert store.orders() == (later,)


@pytest.mark.parametrize("point", ["store.write", "store.commit"])
def test_a_revision_and_its_orders_or_neither(store: Store, clock: Clock, point: str) -> None:
    """A disk that fails at any point leaves both as they were."""
    store.put_order(SUSPENDED)
    store.record_revision("r1", "good", ())
    clock.failing = point
    with pytest.raises(StoreError):
        store.record_revision("r2", "good", (), (CONFIRMED,), (("suspend", "Container/a"),))
    clock.failing = ""
    assert (store.orders(), store.last_good()) == ((SUSPENDED,), "r1")


def test_as_many_orders_as_deletes_are_dropped_at_once(store: Store) -> None:
    """A lot of thousands was confirmed ref by ref: no database refuses to forget that for its length."""
    many = [Order("confirm", f"Container/c{n}", "", "eve", 1.0) for n in range(1200)]
    with store.batch():
        for order in many:
            store.put_order(order)
    assert store.drop_orders(*((order.verb, order.subject) for order in (*many, SUSPENDED))) == len(many)
    assert store.orders() == ()
