"""What a round leaves in the store: statuses, the plan, outcomes and events; only what changed is written."""

import contextlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.core.edition import differing
from reconciler.core.health import ORDER
from reconciler.core.model import XDS, FleetState, Health, Key, Observed, ObservedState, Outcome, Plan, Ref, Resource, Snapshot
from reconciler.core.returning import NOTHING, Left
from reconciler.core.rollout import Progress, Scene
from reconciler.core.show import outcome_json, plan_json, problem_json
from reconciler.core.show_events import fared
from reconciler.core.show_rollout import rollout_json
from reconciler.core.status import SYNC_ORDER, leftovers
from reconciler.core.statuses import Status
from reconciler.deliveries import Deliveries
from reconciler.log import Log
from reconciler.proxies import Proxies
from reconciler.rollouts import Rollouts
from reconciler.seams import Seams
from reconciler.store import Store
from reconciler.wanted import Accepted

# Fields of an Observed that stand in the row of its resource, beside its state.
SHOWN_FIELDS = ("address", "ports", "pid", "restarts", "exit", "log", "owner", "deletion")


@dataclass(frozen=True, slots=True)
class Recalled:
    """What the last Convoy saw last, what it may have been doing, and what it said of it."""

    seen: tuple[Observed, ...] = ()
    doing: frozenset[Key] = frozenset()
    left: Left = NOTHING


class Record:
    """Remembers what it has written, so that a round in which nothing happened writes nothing."""

    def __init__(self, store: Store, log: Log, seams: Seams) -> None:
        self._store, self._log, self._seams = store, log, seams
        # What became of actions and is not written yet, because the store could not be written since.
        self._untold: list[dict[str, Any]] = []
        self._deliveries, self._rollouts = Deliveries(store, seams), Rollouts(store)
        self.forget()

    def forget(self) -> None:
        """Whatever is there may be of an earlier Convoy, or half written: the next round writes all that differs."""
        self._written: dict[Ref, tuple[Status, tuple[Observed, ...]]] = {}
        # How all was in the last round, what was on a host, and what was declared where.
        self._last_round: tuple[Mapping[Ref, Status], frozenset[Ref], Mapping[Ref, Resource]] = ({}, frozenset(), {})
        self._plan: Plan | None = None
        self._written_state: dict[str, Any] | None = None
        # What was in the store when we began: printed ref ⇒ whether it was as declared, and how it fared.
        self._left: dict[str, tuple[str, str]] | None = None
        self._deliveries.forget()
        self._rollouts.forget()

    def rollouts(self, scene: Scene) -> Mapping[Ref, Progress]:
        """Where each Rollout stands; the round that is recorded next keeps it."""
        return self._rollouts.advance(scene)

    def plan(self, planned: Plan) -> None:
        """Before anything of it is done: whoever asks what was done and why finds it, even if we are killed at it."""
        if planned != self._plan:
            self._plan = None
            self._store.put_plan(planned.revision, plan_json(planned), self._seams.now())
            self._plan = planned

    def outcomes(self, taken: Iterable[Outcome]) -> None:
        """Keep these for the next round that can be written."""
        self._untold.extend(outcome_json(outcome) for outcome in taken)

    def round(
        self,
        accepted: Accepted,
        fleet: FleetState,
        planned: Plan,
        result: Mapping[Ref, Status],
        seen: ObservedState,
        in_flight: Iterable[Key],
        converged: bool,
        proxies: Proxies,
        told: Mapping[str, Snapshot],
    ) -> None:
        """`told`: what the revision says each proxy is to be told."""
        bearing: dict[Ref, list[Observed]] = defaultdict(list)
        for one in seen.resources.values():
            bearing[one.ref].append(one)
        with self._store.batch():
            self._statuses(fleet, planned, result, bearing)
            self.plan(planned)
            self._store.add_outcomes(self._untold)
            self._state(accepted, fleet.revision, converged, in_flight, Counter(seen.foreign.values()))
            kept = self._deliveries.keep(told, proxies.published, proxies.connected), self._rollouts.keep()
        # Only now: what could not be written is told by the next round.
        self._untold = []
        for done in kept:
            done()

    def nothing(self, accepted: Accepted) -> None:
        """No revision is in force yet: say why. Nobody has looked yet just after a start: then what was said before stands."""
        if accepted == Accepted() and self._store.state():
            return
        self._state(accepted, "", False)

    def recall(self) -> Recalled:
        """What was seen, and may have been under way, is as good as known until its host is seen again."""
        seen: list[Observed] = []
        statuses: dict[Ref, Status] = {}
        for row in self._store.status().values():
            with _spoiled():
                seen += [recalled(Ref.parse(row["ref"]), one) for one in row["instances"]]
            with _spoiled():
                statuses |= status_in(row)
        state, plan = self._store.state() or {}, self._store.last_plan() or {}
        doing: set[Key] = set()
        with _spoiled():
            doing |= {(host, Ref.parse(ref), instance) for host, ref, instance in state["inFlight"]}
        with _spoiled():
            for step in plan["steps"]:
                for action in step["actions"]:
                    if action["host"] != XDS:
                        doing.add((action["host"], Ref.parse(step["ref"]), action["instance"]))
        left = Left(str(state.get("revision", "")), state.get("converged") is True, statuses)
        return Recalled(tuple(seen), frozenset(doing), left)

    def _state(
        self,
        accepted: Accepted,
        revision: str,
        converged: bool,
        in_flight: Iterable[Key] = (),
        foreign: Mapping[str, int] | None = None,
    ) -> None:
        now = {
            "revision": revision,
            "signer": accepted.signer,
            "notes": list(accepted.notes),
            "refused": accepted.refused,
            "unreadable": accepted.unreadable,
            "problems": [problem_json(problem) for problem in accepted.problems],
            "converged": converged,
            "inFlight": sorted([host, str(ref), instance] for host, ref, instance in in_flight),
            # Installations whose marks were seen that are not ours, and on how many things.
            "foreign": dict(sorted((foreign or {}).items())),
        }
        if now != self._written_state:
            before = self._written_state or self._store.state() or {}
            self._written_state = now
            self._store.put_state(now)
            if converged and (before.get("converged"), before.get("revision")) != (True, revision):
                self._store.event("fleet.converged", revision, "")

    def _statuses(
        self, fleet: FleetState, planned: Plan, result: Mapping[Ref, Status], bearing: Mapping[Ref, list[Observed]]
    ) -> None:
        changed: dict[str, dict[str, Any] | None] = {}
        events: list[tuple[str, str, str]] = []
        fresh = self._left is None
        if self._left is None:
            rows = self._store.status().items()
            self._left = {name: (str(row.get("sync")), str(row.get("health"))) for name, row in rows}
        left = leftovers({ref: found for ref, found in bearing.items() if ref not in result}, planned)
        last, had, declared = self._last_round
        moved = _moved(declared, fleet)
        # Of thousands nearly all are as they were, on no host then or now.
        for ref in {*differing(last, result), *bearing, *had, *moved}:
            if ref not in result and ref not in bearing:
                if self._written.pop(ref, None) is not None:
                    changed[str(ref)] = None
                continue
            before = self._written.get(ref)
            instances = tuple(sorted(bearing.get(ref, ()), key=lambda o: (o.host, o.instance)))
            now = (result.get(ref) or left[ref], instances)
            if before == now and ref not in moved:
                continue
            self._written[ref] = now
            changed[str(ref)] = status_json(fleet, ref, *now)
            was = (before[0].sync, before[0].health) if before is not None else self._left.get(str(ref), ("", now[0].health))
            if ref in result and was[0] != now[0].sync:
                events.append((f"status.{now[0].sync}", str(ref), now[0].why))
            # Of proxies alone: of thousands of containers it would be all that can be read.
            if ref.kind == "Proxy" and ref in result and was[1] != now[0].health:
                events.append((f"health.{now[0].health}", str(ref), fared(was[1], now[0].why)))
        if fresh:
            changed.update(dict.fromkeys(self._left.keys() - {str(known) for known in self._written}))
            self._left = {}
        self._last_round = result, frozenset(bearing), fleet.resources
        self._store.add_events(events)
        if changed:
            self._store.put_status(changed)


