"""Virtual time, and one thing at a time: what would be threads take turns at each wait and each point, as a seed decides."""

import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from random import Random
from typing import Any

from greenlet import GreenletExit, getcurrent, greenlet

from reconciler.seams import Pool, Seams, Thread

# Virtual time begins here, and every turn takes a few milliseconds of it, so that what is always busy does not stop it.
EPOCH = 1_700_000_000.0
TURN_S = 0.004
# Turns that one wait of the world may take: a thousand times more than any has needed. More is a loop that never waits.
MOST_TURNS = 200_000


class Killed(BaseException):
    """This life of Convoy is over, here and now."""


@dataclass(eq=False)
class Life:
    """One process of Convoy, from its start to its end."""

    number: int
    dead: bool = False
    # Why it ended by itself; empty as long as it lives, and when it was killed.
    ended: str = ""
    # It is stopped, or hangs, and gets no turn before (virtual seconds).
    asleep_until: float = 0.0
    tasks: "list[Task]" = field(default_factory=list)


def _always() -> bool:
    return True


@dataclass(eq=False)
class Task:
    """What would be a thread."""

    name: str
    life: Life | None
    run: Callable[[], None]
    turns: "Turns"
    # When it may go on, at the latest; None for as long as it takes.
    until: float | None = None
    ready: Callable[[], bool] = _always
    over: bool = False
    inner: greenlet | None = None

    @property
    def ident(self) -> int | None:
        return None if self.inner is None else id(self.inner)

    def start(self) -> None:
        self.inner = greenlet(self._body, self.turns.hub)
        self.turns.tasks.append(self)
        if self.life is not None:
            self.life.tasks.append(self)

    def join(self) -> None:
        self.turns.block(lambda: self.over, None)

    def _body(self) -> None:
        try:
            self.run()
        except (Killed, GreenletExit):
            if self.life is not None:
                self.life.dead = True
        except Exception:  # noqa: BLE001 - a thread that dies of it is what is looked for
            self.turns.died.append(f"{self.name} ended in an exception nobody sees: {traceback.format_exc(limit=-4)}")
        finally:
            self.over = True


