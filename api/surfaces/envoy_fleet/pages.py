"""Both paginations, by EF-C04: by page and by cursor, where a cursor holds the sort key that was seen last, so that what comes
and goes meanwhile moves nothing."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from api import cursors
from api.kept import Text
from api.surfaces.envoy_fleet.wire import Invalid
from reconciler.core.proposal import Refused
from reconciler.store import Key, Window

PER_PAGE, MOST_PER_PAGE = 20, 100
# Beyond this nobody has things, and a database no number.
MOST_PAGES = 1_000_000
BY_PAGE, BY_CURSOR = ("page", "per_page"), ("cursor", "limit")
# What every list takes beside its own parameters; `sort_by` where it has something to sort by.
PARAMETERS: dict[str, dict[str, Any]] = {
    "page": {"type": "integer", "default": 1, "min": 1, "max": MOST_PAGES, "description": "Page number"},
    "per_page": {"type": "integer", "default": PER_PAGE, "min": 1, "max": MOST_PER_PAGE, "description": "Items per page"},
    "cursor": {
        "type": "string",
        "max": cursors.LONGEST_CURSOR,
        "description": "Where to go on, from another answer's `cursor`",
    },
    "limit": {"type": "integer", "min": 1, "max": MOST_PER_PAGE, "description": "Items at most, with cursors"},
    "order": {"type": "string", "enum": ["asc", "desc"], "description": "Sort order"},
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One item of a list as it is shown; `key` is what it is sorted by, and `tie` tells those of one key apart."""

    key: Key
    tie: str
    shown: Mapping[str, Any] | Text


One = TypeVar("One", bound=cursors.Entry)
# Reads a window: its entries, and how many there are in all where that is asked.
Reads = Callable[[Window], tuple[Sequence[One], int | None]]
Read = Reads[Entry]


@dataclass(frozen=True, slots=True)
class Paging:
    """What was asked for: `page` is 0 with cursors."""

    window: Window
    page: int


def paging(query: Mapping[str, Any], sorts: Sequence[str], numbers: Iterable[str] = ()) -> Paging:
    """`sorts` are what the list can be sorted by, the first where nothing is said; `numbers` those of them whose keys are
    numbers. Raises Invalid."""
    given = {name for name in (*BY_PAGE, *BY_CURSOR) if name in query}
    if given & {*BY_PAGE} and given & {*BY_CURSOR}:
        raise Invalid(
            min(given & {*BY_CURSOR}), "a list is asked for by page and per_page, or by cursor and limit, not by both"
        )
    sort = query.get("sort_by", sorts[0])
    window = Window(sort, query.get("order", "asc") == "desc")
    if given & {*BY_CURSOR}:
        try:
            window = cursors.asked(window, query.get("limit", PER_PAGE), query.get("cursor"), number=sort in numbers)
        except Refused as why:
            raise Invalid("cursor", f"{why.what}: {why.hint}") from None
        return Paging(window, 0)
    page, most = query.get("page", 1), query.get("per_page", PER_PAGE)
    return Paging(replace(window, most=most, start=(page - 1) * most), page)


def answer(asked: Paging, read: Read) -> dict[str, Any]:
    return answered(asked, read, lambda entries: [one.shown for one in entries])


def answered(asked: Paging, read: Reads[One], show: Callable[[Sequence[One]], Any]) -> dict[str, Any]:
    """`show` makes of entries the list of what is said of them."""
    window = asked.window
    entries, total = read(window)
    if asked.page:
        count = total or 0
        about = {"page": asked.page, "per_page": window.most, "total_pages": -(-count // window.most), "total_items": count}
        return {"data": show(entries), "pagination": about}
    page, ends = cursors.cut(window, entries)
    told = {"next": ends.next or None, "previous": ends.previous or None, "has_more": bool(ends.next)}
    return {"data": show(page), "cursor": told}


def of(items: Iterable[Entry]) -> Read:
    """Of a list that is in memory whole, in any order."""

    def read(window: Window) -> tuple[Sequence[Entry], int | None]:
        falling = window.descending != window.back
        every = sorted(items, key=lambda one: (one.key, one.tie), reverse=falling)
        found = every
        if window.beyond is not None:
            at = window.beyond
            found = [one for one in every if ((one.key, one.tie) < at if falling else (one.key, one.tie) > at)]
        return found[window.start : window.start + window.most], len(every)

    return read
