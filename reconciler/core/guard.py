"""What keeps a mistake from becoming a loss: the delete budget, confirms, suspensions, drift policies, and fights."""

import contextlib
from collections.abc import Collection, Iterable, Mapping

from reconciler.core.facts import DELETES, FLEET, RETAINED, Facts, Order
from reconciler.core.kinds.settings import Settings
from reconciler.core.model import Action, FleetState, Held, Observed, ObservedState, Plan, Ref, Want

# So many corrections of one thing within so long are no accident: somebody, or something, wants it otherwise.
FIGHT_TIMES, FIGHT_WITHIN_S = 5, 600.0


def ordered(facts: Facts, verb: str, *subjects: str) -> Order | None:
    """The order about one of these that is in force."""
    return next((facts.orders[verb, subject] for subject in subjects if (verb, subject) in facts.orders), None)


# Deletes


def owner_of(one: Observed) -> str:
    """The declared resource that this came from, printed."""
    return str(one.fields.get("owner") or one.ref)


def owner_ref(one: Observed) -> Ref:
    """The same; of a mark that somebody has spoiled, the workload itself."""
    with contextlib.suppress(ValueError):
        return Ref.parse(owner_of(one))
    return one.ref


def owners(wanted: FleetState, seen: ObservedState) -> dict[Ref, Ref]:
    """Workload ⇒ the declared resource it comes from; of what is not declared any more, as its mark says."""
    found: dict[Ref, Ref] = {}
    for one in seen.resources.values():
        # A mark that somebody has spoiled says nothing.
        with contextlib.suppress(ValueError):
            found[one.ref] = Ref.parse(owner_of(one))
    return found | {ref: want.owner for ref, want in wanted.workloads.items()}


def undeclared(fleet: FleetState, seen: Iterable[Observed], facts: Facts) -> list[Observed]:
    """What no document declares. What a revision declares that is not in force yet is not known to be wanted otherwise."""
    awaited = {str(ref) for ref in facts.withheld}
    return [one for one in seen if one.ref not in fleet.workloads and not (awaited and owner_of(one) in awaited)]


def kept(one: Observed, facts: Facts) -> str:
    """Why something no longer declared goes on running for good; empty when it does not."""
    if one.fields.get("deletion") == "retain" and ordered(facts, "confirm", RETAINED) is None:
        return "retained: its document said `deletion: retain`"
    return ""


def confirmed(one: Observed, facts: Facts) -> bool:
    """Whether a person said that this may be deleted."""
    return ordered(facts, "confirm", str(one.ref), owner_of(one), FLEET) is not None


def lot(undeclared: Iterable[Observed], facts: Facts) -> frozenset[Ref]:
    """The deletes that the budget has yet to judge: not retained, nor confirmed one by one, nor let pass before."""
    return frozenset(
        one.ref
        for one in undeclared
        if one.ref not in facts.passed
        and not kept(one, facts)
        and not confirmed(one, facts)
        and one.fields.get("deletion") != "confirm"
    )


def passing(refs: Collection[Ref], before: int, settings: Settings, facts: Facts) -> bool:
    """Whether these deletes are within the budget, or a person has released them together."""
    return len(refs) <= settings.delete_budget.allows(before) or ordered(facts, "confirm", DELETES) is not None


# What releases a lot that is beyond the budget.
RELEASE_LOT = "bring the documents back, or `convoy confirm deletes`"


def why_not_deleted(one: Observed, waiting: Collection[Ref], before: int, settings: Settings) -> Held | None:
    """What holds back the delete of something no longer declared that is neither retained nor confirmed.

    `waiting` is the lot that is beyond the budget, empty where it is within.
    """
    confirm = f"bring its document back, or `convoy confirm {owner_of(one)}`"
    if one.fields.get("deletion") == "confirm":
        return Held(one.ref, "its deletion has to be confirmed", None, one.instance, "delete", confirm)
    if one.ref in waiting:
        budget = settings.delete_budget.allows(before)
        reason = f"{len(waiting)} of {before} workloads would be deleted, and the delete budget allows {budget}"
        return Held(one.ref, reason, None, one.instance, "delete", RELEASE_LOT)
    return None


# Suspensions


