"""What happens, as a surface tells it to all who listen: one reader for all of them, and nothing is kept for anybody.

Whoever listens has a place, the number of the last event that he has taken, and takes what came after it at his own pace: from
memory, or from the store where he is far behind. So one who is slow costs himself time, and nobody else anything.
"""

import contextlib
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from reconciler.log import Log
from reconciler.store import Event, Store, StoreError

# Each holds a thread of the web process; and so many of them are one account's at most.
STREAMS_AT_ONCE, STREAMS_OF_ONE = 32, 8
# How often the store is asked what is new, while anybody listens; and how long it is left alone after it has failed.
LOOK_S, AGAIN_S = 0.2, 1.0
# Read at once; and kept in memory, for those who are not far behind.
PIECE, MOST_KEPT, MOST_MESSAGES = 200, 2_000, 20_000


@dataclass(frozen=True, slots=True)
class Message:
    """One thing that a surface tells: by which name, to whose tenant, about which proxies (ids), and its data."""

    name: str
    tenant: str
    about: frozenset[str]
    data: Mapping[str, object]


# What a surface makes of one event.
Translate = Callable[[Event], Iterable[Message]]
# An event's number, and what is told of it.
Told = tuple[int, tuple[Message, ...]]


@dataclass(frozen=True, slots=True)
class Taken:
    """`lost` are the numbers, first and last, of what is not kept any more. `place` is where to go on."""

    told: tuple[Told, ...]
    place: int
    lost: tuple[int, int] | None = None


class Full(Exception):
    """Nobody else can listen now; `own` where it is this account that has enough."""

    def __init__(self, what: str, *, own: bool) -> None:
        super().__init__(what)
        self.own = own


class Events:
    """Of one surface. Thread-safe; the reader is a thread that lives while anybody listens."""

    def __init__(
        self, store: Store, translate: Translate, log: Log, at_once: int = STREAMS_AT_ONCE, of_one: int = STREAMS_OF_ONE
    ) -> None:
        """At most `at_once` listen, of them `of_one` of each account."""
        self._happened, self._translate, self._log = store.happened(), translate, log
        self._at_once, self._of_one = at_once, of_one
        self._lock, self._beginning = threading.Lock(), threading.Lock()
        self._wakes: dict[object, tuple[str, Callable[[], None]]] = {}
        self._reading = False
        # What came after the event `_from`, in order; up to `_place` everything was read.
        self._numbers: list[int] = []
        self._told: list[Told] = []
        self._from = self._place = self._held = 0

    @contextlib.contextmanager
    def listening(self, account: str, wake: Callable[[], None]) -> Iterator[None]:
        """`wake` is called, in another thread, when there is something new. Raises Full and StoreError."""
        key = object()
        with self._lock:
            if sum(owner == account for owner, _ in self._wakes.values()) >= self._of_one:
                raise Full(f"this account has {self._of_one} streams open already", own=True)
            if len(self._wakes) >= self._at_once:
                raise Full("as many streams are open as can be at once", own=False)
            self._wakes[key] = account, wake
        try:
            self._begin()
            yield
        finally:
            with self._lock:
                del self._wakes[key]

    def newest(self) -> int:
        """The number of the newest event that there is, read here or not yet; raises StoreError."""
        return self._happened.last_numbers()[0]

    def _begin(self) -> None:
        with self._beginning:
            with self._lock:
                if self._reading:
                    return
            newest, _ = self._happened.last_numbers()
            with self._lock:
                self._restart(newest)
                self._reading = True
            threading.Thread(target=self._read, name="events", daemon=True).start()

    def _restart(self, place: int) -> None:
        self._numbers, self._told = [], []
        self._from = self._place = place
        self._held = 0

    def take(self, place: int, most: int = PIECE) -> Taken:
        """What came after this place, as far as it was read; raises StoreError."""
        with self._lock:
            newest = self._place
            if self._from <= place <= newest:
                start = bisect_right(self._numbers, place)
                told = tuple(self._told[start : start + most])
                return Taken(told, told[-1][0] if start + most < len(self._told) else newest)
        if place > newest:
            newest = self.newest()
            # Not read yet; or the store was restored, or never had so many.
            return Taken((), place) if place <= newest else Taken((), newest, (newest + 1, place))
        found = self._happened.events_after(place, most)
        if not found:
            return Taken((), newest)
        lost = (place + 1, found[0].number - 1) if found[0].number > place + 1 else None
        return Taken(tuple((one.number, self._made(one)) for one in found), found[-1].number, lost)

    def _made(self, event: Event) -> tuple[Message, ...]:
        try:
            return tuple(self._translate(event))
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - what somebody has spoiled must not end the telling of everything else
            self._log.error("events.broken", number=event.number, error=f"{type(error).__name__}: {error}")
            return ()

    def _forget(self) -> None:
        """What is more than is kept."""
        over = len(self._told) - MOST_KEPT if len(self._told) > MOST_KEPT * 11 // 10 else 0
        held = self._held - sum(len(messages) for _, messages in self._told[:over])
        while held > MOST_MESSAGES and over < len(self._told):
            held -= len(self._told[over][1])
            over += 1
        if over:
            self._from, self._held = self._numbers[over - 1], held
            del self._numbers[:over], self._told[:over]

    def _read(self) -> None:
        wait_s = 0.0
        while True:
            time.sleep(wait_s)
            with self._lock:
                if not self._wakes:
                    self._reading = False
                    return
                place = self._place
            try:
                wait_s = 0.0 if self._look(place) else LOOK_S
            except StoreError as error:
                self._log.warning("events.waits", error=str(error))
                wait_s = AGAIN_S

    def _look(self, place: int) -> bool:
        """Whether there is more than was read at once."""
        events, newest = self._happened.events_after(place, PIECE), place
        if not events:
            newest, _ = self._happened.last_numbers()
            if newest >= place:
                return False
        told = [(one.number, self._made(one)) for one in events]
        with self._lock:
            if not events:
                # It counts anew: somebody has restored a backup.
                self._restart(newest)
            else:
                self._numbers += [number for number, _ in told]
                self._told += told
                self._place = told[-1][0]
                self._held += sum(len(messages) for _, messages in told)
                self._forget()
            wakes = [wake for _, wake in self._wakes.values()]
        if not events or any(messages for _, messages in told):
            for wake in wakes:
                wake()
        return len(events) == PIECE
