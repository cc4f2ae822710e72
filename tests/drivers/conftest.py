"""A process host for each test that asks for one."""

from collections.abc import Iterator

import pytest

from .world import ProcessWorld, process_world


@pytest.fixture
def world() -> Iterator[ProcessWorld]:
    with process_world() as made:
        yield made
