"""A store with a clock that a test turns, on SQLite and on PostgreSQL."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection

from reconciler.seams import Seams
from reconciler.store import Store
from reconciler.store import postgresql as dialect
from tests.postgres import Place


class Clock(Seams):
    """A clock that a test turns, and a point that it fails."""

    def __init__(self) -> None:
        self.time_s, self.failing = 1000.0, ""

    def now(self) -> float:
        return self.time_s

    def point(self, name: str, *about: object) -> None:
        if name == self.failing:
            raise OSError(28, "No space left on device")


@pytest.fixture
def clock() -> Clock:
    return Clock()


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


__all__ = ["Clock", "Place", "again"]
