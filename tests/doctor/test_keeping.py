"""The state directory and the store: modes, room, sockets, who is at work, damage, and where the fleet stands."""

import fcntl
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from reconciler.doctor import diagnose
from reconciler.rundir import run_path
from reconciler.seams import Seams
from reconciler.secrets import IDENTITY_FILE
from reconciler.store import Store

from .room import Room, everything


def test_others_can_read_the_state(room: Room) -> None:
    """The directory, the keys in it, and what is only a link."""
    room.state.chmod(0o755)
    assert room.one("state") == ("bad", f"{room.state} can be read by others, and it holds keys", f"chmod 700 {room.state}")
    identity = room.state / IDENTITY_FILE
    identity.write_text("AGE-SECRET-KEY-1\n")
    identity.chmod(0o644)
    assert room.one("keys")[:2] == ("bad", f"others can read {identity}")
    identity.chmod(0o600)
    assert room.one("keys")[0] == "ok"
    (room.state / "convoy.db").symlink_to("/nowhere")
    assert room.one("keys")[:2] == ("warn", f"{room.state / 'convoy.db'} is a symbolic link")


def test_a_state_that_is_a_file(room: Room) -> None:
    """Said as what it is."""
    room.state.rmdir()
    room.state.write_text("")
    assert room.one("state")[:2] == ("bad", f"{room.state} is not a directory")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere: run as an ordinary user")
def test_a_state_that_cannot_be_written(room: Room) -> None:
    """Before anything else fails on it."""
    room.state.chmod(0o500)
    assert "cannot be written to" in room.one("state")[1]


