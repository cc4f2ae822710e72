"""Whatever becomes of the source: what was good stays in force, nothing is deleted, it is said what is wrong, and it mends."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from reconciler.git import Files, Mirror
from reconciler.load import Loader
from reconciler.log import Log
from reconciler.loop import Loop, View
from reconciler.metrics import Metrics
from reconciler.seams import Seams
from reconciler.wanted import Accepted, Wanted
from tests.breaking import BROKEN, DAMAGE, HOSTILE, Breaking, Place, back, damaged, mended
from tests.repos import hermetic, make_origin
from tests.test_loop import World, until

NAMES = [f"c{number}" for number in range(8)]
HOSTS = "".join(
    f"---\napiVersion: convoy/v1\nkind: Host\nmetadata: {{name: {name}}}\nspec: {{driver: process}}\n" for name in ("h1", "h2")
)


def fleet(names: list[str] = NAMES, version: int = 1) -> str:
    containers = "".join(
        f"---\napiVersion: convoy/v1\nkind: Container\nmetadata: {{name: {name}}}\nspec: {{command: [app, '{version}']}}\n"
        for name in names
    )
    return HOSTS + containers


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    hermetic(monkeypatch)
    return Place(make_origin(tmp_path), tmp_path / "state" / "mirror", tmp_path / "aside")


class Watched:
    """A Convoy at work on machines in memory; a round is a look at the source and a tick of the loop."""

    def __init__(self, world: World, wanted: Wanted, loop: Loop) -> None:
        self.world, self.wanted, self.loop = world, wanted, loop

    def rounds(self, number: int = 4) -> Accepted:
        for _ in range(number):
            self.world.wish.accepted = self.wanted.look()
            view = self.loop.tick()
            assert not [action for action in view.plan.actions if action.verb == "delete"] if view.plan else True
            time.sleep(0.01)
        return self.world.wish.accepted

    def settle(self) -> View:
        self.world.wish.accepted = self.wanted.look()
        return until(self.loop, lambda view: view.converged)


@contextmanager
def at_work(world: World, place: Place, seams: Seams | None = None, signers: Files | None = None) -> Iterator[Watched]:
    seams = seams or Seams()
    source = Mirror(str(place.origin.path), "main", place.mirror, seams, signers=signers or Files())
    with closing(source), world.convoy() as (loop, store):
        log = Log(level="error")
        wanted = Wanted(source, Loader(None, seams), None, loop.certificates, store, Metrics(), log, seams, lambda: None)
        yield Watched(world, wanted, loop)


def words(accepted: Accepted) -> str:
    return "; ".join([accepted.unreadable, *(str(problem).replace(":1:1: ", ": ") for problem in accepted.problems)])


def check(world: World, place: Place, breaking: Breaking, good: str, *, still_there: bool) -> None:
    """`still_there`: the last good revision can be read from the mirror after a restart."""
    running = world.running()
    with at_work(world, place) as convoy:
        convoy.settle()
        assert world.running() == running
        breaking.how(place)
        accepted = convoy.rounds()
        assert accepted.fleet is not None
        assert accepted.fleet.revision == good
        assert re.search(breaking.said, words(accepted)), words(accepted)
        assert words(accepted).isprintable()
        assert all(problem.hint for problem in accepted.problems)
        assert world.running() == running
        # What breaks meanwhile is healed: what is in force is in force.
        world.break_down()
        until(convoy.loop, lambda view: world.running() == running)
    # After a restart it is the same: nobody waits for a forge.
    with at_work(world, place) as convoy:
        accepted = convoy.rounds()
        assert world.running() == running
        assert re.search(breaking.said, words(accepted)), words(accepted)
        assert (accepted.fleet is not None) == still_there
        if accepted.fleet is not None:
            assert accepted.fleet.revision == good
            world.break_down()
            until(convoy.loop, lambda view: world.running() == running)
        breaking.mend(place)
        mended(place, good)
        place.origin.commit({"d.yaml": fleet(["later"]).removeprefix(HOSTS)})
        convoy.rounds(2)
        accepted = convoy.rounds(1)
        assert (accepted.unreadable, accepted.refused, accepted.problems) == ("", "", ())
        convoy.settle()
        assert [name for name, _ in world.running()] == [*NAMES, "later"]


def begun(tmp_path: Path, place: Place) -> tuple[World, str]:
    world = World(tmp_path)
    good = place.origin.commit({"a.yaml": fleet()})
    with at_work(world, place) as convoy:
        convoy.settle()
    assert [name for name, _ in world.running()] == NAMES
    return world, good


@pytest.mark.slow
@pytest.mark.parametrize("breaking", BROKEN, ids=lambda one: one.name)
def test_a_broken_source(tmp_path: Path, place: Place, breaking: Breaking) -> None:
    """A repository or branch that is gone, damaged or another one."""
    world, good = begun(tmp_path, place)
    check(world, place, breaking, good, still_there=True)


@pytest.mark.slow
@pytest.mark.parametrize("breaking", HOSTILE, ids=lambda one: one.name)
def test_a_hostile_commit(tmp_path: Path, place: Place, breaking: Breaking) -> None:
    """What a commit can hold that is no fleet: refused by name, whole."""
    world, good = begun(tmp_path, place)
    check(world, place, breaking, good, still_there=True)


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGE, ids=lambda one: one.__name__)
def test_a_damaged_mirror_while_the_source_is_away(tmp_path: Path, place: Place, damage: Callable[[Path], None]) -> None:
    """The worst of moments: then nothing is in force after a restart, so nothing is touched; once the source is back all is."""
    world, good = begun(tmp_path, place)
    readable = damage.__name__ == "garble_ref"
    breaking = Breaking("", damaged(damage), r"is not a Git repository", back)
    check(world, place, breaking, good, still_there=readable)
