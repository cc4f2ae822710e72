"""The loop: what is wanted, what is seen, plan, hand out, record. Start reading here."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from reconciler.certificates import Certificates
from reconciler.core.connect import Connector
from reconciler.core.facts import Facts, Waiting
from reconciler.core.guard import fights
from reconciler.core.handover import node_id, reached_by, running_proxies, surplus_of
from reconciler.core.kinds.host import Host as HostSpec
from reconciler.core.model import XDS, FleetState, Key, Outcome, Plan, Problem, Snapshot
from reconciler.core.order import waiting
from reconciler.core.place import staying, without_lost
from reconciler.core.plan import plan
from reconciler.core.premises import Premises
from reconciler.core.returning import Returning
from reconciler.core.rollout import Scene
from reconciler.core.status import status
from reconciler.core.statuses import Statuses
from reconciler.drivers import Driver
from reconciler.guards import Guards
from reconciler.hosts import Host, Hosts
from reconciler.log import Log
from reconciler.metrics import Metrics
from reconciler.openings import Openings, closed
from reconciler.proxies import Proxies
from reconciler.record import Recalled, Record
from reconciler.releases import Releases
from reconciler.seams import Seams
from reconciler.store import StoreError
from reconciler.wanted import Accepted

# Even when nothing happens the loop looks again after this long: a hint may save work, never change the answer.
TICK_S = 5.0
STORE_RETRY_S = 1.0


@dataclass(frozen=True)
class View:
    """What the loop knows after a tick. `converged`: every resource is synced and nothing is planned or held. `asks`: nothing
    more is done before a person says something."""

    revision: str = ""
    refused: str = ""
    problems: tuple[Problem, ...] = ()
    unreadable: str = ""
    plan: Plan | None = None
    status: Statuses = field(default_factory=Statuses)
    outcomes: tuple[Outcome, ...] = ()
    converged: bool = False
    asks: bool = False


class Wish(Protocol):
    """What the loop follows."""

    @property
    def accepted(self) -> Accepted: ...

    def close(self) -> None: ...


class Loop:
    """One fleet. `tick` does one round; `run` does rounds whenever something wakes it."""

    def __init__(
        self,
        wanted: Wish,
        proxies: Proxies,
        certificates: Certificates,
        make_driver: Callable[[str, HostSpec], Driver],
        may_act: Callable[[], bool],
        guards: Guards,
        releases: Releases,
        record: Record,
        metrics: Metrics,
        log: Log,
        seams: Seams,
        wake: threading.Event,
        openings: Openings | None = None,
    ) -> None:
        self._openings = openings
        self.wanted, self.proxies, self.certificates = wanted, proxies, certificates
        self._make_driver, self._may_act, self._guards, self._record = make_driver, may_act, guards, record
        self._metrics, self._log, self._seams, self._wake = metrics, log, seams, wake
        self._releases = releases
        self.hosts = Hosts()
        self._connector = Connector()
        self._recalled: Recalled | None = None
        self._returning: Returning | None = None
        self._let_go: dict[Key, float] = {}
        self._waiting: Mapping[Waiting, float] = {}
        self._acked = ""
        self.view = View()
        # How many have been gone, so that others know when what they said has been heard.
        self.rounds = 0
        # What the last plan was made from: one value, so that whoever reads it in another thread has all of one round.
        self.premises: Premises | None = None

    def tick(self) -> View:
        """One round: look, plan, hand out, record. Never waits for a host, a proxy or the source."""
        now = self._seams.now()
        accepted = self.wanted.accepted
        # Before anything is written: what is there is what the last Convoy said.
        recalled = self._recall()
        if accepted.fleet is None:
            # No revision is in force: nothing is known to be wanted, so nothing is touched.
            self._record.nothing(accepted)
            self.view = View("", accepted.refused, accepted.problems, accepted.unreadable)
        else:
            self._returning = self._returning or Returning(recalled.left)
            self.view = self._round(accepted, accepted.fleet, self._returning, now)
        self._metrics.tick_done(now)
        self.rounds += 1
        return self.view

    def _round(self, accepted: Accepted, declared: FleetState, returning: Returning, now: float) -> View:
        self._know_hosts(declared)
        with self._metrics.stage("observe"):
            shown, in_flight = self.hosts.observed()
            # Asked for afterwards: of what is no longer under way it is known how it ended.
            outcomes = self.hosts.outcomes()
            self._record.outcomes(outcomes)
            orders = self._guards.orders(accepted.orders, declared.revision, accepted.noticed_at)
            # A host that is declared lost is so at once, whatever is withheld: no hook is waited for on it either.
            force = self._releases.decide(accepted, declared, orders, without_lost(declared, shown), now, in_flight)
            fleet = force.fleet
            seen = without_lost(fleet, shown)
            self.proxies.look()
            unopened = self._openings.problems(fleet) if self._openings else ()
        with self._metrics.stage("connect"):
            versions, ending = self.certificates.versions(fleet), self.hosts.ending()
            wanted = self._connector.connect(fleet, staying(seen, ending), versions)
            snapshots = self.proxies.settle(wanted, self._connector)
            facts = Facts(
                in_flight=in_flight,
                failures=dict(self.hosts.failures),
                connected=self.proxies.connected,
                snapshots=snapshots,
                awaiting=self.proxies.awaiting,
                published=self.proxies.versions(),
                reaches=self.proxies.reaches(snapshots),
                unopened=closed(unopened),
                away=returning.away(self.proxies.connected, now),
            )
            running = running_proxies(seen)
            surplus = surplus_of(fleet, seen)
            self._let_go = {o.key: self._let_go.get(o.key, now) for o in surplus if not reached_by(o, facts, running)}
            facts = replace(facts, let_go=self._let_go, waiting=self._waiting, hooks=force.runs, withheld=force.withheld)
            facts = self._guards.know(facts, orders, outcomes)
        with self._metrics.stage("plan"):
            planned = plan(fleet, seen, facts, now)
            known = facts
            self._waiting = waiting(planned, self._waiting, now)
            facts = replace(facts, failures=self.hosts.still_failing(planned))
        with self._metrics.stage("act"):
            self._guards.keep(fleet, seen, facts, accepted.noticed_at, self._releases.changes())
            self._releases.kept()
            if planned.actions and self._may_act():
                self._record.plan(planned)
                self.proxies.tell(tuple(a for a in planned.actions if a.host == XDS))
                self.hosts.hand(a for a in planned.actions if a.host != XDS)
            self.proxies.forget(
                {node_id(ref) for ref in fleet.workloads if ref.kind == "Proxy"} | self.proxies.connected.keys()
            )
        with self._metrics.stage("record"):
            problems = (*self.certificates.problems(fleet), *unopened)
            self.premises = Premises(fleet, shown, known, now, ending, wanted, versions, problems)
            refused = {problem.ref: str(problem) for problem in problems if problem.ref} | self.proxies.why_refused(wanted)
            rollouts = self._record.rollouts(Scene(declared, fleet, wanted, facts, refused, now))
            ends = self.certificates.ends(fleet)
            before = self.view.status or returning.statuses
            result = status(fleet, planned, seen, facts, refused, before, now, ends, rollouts)
            result = returning.told(fleet, result, before)
            self._count(accepted, fleet, planned, outcomes, result, wanted, fights(planned, facts), now)
            done = not planned.actions and not in_flight and not accepted.unreadable
            unwell = result.unwell.values()
            converged = done and not planned.held and not unwell
            asks = done and planned.wake_at is None and bool(planned.held) and all(one.release for one in planned.held)
            # Whom nobody could see now is looked at again without anybody's word.
            asks = asks and not seen.blind
            asks = asks and all(one.sync == "held" for one in unwell)
            doing = in_flight | {action.key for action in planned.actions if action.host != XDS}
            if force.withheld:
                # What is not in force yet is declared all the same.
                fleet = replace(fleet, resources={**fleet.resources, **declared.resources})
            stands = converged or returning.stands(fleet, result)
            self._record.round(accepted, fleet, planned, result, seen, doing, stands, self.proxies, wanted)
        return View(
            fleet.revision,
            accepted.refused,
            accepted.problems,
            accepted.unreadable,
            planned,
            result,
            tuple(outcomes),
            converged,
            asks,
        )

    def _know_hosts(self, fleet: FleetState) -> None:
        for resource in fleet.of("Host"):
            if isinstance(resource.spec, HostSpec):
                self.know_host(resource.ref.name, resource.spec)

    def know_host(self, name: str, spec: HostSpec) -> None:
        """Give the host a worker, unless it has one."""
        if name not in self.hosts.workers:
            recalled = self._recall()
            worker = Host(name, self._make_driver(name, spec), self._seams, self._wake.set, self._may_act)
            worker.recall(recalled.seen, recalled.doing)
            self.hosts.add(worker)

    def _recall(self) -> Recalled:
        if self._recalled is None:
            self._recalled = self._record.recall()
        return self._recalled

    def _count(
        self,
        accepted: Accepted,
        fleet: FleetState,
        planned: Plan,
        outcomes: list[Outcome],
        result: Statuses,
        wanted: dict[str, Snapshot],
        fighting: int,
        now: float,
    ) -> None:
        for outcome in outcomes:
            self._metrics.action(outcome)
            self._log.info(
                f"action.{outcome.status}",
                verb=outcome.action.verb,
                ref=str(outcome.action.ref),
                reason=outcome.error or outcome.action.reason,
            )
        self._metrics.fleet(fleet.revision, result, planned, accepted.problems, fighting)
        self._metrics.xds(self.proxies.server.counters())
        acked = all(node in self.proxies.connected and self.proxies.connected[node].synced for node in wanted) and not any(
            a.host == XDS for a in planned.actions
        )
        acked = acked and not self.proxies.awaiting
        if acked and wanted and fleet.revision != self._acked:
            self._acked = fleet.revision
            self._metrics.commit_acked(now - accepted.noticed_at)

    def run(self, until: Callable[[View], bool], stopped: threading.Event) -> View:
        """Rounds until `until` says so or `stopped` is set; a round is due when something wakes us, or its time comes."""
        while not stopped.is_set():
            self._wake.clear()
            try:
                view = self.tick()
            except StoreError as error:
                # What runs goes on running. The round is played again, and then everything is recorded anew.
                self._log.error("store.failed", error=str(error))
                self._record.forget()
                self._seams.wait(stopped, STORE_RETRY_S)
                continue
            if until(view):
                break
            wake_at = self.view.plan.wake_at if self.view.plan else None
            wait_s = TICK_S if wake_at is None else min(TICK_S, max(0.01, wake_at - self._seams.now()))
            self._seams.wait(self._wake, wait_s)
        return self.view

    def close(self) -> None:
        self.wanted.close()
        self.hosts.close()
