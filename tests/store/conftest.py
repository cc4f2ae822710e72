"""A store with a clock that a test turns, on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Connection

from reconciler.seams import Seams
from reconciler.store import Store
from reconciler.store import postgresql as dialect
from tests.postgres import Server, execute


class Clock(Seams):
    """A clock that a test turns, and a point that it fails."""

    def __init__(self) -> None:
        self.time_s, self.failing = 1000.0, ""

    def now(self) -> float:
        return self.time_s

    def point(self, name: str, *about: object) -> None:
        if name == self.failing:
            raise OSError(28, "No space left on device")


@dataclass(frozen=True)
class Place:
    """Where a store is kept, and the way to it that leads past Convoy's code."""

    url: str

    @property
    def backend(self) -> str:
        return self.url.partition(":")[0].partition("+")[0]

    def rows(self, query: str) -> list[tuple[object, ...]]:
        return execute(self.url, query)

    def counted(self, table: str) -> int:
        return int(str(self.rows(f"SELECT count(*) FROM {table}")[0][0]))

    def tables(self) -> list[str]:
        catalog = {
            "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table'",
            "postgresql": "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
        }
        return sorted(str(name) for (name,) in self.rows(catalog[self.backend]))


BACKENDS = ("sqlite", pytest.param("postgresql", marks=pytest.mark.slow))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=BACKENDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where nothing is yet."""
    if request.param == "sqlite":
        return Place(f"sqlite:///{tmp_path / 'convoy.db'}")
    server: Server = request.getfixturevalue("postgres")
    return Place(server.new())


@pytest.fixture
def store(place: Place, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Leases are compared with the clock that the test turns, also where that is the database's."""

    def now(_: Connection) -> float:
        return clock.now()

    monkeypatch.setattr(dialect, "clock", now)
    opened = again(place, clock)
    yield opened
    opened.close()


def again(place: Place, clock: Clock) -> Store:
    return Store(place.url, clock)
