"""Asks a server of the envoy-fleet API by HTTP, and believes nothing of what comes back; tokens go to it and to nobody else."""

import contextlib
import functools
import hashlib
import http.client
import ipaddress
import json
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from api.client.exits import AWAY, REFUSED, UNKNOWN, USAGE, ClientError, Refusal
from api.signing import PREFIX, SIGNATURE, TIMESTAMP, signature
from reconciler.core.show_layout import harmless
from reconciler.hangup import Line
from reconciler.seams import Seams

BASE = "/api/v1"
# Longer than the server takes over a plan (90 s), or a change that waits (80 s), so that it is the one who says so.
ANSWERING_S = 120.0
LARGEST_ANSWER, LARGEST_ERROR, LONGEST_WORDS = 64 * 1024 * 1024, 256 * 1024, 500
PIECE = 256 * 1024
MOST_ERRORS = 20
# What the network lost is asked again: reading, and what has a key under which it is done once.
TRIES, AGAIN_S = 3, 0.5
# A name, a UUID, or the beginning of one; what could lead to another path is none.
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,252}")
# What servers say of signatures, and of these what another secret mends.
MENDED = ("SIGNATURE_REQUIRED", "SIGNATURE_INVALID")
UNSIGNED = (*MENDED, "SIGNATURE_STALE", "SIGNATURE_REPLAYED")
URL_LIKE = "it looks like https://envoy-control.example"


@dataclass(frozen=True, slots=True)
class Server:
    """Where it is, without a slash at the end; `plaintext`: by http over a network that is one's own."""

    url: str
    ca_file: Path | None = None
    plaintext: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """`path` is below /api/v1. `key`: under which a change is made once, however often it is sent."""

    method: str
    path: str
    query: Mapping[str, object] = field(default_factory=dict)
    body: object = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    key: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    said: Any = field(repr=False)
    etag: str = ""


def bare(url: str) -> str:
    """Without what every URL of this API has: the name under which a login is kept."""
    return url.strip().rstrip("/").removesuffix(BASE)


def server(url: str, ca_file: Path | None, plaintext: bool) -> Server:
    """What was given as a URL, checked; raises ClientError. It is not shown: somebody may have put a password into it."""
    text = bare(url)
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise ClientError(USAGE, f"what is given as the server's URL is none: {URL_LIKE}") from None
    if parts.scheme not in ("http", "https") or not host or not text.isascii() or not text.isprintable() or " " in text:
        raise ClientError(USAGE, f"what is given as the server's URL is none: {URL_LIKE}")
    if parts.username is not None or parts.password is not None:
        raise ClientError(
            USAGE, f"the server's URL holds no user and no password ({URL_LIKE}): `envoyctl auth login` asks for it"
        )
    if parts.query or parts.fragment:
        raise ClientError(USAGE, f"the server's URL ends with its path: {URL_LIKE}")
    if parts.scheme == "http" and not plaintext and not is_loopback(host):
        why = "would show passwords and tokens to the network"
        raise ClientError(USAGE, f"{text} {why}: use https, or say --plaintext where the network is your own")
    return Server(text, ca_file, plaintext)


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def direct(server: Server) -> bool:
    """Whether no proxy of the environment may come in between: what is not encrypted is for the server's eyes."""
    parts = urlsplit(server.url)
    return parts.scheme == "http" or is_loopback(parts.hostname or "")


@functools.cache
def agent() -> str:
    return f"EnvoyCtl/{version('convoy-fleet')}"


def trusted(server: Server) -> ssl.SSLContext:
    """Raises ClientError."""
    try:
        return ssl.create_default_context(cafile=str(server.ca_file) if server.ca_file else None)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ClientError(USAGE, f"cannot read the certificates in {server.ca_file}: {why}; it is a PEM file") from None


def ask(
    server: Server, request: Request, token: str, seams: Seams, deadline_s: float = ANSWERING_S, signing: str = ""
) -> Answer:
    """What it answers, where it does what it is asked; a change is signed with `signing`, if that is a secret. Raises
    ClientError, and Refusal where it does not."""
    query = {name: value for name, value in request.query.items() if value is not None}
    path = f"{BASE}{request.path}" + (f"?{urlencode(query)}" if query else "")
    headers = {"Accept": "application/json", "User-Agent": agent(), **request.headers}
    data = None
    if request.body is not None:
        data = json.dumps(request.body).encode()
        headers["Content-Type"] = "application/json"
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if request.key:
        headers["Idempotency-Key"] = request.key
    line = Line()
    own = (urllib.request.ProxyHandler({}),) if direct(server) else ()
    opener = urllib.request.build_opener(*line.handlers(trusted(server)), *own)
    tries = TRIES if request.method == "GET" or request.key else 1
    for left in range(tries - 1, -1, -1):
        seams.point("client.ask", request.method, request.path)
        # S310: `server` lets http and https through and nothing else.
        asked = urllib.request.Request(f"{server.url}{path}", data, headers, method=request.method)  # noqa: S310
        if signing and request.method != "GET":
            # Each time anew, for it is good once.
            at, digest = f"{seams.now():.6f}", hashlib.sha256(data or b"").hexdigest()
            asked.add_header(TIMESTAMP, at)
            asked.add_header(SIGNATURE, PREFIX + signature(signing.encode(), request.method, path, at, digest))
        try:
            with line.within(deadline_s), opener.open(asked, timeout=deadline_s) as answer:
                return _answered(server, answer.status, answer.headers, _read(answer, LARGEST_ANSWER))
        except urllib.error.HTTPError as error:
            with contextlib.closing(error):
                raise _refused(server, error) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            if not isinstance(reason, ConnectionError | http.client.HTTPException) or not left:
                raise ClientError(AWAY, _unreached(server, reason, deadline_s)) from None
        seams.sleep(AGAIN_S * (tries - left))
    raise AssertionError("the last try returns or raises")


