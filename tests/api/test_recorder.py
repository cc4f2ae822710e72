"""The audit is written behind the answers: in batches, again when the store would not, counted when it is too much, all at the
end."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from api import audit, recorder
from api.audit import Asker, Heard
from api.recorder import Recorder
from reconciler.core.declared import Declared
from reconciler.core.model import Ref
from reconciler.core.proposal import Change
from reconciler.core.values import CLEAR
from reconciler.log import Log
from reconciler.seams import Seams
from reconciler.store import Call, Store, StoreError, Wanted

EVERY = Wanted(["default", ""])


class Disk:
    """The store's audit, which writes when it is told to."""

    def __init__(self, store: Store) -> None:
        self.real, self.batches, self.go, self.failing = store.audit.add, list[int](), threading.Event(), False
        self.go.set()
        store.audit.add = self.add  # type: ignore[method-assign]  # what a slow or a full disk does

    def add(self, calls: Sequence[Call]) -> None:
        assert self.go.wait(240)
        if self.failing:
            raise StoreError("cannot write audit in the store: disk full")
        self.batches.append(len(calls))
        self.real(calls)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(f"sqlite:///{tmp_path / 'convoy.db'}", Seams())) as opened:
        yield opened


@pytest.fixture
def written(store: Store) -> Iterator[Recorder]:
    with closing(Recorder(store, Log(level="error"))) as opened:
        yield opened


def call(method: str = "GET", *, known: bool = True) -> dict[str, Any]:
    environ: dict[str, Any] = {"convoy.operation": ("envoy-fleet", "clusters.list", {}), "REQUEST_METHOD": method}
    return environ | ({"convoy.who": Asker("id", "ada@example.com", "default")} if known else {})


def test_batches(store: Store, written: Recorder) -> None:
    """Many calls are few writes, and what belongs to no surface is not heard."""
    disk = Disk(store)
    disk.go.clear()
    for _ in range(300):
        written.hear(call(), 200)
    written.hear({"REQUEST_METHOD": "GET"}, 200)
    disk.go.set()
    assert written.flush(60)
    assert store.audit.count(EVERY) == 300
    assert len(disk.batches) <= 2


def test_a_store_that_is_busy(store: Store, written: Recorder) -> None:
    """Whoever reads what was asked a moment ago waits until that is written, though others write for a while."""
    disk = Disk(store)
    disk.go.clear()
    written.hear(call(), 200)
    later = threading.Timer(1.5, disk.go.set)
    later.start()
    assert written.flush()
    later.join()
    assert store.audit.count(EVERY) == 1


def test_a_store_that_would_not(store: Store, written: Recorder) -> None:
    """What waits is written once it does, each once and in its order."""
    disk = Disk(store)
    disk.failing = True
    for number in range(5):
        written.hear(call() | {"convoy.id": str(number)}, 200)
    assert not written.flush(0.2)
    disk.failing = False
    assert written.flush(60)
    assert [one.request for one in store.audit.page(EVERY, 10, rising=True)] == list("01234")


