"""Orders over our own surface: what they keep, by whom, what they refuse, and what the audit says of them."""

import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from reconciler.bell import Bell
from reconciler.core import guard
from reconciler.store import HOME
from tests.committing import Committing, error

CONFIRM = "bring its document back, or `convoy confirm Container/db`"


def row(ref: str, sync: str = "synced", why: str = "", owner: str = "") -> dict[str, Any]:
    shown = {"ref": ref, "sync": sync, "health": "healthy", "since": 1.0, "why": why, "owner": owner or ref}
    return {**shown, "declared": True, "where": "fleet.yaml:1", "instances": []}


@pytest.fixture
def served(tmp_path: Path, sockets: Path) -> Iterator[Committing]:
    """Three deletes wait for a person, two of them as a lot."""
    with closing(Committing(tmp_path, sockets, None)) as opened:
        store = opened.store
        store.put_status({ref: row(ref) for ref in ("Container/db", "Application/a", "Cluster/c", "Container/acme/db")})
        store.put_status({f"Container/a-{n}": row(f"Container/a-{n}", owner="Application/a") for n in (1, 2)})
        waits = {"verb": "delete", "reason": "the budget", "release": guard.RELEASE_LOT}
        steps = [{"ref": f"Container/a-{n}", "held": [waits]} for n in (1, 2)]
        steps.append({"ref": "Container/db", "held": [{"verb": "delete", "reason": "to be confirmed", "release": CONFIRM}]})
        store.put_plan("r1", {"steps": steps})
        yield opened


def told(served: Committing, verb: str, **said: object) -> TestResponse:
    return served("POST", f"/convoy/v1/{verb}", said)


def given(served: Committing) -> list[tuple[str, str, str, str]]:
    return [(one.verb, one.subject, one.reason, one.by) for one in served.store.orders()]


def test_a_confirm_is_of_what_waits(served: Committing) -> None:
    """By a name, by the owner's, or the lot; by whom is the token's author."""
    answer = json.loads(told(served, "confirm", what="containers/db", reason="it\nmay go").get_data())
    assert answer["about"] == ["Container/db"]
    assert given(served) == [("confirm", "Container/db", "it may go", "Ada <ada@example.com>")]
    for what in ("deletes", "Application/a"):
        assert json.loads(told(served, "confirm", what=what).get_data())["about"] == ["Container/a-1", "Container/a-2"]
    assert len(given(served)) == 3


def test_suspended_and_resumed(served: Committing, sockets: Path) -> None:
    """With a reason and an end; the Convoy at work is woken, and a tenant's resource is another."""
    woken: list[int] = []
    begun = time.time()
    with closing(Bell(sockets, lambda: woken.append(1))):
        answer = json.loads(told(served, "suspend", what="container/acme/db", reason="evidence", **{"for": "2h"}).get_data())
        assert begun + 7199 < answer["until"] < time.time() + 7201
        assert (answer["order"], answer["about"]) == ("suspend", ["Container/acme/db"])
        assert json.loads(told(served, "suspend", what="fleet", reason="x", **{"for": "ever"}).get_data())["until"] is None
        assert told(served, "resume", what="fleet").status_code == 200
        end = time.monotonic() + 60
        while not woken and time.monotonic() < end:
            time.sleep(0.01)
    assert woken
    assert [(verb, subject) for verb, subject, _, _ in given(served)] == [
        ("resume", "fleet"),
        ("suspend", "Container/acme/db"),
    ]


def test_no_order_is_called_hold(served: Committing) -> None:
    """It is said what holds."""
    answer = told(served, "hold", what="Application/a", reason="later")
    assert answer.status_code == 404
    assert "/convoy/v1/suspend" in error(answer)["hint"]


def test_what_another_convoy_made_is_taken_over(served: Committing) -> None:
    """By its installation's id; a host that was its own machine by its short one."""
    served.store.put_state({"revision": "r1", "foreign": {"6f0e": 3}})
    served.store.put_guards({f"{HOME}here": {"name": "laptop /state (1a2b)"}})
    assert json.loads(told(served, "take-over", what="6f0e").get_data())["about"] == ["6f0e"]
    assert json.loads(told(served, "take-over", what="1a2b").get_data())["about"] == ["Host/here"]
    assert HOME + "here" not in served.store.guards()
    assert error(told(served, "take-over", what="1a2b"))["code"] == "not-held"


@pytest.mark.parametrize(
    ("verb", "said", "status", "code"),
    [
        ("confirm", {"what": "Cluster/c"}, 409, "not-held"),
        ("confirm", {"what": "Nothing/c"}, 404, "not-found"),
        ("confirm", {"what": "Container/x/y/z"}, 400, "bad-name"),
        ("confirm", {"what": "Container/Ü"}, 400, "bad-name"),
        ("confirm", {"what": "fleet"}, 400, "bad-name"),
        ("confirm", {}, 400, "bad-order"),
        ("confirm", {"what": ["Container/db"]}, 400, "bad-order"),
        ("confirm", {"what": "Container/db", "for": "2h"}, 400, "bad-order"),
        ("confirm", {"what": "Container/db", "reason": "x" * 501}, 400, "bad-order"),
        ("suspend", {"what": "Container/db"}, 400, "bad-order"),
        ("suspend", {"what": "Container/none", "reason": "x"}, 404, "not-found"),
        ("suspend", {"what": "Cluster/c", "reason": "x"}, 400, "bad-order"),
        ("suspend", {"what": "fleet", "reason": "x", "for": "2 weeks"}, 400, "bad-order"),
        ("resume", {"what": "Container/db"}, 409, "not-held"),
        ("take-over", {"what": "nobody"}, 409, "not-held"),
    ],
)
def test_what_says_nothing_is_refused(served: Committing, verb: str, said: dict[str, Any], status: int, code: str) -> None:
    """And nothing of it is kept."""
    answer = told(served, verb, **said)
    assert (answer.status_code, error(answer)["code"]) == (status, code)
    assert given(served) == []


def test_who_may(served: Committing) -> None:
    """Whoever may change things; whoever reads is told so, and the audit names action and resource."""
    reads = served.store.tokens.create("ci", ("read", "plan"), None)[1]
    for verb in ("confirm", "suspend", "resume", "take-over"):
        assert served("POST", f"/convoy/v1/{verb}", {"what": "Container/db"}, token=reads).status_code == 403
    assert given(served) == []
    told(served, "confirm", what="Container/db")
    assert served.recorder.flush(60)
    rows = [tuple(one) for one in served.rows("audit")]
    assert any("CONFIRM" in one and "container" in one and "db" in one and 200 in one for one in rows), rows
