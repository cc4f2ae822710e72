"""What is declared is known by SQL, with its history: written for what changed alone, and mended where it was spoiled."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from reconciler.core.declared import Declaration, Maker, Version, version_id
from reconciler.core.delivery import Behind, Delivery, Standing
from reconciler.core.envelope import digest_of
from reconciler.core.kinds.host import Host
from reconciler.core.model import Ref, Resource, Source
from reconciler.seams import Seams
from reconciler.store import Store, StoreError, declarations
from reconciler.store import backup as backups
from reconciler.store.database import Database
from tests.store.conftest import Clock, Place, again
from tests.xds.snapshot import raw, snapshot

SPEC = Host(driver="process")


def resource(name: str, value: Mapping[str, Any], file: str = "", line: int = 1) -> Resource:
    return Resource(
        Ref("Host", name), f"uid-{name}", SPEC, Source(file or f"{name}.yaml", line, 0, 9, "b"), digest=digest_of(value)
    )


def declaration(revision: str, values: Mapping[str, Mapping[str, Any]], **files: str) -> Declaration:
    """Of Hosts by name; `files` for those that stand elsewhere than in a file of their own."""
    resources = {Ref("Host", name): resource(name, value, files.get(name, "")) for name, value in values.items()}
    return Declaration(
        revision,
        resources,
        lambda ref: values[ref.name],
        lambda since, asked: {file: Maker(f"{revision}-of-{file}", f"ada since {since}", f"made {revision}") for file in asked},
    )


def accept(store: Store, given: Declaration) -> None:
    store.record_revision(given.revision, "good", (), (), (), given)


def told(store: Store, ref: str | None = None) -> list[tuple[Any, ...]]:
    return [(one.ref, one.n, one.change, one.before, one.after) for one in store.history(ref)]


def test_every_change_is_kept_with_what_it_was_and_became(store: Store, clock: Clock) -> None:
    """Created, changed, moved, deleted and created again: numbered by resource, with who, when, and both documents."""
    accept(store, declaration("r1", {"a": {"v": 1}, "b": {"v": 1}}))
    clock.time_s = 2000.0
    accept(store, declaration("r2", {"a": {"v": 2}, "b": {"v": 1}}, b="elsewhere.yaml"))
    accept(store, declaration("r3", {"b": {"v": 1}}, b="elsewhere.yaml"))
    accept(store, declaration("r4", {"a": {"v": 3}, "b": {"v": 1}}, b="elsewhere.yaml"))
    assert told(store) == [
        ("Host/a", 4, "created", None, {"v": 3}),
        ("Host/a", 3, "deleted", {"v": 2}, None),
        ("Host/b", 2, "moved", {"v": 1}, {"v": 1}),
        ("Host/a", 2, "changed", {"v": 1}, {"v": 2}),
        ("Host/b", 1, "created", None, {"v": 1}),
        ("Host/a", 1, "created", None, {"v": 1}),
    ]
    newest, *_, changed, _, first = store.history()
    assert (changed.revision, changed.accepted, changed.author, changed.at) == ("r2-of-a.yaml", "r2", "ada since r1", 2000.0)
    assert (first.author, first.at, first.digest_before) == ("ada since ", 1000.0, "")
    assert [one.n for one in store.history("Host/a", before=newest.number, most=2)] == [3, 2]
    assert store.change_counts(["r1", "r2"]) == {("r1", 1000.0): {"created": 2}, ("r2", 2000.0): {"changed": 1, "moved": 1}}
    assert {ref: (one.document, one.revision, one.n, one.file) for ref, one in store.declared().items()} == {
        "Host/a": ({"v": 3}, "r4-of-a.yaml", 4, "a.yaml"),
        "Host/b": ({"v": 1}, "r2-of-elsewhere.yaml", 2, "elsewhere.yaml"),
    }
    assert list(store.declared(["Host/b", "Host/none"])) == ["Host/b"]


def test_every_version_is_found_by_its_id(store: Store, place: Place, clock: Clock) -> None:
    """Id ⇒ what was declared, which change of it, and by which revision; also after what only moved, and after being gone."""
    accept(store, declaration("r1", {"a": {"v": 1}, "b": {"v": 1}}))
    clock.time_s = 2000.0
    accept(store, declaration("r2", {"a": {"v": 2}, "b": {"v": 1}}))
    accept(store, declaration("r3", {"b": {"v": 1}}))
    first = store.version(version_id("uid-a", "r1"))
    assert first == Version(version_id("uid-a", "r1"), "Host/a", 1, "r1", 1000.0, "ada since ", "made r1")
    second = store.version(version_id("uid-a", "r2"))
    assert second is not None
    assert (second.n, second.commit, second.at) == (2, "r2", 2000.0)
    # That it is gone is no version of it.
    assert store.version(version_id("uid-a", "r3")) is None
    assert store.version("") is None
    assert [one.version for one in store.history("Host/a")][1:] == [second.id, first.id]
    assert (store.declared()["Host/b"].version, store.declared()["Host/b"].message) == (version_id("uid-b", "r1"), "made r1")
    # Where the change itself is not kept any more.
    place.rows("DELETE FROM history WHERE ref = 'Host/b'")
    kept = store.version(version_id("uid-b", "r1"))
    assert kept is not None
    assert (kept.ref, kept.n, kept.commit) == ("Host/b", 1, "r1-of-b.yaml")


def test_what_a_revision_declared_is_known_later(store: Store, clock: Clock) -> None:
    """By the number of the change, and by any revision that was in force; each with its documents."""
    for number in range(1, 5):
        clock.time_s = 1000.0 * number
        accept(store, declaration(f"r{number}", {"a": {"v": number // 2}, "b": {"v": 1}}))
    assert [(one.n, one.before, one.after) for n in (1, 2, 3) if (one := store.nth("Host/a", n))] == [
        (1, None, {"v": 0}),
        (2, {"v": 0}, {"v": 1}),
        (3, {"v": 1}, {"v": 2}),
    ]
    assert store.nth("Host/a", 4) is None
    found = {number: store.declared_by("Host/a", f"r{number}") for number in range(1, 6)}
    assert [one and (one.n, one.after) for one in found.values()] == [
        (1, {"v": 0}),
        (2, {"v": 1}),
        (2, {"v": 1}),
        (3, {"v": 2}),
        None,
    ]


def test_nothing_new_writes_nothing(store: Store, place: Place, clock: Clock) -> None:
    """The same content writes no row, in this life and the next; lines that moved are not news."""
    given = declaration("r1", {"a": {"v": 1}})
    accept(store, given)
    written = store.writes
    accept(store, given)
    store.declare(given)
    other = again(place, clock)
    accept(other, declaration("r1", {"a": {"v": 1}}))
    other.declare(given)
    assert (store.writes, other.writes) == (written, 0)
    lower = Declaration("r2", {Ref("Host", "a"): resource("a", {"v": 1}, line=7)}, given.document, given.makers)
    accept(other, lower)
    assert [(one.line, one.revision, one.n) for one in other.declared().values()] == [(7, "r1-of-a.yaml", 1)]
    assert len(other.history()) == 1
    other.close()


def test_an_upgrade_fills_what_is_declared(store: Store) -> None:
    """A revision that was accepted before these tables were there is known when it is in force again."""
    store.record_revision("r1", "good", ())
    accept(store, declaration("r1", {"a": {"v": 1}}))
    assert [(one.ref, one.author) for one in store.history()] == [("Host/a", "ada since ")]
    assert len(store.declared()) == 1


def test_a_revision_that_is_not_recorded_declares_nothing(store: Store, clock: Clock) -> None:
    """With the revision or not at all; and the next try writes all of it."""
    accept(store, declaration("r1", {"a": {"v": 1}}))
    clock.failing = "store.commit"
    with pytest.raises(StoreError):
        accept(store, declaration("r2", {"a": {"v": 2}}))
    clock.failing = ""
    assert store.last_good() == "r1"
    assert store.declared()["Host/a"].document == {"v": 1}
    accept(store, declaration("r2", {"a": {"v": 2}}))
    assert [one.n for one in store.history("Host/a")] == [2, 1]


def test_the_history_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest of each resource and of all are kept, and so many bytes; numbers go on."""
    for name, value in {"MOST_OF_ONE": 3, "MOST": 8, "COUNTED_EVERY": 4, "MOST_BYTES": 10_000, "LARGEST_KEPT": 5_000}.items():
        monkeypatch.setattr(declarations, name, value)
    for number in range(6):
        accept(store, declaration(f"r{number}", {"a": {"v": number}}))
    assert [one.n for one in store.history("Host/a")] == [6, 5, 4]
    many = {f"h{number}": {"v": 1} for number in range(7)}
    accept(store, declaration("many", many))
    assert len(store.history()) == 8
    assert [one.n for one in store.history("Host/a")] == [7]
    monkeypatch.setattr(declarations, "MOST_OF_ONE", 100)
    monkeypatch.setattr(declarations, "MOST", 100)
    monkeypatch.setattr(declarations, "DROPPED_AT_ONCE", 5)
    for number in range(80):
        accept(store, declaration(f"large{number}", {"a": {"v": str(number), "text": "x" * 2_000}}))
    kept = store.history()
    assert sum(len(str(one.before)) for one in kept) < 20_000
    assert [one.n for one in kept] == list(range(kept[0].n, kept[0].n - len(kept), -1))
    accept(store, declaration("huge", {"a": {"text": "x" * 6_000}}))
    accept(store, declaration("small", {"a": {"text": "x"}}))
    small, huge = store.history(most=2)
    assert (small.before, small.after, huge.after) == (None, {"text": "x"}, None)
    assert small.digest_before == huge.digest


