"""Messages are carried until they arrive, once for each trouble, by whoever acts, and no receiver holds up another."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from reconciler import cli
from reconciler.core.model import FleetState
from reconciler.log import Log
from reconciler.notify import Courier, outbound
from reconciler.notify.courier import BURST_S, GAP_S, MOST_TRIES
from reconciler.seams import Pool, Seams, Thread
from reconciler.secrets import Opener
from reconciler.store import Store
from tests.drivers.world import soon
from tests.fleets import load_text
from tests.notify.test_ways import Receiver, receiver

__all__ = ["receiver"]
NOTIFICATION = """
---
apiVersion: convoy/v1
kind: Notification
metadata: {{name: {name}}}
spec: {{on: ['status.failed', revision], {more} to: {{webhook: {{url: '{url}', allowPrivate: true}}}}}}
"""


class Clock(Seams):
    """A clock that a test turns. The courier's thread is the test; receivers are spoken to at once, or in real threads."""

    def __init__(self, at_once: bool) -> None:
        self.time_s, self._at_once = 1000.0, at_once

    def now(self) -> float:
        return self.time_s

    def thread(self, run: Callable[[], None], name: str) -> Thread:
        return threading.Thread(target=lambda: None)

    def pool(self, at_once: int, name: str) -> Pool:
        return Now() if self._at_once else super().pool(at_once, name)


