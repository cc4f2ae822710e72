"""What of a revision is in force, in the real loop: sync windows, manual syncs and hooks, healing beside them, and restarts."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.core.facts import FLEET, Order
from reconciler.core.model import FleetState, Ref
from reconciler.core.release import subject
from reconciler.loop import Loop, View
from reconciler.seams import Seams
from reconciler.store import Store
from reconciler.wanted import Accepted
from tests.fleets import load_text
from tests.test_loop import World, until

# 2026-07-03 was a Friday.
NOON = 1783080000.0
HOST = "apiVersion: convoy/v1\nkind: Host\nmetadata: {name: h1}\n"
OFFICE = '{kind: allow, schedule: "0 8 * * *", durationSeconds: 3600}'


class Clock(Seams):
    """The real one, moved; a test moves it further."""

    def __init__(self, at: float) -> None:
        self.ahead = at - super().now()

    def now(self) -> float:
        return super().now() + self.ahead


def fleet(revision: str, settings: str, *documents: str) -> FleetState:
    head = f"---\napiVersion: convoy/v1\nkind: Settings\nmetadata: {{name: fleet}}\nspec: {{drainSeconds: 0, {settings}}}\n"
    return replace(load_text(HOST + head + "".join(documents)), revision=revision)


def container(name: str, version: str = "v1", metadata: str = "") -> str:
    words = f"{{name: {name}{metadata}}}"
    return f"---\napiVersion: convoy/v1\nkind: Container\nmetadata: {words}\nspec: {{command: [x, {version}]}}\n"


HOOK = ", hook: {when: %s, only: [Container/a, Container/b], deadlineSeconds: 600}"


class Here(World):
    clock: Clock

    def commit(self, wanted: FleetState) -> None:
        before = {one.revision: one for one in [self.wish.accepted.fleet] if one is not None}
        self.wish.accepted = Accepted(wanted, noticed_at=self.clock.now(), before=before)

    @contextmanager
    def works(self) -> Iterator[tuple[Loop, Store]]:
        with ExitStack() as stack:
            yield stack.enter_context(self.convoy(seams=self.clock))

    def there(self) -> list[str]:
        """What runs, by name and by what its command says."""
        with self.machines["h1"].lock:
            things = [thing for thing in self.machines["h1"].things.values() if thing.state == "running"]
        return sorted(f"{thing.want.ref.name} {thing.want.run.command[1]}" for thing in things)


@pytest.fixture
def here(tmp_path: Path) -> Here:
    world = Here(tmp_path)
    world.clock = Clock(NOON)
    return world


def quiet(view: View) -> bool:
    return view.plan is not None and not view.plan.actions and all(held.release for held in view.plan.held)


def held(view: View) -> dict[str, str]:
    return {str(one.ref): one.reason for one in (view.plan.held if view.plan else ())}


def test_outside_a_window_nothing_but_healing_happens(here: Here) -> None:
    """A change, an addition and a removal wait for the window, as it was before is what is healed, also after a restart."""
    windows = f"windows: [{OFFICE}]"
    here.commit(fleet("r1", "", container("a"), container("b")))
    with here.works() as (loop, store):
        until(loop, lambda view: view.converged)
        here.commit(fleet("r2", windows, container("a", "v2"), container("c")))
        view = until(loop, quiet)
        assert here.there() == ["a v1", "b v1"]
        assert held(view) == dict.fromkeys(("Container/a", "Container/b", "Container/c"), "no sync window is open")
        tomorrow = NOON + 20 * 3600
        assert view.plan is not None
        assert view.plan.wake_at == tomorrow
        assert {one.sync for ref, one in view.status.items() if ref.kind == "Container"} == {"held"}
        assert store.status()["Container/c"]["declared"]
        here.break_down()
        until(loop, lambda view: quiet(view) and here.there() == ["a v1", "b v1"])
    with here.works() as (loop, _):
        here.break_down()
        until(loop, lambda view: quiet(view) and here.there() == ["a v1", "b v1"])
        here.clock.ahead += tomorrow - here.clock.now()
        until(loop, lambda view: view.converged)
        assert here.there() == ["a v2", "c v1"]


def test_an_override_and_what_it_is_about(here: Here) -> None:
    """A person's word lets one revision through, whole or in part with what that needs, and no later one."""
    windows = f"windows: [{OFFICE}]"
    here.commit(fleet("r1", windows, container("a"), container("b"), container("c")))
    with here.works() as (loop, store):
        until(loop, quiet)
        assert here.there() == []
        store.put_order(Order("override", subject("r1"), "now", "eve", here.clock.now()))
        until(loop, lambda view: view.converged)
        needs = ", needs: [Container/b]"
        here.commit(fleet("r2", windows, container("a", "v2", needs), container("b", "v2"), container("c", "v2")))
        until(loop, lambda view: quiet(view) and len(held(view)) == 3)
        store.put_order(Order("override", subject("r2", "Container/a"), "now", "eve", here.clock.now()))
        until(loop, lambda view: quiet(view) and here.there() == ["a v2", "b v2", "c v1"])
    with here.works() as (loop, store):
        # After a restart too, what is in force is of two revisions.
        here.break_down()
        until(loop, lambda view: quiet(view) and here.there() == ["a v2", "b v2", "c v1"])
        here.commit(fleet("r3", windows, container("a", "v3"), container("b", "v2"), container("c", "v2")))
        until(loop, lambda view: quiet(view) and set(held(view)) == {"Container/a", "Container/c"})
        assert store.orders() == ()


