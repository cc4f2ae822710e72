"""What happens is told to all who listen, in order and once, whatever their pace; and nothing is kept for anybody."""

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from io import StringIO
from pathlib import Path

import pytest

from api import events as feeding
from api.events import Events, Full, Message, Taken
from reconciler.log import Log
from reconciler.seams import Seams
from reconciler.store import Event, Store
from reconciler.store.logs import KEPT
from reconciler.store.tables import EVENTS
from tests.drivers.world import soon


def translate(event: Event) -> Iterable[Message]:
    """Of what is called so nothing is told; `broken` is what cannot be understood."""
    if event.kind == "broken":
        raise ValueError("nonsense")
    return [Message(event.kind, "default", frozenset(), {"ref": event.ref})] if event.kind != "quiet" else []


class Feeding:
    def __init__(self, directory: Path) -> None:
        self.store = Store(f"sqlite:///{directory / 'convoy.db'}", Seams())
        self.said = StringIO()
        self.events = Events(self.store, translate, Log(self.said), at_once=3, of_one=2)
        self.rung = threading.Semaphore(0)
        self._stack = ExitStack()

    def listen(self, account: str = "ada") -> None:
        self._stack.enter_context(self.events.listening(account, self.rung.release))

    def add(self, *names: str, kind: str = "a") -> None:
        self.store.add_events([(kind, name, "") for name in names])

    def read(self) -> None:
        newest = self.store.happened().last_numbers()[0]
        soon(lambda: self.events._place == newest)

    def close(self) -> None:
        self._stack.close()
        soon(lambda: not self.events._reading)
        self.store.close()


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[Feeding]:
    with closing(Feeding(tmp_path)) as opened:
        yield opened


def names(taken: Taken) -> list[object]:
    return [message.data["ref"] for _, messages in taken.told for message in messages]


def test_what_is_new_is_told_in_order(feed: Feeding) -> None:
    """From where somebody begins to listen, or after a number that he names; a place is a number, of an event or of none."""
    feed.add("before-1", "before-2")
    feed.listen()
    place = feed.events.newest()
    assert place == 2
    feed.add("c", "d")
    assert feed.rung.acquire(timeout=60)
    feed.read()
    taken = feed.events.take(place)
    assert (names(taken), taken.place, taken.lost) == (["c", "d"], 4, None)
    assert feed.events.take(4) == Taken((), 4)
    assert names(feed.events.take(0)) == ["before-1", "before-2", "c", "d"]
    assert names(feed.events.take(1, most=2)) == ["before-2", "c"]
    assert feed.events.take(2, most=1).place == 3


def test_a_place_that_was_not_read_yet(feed: Feeding, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is the newest, and nothing is lost by it: what happened before somebody asked for it is not told afterwards."""
    monkeypatch.setattr(feeding, "LOOK_S", 0.5)
    feed.add("before")
    feed.listen()
    soon(lambda: feed.events._reading)
    feed.add("unread")
    place = feed.events.newest()
    assert feed.events.take(place) == Taken((), 2)
    assert feed.events.take(place + 1) == Taken((), 2, (3, 3))
    feed.add("after")
    feed.read()
    assert names(feed.events.take(place)) == ["after"]


def test_what_cannot_be_understood_ends_nothing(feed: Feeding) -> None:
    """It is in the log, and passed over, as what nobody is told of is."""
    feed.listen()
    feed.add("x", kind="broken")
    feed.add("y", kind="quiet")
    feed.add("z")
    feed.read()
    taken = feed.events.take(0)
    assert (names(taken), taken.place) == (["z"], 3)
    assert "events.broken" in feed.said.getvalue()


def test_whoever_is_slow_loses_nothing_that_is_kept(feed: Feeding, monkeypatch: pytest.MonkeyPatch) -> None:
    """Far behind, it is read from the store again, piece by piece; what that has dropped is told by its numbers."""
    monkeypatch.setattr(feeding, "MOST_KEPT", 50)
    monkeypatch.setitem(KEPT, EVENTS, 400)
    feed.listen()
    for start in range(0, 600, 100):
        feed.add(*(f"e-{n}" for n in range(start + 1, start + 101)))
        feed.read()
    first = feed.events.take(0, most=100)
    assert first.lost is not None
    assert first.lost[0] == 1
    begin = first.lost[1] + 1
    assert 1 < begin <= 201
    got, place = names(first), first.place
    while place < 600:
        taken = feed.events.take(place, most=100)
        assert taken.lost is None
        got += names(taken)
        place = taken.place
    assert got == [f"e-{n}" for n in range(begin, 601)]


def test_a_store_that_counts_anew(feed: Feeding, tmp_path: Path) -> None:
    """Where a backup was restored, whoever had more is told that it is not there, and hears what happens from then on."""
    feed.listen()
    feed.add(*(f"e-{n}" for n in range(10)))
    feed.read()
    with feed.store._database.writing("events") as connection:
        connection.execute(EVENTS.delete().where(EVENTS.c.number > 3))
    soon(lambda: feed.events._place == 3)
    taken = feed.events.take(10)
    assert (taken.told, taken.place, taken.lost) == ((), 3, (4, 10))
    feed.add("new")
    feed.read()
    assert names(feed.events.take(3)) == ["new"]


def test_so_many_may_listen(feed: Feeding) -> None:
    """Of one account, and of all; whoever leaves makes room."""
    with ExitStack() as leaving:
        leaving.enter_context(feed.events.listening("ada", lambda: None))
        feed.listen("ada")
        with pytest.raises(Full, match="2 streams") as own:
            feed.listen("ada")
        assert own.value.own
        feed.listen("bob")
        with pytest.raises(Full, match="at once") as all:
            feed.listen("eve")
        assert not all.value.own
    feed.listen("eve")


def test_nobody_reads_for_nobody(feed: Feeding) -> None:
    """The reader ends with the last who listens, and begins again with the next, from there."""

    # Of a test before this one a reader may be about to end.
    others = set(threading.enumerate())

    def reading() -> int:
        return sum(thread.name == "events" for thread in threading.enumerate() if thread not in others)

    with feed.events.listening("ada", lambda: None), feed.events.listening("bob", lambda: None):
        assert reading() == 1
    soon(lambda: reading() == 0)
    feed.add("unheard")
    feed.listen()
    assert (feed.events._place, reading()) == (1, 1)


def test_a_store_that_is_away_for_a_while(feed: Feeding, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost by it; it is said once for each time that it was asked."""
    from reconciler.store import StoreError

    feed.listen()
    real, away = feed.events._happened.events_after, threading.Event()
    away.set()

    def broken(number: int, limit: int) -> list[Event]:
        if away.is_set():
            raise StoreError("away")
        return real(number, limit)

    monkeypatch.setattr(feeding, "AGAIN_S", 0.05)
    monkeypatch.setattr(feed.events._happened, "events_after", broken)
    feed.add("a")
    soon(lambda: "events.waits" in feed.said.getvalue())
    time.sleep(0.1)
    away.clear()
    feed.read()
    assert names(feed.events.take(0)) == ["a"]