def test_a_backup_takes_the_history_and_not_what_git_has(store: Store, place: Place, clock: Clock) -> None:
    """What is declared is read again without anything having happened."""
    given = declaration("r1", {"a": {"v": 1}, "b": {"v": 1}})
    accept(store, given)
    accept(store, declaration("r2", {"a": {"v": 2}, "b": {"v": 1}}))
    backup = backups.read(backups.written(store.backup({})))
    store.restore(backup, force=True)
    assert store.declared() == {}
    clock.time_s = 5000.0
    store.declare(declaration("r2", {"a": {"v": 2}, "b": {"v": 1}}))
    assert [(one.ref, one.n) for one in store.history()] == [("Host/a", 2), ("Host/b", 1), ("Host/a", 1)]
    assert [(one.n, one.revision, one.at) for one in store.declared().values()] == [
        (2, "r2-of-a.yaml", 1000.0),
        (1, "r1-of-b.yaml", 1000.0),
    ]


COLUMNS = ("ref", "digest", "document", "file", "line", "n", "at", "revision", "author")


@pytest.mark.parametrize("table", ["resources", "history"])
@pytest.mark.parametrize("garbage", ["", "not JSON \u202e", b"\xff\x00", -5, 1e300, "9" * 400, "[]", "Host/a/b/c/d"], ids=repr)
def test_a_spoiled_row_stops_nothing(tmp_path: Any, table: str, garbage: Any) -> None:
    """Whatever stands in any column, the next revision is accepted, and what is read makes sense."""
    for column in COLUMNS:
        if table == "history" and column == "document":
            column = "document_before"
        path = tmp_path / f"{column}.db"
        with closing(Store(f"sqlite:///{path}", Clock())) as store:
            accept(store, declaration("r1", {"a": {"v": 1}}))
            accept(store, declaration("r2", {"a": {"v": 2}, "b": {"v": 1}}))
        with closing(sqlite3.connect(path)) as raw:
            raw.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = 1", (garbage,))
            raw.commit()
        with closing(Store(f"sqlite:///{path}", Clock())) as store:
            for _ in range(2):
                store.history()
                store.declared()
                store.change_counts(["r1"])
            accept(store, declaration("r3", {"a": {"v": 3}, "b": {"v": 1}}))
            assert store.last_good() == "r3"
            assert store.declared()["Host/a"].document == {"v": 3}
            assert store.history("Host/a")[0].after == {"v": 3}