def test_a_full_disk(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes and files are two things to run out of."""
    assert room.one("disk")[0] in ("ok", "warn")
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=5 << 20))
    monkeypatch.setattr("os.statvfs", lambda _: SimpleNamespace(f_favail=3))
    full, inodes = room.says("disk")
    assert (full.verdict, "is full: 5 MiB free" in full.what) == ("bad", True)
    assert (inodes.verdict, "room for 3 more files" in inodes.what) == ("bad", True)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=100 << 20))
    monkeypatch.setattr("os.statvfs", lambda _: SimpleNamespace(f_favail=0))
    assert room.one("disk")[0] == "warn"


def test_the_directory_of_sockets(room: Room, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Somebody else's, and one whose path is too long."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "short"))
    run = run_path(room.state)
    assert room.one("sockets")[0] == "ok" or len(os.fsencode(run)) > 67
    monkeypatch.setattr("tempfile.tempdir", "/tmp")
    run = run_path(room.state)
    run.mkdir(parents=True)
    run.chmod(0o755)
    try:
        assert "must be a directory of this user's alone" in room.one("sockets")[1]
    finally:
        run.rmdir()
    monkeypatch.setattr("tempfile.tempdir", "/tmp/" + "x" * 90)
    if len(os.fsencode(room.state / "run")) > 64:
        assert "is too long for sockets" in room.one("sockets")[1]


def test_who_is_at_work(room: Room, opened: Store) -> None:
    """A Convoy that acts, one that hangs, one elsewhere, and none."""
    assert room.one("at work") == ("ok", "no Convoy is at work here", "")
    opened.put_status({"Container/web": {"ref": "Container/web", "sync": "synced", "instances": [{"pid": 1}]}})
    assert room.one("at work")[0] == "warn"
    lock = os.open(room.state / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.pwrite(lock, b"4711", 0)
        assert room.one("at work")[:2] == ("ok", f"process 4711 is at work in {room.state}")
        opened.acquire("control", f"here:{room.state.resolve()} (ab)", 0.01)
        time.sleep(0.05)
        verdict, what, hint = room.one("at work")
        assert (verdict, "has not renewed its lease" in what, "end process 4711" in hint) == ("bad", True, True)
        time.sleep(0.05)
        opened.acquire("control", "elsewhere:/var/lib/convoy (cd)", 100)
        assert room.one("at work")[:2] == ("ok", "process 4711 stands by here; elsewhere:/var/lib/convoy (cd) acts")
    finally:
        os.close(lock)
    opened.acquire("control", "elsewhere:/var/lib/convoy (cd)", 100)
    assert room.one("at work")[:2] == ("ok", "elsewhere:/var/lib/convoy (cd) acts on this store")


def test_a_store_that_is_no_database(room: Room) -> None:
    """What it says, and that the rest goes on."""
    (room.state / "convoy.db").write_text("this is no database, whatever it is called" * 100)
    verdict, what, hint = room.one("store")
    assert (verdict, "is not a database" in what, "convoy restore" in hint) == ("bad", True, True)
    assert {one.name for one in diagnose(room.ground()) if one.verdict == "bad"} == {"store", "keys"} - (
        set() if (room.state / "convoy.db").stat().st_mode & 0o077 else {"keys"}
    )


def test_a_damaged_store(room: Room) -> None:
    """Pages that were overwritten are found, and what can still be read is used."""
    with closing(Store(f"sqlite:///{room.state / 'convoy.db'}", Seams())) as made:
        for n in range(500):
            made.event("test", "Host/here", f"event {n} " + "x" * 200)
        made.installation()
    with closing(sqlite3.connect(room.state / "convoy.db")) as raw:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        page = raw.execute("SELECT rootpage FROM sqlite_master WHERE name = 'events'").fetchone()[0]
        size = raw.execute("PRAGMA page_size").fetchone()[0]
    with (room.state / "convoy.db").open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    found = room.says("store")
    assert {one.verdict for one in found} == {"bad"}
    assert any("is damaged" in one.what or "malformed" in one.what for one in found), found


def test_a_newer_and_an_older_store(room: Room) -> None:
    """Which Convoy may use it; and a look brings nothing up to date."""
    with closing(Store(f"sqlite:///{room.state / 'convoy.db'}", Seams())):
        pass
    with closing(sqlite3.connect(room.state / "convoy.db")) as raw:
        raw.execute("UPDATE schema_version SET version = 1")
        raw.commit()
    before = everything(room.state)
    assert "is at step 1 of" in room.one("store")[1]
    with closing(sqlite3.connect(room.state / "convoy.db")) as raw:
        assert raw.execute("SELECT version FROM schema_version").fetchone() == (1,)
        raw.execute("UPDATE schema_version SET version = 9999")
        raw.commit()
    assert before.keys() == everything(room.state).keys()
    verdict, what, hint = room.one("store")
    assert (verdict, "was written by a newer Convoy" in what, "use that Convoy" in hint) == ("bad", True, True)


def test_where_the_fleet_stands(room: Room, opened: Store) -> None:
    """A refused revision with its first Problem, a source that cannot be read, and what failed."""
    problem = {"file": "edge.yaml", "line": 7, "column": 1, "what": "no such cluster"}
    opened.put_state({"revision": "abc", "refused": "def0123456789", "problems": [problem], "unreadable": "no route to host"})
    opened.put_status({"Container/web": {"ref": "Container/web", "sync": "failed", "why": "exited with status 3"}})
    words = [(one.verdict, one.what) for one in room.says("fleet")]
    assert words == [
        ("bad", "the source could not be read: no route to host"),
        ("bad", "revision def012345678 is refused: edge.yaml:7: no such cluster"),
        ("bad", "Container/web is failed: exited with status 3"),
    ]


def test_proxies(room: Room, opened: Store) -> None:
    """Each that does not run what it was told, with Envoy's words."""
    rows = {
        "Proxy/a": {"ref": "Proxy/a", "sync": "synced", "health": "healthy"},
        "Proxy/b": {"ref": "Proxy/b", "sync": "refused", "health": "healthy", "why": "cannot bind 80"},
        "Proxy/c": {"ref": "Proxy/c", "sync": "pending", "health": "starting", "why": "proxy c is not connected"},
    }
    opened.put_status(rows)
    refused, pending = room.says("proxies")
    assert (refused.verdict, refused.what) == (
        "bad",
        "Proxy/b is refused, healthy (as the last Convoy saw it): cannot bind 80",
    )
    assert (pending.verdict, "proxy c is not connected" in pending.what) == ("warn", True)