class Turns:
    """Everything that runs in one world. Only the hub, which is whoever plays the world, lets tasks run."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.t, self.epoch = 0.0, EPOCH
        self.hub = getcurrent()
        self.tasks: list[Task] = []
        self.died: list[str] = []
        self.current: Task | None = None
        self.taken = 0

    def task(self, run: Callable[[], None], name: str, life: Life | None) -> Task:
        return Task(name, life, run, self)

    def life(self) -> Life | None:
        """Whose turn it is."""
        return self.current.life if self.current is not None else None

    def block(self, ready: Callable[[], bool], timeout_s: float | None) -> bool:
        """Let others run until this is so, or the time is over; whether it is so."""
        me = self.current
        assert me is not None, "only a task can wait"
        me.ready, me.until = ready, None if timeout_s is None else self.t + max(0.0, timeout_s)
        self.hub.switch()
        return ready()

    def rest(self) -> None:
        """Somebody else may be next."""
        if self.current is not None:
            self.block(_always, 0.0)

    def turn(self, not_after: float) -> bool:
        """Let one task go on; False when nothing is to do before this time."""
        awake = [one for one in self.tasks if one.life is None or one.life.asleep_until <= self.t]
        able = [one for one in awake if one.ready() or (one.until is not None and one.until <= self.t)]
        if not able:
            times = [one.until for one in awake if one.until is not None]
            times += [one.life.asleep_until for one in self.tasks if one.life is not None and one.life.asleep_until > self.t]
            self.idle(min([*times, not_after]))
            return self.t < not_after
        self.go(able[0] if len(able) == 1 else self.rng.choice(able))
        return True

    def go(self, task: Task, thrown: type[BaseException] | None = None) -> None:
        assert task.inner is not None
        self.taken += 1
        self.spend(self.rng.random() * TURN_S)
        self.current = task
        try:
            task.inner.throw(thrown) if thrown is not None else task.inner.switch()
        finally:
            self.current = None
        if task.over:
            self.tasks.remove(task)

    def spend(self, seconds: float) -> None:
        """Something takes so long, and nobody else has a turn meanwhile."""
        self.t += seconds

    def idle(self, until: float) -> None:
        """Nobody has anything to do before."""
        self.t = max(self.t, until)

    def play(self, until: Callable[[], bool], limit_s: float) -> bool:
        """Let tasks run until this holds, or so much virtual time is over; whether it holds."""
        over, begun = self.t + limit_s, self.taken
        while self.t < over:
            if until():
                return True
            self.turn(over)
            assert self.taken - begun < MOST_TURNS, "something runs without ever waiting"
        return until()

    def bury(self, life: Life) -> None:
        """A killed process: none of its threads does anything more."""
        life.dead = True
        for task in [*life.tasks]:
            if not task.over and not task.inner:
                # It never had a turn.
                task.over = True
                self.tasks.remove(task)
            # What unwinds may want to clean up; every I/O it tries ends in another Killed.
            for _ in range(20):
                if task.over:
                    break
                self.go(task, Killed)
            assert task.over, f"{task.name} goes on after its process was killed"
        life.tasks.clear()


class RealTurns(Turns):
    """Turns in real time, for what runs outside this process: one thing at a time still, as a seed decides."""

    def __init__(self, rng: Random) -> None:
        super().__init__(rng)
        self.epoch, self._begun = time.time(), time.monotonic()

    def spend(self, seconds: float) -> None:
        self.t = time.monotonic() - self._begun

    def idle(self, until: float) -> None:
        time.sleep(0.005)
        self.spend(0.0)


class Lock:
    """A lock that its waiters wait for in turns."""

    def __init__(self, turns: Turns) -> None:
        self._turns, self._held = turns, False

    def __enter__(self) -> bool:
        while self._held:
            self._turns.block(lambda: not self._held, None)
        self._held = True
        return True

    def __exit__(self, *error: object) -> None:
        self._held = False


class Workers:
    """A pool of so many at once."""

    def __init__(self, turns: Turns, life: Life, at_once: int, name: str) -> None:
        self._turns, self._life, self._at_once, self._name = turns, life, at_once, name
        self._waiting: deque[Callable[[], None]] = deque()
        self._busy = 0

    def submit(self, run: Callable[..., None], /, *arguments: Any) -> object:
        self._waiting.append(lambda: run(*arguments))
        if self._busy < self._at_once:
            self._busy += 1
            self._turns.task(self._work, f"{self._name}-{self._busy}", self._life).start()
        return None

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        if cancel_futures:
            self._waiting.clear()
        if wait:
            self._turns.block(lambda: self._busy == 0, None)

    def _work(self) -> None:
        try:
            while self._waiting:
                self._waiting.popleft()()
        finally:
            self._busy -= 1


class TurnSeams(Seams):
    """The seams of one life. `at` is called at each point: it may raise what is to happen there."""

    def __init__(self, turns: Turns, life: Life, at: Callable[[str, tuple[object, ...]], None]) -> None:
        self.turns, self.life, self._at = turns, life, at

    def now(self) -> float:
        return self.turns.epoch + self.turns.t

    def monotonic(self) -> float:
        return self.turns.t

    def wait(self, event: threading.Event, timeout_s: float | None) -> bool:
        self._alive()
        result = self.turns.block(event.is_set, timeout_s)
        self._alive()
        return result

    def sleep(self, seconds: float) -> None:
        self._alive()
        self.turns.block(lambda: False, seconds)
        self._alive()

    def thread(self, run: Callable[[], None], name: str) -> Thread:
        return self.turns.task(run, name, self.life)

    def pool(self, at_once: int, name: str) -> Pool:
        return Workers(self.turns, self.life, at_once, name)

    def lock(self) -> AbstractContextManager[object]:
        return Lock(self.turns)

    def point(self, name: str, *about: object) -> None:
        self._alive()
        self._at(name, about)
        self._alive()

    def _alive(self) -> None:
        if self.life.dead:
            raise Killed
