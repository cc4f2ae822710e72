"""Disks that fail, are full or forbidden, and branches that move at the wrong instant: what is in force is what was checked."""

import errno
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.git import Files, Mirror
from reconciler.seams import Seams
from tests.breaking import Place, mended
from tests.repos import git, hermetic, make_origin
from tests.signing import Ssh, needs_ssh_keygen, signed_commit
from tests.test_in_force import HOSTS, NAMES, at_work, begun, fleet, words
from tests.test_loop import World

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk and become somebody else: run as root")
LATER = fleet(["later"]).removeprefix(HOSTS)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    hermetic(monkeypatch)
    return Place(make_origin(tmp_path), tmp_path / "state" / "mirror", tmp_path / "aside")


class Faulty(Seams):
    """Fails every I/O at one point, or does something else there, while `point` is its name."""

    def __init__(self, error: int = 0) -> None:
        super().__init__()
        self.error, self.at = error, ""
        self.instead: Callable[[], object] | None = None
        self.passed: set[str] = set()

    def point(self, name: str, *about: object) -> None:
        self.passed.add(name)
        if name == self.at and self.instead is not None:
            instead, self.instead = self.instead, None
            instead()
        elif name == self.at and self.error:
            raise OSError(self.error, os.strerror(self.error))


@pytest.mark.slow
@pytest.mark.parametrize("error", [errno.EIO, errno.EACCES, errno.ENOSPC], ids=errno.errorcode.get)
def test_a_failing_disk(tmp_path: Path, place: Place, error: int) -> None:
    """At any I/O on the way of a new commit: what was in force stays and is named unreadable; then the commit arrives."""
    world, _ = begun(tmp_path, place)
    seams = Faulty(error)
    with at_work(world, place, seams) as convoy:
        convoy.settle()
        # The one in force is read again for what it was written in; fetch and info are of the new one.
        for number, point in enumerate(("git.fetch", "git.commits", "git.tree", "git.read")):
            place.origin.commit({f"new{number}.yaml": fleet([f"n{number}"]).removeprefix(HOSTS)})
            seams.at = point
            accepted = convoy.rounds(3)
            assert accepted.fleet is not None
            assert os.strerror(error) in accepted.unreadable, point
            assert len([*accepted.fleet.of("Container")]) == len(NAMES) + number
            seams.at = ""
            accepted = convoy.rounds(3)
            assert accepted.unreadable == ""
            assert accepted.fleet is not None
            assert len([*accepted.fleet.of("Container")]) == len(NAMES) + number + 1
        convoy.settle()
    assert {"git.fetch", "git.commits", "git.tree", "git.read"} <= seams.passed
    assert len(world.running()) == len(NAMES) + 4


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk with room for two megabytes."""
    disk = tmp_path / "small"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here ({mounted.stderr.decode().strip()}): run where mount is allowed")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@as_root
@pytest.mark.slow
@pytest.mark.parametrize("way", ["carry", "git"])
def test_a_full_disk(tmp_path: Path, place: Place, small: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that does not fit: the mirror as it was is kept, it is said what lacks, and with room the commit arrives."""
    if way == "git":
        monkeypatch.setattr("reconciler.git.mirror.carry", lambda *_: False)
    place.mirror = small / "mirror"
    world, good = begun(tmp_path, place)
    running = world.running()
    with at_work(world, place) as convoy:
        convoy.settle()
        new = place.origin.commit({"noise.bin": os.urandom(4 * 1024 * 1024), "new.yaml": LATER})
        accepted = convoy.rounds()
        assert accepted.fleet is not None
        assert accepted.fleet.revision == good
        assert "No space left on device" in accepted.unreadable
        assert f"see that {small} has room" in accepted.unreadable
        assert world.running() == running
    # A restart on the full disk reads what is there.
    with at_work(world, place) as convoy:
        accepted = convoy.rounds()
        assert accepted.fleet is not None
        assert accepted.fleet.revision == good
        subprocess.run(["mount", "-o", "remount,size=64m", str(small)], check=True)
        accepted = convoy.rounds()
        assert accepted.fleet is not None
        assert (accepted.fleet.revision, accepted.unreadable) == (new, "")
        convoy.settle()
    assert [name for name, _ in world.running()] == [*NAMES, "later"]
    assert sorted(path.name for path in small.iterdir()) == ["mirror", "mirror.lock"]


@as_root
@pytest.mark.slow
@pytest.mark.parametrize("which", ["origin", "mirror"])
def test_forbidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str) -> None:
    """A repository that may not be read, whether theirs or ours, is not an empty one; when it may be, all goes on."""
    hermetic(monkeypatch)
    directory = Path(tempfile.mkdtemp(prefix="convoy-forbidden-"))
    try:
        place = Place(make_origin(directory), directory / "state" / "mirror", directory / "aside")
        world, _ = begun(tmp_path, place)
        running = world.running()
        new = place.origin.commit({"new.yaml": LATER})
        forbidden = place.origin.path if which == "origin" else place.mirror
        for path in (directory, *directory.rglob("*")):
            os.chown(path, 65534, 65534)
        os.chown(tmp_path / "convoy.db", 65534, 65534)
        with at_work(world, place) as convoy:
            modes = {path: path.stat().st_mode for path in (forbidden, *forbidden.rglob("*"))}
            for path in modes:
                path.chmod(0)
            os.seteuid(65534)
            try:
                accepted = convoy.wanted.look()
                assert "ermission denied" in accepted.unreadable, accepted.unreadable
            finally:
                os.seteuid(0)
            assert (accepted.fleet is not None) == (which == "origin")
            world.wish.accepted = accepted
            for _ in range(3):
                convoy.loop.tick()
            assert world.running() == running
            for path, mode in modes.items():
                path.chmod(mode)
            accepted = convoy.rounds()
            assert accepted.fleet is not None
            assert (accepted.fleet.revision, accepted.unreadable) == (new, "")
    finally:
        shutil.rmtree(directory)


