"""What of a revision is in force: all of it, save what a sync window, a person's word or a hook is still awaited for."""

import contextlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from reconciler.core import edition, hooks
from reconciler.core.carried import carried_by, group_of, own_told
from reconciler.core.facts import FLEET, Order
from reconciler.core.hooks import HookRun, Runs
from reconciler.core.kinds import KINDS
from reconciler.core.kinds.host import Host
from reconciler.core.model import FleetState, Held, Ref, Resource, settings_of
from reconciler.core.select import Selector, SelectorError
from reconciler.core.windows import Windows

Orders = Mapping[tuple[str, str], Order]
NOTHING = FleetState("", {}, {})
OVERRIDE = "wait, or `convoy sync --override-window REASON`"
BY_HAND = "`convoy sync`"
PROXIES = ("Proxy", "ProxyGroup")


@dataclass(frozen=True, slots=True)
class InForce:
    """What the loop goes by: `fleet`, in which each resource is as this revision or as an earlier one has it; `withheld`, why
    what differs from the revision does; `runs`, the hooks' runs that this asks for."""

    fleet: FleetState
    withheld: Mapping[Ref, Held] = field(default_factory=dict)
    runs: Runs = field(default_factory=dict)


def decide(base: FleetState, wanted: FleetState, runs: Runs, orders: Orders, now: float) -> InForce:
    """`base` is what is in force so far. What it already has as the revision wants it is never asked about again."""
    differing = changed(base, wanted)
    retries = _retries(orders)
    asked = [hook for hook in hooks.hooks_of(wanted) if hook.hook is not None]
    asked += [hook for hook in hooks.hooks_of(base) if hook.ref not in wanted.resources]
    quiet = not differing and not retries and all(_quiet(runs.get(hook.ref), wanted.revision) for hook in asked)
    if quiet:
        return InForce(
            compose(base, wanted, (), differing), {}, {ref: run for ref, run in runs.items() if ref in wanted.resources}
        )
    held = _whole(_by_rules(base, wanted, differing, orders, now), base, wanted, differing)
    target = compose(base, wanted, held, differing)
    runs = dict(runs)
    waiting: dict[Ref, Held] = {}
    changing = differing - held.keys()
    for hook in hooks.hooks_of(target):
        waiting |= _before(hook, base, target, changing, runs, retries, now)
    if waiting:
        held = _whole({**waiting, **held}, base, wanted, differing)
        target = compose(base, wanted, held, differing)
    changing = differing - held.keys()
    for hook in hooks.hooks_of(target):
        _after(hook, base, target, changing, runs, retries, now)
    return InForce(target, held, {ref: run for ref, run in runs.items() if ref in target.resources})


def _quiet(run: HookRun | None, revision: str) -> bool:
    return run is not None and (run.state != "failed" or run.revision == revision)


def changed(base: FleetState, wanted: FleetState) -> frozenset[Ref]:
    """What these two declare differently. Documents that say the same are the same, wherever they stand."""
    then, now = base.resources, wanted.resources
    return frozenset(ref for ref in edition.differing(then, now) if not _same(then.get(ref), now.get(ref)))