class Now:
    def submit(self, run: Callable[..., None], /, *arguments: Any) -> object:
        run(*arguments)
        return None

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Nothing is under way."""


class World:
    """A store, a clock and one courier after another."""

    def __init__(self, place: Path, at_once: bool = True) -> None:
        self.place, self.clock = place, Clock(at_once)
        self.store = Store(f"sqlite:///{place / 'convoy.db'}", self.clock)
        self.fleet: FleetState | None = None
        self.counted: list[str] = []
        self.acts = True

    def courier(self) -> Courier:
        opener = Opener([], self.store.opened)
        count = self.counted.append
        return Courier(self.store, lambda: self.fleet, lambda: self.acts, opener, "us", count, Log(level="error"), self.clock)

    def declare(self, **urls: str) -> None:
        self.fleet = load_text("".join(NOTIFICATION.format(name=name, url=url, more="") for name, url in urls.items()))

    def later(self, courier: Courier, seconds: float = GAP_S) -> None:
        """It looks, and looks again when a burst is over and the next message may be sent."""
        courier.turn()
        self.clock.time_s += max(seconds, BURST_S)
        courier.turn()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    with closing(made.store):
        yield made


def got() -> list[dict[str, Any]]:
    return [json.loads(body) for _, _, body in Receiver.got]


def told() -> list[list[tuple[str, str]]]:
    return [[(one["kind"], one["ref"]) for one in message["events"]] for message in got()]


def test_a_hundred_at_once_are_one_message(world: World, receiver: str) -> None:
    """What was before is not told; a burst is one message; the same again is none; after it was good it is news."""
    world.store.event("status.failed", "Container/before", "")
    world.declare(a=receiver)
    with closing(world.courier()) as courier:
        world.later(courier)
        assert got() == []
        world.store.add_events([("status.failed", f"Container/c-{n}", "why") for n in range(100)])
        courier.turn()
        assert got() == []
        world.later(courier)
        (message,) = got()
        assert len(message["events"]) + message["more"] == 100
        world.store.add_events([("status.pending", "Container/c-1", ""), ("status.failed", "Container/c-1", "why")])
        world.later(courier)
        assert len(got()) == 1
        world.store.add_events([("status.synced", "Container/c-1", ""), ("status.failed", "Container/c-1", "why")])
        world.later(courier)
        assert told()[1:] == [[("status.failed", "Container/c-1")]]
        # An hour later it would be told again in any case: nothing of it is remembered.
        world.clock.time_s += 3600.0
        world.store.event("status.failed", "Container/z", "")
        world.later(courier)
        remembered = world.store.notices().told("Notification/a", {("Container/c-1", "status"), ("Container/z", "status")})
        assert [subject for subject, _ in remembered] == ["Container/z"]
        written = world.store.writes
        world.later(courier)
        assert world.store.writes == written


def test_a_message_is_tried_again_until_it_arrives(world: World, receiver: str) -> None:
    """With patience that grows, in order, with the same id, also by the next Convoy; `convoy status` says so meanwhile."""
    world.declare(a=f"{receiver}/500")
    with closing(world.courier()) as courier:
        courier.turn()
        world.store.event("status.failed", "Container/a", "")
        world.later(courier)
        world.clock.time_s += 1.0
        courier.turn()
        assert len(got()) == 1
        world.clock.time_s += 5.0
        courier.turn()
        assert len(got()) == 2
    (trouble,) = world.store.notices().troubled()
    assert (trouble["waiting"], trouble["dead"]) == (1, 0)
    shown = CliRunner().invoke(cli.convoy, ["status"], env={"CONVOY_STATE": str(world.place)}).stdout
    assert "not told: Notification/a, 1 tried again: 127.0.0.1 answers with 500" in shown
    # The document is mended: it is tried at once.
    with closing(world.courier()) as courier:
        courier.turn()
        world.declare(a=f"{receiver}/good")
        courier.turn()
    assert len({message["id"] for message in got()}) == 1
    assert [path for path, _, _ in Receiver.got] == ["/500", "/500", "/good"]
    assert world.store.notices().troubled() == []


def test_what_nobody_takes_is_given_up(world: World, receiver: str) -> None:
    """After many tries; it is an event, which nobody is told about, and the next message is tried."""
    world.declare(a=f"{receiver}/500")
    with closing(world.courier()) as courier:
        courier.turn()
        world.store.event("status.failed", "Container/a", "")
        world.later(courier)
        for _ in range(MOST_TRIES):
            world.clock.time_s += 901.0
            courier.turn()
        assert len(got()) == MOST_TRIES
        assert world.store.notices().troubled()[0]["dead"] == 1
        (event,) = [one for one in world.store.happened().events_after(0, 999) if one.kind == "notification.failed"]
        assert (event.ref, "answers with 500" in event.message) == ("Notification/a", True)
        world.later(courier)
        assert len(got()) == MOST_TRIES
        assert world.counted.count("given up") == 1


def test_only_who_acts_tells_and_what_is_gone_is_forgotten(world: World, receiver: str) -> None:
    """A Convoy that stands by reads nothing; a Notification that is no longer declared has told nobody anything."""
    world.declare(a=receiver)
    with closing(world.courier()) as courier:
        courier.turn()
        world.store.event("status.failed", "Container/a", "")
        world.acts = False
        world.later(courier)
        assert got() == []
        world.acts = True
        world.declare(b=receiver)
        world.later(courier)
        assert world.store.notices().places().keys() == {"Notification/b"}
        assert got() == []


def test_a_selector_chooses_resources(world: World, receiver: str) -> None:
    """With the workloads that come from them; what is about a revision is about everything."""
    app = "---\napiVersion: convoy/v1\nkind: Application\nmetadata: {name: web}\nspec: {command: [sleep, '1'], replicas: 1}\n"
    host = "---\napiVersion: convoy/v1\nkind: Host\nmetadata: {name: here}\n"
    world.fleet = load_text(host + app + NOTIFICATION.format(name="a", url=receiver, more="only: [app/web],"))
    with closing(world.courier()) as courier:
        courier.turn()
        events = [("status.failed", ref, "") for ref in ("Container/web-1", "Host/here", "Application/web")]
        world.store.add_events([*events, ("revision.refused", "r1", "")])
        world.later(courier)
    assert told() == [[("status.failed", "Container/web-1"), ("status.failed", "Application/web"), ("revision.refused", "r1")]]


@pytest.mark.slow
def test_a_slow_receiver_holds_up_no_other(tmp_path: Path, receiver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one drips, another is told, and the courier goes on."""
    monkeypatch.setattr(outbound, "PATIENCE_S", 250.0)
    world = World(tmp_path, at_once=False)
    with closing(world.store):
        world.declare(a=f"{receiver}/slow", b=receiver)
        with closing(world.courier()) as courier:
            courier.turn()
            world.store.event("status.failed", "Container/a", "")
            world.later(courier)
            soon(lambda: len(Receiver.got) == 2, 60.0)
            soon(lambda: world.counted == ["told"], 60.0)
            Receiver.enough.set()
            soon(lambda: world.counted == ["told", "failed"], 60.0)
