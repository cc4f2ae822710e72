"""One life of Convoy in a world: the real loop, workers, store, record and wishes, put together as control.py does."""

import os
import sqlite3
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing
from io import StringIO
from pathlib import Path
from typing import Any, Literal, cast
from unittest.mock import patch

import reconciler.loop as looping
from reconciler.certificates import Certificates
from reconciler.core import plan as planning
from reconciler.core.facts import Facts
from reconciler.core.kinds.host import Host as HostSpec
from reconciler.core.model import Action, FleetState, Health, Observed, ObservedState, Outcome, Plan, Ref
from reconciler.drivers import Driver
from reconciler.drivers.memory import Machine, Memory, Vices
from reconciler.guards import Guards
from reconciler.hosts import Host
from reconciler.leader import Leader, LeaderError
from reconciler.load import Loader
from reconciler.log import Log
from reconciler.loop import Loop
from reconciler.metrics import Metrics
from reconciler.proxies import Proxies
from reconciler.record import Record
from reconciler.releases import Releases
from reconciler.secrets import Opener
from reconciler.store import Store, StoreError
from reconciler.wanted import Wanted

from .branch import Branch, Followed
from .envoys import Server
from .faults import Nonsense
from .laws import Laws
from .turns import Life, TurnSeams

# Host, what is declared of it, our installation, the life's seams.
MakeDriver = Callable[[str, HostSpec, str, TurnSeams], Driver]


class WatchedStore(Store):
    """Tells the laws what was stored."""

    laws: Laws
    life: Life
    file: Path

    def put_plan(self, revision: str, plan: Any, at: float | None = None) -> None:
        before = self.writes
        super().put_plan(revision, plan, at)
        if self.writes > before:
            self.laws.acts(self.life, "writes a plan")
        self.laws.stored(plan)

    def record_revision(self, revision: str, status: Literal["good", "refused"], *more: Any) -> None:
        before = self.writes
        try:
            super().record_revision(revision, status, *more)
        finally:
            # Also where it is written, and whoever wrote it is killed or told that it failed.
            if status == "good" and self._last_good() == revision:
                self.laws.accepted(revision)
        if self.writes > before:
            self.laws.acts(self.life, "accepts a revision")

    def _last_good(self) -> str:
        """What the next start finds; past all points."""
        with closing(sqlite3.connect(self.file)) as raw:
            row = raw.execute("SELECT revision FROM revisions WHERE status = 'good' ORDER BY number DESC LIMIT 1").fetchone()
        return str(row[0]) if row else ""

    def refuse(self, version: str, *more: Any) -> None:
        super().refuse(version, *more)
        self.laws.refused.add(version)


class Driven(Memory):
    """The driver in memory, watched, and able to answer nonsense or late."""

    def __init__(self, host: str, machine: Machine, installation: str, seams: TurnSeams, vices: Vices, laws: Laws) -> None:
        super().__init__(host, machine, installation, seams, vices)
        self._laws, self._turns = laws, seams

    def observe(self) -> Iterable[Observed]:
        seen = super().observe()
        try:
            # What was seen may be old by the time it is told.
            self._turns.point("rig.observed", self._host)
        except Nonsense as nonsense:
            return cast(Iterable[Observed], _nonsense(str(nonsense), seen))
        return seen

    def apply(self, action: Action) -> None:
        super().apply(action)
        try:
            self._turns.point("rig.applied", action)
        except Nonsense:
            raise KeyError("the host's answer is not what its documentation says") from None

    def _act(self, action: Action, what: str) -> None:
        # What somebody had begun who was stopped then, and whose place another has taken, is nobody's choice any more.
        if self._laws.acting is self._turns.life:
            self._laws.effect(action, self._host)
        super()._act(action, what)


def _nonsense(kind: str, seen: Iterable[Observed]) -> Any:
    if kind == "nothing":
        return None
    if kind == "none in it":
        return [*seen, None]
    if kind == "of elsewhere":
        return [*seen, Observed(Ref("Container", "c1"), "0" * 16, "nowhere", {}, Health("healthy"), 0.0)]
    raise ValueError("the host's answer is not what its documentation says")


