"""This surface's envelope: how errors, answers and their headers are written."""

import gzip
import json
from collections.abc import Mapping
from typing import Any

from flask import Flask, Request, Response, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from api.bodies import BodyError
from api.changes import NotDone, Opened, Waiting
from api.fleet import Found
from api.kept import Kept, dumped
from api.limits import LIMITED, TooMany
from api.people import Forbidden, Unknown
from reconciler.ask import AskError
from reconciler.core.declared import Declared
from reconciler.core.masked import shown
from reconciler.core.proposal import Refused
from reconciler.store import Full, KeyReused, Proposal, StoreError

# What control has no answer for ⇒ the status that says whose turn it is.
STATUSES = {
    "bad-question": 400,
    "too-large": 413,
    "no-revision": 503,
    "busy": 503,
    "away": 503,
    "store": 503,
    "late": 504,
    "unknown-request": 501,
}
# What a change is refused for.
REFUSALS = {
    "bad-cursor": 400,
    "bad-query": 400,
    "bad-change": 400,
    "bad-name": 400,
    "bad-order": 400,
    "bad-author": 403,
    "not-found": 404,
    "too-many": 413,
    "conflict": 409,
    "declined": 409,
    "not-held": 409,
    "nothing-before": 409,
    "refused": 409,
    "unreadable": 409,
    "no-git": 409,
    "closed": 409,
    "no-forge": 409,
    "forge": 409,
    "unwritable": 409,
    "exists": 412,
    "precondition": 412,
    "bad-document": 422,
    "invalid": 422,
    "sealed": 422,
    "expired": 503,
    "broken": 500,
}
# What is looked for under another word.
ELSEWHERE = {
    "/v1/hold": "POST /convoy/v1/suspend holds a resource as it is for a while, /convoy/v1/rollback what must not come back"
}
# Below this, packing costs more than it saves.
WORTH_PACKING = 1400
AGAIN_S = 5


def error(status: int, code: str, message: str, hint: str = "", **headers: str) -> Response:
    answer = Response(
        json.dumps({"error": {"code": code, "message": message, "hint": hint}}), status, mimetype="application/json"
    )
    for name, value in headers.items():
        answer.headers[name.replace("_", "-")] = value
    return answer


def answer(said: Any) -> Response:
    return Response(dumped(said), content_type="application/json")


def resource(found: Found, kept: Kept, *, addresses: bool) -> dict[str, Any]:
    """One resource: what is declared of it, as whom and where, and its status. `addresses`: with those of webhooks whole, for
    whoever may change them."""
    one, status = found.declared, found.status
    return {
        "ref": one.ref,
        "kind": one.kind,
        "tenant": one.tenant,
        "name": one.name,
        "uid": one.uid,
        "digest": one.digest,
        "revision": one.revision,
        "author": one.author,
        "n": one.n,
        "at": one.at,
        "created": one.created,
        "file": one.file,
        "line": one.line,
        "document": kept.of(_whole if addresses else _masked, one),
        "status": dict(status) if status is not None else None,
    }


def _masked(one: Declared) -> Mapping[str, Any]:
    found: Mapping[str, Any] = shown(one.document, addresses=False)
    return found


def _whole(one: Declared) -> Mapping[str, Any]:
    found: Mapping[str, Any] = shown(one.document, addresses=True)
    return found


def proposed(one: Proposal, *, status: int = 0, always: bool = False) -> Response:
    """What became of a change. `always`: the answer is about the proposal, and 200 whatever became of it."""
    said: dict[str, Any] = {"proposal": one.id, "ref": one.refs[0] if one.refs else "", "state": one.state}
    said["revision"] = one.revision
    digest = ""
    if one.state in ("committed", "merged"):
        # What it is about first; this surface's changes are about one thing each, other surfaces' may go on.
        made = one.changes or [{}]
        digest = str(made[0].get("digest") or "")
        said |= {name: made[0].get(name) for name in ("digest", "file", "changed", "created")}
        said |= {"changes": made} if len(made) > 1 else {}
        if not always:
            status = status or (201 if made[0].get("created") else 200)
    elif one.state in ("refused", "closed"):
        said["error"] = _refusal(NotDone(one))
    if one.answer.get("url"):
        said["url"] = one.answer["url"]
    result = answer(said)
    result.status_code = status or 200
    if digest:
        result.headers["ETag"] = f'"{digest}"'
    result.headers["Location"] = _place(one)
    return result


