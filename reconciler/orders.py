"""What people tell Convoy beside Git's documents: whether there is anything to be told, and how it is written down."""

from collections.abc import Iterable, Mapping
from typing import Any

from reconciler.core import guard
from reconciler.core.facts import DELETES, FLEET, Order, OrderVerb
from reconciler.core.proposal import Refused
from reconciler.store import HOME, Store

Rows = Mapping[str, Mapping[str, Any]]
# What can be suspended: there has to be something that would be done to it.
SUSPENDABLE = ("Container", "Application", "Proxy", "ProxyGroup", "Host")


def give(
    store: Store, verb: OrderVerb, subjects: Iterable[str], reason: str, by: str, now: float, for_s: float | None = None
) -> None:
    """`for_s`: how long it counts, None until it is taken back. Whoever gives an order wakes the Convoy at work afterwards."""
    until = None if for_s is None else now + for_s
    write_down(store, [Order(verb, one, reason, by, now, until) for one in subjects])


def write_down(store: Store, orders: Iterable[Order]) -> None:
    """All of them or none: who is interrupted half way through hundreds would not know which."""
    with store.batch():
        for one in orders:
            store.put_order(one)
            store.event(f"order.{one.verb}", one.subject, f"{one.by}: {one.reason}" if one.reason else one.by, one.at)


def confirmable(plan: Mapping[str, Any], rows: Rows, what: str) -> dict[str, str]:
    """Printed ref ⇒ why it waits, of the deletes in the last plan that a confirm of `what` lets go ahead: a printed ref (or its
    owner's), or DELETES. Raises Refused where there are none."""
    waiting = _waiting(plan)
    if what == DELETES:
        found = {ref: hold["reason"] for ref, hold in waiting.items() if hold["release"] == guard.RELEASE_LOT}
    else:
        found = {
            ref: hold["reason"] for ref, hold in waiting.items() if what in (ref, str(rows.get(ref, {}).get("owner", ref)))
        }
    if not found:
        raise Refused("not-held", f"nothing waits for a confirm of {what}: `convoy status` shows what is held, and why")
    return found


def _waiting(plan: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Printed ref ⇒ its hold, of all deletes that wait for a person."""
    return {
        step["ref"]: hold
        for step in plan.get("steps", ())
        for hold in step["held"]
        if hold["verb"] == "delete" and "convoy confirm" in hold["release"]
    }


def suspend(store: Store, subject: str, reason: str, by: str, now: float, for_s: float | None) -> None:
    """Of a printed ref that there is, or FLEET. Raises Refused where nothing is ever done to it."""
    if subject != FLEET and subject.split("/")[0] not in SUSPENDABLE:
        raise Refused(
            "bad-order",
            f"nothing is ever done to {subject} by itself: suspend the ProxyGroup that carries it, "
            f"or one of {', '.join(SUSPENDABLE)}",
        )
    give(store, "suspend", [subject], reason, by, now, for_s)


def resume(store: Store, subject: str, by: str, now: float) -> None:
    """Of a printed ref, or FLEET. Raises Refused where it was neither suspended nor stopped."""
    suspended = store.drop_orders(("suspend", subject))
    row = store.status([subject]).get(subject, {})
    if not suspended and f"convoy resume {subject}" not in str(row.get("why", "")):
        raise Refused("not-held", f"{subject} is not suspended: `convoy status` shows what is held, and why")
    give(store, "resume", [subject], "", by, now)


def left_behind(store: Store, installation: str) -> dict[str, str]:
    """What a take-over takes of an installation, or of a Convoy's own machine by its short id: subject ⇒ in words. Raises
    Refused where nothing bears its mark."""
    foreign: Mapping[str, int] = (store.state() or {}).get("foreign", {})
    if installation in foreign:
        return {installation: f"{foreign[installation]} instances"}
    hosts = homes_of(store, installation)
    if hosts:
        return {f"Host/{host}": "what ran there from that Convoy's machine is given up" for host in hosts}
    seen = ", ".join(sorted(foreign)) or "none"
    raise Refused("not-held", f"nothing bears the mark of installation {installation}; seen were: {seen}")


def take_over(store: Store, installation: str, reason: str, by: str, now: float) -> None:
    """What `left_behind` has named. Raises Refused as that does."""
    subjects = left_behind(store, installation)
    if installation in subjects:
        give(store, "take-over", subjects, reason, by, now)
        return
    forget(store, (subject.removeprefix("Host/") for subject in subjects))
    for subject in subjects:
        store.event("order.take-over", subject, f"{by}: from {installation}", now)


# Hosts that are a Convoy's own machine


def short(name: str) -> str:
    """The identity of the state directory in a Convoy's name."""
    return name.rpartition("(")[2].removesuffix(")")


def homes_of(store: Store, home: str) -> list[str]:
    """The hosts that are the machine of the Convoy with this identity."""
    rows = store.guards().items()
    return sorted(
        name.removeprefix(HOME) for name, row in rows if name.startswith(HOME) and short(str(row.get("name"))) == home
    )


def forget(store: Store, hosts: Iterable[str]) -> None:
    """They are nobody's from now on."""
    store.put_guards({HOME + host: None for host in hosts})
