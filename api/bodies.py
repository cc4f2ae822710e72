"""Reads what a client sends: never more than is allowed, however it is sent and packed, and not for ever."""

import time
import zlib
from collections.abc import Callable
from typing import IO

from gunicorn.http.errors import ParseException

from reconciler.core.against import LARGEST_SENT

PIECE = 64 * 1024
SENDING_S = 60.0
# zlib's word for a gzip header, with the largest window.
GZIP = 16 + zlib.MAX_WBITS


class BodyError(Exception):
    """What was sent is not read: with which status, by which code, and why."""

    def __init__(self, status: int, code: str, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.status, self.code, self.what, self.hint = status, code, what, hint


def read_body(
    stream: IO[bytes],
    encoding: str,
    largest: int,
    take: Callable[[int], None],
    within_s: float = SENDING_S,
    came: Callable[[bytes], None] = lambda _: None,
) -> bytes:
    """All of it, unpacked. `take` is told of every byte that will be held, `came` is given every one as it comes. Raises
    BodyError, and what `take` raises."""
    if encoding not in ("", "identity", "gzip"):
        raise BodyError(415, "encoding", "the body is packed in a way that is not known here", "send it plain, or with gzip")
    unpack = zlib.decompressobj(GZIP) if encoding == "gzip" else None
    deadline = time.monotonic() + within_s
    pieces: list[bytes] = []
    sent = held = 0
    while True:
        piece = _piece(stream)
        if time.monotonic() > deadline:
            raise BodyError(408, "slow", f"the body has not come within {within_s:g} s")
        sent += len(piece)
        if sent > LARGEST_SENT:
            raise BodyError(413, "too-large", f"the body is longer than {LARGEST_SENT} bytes", "split the fleet into several")
        if not piece:
            break
        came(piece)
        if unpack is not None:
            piece = _unpacked(unpack, piece, largest - held)
        take(len(piece))
        pieces.append(piece)
        held += len(piece)
        if held > largest:
            raise BodyError(413, "too-large", f"the documents are more than {largest} bytes together", "split the fleet")
    if unpack is not None and not unpack.eof:
        raise BodyError(400, "bad-body", "the body's gzip is cut short")
    return b"".join(pieces)


def _piece(stream: IO[bytes]) -> bytes:
    try:
        return stream.read(PIECE)
    except TimeoutError:
        raise BodyError(408, "slow", "nothing more of the body has come") from None
    except ParseException:
        raise BodyError(400, "bad-body", "the body's chunks are not what they say they are") from None
    except OSError as error:
        # A socket that is told to wait only so long says so in these words too.
        raise BodyError(408, "slow", f"the rest of the body has not come ({error.strerror or 'cut short'})") from None


def _unpacked(unpack: "zlib._Decompress", piece: bytes, room: int) -> bytes:
    """At most one byte more than there is room for, whatever a few bytes claim to stand for."""
    if unpack.eof:
        raise BodyError(400, "bad-body", "there is more after the body's gzip")
    try:
        result = unpack.decompress(piece, room + 1)
    except zlib.error:
        raise BodyError(400, "bad-body", "the body is not gzip") from None
    if unpack.unused_data:
        raise BodyError(400, "bad-body", "there is more after the body's gzip")
    return result
