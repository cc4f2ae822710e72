"""What runs: hosts, leftovers of kills, marks, processes, ports."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

from reconciler.core.kinds.host import Host
from reconciler.core.kinds.spec import Run
from reconciler.core.model import Action, Ref, Want
from reconciler.drivers import DRIVERS, Driver, DriverError
from reconciler.store import Store
from reconciler.store.notices import Place
from tests.drivers.world import process_world

from .room import Room


def test_ports_that_somebody_else_has(room: Room, tmp_path: Path, opened: Store) -> None:
    """A fixed port of a document that is taken, with the command that shows by whom."""
    opened.installation()
    room.follow(tmp_path / "fleet")
    assert room.one("ports")[:2] == ("ok", "1 fixed port")
    with socket.create_server(("127.0.0.1", 19599)):
        verdict, what, hint = room.one("ports")
    assert (verdict, what) == ("bad", "port 19599, which Container/web is to have, is in use by something else")
    assert "ss -ltnp" in hint


@pytest.mark.slow
def test_hosts_with_real_instances(opened: Store, room: Room, tmp_path: Path) -> None:
    """What is seen, what a kill left, what bears another's mark, what lost its shim, and processes without an instance."""
    with process_world() as world:
        world.host = room.state / "hosts" / "here"
        mine, other = world.driver(opened.installation()), world.driver("another")
        run = Run(command=("sleep", "1000"))

        def make(driver: Driver, name: str) -> Path:
            want = Want(Ref("Container", name), "u", "i1", "l", run, Ref("Container", name))
            driver.apply(Action("create", want.ref, "i1", "here", want, "test"))
            return world.directory(name)

        make(mine, "well")
        assert [one.verdict for name in ("hosts", "leftovers", "marks", "processes") for one in room.says(name)] == ["ok"] * 4
        make(other, "foreign")
        verdict, what, hint = room.one("marks")
        assert (verdict, "Container/foreign on host here bears the mark" in what) == ("warn", True)
        assert "convoy take-over another" in hint

        (world.host / "half" / "Container-half-i1").mkdir()
        assert "a kill has left 1 directory on host here: Container-half-i1" in room.one("leftovers")[1]
        (world.host / "half" / "Container-half-i1").rmdir()
        (world.host / "Container-bare-i1").mkdir()
        assert "bears no mark" in room.one("leftovers")[1]
        (world.host / "Container-bare-i1" / "mark.json").write_text("{}")
        assert room.one("leftovers")[0] == "bad"
        shutil.rmtree(world.host / "Container-bare-i1")

        os.kill(world.shim("well"), 9)
        soon_lost(room)
        assert "is supervised by nothing" in room.says("processes")[0].what

        gone = make(mine, "gone")
        pid = next(one.fields["pid"] for one in mine.observe() if one.ref.name == "gone")
        os.kill(world.shim("gone"), 9)
        orphan = subprocess.Popen(["sleep", "1000"], env={"CONVOY_INSTANCE": str(gone)})
        try:
            shutil.rmtree(gone)
            words = [one for one in room.says("processes") if one.verdict == "bad"]
            assert [one.what for one in words] == [one.what for one in words if str(orphan.pid) in one.what]
            assert words[0].hint.startswith("end them: kill ")
        finally:
            orphan.kill()
            orphan.wait()
        assert pid


def soon_lost(room: Room) -> None:
    over = time.monotonic() + 60
    while "is supervised by nothing" not in room.says("processes")[0].what:
        assert time.monotonic() < over
        time.sleep(0.05)


def test_a_host_that_cannot_be_seen(room: Room, opened: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the driver's own words."""
    opened.installation()
    (room.state / "hosts").mkdir()
    (room.state / "hosts" / "here").mkdir()

    class Blind:
        def __init__(self, *_: object) -> None:
            """Whatever it is told."""

        def observe(self) -> None:
            raise DriverError("no route to it")

        def close(self) -> None:
            """Nothing to let go of."""

    monkeypatch.setitem(DRIVERS, Host().driver, Blind)
    assert room.one("hosts")[:2] == ("bad", "host here cannot be seen: no route to it")


def test_messages_that_do_not_arrive(room: Room, opened: Store) -> None:
    """Whose, how many, why, and how to try them; nothing where all have arrived."""
    assert room.one("notifications")[0] == "ok"
    notices = opened.notices()
    for number in range(2):
        notices.put(
            "Notification/on-call", Place(1, 1, float(number)), {}, [{"id": f"m{number}", "at": float(number), "events": []}]
        )
    assert room.one("notifications")[0] == "ok"
    notices.failed("m0", "hooks.example answers with 500", 60.0)
    verdict, what, hint = room.one("notifications")
    assert (verdict, "0 messages given up, 1 tried again: hooks.example answers with 500" in what) == ("warn", True)
    notices.failed("m1", "hooks.example answers with 404", None)
    verdict, what, hint = room.one("notifications")
    assert (verdict, "1 message given up, 1 tried again" in what) == ("bad", True)
    assert "convoy notify test on-call" in hint