class Convoy:
    """Made in the world; what happens in it happens in tasks of its life."""

    def __init__(
        self,
        life: Life,
        seams: TurnSeams,
        directory: Path,
        branch: Branch,
        laws: Laws,
        known: set[str],
        make_driver: MakeDriver,
    ) -> None:
        self.life, self.seams, self.directory = life, seams, directory
        self.branch, self.laws, self.known, self.make_driver = branch, laws, known, make_driver
        self.wake, self.stopped = threading.Event(), threading.Event()
        self.server: Server | None = None
        self.store: WatchedStore | None = None
        self.loop: Loop | None = None
        self.wanted: Wanted | None = None
        self.leader: Leader | None = None
        self.taken: list[Outcome] = []

    def start(self) -> None:
        self.seams.turns.task(self._run, f"convoy-{self.life.number}", self.life).start()

    def stop(self) -> None:
        """Ask it to end in an orderly way."""
        self.stopped.set()
        self.wake.set()

    def _run(self) -> None:
        try:
            loop = self._begin()
        except (StoreError, LeaderError) as error:
            self._end(f"it could not start: {error}")
            return
        if loop is not None:
            loop.run(lambda _: self.life.dead, self.stopped)
        self._end("asked to")

    def _end(self, why: str) -> None:
        if self.loop is not None:
            self.loop.close()
        if self.wanted is not None:
            self.wanted.close()
        if self.leader is not None:
            try:
                self.leader.close()
            finally:
                # Closed also when we are killed at it.
                self.leader._lock = None
        self.life.ended = why

    def _begin(self) -> Loop | None:
        seams, log = self.seams, Log(_Nowhere(), level="error")
        file = self.directory / "convoy.db"
        self.store = store = WatchedStore(f"sqlite:///{file}", seams)
        store.laws, store.life, store.file = self.laws, self.life, file
        self.laws.installation = store.installation()
        self.leader = leader = Leader(store, self.directory, seams, log, self.stop)
        if not leader.stand_by(self.stopped):
            return None
        self.laws.begins(self.life)
        certificates = Certificates(store, Opener.from_file(self.directory / "none", store.opened), seams)
        self.server = Server(seams.turns, self.life, self.wake.set, self.laws.told)
        proxies = Proxies(self.server, store, log, seams)  # type: ignore[arg-type]
        proxies.recall()
        metrics = Metrics(seams)
        self.wanted = Wanted(
            Followed(self.branch, seams),
            Loader(None, seams),
            None,
            certificates,
            store,
            metrics,
            log,
            seams,
            self.wake.set,
        )

        def may_act() -> bool:
            may = leader.may_act()
            if may:
                self.laws.acts(self.life, "may act")
            return may

        def driver(name: str, spec: HostSpec) -> Driver:
            self.known.add(name)
            return self.make_driver(name, spec, store.installation(), seams)

        self.loop = Loop(
            self.wanted,
            proxies,
            certificates,
            driver,
            may_act,
            Guards(store, log, seams),
            Releases(store),
            Record(store, log, seams),
            metrics,
            log,
            seams,
            self.wake,
        )
        for name in sorted(self.known):
            self.loop.know_host(name, HostSpec())
        self.wanted.start()
        return self.loop

    def let_go(self) -> None:
        """A process that is gone has no files open, and so no locks."""
        if self.leader is not None and self.leader._lock is not None:
            os.close(self.leader._lock)
        if self.store is not None:
            self.store.close()


class _Nowhere(StringIO):
    def write(self, text: str) -> int:
        return len(text)


class Watching:
    """Puts the laws between the loop and the planner and the hosts, for as long as a `with` statement lasts."""

    def __init__(self, laws: Laws, convoy: Callable[[], Convoy | None]) -> None:
        self._laws, self._convoy = laws, convoy

    def __enter__(self) -> None:
        laws, convoy = self._laws, self._convoy
        original = planning.plan

        def plan(wanted: FleetState, seen: ObservedState, facts: Facts, now: float) -> Plan:
            result = original(wanted, seen, facts, now)
            acting = convoy()
            if acting is not None and acting.seams.turns.life() is laws.acting:
                laws.planned(wanted, seen, facts, now, result, original)
            return result

        class WatchedHost(Host):
            def outcomes(self) -> list[Outcome]:
                taken = super().outcomes()
                now = convoy()
                if now is not None and self._seams is now.seams:
                    now.taken.extend(taken)
                return taken

        self._patches = ExitStack()
        self._patches.enter_context(patch.object(looping, "plan", plan))
        self._patches.enter_context(patch.object(looping, "Host", WatchedHost))

    def __exit__(self, *error: object) -> None:
        self._patches.close()