def suspended(ref: Ref, owner: str, host: str, facts: Facts) -> Order | None:
    """The order by which nothing is done to this for now."""
    return ordered(facts, "suspend", str(ref), owner, str(Ref("Host", host)), FLEET)


def words_of(order: Order) -> tuple[str, float | None, str]:
    """What a suspension is shown as: why, until when, and how it ends."""
    return f"suspended by {order.by}: {order.reason}", order.until, f"`convoy resume {order.subject}`"


# Drift


def drifted(want: Want, facts: Facts, open_hosts: Collection[str]) -> bool:
    """Whether a difference is nobody's commit: just this was seen as declared, on a host where it may still be."""
    settled = facts.settled.get(want.ref)
    return settled is not None and settled[:2] == (want.instance, want.live) and settled[2] in open_hosts


def policy(want: Want, fields: Collection[str], settings: Settings) -> str:
    """What is done with a drift of these fields: the strictest word for any of them."""
    rest = want.drift.get("", settings.drift)
    said = {want.drift.get(field, rest) for field in fields} or {rest}
    return next(word for word in ("correct", "report", "ignore") if word in said)


def fighting(ref: Ref, facts: Facts) -> bool:
    """Whether something else keeps changing this back."""
    times = facts.corrections.get(ref, ())[-FIGHT_TIMES:]
    return len(times) == FIGHT_TIMES and times[-1] - times[0] <= FIGHT_WITHIN_S


def leave(want: Want, fields: Collection[str], what: str, facts: Facts, settings: Settings) -> Held | str:
    """Why a drift is not put right: a hold, or words for one that is ignored; "" when it is to be put right."""
    said = policy(want, fields, settings)
    if said == "ignore":
        return f"drift ignored: {what}"
    if said == "report":
        release = "put it right by hand, change its document, or let `drift` say `correct`"
        return Held(want.ref, f"drift reported, not corrected: {what}", None, want.instance, None, release, drifted=True)
    if fighting(want.ref, facts):
        words = (
            f"something else keeps changing it: put right {FIGHT_TIMES} times within {FIGHT_WITHIN_S / 60:g} minutes ({what})"
        )
        release = f"find out what changes it, then `convoy resume {want.ref}`"
        return Held(want.ref, words, None, want.instance, None, release)
    return ""


def corrects(action: Action, facts: Facts) -> bool:
    """Whether this action puts right what no commit changed. Whether it was planned for that counts: what it has made may be
    seen to be as declared before its outcome is heard."""
    want = action.want
    if not action.drift or not isinstance(want, Want):
        return False
    return facts.settled.get(want.ref) == (want.instance, want.live, action.host)


def fights(plan: Plan, facts: Facts) -> int:
    """How many resources are left alone because something else keeps changing them."""
    return len({held.ref for held in plan.held if not held.drifted and held.release and fighting(held.ref, facts)})


# What is remembered from one round to the next


def remembered_lot(
    undeclared: Iterable[Observed], facts: Facts, settings: Settings, running: int
) -> tuple[int, frozenset[Ref]]:
    """`before`, and the deletes that have passed: to be kept before any of them is acted on.

    While a lot is held the number that ran before it stays: what is made meanwhile must not make the lot look smaller.
    """
    listed = tuple(undeclared)
    waiting = lot(listed, facts)
    before = running if facts.before is None or not waiting else facts.before
    released = passing(waiting, before, settings, facts)
    gone = {one.ref for one in listed}
    passed = frozenset(ref for ref in facts.passed if ref in gone)
    return before, passed | waiting if released else passed


def settled(
    wants: Mapping[Ref, Want], as_declared: Mapping[Ref, str], before: Mapping[Ref, tuple[str, str, str]]
) -> dict[Ref, tuple[str, str, str] | None]:
    """What changes in what was last seen as declared (`as_declared`: workload ⇒ the host where it is so now)."""
    changes: dict[Ref, tuple[str, str, str] | None] = {}
    for ref, host in as_declared.items():
        now = (wants[ref].instance, wants[ref].live, host)
        if before.get(ref) != now:
            changes[ref] = now
    for ref in before.keys() - wants.keys():
        changes[ref] = None
    return changes
