"""Whether a request is signed by whoever it says it is from (section 24.8, by EF-C15): now, but once, and as it was sent.

Which requests have to be: the critical ones, of an account that has a signing secret, and of everybody where Convoy is told so
(`--http-signed`). Whatever shows a signature is held to it. See docs/decisions/0033-signed-requests.md.
"""

import hmac
import re
from collections.abc import Callable
from functools import partial

from flask import Request

from api.limits import TooMany
from api.people import Account
from api.reach import Reach
from api.signing import PREFIX, SIGNATURE, TIMESTAMP, signature
from api.surfaces.envoy_fleet import wire
from api.surfaces.envoy_fleet.contract import Operation

# EF-C15: rollback, deployments, bulk operations and certificate upload.
CRITICAL = frozenset(
    {
        "proxies.configuration.rollback",
        "deployments.create",
        "bulk.proxies.update",
        "bulk.delete",
        "certificates.upload",
    }
)
# As far as clocks may be apart, and a request may be on its way.
WINDOW_S = 300.0
# As long as any process could take it: those whose clocks differ, too.
REMEMBERED_S = 2 * WINDOW_S
SECONDS = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?", re.ASCII)
LONGEST = 128
FORM = f"{SIGNATURE} is `{PREFIX}` and an HMAC-SHA256 in hexadecimal, {TIMESTAMP} are Unix seconds; one goes with the other"
WORDS = "sign method, path with query, timestamp and the body's SHA-256, a line each, with this account's signing secret"
ANEW = "sign each request anew, also one that is sent again: its Idempotency-Key keeps it from being done twice"
# The SHA-256 of the body, in hexadecimal; raises wire.Unsigned, and TooMany.
Check = Callable[[str], None]


def shown(reach: Reach, request: Request, account: Account, operation: Operation) -> Check:
    """What is to be asked once the body has been read, before anything of it is understood. Raises wire.Unsigned where it need
    not be read at all."""
    given, at = request.headers.get(SIGNATURE), request.headers.get(TIMESTAMP)
    critical = operation.id in CRITICAL
    if given is None and at is None and not critical:
        return nothing
    secret = reach.store.signatures.secret(account.id)
    if given is None and at is None and secret is None and not reach.signed:
        return nothing
    if secret is None:
        mend = "this account has no signing secret: whoever runs Convoy makes it one with `convoy account signing`"
        raise wire.Unsigned("SIGNATURE_REQUIRED" if critical else "SIGNATURE_INVALID", SIGNATURE, mend)
    if given is None and at is None:
        raise wire.Unsigned("SIGNATURE_REQUIRED", SIGNATURE, WORDS)
    if given is None or at is None or not SECONDS.fullmatch(at) or not given.startswith(PREFIX) or len(given) > LONGEST:
        raise wire.Unsigned("SIGNATURE_INVALID", SIGNATURE if at is not None else TIMESTAMP, FORM)
    now = reach.store.signatures.now()
    if abs(now - float(at)) > WINDOW_S:
        mend = f"it is {wire.moment(now)} here, and {WINDOW_S:.0f} s more or less will do: set the clock, and sign it anew"
        raise wire.Unsigned("SIGNATURE_STALE", TIMESTAMP, mend)
    return partial(_check, reach, request, account, secret, given.removeprefix(PREFIX), at, once=operation.writes)


def nothing(_: str) -> None:
    """Nothing is shown, and nothing has to be."""


def _check(
    reach: Reach, request: Request, account: Account, secret: bytes, given: str, at: str, digest: str, *, once: bool
) -> None:
    query = request.query_string.decode("utf-8", "surrogateescape")
    path = f"{request.path}?{query}" if query else request.path
    right = signature(secret, request.method, path, at, digest)
    # With a secret that somebody has spoiled nothing is signed.
    if not hmac.compare_digest(right.encode(), given.lower().encode("utf-8", "replace")) or not secret:
        raise wire.Unsigned("SIGNATURE_INVALID", SIGNATURE, WORDS)
    # To read twice changes nothing.
    used = reach.store.signatures.use(account.id, right, float(at) + REMEMBERED_S) if once else "first"
    if used == "again":
        raise wire.Unsigned("SIGNATURE_REPLAYED", SIGNATURE, ANEW)
    if used == "too many":
        raise TooMany("as many signed requests of this account as are remembered have come lately", 60, own=True)
