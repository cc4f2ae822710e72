"""Plays a world: its events, one after the other, over machines and Envoys that outlive every Convoy; then all must be well."""

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, cast

from reconciler.core.facts import Order
from reconciler.core.kinds.spec import Run
from reconciler.core.model import Action, Health, Ref, Want
from reconciler.core.place import Hosts
from reconciler.core.show import outcome_json
from reconciler.drivers.memory import Machine, Thing, Vices

from .branch import Branch, text_of
from .convoy import Convoy, Watching
from .envoys import BAD, Envoys, Server
from .faults import Faults
from .laws import Laws, others_of
from .turns import EPOCH, Life, Turns, TurnSeams

Event = Mapping[str, Any]
HOSTS = ("h1", "h2", "h3")
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


def _refuses(verb: str | None, action: Action) -> str:
    return "no room" if action.verb == verb else ""


class Play:
    """One world at one time."""

    def __init__(self, seed: int, directory: Path) -> None:
        self.directory = directory
        self.turns = Turns(Random(seed))
        self.faults = Faults(self.turns)
        self.branch = Branch()
        self.documents: dict[str, dict[str, Any]] = {}
        self.machines = {host: Machine(f"10.0.0.{n}", 20000 + 1000 * n) for n, host in enumerate(HOSTS, 1)}
        self.vices = {host: Vices(healthy_after_looks=0) for host in HOSTS}
        self.convoy: Convoy | None = None
        self.lives = 0
        self.known: set[str] = set()
        self.envoys = Envoys(self.turns, self.machines, self._server)
        self.laws = Laws(self.machines, self.vices, self.branch, self.envoys, lambda: self.turns.t)
        self.envoys.replacing = self.laws.replacing
        self.foreign = self._strangers()
        self.did: Counter[str] = Counter()
        self.revive_at = 0.0

    def _server(self) -> Server | None:
        convoy = self.convoy
        return convoy.server if convoy is not None and not convoy.life.dead and not convoy.life.ended else None

    def _strangers(self) -> dict[str, dict[Any, Any]]:
        """Another installation's things, on the same machines."""
        for host, machine in self.machines.items():
            for kind in ("Container", "Proxy"):
                ref = Ref(kind, "stranger")
                want = Want(ref, "uid-of-others", f"other-{host}", "other", Run(command=("other",)), ref)
                machine.things[ref, want.instance] = Thing("another-installation", want, machine.ports(want), 0.0, want.live)
        return {host: others_of(machine, "") for host, machine in self.machines.items()}

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

    # Convoy's lives

    def wait(self, seconds: float, until: Any = lambda: False) -> bool:
        """Let time pass; who is dead is started again after a moment."""
        over = self.turns.t + seconds
        while self.turns.t < over:
            if self.turns.play(lambda: self._gone() or until(), over - self.turns.t):
                if not self._gone():
                    return True
                if self.convoy is not None:
                    self._bury()
                    self.revive_at = self.turns.t + self.turns.rng.random() * 3
                self.turns.play(lambda: self.turns.t >= self.revive_at, 5.0)
                self._start()
        return bool(until())

    def _gone(self) -> bool:
        return self.convoy is None or self.convoy.life.dead or bool(self.convoy.life.ended)

    def _start(self) -> None:
        self.lives += 1
        life = Life(self.lives)
        seams = TurnSeams(self.turns, life, self.faults.at)
        self.convoy = Convoy(life, seams, self.directory, self.branch, self.laws, self.known, self.vices)
        self.convoy.start()

    def _bury(self) -> None:
        assert self.convoy is not None
        self.turns.bury(self.convoy.life)
        self.convoy.let_go()
        self.convoy = None

    # Events

    def do(self, event: Event) -> None:
        self.did[event["do"]] += 1
        getattr(self, f"_do_{event['do']}")(event)

    def _do_wait(self, event: Event) -> None:
        self.wait(event["s"])

    def _do_commit(self, event: Event) -> None:
        for ref in event.get("drop", ()):
            self.documents.pop(ref, None)
        for ref, words in event.get("set", {}).items():
            self.documents[ref] = {**self.documents.get(ref, {}), **words}
        files = {f"fleet/{ref.replace('/', '-').lower()}.yaml": text_of(ref, words) for ref, words in self.documents.items()}
        if event.get("empty"):
            files = {}
        if event.get("broken"):
            files["fleet/broken.yaml"] = "kind: ["
        self.branch.commit(files)

    def _do_fault(self, event: Event) -> None:
        self.faults.arm(event["kind"], event["point"], event["skip"])

    def _do_kill(self, event: Event) -> None:
        self.faults.arm("kill", event.get("point", ""), event["skip"])

    def _do_restart(self, _: Event) -> None:
        if self.convoy is not None:
            self.convoy.stop()

    def _do_outage(self, event: Event) -> None:
        self.vices[event["host"]].outage = event["on"]

    def _do_vice(self, event: Event) -> None:
        vices = self.vices[event["host"]]
        for name, value in event.items():
            if name == "half_done":
                vices.half_done = frozenset(value)
            elif name == "refuse":
                vices.refuse = partial(_refuses, value)
            elif name not in ("do", "host"):
                setattr(vices, name, value)

    def _do_silence(self, event: Event) -> None:
        self.envoys.silent = event["on"]

    def _do_disturb(self, event: Event) -> None:
        """Something happens to one of our things that we did not do."""
        ours = [
            (host, ref, instance)
            for host, machine in self.machines.items()
            for (ref, instance), thing in sorted(machine.things.items())
            if thing.installation == self.laws.installation
        ]
        if not ours:
            return
        host, ref, instance = ours[event["pick"] % len(ours)]
        self.laws.disturbed.add(ref)
        machine = self.machines[host]
        thing = machine.things[ref, instance]
        how = event["how"]
        if how == "vanish":
            del machine.things[ref, instance]
        elif how == "lose":
            thing.state, thing.health = "lost", None
        elif how == "sicken":
            thing.health = Health("unhealthy", message="it is sick")
        elif how == "recover":
            thing.health = None
        else:
            thing.live = "changed-by-somebody"
        machine.ring()

    # The end

    def _heal(self) -> tuple[int, float]:
        """Nothing goes wrong any more: then all becomes as declared within bounds, and stays so without a write."""
        self.faults.armed.clear()
        self.envoys.silent = False
        for host, vices in self.vices.items():
            self.vices[host].__dict__.update(Vices(healthy_after_looks=vices.healthy_after_looks).__dict__)
            for thing in self.machines[host].things.values():
                thing.health = None
        self._mend()
        begun, rounds = self.turns.t, self.laws.plans
        # What had begun to be slow when the last fault struck ends by itself.
        self.wait(ENDING_S)
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
        if not refused and all(hosts.may_bear(want) for want in fleet.workloads.values()):
            return
        known = self.documents
        gone = [ref for ref, words in known.items() if "backend" in words and f"Application/{words['backend']}" not in known]
        if "ProxyGroup/edge" not in known:
            gone += [ref for ref in known if ref.startswith(("Proxy/", "VirtualHost/"))]
        mended: dict[str, Any] = {
            ref: {"refused": False} for ref, words in known.items() if words.get("refused") and ref not in gone
        }
        self.do({"do": "commit", "drop": gone, "set": mended | {f"Host/{host}": {"state": "active"} for host in HOSTS}})

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
        """Somebody looks at what the delete budget holds, and says that it is meant."""
        planned = convoy.loop.view.plan if convoy.loop is not None else None
        held = [one.reason for one in planned.held if "delete budget" in one.reason] if planned is not None else []
        if held and convoy.store is not None and "deletes" not in self.laws.ordered:
            self.laws.ordered.add("deletes")
            self.did["confirm"] += 1
            convoy.store.put_order(Order("confirm", "deletes", "it is meant", "somebody", EPOCH + self.turns.t))
            convoy.wake.set()

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
