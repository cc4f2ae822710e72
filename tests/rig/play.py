"""Plays a world: its events, one after the other, over machines and Envoys that outlive every Convoy; then all must be well."""

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from reconciler.core.facts import Order, OrderVerb
from reconciler.core.model import Held
from reconciler.core.place import Hosts
from reconciler.core.show import outcome_json
from reconciler.drivers.memory import Vices

from .convoy import Convoy, Watching
from .envoys import BAD
from .events import FORMER, HOSTS, Event, Events
from .turns import EPOCH

# Once nothing goes wrong any more the fleet has so long, and so many rounds, to become as declared. The longest that anything
# waits after a failure is a minute (an unreadable source, a step that failed), and a replacement may wait for another.
WELL_S, WELL_ROUNDS = 400.0, 400
ENDING_S = QUIET_S = 31.0
MEMORY = Path("/dev/shm")


@dataclass
class Report:
    """What became of a world."""

    broken: list[tuple[str, str]] = field(default_factory=list)
    points: Counter[str] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
    did: Counter[str] = field(default_factory=Counter)
    rounds: int = 0
    lives: int = 0
    turns: int = 0
    # Rounds and virtual seconds from the last fault to all being well.
    healing: tuple[int, float] = (0, 0.0)


def play(world: Mapping[str, Any]) -> Report:
    """`world` has `seed` and `events`; with `heal` false it ends with them. Whatever is broken stands in the report."""
    directory = Path(tempfile.mkdtemp(prefix="convoy-rig-", dir=MEMORY if MEMORY.is_dir() else None))
    try:
        return Play(int(world["seed"]), directory).run(world["events"], heal=world.get("heal", True))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


