"""`convoy history`: what changed, of one resource and of the fleet, from what the store keeps."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from reconciler.core.model import Problem, Ref, Where
from reconciler.store import Store
from tests.cli.conftest import Convoy
from tests.cli.test_look import row
from tests.declared import declaration


def container(seconds: int, **more: Any) -> Mapping[str, Any]:
    return {"kind": "Container", "spec": {"command": ["sleep", str(seconds)], **more}}


def accept(store: Store, revision: str, documents: Mapping[str, Mapping[str, Any]]) -> None:
    store.record_revision(
        revision, "good", (), (), (), declaration(revision, documents, author="Eve \x1b[31m <eve@example.org>")
    )


@pytest.fixture
def past(store: Store) -> Store:
    """Three revisions accepted, one refused, an order and failures."""
    accept(store, "r1", {"Container/web": container(1), "Container/db": container(1)})
    accept(store, "r2", {"Container/web": container(2, environment={"PASSWORD": "hunter2", "A": "1"})})
    accept(store, "r3", {"Container/web": container(2, environment={"PASSWORD": "hunter3", "A": "2"})})
    store.record_revision("r4", "refused", (Problem(Where("a.yaml", 3, 1), "unknown field"), Problem(Where("b.yaml"), "x")))
    store.event("order.suspend", "Container/web", "ada: at work: really")
    store.event("order.suspend.dropped", "Container/web", "by a commit's trailer")
    failed = {
        "verb": "create",
        "ref": "Container/web",
        "host": "h",
        "status": "failed",
        "error": "no such file",
        "instance": "i",
    }
    store.add_outcomes([{**failed, "at": time.time() - age, "seconds": 0.1} for age in (30, 20, 10)])
    store.add_outcomes([{"at": "nonsense"}, {**failed, "status": "done", "at": 1.0}])
    return store


def test_the_changes_of_one(convoy: Convoy, past: Store) -> None:
    """Newest first, each with its number, who and what; what is secret is not shown, nor what a terminal would obey."""
    text, changes = (
        convoy("history", "container/web").stdout,
        json.loads(convoy("history", "Container/web", "-o", "json").stdout),
    )
    assert [(one["n"], one["change"], one["revision"]) for one in changes] == [
        (3, "changed", "r3"),
        (2, "changed", "r2"),
        (1, "created", "r1"),
    ]
    assert 'spec.environment.A "1" → "2"' in text
    assert "hunter" not in text + json.dumps(changes)
    assert "\x1b" not in text
    assert changes[0]["fields"][-1]["effect"] == "replace"
    assert "by replacement" in convoy("history", "Container/web", "--diff").stdout
    assert "deleted from" in convoy("history", "Container/db").stdout
    assert len(json.loads(convoy("history", "Container/web", "-n", "1", "-o", "json").stdout)) == 1


def test_the_history_of_the_fleet(convoy: Convoy, past: Store) -> None:
    """Revisions with what they changed in numbers, refusals with why, orders with whose, failures once."""
    text, found = convoy("history").stdout, json.loads(convoy("history", "-o", "json").stdout)
    assert {(one["what"], one["verb"], one["subject"], one["times"]) for one in found} == {
        ("accepted", "", "r1", 1),
        ("accepted", "", "r2", 1),
        ("accepted", "", "r3", 1),
        ("refused", "", "r4", 1),
        ("order", "suspend", "Container/web", 1),
        ("dropped", "suspend", "Container/web", 1),
        ("failed", "create", "Container/web", 3),
    }
    assert [one["at"] for one in found] == sorted((one["at"] for one in found), reverse=True)
    second = next(one for one in found if one["subject"] == "r2")
    assert second["changes"] == {"created": 0, "changed": 1, "moved": 0, "deleted": 1}
    assert "a.yaml:3:1: unknown field (and 1 more Problem)" in text
    assert "at work: really" in text
    assert "3 times" in text
    assert convoy("history", "--since", "2030-01-01").stdout == "nothing has happened yet that is kept\n"
    assert len(convoy("history", "-n", "2").stdout.splitlines()) == 4


def test_what_is_not_there(convoy: Convoy, past: Store) -> None:
    """Near names are offered; a replica's history is its Application's; times that are none are refused."""
    web = row("Container/web")
    past.put_status({"Container/web": web, "Container/web-1": row("Container/web-1", declared=False, owner="Container/web")})
    assert json.loads(convoy("history", "Container/web-1", "-o", "json").stdout)[0]["ref"] == "Container/web"
    assert "did you mean Container/web" in convoy("history", "Container/wep").stderr
    assert convoy("history", "--since", "yesterday").exit_code == 2
    assert convoy("history", "--diff").exit_code == 2


def test_before_anything_has_run(convoy: Convoy, state: Path) -> None:
    """It says how to begin, and makes nothing."""
    assert "convoy apply" in convoy("history").stderr
    assert not state.exists()


def test_a_spoiled_event_is_shown_as_it_is(convoy: Convoy, store: Store) -> None:
    """Whatever stands in a row, it is words."""
    store.event("order.", "\x1b]0;x\x07", "")
    accept(store, "r1", {})
    assert "\x1b" not in convoy("history").stdout
    assert store.history(str(Ref("Container", "web"))) == []
