"""What a mirror says and does when something is missing, damaged or unreadable: never that there is nothing."""

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pygit2
import pytest

from reconciler.git import SourceError
from reconciler.git.bare import TIP
from reconciler.seams import Seams
from tests.git.conftest import Open, contents
from tests.repos import Origin, git


class Counting(Seams):
    """Counts the points passed, and fails those it is told to."""

    def __init__(self) -> None:
        self.passed: list[str] = []
        self.failing = ""

    def point(self, name: str, *about: object) -> None:
        self.passed.append(name)
        if name == self.failing:
            raise OSError(5, "Input/output error")


def test_nothing_unreadable_looks_empty(origin: Origin, mirror: Open, tmp_path: Path) -> None:
    """An empty repository, a branch that is not there, and a repository that went away are errors that say so."""
    source = mirror()
    with pytest.raises(SourceError, match="has no commits yet"):
        source.fetch()
    revision = origin.commit({"a.yaml": "1"})
    assert source.fetch() == revision
    with pytest.raises(SourceError, match="has no branch 'prod'; it has main"):
        mirror(branch="prod").fetch()
    git(origin.path, "branch", "-m", "main", "trunk")
    with pytest.raises(SourceError, match="has no branch 'main'; it has trunk"):
        source.fetch()
    shutil.rmtree(origin.path)
    with pytest.raises(SourceError, match="is not a Git repository"):
        source.fetch()
    assert list(source.tree(revision).files) == ["a.yaml"]
    origin.path.write_text("a file")
    with pytest.raises(SourceError, match="is not a Git repository"):
        source.fetch()


def test_an_interrupted_fetch_leaves_nothing_out(origin: Origin, mirror: Open) -> None:
    """Objects that a killed fetch left in the mirror without what they need do not make the next one incomplete."""
    origin.commit({"a.yaml": "1", "d/x.yaml": "x"})
    source = mirror()
    source.fetch()
    revision = origin.commit({"d/x.yaml": "y", "d/z.yaml": "z"})
    there, here = pygit2.Repository(str(origin.path)), pygit2.Repository(str(origin.path.parent / "state" / "mirror"))
    commit = there[revision].peel(pygit2.Commit)
    for id in (commit.id, commit.tree_id, (commit.tree / "d").id):
        here.odb.write(*there.odb.read(id))
    assert source.fetch() == revision
    assert contents(source, revision) == {"a.yaml": b"1", "d/x.yaml": b"y", "d/z.yaml": b"z"}


def break_objects(mirror: Path) -> None:
    for path in [*(mirror / "objects").rglob("*")]:
        if path.is_file():
            path.chmod(0o600)
            path.write_bytes(b"garbage")


def break_refs(mirror: Path) -> None:
    (mirror / TIP).write_text("not a revision\n")


def break_head(mirror: Path) -> None:
    (mirror / "HEAD").unlink()


def break_config(mirror: Path) -> None:
    (mirror / "config").write_text("[core\n")


def empty(mirror: Path) -> None:
    shutil.rmtree(mirror)
    mirror.mkdir()


@pytest.mark.parametrize("damage", [break_objects, break_refs, break_head, break_config, empty, shutil.rmtree])
@pytest.mark.parametrize("moved", [False, True])
def test_a_damaged_mirror_is_made_anew(
    origin: Origin, mirror: Open, tmp_path: Path, damage: Callable[[Path], None], moved: bool
) -> None:
    """Damage is an error at worst once, never an empty or a wrong tree; the next fetch mends it."""
    origin.commit({"a.yaml": "1"})
    one = mirror()
    one.fetch()
    one.close()
    damage(tmp_path / "state" / "mirror")
    revision = origin.commit({"a.yaml": "2"}) if moved else origin.tip()
    two = mirror()
    assert two.fetch() == revision
    with contextlib.suppress(SourceError):
        contents(two, revision)
    assert two.fetch() == revision
    assert contents(two, revision) == {"a.yaml": b"2" if moved else b"1"}


def test_locks_of_a_killed_process_are_no_obstacle(origin: Origin, mirror: Open, tmp_path: Path) -> None:
    """Lock files in the mirror that nobody holds any more are removed."""
    origin.commit({"a.yaml": "1"})
    one = mirror()
    one.fetch()
    directory = tmp_path / "state" / "mirror"
    for name in (f"{TIP}.lock", "packed-refs.lock", "HEAD.lock", "shallow.lock", "config.lock"):
        (directory / name).write_text("")
    (tmp_path / "state" / "mirror.new-1").mkdir()
    before, revision = directory.stat().st_ino, origin.commit({"a.yaml": "2"})
    assert one.fetch() == revision
    # Mended by taking them away, not by a whole new mirror.
    assert directory.stat().st_ino == before


def test_a_failed_renewal_keeps_the_old_mirror(
    origin: Origin, mirror: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a new mirror cannot be filled (no room, say) what the old one still holds is not thrown away."""
    first = origin.commit({"a.yaml": "1"})
    source = mirror()
    source.fetch()
    origin.commit({"a.yaml": "2"})
    monkeypatch.setattr("reconciler.git.mirror.carry", lambda *_: False)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(SourceError, match="cannot run git"):
        source.fetch()
    assert contents(source, first) == {"a.yaml": b"1"}
    assert sorted(path.name for path in (tmp_path / "state").iterdir()) == ["mirror", "mirror.lock"]


@pytest.mark.parametrize("point", ["git.fetch", "git.tree", "git.read", "git.info"])
def test_input_and_output_errors_are_source_errors(origin: Origin, mirror: Open, point: str) -> None:
    """A disk that fails is reported as such; when it works again, so does the source."""
    revision = origin.commit({"a.yaml": "1"})
    seams = Counting()
    source = mirror(seams=seams)
    source.fetch()

    def all_of_it() -> None:
        source.fetch()
        contents(source, revision)
        source.info(revision)

    seams.failing = point
    with pytest.raises(SourceError, match="Input/output error"):
        all_of_it()
    seams.failing = ""
    all_of_it()
    assert {"git.fetch", "git.tree", "git.read", "git.info"} <= set(seams.passed)


def test_unknown_revisions_are_refused(origin: Origin, mirror: Open) -> None:
    """Only a full revision that is in the mirror can be read."""
    revision = origin.commit({"a.yaml": "1"})
    source = mirror()
    source.fetch()
    for unknown in ("main", "HEAD", revision[:12], "--help", ""):
        with pytest.raises(SourceError, match="is not a revision"):
            source.tree(unknown)
    with pytest.raises(SourceError, match="is not in the mirror"):
        source.tree("0123456789" * 4)
    with pytest.raises(SourceError, match="cannot read"):
        source.read(["0123456789" * 4])
