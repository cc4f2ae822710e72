"""Repositories and folders made by an enemy: read as what they are, in bounded time, or refused."""

import os
import shutil
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pygit2
import pytest

from reconciler.core.trailers import LONGEST_MESSAGE
from reconciler.git import Directory, Mirror, SourceError, carry
from reconciler.git.carry import carry as carried
from reconciler.seams import Seams
from tests.breaking import Place, bomb, deep
from tests.git.conftest import Open, contents
from tests.repos import DIRECTORY, FILE, Origin, git


@pytest.mark.slow
@pytest.mark.parametrize("hostile", [bomb, deep])
def test_bombs_are_carried_in_no_time(origin: Origin, mirror: Open, tmp_path: Path, hostile: Callable[[Place], None]) -> None:
    """Trees that name each other a billion times, or thousands deep, arrive and are refused by name, soon."""
    before = origin.commit({"a.yaml": "a: 1"})
    source = mirror()
    source.fetch()
    hostile(Place(origin, tmp_path / "state" / "mirror", tmp_path / "aside"))
    begun = time.monotonic()
    tree = source.tree(source.fetch())
    # Listed one by one they would take days.
    assert time.monotonic() - begun < 200
    assert len(tree.problems) == 1
    after = origin.commit({"a.yaml": "a: 2"}, onto=before)
    assert contents(source, source.fetch()) == {"a.yaml": b"a: 2"}
    assert source.tree(after).problems == ()


@pytest.mark.slow
def test_many_entries_are_counted_before_they_are_listed(origin: Origin, mirror: Open) -> None:
    """A million names in one directory are too many, and cost no more than to count them."""
    blob = bytes.fromhex(origin.blob(b"a: 1"))
    raw = b"".join(b"100644 %07d.yaml\0" % number + blob for number in range(1_000_000))
    tree = str(pygit2.Repository(str(origin.path)).odb.write(pygit2.enums.ObjectType.TREE, raw))
    revision = origin.commit_tree([(DIRECTORY, b"many", tree)])
    source = mirror()
    assert source.fetch() == revision
    begun = time.process_time()
    found = source.tree(revision)
    assert time.process_time() - begun < 10
    assert found.files == {}
    assert "more than 500000 files" in found.problems[0].what


