"""A host that exists in memory alone, with the vices of real ones; for tests and rehearsals, with time from its Seams."""

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from reconciler.core.model import Action, Health, Observed, Ref, Verb, Want
from reconciler.core.running import Counts, LogAsk, LogLine, Usage
from reconciler.drivers import DriverError, NoInstance
from reconciler.seams import Seams


@dataclass
class Vices:
    """What this host does wrong just now; a test changes it at will. As made, it does everything right, and slowly enough."""

    # Neither looked at nor worked on.
    outage: bool = False
    # Action ⇒ why it is refused, "" when it is not.
    refuse: Callable[[Action], str] = lambda _: ""
    # These verbs take effect, and then say that they failed.
    half_done: frozenset[Verb] = frozenset()
    # How long every step and every look takes.
    slow_s: float = 0.0
    # What is new is healthy after so many looks and so many seconds.
    healthy_after_looks: int = 1
    healthy_after_s: float = 0.0
    # What is never restarted ends by itself, when others would be healthy, with this status.
    ends_with: int = 0
    # A look shows the host as it was so many looks ago.
    stale_looks: int = 0
    # Fields nobody declared, as every real host has them.
    extra_fields: dict[str, Any] = field(default_factory=lambda: {"node": "memory", "labels": {"managed-by": "nobody"}})


@dataclass
class Thing:
    """One instance on the machine. `installation` is its mark."""

    installation: str
    want: Want
    ports: dict[str, int | str]
    created: float
    live: str
    # What is in force of the fields that change in place; a test that changes one plays somebody who meddles.
    fields: dict[str, str] = field(default_factory=dict)
    looks: int = 0
    restarts: int = 0
    # What a test says of its health; None: by the rules of the Vices.
    health: Health | None = None
    state: str = "running"
    exit: int | None = None
    healthy_since: float | None = None
    # What it has printed; run by run, the newest last. As made: what its command says to `echo`.
    printed: list[list[LogLine]] = field(default_factory=lambda: [[]])


class Machine:
    """What outlives the driver: the things themselves. Several drivers, of several installations, may share one."""

    def __init__(self, address: str = "127.0.0.1", first_port: int = 20000) -> None:
        self.address = address
        self.things: dict[tuple[Ref, str], Thing] = {}
        self.lock = threading.RLock()
        # What Envoys have counted, by instance; of the others nobody answers.
        self.counts: dict[str, Counts] = {}
        # Set when something changes: one for each driver that listens.
        self.bells: list[threading.Event] = []
        self._next_port = first_port

    def ports(self, want: Want) -> dict[str, int | str]:
        """Fresh numbers, never used before, as they are chosen by a host that has plenty."""
        chosen: dict[str, int | str] = {}
        for port in want.run.ports:
            if port.protocol == "unix":
                chosen[port.name] = f"/memory/{want.ref.name}-{want.instance}-{port.name}.sock"
            elif port.port is not None:
                chosen[port.name] = port.port
            else:
                chosen[port.name] = self._next_port
                self._next_port += 1
        return chosen

    def ring(self) -> None:
        with self.lock:
            for bell in self.bells:
                bell.set()


