"""Objects that are written as one pack are what git itself would have written, and nothing of a pack is left by a failure."""

import os
import random
from pathlib import Path

import pygit2
import pytest
from pygit2.enums import ObjectType

from reconciler.git import Branch, Mirror, Person, Words
from reconciler.git.bare import MANY_USES
from reconciler.git.packs import BLOB, COMMIT, LARGEST, TREE, Pack
from reconciler.seams import Seams
from tests.git.conftest import contents
from tests.repos import Origin, git

EVE = Person("Eve", "eve@example.org")
WORDS = Words("Change it\n", EVE, EVE)
# The size of an object is written four bits first and then seven by seven.
SIZES = (0, 1, 15, 16, 2047, 2048, 262_143, 262_144, 1_000_000)


@pytest.fixture
def repository(tmp_path: Path) -> pygit2.Repository:
    return pygit2.init_repository(str(tmp_path / "r.git"), bare=True)


def packs(repository: pygit2.Repository) -> list[str]:
    return sorted(os.listdir(Path(repository.path) / "objects" / "pack"))


def test_git_reads_what_was_written(repository: pygit2.Repository) -> None:
    """Blobs of every size, trees, a commit: the ids are git's, and it finds nothing wrong with the pack or its index."""
    random.seed(7)
    pack, blobs = Pack(repository), {size: random.randbytes(size) for size in SIZES}
    ids = {size: pack.add(BLOB, content) for size, content in blobs.items()}
    entries = b"".join(b"100644 %07d\0" % size + bytes.fromhex(id) for size, id in ids.items())
    tree = pack.add(TREE, entries)
    commit = pack.add(COMMIT, f"tree {tree}\nauthor {EVE} 1 +0000\ncommitter {EVE} 1 +0000\n\nm\n".encode())
    # The first reader looks before anything is there.
    assert commit not in repository
    pack.write()

    assert ids == {size: str(pygit2.hash(content)) for size, content in blobs.items()}
    assert repository[commit].peel(pygit2.Tree).id == pygit2.Oid(hex=tree)
    for size, content in blobs.items():
        assert repository.odb.read(pygit2.Oid(hex=ids[size])) == (ObjectType.BLOB, content)
    directory = Path(repository.path)
    assert git(directory, "fsck", "--strict", "--full", "--no-dangling") == ""
    (name,) = (one for one in packs(repository) if one.endswith(".idx"))
    assert git(directory, "verify-pack", "-v", f"objects/pack/{name}").count(" blob ") == len(SIZES)
    git(directory, "update-ref", "refs/heads/main", commit)
    git(directory, "repack", "-adq")
    assert git(directory, "cat-file", "-s", f"main:{2048:07d}") == "2048"


def test_what_git_hashes_is_hashed_so(repository: pygit2.Repository) -> None:
    """The ids of trees and commits are those that libgit2 gives the same bytes."""
    other = pygit2.init_repository(str(Path(repository.path).with_name("other.git")), bare=True)
    pack = Pack(repository)
    for kind, number, content in ((TREE, ObjectType.TREE, b""), (BLOB, ObjectType.BLOB, b"\0" * 99)):
        assert pack.add(kind, content) == str(other.odb.write(number, content))


def test_the_same_twice_is_once(repository: pygit2.Repository) -> None:
    pack = Pack(repository)
    assert pack.add(BLOB, b"x") == pack.add(BLOB, b"x")
    pack.write()
    pack.write()
    assert len(packs(repository)) == 2
    # And again later, beside itself: it is the same pack.
    pack.add(BLOB, b"x")
    pack.write()
    assert len(packs(repository)) == 2


