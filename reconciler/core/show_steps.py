"""A plan by resource: what happens to each, in which order it is told, and by which signs."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from reconciler.core.kinds.document import PRESENCE, SUPERVISION
from reconciler.core.model import XDS, Action, Held, Plan, Ref, Snapshot, Want
from reconciler.core.show_holds import WAITS
from reconciler.core.show_layout import Style

Change = Literal["take-over", "create", "replace", "restart", "update", "delete", "tell", "hold"]

NOBODY = Ref("", "")

# In the order in which a page tells them.
SIGNS: Mapping[Change, tuple[str, Style]] = {
    "take-over": ("⇐", "change"),
    "create": ("+", "add"),
    "replace": ("±", "change"),
    "restart": ("↻", "change"),
    "update": ("~", "change"),
    "delete": ("-", "remove"),
    "tell": ("→", "change"),
    "hold": WAITS,
}
# What can go wrong worst comes first, where there is no room for all.
DANGER: tuple[Change, ...] = ("delete", "replace", "restart", "take-over", "update", "create", "tell", "hold")
# Words for the summary: what is done to how many.
SUMMARY: Mapping[Change, str] = {
    "take-over": "to take over",
    "create": "to create",
    "replace": "to replace",
    "restart": "to restart",
    "update": "to update in place",
    "delete": "to delete",
    "hold": "held",
}
# The planner's hold that only says what a replacement means: shown as part of it.
REPLACED = "its replacement is not healthy yet"


@dataclass(slots=True)
class Step:
    """Everything a plan says about one resource. `owner` is the declared resource it comes from."""

    change: Change
    ref: Ref
    hosts: list[str] = field(default_factory=list)
    reason: str = ""
    actions: list[Action] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    owner: Ref = NOBODY

    @property
    def drift(self) -> bool:
        """Whether no commit asked for it: something else has changed what runs."""
        return any(action.drift for action in self.actions)


def steps(planned: Plan, owners: Mapping[Ref, Ref] | None = None) -> list[Step]:
    """The plan by resource. A create beside an instance that is held or deleted is one replacement.

    `owners`: workload ⇒ what it comes from, for what is not declared any more.
    """
    actions: dict[Ref, list[Action]] = defaultdict(list)
    held: dict[Ref, list[Held]] = defaultdict(list)
    for action in planned.actions:
        actions[action.ref].append(action)
    for hold in planned.held:
        held[hold.ref].append(hold)
    known = owners or {}
    return [
        _step(ref, actions.get(ref, []), held.get(ref, []), known.get(ref, ref)) for ref in sorted(actions.keys() | held.keys())
    ]


def in_order(listed: Iterable[Step], order: Iterable[Change] = tuple(SIGNS)) -> list[Step]:
    ranks = {change: i for i, change in enumerate(order)}
    return sorted(listed, key=lambda step: (ranks[step.change], step.ref))


def _step(ref: Ref, actions: list[Action], held: list[Held], owner: Ref) -> Step:
    owner = next((action.want.owner for action in actions if isinstance(action.want, Want)), owner)
    verbs = {action.verb for action in actions}
    hosts = sorted({action.host for action in actions if action.host not in (XDS, "")})
    if not actions and all(hold.verb == "delete" and not hold.release for hold in held):
        return Step("delete", ref, [], f"not yet: {held[0].reason}", actions, held, owner)
    if not actions:
        return Step("hold", ref, [], held[0].reason, actions, held, owner)
    change: Change = actions[0].verb
    if any(action.host == XDS for action in actions):
        change = "tell"
    elif "create" in verbs and ("delete" in verbs or any(hold.instance for hold in held)):
        change = "replace"
    elif any(action.restarts for action in actions):
        change = "restart"
    return Step(change, ref, hosts, _reason(actions[0]), actions, held, owner)


def _reason(action: Action) -> str:
    if not action.drift:
        return action.reason
    if action.verb == "create" or action.fields == (PRESENCE,):
        return "drift: it is gone, and no commit removed it"
    if action.fields == (SUPERVISION,):
        return "drift: its supervisor is gone"
    what = ", ".join(action.fields)
    return f"drift: {what} changed on the host, and not by a commit" if what else "drift: changed, and not by a commit"


def stands_alone(hold: Held, step: Step) -> bool:
    """Not what the step's own row says already: that a replacement or a delete takes its time."""
    return (
        step.change == "hold"
        or bool(hold.release)
        or hold.verb != "delete"
        or (step.change == "replace" and hold.reason != REPLACED)
    )


def told(step: Step) -> Mapping[str, Snapshot]:
    """Node ⇒ what it is to run, of a step that tells proxies something."""
    return {
        node: snapshot for action in step.actions if isinstance(action.want, Mapping) for node, snapshot in action.want.items()
    }
