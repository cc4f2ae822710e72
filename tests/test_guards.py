"""The guards in the real loop: what they remember outlives every Convoy, and what people say has its effect once."""

import contextlib
import time
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.core import guard
from reconciler.core.facts import DELETES, FLEET, RETAINED, Order
from reconciler.core.kinds.host import Host
from reconciler.core.model import Ref
from reconciler.drivers.memory import Thing
from reconciler.loop import Loop, View
from reconciler.store import StoreError
from reconciler.wanted import Accepted
from tests.test_loop import World, fleet, until

MANY = {f"c{n:02}": "v1" for n in range(12)}
FEW = {"c00": "v1", "c01": "v1"}


def order(verb: str, subject: str, at: float = 0.0, until: float | None = None) -> Order:
    return Order(verb, subject, "said so", "eve", at, until)  # type: ignore[arg-type]


def things(world: World) -> dict[str, Thing]:
    return {ref.name: thing for machine in world.machines.values() for (ref, _), thing in machine.things.items()}


def filled(world: World, wants: dict[str, str] = MANY) -> None:
    world.wish.accepted = Accepted(fleet("r1", wants))
    with world.convoy() as (loop, _):
        until(loop, lambda view: view.converged)


def rounds(loop: Loop, number: int = 10) -> View:
    for _ in range(number):
        loop.tick()
        time.sleep(0.005)
    return loop.view


def test_a_lot_stays_held_over_restarts_and_other_revisions(tmp_path: Path) -> None:
    """Ten of twelve are not deleted by a mistake, nor because later revisions make the fleet larger."""
    world = World(tmp_path)
    filled(world)
    world.wish.accepted = Accepted(fleet("r2", FEW))
    with world.convoy() as (loop, _):
        until(loop, lambda view: bool(view.plan and len(view.plan.held) == 10 and view.plan.held[0].release))
    more = FEW | {f"d{n:02}": "v1" for n in range(40)}
    world.wish.accepted = Accepted(fleet("r3", more))
    with world.convoy() as (loop, store):
        until(loop, lambda _: len(world.running()) == 52)
        rounds(loop)
        assert "10 of 12 workloads would be deleted" in store.status()["Container/c05"]["why"]
        assert store.status()["Container/c05"]["sync"] == "held"
    assert len(world.running()) == 52

    world.wish.accepted = Accepted(fleet("r4", MANY | more))
    with world.convoy() as (loop, _):
        until(loop, lambda view: view.converged)
    assert [name for name, _ in world.running()] == sorted(MANY | more)


def test_a_released_lot_is_deleted_to_its_end(tmp_path: Path) -> None:
    """The word of the commit that deletes counts for its revision alone, also when Convoy is restarted half way."""
    world = World(tmp_path)
    filled(world)
    world.wish.accepted = Accepted(fleet("r2", FEW), noticed_at=10.0)
    world.vices.refuse = lambda action: "not now" if action.ref.name > "c06" else ""
    with world.convoy() as (loop, store):
        store.put_order(order("confirm", DELETES, at=11.0))
        until(loop, lambda view: bool(view.plan and len(view.plan.held) == 10))
        rounds(loop)
        assert len(world.running()) == 12, "it was said of a later revision"
        world.wish.accepted = Accepted(fleet("r3", FEW), noticed_at=11.0)
        until(loop, lambda _: len(world.running()) == 7)
        assert store.orders() == ()
    world.vices.refuse = lambda _: ""
    with world.convoy() as (loop, _):
        until(loop, lambda view: view.converged)
    assert [name for name, _ in world.running()] == ["c00", "c01"]


def test_one_delete_is_confirmed_once(tmp_path: Path) -> None:
    """A confirm lets its own delete go, is forgotten with it, and says nothing about the next one of that name."""
    world = World(tmp_path)
    filled(world)
    world.wish.accepted = Accepted(fleet("r2", FEW))
    with world.convoy() as (loop, store):
        until(loop, lambda view: bool(view.plan and len(view.plan.held) == 10))
        store.put_order(order("confirm", "Container/c05"))
        until(loop, lambda _: "c05" not in things(world))
        until(loop, lambda _: store.orders() == ())
        assert len(world.running()) == 11


