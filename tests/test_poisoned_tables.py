"""What somebody has put into the tables for history, notifications, tokens and hooks stops nobody: as if it were not there."""

import contextlib
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from reconciler.seams import Seams
from reconciler.store import Heard, Store, StoreError, examine
from reconciler.store.tables import (
    ATTEMPTS,
    EVENTS,
    HISTORY,
    HOOK_DELIVERIES,
    HOOK_SECRETS,
    HOOKS,
    METADATA,
    NOTICES,
    OUTCOMES,
    PROPOSALS,
    RESOURCES,
    TELLINGS,
    TOKENS,
    TOLD,
)
from tests import test_poisoned_store
from tests.notify.test_courier import World, receiver
from tests.notify.test_ways import Receiver
from tests.store.test_declarations import accept, declaration

__all__ = ["receiver"]
# What SQLite takes in any column: text, numbers as large as there are, a fraction, and bytes that are no text.
GARBAGE = ("", '{"id": 5}', 2**63 - 1, 1e300, b"\xff\x00")
# Whose values are names and keys of the installation, or are looked at elsewhere: tests/store.
ELSEWHERE = {"meta", "leases", "revisions", "orders", "blobs", "certificates", "certificate_keys"}
# tests/store/test_accounts.py, test_sessions.py, test_signatures.py, test_audit.py and test_reports.py
ELSEWHERE |= {"accounts", "roles", "passwords", "sessions", "signing_keys", "lockouts", "audit", "reports"}
ELSEWHERE |= {"signing_secrets", "signatures"}
DECLARED = [(table.name, column.name) for table in (RESOURCES, HISTORY) for column in table.columns]
HOOKED = [(table.name, column.name) for table in (HOOKS, HOOK_SECRETS, HOOK_DELIVERIES) for column in table.columns]
NOTIFIED = [
    (table.name, column.name) for table in (EVENTS, OUTCOMES, TELLINGS, TOLD, NOTICES, ATTEMPTS) for column in table.columns
]


def spoil(database: Path, table: str, column: str, garbage: object) -> None:
    # A number that is a key holds numbers alone.
    with closing(sqlite3.connect(database)) as raw, contextlib.suppress(sqlite3.IntegrityError):
        raw.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = (SELECT max(rowid) FROM {table})", (garbage,))
        raw.commit()


def test_no_table_is_forgotten() -> None:
    """Each table is spoiled in a test: a new one needs a line here or in test_poisoned_store.py."""
    there = {table for table, _ in (*test_poisoned_store.ROWS, *test_poisoned_store.CACHES, *DECLARED, *NOTIFIED)}
    assert there | ELSEWHERE | {"tokens", "proposals"} | {table for table, _ in HOOKED} == set(METADATA.tables)


@pytest.fixture(scope="module")
def declared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two revisions in it."""
    place = tmp_path_factory.mktemp("declared") / "convoy.db"
    with closing(Store(f"sqlite:///{place}", Seams())) as store:
        accept(store, declaration("r1", {"a": {"v": 1}, "b": {"v": 1}}))
        accept(store, declaration("r2", {"a": {"v": 2}, "b": {"v": 2}}))
    return place


@pytest.mark.slow
@pytest.mark.parametrize(("table", "column"), DECLARED)
def test_what_is_declared_is_kept_on(declared: Path, tmp_path: Path, table: str, column: str) -> None:
    """Whatever stands in a row, the next revisions are recorded and their history told."""
    for number, garbage in enumerate(GARBAGE):
        place = tmp_path / f"{number}.db"
        shutil.copy(declared, place)
        spoil(place, table, column, garbage)
        with closing(Store(f"sqlite:///{place}", Seams())) as store:
            accept(store, declaration("r3", {"a": {"v": 3}, "b": {"v": 3}, "c": {"v": 3}}))
            accept(store, declaration("r4", {"a": {"v": 4}, "b": {"v": 4}}))
            there = {ref: one.document for ref, one in store.declared().items()}
            assert there == {"Host/a": {"v": 4}, "Host/b": {"v": 4}}, garbage
            assert store.history("Host/a")[0].after == {"v": 4}, garbage
            assert store.history(None)


@pytest.fixture(scope="module")
def notified(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which something was told, and something is under way to nobody who listens."""
    place = tmp_path_factory.mktemp("notified")
    world = World(place)
    with closing(world.store):
        world.declare(one="http://127.0.0.1:1/")
        with closing(world.courier()) as courier:
            courier.turn()
            world.store.event("status.failed", "Container/a", "first")
            world.store.add_outcomes([{"ref": "Container/a", "status": "done", "at": 1000.0, "seconds": 1.0}])
            world.later(courier)
            world.store.event("status.failed", "Container/b", "not read yet")
        assert world.store.notices().waiting()
    return place / "convoy.db"


