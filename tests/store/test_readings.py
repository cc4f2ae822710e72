"""Readings are kept, rolled up, dropped and lost on their own: the same on both databases, and never in the store's way."""

import contextlib
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, Engine

from reconciler.core.readings import STEPS, Reading, joined, rolled
from reconciler.store import Store, StoreError
from reconciler.store import sqlite as sqlite_dialect
from reconciler.store.readings import Readings
from tests.postgres import Place

from .conftest import Clock

# On a boundary of every resolution.
DAY = 19_000 * 86400
KEEP_S = {60: 3600, 300: 7200, 3600: 86400, 86400: 10 * 86400}


def minute(n: int) -> Reading:
    return Reading(60 * n, n, 60_000, n, 1, {n % 50: 60 * n} if n else {})


@pytest.fixture
def readings(place: Place, clock: Clock) -> Iterator[Readings]:
    with contextlib.closing(Readings(place.url, clock)) as opened:
        yield opened


def file_of(place: Place) -> Path:
    return Path(place.url.removeprefix("sqlite:///")).with_name("convoy-readings.db")


def test_before_anything_is_written_there_is_nothing(readings: Readings, place: Place) -> None:
    """No readings, no error, and no file."""
    assert readings.read("Proxy/edge", 60, 0, 10**9) == {}
    assert readings.latest(["Proxy/edge"], 0) == {}
    assert readings.system() == {}
    assert place.backend != "sqlite" or not file_of(place).exists()


def test_every_resolution_is_what_the_minutes_add_up_to(readings: Readings) -> None:
    """Minute by minute, with a clock that jumps ahead, back and over a day's end, and a Convoy that is away: at every moment
    every resolution says what adding up all minutes from scratch says, also of what is not over yet."""
    dice = random.Random(1)
    told: dict[tuple[str, int], Reading] = {}
    now = DAY - 20 * 60
    for turn in range(45):
        at = now - 60
        new = {(whose, at): minute(dice.randrange(9)) for whose in ("Proxy/a", "Proxy/b") if dice.random() < 0.8}
        readings.write(new, {"turn": turn}, now)
        for key, one in new.items():
            told[key] = joined((told[key], one)) if key in told else one
        now += dice.choice([60] * 12 + [600, -180, 3720, -4020])
        if turn % 15 == 14:
            for whose in ("Proxy/a", "Proxy/b"):
                rows = [("", when, one) for (name, when), one in told.items() if name == whose]
                for step in STEPS.values():
                    scratch = {when: one for (_, when), one in rolled(rows, step).items()}
                    assert readings.read(whose, step, 0, DAY + 86400) == scratch, (turn, step)
    assert readings.system() == {"turn": 44}


def test_what_is_rolled_up_stays_when_the_minutes_go(readings: Readings, place: Place) -> None:
    """Each resolution is kept as long as Settings say; what is not rolled up yet is not dropped; names without rows go too."""
    for n in range(26 * 60):
        if n % 61 == 0:
            readings.write({("Proxy/a", DAY + 60 * n): minute(1)}, {}, DAY + 60 * n + 60)
    now = DAY + 26 * 3600
    assert readings.purge(KEEP_S, 1_000_000, now) > 0
    assert min(readings.read("Proxy/a", 60, 0, now)) >= now - KEEP_S[60]
    assert min(readings.read("Proxy/a", 300, 0, now)) >= now - KEEP_S[300]
    assert len(readings.read("Proxy/a", 3600, 0, now)) == 24
    assert readings.read("Proxy/a", 86400, 0, DAY + 86400)[DAY].requests == 60 * len(range(0, 24 * 60, 61))
    # And all of it when the time has come.
    readings.write({}, {}, now + 40 * 86400)
    readings.purge(KEEP_S, 1_000_000, now + 40 * 86400)
    assert readings.read("Proxy/a", 86400, 0, now) == {}
    if place.backend == "sqlite":
        with contextlib.closing(Readings(place.url, Clock())), create_engine(f"sqlite:///{file_of(place)}").connect() as raw:
            assert raw.exec_driver_sql("SELECT count(*) FROM readings_subjects").scalar_one() == 0


def test_there_are_never_more_rows_than_settings_say(readings: Readings) -> None:
    """The oldest of each resolution go first, and not before they are rolled up."""
    every = [f"Proxy/p{n}" for n in range(40)]
    for n in range(30):
        readings.write({(whose, DAY + 60 * n): minute(1) for whose in every}, {}, DAY + 60 * n + 60)
    readings.purge(KEEP_S, 1000, DAY + 1800)
    left = [at for whose in every for at in readings.read(whose, 60, 0, DAY + 1800)]
    assert len(left) <= 400
    assert min(left) == DAY + 1800 - 60 * 10
    # Five minutes at a time they are all still there.
    assert sum(one.requests for one in readings.read("Proxy/p3", 300, 0, DAY + 1800).values()) == 60 * 30
    readings.purge(KEEP_S, 0, DAY + 1800)
    assert readings.read("Proxy/p3", 3600, 0, DAY + 1800)[DAY].requests > 0


