"""Hooks: Containers that run to their end before or after changes are made; each run is known by its record."""

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from reconciler.core.kinds import KINDS
from reconciler.core.model import DEFAULT_TENANT, FleetState, Key, Observed, ObservedState, Ref, Resource, Want, digest
from reconciler.core.select import Named, Selector

RunState = Literal["idle", "due", "running", "succeeded", "failed"]
# Where things run, and how the fleet is treated, is no change of what runs.
OUT_OF_SCOPE = frozenset({"Host", "Settings"})
# What makes a hook run again that has failed.
RETRY = "a newer commit, or `convoy sync --retry`"
LIVING = frozenset({"starting", "running", "stopping"})


@dataclass(frozen=True, slots=True)
class HookRun:
    """The last run of a hook, or the one that is to come.

    `key` is the digest of what it is for, `revision` and `number` tell it from every other run. `since` is when
    it came into its state (Unix seconds).
    """

    key: str
    revision: str
    number: int
    state: RunState
    since: float
    why: str = ""

    def instance(self, want: Want) -> str:
        return digest({"hook": want.instance, "revision": self.revision, "run": self.number})

    @property
    def pending(self) -> bool:
        return self.state in ("due", "running")


Runs = Mapping[Ref, HookRun]


def hooks_of(fleet: FleetState) -> list[Resource]:
    """In the order of their names."""
    return sorted((one for one in fleet.of("Container") if one.hook is not None), key=lambda one: one.ref)


def scope(hook: Resource, fleets: Iterable[FleetState]) -> frozenset[Ref]:
    """What this hook is for: what it selects of its own tenant, without hooks, and without what it needs, over however many."""
    said = hook.hook
    if said is None:
        return frozenset()
    selector = _own(Selector.parse(said.only, KINDS), hook.ref.tenant)
    known: dict[Ref, Resource] = {}
    for fleet in fleets:
        known |= fleet.resources
    its_needs = needed(hook, known)
    return frozenset(
        ref
        for ref, one in known.items()
        if ref.tenant == hook.ref.tenant
        and ref.kind not in OUT_OF_SCOPE
        and one.hook is None
        and ref not in its_needs
        and selector.covers(ref, one.labels)
    )


def _own(selector: Selector, tenant: str) -> Selector:
    """Names without a tenant are of the hook's own, as everywhere in documents."""
    if tenant == DEFAULT_TENANT:
        return selector
    return Selector(
        tuple(
            tuple(
                replace(word, tenant=tenant) if isinstance(word, Named) and word.tenant in ("", DEFAULT_TENANT) else word
                for word in words
            )
            for words in selector.any_of
        )
    )


def needed(hook: Resource, known: Mapping[Ref, Resource]) -> set[Ref]:
    """What a hook needs, over however many."""
    found: set[Ref] = set()
    waiting = [*hook.needs]
    while waiting:
        ref = waiting.pop()
        if ref not in found:
            found.add(ref)
            waiting += [*known[ref].needs] if ref in known else []
            # A group is waited for with its proxies, and those with what they are told.
            if ref in known:
                names = known[ref].spec.references()
                waiting += [Ref(kind, one.name, ref.tenant) for one in names for kind in one.kinds if kind not in OUT_OF_SCOPE]
    return found


def key(hook: Resource, covered: Iterable[Ref], fleet: FleetState) -> str:
    """The digest of what this hook is for, as it is to be in this fleet, and of the hook itself."""
    said = {str(ref): fleet.resources[ref].digest for ref in covered if ref in fleet.resources}
    return digest({"hook": hook.digest, "for": said})


def due(before: HookRun | None, key: str, revision: str, now: float, retry: bool) -> HookRun:
    """The run for a change of what the hook is for: the one there is for just that, or a new one."""
    if before is not None and before.key == key:
        if before.pending or before.state == "succeeded":
            return before
        if before.state == "failed" and before.revision == revision and not retry:
            return before
    return HookRun(key, revision, before.number + 1 if before is not None else 1, "due", now)


