"""Both paginations: whatever comes and goes while somebody pages, nothing that stays is left out or shown twice."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.surfaces.envoy_fleet.pages import Entry, answer, of, paging
from api.surfaces.envoy_fleet.wire import Invalid

SORTS = ("name", "created_at")


def entries(names: list[str]) -> list[Entry]:
    return [Entry(name, "", {"name": name}) for name in names]


def ask(items: list[Entry], **query: Any) -> dict[str, Any]:
    return answer(paging(query, SORTS, ("created_at",)), of(items))


def names(said: dict[str, Any]) -> list[str]:
    return [one["name"] for one in said["data"]]


def test_by_page() -> None:
    """As section 4.1 shows it."""
    items = entries([f"n{n:02}" for n in range(95)])
    said = ask(items)
    assert said["pagination"] == {"page": 1, "per_page": 20, "total_pages": 5, "total_items": 95}
    assert len(said["data"]) == 20
    assert names(ask(items, page=5)) == [f"n{n:02}" for n in range(80, 95)]
    assert names(ask(items, page=6)) == []
    assert names(ask(items, order="desc", per_page=2)) == ["n94", "n93"]
    assert ask([])["pagination"] == {"page": 1, "per_page": 20, "total_pages": 0, "total_items": 0}


@given(st.lists(st.text(min_size=1, max_size=3), unique=True, max_size=12), st.integers(1, 5), st.booleans())
def test_there_and_back_by_cursor(given_names: list[str], limit: int, falling: bool) -> None:
    """From end to end each is seen once, in order; and back again the same."""
    items, order = entries(given_names), {"order": "desc"} if falling else {}
    seen: list[str] = []
    said = ask(items, limit=limit, **order)
    assert said["cursor"]["previous"] is None
    while True:
        seen += names(said)
        assert said["cursor"]["has_more"] is (said["cursor"]["next"] is not None)
        if not said["cursor"]["next"]:
            break
        said = ask(items, limit=limit, cursor=said["cursor"]["next"], **order)
    assert seen == sorted(given_names, reverse=falling)
    back = names(said)
    while said["cursor"]["previous"]:
        said = ask(items, limit=limit, cursor=said["cursor"]["previous"], **order)
        back = names(said) + back
    assert back == seen


def test_what_comes_and_goes_moves_nothing() -> None:
    """The one that the cursor was made of may be gone."""
    said = ask(entries(["b", "d", "f"]), limit=2)
    later = ask(entries(["a", "c", "f", "g"]), limit=2, cursor=said["cursor"]["next"])
    assert names(later) == ["f", "g"]


def test_numbers_and_ties() -> None:
    """Those of one key are told apart by the tie."""
    items = [Entry(float(n // 2), f"t{n}", {"name": f"t{n}"}) for n in range(6)]
    said, seen = ask(items, sort_by="created_at", limit=1), list[str]()
    while True:
        seen += names(said)
        if not said["cursor"]["next"]:
            break
        said = ask(items, sort_by="created_at", limit=1, cursor=said["cursor"]["next"])
    assert seen == [f"t{n}" for n in range(6)]


def test_the_documents_own_cursor() -> None:
    """{"id":"100"} is what was seen last."""
    items = entries(["080", "100", "120", "140"])
    assert names(ask(items, cursor="eyJpZCI6IjEwMCJ9", limit=20)) == ["120", "140"]


def packed(said: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "query",
    [
        {"page": 1, "cursor": packed({"id": "a"})},
        {"per_page": 5, "limit": 5},
        {"cursor": "not base64!"},
        {"cursor": "eyJ"},
        {"cursor": packed([])},
        {"cursor": packed({"id": 1})},
        {"cursor": packed({"id": "a", "tie": 5})},
        {"cursor": packed({"id": "a", "back": "yes"})},
        {"cursor": packed({"id": "a", "sort": "created_at"})},
        {"cursor": packed({"id": "a", "desc": True})},
        {"cursor": packed({"id": "a"}), "sort_by": "created_at"},
        {"cursor": packed({"id": True}), "sort_by": "created_at"},
        {"cursor": packed({"id": float("nan")}), "sort_by": "created_at"},
        {"cursor": packed({"id": 1e300}), "sort_by": "created_at"},
        {"cursor": "W" * 1000},
        {"cursor": base64.urlsafe_b64encode(b"[" * 700).decode()},
        {"cursor": "\N{SNOWMAN}"},
    ],
)
def test_cursors_that_are_none(query: dict[str, Any]) -> None:
    """Whatever somebody makes up is refused by name."""
    with pytest.raises(Invalid) as raised:
        ask(entries(["a"]), **query)
    assert raised.value.field in ("cursor", "limit")