def _read(answer: Any, largest: int) -> bytes:
    """Raises ValueError where there is more."""
    pieces: list[bytes] = []
    size = 0
    while piece := answer.read(PIECE):
        pieces.append(piece)
        size += len(piece)
        if size > largest:
            raise ValueError(f"more than {largest} bytes have come back")
    return b"".join(pieces)


def _answered(server: Server, status: int, headers: Any, body: bytes) -> Answer:
    try:
        said = json.loads(body) if body else None
    except (ValueError, RecursionError):
        words = "has answered, and not as this API does: see whether the URL is right"
        raise ClientError(REFUSED, f"{server.url} {words}") from None
    etag = str(headers.get("ETag") or "")
    return Answer(status, said, etag if etag.isascii() and etag.isprintable() and len(etag) <= LONGEST_WORDS else "")


def clean(text: object) -> str:
    """What somebody else says, for a line of ours."""
    return harmless(str(text)[:LONGEST_WORDS]).replace("\n", " ")


def _refused(server: Server, error: urllib.error.HTTPError) -> ClientError:
    if 300 <= error.code < 400:
        place = clean(error.headers.get("Location", ""))
        words = "and the token is not for whoever that is: name that URL itself if it is right"
        return ClientError(REFUSED, f"{server.url} sends us on to {place}, {words}")
    said: Any = None
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError, http.client.HTTPException):
        said = json.loads(_read(error, LARGEST_ERROR))["error"]
    if not isinstance(said, dict) or "code" not in said:
        words = f"has answered with HTTP status {error.code}, and not as this API does"
        code = AWAY if error.code >= 500 else REFUSED
        return ClientError(code, f"{server.url} {words}: see whether the URL is right")
    return refusal(error.code, said, error.headers.get("Retry-After"))


def refusal(status: int, said: Mapping[str, Any], after: str | None = None) -> Refusal:
    """The error in words, a line for each detail, with what one can do about it."""
    given = said.get("details")
    details: Mapping[str, Any] = given if isinstance(given, dict) else {}
    listed = details.get("errors")
    errors: list[Mapping[str, Any]] = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    lines = [f"{clean(said.get('message', ''))} ({clean(said['code'])}, {status})"]
    every = errors or ([details] if details.get("reason") else [])
    # Some servers say the first of them in the message already.
    lines += [one for one in map(_detail, every[:MOST_ERRORS]) if one not in lines[0]]
    if len(every) > MOST_ERRORS:
        lines.append(f"… and {len(every) - MOST_ERRORS} more")
    if errors and details.get("reason") and not details.get("field"):
        lines.append(clean(details["reason"]))
    after_s = int(after) if after is not None and after.isascii() and after.isdecimal() and len(after) < 8 else None
    lines += [hint for hint in (_hint(status, clean(said["code"]), after_s),) if hint]
    if said.get("request_id"):
        lines.append(f"request {clean(said['request_id'])}")
    told: dict[str, Any] = {name: clean(details.get(name, "")) for name in ("field", "reason")}
    if errors:
        told["errors"] = [{name: clean(one.get(name, "")) for name in ("field", "reason")} for one in errors]
    kept = {"code": clean(said["code"]), "details": told, "request_id": clean(said.get("request_id", ""))}
    return Refusal(status, "\n  ".join(lines), kept, after_s)


def _detail(one: Mapping[str, Any]) -> str:
    field, reason = clean(one.get("field", "")), clean(one.get("reason", ""))
    return f"{field}: {reason}" if field else reason


def _hint(status: int, code: str, after_s: int | None) -> str:
    if code in UNSIGNED:
        return "`envoyctl auth signing` keeps the account's signing secret" if code in MENDED else ""
    if status == 401:
        return "log in with `envoyctl auth login`"
    if status == 403:
        return "your role does not allow it: an administrator can give you another one"
    if after_s is not None:
        return f"try again in {after_s} s"
    return ""


def _unreached(server: Server, reason: object, deadline_s: float) -> str:
    if isinstance(reason, ssl.SSLCertVerificationError):
        return (
            f"{server.url} has not proved who it is ({clean(reason.verify_message)}): where its certificate is by an authority "
            "of your own, give that with --ca-file"
        )
    if isinstance(reason, TimeoutError):
        return f"{server.url} has not answered within {deadline_s:g} s: try again, or see how it is"
    words = clean(getattr(reason, "strerror", None) or reason or type(reason).__name__)
    return f"cannot ask {server.url}: {words}; see whether it is served there, and whether this machine reaches it"


def named(token: str, where: str = "$ENVOYCTL_TOKEN") -> str:
    """A token, or a signing secret, checked, since it may go into a header. Raises ClientError, which does not show it."""
    if len(token) > 4096 or not token.isascii() or not token.isprintable() or " " in token:
        raise ClientError(UNKNOWN, f"what is in {where} is no token and no secret: they are one word")
    return token


def id_path(id: str) -> str:
    """An id as a part of a path. Raises ClientError."""
    if not ID.fullmatch(id):
        words = "is no id: it is a name, a UUID, or the first 8 digits or more of one"
        raise ClientError(USAGE, f"{clean(id)[:80]!r} {words}")
    return id
