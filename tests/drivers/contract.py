"""What every driver promises, whatever kind of host it speaks to: one suite, and what a test needs to play it."""

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import pytest

from reconciler.core.kinds.spec import Port, Run
from reconciler.core.model import Action, Observed, Ref, Verb, Want
from reconciler.core.running import LogAsk
from reconciler.drivers import Driver, DriverError, NoInstance
from reconciler.seams import Seams


class Killed(BaseException):
    """Convoy ends here: nothing after this point is done by anybody."""


class Faults(Seams):
    """Seams that count points, and raise at the one that is asked for."""

    def __init__(self) -> None:
        self.reached: list[str] = []
        self.fail_at = -1
        self.failure: BaseException = Killed()

    def point(self, name: str, *about: object) -> None:
        self.reached.append(name)
        if len(self.reached) - 1 == self.fail_at:
            raise self.failure

    def arm(self, position: int, failure: BaseException) -> None:
        self.reached, self.fail_at, self.failure = [], position, failure

    def disarm(self) -> None:
        self.reached, self.fail_at = [], -1


class World(Protocol):
    """One host as a test has it. Every `driver()` is a new object on the same host, as after a restart of Convoy."""

    seams: Faults

    def driver(self, installation: str = "ours") -> Driver: ...


RUN = Run(command=("sleep", "1000"), ports=(Port(name="http"),))
PRINTING = Run(command=("/bin/sh", "-c", "echo one; echo two words; echo three; exec sleep 1000"))


def want(name: str, instance: str = "i1", live: str = "l1", uid: str = "u1", run: Run = RUN, kind: str = "Container") -> Want:
    ref = Ref(kind, name)
    return Want(ref, uid, instance, live, run, ref)


def act(driver: Driver, verb: Verb, wanted: Want, deadline_s: float = 120.0) -> None:
    carried = None if verb == "delete" else wanted
    driver.apply(Action(verb, wanted.ref, wanted.instance, "here", carried, "the test says so", deadline_s=deadline_s))


def seen(driver: Driver) -> Mapping[tuple[str, str], Observed]:
    """(printed ref, instance) ⇒ what is seen of it."""
    return {(str(one.ref), one.instance): one for one in driver.observe()}


def eventually(driver: Driver, wanted: Want, holds: Callable[[Observed], bool], within_s: float = 60.0) -> Observed:
    """Look until it holds of this instance, woken by the driver."""
    until = time.monotonic() + within_s
    last: Observed | None = None
    while time.monotonic() < until:
        last = seen(driver).get((str(wanted.ref), wanted.instance))
        if last is not None and holds(last):
            return last
        driver.changed(0.05)
    raise AssertionError(f"not within {within_s} s: {last}")


def printed(driver: Driver, wanted: Want, ask: LogAsk) -> list[str]:
    lines = driver.logs(wanted.ref, wanted.instance, ask)
    return [line.text.decode().rstrip("\n") for line in lines if line is not None]


def healthy(one: Observed) -> bool:
    return one.health.status == "healthy"


def lasting(one: Observed) -> dict[str, Any]:
    """What does not depend on when it was looked at."""
    return {name: one.fields[name] for name in ("uid", "owner", "live", "address", "ports")}


