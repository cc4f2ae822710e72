"""What would be planned if another revision were the next one, from what the last plan was made from."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from reconciler.core import hooks
from reconciler.core.blend import blend, with_live
from reconciler.core.connect import Connector
from reconciler.core.facts import Facts
from reconciler.core.model import FleetState, ObservedState, Plan, Ref, Snapshot
from reconciler.core.overdue import Wait
from reconciler.core.place import staying, without_lost
from reconciler.core.plan import plan
from reconciler.core.premises import Premises
from reconciler.core.ready import Ready
from reconciler.core.release import InForce, Orders, decide


@dataclass(frozen=True, slots=True)
class Prospect:
    """The plan, and what it is made from: what the hosts show, and what would be known."""

    plan: Plan
    seen: ObservedState
    facts: Facts


def next_force(known: Premises, fleet: FleetState, orders: Orders, now: float) -> InForce:
    """What of it would come into force at once: the rest waits for a window, for somebody's word or for a hook."""
    # On a host that this declares lost no hook is waited for.
    seen = without_lost(fleet, known.seen)
    return decide(
        known.fleet, fleet, hooks.advance(known.facts.hooks, known.fleet, seen, now, known.facts.in_flight), orders, now
    )


def prospect(
    known: Premises,
    force: InForce,
    orders: Orders,
    versions: Mapping[Ref, str],
    unopened: Mapping[Ref, str],
    refused: Mapping[str, str],
    connector: Connector,
    now: float,
) -> Prospect:
    """`versions` and `unopened` are those of what is in `force`; `refused`: content version ⇒ an Envoy's words against it."""
    seen = without_lost(force.fleet, known.seen)
    wanted = connector.connect(force.fleet, staying(seen, known.ending), versions)
    snapshots, awaiting = _settled(wanted, known, refused, connector)
    facts = replace(known.facts, snapshots=snapshots, awaiting=awaiting, orders=orders, unopened=unopened)
    facts = replace(facts, hooks=force.runs, withheld=force.withheld)
    return Prospect(plan(force.fleet, seen, facts, now), seen, facts)


def _settled(
    wanted: Mapping[str, Snapshot], known: Premises, refused: Mapping[str, str], connector: Connector
) -> tuple[dict[str, Snapshot], dict[str, Wait]]:
    """What each proxy would be told, and what that waits for: what is wanted, without what its backends are not ready for, and
    without what its Envoy has refused, as the loop does it."""
    result: dict[str, Snapshot] = {}
    awaiting: dict[str, Wait] = {}
    ready = Ready()
    for node, snapshot in wanted.items():
        before, runs = known.wanted.get(node), known.facts.snapshots.get(node)
        if before is not None and runs is not None and before.version == snapshot.version:
            result[node] = runs
            if node in known.facts.awaiting:
                awaiting[node] = known.facts.awaiting[node]
            continue
        snapshot, wait = ready.part(snapshot, runs, connector)
        if wait is not None:
            awaiting[node] = wait
        fine = _versions(runs) if runs is not None and refused else frozenset()
        bad = {version: refused[version] for version in _versions(snapshot) - fine if version in refused} if refused else {}
        good = with_live(runs.resources, snapshot, connector.live) if bad and runs is not None else {}
        result[node] = blend(snapshot, bad, good).snapshot if bad else snapshot
    return result, awaiting


def _versions(snapshot: Snapshot) -> frozenset[str]:
    return frozenset(one.version for resources in snapshot.resources.values() for one in resources.values())