@pytest.mark.slow
@pytest.mark.parametrize(("table", "column"), NOTIFIED)
def test_who_is_told_is_told_on(notified: Path, tmp_path: Path, receiver: str, table: str, column: str) -> None:
    """Whatever stands in a row, what happens afterwards arrives."""
    for number, garbage in enumerate(GARBAGE):
        (place := tmp_path / str(number)).mkdir()
        shutil.copy(notified, place)
        spoil(place / "convoy.db", table, column, garbage)
        world = World(place)
        Receiver.got.clear()
        with closing(world.store), closing(world.courier()) as courier:
            world.clock.time_s += 1000.0
            world.declare(one=f"{receiver}/x")
            for life in range(3):
                world.store.event("status.failed", f"Container/new-{life}", "news")
                world.later(courier, 1000.0)
                courier.turn()
        assert b"Container/new-2" in b"".join(body for _, _, body in Receiver.got), garbage


@pytest.mark.parametrize("column", [column.name for column in TOKENS.columns])
def test_a_token_that_somebody_has_spoiled_opens_nothing_and_breaks_nothing(tmp_path: Path, column: str) -> None:
    """It is unknown, or still good where what was spoiled says nothing of that; lists and new tokens go on."""
    for number, garbage in enumerate(GARBAGE):
        place = tmp_path / f"{number}.db"
        with closing(Store(f"sqlite:///{place}", Seams())) as store:
            _, shown = store.tokens.create("ci", ["plan"], 60.0)
            spoil(place, "tokens", column, garbage)
            found = store.tokens.shown(shown)
            assert found is None or column not in ("id", "hash"), (column, garbage)
            assert found is None or found.scopes <= {"plan"} or column == "scopes"
            store.tokens.every()
            try:
                _, other = store.tokens.create("other", ["read"], None)
            except StoreError:
                continue
            assert store.tokens.shown(other) is not None


@pytest.mark.parametrize("column", [column.name for column in PROPOSALS.columns])
def test_a_proposal_that_somebody_has_spoiled_keeps_no_other_waiting(tmp_path: Path, column: str) -> None:
    """Whatever stands in it, those before and after it are taken, decided, and found again under their key."""
    for number, garbage in enumerate(GARBAGE):
        place = tmp_path / f"{number}.db"
        with closing(Store(f"sqlite:///{place}", Seams())) as store:
            first = store.proposals.add("ada", "", "d1", {"n": 1})
            store.proposals.add("ada", "k2", "d2", {"n": 2})
            spoil(place, "proposals", column, garbage)
            third = store.proposals.add("ada", "k3", "d3", {"n": 3})
            waiting = {one.id: one for one in store.proposals.waiting(100)}
            assert {first.id, third.id} <= waiting.keys(), (column, garbage)
            store.proposals.decide({id: ("committed", "r1", {}) for id in waiting if isinstance(id, str)})
            decided = store.proposals.decided([first.id, third.id])
            assert {one.revision for one in decided.values()} == {"r1"}, (column, garbage)
            assert store.proposals.add("ada", "k3", "d3", {"n": 3}).id == third.id


@pytest.mark.parametrize(("table", "column"), HOOKED)
def test_a_hook_that_somebody_has_spoiled_hears_nobody_and_breaks_nothing(tmp_path: Path, table: str, column: str) -> None:
    """It is not there, or heard as before where what was spoiled says nothing of that; lists and new hooks go on."""
    for number, garbage in enumerate((*GARBAGE, '{"woken": 1e300}', "[[1, 2, 3, 4]]", '[[1e999, "", "", ""]]')):
        place = tmp_path / f"{number}.db"
        with closing(Store(f"sqlite:///{place}", Seams())) as store:
            hook, last, secret = store.hooks.create("fleet", "github")
            store.hooks.put_heard({hook.id: [Heard(1.0, "push", "woken")]})
            spoil(place, table, column, garbage)
            found = store.hooks.at("github", last)
            trusted = {("hooks", "id"), ("hooks", "hash"), ("hooks", "provider"), ("hook_secrets", "id")}
            assert found is None or (table, column) not in trusted, garbage
            assert found is None or found[1] in (secret.encode(), garbage)
            store.hooks.every(), store.hooks.heard(), store.hooks.counts()
            store.hooks.put_heard({hook.id: [Heard(2.0, "push", "woken")]})
            store.hooks.put_heard({hook.id: [Heard(3.0, "push", "woken")]})
            assert table == "hooks" or store.hooks.counts()["fleet"]["woken"] >= 2
            other, at, _ = store.hooks.create("other", "gitea")
            assert store.hooks.at("gitea", at) is not None
            assert other in examine(f"sqlite:///{place}").hooks


@pytest.mark.parametrize("column", [column.name for column in EVENTS.columns])
def test_who_follows_reads_words_whatever_stands_in_an_event(tmp_path: Path, column: str) -> None:
    """`convoy watch` and the like show what they are given: texts and a time."""
    for number, garbage in enumerate(GARBAGE):
        place = tmp_path / f"{number}.db"
        with closing(Store(f"sqlite:///{place}", Seams())) as store:
            store.event("status.failed", "Container/a", "it ended")
            spoil(place, "events", column, garbage)
            for one in store.following().look().events:
                assert {type(text) for text in (one.kind, one.ref, one.message)} == {str}, garbage
                assert isinstance(one.at, float), garbage