class Memory:
    """One installation's view of a Machine."""

    def __init__(self, host: str, machine: Machine, installation: str, seams: Seams, vices: Vices | None = None) -> None:
        self._host, self._machine, self._installation, self._seams = host, machine, installation, seams
        self.vices = vices or Vices()
        self._past: list[tuple[Observed, ...]] = []
        self._bell = threading.Event()
        self._closed = False
        with machine.lock:
            machine.bells.append(self._bell)

    def observe(self) -> Iterable[Observed]:
        """Raises DriverError."""
        self._pay("memory.observe", f"look at host {self._host}")
        with self._machine.lock:
            now = self._seams.now()
            ours = [thing for thing in self._machine.things.values() if thing.installation == self._installation]
            seen = tuple(self._show(thing, now) for thing in ours)
            self._past.append(seen)
            del self._past[: -1 - self.vices.stale_looks]
            return self._past[0]

    def foreign(self) -> Mapping[tuple[Ref, str], str]:
        with self._machine.lock:
            others = (thing for thing in self._machine.things.values() if thing.installation != self._installation)
            return {(thing.want.ref, thing.want.instance): thing.installation for thing in others}

    def apply(self, action: Action) -> None:
        """Raises DriverError."""
        what = f"{action.verb} {action.ref} on host {self._host}"
        self._pay("memory.apply", what, action)
        reason = self.vices.refuse(action)
        if reason:
            raise DriverError(f"cannot {what}: {reason}")
        with self._machine.lock:
            self._act(action, what)
            self._machine.ring()
        # Here a kill leaves the step done and nobody told.
        self._point("memory.applied", what, action)
        if action.verb in self.vices.half_done:
            raise DriverError(f"cannot {what}: the connection was lost before the answer came")

    def changed(self, timeout_s: float) -> bool:
        rung = self._seams.wait(self._bell, timeout_s)
        self._bell.clear()
        if self._closed:
            self._bell.set()
        return rung and not self._closed

    def logs(self, ref: Ref, instance: str, ask: LogAsk) -> Iterator[LogLine | None]:
        """Raises DriverError."""
        what = f"read the output of {ref} on host {self._host}"
        self._pay("memory.logs", what)
        thing = self._machine.things.get((ref, instance))
        if thing is None or thing.installation != self._installation:
            raise NoInstance(f"there is no instance {instance} of {ref} on host {self._host}")
        if ask.previous:
            yield from _last(thing.printed[-2] if len(thing.printed) > 1 else [], ask)
            return
        lines = [line for run in thing.printed for line in run]
        yield from _last(lines, ask)
        shown = len(lines)
        while ask.follow and not self._closed:
            lines = [line for run in thing.printed for line in run]
            yield from lines[shown:]
            shown = len(lines)
            if self._machine.things.get((ref, instance)) is not thing:
                return
            yield None

    def usage(self, *, counting: bool = False) -> Iterable[Usage]:
        """As if each used a hundredth of a processor and a megabyte; raises DriverError."""
        self._pay("memory.usage", f"look at host {self._host}")
        with self._machine.lock:
            now, counts = self._seams.now(), self._machine.counts if counting else {}
            return [
                Usage(
                    thing.want.ref,
                    thing.want.instance,
                    self._host,
                    (now - thing.created) / 100,
                    1 << 20,
                    1,
                    now,
                    counts=counts.get(thing.want.instance),
                    pid=1,
                    age_s=now - thing.created,
                )
                for thing in self._machine.things.values()
                if thing.installation == self._installation and thing.state == "running"
            ]

    def close(self) -> None:
        self._closed = True
        with self._machine.lock:
            if self._bell in self._machine.bells:
                self._machine.bells.remove(self._bell)
        self._bell.set()

    def _point(self, name: str, what: str, *about: object) -> None:
        try:
            self._seams.point(name, self._host, *about)
        except OSError as error:
            raise DriverError(f"cannot {what}: {error.strerror or error}") from error

    def _pay(self, name: str, what: str, *about: object) -> None:
        self._point(name, what, *about)
        if self.vices.slow_s:
            self._seams.sleep(self.vices.slow_s)
        if self.vices.outage:
            raise DriverError(f"cannot {what}: the host does not answer; try again when it is up")

    def _act(self, action: Action, what: str) -> None:
        key = (action.ref, action.instance)
        thing = self._machine.things.get(key)
        if action.verb == "take-over":
            if thing is not None and thing.installation == action.want:
                thing.installation = self._installation
            return
        if thing is not None and thing.installation != self._installation:
            if action.verb == "delete":
                return
            raise DriverError(f"cannot {what}: it bears the mark of installation {thing.installation}")
        if action.verb == "delete":
            self._machine.things.pop(key, None)
        elif thing is not None:
            thing.want, thing.live, thing.fields = action.want, action.want.live, dict(action.want.fields)
            if thing.state == "lost":
                thing.state, thing.looks, thing.created = "running", 0, self._seams.now()
                thing.health, thing.healthy_since = None, None
        elif action.verb == "update":
            raise DriverError(f"cannot {what}: instance {action.instance} is not there")
        else:
            want: Want = action.want
            self._machine.things[key] = Thing(
                self._installation, want, self._machine.ports(want), self._seams.now(), want.live, dict(want.fields)
            )
            said = re.findall(r"\becho ([\w ]+)", " ".join(want.run.command))
            self._machine.things[key].printed[-1] += [LogLine(f"{words}\n".encode(), self._seams.now()) for words in said]

    def _show(self, thing: Thing, now: float) -> Observed:
        thing.looks += 1
        due = thing.looks > self.vices.healthy_after_looks and now - thing.created >= self.vices.healthy_after_s
        if due and thing.state == "running" and thing.want.run.restart == "never":
            thing.exit = self.vices.ends_with
            thing.state = "failed" if thing.exit else "stopped"
        if thing.health is not None:
            health = thing.health
        elif thing.exit is not None:
            health = Health("unhealthy", message=f"exited with status {thing.exit}")
        elif thing.state != "running":
            health = Health("unhealthy", message=f"it is {thing.state}")
        else:
            health = Health("healthy" if due else "starting")
        if health.status == "healthy" and thing.healthy_since is None:
            thing.healthy_since = now
        elif health.status != "healthy":
            thing.healthy_since = None
        fields: dict[str, Any] = {
            **self.vices.extra_fields,
            "uid": thing.want.uid,
            "owner": str(thing.want.owner),
            "live": thing.live if thing.fields == thing.want.fields else f"{thing.live} meddled with",
            "fields": dict(thing.fields),
            "deletion": thing.want.deletion,
            "state": thing.state,
            "address": self._machine.address,
            "ports": dict(thing.ports),
            "pid": None,
            "restarts": thing.restarts,
            "exit": thing.exit,
            "log": "",
            "stop_s": 1.0,
        }
        since = thing.created if thing.healthy_since is None else thing.healthy_since
        return Observed(thing.want.ref, thing.want.instance, self._host, fields, replace(health), since)


def _last(lines: list[LogLine], ask: LogAsk) -> list[LogLine]:
    found = [line for line in lines if (line.at or 0.0) >= ask.since]
    return found if ask.lines is None else found[max(0, len(found) - ask.lines) :]
