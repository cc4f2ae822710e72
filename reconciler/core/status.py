"""status(): for every declared resource, whether it is as declared, how it fares, since when, and why not."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from types import MappingProxyType

from reconciler.core import findings, health, rollout
from reconciler.core.carried import carriers, told_as
from reconciler.core.edition import Telling
from reconciler.core.facts import NOT_YET, Facts, Failure
from reconciler.core.handover import node_id
from reconciler.core.health import Verdict, Word
from reconciler.core.hooks import RETRY, HookRun
from reconciler.core.model import FleetState, Held, Observed, ObservedState, Plan, Ref, settings_of
from reconciler.core.own_health import Rules, by_kind, judged
from reconciler.core.rollout import Progress
from reconciler.core.statuses import Basis, Status, Statuses, Sync

UNUSED = "not used by any proxy"
NEVER: Mapping[Ref, float] = MappingProxyType({})
NONE: Mapping[Ref, Progress] = MappingProxyType({})
TRAFFIC_KINDS = frozenset({"ProxyGroup", "Configuration", "Cluster", "VirtualHost", "Certificate"})


def status(
    wanted: FleetState,
    plan: Plan,
    seen: ObservedState,
    facts: Facts,
    refused: Mapping[Ref, str],
    before: Mapping[Ref, Status],
    now: float,
    ends: Mapping[Ref, float] = NEVER,
    rollouts: Mapping[Ref, Progress] = NONE,
) -> Statuses:
    """`refused` says what Envoys have refused of each resource, in their words; `ends` when Certificates do (Unix seconds).

    What `before`, the last round's, knows to rest is not looked at again.
    """
    rules = by_kind(settings_of(wanted).health)
    groups = _groups(wanted)
    waits = {node: _waiting(node, facts) for nodes in groups.values() for node in nodes}
    works, parts = _workloads(wanted, plan, seen, facts, refused, rules, waits, now)
    told = {group: _group(group, nodes, waits, now) for group, nodes in groups.items()}
    carried = carriers(wanted)
    traffic = findings.Told(wanted, groups, waits, facts)
    bearing = Counter(one.host for one in seen.resources.values())
    result, anew = dict[Ref, Status](), list[Ref]()
    alone = frozenset(TRAFFIC_KINDS - rules.keys() - {"Certificate"})
    last = before if isinstance(before, Statuses) else None
    some = _perhaps_other(wanted, last, alone, (carried, refused)) if last is not None else None
    for ref in chain(wanted.resources, wanted.workloads) if some is None else some:
        if ref in result or (some is not None and ref not in wanted.resources and ref not in wanted.workloads):
            continue
        old = before.get(ref) if ref.kind in alone and ref not in carried and ref not in refused else None
        if old is not None and old.why == UNUSED and (old.sync, old.health) == ("synced", "none"):
            # Of thousands nearly all.
            result[ref] = old
            continue
        anew.append(ref)
        resource = wanted.resources.get(ref)
        if resource is not None and resource.hook is not None:
            result[ref] = _hook(ref, facts.hooks.get(ref), plan, now)
        elif ref in refused and ref not in wanted.workloads:
            result[ref] = Status(ref, "refused", "none", now, refused[ref])
        elif ref in works:
            found: health.Seen | None = findings.application(parts[ref]) if ref.kind == "Application" else None
            result[ref] = _faring(_worst(ref, works[ref], now), found, wanted, rules)
        elif ref.kind == "Application":
            result[ref] = _faring(Status(ref, "synced", "none", now), health.Application(), wanted, rules)
        elif ref.kind == "Host":
            found = findings.host(ref, wanted, seen, bearing)
            result[ref] = _faring(_host(ref, found, now), found, wanted, rules)
        elif ref.kind in alone and ref not in carried:
            result[ref] = Status(ref, "synced", "none", now, UNUSED)
        elif ref.kind in TRAFFIC_KINDS:
            sync = _worst(ref, [told[g] for g in carried.get(ref, ()) if g in told], now)
            if ref.kind == "Certificate":
                found = findings.certificate(ref, wanted, ends, now)
            else:
                found = traffic.traffic(ref, carried.get(ref, ()))
            result[ref] = _faring(sync, found, wanted, rules)
        elif ref in rollouts:
            result[ref] = _rollout(ref, rollouts[ref], now)
        else:
            result[ref] = Status(ref, "synced", "none", now)
    for ref, held in facts.withheld.items():
        # What only has to wait its turn waits for nobody.
        how, words = _held(held)
        known = result.get(ref)
        result[ref] = Status(ref, how, known.health if known else "none", now, words, known.rollout if known else None)
    for ref in (*anew, *facts.withheld):
        old, one = before.get(ref), result[ref]
        if old is not None and old is not one and (old.sync, old.health) == (one.sync, one.health):
            # Of thousands nearly all are as they were: the same object, which nobody has to compare.
            same = (old.why, old.rollout) == (one.why, one.rollout)
            result[ref] = old if same else replace(one, since=old.since)
    basis = Basis(wanted.resources, alone, dict.fromkeys((*anew, *facts.withheld)))
    if last is None or some is None:
        return Statuses(result, basis)
    changes: dict[Ref, Status | None] = {ref: one for ref, one in result.items() if last.get(ref) is not one}
    gone = (ref for ref in some if ref not in result and ref in last)
    return last.edited({**changes, **dict.fromkeys(gone)}, basis)


def _perhaps_other(
    wanted: FleetState, last: Statuses, alone: frozenset[str], busy: Iterable[Iterable[Ref]]
) -> dict[Ref, None] | None:
    """All that may not be as it was; None where that may be anything. What no proxy carries does not change by itself."""
    if last.basis is None or last.basis.resting != alone:
        return None
    changed = wanted.resources.differing(last.basis.resources) if isinstance(wanted.resources, Telling) else None
    if changed is None:
        return None
    return dict.fromkeys(chain(last.basis.active, changed, wanted.workloads, *busy))


def _workloads(
    wanted: FleetState,
    plan: Plan,
    seen: ObservedState,
    facts: Facts,
    refused: Mapping[Ref, str],
    rules: Mapping[str, Rules],
    waits: Mapping[str, str],
    now: float,
) -> tuple[dict[Ref, list[Status]], dict[Ref, list[tuple[Observed | None, Verdict]]]]:
    """Workload, and declared resource that workloads come from ⇒ how each of them is; and of the latter, what was seen."""
    bearing = {(one.ref, one.instance): one for one in seen.resources.values()}
    doing = {action.ref: f"{action.verb}: {action.reason}" for action in plan.actions}
    instances = {ref: want.instance for ref, want in wanted.workloads.items()}
    failures = {key[1]: failure for key, failure in facts.failures.items() if instances.get(key[1]) == key[2]}
    holding = _holding(plan)
    deadline_s = settings_of(wanted).start_deadline_s
    works: dict[Ref, list[Status]] = defaultdict(list)
    parts: dict[Ref, list[tuple[Observed | None, Verdict]]] = defaultdict(list)
    for ref, want in wanted.workloads.items():
        current = bearing.get((ref, want.instance))
        waiting = waits.get(node_id(ref), "") if ref.kind == "Proxy" else ""
        own = rules.get(ref.kind, ())
        if ref.kind == "Proxy":
            proxy = findings.proxy(current, node_id(ref), waiting, facts)
            verdict = judged(proxy, own, ref, _labels(wanted, ref, want.owner))
        elif not own and current is not None and current.health.status == "healthy":
            # So are nearly all, of thousands, in every round.
            verdict = health.WELL_VERDICT
        else:
            verdict = judged(findings.instance(current), own, ref, _labels(wanted, ref, want.owner))
        if ref in plan.left:
            one = Status(ref, "synced", verdict.status if current else "none", now, plan.left[ref])
        else:
            sync, why = _sync(ref, current, verdict, refused, failures, doing, holding, deadline_s, waiting, now)
            one = Status(ref, sync, verdict.status, now, why)
        works[ref].append(one)
        if want.owner != ref:
            works[want.owner].append(one)
            parts[want.owner].append((current, verdict))
    return works, parts


def _labels(wanted: FleetState, ref: Ref, owner: Ref) -> Mapping[str, str]:
    declared = wanted.resources.get(ref) or wanted.resources.get(owner)
    return declared.labels if declared is not None else {}


def _faring(one: Status, found: health.Seen | None, wanted: FleetState, rules: Mapping[str, Rules]) -> Status:
    """With how it fares; why is what keeps it from being as declared, else what its health has to say."""
    if found is None:
        return one
    verdict = judged(found, rules.get(one.ref.kind, ()), one.ref, _labels(wanted, one.ref, one.ref))
    return Status(one.ref, one.sync, verdict.status, one.since, one.why or verdict.message, one.rollout)


def _holding(plan: Plan) -> dict[Ref, Held]:
    """Workload ⇒ its hold, one that waits for a person before all others."""
    holding: dict[Ref, Held] = {}
    for held in plan.held:
        if held.ref not in holding or (held.release and not holding[held.ref].release):
            holding[held.ref] = held
    return holding


def _held(held: Held) -> tuple[Sync, str]:
    if not held.release:
        return "pending", held.reason
    return ("drifted" if held.drifted else "held"), f"{held.reason}; to go on: {held.release}"


def leftovers(instances: Mapping[Ref, Sequence[Observed]], plan: Plan) -> dict[Ref, Status]:
    """How things stand that are on a host and that no revision declares any more."""
    holding = _holding(plan)
    result: dict[Ref, Status] = {}
    for ref, found in instances.items():
        first = found[0]
        sync: Sync
        why: str
        if ref in plan.left:
            sync, why = "synced", plan.left[ref]
        elif ref in holding and holding[ref].release:
            sync, why = _held(holding[ref])
        else:
            sync, why = "pending", "no longer declared"
        result[ref] = Status(ref, sync, first.health.status, first.since, why)
    return result


def _sync(
    ref: Ref,
    current: Observed | None,
    verdict: Verdict,
    refused: Mapping[Ref, str],
    failures: Mapping[Ref, Failure],
    doing: Mapping[Ref, str],
    holding: Mapping[Ref, Held],
    deadline_s: float,
    waiting: str,
    now: float,
) -> tuple[Sync, str]:
    healthy = current is not None and current.health.status == "healthy"
    if ref in refused:
        return "refused", refused[ref]
    if ref in failures:
        return "failed", failures[ref].error
    if current is not None and not healthy and now - current.since > deadline_s:
        return "failed", f"not healthy within {deadline_s:g} s: {verdict.message}".rstrip(": ")
    if ref in doing:
        return "pending", doing[ref]
    if ref in holding:
        return _held(holding[ref])
    if current is None:
        return "pending", "missing"
    return ("pending", waiting) if waiting else ("synced", verdict.message)


def _hook(ref: Ref, run: HookRun | None, plan: Plan, now: float) -> Status:
    """A hook is neither well nor unwell: what counts is how its last run ended."""
    if run is None or run.state == "idle":
        return Status(ref, "synced", "none", now, "a hook; nothing it is for has changed since it is here")
    if run.state == "succeeded":
        return Status(ref, "synced", "none", now, f"succeeded for revision {run.revision[:12]}")
    if run.state == "failed":
        why = f"failed for revision {run.revision[:12]}: {run.why}; to go on: {RETRY}"
        return Status(ref, "failed", "none", now, why)
    held = _holding(plan).get(ref)
    if held is None:
        return Status(ref, "pending", "none", now, "is to run")
    sync, why = _held(held)
    return Status(ref, sync, "none", now, why)


def _rollout(ref: Ref, progress: Progress, now: float) -> Status:
    """A record is as it is declared; what it is about has come so far."""
    stands: Mapping[rollout.State, tuple[Sync, Word]] = {
        "pending": ("pending", "starting"),
        "in_progress": ("pending", "starting"),
        "completed": ("synced", "healthy"),
        "failed": ("failed", "degraded"),
        "superseded": ("synced", "none"),
    }
    return Status(ref, *stands[progress.state], now, rollout.why(progress), progress)


def _host(ref: Ref, found: health.Host, now: float) -> Status:
    if found.seen or found.state == "lost":
        return Status(ref, "synced", "none", now)
    return Status(ref, "pending" if found.blind == NOT_YET else "held", "none", now, found.blind)


def _waiting(node: str, facts: Facts) -> str:
    """What this proxy still has to do, in words; empty when it runs all it was told."""
    snapshot, connected = facts.snapshots.get(node), facts.connected.get(node)
    if node in facts.away:
        return ""
    if snapshot is None:
        return "nothing to tell it yet"
    if connected is None:
        return f"proxy {node} is not connected"
    if connected.sent != snapshot.version or not connected.synced:
        return f"proxy {node} has not acknowledged its configuration"
    wait = facts.awaiting.get(node)
    return f"proxy {node} {wait.why}" if wait is not None else ""


def _groups(wanted: FleetState) -> dict[Ref, list[str]]:
    groups: dict[Ref, list[str]] = {resource.ref: [] for resource in wanted.of("ProxyGroup")}
    for resource in wanted.of("Proxy"):
        groups.setdefault(told_as(resource, wanted), []).append(node_id(resource.ref))
    return groups


def _group(ref: Ref, nodes: list[str], waits: Mapping[str, str], now: float) -> Status:
    why = [waits[node] for node in sorted(nodes) if waits[node]]
    if not why:
        return Status(ref, "synced", "none", now)
    return Status(ref, "pending", "none", now, why[0] + (f" (and {len(why) - 1} more)" if len(why) > 1 else ""))


SYNC_ORDER: Mapping[Sync, int] = {"synced": 0, "pending": 1, "drifted": 2, "held": 3, "failed": 4, "refused": 5}


def _worst(ref: Ref, parts: Iterable[Status], now: float) -> Status:
    listed = list(parts)
    if not listed:
        return Status(ref, "synced", "none", now, UNUSED)
    if len(listed) == 1 and listed[0].ref == ref:
        return listed[0]
    worst = max(listed, key=lambda s: SYNC_ORDER[s.sync])
    worst_health = max((s.health for s in listed), key=health.ORDER.index)
    why = worst.why or next((s.why for s in listed if s.why), "")
    return Status(ref, worst.sync, worst_health, now, why if worst.ref == ref or not why else f"{worst.ref}: {why}")
