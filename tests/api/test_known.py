"""Our own surface tells what is known of a resource, what it was, and what happens; and puts it back, or syncs it, by words."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from reconciler.log import Log
from reconciler.metrics import Metrics
from reconciler.requests import Requests
from reconciler.seams import Seams
from tests import repos
from tests.api.test_orders import row
from tests.committing import Committing, cluster, error


@pytest.fixture
def served(tmp_path: Path, sockets: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Committing]:
    """A cluster in two versions."""
    repos.hermetic(monkeypatch)
    origin = repos.make_origin(tmp_path)
    origin.commit({"web.yaml": cluster("web"), "db.yaml": cluster("db")})
    with closing(Committing(tmp_path, sockets, origin)) as opened:
        origin.commit({"web.yaml": cluster("web", 2)})
        opened.follow()
        opened.store.put_status({ref: row(ref) for ref in ("Cluster/web", "Cluster/db")})
        yield opened


def get(served: Committing, path: str) -> Any:
    answer = served("GET", f"/convoy/v1/{path}")
    assert answer.status_code == 200, answer.get_data()
    return json.loads(answer.get_data())


def test_explained(served: Committing) -> None:
    """As `convoy explain -o json`, with the document as it is declared."""
    said = get(served, "explain/clusters/web")
    assert (said["ref"], said["where"], said["change"]) == ("Cluster/web", "web.yaml:1", 2)
    assert "- 127.0.0.1:2" in said["document"]
    assert [one["n"] for one in said["changes"]] == [2, 1]
    assert error(served("GET", "/convoy/v1/explain/clusters/none"))["code"] == "not-found"
    assert error(served("GET", "/convoy/v1/explain/clusters/acme/web"))["code"] == "not-found"


def test_history(served: Committing) -> None:
    """Of one, newest first, page by page; and of the whole."""
    said = get(served, "history/cluster/web?limit=1")
    assert ([one["n"] for one in said["changes"]], said["more"]) == ([2], True)
    assert [one["path"] for one in said["changes"][0]["fields"]] == ["spec.endpoints[0]"]
    said = get(served, "history/cluster/web?before=2")
    assert ([one["change"] for one in said["changes"]], said["more"]) == (["created"], False)
    said = get(served, "history")["happened"]
    assert [(one["what"], one["changes"]["changed"], one["changes"]["created"]) for one in said] == [
        ("accepted", 1, 0),
        ("accepted", 0, 2),
    ]
    assert all(one["by"] for one in said)
    assert error(served("GET", "/convoy/v1/history/cluster/none"))["code"] == "not-found"


def test_events(served: Committing) -> None:
    """The last ones, and then what came behind them; by kind and resource."""
    served.store.event("status.failed", "Cluster/web", "one")
    first = get(served, "events?limit=1")
    assert [one["message"] for one in first["events"]] == ["one"]
    assert get(served, f"events?after={first['next']}") == {"events": [], "next": first["next"]}
    served.store.event("status.failed", "Cluster/db", "two")
    served.store.event("status.synced", "Cluster/db", "three")
    after = f"after={first['next']}"
    assert [one["message"] for one in get(served, f"events?{after}")["events"]] == ["two", "three"]
    assert [one["message"] for one in get(served, f"events?{after}&only=status.failed")["events"]] == ["two"]
    assert get(served, f"events?{after}&ref=Cluster/web")["events"] == []
    for bad in ("after=x", "after=1", "after=-1.2", "limit=0", "limit=501"):
        assert error(served("GET", f"/convoy/v1/events?{bad}"))["code"] == "bad-query"


def back(served: Committing, body: dict[str, Any], query: str = "", **headers: str) -> Any:
    return served("POST", "/convoy/v1/rollback", body, query, **headers)


def test_put_back(served: Committing) -> None:
    """By one commit that says why and holds what it was; under one key once."""
    body = {"what": "Cluster/web", "reason": "503s since noon"}
    first = back(served, body, Idempotency_Key="k1")
    assert first.status_code == 200, first.get_data()
    assert served.file("web.yaml") == cluster("web")
    text = "\n".join(served.log("%B"))
    assert text.startswith("Roll back Cluster/web: 503s since noon")
    assert "Convoy-Hold: Cluster/web@" in text
    assert served.log("%an")[0] == "Ada"
    commits = len(served.log())
    served.follow()
    again = back(served, body, Idempotency_Key="k1")
    assert json.loads(again.get_data()) == json.loads(first.get_data())
    assert len(served.log()) == commits


def test_put_back_to(served: Committing) -> None:
    """A number of its history, or the commit; also of what is gone."""
    assert back(served, {"what": "clusters/web", "to": 1}).status_code == 200
    served.follow()
    two = served.store.history("Cluster/web")[1].revision
    assert back(served, {"what": "Cluster/web", "to": two[:12]}).status_code == 200
    assert served.file("web.yaml") == cluster("web", 2)
    served.follow()
    assert served("DELETE", "Cluster/db").status_code == 200
    served.follow()
    assert back(served, {"what": "Cluster/db"}).status_code in (200, 201)
    assert any("db" in path for path in served.files())


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"what": "Cluster/none"}, 404, "not-found"),
        ({"what": "Cluster/db"}, 409, "nothing-before"),
        ({"what": "Cluster/web", "to": 2}, 409, "nothing-before"),
        ({"what": "Cluster/web", "to": 9}, 404, "not-found"),
        ({"what": "Cluster/web", "to": "HEAD"}, 400, "bad-order"),
        ({"what": "Cluster/web", "propose": "x"}, 400, "bad-order"),
        ({}, 400, "bad-name"),
    ],
)
def test_what_cannot_be_put_back(served: Committing, body: dict[str, Any], status: int, code: str) -> None:
    commits = served.log()
    answer = back(served, body)
    assert (answer.status_code, error(answer)["code"]) == (status, code)
    assert served.log() == commits


def test_synced(served: Committing) -> None:
    """The source is read; what is released is of the revision that was meant; the wait is bounded, and tells its outcome."""
    asked: list[bytes] = []
    tip = served.follow()
    found = {"fetched": True, "revision": tip, "refused": "", "problems": [], "unreadable": "", "sync": "manual"}

    def sync(body: bytes, _: float) -> bytes:
        asked.append(body)
        return json.dumps(found).encode()

    with closing(Requests(served.run, {"sync": sync}, Metrics(), Log(level="error"), Seams())):
        answer = served("POST", "/convoy/v1/sync", {"only": ["Cluster/web"]})
        assert (answer.status_code, json.loads(answer.get_data())["outcome"]) == (202, "begun")
        assert asked == [b"fetch", b""]
        (order,) = served.store.orders()
        assert (order.verb, order.by) == ("sync", "Ada <ada@example.com>")
        assert tip in order.subject
        answer = served("POST", "/convoy/v1/sync", {"overrideWindow": "an outage"}, "?wait=synced&timeoutSeconds=1")
        assert (answer.status_code, json.loads(answer.get_data())["outcome"]) == (202, "late")
        served.store.put_state({"revision": tip, "converged": True})
        answer = served("POST", "/convoy/v1/sync", {"retry": True}, "?wait=synced")
        assert (answer.status_code, json.loads(answer.get_data())["outcome"]) == (200, "synced")
        before = len(served.store.orders())
        for body, status, code in (
            ({"revision": "0" * 40}, 409, "conflict"),
            ({"only": ["Cluster/none"]}, 400, "bad-order"),
            ({"only": "Cluster/web"}, 400, "bad-order"),
            ({"overrideWindow": " "}, 400, "bad-order"),
            ({"retry": 1}, 400, "bad-order"),
            ({"timeout": 1}, 400, "bad-order"),
        ):
            answer = served("POST", "/convoy/v1/sync", body)
            assert (answer.status_code, error(answer)["code"]) == (status, code), body
        found["refused"], found["problems"] = tip, ["web.yaml:1: no"]
        answer = served("POST", "/convoy/v1/sync", {})
        assert (answer.status_code, error(answer)["problems"]) == (409, ["web.yaml:1: no"])
        assert len(served.store.orders()) == before
    answer = served("POST", "/convoy/v1/sync", {})
    assert (answer.status_code, error(answer)["code"]) == (503, "away")
