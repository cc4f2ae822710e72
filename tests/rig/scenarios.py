"""Small worlds in which each I/O point is struck, one after the other: the process is killed there, or that I/O fails."""

from collections.abc import Iterator
from typing import Any

from .faults import COMMITTED
from .making import Event
from .play import play
from .worlds import World

EDGE: dict[str, dict[str, Any]] = {"ProxyGroup/edge": {}, "VirtualHost/v1": {"backend": "a"}, "Proxy/e1": {}}
FIRST: Event = {
    "do": "commit",
    "set": {"Settings/fleet": {"drain": 1}, "Host/h1": {}, "Application/a": {"replicas": 1}, **EDGE},
}

# Name ⇒ what comes before the points that are struck, and what they are in.
SCENARIOS: dict[str, tuple[list[Event], list[Event]]] = {
    "from-nothing": ([], [FIRST, {"do": "wait", "s": 3}]),
    "replaced": (
        [FIRST, {"do": "wait", "s": 12}],
        [{"do": "commit", "set": {"Application/a": {"version": 2}}}, {"do": "wait", "s": 6}],
    ),
    "moved-and-removed": (
        [
            {"do": "commit", "set": {"Host/h1": {}, "Host/h2": {}, "Container/c1": {"host": "h1"}, "Container/c2": {}}},
            {"do": "wait", "s": 8},
        ],
        [{"do": "commit", "set": {"Container/c1": {"host": "h2"}}, "drop": ["Container/c2"]}, {"do": "wait", "s": 8}],
    ),
    "led-to-another-backend": (
        [FIRST, {"do": "wait", "s": 12}, {"do": "vice", "host": "h1", "healthy_after_s": 2.0}],
        [
            {
                "do": "commit",
                "drop": ["Application/a"],
                "set": {"Application/b": {"replicas": 1}, "VirtualHost/v1": {"backend": "b"}},
            },
            {"do": "wait", "s": 6},
        ],
    ),
    "refused-by-envoys": (
        [FIRST, {"do": "wait", "s": 12}],
        [{"do": "commit", "set": {"VirtualHost/v1": {"refused": True}}}, {"do": "wait", "s": 4}],
    ),
    "restarted-in-an-outage": (
        [FIRST, {"do": "wait", "s": 12}, {"do": "outage", "host": "h1", "on": True}, {"do": "restart"}],
        [{"do": "commit", "set": {"Host/h2": {}, "Application/a": {"version": 3}}}, {"do": "wait", "s": 6}],
    ),
}
STRIKES = ("kill", "error", "timeout")
SEED = 1


def points(name: str) -> dict[str, int]:
    """How many I/O points the scenario passes where they are struck: of all that do something, and where it is done."""
    before, during = SCENARIOS[name]
    short = play({"seed": SEED, "events": before, "heal": False}).points
    passed = play({"seed": SEED, "events": [*before, *during], "heal": False}).points - short
    return {"": passed.total() - passed[COMMITTED], COMMITTED: passed[COMMITTED]}


def struck_at_each(name: str, strike: str, step: int = 1, start: int = 0) -> Iterator[World]:
    """One world for each point (or each so manieth) at which this happens."""
    before, during = SCENARIOS[name]
    for point, number in points(name).items():
        for skip in range(start, number, step):
            yield {"seed": SEED, "events": [*before, {"do": "fault", "kind": strike, "point": point, "skip": skip}, *during]}
