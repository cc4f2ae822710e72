"""`POST /v1/sync`: as `convoy sync`, and waited for no longer than a request may last."""

import time
from typing import Any

from flask import Flask, Response, request

from api import changes
from api.people import asker
from api.reach import Reach
from api.surfaces.convoy import wire
from api.surfaces.convoy.orders import JSON, only, text
from reconciler import syncing
from reconciler.core import show
from reconciler.core.facts import lasting
from reconciler.core.kinds import KINDS
from reconciler.core.proposal import Refused, plain
from reconciler.core.select import Selector, SelectorError
from reconciler.store import LEASE, Store

MEMBERS = ("only", "overrideWindow", "for", "retry", "revision")
MOST_ONLY = 50
# Several may wait, and each look reads every status.
LOOK_S = 0.5


def add(flask: Flask, reach: Reach) -> None:
    @flask.post("/v1/sync")
    def sync() -> Response:
        """`outcome` tells: synced; waiting (for a person); late (the time was over first); begun (nobody waits)."""
        who = asker(reach.store, request, "write")
        by, waits, timeout_s = changes.writer(who), _waits(), changes.timeout_s(request)
        with changes.room(reach, by) as held:
            said = changes.document(request, held.take, JSON)
            wish, revision = _wish(said), text(said, "revision")
            found = syncing.read(reach.run, fetch=True)
            syncing.readable(found)
            if revision and found["revision"] != revision:
                what = f"revision {found['revision'][:12]} is in force, and not the one that is to be released"
                raise Refused("conflict", what, "read the status again, and decide anew")
            if syncing.release(reach.store, found, wish, by.author, time.time()):
                found = syncing.read(reach.run, fetch=False)
        outcome = "begun"
        if waits:
            reach.waits.count(who.id)
            with reach.waits.one():
                there = syncing.wait(reach.store, found["revision"], timeout_s, reach.over.is_set, look_s=LOOK_S)
            outcome = {True: "synced", False: "waiting", None: "late"}[there]
        result = wire.answer({"outcome": outcome, **standing(reach.store)})
        result.status_code = 202 if outcome in ("late", "begun") else 200
        return result


def standing(store: Store) -> dict[str, Any]:
    """Where the fleet stands, as `convoy status -o json` says it."""
    state, rows, acting = store.state() or {}, store.status(), store.holder(LEASE) or ""
    fleet, foreign = show.standing(state, bool(acting), "", acting), state.get("foreign", {})
    beside = {**show.orders_json(store.orders(), foreign), "untold": store.notices().troubled()}
    return show.status_json(fleet, state, rows) | beside


def _waits() -> bool:
    given = request.args.get("wait", "")
    if given not in ("", "synced"):
        raise Refused("bad-query", "`wait` is synced, or left out")
    return bool(given)


def _wish(said: dict[str, Any]) -> syncing.Wish:
    only(said, MEMBERS)
    words, retry = said.get("only", []), said.get("retry", False)
    if not isinstance(words, list) or not all(isinstance(one, str) for one in words) or len(words) > MOST_ONLY:
        raise Refused("bad-order", f"`only` is a list of at most {MOST_ONLY} selectors, as for --only")
    if not isinstance(retry, bool):
        raise Refused("bad-order", "`retry` is true or false")
    override = plain(text(said, "overrideWindow")) if "overrideWindow" in said else None
    if override == "":
        raise Refused("bad-order", "`overrideWindow` is the reason: it is shown wherever a person may wonder")
    try:
        return syncing.Wish(Selector.parse(words, KINDS), override, lasting(text(said, "for") or "1h"), retry)
    except (SelectorError, ValueError) as error:
        raise Refused("bad-order", str(error)) from None