@pytest.mark.slow
@pytest.mark.parametrize("at", ["git.fetch", "git.commits", "git.tree", "git.read"])
def test_a_branch_that_moves_between_check_and_use(tmp_path: Path, place: Place, at: str) -> None:
    """What is in force is exactly what the one commit holds that was checked, however the branch and the mirror move on."""
    world, good = begun(tmp_path, place)
    seams = Faulty()
    with at_work(world, place, seams) as convoy:
        convoy.settle()
        checked = place.origin.commit({"new.yaml": LATER})

        def move() -> None:
            """The branch is rewritten, and another Convoy (`convoy plan`) fetches that into the same mirror."""
            place.origin.commit({"a.yaml": fleet(["other"], version=2), "new.yaml": None}, onto=good)
            other = Mirror(str(place.origin.path), "main", place.mirror, Seams())
            other.tree(other.fetch())
            other.close()

        if at == "git.fetch":
            # What moves before the fetch is the branch as it is: nobody has checked anything yet.
            place.kept["at"] = "before"
        seams.at, seams.instead = at, move
        accepted = convoy.wanted.look()
        assert accepted.fleet is not None
        moved = place.origin.tip()
        expected = moved if at == "git.fetch" else checked
        assert accepted.fleet.revision == expected
        names = {ref.name for ref in accepted.fleet.resources if ref.kind == "Container"}
        assert names == ({"other"} if at == "git.fetch" else {*NAMES, "later"})
        assert convoy.wanted.look().fleet.revision == moved  # type: ignore[union-attr]


@needs_ssh_keygen
@pytest.mark.slow
def test_a_branch_that_moves_between_signature_and_use(tmp_path: Path, place: Place) -> None:
    """The commit whose signature was checked is the one that is read; the one put in its place is refused for itself."""
    (tmp_path / "keys").mkdir()
    ssh = Ssh(tmp_path / "keys")
    signers = tmp_path / "signers"
    signers.write_text(f"alice@example.org {ssh.key('alice')}\n")
    world, seams = World(tmp_path), Faulty()
    signed = signed_commit(place.origin, ssh.sign("alice"), {"a.yaml": fleet()})
    for point in ("git.signature", "git.signers", "git.tree"):
        with at_work(world, place, seams, Files(signers)) as convoy:
            git(place.origin.path, "update-ref", "refs/heads/main", signed)
            seams.at, seams.instead = point, lambda: place.origin.commit({"a.yaml": fleet(["evil"])})
            accepted = convoy.wanted.look()
            assert accepted.fleet is not None
            assert (accepted.fleet.revision, accepted.refused) == (signed, "")
            assert {ref.name for ref in accepted.fleet.resources if ref.kind == "Container"} == set(NAMES)
            accepted = convoy.wanted.look()
            assert accepted.fleet is not None
            assert accepted.fleet.revision == signed
            assert "not signed" in words(accepted)


@pytest.mark.slow
def test_a_rewritten_branch(tmp_path: Path, place: Place) -> None:
    """Without signers a branch may be rewritten: what it names is wanted, what it no longer names is deleted within the budget
    alone, and one that names nothing at all, or something wrong, changes nothing."""
    world, _ = begun(tmp_path, place)
    running = world.running()
    with at_work(world, place) as convoy:
        convoy.settle()
        # The same fleet without its history.
        same = place.origin.commit({"a.yaml": fleet()}, onto="")
        accepted = convoy.rounds()
        assert accepted.fleet is not None
        assert accepted.fleet.revision == same
        assert world.running() == running
        for files, said in (({"README.md": "x"}, "declares nothing"), ({"a.yaml": "kind: Host\n"}, "apiVersion")):
            place.origin.commit(dict(files), onto="")
            accepted = convoy.rounds()
            assert accepted.fleet is not None
            assert accepted.fleet.revision == same
            assert said in words(accepted)
            assert world.running() == running
        # Almost nothing of it left: more than may go without somebody's word.
        place.origin.commit({"a.yaml": fleet(NAMES[:1])}, onto="")
        accepted = convoy.rounds()
        assert accepted.problems == ()
        assert world.running() == running
        view = convoy.loop.view
        assert view.plan is not None
        assert {held.ref.name for held in view.plan.held} >= set(NAMES[1:])
        place.origin.commit({"a.yaml": fleet()}, onto="")
        convoy.settle()
        assert world.running() == running


@pytest.mark.slow
def test_an_origin_that_becomes_shallow(tmp_path: Path, place: Place) -> None:
    """Where history was cut off, below or above what is in force, the branch goes on."""
    world, good = begun(tmp_path, place)
    with at_work(world, place) as convoy:
        convoy.settle()
        for number in range(3):
            place.origin.commit({"note.txt": f"{number}"})
        git(tmp_path, "clone", "-q", "--bare", "--depth=1", f"file://{place.origin.path}", "shallow.git")
        shutil.move(place.origin.path, place.aside)
        shutil.move(tmp_path / "shallow.git", place.origin.path)
        assert convoy.rounds().unreadable == ""
        new = place.origin.commit({"new.yaml": LATER})
        convoy.settle()
        assert convoy.loop.view.revision == new
    with at_work(world, place) as convoy:
        shutil.rmtree(place.origin.path)
        shutil.move(place.aside, place.origin.path)
        mended(place, good)
        accepted = convoy.rounds()
        assert (accepted.unreadable, accepted.refused) == ("", "")
