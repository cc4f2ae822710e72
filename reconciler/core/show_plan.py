"""Words plans: the size of a change first, then each resource, what happens to it and why."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from reconciler.core.model import XDS, XDS_TYPES, Action, Held, Plan, Ref, Snapshot
from reconciler.core.show_holds import WAITS, held_json, holds, holds_markdown, left
from reconciler.core.show_layout import BLANK, Block, Line, Page, Span, Style, Table, text
from reconciler.core.show_problems import code, count, inert, short

Change = Literal["take-over", "create", "replace", "update", "delete", "tell", "hold"]

SIGNS: Mapping[Change, tuple[str, Style]] = {
    "take-over": ("⇐", "change"),
    "create": ("+", "add"),
    "replace": ("±", "change"),
    "update": ("~", "change"),
    "delete": ("-", "remove"),
    "tell": ("→", "change"),
    "hold": WAITS,
}
# Words for the summary: what is done to how many.
SUMMARY: Mapping[Change, str] = {
    "take-over": "to take over",
    "create": "to create",
    "replace": "to replace",
    "update": "to update in place",
    "delete": "to delete",
    "hold": "held",
}
XDS_WORDS = {"cds": "cluster", "eds": "endpoint assignment", "sds": "secret", "lds": "listener", "rds": "route table"}
# The planner's hold that only says what a replacement means: shown as part of it.
REPLACED = "its replacement is not healthy yet"
# More of an Envoy's resources by name would hide the rest of the plan.
MOST_NAMED = 20


@dataclass(slots=True)
class Step:
    """Everything a plan says about one resource."""

    change: Change
    ref: Ref
    hosts: list[str] = field(default_factory=list)
    reason: str = ""
    actions: list[Action] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Told:
    """What proxies get to know: xDS type ⇒ names that are added, changed and removed."""

    added: Mapping[str, tuple[str, ...]]
    changed: Mapping[str, tuple[str, ...]]
    removed: Mapping[str, tuple[str, ...]]


def steps(planned: Plan) -> list[Step]:
    """The plan by resource. A create beside an instance that is held or deleted is one replacement."""
    actions: dict[Ref, list[Action]] = defaultdict(list)
    held: dict[Ref, list[Held]] = defaultdict(list)
    for action in planned.actions:
        actions[action.ref].append(action)
    for hold in planned.held:
        held[hold.ref].append(hold)
    return [_step(ref, actions.get(ref, []), held.get(ref, [])) for ref in sorted(actions.keys() | held.keys())]


def _step(ref: Ref, actions: list[Action], held: list[Held]) -> Step:
    verbs = {action.verb for action in actions}
    hosts = sorted({action.host for action in actions if action.host != XDS})
    if not actions and all(hold.verb == "delete" and not hold.release for hold in held):
        return Step("delete", ref, [], f"not yet: {held[0].reason}", actions, held)
    if not actions:
        return Step("hold", ref, [], held[0].reason, actions, held)
    change: Change = actions[0].verb
    if any(action.host == XDS for action in actions):
        change = "tell"
    elif "create" in verbs and ("delete" in verbs or any(hold.instance for hold in held)):
        change = "replace"
    return Step(change, ref, hosts, actions[0].reason, actions, held)


def plan(planned: Plan, running: Mapping[str, Snapshot] | None = None) -> Page:
    """`running`: node ⇒ what that proxy was last told, where that is known; only then can differences be named."""
    listed = steps(planned)
    if not listed:
        done = text(Span("nothing to do", "good"), ": the fleet is as declared", Span(f"  {short(planned.revision)}", "dim"))
        return (done, BLANK, *_left(planned)) if planned.left else (done,)
    order = list(SIGNS)
    listed.sort(key=lambda step: (order.index(step.change), step.ref))
    page: list[Block] = [
        text(Span("plan", "strong"), ": ", *_summary(listed), Span(f"  {short(planned.revision)}", "dim")),
        BLANK,
    ]
    rows = tuple(_row(step) for step in listed if step.change not in ("tell", "hold"))
    page += [Table(("", "", "", ""), rows, 2), BLANK] if rows else []
    for step in listed:
        if step.change == "tell":
            page += [*_tell(step, running or {}), BLANK]
    alone = [hold for step in listed for hold in step.held if _stands_alone(hold, step)]
    if alone:
        page += [text(Span("held back", "wait")), *holds(alone), BLANK]
    if planned.left:
        page += [*_left(planned), BLANK]
    return tuple(page[:-1])


def _left(planned: Plan) -> Iterable[Block]:
    yield text(Span("left alone", "dim"))
    yield from left(planned.left)


def _summary(listed: Iterable[Step]) -> Line:
    parts: list[Span] = []
    sizes = Counter(step.change for step in listed)
    for change, phrase in SUMMARY.items():
        if sizes[change]:
            parts += [Span(f"{sizes[change]:,} {phrase}", SIGNS[change][1]), Span(", ")]
    nodes = {node for step in listed if step.change == "tell" for node in _told(step)}
    if nodes:
        phrase = "1 proxy gets" if len(nodes) == 1 else f"{len(nodes):,} proxies get"
        parts += [Span(f"{phrase} new configuration", "change"), Span(", ")]
    return tuple(parts[:-1])


def _row(step: Step) -> tuple[Line, ...]:
    sign, style = SIGNS[step.change]
    on = "on " + ", ".join(step.hosts) if step.hosts else ""
    reason = step.reason if step.change != "create" or step.reason != "missing" else ""
    return (Span(sign, style),), (Span(str(step.ref), "name"),), (Span(on, "dim"),), (Span(reason),)


def _stands_alone(hold: Held, step: Step) -> bool:
    """Not what the step's own row says already: that a replacement or a delete takes its time."""
    return (
        step.change == "hold"
        or bool(hold.release)
        or hold.verb != "delete"
        or (step.change == "replace" and hold.reason != REPLACED)
    )


