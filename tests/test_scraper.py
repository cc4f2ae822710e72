"""What is read from hosts becomes minutes: who does not answer, answers late or lies is a gap, and nothing else."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from reconciler.core.kinds.settings import Retention
from reconciler.core.latency import bin_of, packed
from reconciler.core.model import Ref, Where, XdsResource
from reconciler.core.readings import tenant, values
from reconciler.core.running import Counted, Counts
from reconciler.drivers.memory import Machine, Memory, Vices
from reconciler.hosts import Host
from reconciler.log import Log
from reconciler.ourselves import Ourselves
from reconciler.scraper import Scraper
from reconciler.seams import Seams
from reconciler.store.readings import Readings
from tests.drivers.contract import act, want
from tests.working import until

START = 19_000 * 86400.0


class Clock(Seams):
    """Two clocks: one that goes on, and one that people set. Who waits for others does so really, until it is `enough`."""

    def __init__(self) -> None:
        self.at, self.ahead = 5000.0, START - 5000.0
        self.enough: Callable[[], bool] = lambda: False

    def now(self) -> float:
        return self.at + self.ahead

    def monotonic(self) -> float:
        return self.at

    def wait(self, event: threading.Event, timeout_s: float | None) -> bool:
        while not event.wait(0.01) and not self.enough():
            pass
        return event.is_set()


def cluster(name: str, owner: Ref) -> XdsResource:
    return XdsResource("cds", name, "v", b"", Where("fleet.yaml", 1, 1), owner)


class World:
    """Two hosts in memory with a Proxy each, both told of one cluster; and a Scraper over them."""

    def __init__(self, directory: Path) -> None:
        self.clock, self.acting = Clock(), True
        self.machines = {name: Machine() for name in ("a", "b")}
        self.vices = {name: Vices() for name in self.machines}
        self.readings = Readings(f"sqlite:///{directory / 'convoy.db'}", self.clock)
        self.hosts = []
        for name, machine in self.machines.items():
            driver = Memory(name, machine, "ours", self.clock, self.vices[name])
            act(driver, "create", want(f"edge-{name}", kind="Proxy"))
            self.hosts.append(Host(name, driver, self.clock, lambda: None, lambda: True))
        ours = Ref("Cluster", "web")
        self.told: Mapping[str, XdsResource] = {
            "web": cluster("web", ours),
            "in:side": cluster("in:side", Ref("Configuration", "c")),
        }
        ourselves = Ourselves(self.clock)
        self.retention: Retention | None = Retention()
        self.scraper = Scraper(
            self.readings,
            lambda: self.hosts,
            lambda node: self.told,
            lambda: self.retention,
            lambda: ourselves.now((), None, 3, True),
            lambda: self.acting,
            Log(level="error"),
            self.clock,
        )

    def count(self, host: str, requests: int, errors: int = 0, instance: str = "i1", **clusters: int) -> None:
        """What its Envoy will have counted at the next look."""
        whole = Counted(requests, errors, 2, packed({bin_of(20): requests}))
        told = {name: Counted(number, 0, 1, packed({bin_of(7): number})) for name, number in clusters.items()}
        self.machines[host].counts[instance] = Counts(self.clock.at, whole, told)

    def minute(self, seconds: float = 60.0, **requests: int) -> None:
        """It goes by, and is looked at; host ⇒ all requests so far, each also to the cluster."""
        self.clock.at += seconds
        for host in self.machines:
            self.machines[host].counts.clear()
        for host, number in requests.items():
            self.count(host, number, web=number)
        self.scraper.turn()

    def read(self, subject: str) -> dict[int, dict[str, float]]:
        """Minutes since the start ⇒ what was served."""
        found = self.readings.read(subject, 60, 0, 1 << 40)
        return {int(at - START) // 60: values(one) for at, one in found.items()}

    def rates(self, subject: str) -> dict[int, float]:
        return {at: one["requests_per_second"] for at, one in self.read(subject).items()}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.minute(0, a=1000, b=500)
    yield made
    made.scraper.close()
    made.readings.close()
    for host in made.hosts:
        host.close()


def test_minutes_are_what_was_served_in_them(world: World) -> None:
    """Of each proxy, of the cluster over both, and of the tenant."""
    world.minute(a=1600, b=620)
    world.minute(a=1600, b=740)
    assert world.rates("Proxy/edge-a") == {0: 10.0, 1: 0.0}
    assert world.rates("Proxy/edge-b") == {0: 2.0, 1: 2.0}
    assert world.rates("Cluster/web") == world.rates(tenant("default")) == {0: 12.0, 1: 2.0}
    assert world.read("Proxy/edge-b")[1]["p99_latency_ms"] == 21.0
    assert "p99_latency_ms" not in world.read("Proxy/edge-a")[1]
    found = world.readings.system()
    assert found["scrape"] | {"seconds": 0} == {"proxies": 2, "silent": 0, "hosts": 2, "seconds": 0}
    assert found["hosts"]["a"] == {"cpu": pytest.approx(0.01), "memory_bytes": 1 << 20, "instances": 1}
    assert found["convoy"]["memory_bytes"] > 1 << 20


def test_who_does_not_answer_is_a_gap(world: World) -> None:
    """An Envoy that is silent, a host that cannot be seen: gaps in what is theirs, and nobody else's; then it goes on."""
    world.minute(a=1600, b=620)
    world.minute(b=740)
    assert world.readings.system()["scrape"]["silent"] == 1
    world.minute(a=2800, b=860)
    world.vices["b"].outage = True
    world.minute(a=3400, b=980)
    world.vices["b"].outage = False
    world.minute(a=4000, b=1100)
    world.minute(a=4600, b=1220)
    assert world.rates("Proxy/edge-a") == {0: 10.0, 3: 10.0, 4: 10.0, 5: 10.0}
    assert world.rates("Proxy/edge-b") == {0: 2.0, 1: 2.0, 2: 2.0, 5: 2.0}


