"""The same over real processes: the process driver under the real loop, in real time, killed and failed at its own points."""

import contextlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from random import Random

import psutil

from reconciler.core.kinds.host import Host as HostSpec
from reconciler.drivers import Driver
from reconciler.drivers.process import Process
from tests.drivers.world import process_world

from .convoy import Watching
from .events import Event, Events
from .play import Report
from .turns import RealTurns, Turns, TurnSeams

# Only where it never becomes so.
WELL_S = 240.0


def play_processes(seed: int, events: Iterable[Event], ends: Iterable[tuple[str, int]]) -> Report:
    """`ends`: each program and argument that runs at the end, and how often; they run nowhere else on this machine."""
    with process_world() as world:
        directory = Path(tempfile.mkdtemp(prefix="convoy-rig-"))
        try:
            return _Processes(seed, directory, world.root).run(events, dict(ends))
        finally:
            shutil.rmtree(directory, ignore_errors=True)


class _Processes(Events):
    """One host of processes, below a directory that is emptied afterwards."""

    def __init__(self, seed: int, directory: Path, root: Path) -> None:
        super().__init__(seed, directory)
        self._root = root
        for machine in self.machines.values():
            machine.things.clear()

    def make_turns(self, rng: Random) -> Turns:
        return RealTurns(rng)

    def make_driver(self, name: str, spec: HostSpec, installation: str, seams: TurnSeams) -> Driver:
        return _Polled(
            name, spec, self._root / "hosts" / name, installation, "/run/none.sock", lambda node: f"token-of-{node}", seams
        )

    def run(self, events: Iterable[Event], ends: dict[str, int]) -> Report:
        with Watching(self.laws, lambda: self.convoy):
            try:
                for event in events:
                    self.do(event)
                if not self.wait(WELL_S, lambda: self._well() and self.running() == ends):
                    self.laws.breaks("all becomes well", f"{self.running()} run and not {ends}; {self._view()}")
                self.faults.armed.clear()
                self.wait(2.0)
                if self.running() != ends:
                    self.laws.breaks("then it is quiet", f"{self.running()} run and not {ends}")
            finally:
                if self.convoy is not None:
                    self._bury()
        self.laws.ended({}, self.turns.died)
        return Report(self.laws.broken, self.faults.passed, self.faults.struck, self.did, self.laws.plans, self.lives)

    def _do_well(self, _: Event) -> None:
        """Until what is declared now is so."""
        self.wait(WELL_S, self._well)

    def _well(self) -> bool:
        loop = self.convoy.loop if self.convoy is not None else None
        return loop is not None and not self._gone() and loop.view.converged and loop.view.revision == self.branch.head

    def _view(self) -> object:
        loop = self.convoy.loop if self.convoy is not None else None
        return loop.view if loop is not None else None

    def running(self) -> dict[str, int]:
        """How often each program runs that was started below our directory."""
        found: Counter[str] = Counter()
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                words = process.cmdline()
                if words[:1] == ["sleep"] and process.cwd().startswith(str(self._root)):
                    found[" ".join(words)] += 1
        return dict(found)


class _Polled(Process):
    """Without a socket that rings: waiting for one would hold up everybody here."""

    def changed(self, timeout_s: float) -> bool:
        self._seams.wait(self._closed, 0.2)
        return not self._closed.is_set()
