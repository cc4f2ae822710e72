"""A state directory of its own for each test, and its store."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from reconciler.seams import Seams
from reconciler.store import Store
from tests.cli.conftest import convoy, state

from .room import Room

__all__ = ["convoy", "state"]


@pytest.fixture
def room(tmp_path: Path) -> Room:
    place = tmp_path / "state"
    place.mkdir(mode=0o700)
    return Room(place)


@pytest.fixture
def opened(room: Room) -> Iterator[Store]:
    with closing(Store(f"sqlite:///{room.state / 'convoy.db'}", Seams())) as made:
        yield made
