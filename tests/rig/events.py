"""A world while it lasts: machines, a branch and Envoys that outlive every Convoy, and the events that befall them."""

from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from reconciler.core.facts import Order
from reconciler.core.kinds.host import Host as HostSpec
from reconciler.core.kinds.spec import Run
from reconciler.core.model import Action, Health, Ref, Want
from reconciler.drivers import Driver
from reconciler.drivers.memory import Machine, Thing, Vices
from reconciler.store import StoreError

from .branch import Branch, text_of
from .convoy import Convoy, Driven
from .envoys import Envoys, Server
from .faults import Faults
from .laws import Laws, others_of
from .turns import EPOCH, Killed, Life, Turns, TurnSeams

Event = Mapping[str, Any]
HOSTS = ("h1", "h2", "h3")
# What bears the mark of an installation that is no more, and has a name that we come to use.
FORMER, TAKEN = "a-former-installation", "c4"
# Whoever still acts so long after it woke goes on acting.
WOKEN_S = 5.0


def _refuses(verb: str | None, action: Action) -> str:
    return "no room" if action.verb == verb else ""


class Events:
    """One world at one time."""

    def __init__(self, seed: int, directory: Path) -> None:
        self.directory = directory
        self.turns = self.make_turns(Random(seed))
        self.faults = Faults(self.turns)
        self.branch = Branch()
        self.documents: dict[str, dict[str, Any]] = {}
        self.machines = {host: Machine(f"10.0.0.{n}", 20000 + 1000 * n) for n, host in enumerate(HOSTS, 1)}
        self.vices = {host: Vices(healthy_after_looks=0) for host in HOSTS}
        self.convoy: Convoy | None = None
        self.stalled: Convoy | None = None
        self.lives = 0
        self.known: set[str] = set()
        self.envoys = Envoys(self.turns, self.machines, self._server)
        self.laws = Laws(self.machines, self.vices, self.branch, self.envoys, lambda: self.turns.t)
        self.envoys.replacing = self.laws.replacing
        self.foreign = self._strangers()
        self.did: Counter[str] = Counter()
        # What somebody wanted suspended or resumed, and may or may not be.
        self.unsure: set[str] = set()
        self.revive_at = 0.0

    def make_turns(self, rng: Random) -> Turns:
        return Turns(rng)

    def make_driver(self, name: str, spec: HostSpec, installation: str, seams: TurnSeams) -> Driver:
        return Driven(name, self.machines[name], installation, seams, self.vices[name], self.laws)

    def _server(self) -> Server | None:
        convoy = self.convoy
        return convoy.server if convoy is not None and not convoy.life.dead and not convoy.life.ended else None

    def _strangers(self) -> dict[str, dict[Any, Any]]:
        """Another installation's things, on the same machines."""
        for host, machine in self.machines.items():
            for ref in (Ref("Container", "stranger"), Ref("Proxy", "stranger")):
                want = Want(ref, "uid-of-others", f"other-{host}", "other", Run(command=("other",)), ref)
                machine.things[ref, want.instance] = Thing("another-installation", want, machine.ports(want), 0.0, want.live)
        ref = Ref("Container", TAKEN)
        want = Want(ref, "uid-of-others", "other", "other", Run(command=("other",)), ref)
        self.machines["h2"].things[ref, want.instance] = Thing(FORMER, want, {}, 0.0, want.live)
        return {host: others_of(machine, "") for host, machine in self.machines.items()}

    # Convoy's lives

    def wait(self, seconds: float, until: Any = lambda: False) -> bool:
        """Let time pass; who is dead is started again after a moment."""
        over = self.turns.t + seconds
        while self.turns.t < over:
            if self.turns.play(lambda: self._gone() or self._over() or self._woke() or until(), over - self.turns.t):
                if self._woke():
                    self.convoy, self.stalled = self.stalled, self.convoy
                    self._bury_stalled()
                    continue
                if self._over():
                    self._bury_stalled()
                    continue
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
        self.convoy = Convoy(life, seams, self.directory, self.branch, self.laws, self.known, self.make_driver)
        self.convoy.start()

    def _do_stall(self, event: Event) -> None:
        """The process is stopped, or its machine hangs; another one stands by, and takes over when the lease is over."""
        if self.convoy is None or self._gone() or self.stalled is not None:
            return
        self.stalled = self.convoy
        self.stalled.life.asleep_until = self.turns.t + event["s"]
        self._start()

    def _over(self) -> bool:
        """Whether somebody was stalled and has ended, as it must once it sees that another has taken over."""
        return self.stalled is not None and (self.stalled.life.dead or bool(self.stalled.life.ended))

    def _woke(self) -> bool:
        """Whether somebody was stalled for so short a time that it still acts; then whoever stands by may go."""
        stalled = self.stalled
        return stalled is not None and self.laws.acting is stalled.life and self.turns.t > stalled.life.asleep_until + WOKEN_S

    def _bury_stalled(self) -> None:
        if self.stalled is not None:
            self.turns.bury(self.stalled.life)
            self.stalled.let_go()
            self.stalled = None

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
        self.branch.commit(files, event.get("message", "a change"))

    def _do_fault(self, event: Event) -> None:
        self.faults.arm(event["kind"], event["point"], event["skip"], event.get("s", 0.0))

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

    def _do_suspend(self, event: Event) -> None:
        """Somebody tells Convoy to leave something alone, or to go on."""
        convoy, subject = self.convoy, event["subject"]
        if convoy is None or convoy.store is None or self._gone():
            return
        try:
            if event["on"]:
                convoy.store.put_order(Order("suspend", subject, "a rest", "somebody", EPOCH + self.turns.t))
                self.laws.suspended.add(subject)
            else:
                convoy.store.drop_orders(("suspend", subject))
                self.laws.suspended.discard(subject)
        except (StoreError, Killed) as error:
            # Nobody was told whether it was heard.
            self.laws.suspended.discard(subject)
            self.unsure.add(subject)
            convoy.life.dead |= isinstance(error, Killed)

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
