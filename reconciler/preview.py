"""A look at what would be done now, from a state directory alone: nothing is changed to find out."""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast

from reconciler.certificates import Certificates
from reconciler.compare import edited
from reconciler.core.connect import Connector
from reconciler.core.edits import Edit
from reconciler.core.facts import Facts
from reconciler.core.guard import owners
from reconciler.core.handover import node_id
from reconciler.core.kinds.host import Host as HostSpec
from reconciler.core.model import FleetState, Key, Observed, ObservedState, Plan, Problem, Ref, Snapshot
from reconciler.core.premises import Premises
from reconciler.core.prospect import next_force, prospect
from reconciler.core.status import status
from reconciler.core.statuses import Status
from reconciler.drivers import DriverError
from reconciler.guards import Guards
from reconciler.homes import Homes
from reconciler.openings import Openings, closed
from reconciler.releases import Releases
from reconciler.seams import Seams
from reconciler.store import Damaged, Store
from reconciler.wanted import Wanted


@dataclass(frozen=True)
class Preview:
    """What would be done now."""

    revision: str = ""
    fleet: FleetState | None = None
    problems: tuple[Problem, ...] = ()
    plan: Plan | None = None
    status: Mapping[Ref, Status] = field(default_factory=dict)
    unreadable: str = ""
    # Secrets that cannot be opened or used here: what needs them alone will not be as declared.
    unopened: tuple[Problem, ...] = ()
    # Documents that differ from those in force; and what workloads come from, also those that are not declared any more.
    edits: tuple[Edit, ...] = ()
    owners: Mapping[Ref, Ref] = field(default_factory=dict)


def preview(
    wanted: Wanted,
    look: Callable[[FleetState], ObservedState],
    store: Store,
    certificates: Certificates,
    openings: Openings,
    guards: Guards,
    seams: Seams,
) -> Preview:
    """Load the source, `look` at the hosts, plan. What is in force, what waits, what Envoys have refused and what people said
    is known from the store: as a Convoy that begins now would, and one at work on it does. Raises StoreError."""
    accepted = wanted.look()
    fleet = accepted.fleet
    if fleet is None or accepted.problems or accepted.unreadable:
        return Preview(accepted.refused, None, accepted.problems, unreadable=accepted.unreadable)
    releases, seen, now = Releases(store), look(fleet), seams.now()
    good = _good(store, fleet)
    facts = Facts(snapshots=good, published={node: snapshot.version for node, snapshot in good.items()}, hooks=releases.runs)
    orders = guards.orders(accepted.orders, fleet.revision, accepted.noticed_at)
    facts = guards.know(facts, orders, ())
    known = Premises(releases.base(accepted, fleet), seen, facts, now)
    force = next_force(known, fleet, orders, now)
    versions, unopened = certificates.versions(force.fleet), closed(openings.problems(force.fleet, None))
    found = prospect(known, force, orders, versions, unopened, store.refused(), Connector(), now)
    problems = (*certificates.problems(force.fleet), *openings.problems(fleet, None))
    refused = {problem.ref: str(problem) for problem in problems if problem.ref}
    result = status(force.fleet, found.plan, found.seen, found.facts, refused, {}, now)
    changed = edited(store, fleet, wanted.documents)
    return Preview(fleet.revision, fleet, (), found.plan, result, "", problems, changed, owners(fleet, found.seen))


def look_once(homes: Homes, fleet: FleetState) -> ObservedState:
    """What the hosts show at this moment, those that are not declared any more too."""
    resources: dict[Key, Observed] = {}
    blind: dict[str, str] = {}
    foreign: dict[Key, str] = {}
    specs = {name: HostSpec() for name in homes.known()}
    specs |= {resource.ref.name: cast(HostSpec, resource.spec) for resource in fleet.of("Host")}
    for name, spec in specs.items():
        try:
            with contextlib.closing(homes.driver(name, spec)) as driver:
                resources.update({one.key: one for one in driver.observe()})
                foreign |= {(name, *what): whose for what, whose in driver.foreign().items()}
        except DriverError as error:
            blind[name] = str(error)
    return ObservedState(resources, blind, foreign)


def _good(store: Store, fleet: FleetState) -> dict[str, Snapshot]:
    """Node ⇒ what its proxy is known to run."""
    found: dict[str, Snapshot] = {}
    for resource in fleet.of("Proxy"):
        node = node_id(resource.ref)
        try:
            snapshot = store.good(node)
        except Damaged:
            continue
        if snapshot is not None:
            found[node] = snapshot
    return found