def test_an_instance_that_is_new_counts_from_nothing(world: World) -> None:
    """One takes the place of another: both served in that minute."""
    driver = Memory("a", world.machines["a"], "ours", world.clock)
    world.clock.at += 30
    act(driver, "create", want("edge-a", "i2", kind="Proxy"))
    world.clock.at += 30
    world.count("a", 1300)
    world.count("a", 300, instance="i2")
    world.scraper.turn()
    assert world.rates("Proxy/edge-a") == {0: 10.0}
    act(driver, "delete", want("edge-a"))
    world.clock.at += 60
    world.count("a", 900, instance="i2")
    world.scraper.turn()
    assert world.rates("Proxy/edge-a") == {0: 10.0, 1: 10.0}


def test_a_host_that_hangs_makes_nobody_wait(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not asked again before it has answered, and what it says then is told of no minute that it does not belong to."""
    going_on, asked = threading.Event(), [0]
    usage = world.hosts[1].usage

    def hangs() -> Any:
        asked[0] += 1
        going_on.wait(60)
        return usage()

    monkeypatch.setattr(world.hosts[1], "usage", hangs)
    world.clock.enough = lambda: world.scraper._busy == {"b"} and asked[0] > 0
    world.minute(a=1600, b=620)
    world.minute(a=2200, b=740)
    assert asked == [1]
    assert world.rates("Proxy/edge-a") == {0: 10.0, 1: 10.0}
    assert world.rates("Proxy/edge-b") == {}
    going_on.set()
    until(lambda: not world.scraper._busy)
    world.clock.enough = lambda: False
    world.minute(a=2800, b=860)
    world.minute(a=3400, b=980)
    assert world.rates("Proxy/edge-b") == {3: 2.0}


def test_a_driver_that_breaks_is_a_gap(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it lets out."""

    def broken() -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(world.hosts[0], "usage", broken)
    world.minute(a=1600, b=620)
    assert world.rates("Proxy/edge-a") == {}
    assert world.rates("Proxy/edge-b") == {0: 2.0}


def test_only_clusters_that_it_was_told_of_count(world: World) -> None:
    """An Envoy that makes up names fills no database; one with a colon is known by how Envoy counts it."""
    world.clock.at += 60
    whole = Counted(1600, 0, 2)
    made_up = {f"x{n}": Counted(5) for n in range(900)}
    world.machines["a"].counts["i1"] = Counts(world.clock.at, whole, {**made_up, "in_side": Counted(60), "web": Counted(1600)})
    world.scraper.turn()
    assert world.rates("Configuration/c/in:side") == {0: 1.0}
    assert world.rates("Cluster/x1") == {}
    assert world.rates("Cluster/web") == {0: 10.0}


def test_a_clock_that_jumps_changes_no_rate(world: World) -> None:
    """Ahead and back: every minute is as long as it was, and lands where the clock said."""
    world.minute(a=1600)
    world.clock.ahead += 7200
    world.minute(a=2200)
    world.clock.ahead -= 7200
    world.minute(a=2800)
    assert world.rates("Proxy/edge-a") == {0: 10.0, 121: 10.0, 2: 10.0}


def test_nothing_is_dropped_while_the_clock_jumps(world: World) -> None:
    """A clock that is a year ahead for a while takes nothing away: what is dropped does not come back."""
    world.retention = Retention(minute_hours=1)
    for n in range(1, 4):
        world.minute(a=1000 + 600 * n)
    world.clock.ahead += 365 * 86400
    for n in range(4, 12):
        world.minute(a=1000 + 600 * n)
    world.clock.ahead -= 365 * 86400
    assert {0, 1, 2} <= world.rates("Proxy/edge-a").keys()
    # In time it is, by a clock that has gone on as one does.
    for n in range(12, 90):
        world.minute(a=1000 + 600 * n)
    left = world.rates("Proxy/edge-a")
    assert not {0, 1, 2} & left.keys()
    assert max(left) < 100


def test_nothing_is_dropped_before_settings_are_known(world: World) -> None:
    """Longer than usual may be what they say."""
    world.retention = None
    for n in range(1, 90):
        world.minute(a=1000 + 600 * n)
    assert len(world.rates("Proxy/edge-a")) == 89
    world.retention = Retention(minute_hours=1)
    world.minute(a=1000 + 600 * 90)
    assert len(world.rates("Proxy/edge-a")) <= 61


def test_who_does_not_act_does_not_look(world: World) -> None:
    """And when it acts again, begins anew."""
    world.acting = False
    world.minute(a=1600)
    world.acting = True
    world.minute(a=2200)
    world.minute(a=2800)
    assert world.rates("Proxy/edge-a") == {2: 10.0}


def test_readings_that_cannot_be_written_stop_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute is lost, and the next is there."""
    point = world.clock.point

    def full(name: str, *about: object) -> None:
        if name == "readings.write":
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(world.clock, "point", full)
    world.minute(a=1600)
    monkeypatch.setattr(world.clock, "point", point)
    world.minute(a=2200)
    assert world.rates("Proxy/edge-a") == {1: 10.0}


def test_its_thread_ends_at_once(world: World) -> None:
    """Also in the middle of a look."""
    world.scraper.start()
    with contextlib.closing(world.scraper):
        threading.Event().wait(0.1)
    assert not any(one.name == "scraper" for one in threading.enumerate())