def test_what_is_retained_goes_on_running(tmp_path: Path) -> None:
    """Its document is gone and it stays, `convoy down` leaves it too, unless it is told otherwise."""
    world = World(tmp_path)
    filled(world, FEW)
    kept = things(world)["c01"]
    kept.want = replace(kept.want, deletion="retain")
    world.wish.accepted = Accepted(fleet("r2", {"c00": "v1"}))
    with world.convoy() as (loop, store):
        view = until(loop, lambda view: view.converged)
        assert view.plan is not None
        assert view.plan.left == {Ref("Container", "c01"): "retained: its document said `deletion: retain`"}
        assert store.status()["Container/c01"]["sync"] == "synced"
    world.wish.accepted = Accepted(fleet("down", {}, ()), orders=(order("confirm", FLEET),))
    with world.convoy() as (loop, _):
        loop.know_host("h1", Host())
        loop.know_host("h2", Host())
        until(loop, lambda view: view.converged and len(world.running()) == 1)
    world.wish.accepted = Accepted(fleet("down", {}, ()), orders=(order("confirm", FLEET), order("confirm", RETAINED)))
    with world.convoy() as (loop, _):
        loop.know_host("h1", Host())
        loop.know_host("h2", Host())
        until(loop, lambda _: world.running() == [])


def test_a_suspension_ends_by_itself(tmp_path: Path) -> None:
    """While it lasts nothing is done, however the thing fares; then it is healed."""
    world = World(tmp_path)
    filled(world, FEW)
    with world.convoy() as (loop, store):
        store.put_order(order("suspend", "Container/c00", until=time.time() + 3600.0))
        for machine in world.machines.values():
            machine.things = {key: thing for key, thing in machine.things.items() if key[0].name != "c00"}
            machine.ring()
        view = until(loop, lambda view: view.status[Ref("Container", "c00")].sync == "held")
        assert "suspended by eve: said so" in view.status[Ref("Container", "c00")].why
        rounds(loop)
        assert [name for name, _ in world.running()] == ["c01"]
        store.put_order(order("suspend", "Container/c00", until=time.time() + 0.2))
        until(loop, lambda view: view.converged)
    assert [name for name, _ in world.running()] == ["c00", "c01"]


def meddle(world: World, name: str) -> bool:
    """Somebody changes it; whether it was as declared before."""
    thing = things(world)[name]
    if "stop" in thing.fields:
        return False
    thing.fields["stop"] = "meddled with"
    for machine in world.machines.values():
        machine.ring()
    return True


def test_a_fight_is_left_and_resumed(tmp_path: Path) -> None:
    """After five corrections what somebody keeps changing is left alone and named; a person has it go on."""
    world = World(tmp_path)
    filled(world, FEW)
    ref, times = Ref("Container", "c00"), 0
    with world.convoy() as (loop, store):

        def fought(view: View) -> bool:
            nonlocal times
            if ref in view.status and view.status[ref].sync == "held":
                return True
            times += meddle(world, "c00")
            return False

        until(loop, fought)
        assert 5 <= times <= 6
        assert "something else keeps changing it" in loop.view.status[ref].why
        assert b"convoy_fights 1.0" in loop._metrics.exposition()
        assert loop.view.status[Ref("Container", "c01")].sync == "synced"
        store.put_order(order("resume", str(ref)))
        until(loop, lambda view: view.converged)
        assert store.orders() == ()


