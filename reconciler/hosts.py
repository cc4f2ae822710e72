"""A worker per host: it looks on its own clock, runs that host's actions, and never makes another host wait."""

import threading
from collections.abc import Callable, Iterable, Mapping

from reconciler.core.facts import NOT_YET, Failure
from reconciler.core.model import Action, Key, Observed, ObservedState, Outcome, Plan
from reconciler.core.running import Usage
from reconciler.drivers import Driver, DriverError
from reconciler.seams import Seams

# Starting a process takes about as long as the machine needs to load it: more at once only makes each of them slower.
AT_ONCE = 4
# How often a host is looked at when nothing says that it changed.
LOOK_S = 5.0
# A host that cannot be seen is tried again this often at first, and half as often after each failure, up to the longest.
BLIND_S, LONGEST_BLIND_S = 0.5, 30.0


def broken(error: Exception) -> str:
    """What to say of a driver that lets out anything but a DriverError."""
    return f"its driver has failed in a way that it must not, please report it: {type(error).__name__}: {error}"


class Host:
    """One host's worker. Its threads start with `start` and end with `close`; what runs on the host is left alone."""

    def __init__(self, name: str, driver: Driver, seams: Seams, wake: Callable[[], None], may_act: Callable[[], bool]) -> None:
        self.name = name
        self._driver, self._seams, self._wake, self._may_act = driver, seams, wake, may_act
        self._lock = threading.Lock()
        self._looking = seams.lock()
        self._closed = threading.Event()
        self._seen: Mapping[Key, Observed] = {}
        self._foreign: Mapping[Key, str] = {}
        self._blind = NOT_YET
        self._running: set[Key] = set()
        # Of those, what will be gone.
        self._ending: set[Key] = set()
        self._ended: set[Key] = set()
        self._outcomes: list[Outcome] = []
        self._proving = False
        self._pool = seams.pool(AT_ONCE, f"act-{name}")
        self._thread = seams.thread(self._watch, f"look-{name}")

    def recall(self, seen: Iterable[Observed], running: Iterable[Key]) -> None:
        """Before the start: what an earlier Convoy saw here and was doing. The first look that succeeds corrects it."""
        self._seen = {one.key: one for one in seen if one.host == self.name}
        self._running = {key for key in running if key[0] == self.name}
        self._ended = set(self._running)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Finish what is under way and stop looking."""
        self._closed.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._driver.close()
        if self._thread.ident is not None:
            self._thread.join()

    def look(self) -> bool:
        """Observe once; True when anything is not as it was at the last look."""
        # One look at a time: a slower look that began earlier must not overwrite what a later one saw.
        with self._looking:
            return self._look()

    def _look(self) -> bool:
        with self._lock:
            ended = set(self._ended)
        try:
            self._seams.point("driver.observe", self.name)
            found = {one.key: one for one in self._driver.observe() if self._mine(one)}
            foreign: Mapping[Key, str] = {(self.name, *what): whose for what, whose in self._driver.foreign().items()}
            blind = ""
        except DriverError as error:
            found, foreign, blind = dict(self._seen), self._foreign, str(error)
        except Exception as error:  # noqa: BLE001 - a driver that breaks its promise blinds its host; this thread goes on
            found, foreign, blind = dict(self._seen), self._foreign, broken(error)
        with self._lock:
            changed = found != self._seen or foreign != self._foreign or blind != self._blind or bool(ended)
            self._seen, self._foreign, self._blind = found, foreign, blind
            if not blind:
                # What was done counts as under way until a look that began after it: only that look proves anything.
                self._ended -= ended
                self._running -= ended
                self._ending -= ended
        return changed

    def _mine(self, one: Observed) -> bool:
        if not isinstance(one, Observed) or one.host != self.name:
            raise DriverError(f"its driver has answered with what is nothing on this host: {one!r:.200}")
        return True

    def usage(self) -> list[Usage]:
        """What runs there uses, and what Envoys have counted; raises DriverError. In the caller's thread."""
        self._seams.point("driver.usage", self.name)
        return [*self._driver.usage(counting=True)]

    def hand(self, actions: Iterable[Action]) -> None:
        """Carry out these actions, several at once; what is already under way is not begun again."""
        for action in actions:
            with self._lock:
                if action.key in self._running or self._closed.is_set():
                    continue
                self._running.add(action.key)
                if action.verb == "delete":
                    self._ending.add(action.key)
            self._pool.submit(self._act, action)

    def state(self) -> tuple[ObservedState, frozenset[Key]]:
        """The last look, why the host is blind where it is, and what is under way."""
        with self._lock:
            blind = {self.name: self._blind} if self._blind else {}
            return ObservedState(self._seen, blind, self._foreign), frozenset(self._running)

    def ending(self) -> frozenset[Key]:
        """What is being deleted."""
        with self._lock:
            return frozenset(self._ending)

    def outcomes(self) -> list[Outcome]:
        """What became of actions since the last call."""
        with self._lock:
            taken, self._outcomes = self._outcomes, []
        return taken

    def _act(self, action: Action) -> None:
        begun = self._seams.monotonic()
        try:
            if not self._may_act():
                outcome = Outcome(action, "skipped", "another Convoy holds the lease", self._seams.now())
            else:
                self._seams.point("driver.apply", action)
                self._driver.apply(action)
                outcome = Outcome(action, "done", "", self._seams.now(), self._seams.monotonic() - begun)
        except DriverError as error:
            outcome = Outcome(action, "failed", str(error), self._seams.now(), self._seams.monotonic() - begun)
        except Exception as error:  # noqa: BLE001 - or it would count as under way for ever
            outcome = Outcome(action, "failed", broken(error), self._seams.now(), self._seams.monotonic() - begun)
        with self._lock:
            self._outcomes.append(outcome)
            self._ended.add(action.key)
        self._prove()

    def _prove(self) -> None:
        """Look for what has ended. Whatever ends during a look shares the next one: a look costs what the host bears, and one
        for each action would make a thousand actions cost a thousand times that."""
        with self._lock:
            if self._proving:
                return
            self._proving = True
        unproved = True
        while unproved:
            if self.look():
                self._wake()
            with self._lock:
                # A host that cannot be seen is looked at again by its own clock.
                self._proving = unproved = bool(self._ended) and not self._blind

    def _watch(self) -> None:
        blind_s = BLIND_S
        while not self._closed.is_set():
            if self.look():
                self._wake()
            if self._blind:
                self._seams.wait(self._closed, blind_s)
                blind_s = min(blind_s * 2, LONGEST_BLIND_S)
            else:
                blind_s = BLIND_S
                self._driver.changed(LOOK_S)


