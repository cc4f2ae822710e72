"""What one revision changes against another, from what they declare alone: no host is looked at."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from reconciler.core.carried import group_of
from reconciler.core.handover import node_id
from reconciler.core.model import XDS, Action, FleetState, Plan, Ref, Snapshot, Want, digest


def between(was: FleetState, wanted: FleetState, told: Mapping[str, Snapshot], tell: Mapping[str, Snapshot]) -> Plan:
    """The plan on a fleet that is just as `was` declares it. `told` and `tell` are what each proxy is told by either.

    Hosts are left empty: where something runs is not in any document, unless it is pinned.
    """
    actions: list[Action] = []
    old, new = _running(was), _running(wanted)
    for ref in sorted(old.keys() | new.keys()):
        actions += _workload(ref, old.get(ref), new.get(ref))
    actions += _tells(wanted, told, tell)
    return Plan(wanted.revision, tuple(actions))


def certificate_versions(fleet: FleetState) -> dict[Ref, str]:
    """Certificate ⇒ a version that is another one when what is declared of it is: what there really is of it, only the Convoy
    that makes or opens it knows."""
    return {resource.ref: digest(named(resource.spec.model_dump(mode="json"))) for resource in fleet.of("Certificate")}


def named(value: Any) -> Any:
    """The same value with each sealed secret as its hash: sealed again, the same one is another ciphertext."""
    if isinstance(value, Mapping):
        return {"sealed": value["hash"]} if "age" in value and "hash" in value else {k: named(v) for k, v in value.items()}
    return [named(one) for one in value] if isinstance(value, list | tuple) else value


def _running(fleet: FleetState) -> Mapping[Ref, Want]:
    """What goes on running. Whether a hook runs is decided by what it is for, and by whether it has run."""
    hooks = {ref for ref, resource in fleet.resources.items() if resource.hook is not None}
    return {ref: want for ref, want in fleet.workloads.items() if ref not in hooks} if hooks else fleet.workloads


def _workload(ref: Ref, old: Want | None, new: Want | None) -> list[Action]:
    if new is None:
        return [Action("delete", ref, old.instance, old.host, None, "no longer declared")] if old is not None else []
    if old is None:
        return [Action("create", ref, new.instance, new.host, new, "missing")]
    if old.instance != new.instance:
        reason = "changed: made before the old one is removed"
    elif new.host and old.host != new.host:
        reason = f"moves to host {new.host}"
    elif old.live != new.live:
        fields = tuple(sorted(name for name in {*old.fields, *new.fields} if old.fields.get(name) != new.fields.get(name)))
        words = f"changed in place: {', '.join(fields)}" if fields else "changed in place"
        return [Action("update", ref, new.instance, new.host, new, words, fields=fields)]
    else:
        return []
    gone = Action("delete", ref, old.instance, old.host, None, "replaced")
    return [Action("create", ref, new.instance, new.host, new, reason), gone]


def _tells(wanted: FleetState, told: Mapping[str, Snapshot], tell: Mapping[str, Snapshot]) -> list[Action]:
    """One for each ProxyGroup, as the planner has it."""
    changed: dict[Ref, dict[str, Snapshot]] = defaultdict(dict)
    for resource in wanted.of("Proxy"):
        node = node_id(resource.ref)
        before, now = told.get(node), tell.get(node)
        if now is not None and (before is None or before.version != now.version):
            changed[group_of(resource)][node] = now
    return [Action("update", group, "", XDS, nodes, "new configuration") for group, nodes in sorted(changed.items())]
