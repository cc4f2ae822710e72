"""Several Convoys on one store: one acts, the others wait, and whoever lost the lease does nothing any more."""

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from reconciler.hosts import AT_ONCE
from reconciler.leader import Leader, LeaderError, identity
from reconciler.log import Log
from reconciler.loop import Loop
from reconciler.seams import Seams
from reconciler.store import LeaseLost, Store
from reconciler.store.database import Database
from reconciler.wanted import Accepted
from tests.postgres import Place
from tests.test_loop import World, fleet

# So long that none runs out by itself: the clock is what runs ahead.
LEASE_S = 100.0


class Clock:
    """All clocks of a test, the databases' too, which can be put forward."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def passes(self, seconds: float) -> None:
        self.ahead_s += seconds


class Stoppable(Seams):
    """A process that can be stopped: whoever waits or comes to an I/O goes no further until it goes on."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.store: Store | None = None
        self.going = threading.Event()
        self.going.set()
        self.failing = ""

    def stop(self) -> None:
        self.going.clear()

    def go_on(self) -> None:
        self.going.set()

    def monotonic(self) -> float:
        return time.monotonic() + self.clock.ahead_s

    def wait(self, event: threading.Event, timeout_s: float | None) -> bool:
        end = math.inf if timeout_s is None else self.monotonic() + timeout_s
        while not event.wait(0.02) and self.monotonic() < end:
            pass
        self.going.wait()
        return event.is_set()

    def point(self, name: str, *about: object) -> None:
        # Whoever has begun to write ends that first: SQLite lets nobody else write before, and no Convoy can take over.
        batch = self.store._database.in_batch() if self.store else None
        if name != "store.commit" and (batch is None or batch.connection is None):
            self.going.wait()
        if name == self.failing:
            raise OSError(5, "Input/output error")


@dataclass
class One:
    """One Convoy's part: its store, its leader, and whether it was told that another has taken over."""

    store: Store
    leader: Leader
    seams: Stoppable
    stopped: threading.Event = field(default_factory=threading.Event)
    lost: threading.Event = field(default_factory=threading.Event)

    def stands_by(self) -> threading.Thread:
        waiting = threading.Thread(target=self.leader.stand_by, args=(self.stopped,))
        waiting.start()
        return waiting

    def runs_out(self, waiting: threading.Thread) -> None:
        """This one is stopped, and `waiting` takes over."""
        end = time.monotonic() + 60
        while waiting.is_alive():
            # More than once where it was just about to renew its lease.
            assert time.monotonic() < end
            self.seams.clock.passes(LEASE_S)
            waiting.join(5)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock, now = Clock(), Database.now
    monkeypatch.setattr(Database, "now", lambda self, connection: now(self, connection) + clock.ahead_s)
    return clock


@pytest.fixture
def convoy(place: Place, tmp_path: Path, clock: Clock) -> Iterator[Callable[[str], One]]:
    """`convoy(name)`: one that works from the state directory of that name, all on one store."""
    every: list[One] = []

    def make(name: str) -> One:
        state = tmp_path / name
        state.mkdir(exist_ok=True)
        seams, lost = Stoppable(clock), threading.Event()
        store = seams.store = Store(place.url, seams)
        one = One(store, Leader(store, state, seams, Log(level="error"), lost.set, LEASE_S), seams, lost=lost)
        every.append(one)
        return one

    yield make
    for one in every:
        one.stopped.set()
        one.seams.failing = ""
        one.seams.go_on()
        one.leader.close()
        one.store.close()


