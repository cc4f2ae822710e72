"""The audit, on each database: rows in their order, found by what is asked for, kept by class; in backups the changes alone."""

import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from reconciler.seams import Seams
from reconciler.store import Call, Store, Wanted, backup
from reconciler.store import audit as audits
from reconciler.store.audit import CHANGE, NOBODY, READ
from tests.postgres import Place

ONE = Call(
    1000.0, CHANGE, "id", "ada@example.com", "acme", "envoy-fleet", "UPDATE", "cluster", "c-1", "192.0.2.1", "curl", 200, "r"
)


def one(**different: object) -> Call:
    return replace(ONE, **{"id": str(different), **different})  # type: ignore[arg-type]  # named as they are


def test_what_is_written_is_read(store: Store) -> None:
    """The newest first, as it was heard."""
    first, second = one(before={"spec": {"a": 1}}, after={"spec": {"a": 2}}), one(status=404)
    store.audit.add([first, second])
    store.audit.add([])
    found = store.audit.page(Wanted(["acme"]), 10)
    assert [replace(call, number=0) for call in found] == [second, first]
    assert [call.number for call in store.audit.page(Wanted(["acme"]), 10, rising=True)] == [1, 2]
    assert store.audit.count(Wanted(["acme"])) == 2


def test_what_is_asked_for(store: Store) -> None:
    """Each condition, and all of them together; nothing of another tenant."""
    calls = [one(), one(account="other"), one(action="READ"), one(resource_type="proxy"), one(at=2000.0), one(tenant="b")]
    store.audit.add(calls)
    for wanted, count in (
        (Wanted(["acme"]), 5),
        (Wanted(["acme", "b"]), 6),
        (Wanted([]), 0),
        (Wanted(["acme"], account="other"), 1),
        (Wanted(["acme"], action="READ"), 1),
        (Wanted(["acme"], resource_type="proxy"), 1),
        (Wanted(["acme"], since=1000.5), 1),
        (Wanted(["acme"], until=2000.0), 4),
        (Wanted(["b"], "id", "UPDATE", "cluster", 0.0, 3000.0), 1),
    ):
        assert len(store.audit.page(wanted, 10)) == store.audit.count(wanted) == count, wanted


def test_pages(store: Store) -> None:
    """By place and beyond a number, in both directions."""
    store.audit.add([one(request=str(n)) for n in range(10)])
    wanted = Wanted(["acme"])
    assert [call.number for call in store.audit.page(wanted, 3, start=3)] == [7, 6, 5]
    assert [call.number for call in store.audit.page(wanted, 3, beyond=5)] == [4, 3, 2]
    assert [call.number for call in store.audit.page(wanted, 3, beyond=5, rising=True)] == [6, 7, 8]


def test_a_flood_drives_out_no_other_class(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each class has its own cap, and the newest of it stay."""
    monkeypatch.setattr(audits, "KEPT", {CHANGE: 40, READ: 20, NOBODY: 20})
    store.audit.add([one(kind=CHANGE, request=f"c{n}") for n in range(10)])
    for n in range(30):
        store.audit.add([one(kind=NOBODY, request=f"n{n}.{m}") for m in range(10)])
    store.audit.add([one(kind=READ, request="r")])
    left = store.audit.page(Wanted(["acme"]), 1000)
    assert sum(call.kind == CHANGE for call in left) == 10
    assert sum(call.kind == READ for call in left) == 1
    assert 20 <= sum(call.kind == NOBODY for call in left) <= 40
    assert left[1].request == "n29.9"


def test_what_is_too_large_is_cut(store: Store) -> None:
    """Texts to what a column needs, changes to a word that says where they are whole; and anything can stand in them."""
    store.audit.add([one(agent="x" * 10_000, before={"a": "x" * 100_000}, after={"a\0": "\udcff", "n": 2**80})])
    (found,) = store.audit.page(Wanted(["acme"]), 10)
    assert len(found.agent) == 256
    assert found.before is not None
    assert list(found.before) == ["_"]
    assert found.after is not None
    assert found.after["n"] == str(2**80)


def test_a_backup_holds_the_changes(store: Store, tmp_path: object) -> None:
    """Who has only looked is not in it."""
    store.audit.add([one(), one(kind=READ, action="READ"), one(kind=NOBODY, tenant="")])
    taken = backup.read(backup.written(store.backup({})))
    with closing(Store(f"sqlite:///{tmp_path}/other.db", Seams())) as other:
        other.restore(taken, force=False)
        assert [call.kind for call in other.audit.page(Wanted(["acme", ""]), 10)] == [CHANGE]
        other.audit.add([one()])
        assert other.audit.count(Wanted(["acme"])) == 2


def test_spoiled_rows_are_passed_over(place: Place) -> None:
    """Whatever stands in a column, the rest is read, and the next is written."""
    if place.backend != "sqlite":
        pytest.skip("for SQLite alone: it takes anything anywhere")
    with closing(Store(place.url, Seams())) as store:
        store.audit.add([one(request="kept"), one(request="spoiled")])
        with closing(sqlite3.connect(place.url.removeprefix("sqlite:///"))) as raw:
            columns = [row[1] for row in raw.execute("PRAGMA table_info(audit)")]
            kept = raw.execute("SELECT * FROM audit WHERE request = 'spoiled'").fetchone()
            for column in columns:
                for garbage in ("", "{", "[]", 2**63 - 1, 1e300, b"\xff\x00"):
                    try:
                        raw.execute(f'UPDATE audit SET "{column}" = ? WHERE id = ?', (garbage, kept[2]))
                    except sqlite3.IntegrityError:
                        continue
                    raw.commit()
                    requests = {call.request for call in store.audit.page(Wanted(["acme"]), 100)}
                    assert "kept" in requests
                    store.audit.add([one(request="next")])
                    raw.execute("DELETE FROM audit WHERE request <> 'kept'")
                    raw.execute(f"INSERT INTO audit VALUES ({', '.join('?' * len(kept))})", kept)
                    raw.commit()
