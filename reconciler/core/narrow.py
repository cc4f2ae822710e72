"""Leaves of a plan what is selected."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from reconciler.core.edits import Edit
from reconciler.core.model import XDS, Action, Plan, Ref, Snapshot
from reconciler.core.select import Selection


@dataclass(frozen=True, slots=True)
class Narrowed:
    """The part that is selected. `left_out` counts the resources that the whole plan says something of and this does not."""

    plan: Plan
    running: Mapping[str, Snapshot]
    edits: tuple[Edit, ...]
    left_out: int


def narrow(
    planned: Plan, selection: Selection, running: Mapping[str, Snapshot] | None = None, edits: tuple[Edit, ...] = ()
) -> Narrowed:
    """The whole fleet is planned first, and then some of it is left out: a plan for a part would know nothing of budgets, of
    hosts that cannot be seen and of what still sends requests where, so it would let pass what the whole holds back.

    What a ProxyGroup's proxies are told is narrowed too: to the proxies that are selected, or to what follows from the selected
    Configurations, Clusters, Applications and so on. `running` is narrowed alike, so that differences are those alone.
    """
    kept: list[Action] = []
    shown = dict(running or {})
    for action in planned.actions:
        if action.ref in selection:
            kept.append(action)
        elif action.host == XDS and isinstance(action.want, Mapping):
            told = _told(action.want, selection, shown)
            if told:
                kept.append(replace(action, want=told))
    held = tuple(hold for hold in planned.held if hold.ref in selection)
    left = {ref: why for ref, why in planned.left.items() if ref in selection}
    part = replace(planned, actions=tuple(kept), held=held, left=left)
    owners = {selection.owners.get(ref, ref) for ref in _refs(part)}
    said = tuple(edit for edit in edits if edit.ref in selection or edit.ref in owners)
    whole, those = _refs(planned) | {edit.ref for edit in edits}, _refs(part) | {edit.ref for edit in said}
    return Narrowed(part, shown, said, len(whole - those))


def _told(want: Mapping[str, Any], selection: Selection, running: dict[str, Snapshot]) -> dict[str, Snapshot]:
    told: dict[str, Snapshot] = {}
    for node, snapshot in want.items():
        if Ref.parse(f"Proxy/{node}") in selection:
            told[node] = snapshot
            continue
        new, old = _owned(snapshot, selection), _owned(running.get(node), selection)
        if _versions(new) != _versions(old):
            told[node] = new
            running[node] = old
    return told


def _owned(snapshot: Snapshot | None, selection: Selection) -> Snapshot:
    """What of it follows from what is selected."""
    if snapshot is None:
        return Snapshot("", {})
    resources = {
        type: {name: one for name, one in listed.items() if one.owner in selection}
        for type, listed in snapshot.resources.items()
    }
    return Snapshot(snapshot.version, resources)


def _versions(snapshot: Snapshot) -> dict[tuple[str, str], str]:
    return {(type, name): one.version for type, listed in snapshot.resources.items() for name, one in listed.items()}


def _refs(planned: Plan) -> set[Ref]:
    return {*(action.ref for action in planned.actions), *(hold.ref for hold in planned.held), *planned.left}