def test_one_acts_and_the_other_says_which(convoy: Callable[[str], One], clock: Clock) -> None:
    """Two state directories on one store: the second is told who acts, and acts at once when the first has ended."""
    first, second = convoy("one"), convoy("two")
    assert not first.leader.may_act()
    first.leader.take()
    first.leader.take()
    assert (first.leader.may_act(), first.leader.epoch) == (True, 1)
    with pytest.raises(LeaderError, match=r"acts on this store, .*/one \("):
        second.leader.take()
    assert not second.leader.may_act()
    waiting = second.stands_by()
    lease = first.leader._lease
    assert lease is not None
    for _ in range(4):
        clock.passes(LEASE_S / 2)
        eventually(lambda: first.store.remaining(lease) > 0.6 * LEASE_S)
    assert (first.leader.may_act(), second.leader.epoch) == (True, 0)
    first.leader.close()
    waiting.join(60)
    assert (second.leader.may_act(), second.leader.epoch) == (True, 2)
    assert not first.leader.may_act()


def test_one_state_directory_is_one_convoys(convoy: Callable[[str], One]) -> None:
    """The lock of a state directory is told of before any lease; who waits for it gets it when the other has ended."""
    first, second = convoy("one"), convoy("one")
    first.leader.take()
    with pytest.raises(LeaderError, match="another Convoy is at work in"):
        second.leader.take()
    waiting = second.stands_by()
    first.leader.close()
    waiting.join(60)
    assert second.leader.may_act()


def test_a_restart_acts_at_once(convoy: Callable[[str], One], tmp_path: Path) -> None:
    """Whoever was killed leaves a lease behind: the same state directory takes it over without waiting for its end."""
    first = convoy("one")
    first.leader.take()
    lock = first.leader._lock
    assert lock is not None
    # Killed: nothing is released, and the lock goes with the process.
    first.leader._ended.set()
    first.leader._knock.set()
    first.leader._lock = None
    first.leader._closing.pop_all()
    os.close(lock)
    second = convoy("one")
    second.leader.take()
    assert (second.leader.may_act(), second.leader.epoch) == (True, 2)


@pytest.mark.parametrize("directory", ["one", "two"])
def test_who_was_stopped_finds_that_another_acts(convoy: Callable[[str], One], directory: str) -> None:
    """Another takes over within the lease's time, also from its directory; the first may neither act nor write, and is told."""
    first, second = convoy("one"), convoy(directory)
    first.leader.take()
    waiting = second.stands_by()
    time.sleep(0.2)
    first.seams.stop()
    first.runs_out(waiting)
    eventually(second.leader.may_act)
    assert not first.lost.is_set()
    first.seams.go_on()
    assert not first.leader.may_act()
    with pytest.raises(LeaseLost):
        first.store.event("kind", "Host/h", "late")
    assert first.lost.wait(60)
    assert first.leader.taken_by.startswith(second.leader.name)
    assert second.leader.may_act()


def test_a_store_that_is_away_stops_nobody_for_good(convoy: Callable[[str], One], clock: Clock) -> None:
    """Whoever cannot ask must not act; when the store is back and nobody else has come, he goes on under the same epoch."""
    one = convoy("one")
    one.leader.take()
    one.seams.failing = "store.read"
    assert not one.leader.may_act()
    one.seams.failing = "store.write"
    clock.passes(LEASE_S * 1.2)
    assert not one.leader.may_act()
    one.seams.failing = ""
    eventually(one.leader.may_act)
    assert one.leader.epoch == 1
    assert not one.lost.is_set()


def test_the_last_part_of_a_lease_is_not_used(convoy: Callable[[str], One], clock: Clock) -> None:
    """What is begun shall have ended, or nearly, before another may begin."""
    one = convoy("one")
    one.leader.take()
    one.seams.failing = "store.write"
    clock.passes(0.4 * LEASE_S)
    assert one.leader.may_act()
    clock.passes(0.4 * LEASE_S)
    assert not one.leader.may_act()
    lease = one.leader._lease
    assert lease is not None
    assert one.store.check(lease)