def test_what_a_clock_said_that_was_ahead_is_dropped(readings: Readings) -> None:
    readings.write({("Proxy/a", DAY + 9 * 86400): minute(5)}, {}, DAY + 9 * 86400 + 60)
    readings.write({("Proxy/a", DAY): minute(1)}, {}, DAY + 60)
    readings.purge(KEEP_S, 1_000_000, DAY + 60)
    assert readings.read("Proxy/a", 60, 0, DAY + 10 * 86400) == {DAY: minute(1)}


def test_the_latest_are_the_last_minute_of_each(readings: Readings) -> None:
    """Of many at once; of who has none lately, nothing."""
    every = [f"Proxy/p{n}" for n in range(1200)]
    readings.write({(whose, DAY): minute(1) for whose in every}, {}, DAY + 60)
    readings.write({(whose, DAY + 60): minute(2) for whose in every[:600]}, {}, DAY + 120)
    found = readings.latest([*every, "Proxy/none"], DAY)
    assert len(found) == 1200
    assert found["Proxy/p5"] == (DAY + 60, minute(2))
    assert found["Proxy/p1100"] == (DAY, minute(1))
    assert readings.latest(every, DAY + 60).keys() == set(every[:600])


def test_two_who_write_the_same_minute_add_up(place: Place, clock: Clock) -> None:
    """A Convoy that takes over goes on where the other was."""
    with contextlib.closing(Readings(place.url, clock)) as one, contextlib.closing(Readings(place.url, clock)) as other:
        one.write({("Proxy/a", DAY): minute(1)}, {}, DAY + 60)
        other.write({("Proxy/b", DAY): minute(3), ("Proxy/a", DAY): minute(2)}, {}, DAY + 60)
        one.write({("Proxy/b", DAY): minute(1)}, {}, DAY + 60)
        assert one.read("Proxy/a", 60, 0, DAY + 60) == {DAY: joined((minute(1), minute(2)))}
        assert one.read("Proxy/b", 60, 0, DAY + 60) == {DAY: joined((minute(3), minute(1)))}


@pytest.mark.parametrize("spoil", ["DROP TABLE readings", "ALTER TABLE readings RENAME COLUMN ms TO seconds"])
def test_tables_that_are_not_ours_are_made_anew(readings: Readings, place: Place, spoil: str) -> None:
    """Whatever somebody made of them: one turn fails, the next begins anew."""
    readings.write({("Proxy/a", DAY): minute(1)}, {}, DAY + 60)
    url = f"sqlite:///{file_of(place)}" if place.backend == "sqlite" else place.url
    engine = create_engine(url)
    with engine.begin() as raw:
        raw.exec_driver_sql(spoil)
    engine.dispose()
    with contextlib.suppress(StoreError):
        readings.write({("Proxy/a", DAY): minute(1)}, {}, DAY + 60)
    readings.write({("Proxy/a", DAY): minute(2)}, {}, DAY + 60)
    assert readings.read("Proxy/a", 60, 0, DAY + 60) == {DAY: minute(2)}


def test_a_spoiled_row_is_a_gap(readings: Readings, place: Place) -> None:
    """Until the same minute is written again: then that is what there is."""
    readings.write({("Proxy/a", DAY): minute(1), ("Proxy/a", DAY + 60): minute(2)}, {}, DAY + 120)
    url = f"sqlite:///{file_of(place)}" if place.backend == "sqlite" else place.url
    engine = create_engine(url)
    with engine.begin() as raw:
        blob = "x'ff'" if place.backend == "sqlite" else r"'\xff'"
        raw.exec_driver_sql(f"UPDATE readings SET latency = {blob} WHERE at = {DAY}")
    engine.dispose()
    assert readings.read("Proxy/a", 60, 0, DAY + 120) == {DAY + 60: minute(2)}
    readings.write({("Proxy/a", DAY): minute(3)}, {}, DAY + 120)
    assert readings.read("Proxy/a", 60, 0, DAY + 120) == {DAY: minute(3), DAY + 60: minute(2)}


