"""What proxies are to be told now: a step for each ProxyGroup, and what is not told yet."""

from collections import defaultdict

from reconciler.core import guard
from reconciler.core.facts import Facts
from reconciler.core.handover import news, node_id, some
from reconciler.core.model import XDS, Action, FleetState, Held, Ref, Snapshot


def tell(wanted: FleetState, facts: Facts) -> tuple[list[Action], list[Held]]:
    """One action for each ProxyGroup whose proxies are to be told something new; and what they are not told yet."""
    held: list[Held] = []
    changed: dict[Ref, dict[str, Snapshot]] = defaultdict(dict)
    for ref, group, snapshot in news(wanted, facts):
        order = guard.suspended(ref, str(group), XDS, facts)
        if order is not None:
            reason, until, release = guard.words_of(order)
            held.append(Held(ref, reason, until, "", "update", release))
        else:
            changed[group][node_id(ref)] = snapshot
    actions = [
        Action("update", group, "+".join(_versions(told)[:3]), XDS, told, f"new configuration for {some(told)}")
        for group, told in changed.items()
    ]
    waits = facts.awaiting.items()
    held += [Held(Ref.parse(f"Proxy/{node}"), wait.why, None, "", "update", overdue=wait.overdue) for node, wait in waits]
    return actions, held


def _versions(told: dict[str, Snapshot]) -> list[str]:
    return sorted({snapshot.version for snapshot in told.values()})
