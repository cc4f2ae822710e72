"""What a read costs: how many views of the store it takes, and how many questions, whatever there is beside what is read."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.pool import Pool
from werkzeug.test import Client

from api import create_app
from api.fleet import Fleet
from api.kept import Kept, dumped
from api.limits import Limits
from api.outer import Wsgi
from api.reach import Reach
from reconciler.core.declared import Declared
from reconciler.log import Log
from reconciler.seams import Seams
from reconciler.store import Store, default_url
from tests.bench.load import Fake
from tests.bench.reads import declare, token

# Who asks is two of them: the keys that tokens are signed with, and whose the session is.
QUESTIONS = {
    "/convoy/v1/resources/cluster/c-7": 4,
    "/convoy/v1/resources?perPage=50": 5,
    "/convoy/v1/resources?limit=50": 4,
    "/envoy-fleet/api/v1/clusters": 5,
    "/api/v1/clusters?per_page=50": 5,
    "/api/v1/clusters?limit=50": 4,
    "/api/v1/proxies": 9,
    "/api/v1/proxies/edge-1/configuration": 10,
}


@pytest.fixture
def asked() -> Iterator[list[str]]:
    """What SQLite is told from now on, by whichever way."""
    told: list[str] = []

    def hear(connection: Any, _record: object) -> None:
        connection.set_trace_callback(told.append)

    event.listen(Pool, "connect", hear)
    yield told
    event.remove(Pool, "connect", hear)


@pytest.fixture
def store(tmp_path: Path, asked: list[str]) -> Iterator[Store]:
    tmp_path.chmod(0o700)
    with closing(Store(default_url(tmp_path), Seams())) as opened:
        yield opened


def app(store: Store, directory: Path) -> Wsgi:
    return create_app(Reach(store, directory, Log(level="error"), Limits()))


def get(app: Wsgi, shown: str, path: str) -> Any:
    answer = Client(app).get(path, headers={"Authorization": f"Bearer {shown}"})
    assert answer.status_code == 200, answer.text
    return answer.json


def test_so_many_questions_in_one_view(store: Store, asked: list[str], tmp_path: Path) -> None:
    """However many there are in the fleet, and on the page; and none for as long as nobody has written."""
    declare(store, Fake(60))
    served, shown = app(store, tmp_path), token(store, "reader@example.org")
    for path, most in QUESTIONS.items():
        get(served, shown, path)
        store.event("something", "", path)
        asked.clear()
        get(served, shown, path)
        questions = [one for one in asked if one.startswith("SELECT")]
        assert len(questions) <= most, (path, questions)
        view = ["BEGIN", "PRAGMA data_version", "ROLLBACK"]
        assert [one for one in asked if one not in questions] == view, path
        asked.clear()
        get(served, shown, path)
        assert asked == view, path


def test_what_is_kept_is_never_old(store: Store, tmp_path: Path) -> None:
    """It is found under what is read for the request: a change is seen by whoever asks next."""
    fake = Fake(3)
    declare(store, fake)
    served, shown = app(store, tmp_path), token(store, "reader@example.org")
    one, every = "/convoy/v1/resources/cluster/c-1", "/api/v1/clusters?sort_by=name"
    before = get(served, shown, one), get(served, shown, every)["data"]
    assert (get(served, shown, one), get(served, shown, every)["data"]) == before
    assert before[0]["document"]["spec"]["envoy"]["lb_policy"] == "LEAST_REQUEST"

    path = "fleet/clusters/c-1.yaml"
    fake.put(path, fake.files[path].replace(b"LEAST_REQUEST", b"RANDOM"))
    declare(store, fake, "r1")
    after = get(served, shown, one), get(served, shown, every)["data"]
    assert after[0]["document"]["spec"]["envoy"]["lb_policy"] == "RANDOM"
    changed = [one for one, was in zip(after[1], before[1], strict=True) if one["lb_policy"] != was["lb_policy"]]
    assert [(one["name"], one["lb_policy"]) for one in changed] == [("c-1", {"type": "RANDOM"})]

    path = "/api/v1/proxies/edge-1/configuration"
    before = get(served, shown, path), get(served, shown, path)
    assert before[0] == before[1]
    store.put_status({"Configuration/edge": {"sync": "refused", "why": "no such port"}})
    assert get(served, shown, path)["delivery"] == {**before[0]["delivery"], "state": "refused", "message": "no such port"}


def test_only_so_much_is_kept() -> None:
    """What was asked for longest ago goes first."""
    made: list[str] = []

    def show(one: Declared) -> dict[str, str]:
        made.append(one.name)
        return {"name": one.name, "x": "x" * 1_000}

    kept = Kept(most_bytes=5_000)
    every = [Declared(f"Host/{n}", n, "Host", "default", n, n, {}, "f", 1, "b", "r", "", 1, 0.0) for n in "abc"]
    for one in (every[0], every[1], every[0], every[2], every[0], every[1]):
        kept.of(show, one)
    assert made == ["a", "b", "c", "b"]


def test_what_is_json_already_stands_where_it_belongs() -> None:
    """Beside numbers of any size, and half characters; and it is written as all of it would be."""
    kept = Kept()
    one, other = kept.under(("one",), lambda: {"a": [1, "é"]}), kept.under(("other",), lambda: {"a": [1, '"']})
    said = {"half": "\ud800", "data": [one, other, one], "n": 2**70}
    whole = {"half": "\ud800", "data": [{"a": [1, "é"]}, {"a": [1, '"']}, {"a": [1, "é"]}], "n": 2**70}
    assert dumped(said) == json.dumps(whole, ensure_ascii=False).encode("utf-8", "replace")


def test_who_waits_for_a_change_holds_no_view(tmp_path: Path, store: Store) -> None:
    """Nothing keeps SQLite from writing its log back meanwhile, nor PostgreSQL from ending what is idle; and what is read then
    is as it is then."""
    fleet, checked = Fleet(store, tmp_path, threading.Event()), []

    def other() -> None:
        store.put_state({"revision": "new"})
        # Who looks whether it is decided reads now and then; and this may be before the wait has begun.
        with closing(sqlite3.connect(tmp_path / "convoy.db", timeout=60.0)) as raw:
            checked.append(raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])
        store.proposals.decide({made.id: ("refused", "", {})})

    made = store.proposals.add("ada", "", "digest", {}, ["Cluster/a"])
    with store.view():
        assert store.state() is None
        later = threading.Timer(0.2, other)
        later.start()
        assert fleet.wait(made, 240.0).state == "refused"
        assert store.state() == {"revision": "new"}
    later.join()
    assert checked == [0]
