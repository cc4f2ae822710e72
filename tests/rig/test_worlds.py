"""Worlds in which a law was broken once: each is played for ever."""

import json
from pathlib import Path

import pytest

from .play import play
from .worlds import FOLDER


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_no_law_is_broken_any_more(path: Path) -> None:
    """The very events by which a law was broken break none."""
    assert play(json.loads(path.read_text())).broken == []