def _same(one: Resource | None, other: Resource | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.digest == other.digest and (bool(one.digest) or one.spec == other.spec)


# Windows, and words of people


def _by_rules(base: FleetState, wanted: FleetState, differing: Collection[Ref], orders: Orders, now: float) -> dict[Ref, Held]:
    settings = settings_of(wanted)
    if not differing or (settings.sync == "automatic" and not settings.windows):
        return {}
    released = ordered("sync", orders, base, wanted) if settings.sync == "manual" else lambda _: True
    overridden = ordered("override", orders, base, wanted)
    windows = Windows(settings.windows, now)
    held: dict[Ref, Held] = {}
    for ref in sorted(differing):
        resource = wanted.resources.get(ref) or base.resources[ref]
        if _at_once(resource):
            continue
        if not released(ref):
            held[ref] = Held(ref, "changes are made by hand here (`sync: manual`)", release=BY_HAND)
            continue
        said = windows.opening(ref, resource.labels)
        if not said.open and not overridden(ref):
            held[ref] = Held(ref, said.why, said.until, release=OVERRIDE)
    return held


def _at_once(resource: Resource) -> bool:
    """Settings say how, not what; and what is lost with its host is put back elsewhere as after any accident."""
    return resource.ref.kind == "Settings" or (isinstance(resource.spec, Host) and resource.spec.state == "lost")


def ordered(verb: str, orders: Orders, base: FleetState, wanted: FleetState) -> Callable[[Ref], bool]:
    """Whom orders of this verb for this revision are about; each with what it needs and names, over however many."""
    said = [order for (kind, _), order in orders.items() if kind == verb]
    texts = [only for order in said for revision, only in [about(order.subject)] if revision == wanted.revision]
    if "" in texts:
        return lambda _: True
    selected = _selector(texts)
    if not selected:
        return lambda _: False
    chosen = closure(selected, base, wanted)
    return lambda ref: ref in chosen


def _selector(texts: Iterable[str]) -> Selector:
    """All of these that can be understood: what somebody has spoiled in the store releases nothing."""
    found = Selector()
    for text in texts:
        with contextlib.suppress(SelectorError):
            found = Selector((*found.any_of, *Selector.parse([text], KINDS).any_of))
    return found


def subject(revision: str, only: str = "") -> str:
    """What an order to sync is about."""
    return f"{revision} {only}".rstrip()


def about(subject: str) -> tuple[str, str]:
    """`subject` taken apart: the revision, and a selector or "" for all of it."""
    revision, _, only = subject.partition(" ")
    return revision, only


def _retries(orders: Orders) -> dict[str, float]:
    return {subject: order.at for (verb, subject), order in orders.items() if verb == "retry"}


def closure(selector: Selector, base: FleetState, wanted: FleetState) -> set[Ref]:
    """What is selected, and all that it needs or names."""
    known = {**base.resources, **wanted.resources}
    waiting = [ref for ref, one in known.items() if selector.covers(ref, one.labels)]
    found: set[Ref] = set()
    while waiting:
        ref = waiting.pop()
        if ref in found:
            continue
        found.add(ref)
        one = known[ref]
        named = (Ref(kind, name.name, ref.tenant) for name in one.spec.references() for kind in name.kinds)
        waiting += [other for other in (*one.needs, *named) if other in known]
    return found


# Hooks


def _before(
    hook: Resource,
    base: FleetState,
    target: FleetState,
    changing: Collection[Ref],
    runs: dict[Ref, HookRun],
    retries: Mapping[str, float],
    now: float,
) -> dict[Ref, Held]:
    """Let a hook run that changes have to wait for, and hold those. `runs` is changed to what is so now."""
    if hook.hook is None or hook.hook.when != "before-sync":
        return {}
    covered = hooks.scope(hook, (base, target)) - _started(hook, base, target) if changing else frozenset()
    touched = sorted(covered.intersection(changing))
    known = runs.get(hook.ref)
    if not touched:
        # What was to run, and is not known to have begun, is to run no more; and what failed for an earlier revision concerns
        # nobody where this one changes none of it.
        failed_before = known is not None and known.state == "failed" and known.revision != target.revision
        if known is None or known.state == "due" or failed_before:
            runs[hook.ref] = HookRun("", target.revision, known.number if known is not None else 0, "idle", now)
        return {}
    about = hooks.key(hook, covered, target)
    run = runs[hook.ref] = hooks.due(known, about, target.revision, now, _again(hook.ref, known, retries))
    if run.state == "succeeded":
        return {}
    if run.state == "failed":
        reason = f"{hook.ref}, which runs before it, has failed: {run.why}"
        release = f"{hooks.RETRY}; `convoy logs {hook.ref}` shows what it said"
        return {ref: Held(ref, reason, release=release) for ref in touched}
    doing = "is running" if run.state == "running" else "is to run"
    return {ref: Held(ref, f"{hook.ref} {doing} before it") for ref in touched}


def _started(hook: Resource, base: FleetState, target: FleetState) -> set[Ref]:
    """What cannot wait for this hook, because a proxy that the hook itself needs is not there yet and is started for it."""
    known = {**base.resources, **target.resources}
    fresh = [known[ref] for ref in hooks.needed(hook, known) if ref in known and ref not in base.resources]
    groups = {one.ref if one.ref.kind == "ProxyGroup" else group_of(one) for one in fresh if one.ref.kind in PROXIES}
    if not groups:
        return set()
    carried = carried_by(base, target)
    own = {one.ref for one in own_told(target) if group_of(one) in groups}
    started = {ref for key in groups | own for ref in carried.get(key, ())}
    return started | {one.ref for one in target.of("Proxy") if group_of(one) in groups}


def _after(
    hook: Resource,
    base: FleetState,
    target: FleetState,
    changing: Collection[Ref],
    runs: dict[Ref, HookRun],
    retries: Mapping[str, float],
    now: float,
) -> None:
    """Let a hook run that follows changes, once they are in force. `runs` is changed to what is so now."""
    if hook.hook is None or hook.hook.when != "after-sync":
        return
    known, covered = runs.get(hook.ref), hooks.scope(hook, (base, target))
    about = hooks.key(hook, covered, target)
    if known is None and not covered.intersection(changing):
        runs[hook.ref] = HookRun(about, target.revision, 0, "idle", now)
    elif known is None or known.key != about or known.state == "failed":
        runs[hook.ref] = hooks.due(known, about, target.revision, now, _again(hook.ref, known, retries))


def _again(ref: Ref, run: HookRun | None, retries: Mapping[str, float]) -> bool:
    """Whether a person has said so since."""
    return run is not None and max(retries.get(str(ref), 0.0), retries.get(FLEET, 0.0)) > run.since


# Put together


def _whole(held: Mapping[Ref, Held], base: FleetState, wanted: FleetState, differing: Collection[Ref]) -> dict[Ref, Held]:
    """The same, with what cannot go alone: what a ProxyGroup is told is told whole, and its Envoys are started for it."""
    result = dict(held)
    if not held or len(held) == len(differing):
        return result
    proxies: dict[Ref, set[Ref]] = defaultdict(set)
    for one in wanted.of("Proxy"):
        proxies[group_of(one)].add(one.ref)
    for group, members in carried_by(base, wanted).items():
        cause = min((ref for ref in members if ref in held), default=None)
        if cause is None or base.traffic.get(group) == wanted.traffic.get(group):
            continue
        why = Held(group, f"what its proxies are told is told whole, and {cause} is held: {held[cause].reason}")
        why = replace(why, until=held[cause].until, release=held[cause].release)
        fresh = proxies[group] if group not in base.resources else set()
        for ref in members | fresh:
            if ref in differing and ref not in result and ref.kind not in ("Application", "Container"):
                result[ref] = replace(why, ref=ref)
    for group in [ref for ref in result if ref.kind == "ProxyGroup"]:
        for ref in proxies[group]:
            if ref in differing and ref not in result:
                result[ref] = replace(result[group], ref=ref)
    return result


def compose(base: FleetState, wanted: FleetState, withheld: Collection[Ref], differing: Collection[Ref]) -> FleetState:
    """The wanted fleet, in which what is withheld of what differs is as in `base`: as it was, or not yet there at all."""
    if not withheld:
        return wanted
    if len(withheld) == len(differing):
        return base if base.revision == wanted.revision else replace(base, revision=wanted.revision)
    resources = {ref: one for ref, one in wanted.resources.items() if ref not in withheld}
    resources |= {ref: base.resources[ref] for ref in withheld if ref in base.resources}
    workloads = {ref: want for ref, want in wanted.workloads.items() if not _stays(want.owner, wanted, withheld)}
    workloads |= {
        ref: want for ref, want in base.workloads.items() if want.owner in resources and _stays(want.owner, base, withheld)
    }
    traffic = {}
    members = carried_by(base, wanted)
    for key in dict.fromkeys((*wanted.traffic, *base.traffic)):
        if key in resources:
            fleet = wanted if members.get(key, {key}).isdisjoint(withheld) else base
            if key in fleet.traffic:
                traffic[key] = fleet.traffic[key]
    return FleetState(wanted.revision, resources, workloads, traffic)


def _stays(owner: Ref, fleet: FleetState, withheld: Collection[Ref]) -> bool:
    """Whether what comes of this is as before: a Proxy's Envoy is made of its group too."""
    if owner in withheld:
        return True
    resource = fleet.resources.get(owner)
    return resource is not None and owner.kind == "Proxy" and group_of(resource) in withheld
