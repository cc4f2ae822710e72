"""Resources: read as they are declared and fare, and changed by commits."""

import json
import uuid
from typing import Any

import orjson
from flask import Flask, Response, request

from api.bodies import BodyError, read_body
from api.fleet import Fleet, selector
from api.limits import Limits
from api.people import asker
from api.reach import Reach
from api.surfaces.convoy import wire
from reconciler.ask import REHEARSE, REHEARSE_WITH_DOCUMENTS, ask
from reconciler.core.kinds import KINDS
from reconciler.core.model import DEFAULT_TENANT, Ref
from reconciler.core.proposal import LONGEST_MESSAGE, Change, Refused, Verb, as_body, ref_named
from reconciler.core.select import SelectorError, kind_named
from reconciler.store import Token

# Ten times the largest document anybody has shown us.
LARGEST_DOCUMENT = 1024 * 1024
LONGEST_KEY, MOST_MATCHES = 200, 20
# How long a request waits for its commit, and at most for what follows from it.
COMMITTING_S, SYNCING_S, LONGEST_S = 20.0, 20, 60
REHEARSING_S = 90.0
PAGE, LARGEST_PAGE = 100, 500
WRITES_IN_A_MINUTE, WRITES_AT_ONCE = 12_000, 40
MERGE_PATCH = "application/merge-patch+json"


def add(flask: Flask, reach: Reach) -> None:
    """The URLs below /v1/resources, and /v1/proposals."""
    fleet = Fleet(reach.store, reach.run, reach.over)
    limits = Limits(WRITES_IN_A_MINUTE, WRITES_AT_ONCE, what="changes")
    one = "/v1/resources/<kind>/<name>", "/v1/resources/<kind>/<tenant>/<name>"

    @flask.get("/v1/resources")
    def every() -> Response:
        """A page of what is declared, in the order of refs."""
        asker(reach.store, request, "read")
        try:
            kind = kind_named(request.args["kind"], KINDS) if request.args.get("kind") else ""
            selected = selector(request.args.getlist("selector"))
        except SelectorError as error:
            raise Refused("bad-query", str(error)) from None
        page, size = _number("page", 1, 1_000_000), _number("perPage", PAGE, LARGEST_PAGE)
        total, found = fleet.listed(kind, selected, (page - 1) * size, size)
        return wire.answer({"total": total, "page": page, "perPage": size, "resources": [wire.resource(one) for one in found]})

    def get(kind: str, name: str, tenant: str = DEFAULT_TENANT) -> Response:
        """One, with its document's digest as its ETag. `after`: not before what this proposal has changed is in force."""
        asker(reach.store, request, "read")
        ref = ref_named(kind, tenant, name)
        after = fleet.proposal(request.args["after"]) if "after" in request.args else None
        if after is not None and after.state == "committed":
            fleet.in_force(after, _seconds())
        found = fleet.get(ref)
        if found is None:
            raise Refused("not-found", f"{ref} is not declared")
        return wire.tagged(wire.answer(wire.resource(found)), found.declared.digest)

    def put(kind: str, name: str, tenant: str = DEFAULT_TENANT) -> Response:
        """The whole document, in the place of the one that is there, if any."""
        return change("put", kind, name, tenant)

    def patch(kind: str, name: str, tenant: str = DEFAULT_TENANT) -> Response:
        """A JSON merge patch (RFC 7396) on the document."""
        return change("patch", kind, name, tenant)

    def delete(kind: str, name: str, tenant: str = DEFAULT_TENANT) -> Response:
        """The document is gone, and so is, soon, what was made from it: whoever asks for that has confirmed it."""
        return change("delete", kind, name, tenant)

    for path in one:
        for method, view in {"GET": get, "PUT": put, "PATCH": patch, "DELETE": delete}.items():
            flask.add_url_rule(path, f"{method} {path}", view, methods=[method])

    @flask.get("/v1/proposals/<id>")
    def proposal(id: str) -> Response:
        """What became of a change: for whoever got no answer."""
        token = asker(reach.store, request, "write")
        found = fleet.proposal(id)
        # To others it is not there.
        if found is None or found.token != token.id:
            raise Refused("not-found", "there is no such proposal")
        return wire.proposed(found, str(found.body.get("ref", "")), always=True)

    def change(verb: Verb, kind: str, name: str, tenant: str) -> Response:
        token = asker(reach.store, request, "write")
        ref, waits = ref_named(kind, tenant, name), request.args.get("wait", "committed")
        if waits not in ("committed", "synced"):
            raise Refused("bad-query", "`wait` is committed or synced")
        seconds = _seconds()
        limits.count(token.id)
        with limits.one() as held:
            document = (
                {} if verb == "delete" else _document(read_body(request.stream, _encoding(), LARGEST_DOCUMENT, held.take))
            )
            there = fleet.get(ref)
            asked = _change(verb, ref, document, there.declared.digest if there is not None else "", token)
            if _flag("dry_run"):
                what = REHEARSE_WITH_DOCUMENTS if "read" in token.scopes else REHEARSE
                return wire.passed_on(ask(reach.run, what, json.dumps(as_body(asked)).encode(), REHEARSING_S), request)
            made = fleet.propose(asked, token.id, _key())
            ended = fleet.wait(made, COMMITTING_S)
            if ended.state == "committed" and waits == "synced" and not fleet.in_force(ended, seconds, synced=True):
                return wire.proposed(ended, str(ref), status=202)
            return wire.proposed(ended, str(ref))


