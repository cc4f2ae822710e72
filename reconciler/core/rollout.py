"""How far each Rollout has got: what its proxies have acknowledged of what they are pinned to.

What has ended stays as it ended: a proxy that has had the content and goes on to other content has still had it.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast, get_args

from reconciler.core.facts import Facts
from reconciler.core.handover import node_id
from reconciler.core.kinds.proxy import Proxy
from reconciler.core.kinds.rollout import Rollout
from reconciler.core.model import FleetState, Ref, Resource, Snapshot, digest

State = Literal["pending", "in_progress", "completed", "failed", "superseded"]
STATES: tuple[State, ...] = get_args(State)
# Of a proxy that has had its turn.
OVER = frozenset({"completed", "superseded"})
# What somebody is told, once each.
STARTED, COMPLETED, FAILED = "rollout.started", "rollout.completed", "rollout.failed"
# And each time that more of its proxies have had their turn.
PROGRESSED = "rollout.progress"
SAID: Mapping[State, str] = {
    "in_progress": "in progress",
    "pending": "pending",
    "failed": "failed",
    "superseded": "superseded",
}
# How long the words of a proxy may be that are kept: Envoys quote what they refuse.
LONGEST_WHY = 1000


@dataclass(frozen=True, slots=True)
class Turn:
    """One proxy's: where it stands, and why."""

    state: State
    why: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """`of` is what it is about (`about`), `turns` proxy ⇒ where it stands, in the Rollout's order. Times are Unix seconds.

    `told`: the events that were.
    """

    of: str
    state: State
    started_at: float
    ended_at: float | None
    turns: Mapping[str, Turn]
    told: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[State, int]:
        found = Counter(turn.state for turn in self.turns.values())
        return {state: found[state] for state in STATES}

    @property
    def over(self) -> bool:
        """Whether nothing that proxies do changes it any more."""
        return all(turn.state in OVER for turn in self.turns.values())


@dataclass(frozen=True, slots=True)
class Scene:
    """What is known in a round: what is `declared`, what of that is in `force`, and what is to be told (node ⇒ all of it, with
    what its Envoy has refused still in it). `refused`: Proxy ⇒ the words of its Envoy."""

    declared: FleetState
    force: FleetState
    wanted: Mapping[str, Snapshot]
    facts: Facts
    refused: Mapping[Ref, str]
    now: float
    _pins: dict[tuple[str, str, str], list[Ref]] = field(default_factory=dict)

    def rollouts(self, tenant: str, pin: tuple[str, str]) -> list[Ref]:
        """Those that take just this to proxies."""
        if not self._pins:
            self._pins[("", "", "")] = []
            for one in self.declared.of("Rollout"):
                spec = cast(Rollout, one.spec)
                self._pins.setdefault((one.ref.tenant, spec.configuration, spec.revision), []).append(one.ref)
        return self._pins.get((tenant, *pin), [])


def about(spec: Rollout) -> str:
    """What a Rollout takes where: another of these is another rollout under the same name."""
    return digest([spec.configuration, spec.revision, sorted(spec.proxies)])


def advance(rollout: Resource, known: Progress | None, scene: Scene) -> Progress:
    """Where it stands now, from where it stood."""
    spec = cast(Rollout, rollout.spec)
    of = about(spec)
    if known is None or known.of != of:
        known = Progress(of, "pending", scene.now, None, {})
    turns = {name: _turn(rollout, name, known.turns.get(name), scene) for name in spec.proxies}
    state = _state(turns)
    ended = state in ("completed", "failed", "superseded")
    ended_at = (known.ended_at if known.ended_at is not None and known.state == state else scene.now) if ended else None
    return Progress(of, state, known.started_at, ended_at, turns, known.told)


def events(rollout: Resource, progress: Progress) -> tuple[list[tuple[str, str]], Progress]:
    """What is to be told of it now, each with words, and the same progress with that noted.

    Of what was over before anybody looked (an old record in a new store) nothing is.
    """
    spec, counts = cast(Rollout, rollout.spec), progress.counts
    due: list[tuple[str, str]] = []
    if STARTED not in progress.told and progress.state != "superseded":
        to = "one proxy" if len(progress.turns) == 1 else f"{len(progress.turns)} proxies"
        due.append((STARTED, f"Configuration/{spec.configuration} as commit {spec.revision[:12]} declares it, to {to}"))
    if progress.state in ("completed", "failed"):
        kind = COMPLETED if progress.state == "completed" else FAILED
        if kind not in progress.told:
            due.append((kind, why(progress, counted=True) or f"{counts['completed']} of {len(progress.turns)} proxies have it"))
    return due, replace(progress, told=(*progress.told, *(kind for kind, _ in due)))


def progressed(before: Progress | None, now: Progress) -> bool:
    """Whether somebody who follows it hears of it by no other event."""
    if before is None or before.of != now.of or STARTED not in before.told or now.state not in ("pending", "in_progress"):
        return False
    return any(before.counts[state] != now.counts[state] for state in ("completed", "failed", "superseded"))


def why(progress: Progress, *, counted: bool = False) -> str:
    """What a person is told beside the state; `counted` in an event, which has nothing else to say how far it had got."""
    counts, total = progress.counts, len(progress.turns)
    has = f"{counts['completed']} of {total} proxies have it"
    order: tuple[State, ...] = ("failed", "in_progress", "pending", "superseded")
    others = ", ".join(f"{counts[state]} {SAID[state]}" for state in order if counts[state])
    has += f" ({others})" if counted and others else ""
    said = [(name, turn) for state in order for name, turn in progress.turns.items() if turn.state == state and turn.why]
    if progress.state == "completed":
        gone = next(((name, turn.why) for name, turn in progress.turns.items() if turn.why), None)
        return f"{gone[0]} has had it, and is {gone[1]}" if gone is not None else ""
    return f"{has}; {said[0][0]}: {said[0][1].why}" if said else has