def test_large_objects_are_left_to_git(origin: Origin, mirror: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that should not be held in memory is never read into it, on its way or later."""
    monkeypatch.setattr(carry, "LARGEST_OBJECT", 1000)
    origin.commit({"a.yaml": "a: 1"})
    source = mirror()
    source.fetch()
    revision = origin.commit({"big.bin": os.urandom(2000), "b.yaml": "b: 1"})
    there = pygit2.Repository(str(origin.path))
    here = pygit2.Repository(str(source._bare.directory))
    assert not carried(there, here, pygit2.Oid(hex=revision), pygit2.Oid(hex=git(origin.path, "rev-parse", "main~1")))
    assert source.fetch() == revision
    assert set(source.tree(revision).files) == {"a.yaml", "b.yaml"}


def test_long_messages_are_cut(origin: Origin, mirror: Open) -> None:
    """Of a message of megabytes the beginning is told, and one character more than of any whole one."""
    old = origin.commit({"a.yaml": "1"})
    new = origin.commit({"a.yaml": "2"}, message="m" * 1_000_000)
    source = mirror()
    source.fetch()
    assert source.info(new).message == "m" * (LONGEST_MESSAGE + 1)
    assert [len(one.message) for one in source.commits(old, new)] == [LONGEST_MESSAGE + 1]


def test_grafts_and_replacements_of_an_origin_are_its_own(origin: Origin, mirror: Open) -> None:
    """What its owner sees in a commit's place, or as its parents, is not what a commit says: that alone arrives, whole."""
    first = origin.commit({"a.yaml": "1"})
    source = mirror()
    source.fetch()
    second, third = origin.commit({"a.yaml": "2"}), origin.commit({"b.yaml": "3"})
    (origin.path / "info").mkdir(exist_ok=True)
    (origin.path / "info" / "grafts").write_text(f"{third} {first}\n")
    git(origin.path, "update-ref", f"refs/replace/{third}", first)
    assert source.fetch() == third
    assert contents(source, third) == {"a.yaml": b"2", "b.yaml": b"3"}
    assert [one.revision for one in source.commits(first, third)] == [third, second]
    git(source._bare.directory, "fsck", "--full", "--strict")
    # From nothing, by git.
    fresh = Mirror(str(origin.path), "main", source._bare.directory.parent / "fresh", Seams())
    assert fresh.fetch() == third
    assert [one.revision for one in fresh.commits(first, third)] == [third, second]
    fresh.close()


def test_old_modes_are_what_git_takes_them_for(origin: Origin, mirror: Open) -> None:
    """Directories and files with zeros in front or other permissions are read, by carrying and by git alike."""
    blob, base = origin.blob(b"x: 1"), origin.commit({"a.yaml": "1"})
    below = origin.tree([("100600", b"deep.yaml", blob)])
    source = mirror()
    source.fetch()
    revision = origin.commit_tree(
        [("0100644", b"b.yaml", blob), ("040000", b"d", below), ("100664", b"e.yaml", blob), ("0120000", b"l.yaml", blob)]
    )
    assert source.fetch() == revision
    assert sorted(source.tree(revision).files) == ["b.yaml", "d/deep.yaml", "e.yaml"]
    assert [problem.where.file for problem in source.tree(revision).problems] == ["l.yaml"]
    assert base != revision
    fresh = Mirror(str(origin.path), "main", source._bare.directory.parent / "fresh", Seams())
    assert dict(fresh.tree(fresh.fetch()).files) == dict(source.tree(revision).files)
    fresh.close()


def test_what_is_called_a_file_has_to_be_one(origin: Origin, mirror: Open) -> None:
    """A tree or a commit under a document's name and mode is a Problem, not a text."""
    other = origin.commit({"a.yaml": "1"})
    tree = origin.tree([(FILE, b"x.yaml", origin.blob(b"x: 1"))])
    revision = origin.commit_tree([(FILE, b"commit.yaml", other), (FILE, b"tree.yaml", tree)])
    problems = listed(origin, revision)
    assert {problem.split(":")[0] for problem in problems} == {"commit.yaml", "tree.yaml"}
    assert all("is said to be a file" in problem for problem in problems)


def listed(origin: Origin, revision: str) -> list[str]:
    from reconciler.git.trees import Trees

    repository = pygit2.Repository(str(origin.path))
    return [str(one) for one in Trees(repository).files(repository[revision].peel(pygit2.Commit).tree_id, "")[1]]


def test_names_of_other_systems_lead_nowhere(origin: Origin, mirror: Open, tmp_path: Path) -> None:
    """Drive letters, backslashes, reserved and look-alike names are names here: nothing is ever written under them."""
    names = [
        "C:\\x.yaml",
        "..\\..\\x.yaml",
        "CON.yaml",
        "aux/nul.yaml",
        "git~1/x.yaml",
        "а.yaml",
        "a.yaml",
        "x.yaml ",
        "．．/y.yaml",
    ]
    revision = origin.commit(dict.fromkeys(names, "x: 1"))
    source = mirror()
    source.fetch()
    tree = source.tree(revision)
    # With a blank behind it it is no document, and what begins with a dot is left out.
    assert set(tree.files) == set(names) - {"x.yaml ", "..\\..\\x.yaml"}
    assert tree.problems == ()
    assert [path.name for path in (tmp_path / "state").iterdir() if path.name != "mirror.lock"] == ["mirror"]
    assert not list((tmp_path / "state").rglob("*.yaml"))


def test_what_killed_fetches_leave_is_swept(origin: Origin, mirror: Open) -> None:
    """Half-written packs do not gather in the mirror."""
    origin.commit({"a.yaml": "1"})
    source = mirror()
    source.fetch()
    left = [source._bare.directory / "objects" / name for name in ("pack/tmp_pack_abc", "pack/tmp_idx_x", "tmp_objdir-in-1/x")]
    for path in left:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half")
    revision = origin.commit({"a.yaml": "2"})
    assert contents(source, source.fetch()) == {"a.yaml": b"2"}
    assert not [path for path in left if path.exists()]
    assert source.fetch() == revision


@pytest.mark.parametrize("swap", ["link", "pipe", "directory", "gone", "link to a directory"])
def test_a_file_swapped_between_look_and_use(tmp_path: Path, swap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a plain folder: a file that has become something else is never followed, waited for, or taken for nothing."""
    fleet = tmp_path / "fleet"
    (fleet / "deep").mkdir(parents=True)
    (fleet / "deep" / "a.yaml").write_text("a: 1")
    (tmp_path / "secret.yaml").write_text("secret: 1")

    class Swapping(Seams):
        def point(self, name: str, *about: object) -> None:
            path = fleet / "deep" / "a.yaml"
            if name == "folder.read" and path.is_file() and not path.is_symlink():
                path.unlink()
                if swap == "link":
                    path.symlink_to(tmp_path / "secret.yaml")
                elif swap == "pipe":
                    os.mkfifo(path)
                elif swap == "directory":
                    path.mkdir()
                elif swap == "link to a directory":
                    shutil.rmtree(fleet / "deep")
                    (fleet / "deep").symlink_to(tmp_path)

    source = Directory(fleet, Swapping())
    with pytest.raises(SourceError, match=r"cannot read .*deep"):
        source.fetch()
    source.close()


def test_a_file_that_is_being_written_is_read_later(tmp_path: Path) -> None:
    """Half of a file is not taken for all of it."""
    (tmp_path / "a.yaml").write_text("a: 1\n" * 1000)
    writing = True

    source = Directory(tmp_path, Seams())
    whole, calls = os.fstat, 0

    def fstat(file: int) -> os.stat_result:
        nonlocal calls
        there = whole(file)
        if stat.S_ISREG(there.st_mode) and writing:
            calls += 1
            if calls == 1:
                (tmp_path / "a.yaml").write_text("a: 1\n" * 2000)
        return there

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reconciler.git.folder.os.fstat", fstat)
        with pytest.raises(SourceError, match="is being written"):
            source.fetch()
        writing = False
        assert set(source.read(source.tree(source.fetch()).files.values()).values()) == {b"a: 1\n" * 2000}
    source.close()
