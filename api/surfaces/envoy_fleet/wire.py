"""This dialect's envelope: the errors of its section 2.5 with the codes of EF-C20, dates, and what is on every answer."""

import datetime
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from api.bodies import BodyError
from api.changes import Opened, Unshown, Waiting
from api.kept import dumped
from api.limits import LIMITED, TooMany
from api.people import Forbidden, Unknown
from api.surfaces.envoy_fleet.rates import Standing
from reconciler.ask import AskError
from reconciler.core.proposal import Refused
from reconciler.log import Log
from reconciler.store import Full, KeyReused, StoreError

VERSION = "1.0.0"
# What may be asked for, as whoever reads the OpenAPI document is told: any version of the same major one.
VERSIONS = re.compile(rf"^{VERSION.split('.')[0]}(\.[0-9]+)*$")
AGAIN_S = 5
LONGEST_FIELD = 200
# EF-C20; those that the document's table 2.4 does not name stand in its way of naming them.
CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    408: "REQUEST_TIMEOUT",
    409: "CONFLICT",
    412: "PRECONDITION_FAILED",
    413: "PAYLOAD_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    422: "VALIDATION_ERROR",
    426: "UPGRADE_REQUIRED",
    429: "RATE_LIMIT_EXCEEDED",
    500: "INTERNAL_ERROR",
    501: "NOT_IMPLEMENTED",
    503: "SERVICE_UNAVAILABLE",
    504: "TIMEOUT",
}
# What is wrong with a signature; all are 401 (section 24.8, by EF-C15).
UNSIGNED = {
    "SIGNATURE_REQUIRED": "this has to be signed",
    "SIGNATURE_INVALID": "this is not signed as it would have to be",
    "SIGNATURE_STALE": "this was signed too long ago, or by a clock that is ahead",
    "SIGNATURE_REPLAYED": "this signature has been used",
}
# What a change is refused for, or what control has no answer for ⇒ the status.
STATUSES = {
    "bad-query": 422,
    "bad-change": 422,
    "bad-name": 422,
    "bad-question": 400,
    "bad-document": 422,
    "bad-author": 403,
    "not-found": 404,
    "conflict": 409,
    "declined": 409,
    "exists": 409,
    "no-git": 409,
    "closed": 409,
    "no-forge": 409,
    "forge": 409,
    "unwritable": 409,
    "precondition": 412,
    "too-large": 413,
    "too-many": 422,
    "unsealable": 409,
    "invalid": 422,
    "sealed": 422,
    "inactive": 409,
    "broken": 500,
    "unknown-request": 501,
    "late": 504,
}


