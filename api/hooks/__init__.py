"""Inbound webhooks, `POST /hooks/<provider>/<address>`: a forge says that a branch moved, and the loop looks now.

A delivery wakes and does nothing else: one that is lost, doubled, replayed or forged with a stolen secret costs a look at the
source at most. In this order: the address, the rate, the headers, the body up to its cap, the signature over its raw bytes,
and only then what it says.
"""

import json
import time
from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask, Request, Response, request

from api import audit, counts
from api.audit import Asker
from api.bodies import BodyError, read_body
from api.hooks.delivery import Delivery, Event, Malformed
from api.hooks.heard import Once, Recorder
from api.hooks.table import FORGES, Forge
from api.limits import HOOKS_AT_ONCE, Limits, TooMany
from api.reach import Reach
from api.surfaces.convoy import wire
from reconciler.bell import SOURCE, ring_at
from reconciler.core.model import DEFAULT_TENANT
from reconciler.repository import key, same
from reconciler.store import Heard, Hook

# A push of ten thousand files is less than a tenth of this; GitHub cuts off at 25 MB. What is larger is found by the next poll.
LARGEST = 4 * 1024 * 1024
# A forge sends what it has in one go.
SENDING_S = 10.0
# A repository in which so much is pushed is looked at all the time anyway.
IN_A_MINUTE = 240
MOST_BYTES = 64 * 1024 * 1024
# What a delivery is called in the audit.
DELIVER = "hooks.deliver"

WORDS = {
    "woken": "the source is looked at now",
    "again": "this delivery was here already",
    "elsewhere": "not followed here",
    "ignored": "nothing to do for this event",
    "ping": "this hook works",
}


class Refused(Exception):
    """This delivery does not count: with which status, by which code, and why."""

    def __init__(self, status: int, code: str, why: str, **headers: str) -> None:
        super().__init__(why)
        self.status, self.code, self.why, self.headers = status, code, why, headers


class Hooks:
    """What all hooks of one process share."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self.recorder = Recorder(reach.store, reach.log)
        reach.closing.callback(self.recorder.settle)
        self._limits = Limits(IN_A_MINUTE, HOOKS_AT_ONCE, MOST_BYTES)
        self._once = Once()

    def answer(self, provider: str, place: str, request: Request) -> Response:
        forge = FORGES.get(provider)
        found = self._reach.store.hooks.at(provider, place) if forge else None
        if forge is None or found is None:
            return wire.error(404, "not-found", "there is nothing here")
        hook, secret = found
        by = f"hook {hook.name}"
        # The address is half of the secret, and stands in no row.
        audit.named(DELIVER, {"name": hook.name}, Asker(known=False))
        request.environ["convoy.by"] = by
        event = Event("other")
        try:
            event = self._event(hook, secret, forge, request)
            audit.named(DELIVER, {"name": hook.name}, Asker(by=by, tenant=DEFAULT_TENANT))
        except Refused as why:
            self._reach.log.warning("hook.refused", hook=hook.name, why=why.why)
            self.recorder.add(hook.id, Heard(time.time(), "", "refused", why.why))
            return wire.error(why.status, why.code, why.why, **why.headers)
        verdict = self._verdict(hook, event)
        self.recorder.add(hook.id, Heard(time.time(), event.name, verdict, ""))
        return _said(200 if verdict == "ping" else 202, verdict)

    def _event(self, hook: Hook, secret: bytes, forge: Forge, request: Request) -> Event:
        """What it says, once it has proved whose it is. Raises Refused."""
        try:
            self._limits.count(hook.id)
            with self._limits.one() as held:
                delivery = Delivery(_headers(request), _body(forge, request, held.take))
                if not forge.check(delivery, secret):
                    raise Refused(401, "unauthorized", "the signature, or the token, is not this hook's")
                return forge.read(delivery)
        except TooMany as why:
            words = "more deliveries than this hook may have" if why.own else "as many deliveries as can be are being read"
            raise Refused(429, "busy", words, Retry_After=str(why.after_s)) from None
        except BodyError as why:
            raise Refused(why.status, why.code, _why(why)) from None
        except Malformed as why:
            raise Refused(400, "bad-delivery", str(why)) from None

    def _verdict(self, hook: Hook, event: Event) -> str:
        if event.kind != "push":
            return "ping" if event.kind == "ping" else "ignored"
        url, branch = self._reach.followed()
        followed = key(hook.repository or url)
        if branch not in event.branches or not any(same(one, followed) for one in event.repositories):
            return "elsewhere"
        now = time.monotonic()
        if self._once.seen(hook.id, event.id, now):
            return "again"
        # Where nobody hears it, Convoy is about to start, and begins with a look.
        ring_at(self._reach.run / SOURCE)
        self._once.done(hook.id, event.id, now)
        return "woken"


def _headers(request: Request) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers.items()}


def _body(forge: Forge, request: Request, take: Callable[[int], None]) -> bytes:
    """Raises Refused, BodyError and TooMany."""
    if request.mimetype not in forge.types:
        raise Refused(415, "media-type", f"the content type is not {' or '.join(forge.types)}")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Refused(415, "encoding", "the body is packed, and no forge packs it")
    if (request.content_length or 0) > LARGEST:
        raise Refused(413, "too-large", _large())
    return read_body(request.stream, "", LARGEST, take, SENDING_S)


def _why(why: BodyError) -> str:
    return _large() if why.status == 413 else why.what


def _large() -> str:
    return f"the body is longer than {LARGEST} bytes"


def _said(status: int, verdict: str) -> Response:
    said = json.dumps({"verdict": verdict, "message": WORDS[verdict]})
    return Response(said, status, mimetype="application/json")


class App:
    """Served under `/hooks`."""

    def __init__(self, reach: Reach) -> None:
        self.hooks = hooks = Hooks(reach)
        self._flask = flask = Flask("convoy.hooks", static_folder=None)
        wire.envelope(flask)
        counts.listen(flask, "hooks")
        audit.listen(flask, "hooks")

        @flask.post("/<provider>/<place>")
        def deliver(provider: str, place: str) -> Response:
            audit.named(DELIVER, {}, Asker(known=False))
            return hooks.answer(provider, place, request)

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        # Part of the path is a secret: no log has it.
        environ["convoy.path"] = "/hooks/…"
        return self._flask(environ, start)


__all__ = ["App", "Hooks"]
