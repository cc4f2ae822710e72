"""The laws of effects: what may be done on a machine, checked when it is about to be done."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from reconciler.core.model import Action, FleetState, Key, ObservedState, Ref, Snapshot, settings_of
from reconciler.core.place import Hosts
from reconciler.drivers.memory import Machine, Thing, Vices

from .branch import Branch
from .envoys import Envoys
from .turns import Life


@dataclass
class Effects:
    """`broken` says which law, then what happened. `installation` is ours, once it is known."""

    machines: Mapping[str, Machine]
    vices: Mapping[str, Vices]
    branch: Branch
    envoys: Envoys
    clock: Callable[[], float]
    broken: list[tuple[str, str]] = field(default_factory=list)
    installation: str = ""
    # Who took the lease last.
    acting: Life | None = None
    plans: int = 0
    # What people or machines did to a thing by themselves: no proof of anything is to be had from it then.
    disturbed: set[Ref] = field(default_factory=set)
    # Runs of hooks that were begun.
    ran: set[tuple[Ref, str]] = field(default_factory=set)
    # The newest revision that the store knows to be good; and what must be followed at least: what was followed before, and
    # what was good when whoever acts began to. (In between a good one is followed a moment after it is recorded.)
    good: int = 0
    followed: int = 0
    # What people said beside Git.
    ordered: set[str] = field(default_factory=set)
    # Content versions that the store knows to be refused by an Envoy.
    refused: set[str] = field(default_factory=set)
    suspended: set[str] = field(default_factory=set)
    # What was in force when changes might be made: what a workload was made from, and what of it was no longer wanted.
    _let: set[tuple[Ref, str, str]] = field(default_factory=set)
    _let_gone: set[Ref] = field(default_factory=set)
    _fleets: list[FleetState] = field(default_factory=list)
    # What a snapshot was told for.
    _told: dict[str, FleetState] = field(default_factory=dict)
    # What the Convoy that acts has told each node last.
    _last: dict[str, Snapshot] = field(default_factory=dict)
    _most: int = 0
    _removed: dict[str, set[Ref]] = field(default_factory=dict)
    _stored: set[tuple[str, str, str, str]] = field(default_factory=set)
    _planned: dict[tuple[str, Key], tuple[FleetState, ObservedState]] = field(default_factory=dict)
    _fresh: dict[str, FleetState | None] = field(default_factory=dict)
    _same: set[int] = field(default_factory=set)

    def breaks(self, law: str, what: str) -> None:
        self.broken.append((law, f"at {self.clock():.3f} s: {what}"))

    # Who acts

    def begins(self, life: Life) -> None:
        self.acting, self.followed = life, self.good
        self._last = {}

    def acts(self, life: Life, what: str) -> None:
        if self.acting is not life:
            number = self.acting.number if self.acting is not None else 0
            self.breaks("one acts", f"life {life.number} {what} after life {number} has taken over")

    # An effect

    def effect(self, action: Action, host: str) -> None:
        """Called when a driver is about to change something on its machine."""
        if action.verb == "take-over" and action.want not in self.ordered:
            self.breaks("what is not ours is left alone", f"{words(action)} is done, and nobody said so")
        if (action.verb, str(action.ref), action.instance, host) not in self._stored:
            self.breaks("the plan shown is what is done", f"{words(action)} is done and stands in no plan that was stored")
        thing = self.machines[host].things.get((action.ref, action.instance))
        fleet, _ = self._planned.get((action.verb, action.key), (None, None))
        if fleet is None:
            self.breaks("the plan shown is what is done", f"{words(action)} was never planned")
        elif action.verb == "create" and thing is None:
            self._not_doubled(action)
            self._runs_once(action, fleet)
        elif action.verb == "delete" and thing is not None and self._ours(thing):
            self._as_its_document_said(action, thing, fleet)
            self._not_lost(action, fleet)
            self._within_budget(action, fleet)
            self._let_go(action, thing)

    def _runs_once(self, action: Action, fleet: FleetState) -> None:
        """A hook: no run is begun twice, nor beside another."""
        if not is_hook(fleet, action.ref):
            return
        if (action.ref, action.instance) in self.ran and action.ref not in self.disturbed:
            self.breaks("a hook runs once", f"{words(action)} is done for the second time")
        self.ran.add((action.ref, action.instance))
        for host, machine in self.machines.items():
            for (ref, instance), thing in machine.things.items():
                if (
                    ref == action.ref
                    and thing.state == "running"
                    and self._ours(thing)
                    and Hosts(fleet).declared.get(host) != "lost"
                ):
                    self.breaks("a hook runs once", f"{words(action)} is done while {instance} runs on {host}")

    def _not_doubled(self, action: Action) -> None:
        fleet = self._fleets[-1]
        want = fleet.workloads.get(action.ref)
        allowed = Hosts(fleet).open(want, ()) if want is not None else ()
        for host, machine in self.machines.items():
            other = machine.things.get((action.ref, action.instance))
            if other is not None and host != action.host and host in allowed and self._ours(other) and other.state == "running":
                self.breaks("nothing doubled", f"{words(action)} is done while the same instance runs on {host}")

    def _not_lost(self, action: Action, fleet: FleetState) -> None:
        if action.ref not in fleet.workloads or action.ref in self.disturbed or is_hook(fleet, action.ref):
            return
        if any(vices.stale_looks for vices in self.vices.values()):
            return
        others = [
            host
            for host, machine in self.machines.items()
            for (ref, instance), thing in machine.things.items()
            if ref == action.ref and self._ours(thing) and (host, instance) != (action.host, action.instance)
        ]
        if not others:
            self.breaks("nothing lost", f"{words(action)} takes away the last one")

    def _as_its_document_said(self, action: Action, thing: Thing, fleet: FleetState) -> None:
        """What is to be retained, or confirmed, when its document goes."""
        said = thing.want.deletion
        if action.ref not in fleet.workloads and said != "delete" and str(action.ref) not in self.ordered:
            self.breaks("deletion policy", f"{words(action)} is done, and its document said {said}")

    def _within_budget(self, action: Action, fleet: FleetState) -> None:
        """What one revision takes away at once is within the budget that it, or the most that ever ran, gives."""
        if action.ref in fleet.workloads or self.ordered & {"deletes", str(action.ref)}:
            return
        if "deletes" in self.branch.messages[fleet.revision]:
            return
        index = next(n for n, one in enumerate(self._fleets) if one is fleet)
        # By the revision that took it away, whichever is followed when it goes.
        while index and action.ref not in self._fleets[index - 1].workloads:
            index -= 1
        removed = self._removed.setdefault(f"{index}", set())
        removed.add(action.ref)
        since = self._fleets[index:]
        allowed = max(settings_of(one).delete_budget.allows(self._most) for one in since)
        if len(removed) > allowed:
            self.breaks(
                "the delete budget", f"{words(action)} is the {len(removed)}th of one revision, and {allowed} are allowed"
            )

    def _let_go(self, action: Action, thing: Thing) -> None:
        if action.ref.kind == "Proxy":
            return
        address = self.machines[action.host].address
        ends = {(address, port) for port in thing.ports.values()}
        _, seen = self._planned[(action.verb, action.key)]
        for envoy in self.envoys.all.values():
            proxy = self.machines[envoy.host].things.get((envoy.ref, envoy.instance))
            known = seen.resources.get((envoy.host, envoy.ref, envoy.instance))
            sick = known is not None and known.health.status == "unhealthy"
            if envoy.link is None and proxy is not None and (sick or proxy.health is not None):
                # Neither connected nor healthy, now or when this was planned: nobody waits for it, or it could hold up
                # everything for ever.
                continue
            if ends & envoy.ends():
                how = "connected" if envoy.link is not None else "not connected"
                self.breaks(
                    "let go first", f"{words(action)} is done while {envoy.node} on {envoy.host} ({how}) sends it requests"
                )

    def _ours(self, thing: Thing) -> bool:
        return thing.installation == self.installation


def words(action: Action) -> str:
    return f"{action.verb} {action.ref} ({action.instance[:6]}) on {action.host}"


def is_hook(fleet: FleetState, ref: Ref) -> bool:
    resource = fleet.resources.get(ref)
    return resource is not None and resource.hook is not None
