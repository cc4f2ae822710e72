"""This surface's envelope: how errors, answers and their headers are written."""

import gzip
import json
from typing import Any

from flask import Flask, Request, Response
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from api.bodies import BodyError
from api.limits import TooMany
from api.people import Forbidden, Unknown
from reconciler.ask import AskError
from reconciler.store import StoreError

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
    return Response(json.dumps(said, ensure_ascii=False).encode("utf-8", "replace"), mimetype="application/json")


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
        return error(429 if why.own else 503, "busy", str(why), f"again in {why.after_s} s", Retry_After=str(why.after_s))

    @flask.errorhandler(BodyError)
    def body(why: BodyError) -> Response:
        return error(why.status, why.code, why.what, why.hint)

    @flask.errorhandler(AskError)
    def asked(why: AskError) -> Response:
        status = STATUSES.get(why.code, 500)
        again = {"Retry_After": str(AGAIN_S)} if status == 503 else {}
        return error(status, why.code, why.what, why.hint, **again)

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
        result = error(why.code or 500, code, message, "docs/plan-against.md says what there is")
        allowed = dict(why.get_headers()).get("Allow")
        if allowed:
            result.headers["Allow"] = allowed
        return result
