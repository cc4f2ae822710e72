"""The laws that must hold in every world, checked at every plan, at every effect on a machine, and at the end."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from envoy.config.endpoint.v3 import endpoint_pb2  # type: ignore[import-untyped]

from reconciler.core.connect import Connector
from reconciler.core.eds import eds_target
from reconciler.core.envoy import content, endpoints_of
from reconciler.core.facts import Facts
from reconciler.core.model import XDS, Action, FleetState, ObservedState, Outcome, Plan, Ref, Snapshot, XdsResource, settings_of
from reconciler.core.place import Hosts
from reconciler.core.windows import opening
from reconciler.drivers.memory import Machine, Thing
from reconciler.load import Loader
from reconciler.seams import Seams
from tests.core.written import hosts_of

from .branch import Followed
from .effects import Effects, is_hook, words
from .envoys import Envoy

K = TypeVar("K")
V = TypeVar("V")
Planner = Callable[[FleetState, ObservedState, Facts, float], Plan]
# Every so many plans are computed again from scratch, and from the same in another order.
AGAIN_EACH = 5


@dataclass
class Laws(Effects):
    """All of them."""

    # A plan

    def planned(self, fleet: FleetState, seen: ObservedState, facts: Facts, now: float, result: Plan, planner: Planner) -> None:
        self.plans += 1
        if not self._fleets or self._fleets[-1] is not fleet:
            self._fleets.append(fleet)
        self._most = max(self._most, len({one.ref for one in seen.resources.values()}))
        if self.branch.number(fleet.revision) < self.followed:
            self.breaks("wishes stay", f"{fleet.revision} is followed after r{self.followed:03} was accepted")
        self.followed = max(self.followed, self.branch.number(fleet.revision))
        shut = self._shut(fleet, now)
        for action in result.actions:
            if action.host == XDS:
                continue
            if shut:
                self._waits_for_the_window(action, fleet)
            self._planned[(action.verb, action.key)] = (fleet, seen)
            if action.host not in self.machines:
                self.breaks("nonsense is not believed", f"{words(action)} is planned, and there is no such host")
            if action.host in seen.blind:
                self.breaks("blind is left alone", f"{words(action)} is planned while {seen.blind[action.host]}")
            want = fleet.workloads.get(action.ref)
            if self.suspended & {str(action.ref), str(want.owner) if want else "", "fleet"}:
                self.breaks("suspended is left alone", f"{words(action)} is planned")
            if action.verb == "create":
                self._one_copy_of_the_unseen(action, seen)
            if action.verb == "delete":
                self._replaced_first(action, fleet, seen)
        if self.plans % AGAIN_EACH == 0:
            self._same_again(fleet, seen, facts, now, result, planner)

    def _shut(self, fleet: FleetState, now: float) -> bool:
        """Whether nothing may be changed now, by what the newest revision says of that."""
        settings = settings_of(fleet)
        by_hand = settings.sync == "manual" and fleet.revision not in self.ordered
        shut = by_hand or not opening(settings.windows, now).open
        if not shut:
            self._let |= {(ref, want.instance, want.live) for ref, want in fleet.workloads.items()}
            self._let_gone = {one for one, _, _ in self._let} - fleet.workloads.keys()
        return shut

    def _waits_for_the_window(self, action: Action, fleet: FleetState) -> None:
        """What was let in may be healed at any time, and nothing else is done."""
        want = fleet.workloads.get(action.ref)
        if action.verb in ("create", "update") and want is not None and not is_hook(fleet, action.ref):
            if (action.ref, want.instance, want.live) not in self._let:
                self.breaks("windows", f"{words(action)} is planned while no change may be made")
        elif action.verb == "delete" and want is None and action.ref not in self._let_gone:
            self.breaks("windows", f"{words(action)} is planned, which is no longer wanted, while no change may be made")

    def _one_copy_of_the_unseen(self, action: Action, seen: ObservedState) -> None:
        for host, machine in self.machines.items():
            # A host that is declared lost, and cannot be seen, is not among the blind ones: nobody waits for it.
            if host in seen.blind and self.vices[host].outage:
                for ref, instance in machine.things:
                    if ref == action.ref and self._ours(machine.things[ref, instance]):
                        self.breaks("one copy", f"{words(action)} is planned while {host}, which has one, cannot be seen")

    def _replaced_first(self, action: Action, fleet: FleetState, seen: ObservedState) -> None:
        want = fleet.workloads.get(action.ref)
        if want is None or is_hook(fleet, action.ref):
            return
        allowed = Hosts(fleet).may_bear(want)
        others = [one for one in seen.of(action.ref) if one.key != action.key and one.instance == want.instance]
        if not any(one.host in allowed and one.health.status == "healthy" for one in others):
            self.breaks("replaced first", f"{words(action)} is planned before a replacement is seen healthy")

    def _same_again(
        self, fleet: FleetState, seen: ObservedState, facts: Facts, now: float, result: Plan, planner: Planner
    ) -> None:
        turned = ObservedState(_turned(seen.resources), _turned(seen.blind), _turned(seen.foreign))
        shuffled = FleetState(
            fleet.revision,
            _turned(fleet.resources),
            _turned(fleet.workloads),
            _turned(fleet.traffic),
        )
        if planner(shuffled, turned, facts, now) != result:
            self.breaks("same again", "the plan depends on the order of what it is made from")
        if id(fleet) not in self._same and not facts.withheld:
            self._same.add(id(fleet))
            if self.fresh(fleet.revision) != fleet:
                self.breaks(
                    "same again", f"{fleet.revision} loaded from scratch is not what the loader that remembers made of it"
                )
        if facts.in_flight:
            # What is being deleted is left out, and which steps are deletes is not among the facts.
            return
        anew = Connector().connect(fleet, seen, {})
        for node, snapshot in facts.snapshots.items():
            if node in facts.awaiting:
                continue
            told = {one.version for resources in snapshot.resources.values() for one in resources.values()}
            wanted = {one.version for resources in anew[node].resources.values() for one in resources.values()}
            if told != wanted and not self.envoys.did["nacks"]:
                self.breaks("same again", f"what {node} is to be told is not what it is from scratch")

    def fresh(self, revision: str) -> FleetState | None:
        """This revision, loaded by somebody who remembers nothing; None when it has Problems."""
        if revision not in self._fresh:
            source = Followed(self.branch, Seams())
            self.branch.bells.pop()
            self._fresh[revision] = Loader(None, Seams()).load(source.tree(revision), source.read, source).fleet
        return self._fresh[revision]

    # What proxies are told

    def told(self, node: str, snapshot: Snapshot) -> None:
        for resources in snapshot.resources.values():
            for one in resources.values():
                if one.version in self.refused:
                    self.breaks(
                        "what is refused is not told again", f"{node} is told {one.type} {one.name}, which an Envoy refused"
                    )
        if self._fleets:
            self._told[snapshot.version] = self._fleets[-1]
            if node in self._last:
                self._moved_when_ready(node, self._last[node], snapshot, self._fleets[-1])
        self._last[node] = snapshot

    def _moved_when_ready(self, node: str, before: Snapshot, now: Snapshot, fleet: FleetState) -> None:
        """Where requests are answered, or will be again, they stay until they are answered elsewhere."""
        if self.envoys.did["nacks"]:
            # What replaces what is refused is what there is.
            return
        earlier, declared = hosts_of(before), {str(want.owner) for want in fleet.workloads.values()}
        for host, (_, clusters) in hosts_of(now).items():
            old, new = earlier.get(host, ((), ()))[1], [one.eds for name in clusters if (one := now.get("cds", name))]
            for name in old:
                was = before.get("cds", name)
                for eds in new if was is not None and was.eds not in new else ():
                    served = was is not None and was.eds.rpartition("/")[0] in declared and _healthy(before, was.eds)
                    if served and eds.rpartition("/")[0] in declared and not _healthy(now, eds):
                        self.breaks(
                            "moved when ready", f"{node} is told to send requests for {host} to {eds}, which is not there"
                        )

    def replacing(self, envoy: Envoy, told: Snapshot, old: XdsResource, new: XdsResource) -> None:
        """Where something that runs can be reached, requests are not sent to nothing instead."""
        fleet, target = self._told.get(told.version), eds_target(old.name)
        if fleet is None or target is None or self.disturbed or any(vices.stale_looks for vices in self.vices.values()):
            return
        wanted = {want.ref for want in fleet.workloads.values() if want.owner == target[0]}
        hosts = Hosts(fleet).declared
        alive = {
            (machine.address, port)
            for host, machine in self.machines.items()
            # Who declares a host lost says that nothing there runs.
            if hosts.get(host) != "lost"
            for (ref, _), thing in machine.things.items()
            if ref in wanted and thing.state == "running" and self._ours(thing)
            for port in thing.ports.values()
        }
        if endpoints_of(old) & alive and not endpoints_of(new) & alive:
            self.breaks("traffic stays", f"{envoy.node} is told to send nothing of {old.name} to what runs")

    # The store

    def stored(self, plan: Mapping[str, Any]) -> None:
        for step in plan["steps"]:
            for action in step["actions"]:
                self._stored.add((action["verb"], step["ref"], action["instance"], action["host"]))

    def accepted(self, revision: str) -> None:
        self.good = max(self.good, self.branch.number(revision))

    # The end

    def ended(self, foreign: Mapping[str, Mapping[Any, Any]], died: Iterable[str]) -> None:
        for host, before in foreign.items():
            now = others_of(self.machines[host], self.installation)
            before = {key: one for key, one in before.items() if one[0] not in self.ordered}
            if now != before:
                self.breaks("what is not ours is left alone", f"on {host}: {before} became {now}")
        for what in died:
            self.breaks("no thread dies", what)

    def kept(self, taken: Iterable[Outcome], stored: Iterable[Mapping[str, Any]], plain: Callable[[Outcome], Any]) -> None:
        """Every outcome that this life's loop has taken stands in the store."""
        left = list(stored)
        for outcome in taken:
            if plain(outcome) in left:
                left.remove(plain(outcome))
            else:
                self.breaks(
                    "outcomes are kept", f"{outcome.status} {words(outcome.action)} at {outcome.at:.3f} is not in the store"
                )

    def expected(self) -> FleetState | None:
        """What the fleet must come to: the head of the branch if it can be followed, else what was accepted last."""
        if not self.branch.head:
            return None
        head = self.fresh(self.branch.head)
        if head is not None and (head.resources or not self.good or self.number_of_head() == self.good):
            return head
        return self.fresh(f"r{self.good:03}") if self.good else None

    def number_of_head(self) -> int:
        return self.branch.number(self.branch.head)

    def differences(self) -> list[str]:
        """Where what runs is not what is wanted, each once; empty when it is."""
        fleet = self.expected()
        wanted = fleet.workloads if fleet is not None else {}
        found: list[str] = []
        there: dict[Ref, list[tuple[str, str, Thing]]] = {}
        for host, machine in self.machines.items():
            for (ref, instance), thing in machine.things.items():
                if self._ours(thing) and not (ref not in wanted and thing.want.deletion == "retain"):
                    there.setdefault(ref, []).append((host, instance, thing))
        for ref in sorted(wanted.keys() | there.keys()):
            mine = there.get(ref, [])
            want = wanted.get(ref)
            if fleet is not None and is_hook(fleet, ref):
                if any(thing.state == "running" for _, _, thing in mine):
                    found.append(f"{ref} is still running")
            elif want is None:
                found.append(f"{ref} is not wanted and runs on {', '.join(host for host, _, _ in mine)}")
            elif len(mine) != 1:
                found.append(f"{ref} runs {len(mine)} times: {[(host, instance) for host, instance, _ in mine]}")
            else:
                host, instance, thing = mine[0]
                assert fleet is not None
                if (instance, thing.live, thing.state) != (want.instance, want.live, "running"):
                    found.append(f"{ref} on {host} is {instance} {thing.live} {thing.state}, not {want.instance} {want.live}")
                if host not in Hosts(fleet).may_bear(want):
                    found.append(f"{ref} runs on {host}, which may not bear it")
        return found


def others_of(machine: Machine, installation: str) -> dict[Any, Any]:
    """What bears another mark, as it is."""
    return {
        key: (thing.installation, thing.want, thing.live, thing.state, tuple(sorted(thing.ports.items())))
        for key, thing in machine.things.items()
        if thing.installation != installation
    }


def _turned(mapping: Mapping[K, V]) -> dict[K, V]:
    return {key: mapping[key] for key in reversed([*mapping])}


def _healthy(snapshot: Snapshot, eds: str) -> bool:
    """Whether this assignment has an endpoint that is healthy."""
    resource = snapshot.get("eds", eds)
    if resource is None:
        return False
    message = endpoint_pb2.ClusterLoadAssignment.FromString(content(resource.body))
    return any(one.health_status == 1 for group in message.endpoints for one in group.lb_endpoints)