def _told(step: Step) -> Mapping[str, Snapshot]:
    return {
        node: snapshot for action in step.actions if isinstance(action.want, Mapping) for node, snapshot in action.want.items()
    }


def _tell(step: Step, running: Mapping[str, Snapshot]) -> Iterable[Block]:
    nodes = _told(step)
    listed = sorted(nodes)
    names = ", ".join(listed[:5]) + (f" and {len(listed) - 5} more" if len(listed) > 5 else "")
    yield text(Span(*SIGNS["tell"]), " ", Span(str(step.ref), "name"), f"  new configuration for {names}", indent=2, hang=2)
    for told, who in _alike(nodes, running):
        if len({*who}) != len(nodes):
            yield text(Span(", ".join(who), "dim"), indent=4, hang=2)
        yield from _differences(told)


def _alike(nodes: Mapping[str, Snapshot], running: Mapping[str, Snapshot]) -> list[tuple[Told, list[str]]]:
    """Proxies that are told the same are named together."""
    alike: list[tuple[Told, list[str]]] = []
    for node in sorted(nodes):
        told = tell(nodes[node], running.get(node))
        for other, who in alike:
            if other == told:
                who.append(node)
                break
        else:
            alike.append((told, [node]))
    return alike


def tell(snapshot: Snapshot, before: Snapshot | None) -> Told:
    """What this proxy is told anew, by resource."""
    added: dict[str, tuple[str, ...]] = {}
    changed: dict[str, tuple[str, ...]] = {}
    removed: dict[str, tuple[str, ...]] = {}
    for type in XDS_TYPES:
        new = snapshot.resources.get(type, {})
        old = before.resources.get(type, {}) if before else {}
        added[type] = tuple(sorted(new.keys() - old.keys()))
        changed[type] = tuple(sorted(name for name in new.keys() & old.keys() if new[name].version != old[name].version))
        removed[type] = tuple(sorted(old.keys() - new.keys()))
    return Told(added, changed, removed)


def _differences(told: Told) -> Iterable[Block]:
    rows = []
    for type in XDS_TYPES:
        for names, change in ((told.added, "create"), (told.changed, "update"), (told.removed, "delete")):
            sign, style = SIGNS[change]  # type: ignore[index]
            listed = names.get(type, ())
            if listed:
                shown = ", ".join(listed[:MOST_NAMED]) + (
                    f" and {len(listed) - MOST_NAMED} more" if len(listed) > MOST_NAMED else ""
                )
                rows.append(((Span(sign, style),), (Span(count(len(listed), XDS_WORDS[type])),), (Span(shown, "dim"),)))
    yield Table(("", "", ""), tuple(rows), 6)


def plan_json(planned: Plan, running: Mapping[str, Snapshot] | None = None) -> dict[str, Any]:
    """Plain data of a plan; what workloads are made of stays out of it, for it may name secrets."""
    listed = steps(planned)
    return {
        "revision": planned.revision,
        "changes": bool(planned.actions),
        "summary": dict(sorted(Counter(step.change for step in listed).items())),
        "steps": [
            {
                "change": step.change,
                "ref": str(step.ref),
                "reason": step.reason,
                "hosts": step.hosts,
                "actions": [_action_json(action, running or {}) for action in step.actions],
                "held": [held_json(hold) for hold in step.held],
            }
            for step in listed
        ],
        "left": {str(ref): why for ref, why in sorted(planned.left.items())},
        "wakeAt": planned.wake_at,
    }


def _action_json(action: Action, running: Mapping[str, Snapshot]) -> dict[str, Any]:
    result: dict[str, Any] = {"verb": action.verb, "host": action.host, "instance": action.instance, "reason": action.reason}
    if action.host == XDS and isinstance(action.want, Mapping):
        told = {node: tell(snapshot, running.get(node)) for node, snapshot in sorted(action.want.items())}
        result["proxies"] = {
            node: {
                name: {t: list(names) for t, names in getattr(one, name).items() if names}
                for name in ("added", "changed", "removed")
            }
            for node, one in told.items()
        }
    return result


def plan_markdown(planned: Plan, running: Mapping[str, Snapshot] | None = None) -> str:
    """For a pull request: the summary, then the rest folded away."""
    listed = steps(planned)
    if not listed:
        return f"**Nothing to do**: the fleet is as declared ({code(short(planned.revision))})\n"
    order = list(SIGNS)
    listed.sort(key=lambda step: (order.index(step.change), step.ref))
    summary = "".join(span.text for span in _summary(listed))
    lines = [f"**{summary}** ({code(short(planned.revision))})", "", "<details><summary>every step</summary>", ""]
    lines += ["| | resource | host | why |", "|---|---|---|---|"]
    for step in listed:
        if step.change not in ("tell", "hold"):
            sign, on = code(SIGNS[step.change][0]), inert(", ".join(step.hosts))
            lines.append(f"| {sign} | {code(str(step.ref))} | {on} | {inert(step.reason)} |")
    for step in listed:
        if step.change == "tell":
            for told, who in _alike(_told(step), running or {}):
                lines.append(f"| {code('→')} | {code(str(step.ref))} | {inert(', '.join(who))} | {inert(_told_words(told))} |")
    for step in listed:
        lines += holds_markdown(step.held)
    return "\n".join([*lines, "", "</details>"]) + "\n"


def _told_words(told: Told) -> str:
    parts = []
    for sign, names in (("+", told.added), ("~", told.changed), ("-", told.removed)):
        parts += [f"{sign}{count(len(names[type]), XDS_WORDS[type])}" for type in XDS_TYPES if names.get(type)]
    return ", ".join(parts)
