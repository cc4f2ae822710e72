"""Random worlds: the real loop, workers, store and wishes, with faults and kills at any point, and no law is broken."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .play import play
from .soak import Figures
from .worlds import law_of, random_world, written

WORLDS = 50


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_law_is_broken_in_random_worlds(record_property: Callable[[str, object], None]) -> None:
    """The same worlds each time; other ones, and more of them, are played by `make soak`."""
    figures = Figures()
    for seed in range(WORLDS):
        world = random_world(seed)
        report = play(world)
        figures.add(report)
        assert not report.broken, f"{report.broken}\n{written(world, law_of(report), '')}"
    record_property("figures", str(figures))
    assert figures.struck["kill"] > WORLDS / 2
    assert figures.points.total() > 100 * WORLDS


TRACE = """
from tests.rig.play import play
from tests.rig.worlds import random_world
for seed in (1, 31):
    report = play(random_world(seed))
    print(report.turns, report.rounds, report.lives, sorted(report.points.items()), sorted(report.did.items()), report.healing)
"""


@pytest.mark.slow
def test_a_world_is_played_the_same_way_each_time() -> None:
    """In another process, with hashes of other seeds: the same turns, rounds, points and times."""
    told = []
    for hashes in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hashes}
        root = Path(__file__).parents[2]
        told.append(
            subprocess.run([sys.executable, "-c", TRACE], env=environment, cwd=root, capture_output=True, check=True).stdout
        )
    assert told[0] == told[1]