def test_a_fight_ends_with_a_new_revision(tmp_path: Path) -> None:
    """What was fought about is forgotten once the changed document has come into effect: the next drift is put right again."""
    world = World(tmp_path)
    filled(world, FEW)
    ref = Ref("Container", "c00")
    with world.convoy() as (loop, _):

        def fought(view: View) -> bool:
            if ref in view.status and view.status[ref].sync == "held":
                return True
            meddle(world, "c00")
            return False

        until(loop, fought)
        world.wish.accepted = Accepted(fleet("r2", FEW | {"c00": "v2"}))
        until(loop, lambda view: view.converged and view.revision == "r2")
        assert meddle(world, "c00")
        until(loop, lambda view: view.converged and "stop" not in things(world)["c00"].fields)


def test_a_drift_is_known_after_a_restart(tmp_path: Path) -> None:
    """What vanished while no Convoy ran is a drift too, and is only reported where that is the policy."""
    world = World(tmp_path)
    filled(world, FEW)
    for machine in world.machines.values():
        machine.things = {key: thing for key, thing in machine.things.items() if key[0].name != "c00"}
    declared = fleet("r1", FEW)
    want = declared.workloads[Ref("Container", "c00")]
    reported = replace(want, drift={"": "report"})
    world.wish.accepted = Accepted(replace(declared, workloads={**declared.workloads, want.ref: reported}))
    with world.convoy() as (loop, _):
        view = until(loop, lambda view: want.ref in view.status and view.status[want.ref].sync == "drifted")
        rounds(loop)
        assert "it is gone" in view.status[want.ref].why
    assert [name for name, _ in world.running()] == ["c01"]


def test_another_installations_things_are_taken_over_when_a_person_says_so(tmp_path: Path) -> None:
    """Until then they are neither touched nor made a second time; then they are ours, without being made anew."""
    world = World(tmp_path)
    filled(world, FEW)
    theirs = things(world)["c00"]
    theirs.installation = "the-other-one"
    ref = Ref("Container", "c00")
    with world.convoy() as (loop, store):
        view = until(loop, lambda view: ref in view.status and view.status[ref].sync == "held")
        assert "bears the mark of installation the-other-one" in view.status[ref].why
        rounds(loop)
        assert things(world)["c00"] is theirs
        assert (store.state() or {})["foreign"] == {"the-other-one": 1}
        store.put_order(order("take-over", "the-other-one"))
        until(loop, lambda view: view.converged and store.orders() == ())
        assert things(world)["c00"] is theirs
        assert theirs.installation == store.installation()


def test_a_round_that_cannot_be_remembered_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lets a delete pass is kept before the delete: where it cannot be kept, nothing is deleted."""
    world = World(tmp_path)
    filled(world, FEW)
    world.wish.accepted = Accepted(fleet("r2", {"c00": "v1"}))
    with world.convoy() as (loop, store), monkeypatch.context() as patched:

        def full(_: object) -> None:
            raise StoreError("cannot write guards: no space left")

        patched.setattr(store, "put_guards", full)
        loop.know_host("h1", Host())
        loop.know_host("h2", Host())
        for _ in range(10):
            with contextlib.suppress(StoreError):
                loop.tick()
            time.sleep(0.005)
        assert len(world.running()) == 2
        patched.undo()
        until(loop, lambda view: view.converged)
    assert len(world.running()) == 1


def test_what_is_made_for_the_first_time_corrects_nothing(tmp_path: Path) -> None:
    """Also where it has been seen as declared before it is heard that making it is done; what is put back does."""
    world = World(tmp_path)
    world.wish.accepted = Accepted(fleet("r1", {"a": "v1"}))
    with world.convoy() as (loop, _):
        made = until(loop, lambda view: bool(view.plan and view.plan.actions)).plan
        until(loop, lambda view: view.converged)
        world.machines["h1"].things.clear()
        world.machines["h1"].ring()
        again = until(loop, lambda view: bool(view.plan and view.plan.actions)).plan
        assert loop.premises is not None
        facts = loop.premises.facts
        assert made is not None
        assert again is not None
        (first,), (second,) = made.actions, again.actions
        assert replace(first, drift=True) == second
        assert not guard.corrects(first, facts)
        assert guard.corrects(second, facts)
