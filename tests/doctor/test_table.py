"""All checks together: each is bounded and alone, and says what to do; the command changes nothing."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from reconciler.core.show_doctor import Finding
from reconciler.doctor import CHECKS, Ground, diagnose
from reconciler.doctor.ground import Followed, Nothing
from reconciler.doctor.table import Check
from reconciler.git import Directory
from reconciler.seams import Seams
from reconciler.store import Store
from tests.cli.conftest import Convoy

from .room import Room, everything


def test_a_fresh_machine_is_well(room: Room) -> None:
    """Nothing was made yet, and nothing is wrong with that; every check has something to say."""
    found = diagnose(Ground(room.state / "not-there", "sqlite:////nowhere/convoy.db", None, Seams()))
    assert [one.name for one in found] == [check.name for check in CHECKS]
    assert all(one.findings and all(finding.what for finding in one.findings) for one in found)
    assert {one.name: one.findings for one in found if one.verdict == "bad"} == {}
    assert not (room.state / "not-there").exists()


def test_what_is_to_do_is_said_with_everything_that_is_wrong(room: Room) -> None:
    """No check complains without saying what helps."""
    (room.state / "convoy.db").write_text("this is no database, whatever it is called" * 100)
    room.state.chmod(0o755)
    wrong = [finding for one in diagnose(room.ground()) for finding in one.findings if finding.verdict != "ok"]
    assert len(wrong) >= 3
    assert all(finding.hint for finding in wrong), wrong


class Patient(Seams):
    """Its time goes on when these checks have ended, however long that takes here."""

    def __init__(self, *names: str) -> None:
        self._threads, self._begun = {f"check-{name}" for name in names}, False

    def monotonic(self) -> float:
        if not self._begun:
            self._begun = True
            return 0.0
        for thread in threading.enumerate():
            if thread.name in self._threads:
                thread.join()
        return 60.0


def test_a_check_that_hangs_or_fails_is_alone() -> None:
    """All checks run at once; one that takes too long is given up, one that raises says so, and the others are read."""
    over = threading.Event()

    def hangs(_: Ground) -> Iterator[Finding]:
        over.wait()
        yield Finding("ok", "late")

    def raises(_: Ground) -> Iterator[Finding]:
        yield Finding("warn", "so far", "do this")
        raise ZeroDivisionError("a mistake of ours")

    def forbidden(_: Ground) -> Iterator[Finding]:
        yield Finding("ok", f"{len(os.listdir('/nowhere/at/all'))}")

    def nothing(_: Ground) -> Iterator[Finding]:
        raise Nothing("there is nothing")
        yield

    checks = [Check(f.__name__, "", f) for f in (hangs, raises, forbidden, nothing)]
    ground = Ground(Path("/nowhere"), "sqlite:////nowhere", None, Patient("raises", "forbidden", "nothing"))
    found = {one.name: one for one in diagnose(ground, checks, 30)}
    over.set()
    assert [one.what for one in found["hangs"].findings] == ["not looked at to the end within 30 s"]
    assert found["raises"].findings[0].what == "so far"
    assert "ZeroDivisionError: a mistake of ours" in found["raises"].findings[1].what
    assert "No such file" in found["forbidden"].findings[0].what
    assert found["nothing"].findings == (Finding("ok", "there is nothing"),)


def test_the_command(convoy: Convoy, state: Path) -> None:
    """Text and JSON say the same, the exit code is that of the worst, and nothing is changed."""
    assert convoy("doctor").exit_code == 0
    assert not state.exists()
    state.mkdir(mode=0o700)
    (state / "convoy.db").write_text("no database at all, only words of no use" * 50)
    (state / "convoy.db").chmod(0o600)
    before = everything(state)
    text, answer = convoy("doctor"), convoy("doctor", "--output", "json")
    assert everything(state) == before
    assert (text.exit_code, answer.exit_code) == (1, 1)
    told = json.loads(answer.stdout)
    assert told["verdict"] == "bad"
    bad = [one["name"] for one in told["checks"] if one["verdict"] == "bad"]
    assert bad == ["store"]
    assert text.stdout.startswith("✗ store: cannot open the store")
    assert "do: `convoy restore`" in " ".join(text.stdout.split())
    assert {one["name"] for one in told["checks"]} == {check.name for check in CHECKS}


def test_beside_a_convoy_at_work_and_after_it(convoy: Convoy, state: Path, tmp_path: Path) -> None:
    """A store that is open is read as it is, and one that is not keeps its files as they are."""
    state.mkdir(mode=0o700)
    with closing(Store(f"sqlite:///{state / 'convoy.db'}", Seams())) as open_store:
        open_store.put_state({"revision": "abc", "converged": True})
        said = json.loads(convoy("doctor", "--output", "json").stdout)
        (fleet,) = (one for one in said["checks"] if one["name"] == "fleet")
        assert fleet["findings"][0]["what"].startswith("abc in force, as declared")
    before = everything(state)
    assert convoy("doctor").exit_code == 0
    assert everything(state) == before


def test_a_page_shows_no_password(room: Room) -> None:
    """What is followed is shown as everywhere: without what is in its URL."""
    url = "https://me:hunter2@127.0.0.1:9/fleet.git"
    room.followed = Followed(url, "main", "https://***@127.0.0.1:9/fleet.git branch main", lambda: Directory(Path(), Seams()))
    found = room.says("source")
    assert found[0].verdict == "warn"
    assert "hunter2" not in repr(found)
