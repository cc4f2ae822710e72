"""`POST /v1/rollback`: one resource's document put back to what it was, by a commit, as `convoy rollback` does."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import replace

from flask import Flask, Response, request

from api import audit, changes
from api.people import asker
from api.reach import Reach
from api.surfaces.convoy import wire
from api.surfaces.convoy.orders import JSON, only, resource, text
from reconciler.core.declared import Changed
from reconciler.core.model import Ref
from reconciler.core.proposal import LONGEST_MESSAGE, Change, Refused, plain
from reconciler.core.told import about

# The number of a change, or the beginning of a commit's name.
NUMBER, COMMIT = re.compile(r"#?([0-9]{1,9})"), re.compile(r"[0-9a-f]{7,64}")
MOST_CHANGES = 1_000


def add(flask: Flask, reach: Reach) -> None:
    @flask.post("/v1/rollback")
    def rollback() -> Response:
        """{"what": "KIND/NAME", "to": a number of its history, or a commit, "reason": …}; and what every change takes."""
        token = asker(reach.store, request, "write")
        by, asked = changes.writer(token), changes.terms(request)
        with changes.room(reach, by) as held:
            said = changes.document(request, held.take, JSON)
            only(said, ("what", "to", "reason"))
            if type(said.get("to")) is int:
                said["to"] = str(said["to"])
            what, to, reason = resource(text(said, "what")), text(said, "to"), plain(text(said, "reason"))
            audit.about(what)
            # What it comes to depends on what there is by then; that it is asked again does not.
            same = json.dumps([what, to, reason, asked.mode]).encode()
            asked = replace(asked, asks=hashlib.sha256(same).hexdigest())
            made = changes.made_before(reach, by, asked)
            if made is not None:
                return wire.proposed(made)
            changes.settle(reach, by.id)
            change, was = _back(reach, what, to)
            title = f"Roll back {what}" + (f": {reason}" if reason else f" to what it was in {was[:12]}")
            done = changes.make(reach, [change], by, replace(asked, message=asked.message or title[:LONGEST_MESSAGE]))
        if done.proposal is None:
            return wire.passed_on(done.plan, request)
        return wire.proposed(done.proposal, status=202 if done.late else 0)


def _back(reach: Reach, ref: str, to: str) -> tuple[Change, str]:
    """The change that puts it back, and the commit in which it was so. Raises Refused."""
    past = reach.store.history(ref, most=MOST_CHANGES)
    if not past:
        raise Refused("not-found", f"nothing is known of what {ref} was")
    now = past[0].digest
    held = {
        digest
        for printed, digest in (about(one.subject) for one in reach.store.orders() if one.verb == "hold")
        if printed == ref
    }
    found = (
        _named(ref, past, to)
        if to
        else next((one for one in past if one.digest not in ("", now, *held) and one.after is not None), None)
    )
    if found is None:
        raise Refused(
            "nothing-before", f"{ref} was nothing else before{' but what is held' if held else ''}, as far as is kept"
        )
    if found.digest == now:
        raise Refused("nothing-before", f"{ref} is what it was in {found.revision[:12]} already")
    if found.digest in held:
        hint = f"release it by a commit with the trailer `Convoy-Release: {ref}`"
        raise Refused("invalid", f"this content of {ref} was rolled back and is held", hint)
    change = Change("rollback", Ref.parse(ref), found.after or {}, match=(now,) if now else (), new=not now)
    return change, found.revision


def _named(ref: str, past: Sequence[Changed], to: str) -> Changed:
    number = NUMBER.fullmatch(to)
    if number is None and COMMIT.fullmatch(to) is None:
        raise Refused("bad-order", "`to` is the number of a change in its history, or a commit")
    # A commit of digits alone is longer than any number.
    numbered = [one for one in past if number is not None and one.n == int(number[1])]
    found = next(iter(numbered or [one for one in past if number is None and one.revision.startswith(to)]), None)
    if found is None:
        raise Refused("not-found", f"no change of {ref} is named so: GET /convoy/v1/history/{ref} lists them")
    if found.after is None:
        why = "deleted it" if found.change == "deleted" else "is not kept whole any more"
        raise Refused("nothing-before", f"change {found.n} of {ref} {why}: name another")
    return found