class Play(Events):
    """One world at one time, from its first event until all is well."""

    def run(self, events: Iterable[Event], *, heal: bool) -> Report:
        self.turns.task(self.envoys.run, "envoys", None).start()
        with Watching(self.laws, lambda: self.convoy):
            try:
                for event in events:
                    self.do(event)
                    if self.laws.broken:
                        break
                healing = self._heal() if heal and not self.laws.broken else (0, 0.0)
            finally:
                self._bury_stalled()
                if self.convoy is not None:
                    self._bury()
        self.laws.ended(self.foreign, self.turns.died)
        return Report(
            self.laws.broken,
            self.faults.passed,
            self.faults.struck,
            self.did + self.envoys.did,
            self.laws.plans,
            self.lives,
            self.turns.taken,
            healing,
        )

    # The end

    def _heal(self) -> tuple[int, float]:
        """Nothing goes wrong any more: then all becomes as declared within bounds, and stays so without a write."""
        self.faults.armed.clear()
        self.envoys.silent = False
        for host, vices in self.vices.items():
            self.vices[host].__dict__.update(Vices(healthy_after_looks=vices.healthy_after_looks).__dict__)
            for thing in self.machines[host].things.values():
                thing.health = None
        for subject in sorted(self.laws.suspended | self.unsure):
            self.wait(10, lambda: not self._gone() and self.convoy is not None and self.convoy.store is not None)
            self.do({"do": "suspend", "subject": subject, "on": False})
        begun, rounds = self.turns.t, self.laws.plans
        if self.stalled is not None:
            self.stalled.life.asleep_until = 0.0
        # What had begun to be slow when the last fault struck ends by itself.
        self.wait(ENDING_S)
        acted = self.stalled is not None and self.stalled.loop is not None
        if acted and self.stalled is not None and not self._gone() and self.laws.acting is not self.stalled.life:
            self.laws.breaks("one acts", f"life {self.stalled.life.number} goes on though another has taken over")
        # Who never acted stands by, which is as it should be.
        self._bury_stalled()
        self._mend()
        well = self.wait(WELL_S, lambda: bool(self.laws.broken) or self._well())
        if not self.laws.broken and not well:
            self.laws.breaks("all becomes well", f"not within {WELL_S:.0f} s: {self._ill()}")
        healing = (self.laws.plans - rounds, self.turns.t - begun)
        if not self.laws.broken and healing[0] > WELL_ROUNDS:
            self.laws.breaks("all becomes well", f"it took {healing[0]} rounds")
        if not self.laws.broken:
            self._stays_quiet()
        return healing

    def _mend(self) -> None:
        """What is to be followed can be: somebody mends what Envoys refuse, and what no host may bear."""
        fleet = self.laws.expected()
        if fleet is None:
            return
        hosts = Hosts(fleet)
        refused = any(BAD in one.body for group in fleet.traffic.values() for all in group.values() for one in all.values())
        stranded = any(
            host not in hosts.declared and (thing.installation == self.laws.installation or ref in fleet.workloads)
            for host, machine in self.machines.items()
            for (ref, _), thing in machine.things.items()
        )
        drifts = any(set(want.drift.values()) - {"correct"} for want in fleet.workloads.values())
        if not refused and not stranded and not drifts and all(hosts.open(want, ()) for want in fleet.workloads.values()):
            return
        known = self.documents
        gone = [ref for ref, words in known.items() if "backend" in words and f"Application/{words['backend']}" not in known]
        if "ProxyGroup/edge" not in known:
            gone += [ref for ref in known if ref.startswith(("Proxy/", "VirtualHost/"))]
        mended: dict[str, Any] = {
            ref: {"refused": False} for ref, words in known.items() if words.get("refused") and ref not in gone
        }
        for ref, words in known.items():
            if ref.startswith("Proxy/") and ref not in gone and (words.get("own") or words.get("pin")):
                # What a commit of before says cannot be mended, and what it needs may be gone.
                mended[ref] = {"own": bool(words.get("own")) and {*known} - {*gone} >= {"Configuration/own"}, "pin": 0}
        for ref, words in known.items():
            if "drift" in words and ref not in gone:
                mended[ref] = {**mended.get(ref, {}), "drift": "correct"}
        self.do({"do": "commit", "drop": gone, "set": mended | {f"Host/{host}": {"state": "active"} for host in HOSTS}})
        if self.laws.fresh(self.branch.head) is None:
            # Two proxies that listen on one port of one host.
            self.do({"do": "commit", "drop": ["Proxy/e2"]})

    def _well(self) -> bool:
        convoy = self.convoy
        if convoy is None or convoy.loop is None or self._gone():
            return False
        if not self.branch.head:
            return True
        expected = self.laws.expected()
        if expected is None:
            return not convoy.loop.view.plan
        view = convoy.loop.view
        if self.branch.head not in (view.revision, view.refused):
            return False
        self._confirm(convoy)
        if view.revision != expected.revision or not view.converged or convoy.loop.hosts.observed()[1]:
            return False
        return not self.laws.differences()

    def _confirm(self, convoy: Convoy) -> None:
        """Somebody looks at what is held, and says what releases it."""
        planned = convoy.loop.view.plan if convoy.loop is not None else None
        for held in planned.held if planned is not None else ():
            order = next((order for words, order in self._answers(held).items() if words in held.reason), None)
            if order is not None and order[1] not in self.laws.ordered and convoy.store is not None:
                self.laws.ordered.add(order[1])
                self.did[order[0]] += 1
                convoy.store.put_order(Order(*order, "it is meant", "somebody", EPOCH + self.turns.t))
                convoy.wake.set()

    def _answers(self, held: Held) -> dict[str, tuple[OrderVerb, str]]:
        """What a person says to a hold of these words."""
        return {
            "delete budget": ("confirm", "deletes"),
            "has to be confirmed": ("confirm", str(held.ref)),
            "keeps changing it": ("resume", str(held.ref)),
            FORMER: ("take-over", FORMER),
            "has failed": ("retry", "Container/m"),
            "made by hand": ("sync", self.convoy.loop.view.revision if self.convoy and self.convoy.loop else ""),
        }

    def _ill(self) -> str:
        convoy = self.convoy
        if convoy is None or convoy.loop is None:
            return "no Convoy came up"
        view = convoy.loop.view
        said = [*self.laws.differences(), *(f"{held.ref}: {held.reason}" for held in (view.plan.held if view.plan else ()))]
        said += [f"{ref}: {one.sync} {one.health} {one.why}" for ref, one in view.status.items() if one.sync != "synced"]
        return f"{view.revision} {view.unreadable} {'; '.join(said)}; {convoy.loop.hosts.observed()[1]}"

    def _stays_quiet(self) -> None:
        convoy = self.convoy
        assert convoy is not None
        assert convoy.store is not None
        writes = convoy.store.writes
        self.wait(QUIET_S)
        if self._gone() or not self._well():
            self.laws.breaks("then it is quiet", f"it did not stay as declared: {self._ill()}")
        elif convoy.store.writes != writes:
            self.laws.breaks("then it is quiet", f"{convoy.store.writes - writes} writes while nothing happened")
        elif cast(Any, convoy.loop).view.plan and cast(Any, convoy.loop).view.plan.actions:
            self.laws.breaks("then it is quiet", f"something is planned: {cast(Any, convoy.loop).view.plan.actions}")
        self.laws.kept(convoy.taken, convoy.store.outcomes(2000), outcome_json)
