"""A poisoned row, a tampered cache and a store that fails: a restart does not loop, nothing is believed that does not fit."""

import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

from reconciler import loop as loop_module
from reconciler.loop import View
from reconciler.seams import Seams
from reconciler.store import Damaged, Store
from reconciler.wanted import Accepted

from .test_loop import World, fleet, until
from .test_refusals import TOLD, refusal
from .test_refusals import World as Proxies
from .xds.snapshot import raw, snapshot

# When the next round would come by itself, where that would be a mistake: far beyond what a busy machine takes for one.
TICK_S = 100.0
GARBAGE = ("", "null", "[]", "{}", "not JSON \u202e", '{"fleet": 5}', "1e999", '"a string"')
# What Convoy keeps of its own making and reads again: table and column. Keys and the lease are another matter: without them
# nobody is who he was, and that has to be told (tests/store).
ROWS = (("status", "body"), ("state", "body"), ("plans", "body"), ("outcomes", "body"), ("events", "message"))
CACHES = (
    ("guards", "body"),
    ("deliveries", "body"),
    ("verdicts", "body"),
    ("sets", "body"),
    ("goods", "sets"),
    ("refused", "message"),
)


def settled(world: World, version: str) -> None:
    world.wish.accepted = Accepted(fleet(version, {"a": version, "b": version}))
    with world.convoy() as (loop, _):
        until(loop, lambda view: view.converged)
    assert world.running() == [("a", version), ("b", version)]


def spoil(database: Path, table: str, column: str, garbage: str) -> int:
    with closing(sqlite3.connect(database)) as raw:
        count = raw.execute(f"UPDATE {table} SET {column} = ?", (garbage,)).rowcount
        raw.commit()
        return count


@pytest.mark.slow
@pytest.mark.parametrize(("table", "column"), [*ROWS, *CACHES], ids=lambda word: word)
def test_a_restart_over_poisoned_rows(tmp_path: Path, table: str, column: str) -> None:
    """Whatever stands in a row that Convoy wrote itself, the next life converges on the next revision and mends the row."""
    for number, garbage in enumerate(GARBAGE):
        place = tmp_path / str(number)
        place.mkdir()
        world = World(place)
        settled(world, "v1")
        spoil(place / "convoy.db", table, column, garbage)
        settled(world, "v2")


@pytest.mark.parametrize("table", ["status", "state", "guards"])
def test_a_poisoned_row_is_as_if_it_were_not_there(tmp_path: Path, table: str) -> None:
    """Whoever looks gets rows that are rows, and never a traceback."""
    world = World(tmp_path)
    settled(world, "v1")
    for garbage in GARBAGE:
        spoil(tmp_path / "convoy.db", table, "body", garbage)
        with world.convoy() as (_, store):
            assert all(isinstance(row, dict) for row in (*store.status().values(), *store.guards().values()))
            assert isinstance(store.state() or {}, dict)


class Failing(Seams):
    """Writing in the store fails so many times from now on."""

    def __init__(self) -> None:
        self.left = 0
        self.failed = 0

    def point(self, name: str, *about: object) -> None:
        if name == "store.write" and self.left > 0:
            self.left -= 1
            self.failed += 1
            raise OSError(28, "No space left on device")


def test_status_that_cannot_be_written_stalls_nothing(tmp_path: Path) -> None:
    """However often a status fails to be written, what runs goes on, and as soon as it can be written it is right."""
    world, seams = World(tmp_path), Failing()
    world.wish.accepted = Accepted(fleet("r1", {"a": "v1"}))
    with world.convoy(seams=seams) as (loop, store):
        until(loop, lambda view: view.converged)
        seams.left = 5
        world.wish.accepted = Accepted(fleet("r2", {"a": "v1", "b": "v1"}))
        until(loop, lambda view: view.converged and seams.left == 0 and view.revision == "r2")
        assert seams.failed == 5
        assert store.status()["Container/b"]["sync"] == "synced"
        assert (store.state() or {})["revision"] == "r2"
    assert world.running() == [("a", "v1"), ("b", "v1")]


def test_more_that_hangs_than_there_are_workers(tmp_path: Path) -> None:
    """One host whose every step hangs holds up its own steps alone, and goes on where it was when it comes back."""
    world = World(tmp_path)
    stuck, freed = threading.Event(), threading.Event()
    waiting: list[str] = []

    def refuse(action: object) -> str:
        if getattr(action, "host", "") == "h1" and not freed.is_set():
            waiting.append(str(action))
            stuck.set()
            freed.wait()
        return ""

    world.vices.refuse = refuse
    names = {f"c{n}": "v1" for n in range(24)}
    world.wish.accepted = Accepted(fleet("r1", names))
    with world.convoy() as (loop, _):
        try:
            until(loop, lambda view: stuck.is_set() and bool(world.machines["h2"].things) and _quiet(view, "h2"))
            assert not world.machines["h1"].things
        finally:
            freed.set()
        until(loop, lambda view: view.converged)
    assert world.running() == sorted(names.items())


def _quiet(view: View, host: str) -> bool:
    return view.plan is not None and not [one for one in view.plan.actions if one.host == host]


@pytest.mark.parametrize("point", ["driver.observe", "store.read"])
def test_what_happens_during_a_round_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    """News in the middle of a round bring another at once: nobody waits for the next tick of the clock."""
    monkeypatch.setattr(loop_module, "TICK_S", TICK_S)
    world = World(tmp_path)
    world.wish.accepted = Accepted(fleet("r1", {"a": "v1"}))
    armed: list[Callable[[], None]] = []

    class During(Seams):
        def point(self, name: str, *about: object) -> None:
            # Two hosts may come here at once.
            if name == point:
                with suppress(IndexError):
                    armed.pop()()

    with world.convoy(seams=During()) as (loop, _):
        until(loop, lambda view: view.converged)

        def news() -> None:
            world.wish.accepted = Accepted(fleet("r2", {"a": "v2"}))
            loop._wake.set()

        armed.append(news)
        for machine in world.machines.values():
            machine.ring()
        loop._wake.set()
        begun = time.monotonic()
        loop.run(lambda view: view.revision == "r2" or time.monotonic() - begun >= TICK_S, threading.Event())
        assert not armed
        assert loop.view.revision == "r2"
        assert time.monotonic() - begun < TICK_S


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE blobs SET body = CAST('evil' AS BLOB)",
        "UPDATE sets SET body = replace(body, 'fleet.yaml', 'other.yaml')",
        "UPDATE sets SET body = '[]'",
        "UPDATE goods SET sets = 'nonsense'",
        "DELETE FROM blobs",
    ],
)
def test_a_tampered_last_good_is_not_believed(tmp_path: Path, change: str) -> None:
    """What is sent to proxies out of the store is, byte by byte, what was put there; and its loss stalls no round."""
    with closing(Store(f"sqlite:///{tmp_path / 'convoy.db'}", Seams())) as store:
        store.put_goods({"a": TOLD, "b": snapshot([raw("cds", "c", "c1")])})
        assert store.good("a") == TOLD
        with closing(sqlite3.connect(tmp_path / "convoy.db")) as other:
            assert other.execute(change).rowcount
            other.commit()
        with pytest.raises(Damaged, match="has lost part of what a last ran"):
            store.good("a")
        proxies = Proxies(store)
        proxies.connect("a", "1.41", nacks=(refusal("1.41"),))
        for _ in range(2):
            assert proxies.told("a") == {"good"}
