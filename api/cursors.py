"""Lists that go on by cursors: opaque text that holds what was seen last, so that what comes and goes moves nothing."""

import base64
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from reconciler.core.proposal import Refused
from reconciler.store import Key, Window

# Two names of 63 characters, a kind, and as much as is sorted by of what a document says.
LONGEST_CURSOR = 4096


class Entry(Protocol):
    """One of a list: what it is sorted by, and what tells those of one key apart."""

    @property
    def key(self) -> Key: ...
    @property
    def tie(self) -> str: ...


One = TypeVar("One", bound=Entry)


@dataclass(frozen=True, slots=True)
class Ends:
    """The cursors to go on with, "" at the ends."""

    next: str
    previous: str


def asked(window: Window, most: int, cursor: str | None, *, number: bool) -> Window:
    """What is to be read for this many behind the cursor, None for the beginning; `number` where sort keys are numbers. That is
    one more than is shown. Raises Refused."""
    window = replace(window, most=most + 1, start=0, counted=False)
    return _opened(cursor, window, number) if cursor is not None else window


def cut(window: Window, entries: Sequence[One]) -> tuple[list[One], Ends]:
    """What was read for that, as it is shown."""
    more = len(entries) >= window.most
    page = list(entries[: window.most - 1])
    before, after = window.beyond is not None, more
    if window.back:
        page.reverse()
        before, after = more, bool(page)
    return page, Ends(
        _text(page[-1], window, back=False) if after and page else "",
        _text(page[0], window, back=True) if before and page else "",
    )


def _text(entry: Entry, window: Window, *, back: bool) -> str:
    said = {"id": entry.key, "tie": entry.tie, "sort": _sort(window)}
    said |= {"desc": True} if window.descending else {}
    said |= {"back": True} if back else {}
    return base64.urlsafe_b64encode(json.dumps(said, separators=(",", ":")).encode()).decode().rstrip("=")


def _opened(text: str, window: Window, number: bool) -> Window:
    wrong = Refused("bad-cursor", "this is no cursor of this list", "take it from an answer, or leave it out")
    if len(text) > LONGEST_CURSOR:
        raise wrong
    try:
        said = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True))
    except (ValueError, RecursionError):
        raise wrong from None
    if not isinstance(said, dict):
        raise wrong
    key: Any = said.get("id")
    tie, back = said.get("tie", ""), said.get("back", False)
    fits = isinstance(key, int | float) and not isinstance(key, bool) if number else isinstance(key, str)
    if not fits or not isinstance(tie, str) or not isinstance(back, bool):
        raise wrong
    if number and not (math.isfinite(key) and abs(key) < 2**53):
        raise wrong
    if said.get("sort", _sort(window)) != _sort(window) or said.get("desc", window.descending) != window.descending:
        raise Refused("bad-cursor", "this cursor is of a list that is sorted in another way", "begin anew without one")
    return replace(window, beyond=(key, tie), back=back)


def _sort(window: Window) -> str:
    return window.sort if isinstance(window.sort, str) else ".".join(window.sort)