@pytest.mark.parametrize("damage", ["text", "short", "middle"])
def test_a_file_that_is_broken_is_started_anew(tmp_path: Path, clock: Clock, damage: str) -> None:
    """Whoever reads is told or finds nothing; whoever writes begins anew; the store beside it does not notice."""
    place = Place(f"sqlite:///{tmp_path / 'convoy.db'}")
    file = file_of(place)
    with contextlib.closing(Store(place.url, clock)) as store:
        rows = {(f"Proxy/p{n}", DAY): minute(n % 40) for n in range(500)}
        store.readings.write(rows, {}, DAY + 60)
        for end in ("-wal", "-shm"):
            assert not Path(f"{file}{end}").exists()
        if damage == "text":
            file.write_bytes(b"this is no database " * 500)
        elif damage == "short":
            file.write_bytes(file.read_bytes()[: 3 * 4096])
        else:
            data = bytearray(file.read_bytes())
            data[8192 : len(data) - 4096] = b"\xaa" * (len(data) - 12288)
            file.write_bytes(data)
        for _ in range(2):
            with contextlib.suppress(StoreError):
                store.readings.latest(["Proxy/p1"], 0)
            with contextlib.suppress(StoreError):
                store.readings.write(rows, {}, DAY + 60)
        assert store.readings.read("Proxy/p7", 60, 0, DAY + 60)[DAY].latency == minute(7).latency
        assert not file.stat().st_mode & 0o077
        file.unlink()
        assert store.readings.latest(["Proxy/p1"], 0) == {}
        store.readings.write(rows, {}, DAY + 60)
        assert not file.stat().st_mode & 0o077
        store.event("x", "y", "z")
        assert store.installation()


def test_who_reads_finds_what_stands_there_now(tmp_path: Path, clock: Clock) -> None:
    """Though it holds its connections: also of a file that another has begun anew in the place of the one that was read."""
    place = Place(f"sqlite:///{tmp_path / 'convoy.db'}")
    with contextlib.closing(Readings(place.url, clock)) as reader:
        for n in range(1, 4):
            with contextlib.closing(Readings(place.url, clock)) as writer:
                writer.write({("Proxy/a", DAY + 60 * n): minute(n)}, {"n": n}, DAY + 60 * n + 60)
                for _ in range(2):
                    assert reader.latest(["Proxy/a"], 0) == {"Proxy/a": (DAY + 60 * n, minute(n))}
                    assert reader.system() == {"n": n}
                writer.write({("Proxy/b", DAY): minute(n)}, {"n": -n}, DAY + 60 * n + 60)
                assert reader.latest(["Proxy/a", "Proxy/b"], 0).keys() == {"Proxy/a", "Proxy/b"}
                assert reader.system() == {"n": -n}
            for end in ("", "-wal", "-shm"):
                Path(f"{file_of(place)}{end}").unlink(missing_ok=True)
            assert reader.latest(["Proxy/a"], 0) == reader.system() == {}


def test_who_holds_what_is_lost_keeps_no_room(tmp_path: Path, clock: Clock) -> None:
    """What is begun anew since the disk is full has given its room back, though others hold it open to read from it."""
    place = Place(f"sqlite:///{tmp_path / 'convoy.db'}")
    with contextlib.closing(Readings(place.url, clock)) as reader, contextlib.closing(Readings(place.url, clock)) as writer:
        writer.write({}, {"n": 1}, DAY)
        assert reader.system() == {"n": 1}
        held = [os.open(f"{file_of(place)}{end}", os.O_RDONLY) for end in ("", "-wal")]
        writer._start_anew()
        assert [os.fstat(one).st_size for one in held] == [0, 0]
        assert reader.system() == {}
        writer.write({}, {"n": 2}, DAY + 60)
        assert reader.system() == {"n": 2}
        for one in held:
            os.close(one)


def test_one_that_is_full_gives_its_room_back(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is started anew rather than keep from others what is left; nothing else stops."""
    opened = sqlite_dialect.opened

    def small(url: URL, *, precious: bool = True) -> Engine:
        engine = opened(url, precious=precious)
        if not precious:
            event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA max_page_count=40"))
        return engine

    monkeypatch.setattr(sqlite_dialect, "opened", small)
    place = Place(f"sqlite:///{tmp_path / 'convoy.db'}")
    with contextlib.closing(Store(place.url, clock)) as store:
        failed = []
        for n in range(40):
            rows = {(f"Proxy/p{i}", DAY + 60 * n): minute(i) for i in range(100)}
            try:
                store.readings.write(rows, {}, DAY + 60 * n + 60)
            except StoreError as error:
                failed.append(str(error))
        assert all("full" in one for one in failed)
        assert 0 < len(failed) < 20
        assert file_of(place).stat().st_size <= 41 * 4096
        store.event("x", "y", "z")


def test_an_error_names_what_was_tried(readings: Readings, clock: Clock) -> None:
    """And is a StoreError, as everything else that goes wrong in a store."""
    clock.failing = "readings.write"
    with pytest.raises(StoreError, match=r"cannot write the readings in .*No space left"):
        readings.write({}, {}, DAY)
    clock.failing = ""
    readings.write({("Proxy/a", DAY): minute(1)}, {}, DAY + 60)
    clock.failing = "readings.read"
    with pytest.raises(StoreError, match="cannot read the readings"):
        readings.read("Proxy/a", 60, 0, DAY)


def test_no_backup_has_readings(store: Store) -> None:
    """They may be lost: what is taken along is the same with and without."""
    before = store.backup({}).rows
    store.readings.write({("Proxy/a", DAY): minute(1)}, {"x": 1}, DAY + 60)
    assert store.backup({}).rows == before
