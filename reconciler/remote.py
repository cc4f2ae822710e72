"""Asks a Convoy that runs elsewhere, by HTTP: with the standard library alone, and believing nothing of what comes back."""

import contextlib
import gzip
import http.client
import ipaddress
import json
import ssl
import time
import urllib.error
import urllib.request
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from reconciler.core.against import LARGEST_SENT
from reconciler.core.show_layout import harmless
from reconciler.hangup import Line
from reconciler.seams import Seams

# Longer than the other side may take over a plan, so that it is the one who says so.
ANSWERING_S = 120.0
LARGEST_ANSWER = 128 * 1024 * 1024
LONGEST_ERROR = 64 * 1024
LONGEST_WORDS = 500
LONGEST_TOKEN = 4096
PIECE = 256 * 1024
# What the network lost is asked again; what was answered is not.
TRIES, AGAIN_S = 3, 0.5


class RemoteError(Exception):
    """A running Convoy could not be asked, or has refused; the message says which, why, and what to do."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A Convoy at a URL, and what is shown to it. The token is never part of a message."""

    url: str
    token: str = field(repr=False)
    ca_file: Path | None = None
    plaintext: bool = False


def post(remote: Remote, path: str, body: bytes, seams: Seams) -> bytes:
    """The answer's body; raises RemoteError."""
    url = _checked(remote) + path
    headers = {
        "Accept": "application/json",
        "Accept-Encoding": "gzip",
        "Authorization": f"Bearer {remote.token}",
        "Content-Encoding": "gzip",
        "Content-Type": "application/json",
        "User-Agent": "convoy",
    }
    # The quickest level: 10,000 documents are packed in 0.1 s, and the slower ones save a tenth.
    packed = gzip.compress(body, 1)
    if len(packed) > LARGEST_SENT:
        # Said here: who is hung up on in the middle of sending does not hear why.
        raise RemoteError(f"what would be sent is more than {LARGEST_SENT} bytes, packed: split the fleet into several")
    line = Line()
    opener = _opener(remote, line)
    for left in range(TRIES - 1, -1, -1):
        # S310: _checked lets http and https through and nothing else.
        request = urllib.request.Request(url, packed, headers, method="POST")  # noqa: S310
        try:
            with line.within(ANSWERING_S), opener.open(request, timeout=ANSWERING_S) as answer:
                return _read(answer, LARGEST_ANSWER)
        except urllib.error.HTTPError as error:
            with contextlib.closing(error):
                raise RemoteError(_refused(remote.url, error)) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            # urllib wraps some of what goes wrong, and some not.
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            if not isinstance(reason, ConnectionError) or not left:
                raise RemoteError(_unreached(remote, reason)) from None
        seams.sleep(AGAIN_S * (TRIES - left))
    raise AssertionError("the last try returns or raises")


def _checked(remote: Remote) -> str:
    """The URL without a slash at its end; raises RemoteError."""
    like = "it looks like https://convoy.example"
    try:
        parts = urlsplit(remote.url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise RemoteError(f"what is given as the URL of a Convoy is none: {like}") from None
    if parts.scheme not in ("http", "https") or not host or not remote.url.isascii() or not remote.url.isprintable():
        # It is not shown: somebody may have put a password into it.
        raise RemoteError(f"what is given as the URL of a Convoy is none: {like}")
    if parts.username is not None or parts.password is not None:
        raise RemoteError(
            "the URL of a Convoy holds no user and no password: the token is in $CONVOY_TOKEN, or in --token-file"
        )
    if parts.query or parts.fragment:
        raise RemoteError(f"the URL of a Convoy ends with its path: {like}")
    if parts.scheme == "http" and not remote.plaintext and not _is_loopback(host):
        raise RemoteError(
            f"{remote.url} would show the token to the network: use https, or say --plaintext where the network is your own"
        )
    if not remote.token:
        raise RemoteError(
            "no token is given: `convoy token create` makes one there; put it into $CONVOY_TOKEN, or a file for --token-file"
        )
    if len(remote.token) > LONGEST_TOKEN or not remote.token.isascii() or not remote.token.isprintable() or " " in remote.token:
        raise RemoteError("what is given as a token is none: it is one word that begins with cvy_")
    return remote.url.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _opener(remote: Remote, line: Line) -> urllib.request.OpenerDirector:
    try:
        context = ssl.create_default_context(cafile=str(remote.ca_file) if remote.ca_file else None)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise RemoteError(f"cannot read the certificates in {remote.ca_file}: {why}; it is a PEM file") from None
    # Proxies are those of the environment, as urllib has them by itself.
    return urllib.request.build_opener(*line.handlers(context))


def _read(answer: Any, largest: int) -> bytes:
    """At most so much, packed or not. Raises ValueError and OSError."""
    deadline = time.monotonic() + ANSWERING_S
    unpack = zlib.decompressobj(16 + zlib.MAX_WBITS) if answer.headers.get("Content-Encoding") == "gzip" else None
    pieces: list[bytes] = []
    size = 0
    while piece := answer.read(PIECE):
        if time.monotonic() > deadline:
            raise TimeoutError(f"it has not all come within {ANSWERING_S:g} s")
        if unpack is not None:
            try:
                piece = unpack.decompress(piece, largest - size + 1)
            except zlib.error:
                raise ValueError("what came back is not what it says it is") from None
        pieces.append(piece)
        size += len(piece)
        if size > largest:
            raise ValueError(f"more than {largest} bytes have come back")
    return b"".join(pieces)


def _refused(url: str, error: urllib.error.HTTPError) -> str:
    """What a Convoy says; and where it is something else that answers, that it is."""
    if 300 <= error.code < 400:
        place = harmless(str(error.headers.get("Location", ""))[:LONGEST_WORDS])
        return f"{url} sends us on to {place}, and the token is not for whoever that is: name that URL itself if it is right"
    code, message, hint = "", "", ""
    with contextlib.suppress(
        OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, http.client.HTTPException
    ):
        said = json.loads(_read(error, LONGEST_ERROR))["error"]
        code, message, hint = (
            harmless(str(said[name])[:LONGEST_WORDS]).replace("\n", " ") for name in ("code", "message", "hint")
        )
    if error.code == 401:
        return f"{url} does not know this token: it has expired, or was revoked; `convoy token list` there shows which are good"
    if not code:
        return f"{url} has answered with HTTP status {error.code}, and not as a Convoy does: see whether the URL is right"
    return f"{url} has refused: {message}" + (f"; {hint}" if hint else "")


def _unreached(remote: Remote, reason: object) -> str:
    if isinstance(reason, ssl.SSLCertVerificationError):
        return (
            f"{remote.url} has not proved who it is ({reason.verify_message}): where its certificate is by an authority of "
            "your own, give that with --ca-file"
        )
    if isinstance(reason, TimeoutError):
        return f"{remote.url} has not answered within {ANSWERING_S:g} s: try again, or see how it is"
    words = harmless(str(getattr(reason, "strerror", None) or reason or type(reason).__name__)[:LONGEST_WORDS])
    return f"cannot ask {remote.url}: {words}; see whether it runs with --http, and whether this machine reaches it"
