"""Small worlds struck at one I/O point after the other; here at every so manieth, by `make soak EACH=1` at each of them."""

from collections.abc import Callable

import pytest

from .play import play
from .scenarios import SCENARIOS, STRIKES, struck_at_each
from .soak import Figures

# A prime, and another start for each strike: together they come by most points.
STEP = 17


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", SCENARIOS)
def test_no_law_is_broken_wherever_it_strikes(name: str, record_property: Callable[[str, object], None]) -> None:
    """Killed, failed, or too late there: the fleet becomes as declared all the same, and nothing is lost or doubled."""
    figures = Figures()
    for n, strike in enumerate(STRIKES):
        for world in struck_at_each(name, strike, STEP, start=5 * n):
            report = play(world)
            figures.add(report)
            assert report.broken == [], world
    record_property("figures", f"{figures.worlds} worlds, {figures.struck['kill']} kills, {figures.faults.total()} faults")
    assert figures.struck["kill"] >= 3