@pytest.mark.parametrize(("overrun", "goes_on"), [("stop", False), ("finish", True)])
def test_a_window_that_closes_before_all_is_begun(here: Here, overrun: str, goes_on: bool) -> None:
    """What waited for its turn when the window closed stays for the next, or goes on; what was begun is ended either way."""
    windows = f"windows: [{OFFICE[:-1]}, overrun: {overrun}}}]"
    here.clock.ahead += NOON + 20 * 3600 + 60 - here.clock.now()
    first = [container("a"), container("b"), container("old")]
    here.commit(fleet("r1", windows, *first))
    with here.works() as (loop, _):
        until(loop, lambda view: view.converged)
        here.vices.healthy_after_s = 3600.0
        needs = ", needs: [Container/a]"
        here.commit(fleet("r2", windows, container("a", "v2"), container("b", "v2", needs), container("new", "v1", needs)))
        until(loop, lambda view: quiet(view) or here.there() == ["a v1", "a v2", "b v1"])
        here.clock.ahead += 3600
        here.vices.healthy_after_s = 0.0
        view = until(loop, lambda view: view.converged if goes_on else quiet(view) and here.there()[0] == "a v2")
        assert here.there() == (["a v2", "b v2", "new v1"] if goes_on else ["a v2", "b v1"])
        if not goes_on:
            assert held(view)["Container/b"] == "no sync window is open, and it was not begun in one"
            # What has run and is gone is put back all the same, as it is declared now.
            here.break_down()
            until(loop, lambda view: quiet(view) and here.there() == ["a v2", "b v2"])


def test_by_hand(here: Here) -> None:
    """With `sync: manual` a revision is shown and waits; a person releases it, and what has begun is healed meanwhile."""
    here.commit(fleet("r1", "", container("a")))
    with here.works() as (loop, store):
        until(loop, lambda view: view.converged)
        here.commit(fleet("r2", "sync: manual", container("a", "v2")))
        view = until(loop, quiet)
        assert held(view) == {"Container/a": "changes are made by hand here (`sync: manual`)"}
        store.put_order(Order("sync", subject("r2"), "", "eve", here.clock.now()))
        until(loop, lambda view: view.converged)
        assert here.there() == ["a v2"]


def test_emptying_waits_as_a_whole(here: Here) -> None:
    """What a window lets through all at once is judged by the delete budget all at once."""
    names = "abcdefgh"
    here.commit(fleet("r1", "", *(container(name) for name in names)))
    with here.works() as (loop, _):
        until(loop, lambda view: view.converged)
        here.commit(fleet("r2", f"windows: [{OFFICE}]"))
        until(loop, lambda view: quiet(view) and len(held(view)) == 8)
        here.clock.ahead += NOON + 20 * 3600 - here.clock.now()
        view = until(loop, lambda view: quiet(view) and all("delete budget" in why for why in held(view).values()))
        assert len(held(view)) == len(here.there()) == 8