def counts_said(message: str) -> dict[str, int]:
    """State ⇒ how many proxies, from what `why` made with `counted`; nothing from anything else."""
    found = re.match(r"([0-9]{1,6}) of ([0-9]{1,6}) proxies have it(?: \(([^()]{1,100})\))?", message)
    if found is None:
        return {}
    counts: dict[str, int] = {**dict.fromkeys(STATES, 0), "completed": int(found[1])}
    words = {words: state for state, words in SAID.items()}
    for part in (found[3] or "").split(", "):
        number, _, said = part.partition(" ")
        if said in words and number.isdecimal():
            counts[words[said]] = int(number)
    # Before others were counted too, they were told as under way.
    counts["in_progress"] += max(0, int(found[2]) - sum(counts.values()))
    return counts


def _turn(rollout: Resource, name: str, known: Turn | None, scene: Scene) -> Turn:
    spec, ref = cast(Rollout, rollout.spec), Ref("Proxy", name, rollout.ref.tenant)
    gone = _gone(spec, rollout.ref, scene.declared.resources.get(ref), scene)
    if known is not None and known.state == "completed":
        return Turn("completed", gone)
    if gone:
        return Turn("superseded", gone)
    force = scene.force.resources.get(ref)
    if force is None or _pin(force) != (spec.configuration, spec.revision):
        held = scene.facts.withheld.get(ref)
        return Turn("pending", held.reason if held is not None else "it is not in force yet")
    return _told(ref, scene)


def _told(ref: Ref, scene: Scene) -> Turn:
    """Of a proxy that is to have it now."""
    node = node_id(ref)
    wanted, now, connected = scene.wanted.get(node), scene.facts.snapshots.get(node), scene.facts.connected.get(node)
    if wanted is None or now is None:
        return Turn("pending", "there is nothing to tell it yet")
    pinned = [one for resources in wanted.resources.values() for one in resources.values() if one.pinned]
    words = scene.refused.get(ref, "")
    if any(found is None or found.version != one.version for one in pinned for found in [now.get(one.type, one.name)]):
        wait = scene.facts.awaiting.get(node)
        if wait is not None and not words:
            return Turn("in_progress", wait.why)
        return Turn("failed", (words or "its Envoy refuses it")[:LONGEST_WHY])
    if connected is None:
        return Turn("pending", NOT_CONNECTED)
    if connected.sent == now.version and connected.synced:
        return Turn("completed")
    if words:
        return Turn("failed", words[:LONGEST_WHY])
    if connected.sent == now.version:
        return Turn("in_progress", "it has not acknowledged it yet")
    return Turn("pending", "it has not been told yet")


NOT_CONNECTED = "it is not connected"


def _state(turns: Mapping[str, Turn]) -> State:
    found = Counter(turn.state for turn in turns.values())
    # Who is not there may never come: it must not keep anybody from hearing of what has failed.
    open = found["in_progress"] + sum(turn.state == "pending" and turn.why != NOT_CONNECTED for turn in turns.values())
    if found["failed"] and not open:
        return "failed"
    if found["pending"] + found["in_progress"]:
        return "pending" if found["pending"] == len(turns) else "in_progress"
    if found["failed"]:
        return "failed"
    return "superseded" if found["superseded"] else "completed"


def _gone(spec: Rollout, rollout: Ref, proxy: Resource | None, scene: Scene) -> str:
    """Why this proxy is no longer a matter of this Rollout; "" where it is."""
    if proxy is None:
        return "no longer declared"
    pin = _pin(proxy)
    if pin == (spec.configuration, spec.revision):
        return ""
    by = [one for one in scene.rollouts(rollout.tenant, pin) if proxy.ref.name in cast(Rollout, _spec(one, scene)).proxies]
    if by:
        return f"superseded by {by[-1]}"
    configuration, revision = pin
    if not configuration:
        return "superseded: it serves what its group does"
    as_of = f" as commit {revision[:12]} declares it" if revision else ""
    return f"superseded: it serves Configuration/{configuration}{as_of}"


def _spec(ref: Ref, scene: Scene) -> Any:
    return scene.declared.resources[ref].spec


def _pin(proxy: Resource) -> tuple[str, str]:
    spec = cast(Proxy, proxy.spec)
    return spec.configuration or "", spec.revision or ""


# As it is kept


def as_row(progress: Progress) -> dict[str, Any]:
    """As plain JSON values."""
    return {
        "of": progress.of,
        "state": progress.state,
        "startedAt": progress.started_at,
        "endedAt": progress.ended_at,
        "turns": [[name, turn.state, turn.why] for name, turn in progress.turns.items()],
        "told": list(progress.told),
    }


def read_row(row: Mapping[str, Any]) -> Progress | None:
    """And back; None where somebody has spoiled it: then it begins anew."""
    try:
        turns = {str(name): Turn(_word(state), str(words)) for name, state, words in row["turns"]}
        ended, told = row["endedAt"], tuple(str(kind) for kind in row["told"])
        at = float(ended) if ended is not None else None
        return Progress(str(row["of"]), _word(row["state"]), float(row["startedAt"]), at, turns, told)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _word(text: Any) -> State:
    return STATES[STATES.index(text)]


def kept(rows: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[Ref, Progress]]:
    """Those of an earlier Convoy: printed ref ⇒ its row."""
    for printed, row in rows.items():
        try:
            ref = Ref.parse(printed)
        except ValueError:
            continue
        progress = read_row(row)
        if progress is not None:
            yield ref, progress
