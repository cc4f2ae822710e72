"""Who may act: one holder at a time, and no epoch twice."""

from reconciler.store import Store
from tests.store.conftest import Clock


def test_one_holder_at_a_time(store: Store, clock: Clock) -> None:
    """While the lease runs nobody else gets it; each new holder has a new epoch, and the old one may not act any more."""
    first = store.acquire("control", "a", 15)
    assert first is not None
    assert first.epoch == 1
    assert store.acquire("control", "b", 15) is None
    clock.time_s += 14
    assert store.renew(first, 15)
    clock.time_s += 14
    assert store.check(first)
    clock.time_s += 1
    assert not store.check(first)
    second = store.acquire("control", "b", 15)
    assert second is not None
    assert second.epoch == 2
    assert not store.renew(first, 15)
    assert not store.check(first)
    store.release(first)
    assert store.check(second)


def test_a_lease_that_ran_out_may_go_on_if_nobody_took_it(store: Store, clock: Clock) -> None:
    """Whoever was slow, but alone, stays the holder under the same epoch."""
    lease = store.acquire("control", "a", 15)
    assert lease is not None
    clock.time_s += 100
    assert not store.check(lease)
    assert store.renew(lease, 15)
    assert store.check(lease)


def test_released_leases_are_free_and_epochs_never_repeat(store: Store) -> None:
    """After a release another holder need not wait, and the epoch goes on."""
    first = store.acquire("control", "a", 15)
    assert first is not None
    store.release(first)
    assert not store.check(first)
    second = store.acquire("control", "b", 15)
    assert second is not None
    assert second.epoch == 2


def test_a_restarted_holder_fences_its_former_self(store: Store) -> None:
    """The same holder gets the lease again at once, under a new epoch."""
    first = store.acquire("control", "a", 15)
    second = store.acquire("control", "a", 15)
    assert first is not None
    assert second is not None
    assert (first.epoch, second.epoch) == (1, 2)
    assert not store.check(first)
    assert store.check(second)


def test_a_clock_set_back_does_not_make_a_lease_eternal(store: Store, clock: Clock) -> None:
    """A lease that would run longer than it was given for does not hold."""
    assert store.acquire("control", "a", 15) is not None
    clock.time_s -= 3600
    assert store.acquire("control", "b", 15) is not None
