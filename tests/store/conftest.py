"""A store with a clock that a test turns."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.seams import Seams
from reconciler.store import Store


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
def path(tmp_path: Path) -> Path:
    return tmp_path / "convoy.db"


@pytest.fixture
def store(path: Path, clock: Clock) -> Iterator[Store]:
    opened = Store(f"sqlite:///{path}", clock)
    yield opened
    opened.close()


def again(path: Path, clock: Clock) -> Store:
    return Store(f"sqlite:///{path}", clock)


def counted(path: Path, table: str) -> int:
    return int(str(rows(path, f"SELECT count(*) FROM {table}")[0][0]))


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()