class Invalid(Exception):
    """A member or a parameter that cannot be taken as it is: 422, with its name and why; `errors`, where there are several."""

    def __init__(self, field: str, reason: str, errors: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(reason)
        self.field, self.reason, self.errors = field, reason, errors


class Unsigned(Exception):
    """A signature is missing, or is not good: which of UNSIGNED, by which header, and how to mend it."""

    def __init__(self, code: str, field: str, reason: str) -> None:
        super().__init__(UNSIGNED[code])
        self.code, self.field, self.reason = code, field, reason


class NotFound(Exception):
    """There is nothing of that kind for this account, whatever there may be for others: one body for all of it."""

    def __init__(self, what: str) -> None:
        """`what` is a word for the kind, never what the client has sent."""
        super().__init__(f"there is no such {what}")


class Planned(Exception):
    """Only the plan was asked for, and here it is, as JSON."""

    def __init__(self, plan: bytes) -> None:
        super().__init__("a plan")
        self.plan = plan


class Conflict(Exception):
    """What is there already is in the way."""


def error(status: int, message: str, details: Mapping[str, Any] | None = None, *, code: str = "", **headers: str) -> Response:
    said = {
        "code": code or CODES.get(status, "ERROR"),
        "message": message,
        "details": dict(details or {}),
        "request_id": request.environ.get("convoy.id", ""),
        "timestamp": moment(time.time()),
    }
    result = answer({"error": said}, status)
    for name, value in headers.items():
        result.headers[name.replace("_", "-")] = value
    return result


def answer(said: Any, status: int = 200) -> Response:
    return Response(b"" if said is None else dumped(said), status, content_type="application/json")


def moment(at: float | None) -> str | None:
    """Unix seconds as the document writes them (2.3)."""
    if at is None:
        return None
    return datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def version_asked() -> Response | None:
    """Section 18: another major version than ours is another API (EF-C23)."""
    asked = request.headers.get("API-Version")
    if asked is not None and not VERSIONS.fullmatch(asked.strip()):
        return error(400, "this version of the API is not served", {"field": "API-Version", "reason": f"it is {VERSION} here"})
    return None


def envelope(flask: Flask, log: Log, standing: Callable[[], Standing]) -> None:
    """Whatever goes wrong in this app is told in one form, and every answer says its version and where its client stands."""

    @flask.after_request
    def versioned(result: Response) -> Response:
        # Nobody else says these.
        result.headers.extend({"API-Version": VERSION, **standing().headers()})
        return result

    @flask.errorhandler(Planned)
    def planned(why: Planned) -> Response:
        return Response(why.plan, mimetype="application/json")

    @flask.errorhandler(Opened)
    def opened(why: Opened) -> Response:
        return answer({"message": str(why), "pull_request_url": why.url}, 202)

    @flask.errorhandler(Unshown)
    def unshown(why: Unshown) -> Response:
        return answer({"message": str(why)}, 202)

    @flask.errorhandler(Waiting)
    def waiting(why: Waiting) -> Response:
        hint = "it is committed once that can be done: do not send it again without its Idempotency-Key"
        return error(503, str(why), {"field": "", "reason": hint}, Retry_After=str(AGAIN_S))

    @flask.errorhandler(Invalid)
    def invalid(why: Invalid) -> Response:
        details: dict[str, Any] = {"field": why.field[:LONGEST_FIELD], "reason": why.reason}
        if len(why.errors) > 1:
            details["errors"] = [{"field": field[:LONGEST_FIELD], "reason": reason} for field, reason in why.errors]
        return error(422, "Invalid request parameters", details)

    @flask.errorhandler(NotFound)
    def not_found(why: NotFound) -> Response:
        return error(404, str(why))

    @flask.errorhandler(Conflict)
    def conflict(why: Conflict) -> Response:
        return error(409, str(why))

    @flask.errorhandler(Unknown)
    def unknown(_: Unknown) -> Response:
        return error(401, "who asks is not known", WWW_Authenticate="Bearer")

    @flask.errorhandler(Unsigned)
    def unsigned(why: Unsigned) -> Response:
        details = {"field": why.field, "reason": why.reason}
        return error(401, str(why), details, code=why.code, WWW_Authenticate="Bearer")

    @flask.errorhandler(Forbidden)
    def forbidden(why: Forbidden) -> Response:
        return error(403, str(why))

    @flask.errorhandler(TooMany)
    def too_many(why: TooMany) -> Response:
        request.environ[LIMITED] = True
        return error(429 if why.own else 503, str(why), Retry_After=str(why.after_s))

    @flask.errorhandler(BodyError)
    def body(why: BodyError) -> Response:
        return error(why.status, why.what, {"field": "body", "reason": why.hint or why.what})

    @flask.errorhandler(Refused)
    @flask.errorhandler(AskError)
    def refused(why: Refused | AskError) -> Response:
        status = STATUSES.get(why.code, 503)
        again = {"Retry_After": str(AGAIN_S)} if status == 503 else {}
        details = {"field": "", "reason": why.hint} if why.hint else {}
        problems = getattr(why, "problems", ())
        errors = {"errors": [{"field": "", "reason": one} for one in problems]} if problems else {}
        return error(status, why.what, details | errors, **again)

    @flask.errorhandler(Full)
    def full(why: Full) -> Response:
        request.environ[LIMITED] = True
        return error(503, str(why), Retry_After=str(AGAIN_S))

    @flask.errorhandler(KeyReused)
    def reused(why: KeyReused) -> Response:
        return error(422, str(why), {"field": "Idempotency-Key", "reason": "use a new key for each change"})

    @flask.errorhandler(StoreError)
    def store(_: StoreError) -> Response:
        return error(503, "Convoy's store cannot be read at the moment", Retry_After=str(AGAIN_S))

    @flask.errorhandler(RequestEntityTooLarge)
    def large(_: RequestEntityTooLarge) -> Response:
        return error(413, "the body is longer than it may be")

    @flask.errorhandler(HTTPException)
    def http(why: HTTPException) -> Response:
        words = {404: "there is nothing here", 405: "this cannot be asked in that way"}
        result = error(why.code or 500, words.get(why.code or 500, why.name))
        allowed = dict(why.get_headers()).get("Allow")
        if allowed:
            result.headers["Allow"] = allowed
        return result

    @flask.errorhandler(Exception)
    def broken(why: Exception) -> Response:
        log.error("http.broken", id=request.environ.get("convoy.id", ""), error=f"{type(why).__name__}: {why}")
        return error(500, "Convoy has failed on this; its log says how, under the request's id")