def test_what_is_too_much_is_counted(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each class by itself: calls of nobody known take no room from changes, and a row says how many are missing."""
    monkeypatch.setattr(recorder, "MOST_WAITING", {"change": 3, "read": 2, "nobody": 1})
    # The rows that say how many are missing are written by the end.
    monkeypatch.setattr(recorder, "ENDING_S", 60.0)
    disk = Disk(store)
    with closing(Recorder(store, Log(level="error"))) as written:
        disk.go.clear()
        for _ in range(10):
            written.hear(call(known=False), 401)
            written.hear(call("GET"), 200)
        for _ in range(3):
            written.hear(call("PUT"), 200)
        # Nobody has waited for the disk.
        assert not disk.batches
        disk.go.set()
        assert written.flush(60)
    calls = store.audit.page(EVERY, 100)
    assert sum(one.kind == "change" and one.action != "LOST" for one in calls) == 3
    lost = {one.after["kind"]: one.after["calls"] for one in calls if one.action == "LOST" and one.after is not None}
    assert lost["nobody"] + sum(one.kind == "nobody" for one in calls) == 10
    assert lost["read"] + sum(one.kind == "read" for one in calls) == 10
    assert lost.keys() == {"nobody", "read"}


def test_the_end(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that was heard is written before it is over; with a store that does not answer, it is over all the same."""
    # However busy the machine is.
    monkeypatch.setattr(recorder, "ENDING_S", 60.0)
    written = Recorder(store, Log(level="error"))
    for _ in range(2500):
        written.hear(call(), 200)
    written.close()
    assert store.audit.count(EVERY) == 2500
    disk = Disk(store)
    disk.failing = True
    written = Recorder(store, Log(level="error"))
    written.hear(call(), 200)
    begun = time.monotonic()
    written.close()
    assert time.monotonic() - begun < recorder.ENDING_S


def test_a_row_that_cannot_be_made(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever is in it: that it was is written, and so are the next ones."""
    with closing(Recorder(store, Log())) as written:
        written.hear(call() | {"convoy.changes": [("no change", None)]}, 200)
        assert written.flush(60)
        written.hear(call(), 200)
        assert written.flush(60)
    assert store.audit.count(EVERY) == 2
    assert "audit.broken" in capsys.readouterr().err


def heard(operation: str, method: str, ids: dict[str, Any] | None = None, *changes: Any, agent: str = "") -> Heard:
    return Heard(1.0, Asker("id", "a@b", "default"), "s", operation, method, ids or {}, "", agent, 200, "r", changes)


@pytest.mark.parametrize(
    ("operation", "method", "ids", "action", "type", "id"),
    [
        ("proxies.configuration.update", "PUT", {"id": "edge-1"}, "UPDATE", "proxy_configuration", "edge-1"),
        ("virtual_machines.create", "POST", {}, "CREATE", "virtual_machine", ""),
        ("clusters.endpoints.add", "POST", {"id": "a"}, "CREATE", "cluster_endpoint", "a"),
        ("configurations.rollback", "POST", {"id": "a"}, "ROLLBACK", "configuration", "a"),
        ("certificates.upload", "POST", {}, "CREATE", "certificate", ""),
        ("deployments.status", "GET", {"id": "a"}, "READ", "deployment", "a"),
        ("auth.login", "POST", {}, "LOGIN", "auth", ""),
        ("PUT /v1/resources/<kind>/<name>", "PUT", {"kind": "virtual-hosts", "name": "web"}, "UPDATE", "virtual_host", "web"),
        ("GET /v1/resources/<kind>/<name>", "GET", {"kind": "VirtualHost", "name": "web"}, "READ", "virtual_host", "web"),
        ("DELETE /x", "DELETE", {"kind": "../x", "name": "a b"}, "DELETE", "", ""),
        ("plan", "POST", {}, "PLAN", "fleet", ""),
        ("take-over", "POST", {}, "TAKE_OVER", "fleet", ""),
        ("suspend", "POST", {"kind": "Container", "name": "web"}, "SUSPEND", "container", "web"),
        ("every", "GET", {}, "READ", "resource", ""),
        ("history_of_all", "GET", {}, "READ", "history", ""),
        ("ws.connect", "GET", {}, "READ", "event", ""),
        ("bulk.proxies.update", "POST", {}, "UPDATE", "proxy", ""),
        ("bulk.delete", "POST", {}, "DELETE", "resource", ""),
        ("hooks.deliver", "POST", {"name": "fleet"}, "DELIVER", "hook", "fleet"),
        ("", "POST", {}, "CREATE", "", ""),
        ("x.get", "GET", {"id": "cvy_0123456789ab_" + "0" * 64}, "READ", "x", ""),
    ],
)
def test_words(operation: str, method: str, ids: dict[str, Any], action: str, type: str, id: str) -> None:
    """What is done to what, from an operation's name or from a path; what cannot be a name is none."""
    (row,) = audit.rows(heard(operation, method, ids))
    assert (row.action, row.resource_type, row.resource_id) == (action, type, id)


def declared(document: dict[str, Any]) -> Declared:
    return Declared("Cluster/a", "uid-of-a", "Cluster", "default", "a", "d", document, "f", 1, "", "r", "", 1, 0.0)


def test_changes() -> None:
    """A row for each resource; the fields that differ, and of those what is no secret; what is new, and what is gone."""
    was = {"kind": "Cluster", "metadata": {"name": "a"}, "spec": {"x": 1, "y": {"z": 1, "same": 1}, "password": "hunter2"}}
    patch = Change("patch", Ref("Cluster", "a"), {"spec": {"x": None, "y": {"z": 2}, "password": "hunter3"}})
    new = Change("put", Ref("Cluster", "b"), {"spec": {"x": 1}}, uid="uid-of-b")
    gone = Change("delete", Ref("Proxy", "c"))
    rows = list(
        audit.rows(heard("clusters.update", "PUT", {"id": "a"}, (patch, declared(was)), (new, None), (gone, declared(was))))
    )
    first, second, third = rows
    hidden = {"password": "(in the clear, hidden)"}
    assert (first.before, first.after) == ({"spec": {"x": 1, "y": {"z": 1}, **hidden}}, {"spec": {"y": {"z": 2}, **hidden}})
    assert (first.action, first.resource_type, first.resource_id) == ("UPDATE", "cluster", "uid-of-a")
    assert (second.action, second.resource_type, second.resource_id) == ("CREATE", "cluster", "uid-of-b")
    assert (second.before, third.after) == ({}, {})
    assert (third.action, third.resource_type) == ("DELETE", "proxy")
    assert len({one.id for one in rows}) == 3
    assert "hunter" not in repr([(one.before, one.after) for one in rows])
    bulk = list(audit.rows(heard("bulk.delete", "POST", {}, (gone, declared(was)), (gone, declared(was)))))
    assert [(one.action, one.resource_type) for one in bulk] == [("DELETE", "proxy")] * 2


def test_agents() -> None:
    """What a program calls itself, without what a terminal would obey and what looks like a token."""
    shown = audit.harmless("curl/8 \x1b[31m Bearer abc cvy_00ff_aa eyJhbGciOi.eyJ.sig Basic dTpw é" + "x" * 1000)
    assert shown.startswith("curl/8 [31m Bearer (hidden) (hidden) (hidden) Basic (hidden) é")
    assert len(shown) <= 220


def test_what_stays_still_says_what_is_secret_beside_it() -> None:
    """Of a document only what differs is in the audit, and it is hidden by what names it there, though that has not changed."""
    change = Change("put", Ref("Cluster", "c"), {"key": "authorization", "value": "canary", "spec": {"password": "canary"}})
    was = {"key": "authorization", "value": "canary-before", "spec": {"password": "canary"}, "metadata": {"name": "c"}}
    before, after = audit.differences(change, was)
    assert before["value"] == after["value"] == CLEAR
    assert not {"key", "spec"} & (before.keys() | after.keys())
    sealed = {"age": "-----BEGIN AGE ENCRYPTED FILE-----", "hash": "one"}
    before, after = audit.differences(Change("put", Ref("Cluster", "c"), {**sealed, "hash": "two"}), sealed)
    assert (before["hash"], after["hash"]) == ("one", "two")
