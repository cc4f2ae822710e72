"""Webhooks (section 14): who is told outward what happens, and whether they would hear it."""

import time
from typing import Any

from api.seal import sealed
from api.surfaces.envoy_fleet import pages
from api.surfaces.envoy_fleet.mapping import webhooks as mapping
from api.surfaces.envoy_fleet.operations import Answer, Asked, Operations, tagged
from api.surfaces.envoy_fleet.wire import Conflict, NotFound
from reconciler.ask import TELL, AskError, ask
from reconciler.store import Has, Which, Window

KIND, WORD = mapping.KIND, "webhook"
# How long a test's outcome is waited for: longer than any receiver is (reconciler/notify/outbound.py).
TESTED_S, LOOK_S, ASKING_S = 14.0, 0.05, 10.0
# One that was just declared is known to whoever tells it a moment later.
KNOWN_S = 5.0


def add(served: Operations) -> None:
    @served("webhooks.list")
    def every(asked: Asked) -> dict[str, Any]:
        whole = asked.account.may("admin")
        which = Which(KIND, asked.account.tenant, has=(Has(mapping.AT, frozenset({mapping.FORM})),))

        def read(window: Window) -> tuple[list[pages.Entry], int | None]:
            page = asked.reach.store.pages.page(which, window)
            last = asked.reach.store.notices().attempts.last([row.declared.ref for row in page.rows])
            said = (mapping.shown(row.declared, last.get(row.declared.ref), whole=whole) for row in page.rows)
            return [pages.Entry(row.key, row.tie, one) for row, one in zip(page.rows, said, strict=True)], page.total

        return asked.page(read)

    @served("webhooks.create")
    def create(asked: Asked) -> Answer:
        body = asked.body
        mapping.patterns(body)
        mapping.public(body["url"])
        name = body.get("name") or f"webhook-{asked.fresh()}"
        secret = sealed(asked.reach.run, {"secret": body["secret"]})["secret"] if "secret" in body else None
        made = asked.make(mapping.created(body, name, asked.account.tenant, secret)).declared
        return tagged(made, mapping.shown(made, None, whole=True))

    @served("webhooks.test")
    def test(asked: Asked, id: str) -> dict[str, Any]:
        found = asked.find(KIND, id, WORD)
        if not mapping.is_webhook(found):
            raise NotFound(WORD)
        if not mapping.is_active(found):
            raise Conflict("it is not active, so nothing is sent: make it active first")
        begun, told = time.time(), _sent(asked, found.ref)
        attempts = asked.reach.store.notices().attempts
        end = time.monotonic() + TESTED_S
        while True:
            one = attempts.of_message(told)
            if one is not None:
                return mapping.delivered(one)
            if time.monotonic() > end or asked.reach.over.wait(LOOK_S):
                return mapping.pending(told, begun)


def _sent(asked: Asked, ref: str) -> str:
    """The id of the test that is on its way. Raises AskError."""
    end = time.monotonic() + KNOWN_S
    while True:
        try:
            return ask(asked.reach.run, TELL, ref.encode(), ASKING_S).decode()
        except AskError as error:
            if error.code != "not-found" or time.monotonic() > end or asked.reach.over.wait(4 * LOOK_S):
                raise
