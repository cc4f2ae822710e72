"""How one gets out again of what is withheld: by going back, by mending the windows, by hand, and past a host that is lost."""

from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.core.facts import Order
from reconciler.core.model import FleetState, Ref
from reconciler.core.release import subject
from reconciler.drivers.memory import Vices
from tests.test_loop import until
from tests.test_releases import HOOK, NOON, OFFICE, Clock, Here, container, fleet, held, quiet


class World(Here):
    """Whose source still has every revision, as Git has."""

    def commit(self, wanted: FleetState) -> None:
        before = dict(self.wish.accepted.before)
        super().commit(wanted)
        self.wish.accepted = replace(self.wish.accepted, before={**before, **self.wish.accepted.before})


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.clock = Clock(NOON)
    return made


def test_going_back_ends_what_failed(world: World) -> None:
    """A hook that failed for a revision concerns nobody once that is taken back; also where Convoy was killed in between."""
    hook = container("migrate", "h", HOOK % "before-sync")
    world.commit(fleet("r1", "", container("a"), hook))
    with world.works() as (loop, _):
        until(loop, lambda view: view.converged)
        world.vices.ends_with = 3
        world.commit(fleet("r2", "", container("a", "v2"), hook))
        until(loop, lambda view: quiet(view) and "has failed" in held(view).get("Container/a", ""))
    world.commit(fleet("r3", "", container("a"), hook))
    with world.works() as (loop, _):
        view = until(loop, lambda view: view.converged)
        assert (held(view), world.there()) == ({}, ["a v1"])
        assert view.status[Ref("Container", "migrate")].sync == "synced"
        world.vices.ends_with = 0
        world.commit(fleet("r4", "", container("a", "v2"), hook))
        until(loop, lambda view: view.converged)
        assert world.there() == ["a v2"]


def test_a_commit_that_mends_the_windows_lets_itself_through(world: World) -> None:
    """Windows count as the newest revision has them: one that adds a window is held by it, and one that takes it away is not,
    also when Convoy begins anew at each of them; and what is withheld of a revision that is superseded never comes."""
    world.commit(fleet("r1", "", container("a"), container("b")))
    with world.works() as (loop, _):
        until(loop, lambda view: view.converged)
    world.commit(fleet("r2", f"windows: [{OFFICE}]", container("a", "v2"), container("b")))
    with world.works() as (loop, _):
        until(loop, lambda view: quiet(view) and set(held(view)) == {"Container/a"})
        world.commit(fleet("r3", f"windows: [{OFFICE}]", container("a", "v3"), container("b", "v3")))
        until(loop, lambda view: quiet(view) and set(held(view)) == {"Container/a", "Container/b"})
        assert world.there() == ["a v1", "b v1"]
    world.commit(fleet("r4", "", container("a", "v3"), container("b")))
    with world.works() as (loop, _):
        until(loop, lambda view: view.converged)
        assert world.there() == ["a v3", "b v1"]


def test_by_hand_with_a_restart_between_the_word_and_the_deed(world: World) -> None:
    """What a person released is made by whoever works next, and only that; and healed by whoever works after."""
    both = (container("a", "v2"), container("b", "v2"))
    world.commit(fleet("r1", "", container("a"), container("b")))
    with world.works() as (loop, _):
        until(loop, lambda view: view.converged)
    world.commit(fleet("r2", "sync: manual", *both))
    with world.works() as (loop, store):
        until(loop, lambda view: quiet(view) and len(held(view)) == 2)
        store.put_order(Order("sync", subject("r2", "Container/a"), "", "eve", world.clock.now()))
    with world.works() as (loop, _):
        until(loop, lambda view: quiet(view) and world.there() == ["a v2", "b v1"])
        assert set(held(loop.view)) == {"Container/b"}
    world.machines["h1"].things.clear()
    with world.works() as (loop, _):
        until(loop, lambda view: quiet(view) and world.there() == ["a v2", "b v1"])
        world.commit(fleet("r3", "sync: manual", container("a", "v2"), container("b")))
        until(loop, lambda view: view.converged)


def test_nothing_is_written_while_something_waits(world: World) -> None:
    """Round after round, with a part of a revision in force and a part not, the answer is the one there is."""
    window = OFFICE.replace("}", ", only: [Container/a]}")
    world.commit(fleet("r1", "", container("a"), container("b")))
    with world.works() as (loop, store):
        until(loop, lambda view: view.converged)
        world.commit(fleet("r2", f"windows: [{window}]", container("a", "v2"), container("b", "v2")))
        until(loop, lambda view: quiet(view) and world.there() == ["a v1", "b v2"])
        kept, written = store.guards(), store.last_plan()
        fleets = {id(loop.tick() and loop._releases._next.fleet) for _ in range(4)}
        assert len(fleets) == 1
        assert (store.guards(), store.last_plan()) == (kept, written)


def test_a_hook_is_not_waited_for_on_a_host_that_is_lost(world: World) -> None:
    """Declaring the host lost counts at once: nobody knows how the run there ended, and it is run anew elsewhere."""
    hook = container("migrate", "h", HOOK.replace("deadlineSeconds: 5", "deadlineSeconds: 900") % "before-sync")
    world.vices.healthy_after_looks = 10_000
    more = "---\napiVersion: convoy/v1\nkind: Host\nmetadata: {name: h2}\nspec: {state: %s}\n"
    world.commit(fleet("r1", "", container("a"), hook, more % "cordoned"))
    with world.works() as (loop, _):
        until(loop, lambda view: world.there() == ["migrate h"])
        loop.hosts.workers["h1"]._driver.vices = Vices(outage=True)  # type: ignore[attr-defined]
        until(loop, lambda view: view.status[Ref("Host", "h1")].sync == "held")
        said = fleet("r2", "", container("a"), hook, more % "active")
        host = Ref("Host", "h1")
        gone = replace(said.resources[host], spec=said.resources[host].spec.model_copy(update={"state": "lost"}), digest="lost")
        world.commit(replace(said, resources={**said.resources, host: gone}))
        world.vices.healthy_after_looks = 1
        until(
            loop,
            lambda view: [thing.want.ref.name for thing in tuple(world.machines["h2"].things.values())] == ["migrate", "a"],
        )