def test_what_waits_in_memory_is_bounded(repository: pygit2.Repository) -> None:
    """Past the limit, what has gathered is written before more is taken."""
    pack, piece = Pack(repository), b"x" * (LARGEST // 2)
    first = pack.add(BLOB, piece)
    pack.add(BLOB, piece[:-1])
    assert packs(repository) == []
    pack.add(BLOB, piece[:-2])
    assert len(packs(repository)) == 2
    assert first in repository


@pytest.mark.parametrize("ending", [".pack", ".idx"])
def test_a_failure_leaves_nothing_to_be_found(
    ending: str, repository: pygit2.Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full at either file: nothing half written lies about, no object seems to be there, the next try works."""
    pack, rename = Pack(repository), os.rename

    def fails(old: str, new: Path) -> None:
        if str(new).endswith(ending):
            raise OSError(28, "No space left on device")
        rename(old, new)

    monkeypatch.setattr(os, "rename", fails)
    id = pack.add(BLOB, b"x")
    with pytest.raises(OSError, match="No space"):
        pack.write()
    monkeypatch.undo()
    assert packs(repository) == []
    assert id not in repository
    pack.add(BLOB, b"x")
    pack.write()
    assert id in repository
    # Nor does it take away what was there already.
    pack.add(BLOB, b"x")
    monkeypatch.setattr(os, "rename", fails)
    with pytest.raises(OSError, match="No space"):
        pack.write()
    assert len(packs(repository)) == 2


def test_a_long_chain_over_many_directories(origin: Origin, tmp_path: Path) -> None:
    """More trees than are kept in memory, all of them new: each commit is the one before with its own files changed."""
    files = {f"d{n}/sub/f.yaml": f"{n}\n" for n in range(300)}
    origin.commit(dict(files))
    source = Mirror(str(origin.path), "main", tmp_path / "mirror", Seams())
    branch = Branch(str(origin.path), "main", tmp_path / "mirror", Seams())
    # Each directory twice, long after the first time.
    changes = [{f"d{n % 300}/sub/f.yaml": f"changed {n}\n".encode()} for n in range(600)]
    revisions = branch.chain(((change, WORDS) for change in changes), source.fetch())
    branch.push(revisions[-1], source.fetch())

    assert git(origin.path, "rev-list", "--count", "main") == "601"
    assert git(origin.path, "diff-tree", "-r", "--name-only", revisions[450], revisions[451]) == "d151/sub/f.yaml"
    assert contents(source, source.fetch()) == {f"d{n}/sub/f.yaml": f"changed {n + 300}\n".encode() for n in range(300)}
    git(origin.path, "fsck", "--strict")
    branch.close()
    source.close()


def test_packs_that_are_gone_are_let_go(origin: Origin, tmp_path: Path) -> None:
    """A mirror that is written to for months keeps no more of its old packs open than it makes between two forgettings."""
    origin.commit({"a.yaml": "a\n"})
    source = Mirror(str(origin.path), "main", tmp_path / "mirror", Seams())
    branch = Branch(str(origin.path), "main", tmp_path / "mirror", Seams())
    tip, most = source.fetch(), 0
    for number in range(4 * MANY_USES):
        tip = branch.make({"a.yaml": b"%d\n" % number}, tip, WORDS)
        assert source.info(tip).author == str(EVE)
        branch.tidy()
        most = max(most, sum(".pack" in name for name in _opened()))
    # Both have a use or more for each pack that is made.
    assert most <= 2 * MANY_USES
    branch.close()
    source.close()


def test_packs_of_a_repository_on_this_machine_are_let_go(origin: Origin, tmp_path: Path) -> None:
    """Nor of those that pushes to it have made there, and that its own git has packed anew."""
    origin.commit({"a.yaml": "a\n"})
    source = Mirror(str(origin.path), "main", tmp_path / "mirror", Seams())
    branch = Branch(str(origin.path), "main", tmp_path / "mirror", Seams())
    # What pushes leave there is packed here, and not by a process that nobody waits for.
    git(origin.path, "config", "receive.autogc", "false")
    tip, most = source.fetch(), 0
    for number in range(2 * MANY_USES):
        old, tip = tip, branch.make({f"{n}.yaml": b"%d %d\n" % (number, n) for n in range(20)}, tip, WORDS)
        branch.push(tip, old)
        branch.followed(tip)
        assert source.fetch() == tip
        if number % 20 == 0:
            git(origin.path, "repack", "-adq")
        most = max(most, sum(".pack" in name for name in _opened(str(origin.path))))
    # It has been pushed as packs at all, and more of them than are open.
    assert MANY_USES // 2 < most <= MANY_USES
    branch.close()
    source.close()


def _opened(where: str = "/mirror/") -> list[str]:
    directory, found = Path("/proc/self/fd"), list[str]()
    for name in os.listdir(directory):
        try:
            found.append(os.readlink(directory / name))
        except FileNotFoundError:
            continue
    return [name for name in found if where in name]