def test_an_answer_that_took_long_counts_as_old(
    convoy: Callable[[str], One], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever was stopped while he asked does not believe what he was told."""
    one = convoy("one")
    one.leader.take()
    remaining = one.store.remaining

    def slow(lease: object) -> float:
        left_s = remaining(lease)  # type: ignore[arg-type]
        clock.passes(LEASE_S)
        return left_s

    monkeypatch.setattr(one.store, "remaining", slow)
    assert not one.leader.may_act()


def test_waiting_ends_when_it_is_told_to(convoy: Callable[[str], One]) -> None:
    """`stopped` ends it without the lease; a store that is away while it waits does not."""
    first, second = convoy("one"), convoy("two")
    first.leader.take()
    looks: list[int] = []
    second.seams.failing = "store.read"
    waiting = threading.Thread(target=second.leader.stand_by, args=(second.stopped, lambda: looks.append(1)))
    waiting.start()
    eventually(lambda: len(looks) > 0)
    second.seams.failing = ""
    second.stopped.set()
    waiting.join(60)
    assert second.leader.epoch == 0


def test_every_state_directory_has_a_name(tmp_path: Path) -> None:
    """Made once and kept."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one, two = identity(tmp_path / "one"), identity(tmp_path / "two")
    assert one != two
    assert len(one) == 12
    assert identity(tmp_path / "one") == one
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["id"]


@contextmanager
def acting(world: World, one: One) -> Iterator[Loop]:
    """A loop of this Convoy's over the world's machines, in a thread of its own, until it has lost the lease."""
    with world.convoy(one.leader.may_act, one.store, one.seams) as (loop, _):
        stop = threading.Event()
        running = threading.Thread(target=loop.run, args=(lambda _: one.lost.is_set(), stop))

        def knock() -> None:
            while not stop.wait(0.02):
                loop._wake.set()

        knocking = threading.Thread(target=knock)
        running.start()
        knocking.start()
        try:
            yield loop
        finally:
            one.seams.go_on()
            stop.set()
            knocking.join()
            loop._wake.set()
            running.join()


def test_two_loops_over_the_same_hosts(convoy: Callable[[str], One], tmp_path: Path) -> None:
    """One is stopped, the other takes over and goes further; when the first goes on, it undoes nothing and changes nothing."""
    first, second = convoy("one"), convoy("two")
    old = World(tmp_path)
    new = World(tmp_path, old.machines)
    old.wish.accepted = Accepted(fleet("r1", {"a": "v1", "b": "v1"}))
    new.wish.accepted = Accepted(fleet("r2", {"a": "v2", "c": "v1"}))
    first.leader.take()
    with acting(old, first) as loop:
        eventually(lambda: loop.view.converged)
        assert old.running() == [("a", "v1"), ("b", "v1")]
        waiting = second.stands_by()
        first.seams.stop()
        first.runs_out(waiting)
        with acting(new, second) as taking:
            eventually(lambda: taking.view.converged)
            made = {key: thing.created for machine in old.machines.values() for key, thing in machine.things.items()}
            assert old.running() == [("a", "v2"), ("c", "v1")]
            first.seams.go_on()
            assert first.lost.wait(60)
            time.sleep(0.5)
            assert made == {key: thing.created for machine in old.machines.values() for key, thing in machine.things.items()}
            assert (second.leader.may_act(), taking.view.converged) == (True, True)


def test_late_actions_are_refused_at_their_start(convoy: Callable[[str], One], tmp_path: Path) -> None:
    """Handed out while it acted, begun when it did not any more: skipped, and nothing is made."""
    first, second = convoy("one"), convoy("two")
    world = World(tmp_path)
    world.wish.accepted = Accepted(fleet("r1", {f"c{n}": "v1" for n in range(20)}))
    first.leader.take()
    with acting(world, first) as loop:
        # Stopped as it is about to do the first of them: the others wait for their turn.
        eventually(lambda: bool(loop.hosts.observed()[1]) or loop.view.converged)
        first.seams.stop()
        first.runs_out(second.stands_by())
        begun = world.running()
        first.seams.go_on()
        assert first.lost.wait(60)
        eventually(lambda: not loop.hosts.observed()[1])
        assert len(world.running()) <= len(begun) + 2 * AT_ONCE


def eventually(so: Callable[[], bool], within_s: float = 60.0) -> None:
    end = time.monotonic() + within_s
    while not so():
        assert time.monotonic() < end
        time.sleep(0.02)
