"""Random worlds: the real loop, workers, store and wishes, with faults and kills at any point, and no law is broken."""

import pytest

from .play import play
from .soak import Figures
from .worlds import law_of, random_world, written

WORLDS = 50


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_law_is_broken_in_random_worlds(capsys: pytest.CaptureFixture[str]) -> None:
    """The same worlds each time; other ones, and more of them, are played by `make soak`."""
    figures = Figures()
    for seed in range(WORLDS):
        world = random_world(seed)
        report = play(world)
        figures.add(report)
        assert not report.broken, f"{report.broken}\n{written(world, law_of(report), '')}"
    with capsys.disabled():
        print(f"\n{figures}")
    assert figures.struck["kill"] > WORLDS / 2
    assert figures.points.total() > 100 * WORLDS