class Contract:
    """The promises."""

    def test_created_seen_healthy_deleted(self, world: World) -> None:
        """What is created is seen with everything the planner needs, becomes healthy, and is gone when deleted."""
        driver = world.driver()
        assert seen(driver) == {}
        app = want("app")
        act(driver, "create", app)
        one = eventually(driver, app, healthy)
        assert (one.ref, one.instance, one.host) == (app.ref, "i1", "here")
        assert one.fields["uid"] == "u1"
        assert one.fields["owner"] == "Container/app"
        assert one.fields["live"] == "l1"
        assert one.fields["state"] == "running"
        assert one.fields["address"] == "127.0.0.1"
        assert 0 < one.fields["ports"]["http"] < 65536
        assert one.fields["stop_s"] > 0
        assert one.since > 0
        act(driver, "delete", app)
        assert seen(driver) == {}

    def test_twice_is_as_once(self, world: World) -> None:
        """Repeating any step changes nothing: the same thing goes on, on the same ports."""
        driver, app = world.driver(), want("app")
        act(driver, "create", app)
        first = eventually(driver, app, healthy)
        act(driver, "create", app)
        act(driver, "update", app)
        second = eventually(driver, app, healthy)
        assert (second.fields["pid"], lasting(second)) == (first.fields["pid"], lasting(first))
        act(driver, "delete", app)
        act(driver, "delete", app)
        assert seen(driver) == {}

    def test_deleting_what_was_never_there(self, world: World) -> None:
        """A delete of nothing is done."""
        driver = world.driver()
        act(driver, "delete", want("never"))
        assert seen(driver) == {}

    def test_update_changes_in_place(self, world: World) -> None:
        """An update is in force when it returns, and neither the process nor its ports are others than before."""
        driver, app = world.driver(), want("app")
        act(driver, "create", app)
        before = eventually(driver, app, healthy)
        act(driver, "update", replace(app, live="l2"))
        after = seen(driver)["Container/app", "i1"]
        assert after.fields["live"] == "l2"
        assert (after.fields["pid"], after.fields["ports"]) == (before.fields["pid"], before.fields["ports"])

    def test_update_of_what_is_not_there(self, world: World) -> None:
        """Only a create makes something."""
        with pytest.raises(DriverError, match="not there"):
            act(world.driver(), "update", want("never"))

    def test_old_and_new_stand_side_by_side(self, world: World) -> None:
        """Two instances of one name live at once on ports of their own; deleting one leaves the other alone."""
        driver, old, new = world.driver(), want("app", "i1"), want("app", "i2")
        act(driver, "create", old)
        act(driver, "create", new)
        both = [eventually(driver, one, healthy) for one in (old, new)]
        assert both[0].fields["ports"]["http"] != both[1].fields["ports"]["http"]
        act(driver, "delete", old)
        left = seen(driver)
        assert list(left) == [("Container/app", "i2")]
        assert left["Container/app", "i2"].fields["pid"] == both[1].fields["pid"]

    def test_the_same_thing_for_another_document(self, world: World) -> None:
        """A document that was deleted and written anew takes over the identical instance, with its own uid."""
        driver, app = world.driver(), want("app", uid="u1")
        act(driver, "create", app)
        before = eventually(driver, app, healthy)
        act(driver, "create", replace(app, uid="u2"))
        after = eventually(driver, app, healthy)
        assert after.fields["uid"] == "u2"
        assert after.fields["ports"] == before.fields["ports"]

    def test_what_runs_outlives_the_driver(self, world: World) -> None:
        """A new driver object, as after a restart of Convoy, sees what the last one made."""
        driver, app = world.driver(), want("app")
        act(driver, "create", app)
        before = eventually(driver, app, healthy)
        driver.close()
        after = eventually(world.driver(), app, healthy)
        assert (after.fields["pid"], lasting(after)) == (before.fields["pid"], lasting(before))

    def test_another_installation_is_left_alone(self, world: World) -> None:
        """What bears somebody else's mark is not seen, not deleted, and not overwritten."""
        ours, theirs, app = world.driver(), world.driver("theirs"), want("app")
        act(theirs, "create", app)
        before = eventually(theirs, app, healthy)
        assert seen(ours) == {}
        with pytest.raises(DriverError, match="installation"):
            act(ours, "create", app)
        with contextlib.suppress(DriverError):
            act(ours, "delete", app)
        assert seen(theirs)["Container/app", "i1"].fields["pid"] == before.fields["pid"]

    def test_another_installations_things_are_taken_over(self, world: World) -> None:
        """They are named with whose they are; a take-over of that installation makes them ours, of any other leaves them."""
        ours, theirs, app = world.driver(), world.driver("theirs"), want("app")
        act(theirs, "create", app)
        before = eventually(theirs, app, healthy)

        def take_over(whose: str) -> None:
            for _ in range(2):
                ours.apply(Action("take-over", app.ref, app.instance, "here", whose, "the test says so"))

        assert seen(ours) == {}
        assert ours.foreign() == {(app.ref, "i1"): "theirs"}
        take_over("somebody else")
        assert seen(ours) == {}
        take_over("theirs")
        after = eventually(ours, app, healthy)
        assert (after.fields["pid"], lasting(after)) == (before.fields["pid"], lasting(before))
        assert seen(ours).keys() == {("Container/app", "i1")}
        assert ours.foreign() == {}
        assert seen(theirs) == {}
        assert theirs.foreign() == {(app.ref, "i1"): "ours"}

    def test_the_mark_carries_the_deletion_policy(self, world: World) -> None:
        """It is seen without its document, and changes in place."""
        driver, app = world.driver(), replace(want("app"), deletion="confirm")
        act(driver, "create", app)
        before = eventually(driver, app, healthy)
        assert before.fields["deletion"] == "confirm"
        act(driver, "update", replace(app, live="l2", deletion="retain"))
        after = eventually(world.driver(), app, lambda one: one.fields["live"] == "l2")
        assert (after.fields["deletion"], after.fields["pid"]) == ("retain", before.fields["pid"])

    @pytest.mark.parametrize("verb", ["create", "update", "delete"])
    def test_a_kill_at_any_point_and_again(self, world: World, verb: Verb) -> None:
        """Killed at whatever point, a step that is simply repeated ends as if nothing had happened."""
        position = 0
        while True:
            driver, app = world.driver(), want(f"app-{position}")
            if verb != "create":
                act(driver, "create", app)
            asked = replace(app, live="l2") if verb == "update" else app
            world.seams.arm(position, Killed())
            try:
                act(driver, verb, asked)
                finished = True
            except Killed:
                finished = False
            world.seams.disarm()
            driver.close()
            again = world.driver()
            seen(again)
            act(again, verb, asked)
            if verb == "delete":
                assert seen(again) == {}
            else:
                one = eventually(again, app, healthy)
                assert one.fields["live"] == asked.live
                assert len(seen(again)) == 1
                act(again, "delete", app)
            if finished:
                break
            position += 1
        assert position > 0

    def test_nothing_but_driver_errors(self, world: World) -> None:
        """An I/O that fails, at whatever point, comes out as a DriverError that names what was attempted."""
        position = 0
        while True:
            driver, app = world.driver(), want(f"app-{position}")
            world.seams.arm(position, OSError(28, "No space left on device"))
            failures: list[str] = []
            steps = (partial(act, driver, "create", app), partial(seen, driver), partial(act, driver, "delete", app))
            for step in steps:
                try:
                    step()
                except DriverError as error:
                    failures.append(str(error))
            reached = len(world.seams.reached)
            world.seams.disarm()
            act(driver, "delete", app)
            if position >= reached:
                break
            assert len(failures) == 1
            assert "No space left on device" in failures[0]
            assert "here" in failures[0]
            position += 1
        assert position >= 3

    def test_close_ends_a_wait(self, world: World) -> None:
        """Whoever waits for changes returns soon after close, and never waits again."""
        driver = world.driver()
        results: list[bool] = []
        waiting = threading.Thread(target=lambda: results.append(driver.changed(3600.0)))
        waiting.start()
        time.sleep(0.05)
        driver.close()
        waiting.join(120.0)
        assert results == [False]
        assert driver.changed(3600.0) is False

    def test_a_change_wakes(self, world: World) -> None:
        """A step's effect on the host ends a wait long before its time."""
        driver = world.driver()
        driver.changed(0.0)
        act(driver, "create", want("app"))
        assert driver.changed(3600.0) is True

    def test_what_is_printed_is_read(self, world: World) -> None:
        """All of it, the last lines, what came since; of another installation's instance, or of none, nothing."""
        driver, app = world.driver(), want("app", run=PRINTING)
        act(driver, "create", app)
        eventually(driver, app, healthy)
        until = time.monotonic() + 60.0
        while (found := printed(driver, app, LogAsk())) != ["one", "two words", "three"]:
            assert time.monotonic() < until, found
            time.sleep(0.05)
        assert printed(driver, app, LogAsk(lines=2)) == ["two words", "three"]
        assert printed(driver, app, LogAsk(lines=0)) == []
        assert printed(driver, app, LogAsk(since=1.0)) == ["one", "two words", "three"]
        assert printed(driver, app, LogAsk(since=world.seams.now() + 60)) == []
        assert printed(driver, app, LogAsk(previous=True)) == []
        for other, wanted in ((world.driver("theirs"), app), (driver, want("never"))):
            with pytest.raises(NoInstance, match="no instance"):
                printed(other, wanted, LogAsk())

    def test_output_is_followed_to_its_end(self, world: World) -> None:
        """Whoever follows hears that nothing comes just now, and that it is over when the instance is gone."""
        driver, app = world.driver(), want("app", run=PRINTING)
        act(driver, "create", app)
        eventually(driver, app, healthy)
        lines: list[bytes] = []
        pauses, until = 0, time.monotonic() + 120.0
        for line in driver.logs(app.ref, app.instance, LogAsk(follow=True)):
            if line is not None:
                lines.append(line.text)
                assert line.at is not None
                assert abs(line.at - world.seams.now()) < 600
                continue
            pauses += 1
            if len(lines) == 3:
                act(driver, "delete", app)
            time.sleep(0.02)
            assert time.monotonic() < until
        assert lines == [b"one\n", b"two words\n", b"three\n"]
        assert pauses > 0

    def test_what_is_used_is_told(self, world: World) -> None:
        """Of every instance of ours that runs, and of nothing else."""
        driver, app = world.driver(), want("app")
        assert list(driver.usage()) == []
        act(driver, "create", app)
        eventually(driver, app, healthy)
        (one,) = driver.usage()
        assert (one.ref, one.instance, one.host) == (app.ref, "i1", "here")
        assert one.memory_bytes > 0
        assert one.processes > 0
        assert one.cpu_s >= 0
        assert one.traffic is None
        assert list(world.driver("theirs").usage()) == []
        act(driver, "delete", app)
        assert list(driver.usage()) == []
