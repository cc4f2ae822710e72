"""After a start: what nobody has looked at since is not known to be worse than it was, so nothing is told of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from reconciler.core import health
from reconciler.core.carried import carriers, told_as
from reconciler.core.facts import NOT_YET
from reconciler.core.handover import node_id
from reconciler.core.health import WELL, Word
from reconciler.core.model import Connected, FleetState, Ref
from reconciler.core.status import SYNC_ORDER, TRAFFIC_KINDS
from reconciler.core.statuses import Status, Statuses, Sync

# An Envoy that has tried in vain for long tries again after at most 30 s, and then takes in what it is told; half as much again
# for a machine that is busy with all that starts.
# https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/core/v3/grpc_service.proto#config-core-v3-grpcservice-envoygrpc
GRACE_S = 45.0


@dataclass(frozen=True, slots=True)
class Left:
    """What the last Convoy said: the revision in force, whether all was as declared, and how each thing was."""

    revision: str = ""
    converged: bool = False
    statuses: Mapping[Ref, Status] = field(default_factory=dict)


NOTHING = Left()


class Returning:
    """From a start until all is back that was there before, or the grace is over."""

    def __init__(self, left: Left) -> None:
        self._left, self._until = left, 0.0
        self._away = frozenset(node_id(ref) for ref in left.statuses if ref.kind == "Proxy")

    def away(self, connected: Mapping[str, Connected], now: float) -> frozenset[str]:
        """The proxies of before that have not taken in what they are told since the first round with a revision."""
        self._until = self._until or now + GRACE_S
        if now >= self._until:
            self._left, self._away = NOTHING, frozenset()
        back = {node for node in self._away if (one := connected.get(node)) is not None and one.sent and one.synced}
        self._away -= back
        return self._away

    @property
    def statuses(self) -> Mapping[Ref, Status]:
        return self._left.statuses

    def told(self, fleet: FleetState, found: Statuses, before: Mapping[Ref, Status]) -> Statuses:
        """`found` takes it that whoever is away has what it is to be told; where it was worse than that, it stays so. What is
        new in this revision is not known to be there yet. `before`: what the last round told."""
        left, same, changes = self._left.statuses, fleet.revision == self._left.revision, dict[Ref, Status | None]()
        if not left:
            return found
        touched = self._touched(fleet)
        # What rests is on no host, and no proxy has it.
        for ref in found if found.basis is None else found.basis.active:
            was, now = left.get(ref), found[ref]
            if NOT_YET in now.why:
                one = now if was is None else replace(now, sync=was.sync if same else now.sync, health=was.health)
            elif ref in touched:
                sync, word = self._floor(was, same=same, runs=now.health != "none")
                one = replace(now, sync=_worse(now.sync, sync), health=max(now.health, word, key=health.ORDER.index))
            else:
                continue
            if was is not None and (one.sync, one.health) == (was.sync, was.health):
                one = replace(one, why=was.why)
            elif ref in touched and not one.why:
                one = replace(one, why=f"proxy {touched[ref]} is not connected")
            old = before.get(ref)
            kept = old is not None and (old.sync, old.health) == (one.sync, one.health)
            changes[ref] = replace(one, since=old.since) if old is not None and kept else one
        return found.edited(changes) if changes else found

    @staticmethod
    def _floor(was: Status | None, *, same: bool, runs: bool) -> tuple[Sync, Word]:
        """What it is at best: nobody who is away is known to have what a newer revision tells."""
        if was is None:
            return "pending", "starting" if runs else "none"
        return was.sync if same else _worse(was.sync, "pending"), was.health

    def stands(self, fleet: FleetState, told: Mapping[Ref, Status]) -> bool:
        """Whether all was as declared, and nothing is known that speaks against it."""
        was = self._left.converged and fleet.revision == self._left.revision
        return was and all(one.sync == "synced" and one.health in WELL for one in told.values())

    def _touched(self, fleet: FleetState) -> dict[Ref, str]:
        """Declared resource ⇒ a proxy that is away, of those that its status speaks of."""
        if not self._away:
            return {}
        nodes: dict[Ref, str] = {}
        found: dict[Ref, str] = {}
        for resource in fleet.of("Proxy"):
            node = node_id(resource.ref)
            if node in self._away:
                found[resource.ref] = node
                nodes.setdefault(told_as(resource, fleet), node)
        for ref, keys in carriers(fleet).items():
            away = sorted(keys & nodes.keys())
            if away and ref.kind in TRAFFIC_KINDS:
                found[ref] = nodes[away[0]]
        return found


def _worse(one: Sync, other: Sync) -> Sync:
    return max(one, other, key=SYNC_ORDER.__getitem__)