@pytest.mark.parametrize("when", ["before-sync", "after-sync"])
def test_a_hook_runs_once_for_each_change(here: Here, when: str) -> None:
    """Before or after what it is for, for a roll-back as well, and not for what it is not for, nor after a restart."""
    hook = container("migrate", "h", HOOK % when)
    order: list[str] = []

    def look(view: View) -> bool:
        if view.plan is not None:
            order.extend(f"{action.verb} {action.ref.name}" for action in view.plan.actions)
        return view.converged

    with here.works() as (loop, _):
        here.commit(fleet("r1", "", container("a"), container("other"), hook))
        until(loop, look)
        first, second = ("migrate", "a") if when == "before-sync" else ("a", "migrate")
        assert order.index(f"create {first}") < order.index(f"create {second}")
        assert order.count("create migrate") == 1
        for revision, version, other, more in (("r2", "v1", "v2", 0), ("r3", "v2", "v2", 1), ("r4", "v1", "v2", 1)):
            order.clear()
            here.commit(fleet(revision, "", container("a", version), container("other", other), hook))
            until(loop, lambda view, revision=revision: look(view) and view.revision == revision)  # type: ignore[misc]
            assert order.count("create migrate") == more
            assert here.there() == [f"a {version}", f"other {other}"]
    with here.works() as (loop, _):
        order.clear()
        until(loop, look)
        assert order == []
        # One run is kept for its log.
        assert sorted(thing.want.ref.name for thing in here.machines["h1"].things.values()) == ["a", "migrate", "other"]


def test_a_hook_that_fails_holds_what_comes_after_it(here: Here) -> None:
    """The old goes on and is healed; a person's retry or a newer commit runs it again, and nothing else does."""
    hook = container("migrate", "h", HOOK % "before-sync")
    here.commit(fleet("r1", "", container("a"), hook))
    with here.works() as (loop, store):
        until(loop, lambda view: view.converged)
        here.vices.ends_with = 3
        here.commit(fleet("r2", "", container("a", "v2"), container("other"), hook))
        view = until(loop, lambda view: quiet(view) and "has failed" in held(view).get("Container/a", ""))
        assert here.there() == ["a v1", "other v1"]
        assert held(view)["Container/a"] == "Container/migrate, which runs before it, has failed: exited with status 3"
        assert view.status[Ref("Container", "migrate")].sync == "failed"
    with here.works() as (loop, store):
        until(loop, lambda view: quiet(view) and "has failed" in held(view).get("Container/a", ""))
        assert [str(action.ref) for _ in range(5) for action in loop.tick().plan.actions] == []  # type: ignore[union-attr]
        here.vices.ends_with = 0
        store.put_order(Order("retry", FLEET, "", "eve", here.clock.now()))
        until(loop, lambda view: view.converged)
        assert here.there() == ["a v2", "other v1"]
        here.vices.ends_with = 1
        here.commit(fleet("r3", "", container("a", "v3"), container("other"), hook))
        until(loop, lambda view: quiet(view) and "has failed" in held(view).get("Container/a", ""))
        here.vices.ends_with = 0
        here.commit(fleet("r4", "", container("a", "v4"), container("other"), hook))
        until(loop, lambda view: view.converged)
        assert here.there() == ["a v4", "other v1"]


def test_a_hook_has_a_deadline_and_a_newer_revision_ends_it(here: Here) -> None:
    """One that does not end is ended, and has failed; while it runs, what it is for waits for nobody, and a newer revision that
    changes that ends it."""
    hook = container("migrate", "h", HOOK % "before-sync")
    here.vices.healthy_after_looks = 10_000
    here.commit(fleet("r1", "", container("a"), hook))
    with here.works() as (loop, _):
        until(loop, lambda view: here.there() == ["migrate h"])
        (first,) = here.machines["h1"].things
        here.commit(fleet("r2", "", container("a", "v2"), hook))

        def runs_anew(_: View) -> bool:
            assert loop.premises is not None
            run = loop.premises.facts.hooks[Ref("Container", "migrate")]
            return here.there() == ["migrate h"] and first not in here.machines["h1"].things and run.state == "running"

        view = until(loop, runs_anew)
        assert view.status[Ref("Container", "a")].sync == "pending"
        here.clock.ahead += 601
        view = until(loop, lambda view: quiet(view) and bool(held(view)))
        assert view.status[Ref("Container", "a")].sync == "held"
        assert here.there() == []
        assert held(view)["Container/a"].endswith("it took longer than 600 s and was ended")
