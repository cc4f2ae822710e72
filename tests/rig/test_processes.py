"""Real processes under the real loop, which is killed or fails at each room's points: nothing is doubled, lost, or left."""

import pytest

from .events import Event
from .processes import play_processes

FIRST: Event = {
    "do": "commit",
    "set": {
        "Host/h1": {},
        "Settings/fleet": {"drain": 0},
        "Container/c1": {"command": ["sleep", "70001"]},
        "Application/a": {"command": ["sleep", "70002"], "replicas": 2},
    },
}
THEN: Event = {
    "do": "commit",
    "drop": ["Container/c1"],
    "set": {"Application/a": {"command": ["sleep", "70003"]}, "Container/c2": {"command": ["sleep", "70004"]}},
}
# What strikes, where, and after how many: while what is declared first is made, or while it changes.
STRIKES = (
    ("kill", "process.make", 0),
    ("kill", "process.write", 1),
    ("kill", "process.move", 1),
    ("kill", "process.start", 0),
    ("kill", "process.start", 2),
    ("error", "process.start", 1),
    ("error", "process.write", 2),
    ("kill", "store.commit", 9),
    ("kill", "driver.apply", 4),
    ("kill", "process.stop", 0),
    ("kill", "process.remove", 1),
    ("error", "process.remove", 0),
)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(3))
def test_processes_are_neither_doubled_nor_lost(seed: int) -> None:
    """Every third strike in one world: after each a new Convoy finds what runs, and ends with exactly what is declared."""
    events: list[Event] = []
    for n, (kind, point, skip) in enumerate(STRIKES):
        if n % 3 == seed:
            events.append({"do": "fault", "kind": kind, "point": point, "skip": skip})
    report = play_processes(seed, [*events, FIRST, {"do": "well"}, THEN], ENDS)
    assert report.broken == []
    assert report.lives > 1
    assert sum(report.struck.values()) >= 3


ENDS = (("sleep 70003", 2), ("sleep 70004", 1))
