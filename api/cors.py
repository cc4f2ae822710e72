"""Which pages of others a browser lets read our answers: those listed, none else.

https://fetch.spec.whatwg.org/#http-cors-protocol. Who asks is said by a header that a page has to write itself, never by a
cookie: so no answer allows credentials.
"""

from collections.abc import Collection, Mapping
from typing import Any

# For how long a browser may go by what it was told.
REMEMBERED_S = 600
ASKING = (
    "Authorization, Content-Type, If-Match, If-None-Match, Idempotency-Key, API-Version, X-Request-Id, X-Request-Signature, "
    "X-Request-Timestamp"
)
SAID = "API-Version, ETag, Location, Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, X-Request-Id"
METHODS = "GET, POST, PUT, PATCH, DELETE"

Headers = list[tuple[str, str]]


def headers(environ: Mapping[str, Any], origins: Collection[str]) -> Headers:
    """What every answer to this request says; nothing where no origins are listed."""
    if not origins:
        return []
    said, origin = [("Vary", "Origin")], environ.get("HTTP_ORIGIN", "")
    if origin in origins:
        said += [("Access-Control-Allow-Origin", origin), ("Access-Control-Expose-Headers", SAID)]
    return said


def preflight(environ: Mapping[str, Any], origins: Collection[str]) -> Headers | None:
    """The answer's headers where a browser asks whether it may ask, which it does without saying for whom; else None."""
    if environ.get("REQUEST_METHOD") != "OPTIONS" or "HTTP_ACCESS_CONTROL_REQUEST_METHOD" not in environ:
        return None
    if environ.get("HTTP_ORIGIN", "") not in origins:
        return None
    return [
        ("Access-Control-Allow-Methods", METHODS),
        ("Access-Control-Allow-Headers", ASKING),
        ("Access-Control-Max-Age", str(REMEMBERED_S)),
        ("Content-Length", "0"),
    ]