def test_ten_thousand_are_one_batch(place: Place) -> None:
    """A first acceptance is one transaction; a change of one among them asks and writes about that one."""
    many = {f"h{number}": {"v": number} for number in range(10_000)}
    asked: list[set[str]] = []
    with closing(Store(place.url, Seams())) as store:
        accept(store, declaration("r1", many))
        written = store.writes
        first = declaration("r1", many)
        accept(store, first)
        resources = {**first.resources, Ref("Host", "h7"): resource("h7", {"v": "new"})}

        def makers(since: str, files: Any) -> dict[str, Maker]:
            asked.append(set(files))
            return {file: Maker("r2", "ada") for file in files}

        accept(store, Declaration("r2", resources, lambda ref: {"v": "new"}, makers))
        assert store.writes == written + 1
        assert (asked, [one.ref for one in store.history(most=1)]) == ([{"h7.yaml"}], ["Host/h7"])
        assert len(store.declared()) == 10_000


def test_the_tables_are_as_migrated(place: Place) -> None:
    """What is asked by ref and by revision is found by an index."""
    Database(place.url, Seams()).close()
    if place.backend == "sqlite":
        plan = str(place.rows("EXPLAIN QUERY PLAN SELECT * FROM history WHERE ref = 'a' AND n <= 3"))
        assert "history_of_one" in plan
        plan = str(place.rows("EXPLAIN QUERY PLAN SELECT * FROM history WHERE version = 'a' AND digest <> '' ORDER BY number"))
        assert "history_of_version" in plan


def test_where_proxies_stand_is_kept(store: Store, place: Place, clock: Clock) -> None:
    """With the contents, which are there once for all; what is the same is not written again, what is dropped is gone."""
    told = snapshot([raw("cds", "a", "1"), raw("cds", "b", "1")])
    here = Delivery(told, told, True, False, "1.40.0", (Behind("cds", "a", "old"),), 3, 1000.0)
    store.put_deliveries({"one": here, "two": replace(here, told=None)})
    written = store.writes
    store.put_deliveries({"one": replace(here, at=2000.0)})
    assert store.writes == written
    other = again(place, clock)
    assert (other.delivery("one"), other.delivery("two"), other.delivery("three")) == (here, replace(here, told=None), None)
    assert place.counted("blobs") == 2
    standings = other.standings(["one", "two", "three"])
    assert standings == {
        "one": Standing(True, False, True, "1.40.0", 1000.0),
        "two": Standing(True, False, False, "1.40.0", 1000.0),
    }
    store.put_deliveries({"one": None})
    assert (other.delivery("one"), store.delivered()) == (None, {"two"})
    other.close()
