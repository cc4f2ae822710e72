"""A start that changes nothing tells nothing: no event, and so no notification, webhook or message of a WebSocket."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconciler.core.returning import GRACE_S

from .convoy import Watching
from .making import Event
from .play import Play
from .scenarios import FIRST

# With what no proxy uses, beside what they do.
MORE = {
    "Host/h2": {},
    "Container/c1": {},
    "Configuration/own": {"backend": "a"},
    "Proxy/e1": {"host": "h1"},
    "Proxy/e2": {"host": "h2"},
}
FLEET: Event = {**FIRST, "set": FIRST["set"] | MORE}
ENDS: dict[str, list[Event]] = {
    "asked-to": [{"do": "restart"}],
    "killed": [{"do": "kill", "point": "store.", "skip": 0}],
    "taken-over": [{"do": "stall", "s": 20}],
    "twice": [{"do": "restart"}, {"do": "wait", "s": 0.5}, {"do": "restart"}],
    "while-its-host-is-slow": [
        {"do": "fault", "kind": "slow", "point": "driver.observe", "skip": 1, "s": 8.0},
        {"do": "restart"},
    ],
}


class Quiet(Play):
    """A world in which everything is as declared; `told` reads what has happened since the last time."""

    number = 0

    def told(self) -> list[tuple[str, str, str]]:
        assert self.convoy is not None
        assert self.convoy.store is not None
        happened = self.convoy.store.happened()
        found = [(one.kind, one.ref, one.message) for one in happened.events_after(self.number, 1000)]
        self.number = happened.last_numbers()[0]
        return found

    def play(self, *events: Event) -> None:
        for event in events:
            self.do(event)


@contextmanager
def quiet(directory: Path) -> Iterator[Quiet]:
    world = Quiet(1, directory)
    world.turns.task(world.envoys.run, "envoys", None).start()

    with Watching(world.laws, lambda: world.convoy):
        try:
            world.play(FLEET, {"do": "wait", "s": 15})
            assert ("fleet.converged", "r001", "") in world.told()
            yield world
        finally:
            world._bury_stalled()
            world._bury()
        assert world.laws.broken == []


@pytest.mark.parametrize("how", ENDS)
def test_a_start_that_changes_nothing_tells_nothing(how: str, tmp_path: Path) -> None:
    """However the Convoy before it has ended; and the fleet counts as declared all the while."""
    with quiet(tmp_path) as world:
        world.play(*ENDS[how])
        for _ in range(40):
            world.play({"do": "wait", "s": 1})
            store = world.convoy.store if world.convoy is not None else None
            assert store is None or (store.state() or {})["converged"]
        assert world.lives > 1
        assert world.told() == []


def test_what_is_worse_after_a_start_is_told_once(tmp_path: Path) -> None:
    """A proxy that does not come back is told when the grace is over, and not again by the next start."""
    with quiet(tmp_path) as world:
        world.play({"do": "silence", "on": True}, {"do": "restart"}, {"do": "wait", "s": GRACE_S - 15})
        assert world.told() == []
        world.play({"do": "wait", "s": 30})
        told = world.told()
        assert [(kind, ref) for kind, ref, _ in told if kind.startswith("health.")].count(("health.degraded", "Proxy/e1")) == 1
        assert ("health.degraded", "Proxy/e1", "was healthy: proxy e1 is not connected") in told
        assert ("status.pending", "Proxy/e1", "proxy e1 is not connected") in told
        world.play({"do": "restart"}, {"do": "wait", "s": GRACE_S + 15})
        assert world.told() == []
        world.play({"do": "silence", "on": False}, {"do": "wait", "s": 15})
        assert ("health.healthy", "Proxy/e1") in [(kind, ref) for kind, ref, _ in world.told()]


def test_a_commit_that_waited_for_the_start_is_told_as_ever(tmp_path: Path) -> None:
    """What it changes is pending until the proxies have it; how they fare is not news."""
    with quiet(tmp_path) as world:
        world.play(
            {"do": "silence", "on": True}, {"do": "restart"}, {"do": "commit", "set": {"VirtualHost/v2": {"backend": "a"}}}
        )
        world.play({"do": "wait", "s": 10})
        told = world.told()
        assert ("status.pending", "VirtualHost/v2") in [(kind, ref) for kind, ref, _ in told]
        assert ("status.pending", "Proxy/e1", "proxy e1 is not connected") in told
        world.play({"do": "silence", "on": False}, {"do": "wait", "s": 20})
        told += world.told()
        assert [kind for kind, ref, _ in told if ref == "VirtualHost/v2"] == ["status.pending", "status.synced"]
        assert not [kind for kind, _, _ in told if kind.startswith("health.")]
        assert ("fleet.converged", "r002", "") in told