def advance(
    runs: Runs, fleet: FleetState, seen: ObservedState, now: float, in_flight: Container[Key] = frozenset()
) -> dict[Ref, HookRun]:
    """The same runs, as far as they are now: what has ended is known to have, and what took too long has failed.

    Of what is `in_flight` nothing is concluded: half made, it looks like something that nobody looks after any more.
    """
    result = dict(runs)
    for ref, run in runs.items():
        want, resource = fleet.workloads.get(ref), fleet.resources.get(ref)
        if run.pending and want is not None and resource is not None and resource.hook is not None:
            result[ref] = _advanced(run, want, resource.hook.deadline_s, seen, now, in_flight)
    return result


def _advanced(
    run: HookRun, want: Want, deadline_s: float, seen: ObservedState, now: float, in_flight: Container[Key]
) -> HookRun:
    instance = run.instance(want)
    found = [one for one in seen.of(want.ref) if one.instance == instance]
    if not found:
        if run.state == "running" and not seen.blind:
            return replace(run, state="failed", since=now, why="it is gone, and nobody knows how it ended")
        return run
    one = found[0]
    if one.host in seen.blind or one.key in in_flight:
        return run
    state, status = one.fields.get("state"), one.fields.get("exit")
    if state == "stopped" and status == 0:
        return replace(run, state="succeeded", since=now, why="")
    if state in ("stopped", "failed", "lost"):
        how = one.health.message or ("it was ended" if status is None else f"it ended with status {status}")
        return replace(run, state="failed", since=now, why=how)
    if run.state == "due":
        return replace(run, state="running", since=now, why="")
    if now - run.since >= deadline_s:
        return replace(run, state="failed", since=now, why=f"it took longer than {deadline_s:g} s and was ended")
    return run


def living(one: Observed) -> bool:
    """Whether this run of a hook has not ended."""
    return one.fields.get("state") in LIVING


def over(want: Want, run: HookRun | None, bearing: Iterable[Observed]) -> list[tuple[Observed, str]]:
    """What is to be ended or cleared away, and why. The last run stays, for its log, until the next one is there."""
    instance = run.instance(want) if run is not None else ""
    found = sorted(bearing, key=lambda one: one.key)
    there = any(one.instance == instance for one in found)
    others = [(one, "another run takes its place") for one in found if one.instance != instance and (there or living(one))]
    pending = run is not None and run.pending
    return others + [(one, "its run is over") for one in found if one.instance == instance and living(one) and not pending]


def deadline_s(hook: Resource) -> float:
    """How long one run may take."""
    return hook.hook.deadline_s if hook.hook is not None else 0.0


def words(hook: Resource) -> str:
    """Why it is run."""
    return "runs before what this revision changes" if hook.hook and hook.hook.when == "before-sync" else "runs after the sync"


def awaited(hook: Resource, fleet: FleetState) -> list[Ref]:
    """What has to be as declared and healthy before it runs."""
    after = scope(hook, (fleet,)) if hook.hook is not None and hook.hook.when == "after-sync" else frozenset()
    return sorted({*hook.needs, *after})


def as_run(want: Want, run: HookRun) -> Want:
    """What a driver makes of this run."""
    return replace(want, instance=run.instance(want), run=want.run.model_copy(update={"restart": "never"}))


# As they are kept


def run_json(run: HookRun) -> dict[str, Any]:
    return {
        "key": run.key,
        "revision": run.revision,
        "number": run.number,
        "state": run.state,
        "since": run.since,
        "why": run.why,
    }


def read_runs(rows: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[Ref, HookRun]]:
    """Printed ref ⇒ `run_json`; what somebody has spoiled is as if it were not there."""
    for name, row in rows.items():
        try:
            ref = Ref.parse(name)
            texts = [str(row[field]) for field in ("key", "revision", "state", "why")]
            number, since = int(row["number"]), float(row["since"])
        except (ValueError, KeyError, TypeError):
            continue
        state = next((one for one in ("idle", "due", "running", "succeeded", "failed") if one == texts[2]), None)
        if state is not None:
            yield ref, HookRun(texts[0], texts[1], number, state, since, texts[3])
