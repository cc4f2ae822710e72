"""Orders: what a person tells Convoy beside Git, in the words of the commands of these names."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Flask, Response, request

from api import audit, changes
from api.people import asker
from api.reach import Reach
from api.surfaces.convoy import wire
from reconciler import orders
from reconciler.bell import NAME, ring_at
from reconciler.core.facts import DELETES, FLEET, lasting
from reconciler.core.model import DEFAULT_TENANT
from reconciler.core.proposal import LONGEST_MESSAGE, Refused, plain, ref_named
from reconciler.store import Store

JSON = (changes.JSON,)


@dataclass(frozen=True, slots=True)
class Told:
    """One order as it was sent: about what, why, by whom ("Name <mail>"), and for how many seconds (None: for ever)."""

    what: str
    reason: str
    by: str
    for_s: float | None
    now: float


def add(flask: Flask, reach: Reach) -> None:
    def order(verb: str, give: Callable[[Store, Told], Sequence[str]], *, subject: Callable[[str], str], lasts: bool) -> None:
        """POST /v1/<verb>: {"what": …, "reason": …}, and {"for": …} where it `lasts`."""

        def view() -> Response:
            who = asker(reach.store, request, "write")
            by = changes.writer(who)
            with changes.room(reach, by) as held:
                said = changes.document(request, held.take, JSON)
                told = _told(said, by.author, lasts=lasts, subject=subject)
                audit.about(told.what)
                about = sorted(give(reach.store, told))
                ring_at(reach.run / NAME)
            until = None if told.for_s is None else told.now + told.for_s
            return wire.answer({"order": verb, "about": about, "by": told.by, "reason": told.reason, "until": until})

        flask.add_url_rule(f"/v1/{verb}", verb, view, methods=["POST"])

    order("confirm", _confirm, subject=lambda what: what if what == DELETES else resource(what), lasts=False)
    order("suspend", _suspend, subject=lambda what: what if what == FLEET else resource(what), lasts=True)
    order("resume", _resume, subject=lambda what: what if what == FLEET else resource(what), lasts=False)
    order("take-over", _take_over, subject=lambda what: what, lasts=False)


def _confirm(store: Store, told: Told) -> Sequence[str]:
    chosen = orders.confirmable(store.last_plan() or {}, store.status(), told.what)
    orders.give(store, "confirm", chosen, told.reason, told.by, told.now)
    return list(chosen)


def _suspend(store: Store, told: Told) -> Sequence[str]:
    if not told.reason:
        raise Refused("bad-order", "a suspension has a reason: it is shown wherever a person may wonder", "say `reason`")
    if told.what != FLEET and not store.status([told.what]):
        raise Refused("not-found", f"there is no {told.what}")
    orders.suspend(store, told.what, told.reason, told.by, told.now, told.for_s)
    return [told.what]


def _resume(store: Store, told: Told) -> Sequence[str]:
    orders.resume(store, told.what, told.by, told.now)
    return [told.what]


def _take_over(store: Store, told: Told) -> Sequence[str]:
    taken = orders.left_behind(store, told.what)
    orders.take_over(store, told.what, told.reason, told.by, told.now)
    return list(taken)


def _told(said: Mapping[str, Any], by: str, *, lasts: bool, subject: Callable[[str], str]) -> Told:
    only(said, ("what", "reason", "for") if lasts else ("what", "reason"))
    what = text(said, "what")
    if not what:
        raise Refused("bad-order", "what it is about is not said", 'say `what`: {"what": "Application/web"}')
    try:
        for_s = lasting(text(said, "for") or "24h") if lasts else None
    except ValueError as error:
        raise Refused("bad-order", f"`for`: {error}") from None
    return Told(subject(what), plain(text(said, "reason")), by, for_s, time.time())


def resource(what: str) -> str:
    """The printed ref that KIND/NAME or KIND/TENANT/NAME means; raises Refused."""
    kind, *names = what.split("/")
    if len(names) not in (1, 2):
        raise Refused("bad-name", "this names no resource", "write KIND/NAME, or KIND/TENANT/NAME")
    return str(ref_named(kind, names[0] if len(names) == 2 else DEFAULT_TENANT, names[-1]))


def only(said: Mapping[str, Any], known: Sequence[str]) -> None:
    """Raises Refused where something is said that would not be heard."""
    strange = [name for name in said if name not in known]
    if strange:
        raise Refused("bad-order", f"{plain(strange[0])[:40]!r} says nothing here", f"there are {', '.join(known)}")


def text(said: Mapping[str, Any], name: str) -> str:
    """One member, "" where it is left out; raises Refused."""
    value = said.get(name, "")
    if not isinstance(value, str) or len(value) > LONGEST_MESSAGE:
        raise Refused("bad-order", f"`{name}` is a text of at most {LONGEST_MESSAGE} characters")
    return value