class Hosts:
    """All hosts together."""

    def __init__(self) -> None:
        self.workers: dict[str, Host] = {}
        self.failures: dict[Key, Failure] = {}

    def add(self, worker: Host) -> None:
        self.workers[worker.name] = worker
        worker.start()

    def remove(self, name: str) -> None:
        self.workers.pop(name).close()

    def observed(self) -> tuple[ObservedState, frozenset[Key]]:
        """What every host showed last, which of them are blind, and what is under way."""
        resources: dict[Key, Observed] = {}
        blind: dict[str, str] = {}
        foreign: dict[Key, str] = {}
        running: set[Key] = set()
        for worker in self.workers.values():
            seen, busy = worker.state()
            resources.update(seen.resources)
            blind.update(seen.blind)
            foreign.update(seen.foreign)
            running |= busy
        return ObservedState(resources, blind, foreign), frozenset(running)

    def ending(self) -> frozenset[Key]:
        """What is being deleted."""
        return frozenset().union(*(worker.ending() for worker in self.workers.values()))

    def hand(self, actions: Iterable[Action]) -> None:
        by_host: dict[str, list[Action]] = {}
        for action in actions:
            by_host.setdefault(action.host, []).append(action)
        for name, mine in by_host.items():
            if name in self.workers:
                self.workers[name].hand(mine)

    def outcomes(self) -> list[Outcome]:
        """What became of actions since the last call; failures are remembered so that tries grow rarer."""
        taken = [outcome for worker in self.workers.values() for outcome in worker.outcomes()]
        for outcome in taken:
            key = outcome.action.key
            if outcome.status == "failed":
                before = self.failures.get(key)
                self.failures[key] = Failure((before.count if before else 0) + 1, outcome.at, outcome.error)
            else:
                self.failures.pop(key, None)
        return taken

    def still_failing(self, planned: Plan) -> dict[Key, Failure]:
        """Forget the failures of what the plan asks for no more: what failed half way may have been done all the same."""
        asked = {(action.ref, action.instance) for action in planned.actions}
        asked |= {(held.ref, held.instance) for held in planned.held}
        self.failures = {key: failure for key, failure in self.failures.items() if key[1:] in asked}
        return dict(self.failures)

    def close(self) -> None:
        for name in [*self.workers]:
            self.remove(name)