def _change(verb: Verb, ref: Ref, document: dict[str, Any], seen: str, token: Token) -> Change:
    match, new = _matches(), request.headers.get("If-None-Match", "").strip()
    if new not in ("", "*"):
        raise Refused("bad-query", "If-None-Match can only be `*` here: it must not be there yet")
    said = request.args.get("message", "")
    if len(said) > LONGEST_MESSAGE:
        raise Refused("bad-query", f"a message has at most {LONGEST_MESSAGE} characters")
    author = token.author or f"{token.name} <{token.name}@localhost>"
    return Change(verb, ref, document, match, seen, bool(new), str(uuid.uuid4()), token.name, author, said)


def _matches() -> tuple[str, ...]:
    """The digests that If-Match names; a weak one never matches (RFC 9110, 13.1.1)."""
    listed = [one.strip() for one in request.headers.get("If-Match", "").split(",") if one.strip()]
    if len(listed) > MOST_MATCHES:
        raise Refused("bad-query", f"If-Match names more than {MOST_MATCHES} tags")
    return tuple(one if one == "*" else one.strip('"') for one in listed)


def _document(body: bytes) -> dict[str, Any]:
    if request.mimetype not in ("application/json", MERGE_PATCH):
        raise BodyError(415, "media-type", "the body is not said to be JSON", "send it with Content-Type: application/json")
    try:
        found = json.loads(body, parse_constant=_no_number, object_pairs_hook=_once)
        # Half characters, numbers of any length and endless depth are JSON too, and no document holds them.
        orjson.dumps(found)
    except (ValueError, TypeError, RecursionError) as error:
        words = str(error) if isinstance(error, _Twice) else "the body is not JSON that a document can hold"
        raise BodyError(400, "bad-body", words) from None
    if not isinstance(found, dict):
        raise BodyError(400, "bad-body", "the body is no JSON object", "send a document, or a merge patch for one")
    return found


class _Twice(ValueError):
    pass


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Twice("the body holds one key twice in the same object")
    return found


def _no_number(_: str) -> Any:
    raise ValueError


def _key() -> str:
    key = request.headers.get("Idempotency-Key", "").strip()
    if len(key) > LONGEST_KEY or not key.isascii() or not key.isprintable():
        raise Refused("bad-query", f"an Idempotency-Key has at most {LONGEST_KEY} characters, all of them printable ASCII")
    return key


def _encoding() -> str:
    return request.headers.get("Content-Encoding", "")


def _number(name: str, default: int, most: int) -> int:
    text = request.args.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and len(text) < 8 and 1 <= int(text) <= most):
        raise Refused("bad-query", f"`{name}` is a number from 1 to {most}")
    return int(text)


def _seconds() -> float:
    return float(_number("timeoutSeconds", SYNCING_S, LONGEST_S))


def _flag(name: str) -> bool:
    text = request.args.get(name, "false")
    if text not in ("true", "false"):
        raise Refused("bad-query", f"`{name}` is true or false")
    return text == "true"
