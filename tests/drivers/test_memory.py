"""The host in memory keeps the drivers' contract, and has its vices when asked."""

import pytest

from reconciler.core.model import Health
from reconciler.drivers import Driver, DriverError
from reconciler.drivers.memory import Machine, Memory, Vices

from .contract import Contract, Faults, act, seen, want


class MemoryWorld:
    """One machine."""

    def __init__(self) -> None:
        self.seams = Faults()
        self.machine = Machine()
        self.vices = Vices()

    def driver(self, installation: str = "ours") -> Driver:
        return Memory("here", self.machine, installation, self.seams, self.vices)


@pytest.fixture
def world() -> MemoryWorld:
    return MemoryWorld()


class TestContract(Contract):
    """All of it."""


def test_an_outage_is_an_error_and_loses_nothing(world: MemoryWorld) -> None:
    """A host that is down is neither seen nor worked on, and comes back as it was."""
    driver, app = world.driver(), want("app")
    act(driver, "create", app)
    world.vices.outage = True
    with pytest.raises(DriverError, match="does not answer"):
        seen(driver)
    with pytest.raises(DriverError, match="delete Container/app on host here"):
        act(driver, "delete", app)
    world.vices.outage = False
    assert list(seen(driver)) == [("Container/app", "i1")]


def test_a_refusal_has_no_effect(world: MemoryWorld) -> None:
    """What is refused says why, and nothing changed."""
    driver = world.driver()
    world.vices.refuse = lambda action: "quota" if action.ref.name == "app" else ""
    with pytest.raises(DriverError, match="quota"):
        act(driver, "create", want("app"))
    act(driver, "create", want("other"))
    assert list(seen(driver)) == [("Container/other", "i1")]


def test_half_done_steps_took_effect(world: MemoryWorld) -> None:
    """A step whose answer was lost is reported as failed though it is done: only a look tells."""
    driver = world.driver()
    world.vices.half_done = frozenset({"create"})
    with pytest.raises(DriverError, match="connection was lost"):
        act(driver, "create", want("app"))
    assert list(seen(driver)) == [("Container/app", "i1")]


def test_healthy_only_after_looks_and_seconds(world: MemoryWorld) -> None:
    """What is new takes as many looks, and as much of the seams' time, as it is told to."""
    world.vices.healthy_after_looks = 2
    driver = world.driver()
    act(driver, "create", want("app"))
    looks = [seen(driver)["Container/app", "i1"].health.status for _ in range(4)]
    assert looks == [
        "starting",
        "starting",
        "healthy",
        "healthy",
    ]


def test_a_stale_view_lags(world: MemoryWorld) -> None:
    """With `stale_looks` the host shows what was, until enough looks have passed."""
    world.vices.stale_looks = 1
    driver = world.driver()
    assert seen(driver) == {}
    act(driver, "create", want("app"))
    assert seen(driver) == {}
    assert list(seen(driver)) == [("Container/app", "i1")]


def test_what_was_lost_starts_again_with_an_update(world: MemoryWorld) -> None:
    """A thing without a supervisor shows as lost; an update of it, unchanged, makes it run."""
    driver, app = world.driver(), want("app")
    act(driver, "create", app)
    thing = world.machine.things[app.ref, "i1"]
    thing.state = "lost"
    assert seen(driver)["Container/app", "i1"].fields["state"] == "lost"
    act(driver, "update", app)
    assert seen(driver)["Container/app", "i1"].fields["state"] == "running"
    thing.health = Health("unhealthy", message="says the test")
    assert seen(driver)["Container/app", "i1"].health.message == "says the test"
