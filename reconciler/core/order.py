"""What comes first: a step waits until what it needs is as declared and healthy, and deleting goes the other way round."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from reconciler.core.carried import carried_by, group_of, told_as
from reconciler.core.diff import as_declared
from reconciler.core.facts import Facts, Waiting
from reconciler.core.guard import owner_of
from reconciler.core.handover import node_id, unready
from reconciler.core.model import FleetState, Held, Observed, ObservedState, Plan, Ref, Want
from reconciler.core.overdue import Wait

Bearing = Mapping[Ref, list[Observed]]


class Needs:
    """Of one plan. Asked about a resource once or a thousand times, it looks once."""

    def __init__(self, wanted: FleetState, seen: ObservedState, facts: Facts, bearing: Bearing) -> None:
        self._wanted, self._seen, self._facts, self._bearing = wanted, seen, facts, bearing
        self._unmet: dict[Ref, str] = {}
        self._works: dict[Ref, list[Want]] | None = None
        self._needing: Mapping[str, list[Ref]] | None = None
        self._carried: Mapping[Ref, set[Ref]] | None = None

    def before(self, want: Want) -> Wait | None:
        """What has to be there before this is made or changed, and is not. What was there before as it is declared now is put
        back at once: it has been started after what it needs, and that is as it is."""
        owner = self._wanted.resources.get(want.owner)
        if owner is None or not owner.needs or heals(want, self._facts):
            return None
        return self.through(owner.needs, f", or take it out of `metadata.needs` of {want.owner}")

    def through(self, needs: Iterable[Ref], otherwise: str = "") -> Wait | None:
        """For the first of these that is not there. `otherwise`: what else a person may do than mend that one."""
        for need in needs:
            why = self.unmet(need)
            if why:
                return Wait(f"waits for {need}, {why}", f"see `convoy explain {need}` and mend it{otherwise}")
        return None

    def moved(self, needs: Iterable[Ref]) -> Wait | None:
        """For the first proxy that carries something of these and is not told all that is declared yet.

        No step that others wait for asks this: what such a proxy awaits may itself need the proxy.
        """
        if not self._facts.awaiting:
            return None
        if self._carried is None:
            self._carried = carried_by(self._wanted)
        asked = {*needs}
        for one in sorted(self._wanted.of("Proxy"), key=lambda proxy: proxy.ref):
            wait = self._facts.awaiting.get(node_id(one.ref))
            if wait is not None and not asked.isdisjoint(
                {one.ref, group_of(one), *self._carried.get(told_as(one, self._wanted), ())}
            ):
                return Wait(f"waits for {one.ref}, which {wait.why}", wait.overdue)
        return None

    def unmet(self, need: Ref) -> str:
        """Why this is not as declared and healthy; "" when it is."""
        why = self._own(need)
        resource = self._wanted.resources.get(need)
        if not why or resource is None:
            return why
        # One step back is enough to follow: whoever asks about that one hears of the next.
        further = next((one for one in resource.needs if self._own(one)), None)
        return why if further is None else f"which waits for {further}"

    def _own(self, need: Ref) -> str:
        if need not in self._unmet:
            self._unmet[need] = next(self._why(need), "")
        return self._unmet[need]

    def _why(self, need: Ref) -> Iterator[str]:
        if need not in self._wanted.resources:
            yield "which is not in force"
        for want in self.workloads(need):
            yield from self._unready(want)
        if need.kind == "ProxyGroup":
            for one in self._wanted.of("Proxy"):
                if group_of(one) == need:
                    yield from (
                        f"whose {one.ref} is not ready" for want in self.workloads(one.ref) for _ in self._unready(want)
                    )

    def _unready(self, want: Want, name: str = "") -> Iterator[str]:
        found = self._bearing.get(want.ref, [])
        alike = [one for one in found if one.instance == want.instance]
        # One that moves is there twice for a while.
        current = min(alike, key=lambda one: (one.health.status != "healthy", one.host), default=None)
        name = name or ("which" if want.ref == want.owner else f"whose {want.ref}")
        if current is None:
            yield f"{name} is missing"
        elif current.host in self._seen.blind:
            yield f"{name} is on host {current.host}, which cannot be seen"
        elif not as_declared(want, current):
            yield f"{name} is being changed"
        elif current.health.status != "healthy":
            yield f"{name} is {current.health.status}"
        elif want.ref.kind == "Proxy" and unready(current, found, self._facts):
            yield f"{name} has not acknowledged its configuration"

    def workloads(self, owner: Ref) -> list[Want]:
        """What comes of this, in order."""
        if self._works is None:
            self._works = defaultdict(list)
            for _, want in sorted(self._wanted.workloads.items()):
                self._works[want.owner].append(want)
        return self._works.get(owner, [])

    def after(self, owner: str) -> Wait | None:
        """What needs this and is still there, so that this must not go yet."""
        if not self._facts.needed:
            return None
        if self._needing is None:
            there = {owner_of(one) for one in self._seen.resources.values()}
            self._needing = _turned({ref: needs for ref, needs in self._facts.needed.items() if str(ref) in there})
        for one in self._needing.get(owner, ()):
            return Wait(f"{one}, which needs it, is still there", f"see `convoy explain {one}` for what keeps that")
        return None


def late(held: Iterable[Held], facts: Facts, deadline_s: float, now: float) -> Iterator[Held]:
    """The same holds; those that have lasted too long say what a person may do about them, and the others when they will."""
    for one in held:
        if not one.overdue or one.release:
            yield one
            continue
        over = facts.waiting.get(_about(one), now) + deadline_s
        if now >= over:
            yield replace(one, reason=f"{one.reason}, for longer than {deadline_s:g} s", release=one.overdue)
        else:
            yield replace(one, until=over if one.until is None else min(one.until, over))


def waiting(planned: Plan, before: Mapping[Waiting, float], now: float) -> dict[Waiting, float]:
    """Since when each wait of this plan has lasted, after those of the plan before."""
    return {about: before.get(about, now) for about in (_about(one) for one in planned.held if one.overdue)}


def _about(held: Held) -> Waiting:
    return held.ref, held.instance, held.overdue


def heals(want: Want, facts: Facts) -> bool:
    """Whether making this so puts back what was as declared before, whatever has befallen it since."""
    settled = facts.settled.get(want.ref)
    return settled is not None and settled[:2] == (want.instance, want.live)


def _turned(needs: Mapping[Ref, Iterable[Ref]]) -> dict[str, list[Ref]]:
    """Who is needed, printed ⇒ by whom. Of a circle, which two revisions can make together, one need is left out."""
    turned: dict[Ref, list[Ref]] = defaultdict(list)
    state: dict[Ref, int] = {}
    for start in sorted(needs):
        waiting: list[tuple[Ref, bool]] = [(start, False)]
        while waiting:
            ref, over = waiting.pop()
            if over:
                state[ref] = 2
                continue
            if ref in state:
                continue
            state[ref] = 1
            waiting.append((ref, True))
            for other in sorted(set(needs.get(ref, ())), reverse=True):
                if state.get(other) == 1:
                    continue
                turned[other].append(ref)
                if other not in state:
                    waiting.append((other, False))
    return {str(ref): sorted(others) for ref, others in turned.items()}


def remembered(
    wanted: FleetState, seen: ObservedState, before: Mapping[Ref, tuple[Ref, ...]]
) -> dict[Ref, tuple[Ref, ...] | None]:
    """What changes in what is known of who needs what: needs count as long as anything may run that was made with them."""
    declared = {ref: one.needs for ref, one in wanted.resources.items() if one.needs}
    if not declared and not before:
        return {}
    instances: dict[str, list[Observed]] = defaultdict(list)
    for one in seen.resources.values():
        instances[owner_of(one)].append(one)
    changes: dict[Ref, tuple[Ref, ...] | None] = {}
    for ref in declared.keys() | before.keys():
        now, was = declared.get(ref, ()), before.get(ref, ())
        there = instances.get(str(ref), [])
        over = not seen.blind and all(_current(wanted, one) for one in there)
        kept = now if over else tuple(sorted({*now, *was}))
        if kept != was:
            changes[ref] = kept or None
    return changes


def _current(wanted: FleetState, one: Observed) -> bool:
    want = wanted.workloads.get(one.ref)
    return want is not None and want.instance == one.instance and as_declared(want, one)