def _moved(before: Mapping[Ref, Resource], fleet: FleetState) -> frozenset[Ref]:
    """What is declared at another place than before, though it may say the same, with all that runs because of it."""
    now = fleet.resources
    moved = frozenset(ref for ref in differing(before, now) if _place(before.get(ref)) != _place(now.get(ref)))
    return moved.union(ref for ref, want in fleet.workloads.items() if want.owner in moved) if moved else moved


def _place(declared: Resource | None) -> tuple[Any, ...]:
    return (declared.source.file, declared.source.line, declared.layers) if declared is not None else ()


@contextlib.contextmanager
def _spoiled() -> Iterator[None]:
    """What stands in a row is a hint of what was: one that makes no sense is none, and must not keep Convoy from starting."""
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
        yield


def recalled(ref: Ref, shown: Mapping[str, Any]) -> Observed:
    """The instance in a row of `status_json`, as it was seen then."""
    fields = {name: shown.get(name) for name in ("state", *SHOWN_FIELDS)}
    health = Health(shown["health"], message=shown["message"])
    return Observed(ref, shown["instance"], shown["host"], fields, health, shown["since"])


def status_in(row: Mapping[str, Any]) -> dict[Ref, Status]:
    """What `status_json` made of a Status; nothing where no declared thing's stands there."""
    sync, word, since, why = row["sync"], row["health"], float(row["since"]), row["why"]
    if sync not in SYNC_ORDER or word not in ORDER or not isinstance(why, str):
        return {}
    ref = Ref.parse(row["ref"])
    return {ref: Status(ref, sync, word, since, why)}


def status_json(fleet: FleetState, ref: Ref, status: Status, instances: tuple[Observed, ...]) -> dict[str, Any]:
    """A row as `convoy status` and `get` show it."""
    declared = fleet.resources.get(ref) or fleet.resources.get(getattr(fleet.workloads.get(ref), "owner", ref))
    return {
        "ref": str(ref),
        "sync": status.sync,
        "health": status.health,
        "since": status.since,
        "why": status.why,
        **({"rollout": rollout_json(status.rollout)} if status.rollout is not None else {}),
        "declared": ref in fleet.resources,
        "owner": str(getattr(fleet.workloads.get(ref), "owner", instances[0].fields.get("owner") or ref if instances else ref)),
        "where": f"{declared.source.file}:{declared.source.line}" if declared else "",
        # What an environment's layers made of the document that stands there.
        **({"layers": [f"{one.file}:{one.line}" for one in declared.layers]} if declared and declared.layers else {}),
        "instances": [
            {
                "instance": one.instance,
                "host": one.host,
                "state": one.fields.get("state"),
                "health": one.health.status,
                "message": one.health.message,
                "since": one.since,
                **{name: one.fields.get(name) for name in SHOWN_FIELDS},
            }
            for one in instances
        ],
    }