def _refusal(why: Refused) -> dict[str, Any]:
    said: dict[str, Any] = {"code": why.code, "message": why.what, "hint": why.hint}
    return said | ({"problems": list(why.problems)} if why.problems else {})


def _place(one: Proposal) -> str:
    return f"/convoy/v1/proposals/{one.id}"


def passed_on(body: bytes, request: Request) -> Response:
    """Control's own JSON, packed where that is asked for."""
    result = Response(body, mimetype="application/json")
    result.headers["Vary"] = "Accept-Encoding"
    if len(body) > WORTH_PACKING and request.accept_encodings["gzip"]:
        result.set_data(gzip.compress(body, 1))
        result.headers["Content-Encoding"] = "gzip"
    return result


def envelope(flask: Flask) -> None:
    """Whatever goes wrong in this app is told in one form."""

    @flask.errorhandler(Unknown)
    def unknown(_: Unknown) -> Response:
        return error(401, "unauthorized", "who asks is not known", WWW_Authenticate="Bearer")

    @flask.errorhandler(Forbidden)
    def forbidden(why: Forbidden) -> Response:
        return error(403, "forbidden", str(why), "make another with `convoy token create`")

    @flask.errorhandler(TooMany)
    def too_many(why: TooMany) -> Response:
        request.environ[LIMITED] = True
        return error(429 if why.own else 503, "busy", str(why), f"again in {why.after_s} s", Retry_After=str(why.after_s))

    @flask.errorhandler(BodyError)
    def body(why: BodyError) -> Response:
        return error(why.status, why.code, why.what, why.hint)

    @flask.errorhandler(AskError)
    def asked(why: AskError) -> Response:
        status = STATUSES.get(why.code) or REFUSALS.get(why.code, 500)
        again = {"Retry_After": str(AGAIN_S)} if status == 503 else {}
        return error(status, why.code, why.what, why.hint, **again)

    @flask.errorhandler(Refused)
    def refused(why: Refused) -> Response:
        result = answer({"error": _refusal(why)})
        result.status_code = REFUSALS.get(why.code) or STATUSES.get(why.code, 409)
        if isinstance(why, NotDone):
            result.headers["Location"] = _place(why.proposal)
        return result

    @flask.errorhandler(Opened)
    def opened(why: Opened) -> Response:
        return proposed(why.proposal, status=202)

    @flask.errorhandler(Waiting)
    def waiting(why: Waiting) -> Response:
        place = _place(why.proposal)
        hint = f"it waits, and is committed once that can be done: ask at {place}, and do not send it again without its key"
        return error(503, "waiting", str(why), hint, Retry_After=str(AGAIN_S), Location=place)

    @flask.errorhandler(Full)
    def full(why: Full) -> Response:
        request.environ[LIMITED] = True
        return error(503, "busy", str(why), "the repository is away, or slow: ask again soon", Retry_After=str(AGAIN_S))

    @flask.errorhandler(KeyReused)
    def reused(why: KeyReused) -> Response:
        return error(422, "key-reused", str(why), "use a new key for each change")

    @flask.errorhandler(StoreError)
    def store(_: StoreError) -> Response:
        return error(503, "store", "Convoy's store cannot be read at the moment", "ask again soon", Retry_After=str(AGAIN_S))

    @flask.errorhandler(RequestEntityTooLarge)
    def large(_: RequestEntityTooLarge) -> Response:
        return error(413, "too-large", "the body is longer than it may be")

    @flask.errorhandler(HTTPException)
    def http(why: HTTPException) -> Response:
        words = {404: ("not-found", "there is nothing here"), 405: ("method", "this cannot be asked in that way")}
        code, message = words.get(why.code or 500, ("http", why.name))
        hint = ELSEWHERE.get(request.path, "docs/api.md says what there is")
        result = error(why.code or 500, code, message, hint)
        allowed = dict(why.get_headers()).get("Allow")
        if allowed:
            result.headers["Allow"] = allowed
        return result
