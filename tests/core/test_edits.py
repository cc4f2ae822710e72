"""Documents that differ are found by their digests, compared field by field, and shown with how they take effect."""

import json
from dataclasses import replace
from typing import Any

import pytest

from reconciler.core import show
from reconciler.core.edits import MOST_COMPARED, edits, unequal
from reconciler.core.model import Plan, Ref, Resource, Source, Where
from tests.core.golden import golden
from tests.fleets import load_text

CONTAINER = "apiVersion: convoy/v1\nkind: Container\nmetadata: {name: %s}\nspec: {command: [sleep, '1']}\n---\n"
HOST = "apiVersion: convoy/v1\nkind: Host\nmetadata: {name: h1}\nspec: {driver: process}\n---\n"


def resources(number: int) -> dict[Ref, Resource]:
    one = next(load_text(HOST + CONTAINER % "c").of("Container"))
    refs = [Ref("Container", f"c{i}") for i in range(number)]
    return {ref: replace(one, ref=ref, digest=f"d{ref.name}", source=Source("f.yaml", 1, 0, 1)) for ref in refs}


def test_what_was_never_accepted_is_new_and_what_is_gone_is_told_where_it_was() -> None:
    """Three ways to differ; of those that come or go no fields are listed."""
    now = resources(3)
    a, b, c = now
    gone = Ref("Cluster", "gone")
    found = unequal({a: "other", b: now[b].digest, gone: "x"}, now)
    listed = edits(found, {a: {"spec": {"x": 1}}}, {a: {"spec": {"x": 2}}}, now, {gone: Where("old.yaml", 9)})

    assert [(str(edit.ref), edit.made, str(edit.where)) for edit in listed] == [
        ("Cluster/gone", "removed", "old.yaml:9:1"),
        ("Container/c0", "changed", "f.yaml:1:1"),
        ("Container/c2", "added", "f.yaml:1:1"),
    ]
    assert [one.path for one in listed[1].fields.listed] == ["spec.x"]
    assert c == Ref("Container", "c2")


def test_thousands_of_changed_documents_are_counted_and_not_compared() -> None:
    """The fields of so many nobody reads."""
    now = resources(MOST_COMPARED + 10)
    found = unequal(dict.fromkeys(now, "other"), now)
    assert len(found.compared) == MOST_COMPARED
    was, says = ({ref: {"spec": {"x": number}} for ref in found.compared} for number in (1, 2))
    listed = edits(found, was, says, now, {})
    assert sum(edit.compared for edit in listed) == MOST_COMPARED
    assert sum(not edit.compared for edit in listed) == 10
    page = show.plain(show.plan(Plan("r", ()), None, show.Background(edits=listed)), 120)
    assert "… and 490 more documents" in page


BEFORE: dict[str, Any] = {
    "metadata": {"name": "edge"},
    "spec": {
        "listeners": [{"name": "http", "port": 80}, {"name": "admin", "port": 81}],
        "text": "one\ntwo \x1b[31m three\n" + "tail " * 40,
        "many": {str(i): i for i in range(30)},
        "pem": "-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----\n",
    },
}


@pytest.mark.parametrize(("name", "width"), [("120", 120), ("40", 40), ("pipe", None)])
def test_fields_are_shown(name: str, width: int | None, request: pytest.FixtureRequest) -> None:
    """Each field is a line where there is room for it; many are counted, and nothing in them drives a terminal."""
    spec = BEFORE["spec"]
    after = {
        "metadata": {"name": "edge", "labels": {"a|b`c": "</details>@all"}},
        "spec": {
            "listeners": [{"name": "http", "port": 8080}, {"name": "new", "port": 82}],
            "text": spec["text"].replace("three", "four"),
            "many": {str(i): i + 1 for i in range(30)},
            "pem": spec["pem"].replace("canary", "canary2"),
        },
    }
    one = next(load_text(HOST + CONTAINER % "c").of("Container"))
    ref = Ref("Configuration", "edge")
    now = {ref: replace(one, ref=ref, digest="now", source=Source("edge.yaml", 3, 0, 1))}
    listed = edits(unequal({ref: "was", Ref("Cluster", "x"): "y"}, now), {ref: BEFORE}, {ref: after}, now, {})
    background = show.Background(edits=listed)

    page = show.plain(show.plan(Plan("r1", ()), None, background), width)
    golden(f"fields.{name}.txt", page, request)
    markdown = show.plan_markdown(Plan("r1", ()), None, background)
    golden("fields.md", markdown, request)
    assert "canary" not in page + markdown + json.dumps(show.plan_json(Plan("r1", ()), None, background))
