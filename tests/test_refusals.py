"""A refusal is one version of Envoy's: another may take the same content, and nobody loses what it runs well."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.core import envoy
from reconciler.core.connect import Connector
from reconciler.core.model import XDS, Action, Connected, Nack, Ref, Snapshot, Where
from reconciler.log import Log
from reconciler.proxies import Proxies
from reconciler.seams import Seams
from reconciler.store import Store
from reconciler.xds.server import Server

from .xds.snapshot import assignment, raw, snapshot

TOLD = snapshot([raw("cds", "good", "g1"), raw("cds", "x", "x1")])


class World:
    """Proxies over a store that outlives them; what is connected is what a test says."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.restart()

    def restart(self) -> None:
        self.proxies = Proxies(Server((), None, lambda _: b"", lambda: None, Seams()), self.store, Log(level="error"), Seams())
        self.proxies.recall()

    def connect(self, node: str, *envoys: str, nacks: tuple[Nack, ...] = ()) -> None:
        one = Connected(node, envoys[0], 0.0, "", False, {}, nacks, {}, 1, frozenset(envoys))
        self.proxies.connected = {**self.proxies.connected, node: one}
        for nack in nacks:
            self.proxies._hear(node, nack)

    def told(self, node: str) -> set[str]:
        """The clusters that this proxy should run."""
        return set(self.proxies.settle({node: TOLD}, Connector())[node].resources["cds"])


def refusal(envoy: str, message: str = "no such thing as x") -> Nack:
    return Nack("cds", ("x",), (TOLD.resources["cds"]["x"].version,), message, 5.0, envoy)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with closing(Store(f"sqlite:///{tmp_path / 'convoy.db'}", Seams())) as store:
        yield World(store)


@pytest.mark.parametrize("between", [lambda world: None, World.restart], ids=["at once", "after a restart"])
def test_who_is_told_what_by_version(world: World, between: Callable[[World], None]) -> None:
    """Whatever 1.41 refuses, no 1.41 is told again, and every 1.40 goes on being told."""
    world.connect("a", "1.41", nacks=(refusal("1.41"),))
    between(world)
    world.connect("a", "1.41")
    world.connect("b", "1.41")
    world.connect("c", "1.40")
    assert [world.told(node) for node in "abc"] == [{"good"}, {"good"}, {"good", "x"}]


def test_of_two_side_by_side_the_one_that_takes_it_keeps_it(world: World) -> None:
    """During an upgrade a refusal by the new Envoy takes nothing from the old one, and is told of the proxy."""
    world.connect("a", "1.40", "1.41", nacks=(refusal("1.41"),))
    assert world.told("a") == {"good", "x"}
    why = world.proxies.why_refused({"a": TOLD})
    assert set(why) == {Ref("Proxy", "a")}
    assert "one of its Envoys (1.40 and 1.41) refuses x: no such thing as x" in why[Ref("Proxy", "a")]
    # Alone, it is told what it can run; and the same when both are of one mind.
    world.connect("a", "1.41")
    assert world.told("a") == {"good"}
    world.connect("a", "1.40", "1.41", nacks=(refusal("1.40", "nor here"),))
    assert world.told("a") == {"good"}


def test_who_is_away_keeps_what_it_ran(world: World) -> None:
    """A proxy that is not connected, or whose version is not known yet, is not prepared to lose what it has acknowledged."""
    world.connect("a", "1.41", nacks=(refusal("1.41"),))
    assert world.told("away") == {"good"}
    world.store.put_goods({"away": Snapshot("s", TOLD.resources)})
    world.restart()
    assert world.told("away") == {"good", "x"}


def test_a_refusal_is_recorded_once(world: World) -> None:
    """The same words about the same content, however often they come, are one event."""
    for at in (5.0, 6.0, 7.0):
        world.connect("a", "1.41", nacks=(replace(refusal("1.41"), at=at),))
    assert len([event for event in world.store.recent("Proxy/a", 10) if event.kind == "xds.refused"]) == 1
    assert world.store.refused("1.41") == {TOLD.resources["cds"]["x"].version: "no such thing as x"}
    assert world.store.refused("1.40") == {}


def test_a_proxy_that_refuses_for_ever_fills_nothing(world: World) -> None:
    """A broken or hostile Envoy with new words each time: what is remembered of it has an end, others are told as before."""
    proxies, node = world.proxies, Connected("a", "1.41", 0.0, "", False, {}, (), {}, 1, frozenset({"1.41"}))
    flood = [refusal("1.41", f"{n} " + "x" * 1000) for n in range(640)]

    for start in range(0, len(flood), 64):
        connected = {"a": replace(node, nacks=tuple(flood[start : start + 64]))}
        proxies.server.connected = lambda found=connected: found  # type: ignore[method-assign, misc]
        proxies.look()

    assert sum(len(heard) for heard in proxies._heard.values()) <= 64
    assert len(world.store.refused()) == 1
    world.connect("b", "1.40")
    assert world.told("b") == {"good", "x"}


def test_what_a_proxy_that_is_away_was_told_fills_nothing(world: World) -> None:
    """Told anew for weeks and never heard of, it may use every endpoint of all that; no more than these is remembered."""
    proxies, ports = world.proxies, range(9000, 9010)
    for turn in range(200):
        told = snapshot([assignment("x", *(port for port in ports if port != 9000 + turn % 10))])
        proxies.tell((Action("update", Ref("ProxyGroup", "g"), told.version, XDS, {"a": told, "b": told}, "new"),))
    every = frozenset(("127.0.0.1", port) for port in ports)
    assert proxies._under_way == {"a": every, "b": every}
    assert proxies._under_way["a"] is proxies._under_way["b"]
    one = Connected("a", "1.40", 0.0, "", False, {})
    proxies.connected = {"a": one}
    assert proxies.reaches({}) == {"a": every}
    proxies.connected = {
        "a": replace(one, sent=told.version, synced=True, acked={"eds": {"x": told.resources["eds"]["x"].version}})
    }
    assert proxies.reaches({}) == {"a": every - {("127.0.0.1", 9009)}}
    # What it is told next in the same round counts already.
    assert proxies.reaches({"a": snapshot([assignment("x", 9009)])}) == {"a": every}


def test_ends_of_what_nobody_runs_any_more_are_forgotten(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often endpoints change, only what is told or acknowledged is remembered, and that is still known."""
    monkeypatch.setattr("reconciler.proxies.SPARE_ENDS", 10)
    world.proxies._most_ends = 10
    first = envoy.assignment("web", [("127.0.0.1", 1, "HEALTHY")], Ref("Application", "web"), Where("fleet.yaml"))
    for port in range(1, 60):
        one = envoy.assignment("web", [("127.0.0.1", port, "HEALTHY")], Ref("Application", "web"), Where("fleet.yaml"))
        told = Snapshot(f"v{port}", {"eds": {"web": one}})
        world.proxies.tell((Action("update", Ref("ProxyGroup", "edge"), told.version, XDS, {"a": told}, ""),))
        behind = Connected("a", "1.40", 0.0, told.version, False, {"eds": {"web": first.version}})
        world.proxies.connected = {"a": behind}
    assert len(world.proxies._ends) < 20
    assert first.version in world.proxies._ends
    reached = world.proxies.reaches({})["a"]
    assert reached is not None
    assert {("127.0.0.1", 1), ("127.0.0.1", 59)} <= reached
