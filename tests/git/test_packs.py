"""Objects that are written as one pack are what git itself would have written, and nothing of a pack is left by a failure."""

import os
import random
from pathlib import Path

import pygit2
import pytest
from pygit2.enums import ObjectType

from reconciler.git import Branch, Mirror, Person, Words
from reconciler.git.bare import MANY_USES
from reconciler.git.packs import BLOB, COMMIT, DEEPEST_DIFFERENCE, LARGEST, TREE, Pack, difference
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


@pytest.mark.parametrize("long", [3, 5_000, 20_000_000], ids=["short", "blocks", "more than one copy"])
def test_what_is_nearly_the_same_is_a_difference(long: int, repository: pygit2.Repository) -> None:
    """Changed at either end, in the middle, longer, shorter, not at all: git reads what was written, and it takes few bytes."""
    random.seed(7)
    first = random.randbytes(long)
    nearly = [
        b"new" + first,
        first + b"new",
        first[: long // 2] + random.randbytes(300) + first[long // 2 + 300 :],
        first[long // 2 :],
        first[: long // 2],
        first + first,
        first[:-1] + b"!",
        b"!" + first[1:],
        b"",
        first[::-1],
    ]
    pack, before, ids = Pack(repository), "", list[str]()
    for content in (first, *nearly):
        if len(ids) % 3 == 0 and long > LARGEST // 10:
            pack.write()
        before = pack.add(BLOB, content, before or "0" * 40)
        ids.append(before)
        before = pack.add(BLOB, first, before)
    pack.write()
    for id, content in zip(ids, (first, *nearly), strict=True):
        assert repository.odb.read(pygit2.Oid(hex=id))[1] == content
    assert git(Path(repository.path), "fsck", "--strict", "--full", "--no-dangling") == ""


@pytest.mark.parametrize("old", [b"", b"a", b"abcabc", bytes(70_000)])
@pytest.mark.parametrize("new", [b"", b"a", b"b", b"abc", b"abcabcabc", bytes(70_001), bytes(65_536) + b"x" + bytes(65_536)])
def test_a_difference_is_put_together_again(old: bytes, new: bytes, repository: pygit2.Repository) -> None:
    """As the format of packs says that a reader does it."""
    assert applied(old, difference(old, new)) == new


def applied(old: bytes, said: bytes) -> bytes:
    """https://git-scm.com/docs/gitformat-pack#_deltified_representation"""
    at = 0

    def number() -> int:
        nonlocal at
        value, shift = 0, 0
        while True:
            one = said[at]
            at, value, shift = at + 1, value | (one & 0x7F) << shift, shift + 7
            if not one & 0x80:
                return value

    lengths, new = (number(), number()), b""
    while at < len(said):
        step, at = said[at], at + 1
        if step & 0x80:
            values = [0] * 7
            for i in range(7):
                if step & 1 << i:
                    values[i], at = said[at], at + 1
            start, length = int.from_bytes(bytes(values[:4]), "little"), int.from_bytes(bytes(values[4:]), "little")
            new += old[start : start + (length or 0x10000)]
        else:
            new, at = new + said[at : at + step], at + step
    assert lengths == (len(old), len(new))
    return new


def test_a_chain_of_trees_is_small(origin: Origin, tmp_path: Path) -> None:
    """A hundred commits in one large directory take hardly more than a tree of it, here and where they are pushed to; and after
    so many differences one stands whole."""
    origin.commit({f"{n}.yaml": f"{n}\n" for n in range(3000)})
    source = Mirror(str(origin.path), "main", tmp_path / "mirror", Seams())
    branch = Branch(str(origin.path), "main", tmp_path / "mirror", Seams())
    tip = source.fetch()
    raw = git(origin.path, "cat-file", "-s", f"{tip}^{{tree}}")

    def size(directory: Path) -> int:
        return sum(one.stat().st_size for one in (directory / "objects").rglob("*") if one.is_file())

    before = size(origin.path), size(tmp_path / "mirror")
    revisions = branch.chain(((({f"{n * 29}.yaml": b"new %d\n" % n}), WORDS) for n in range(100)), tip)
    branch.push(revisions[-1], tip)
    grown = size(origin.path) - before[0], size(tmp_path / "mirror") - before[1]
    # A commit, a blob and their names in the index besides.
    assert max(grown) < 4 * int(raw) + 100 * 600
    indexes = [str(one) for one in (tmp_path / "mirror" / "objects" / "pack").glob("pack-*.idx")]
    lines = git(tmp_path / "mirror", "verify-pack", "-v", *indexes).splitlines()
    depths = [int(line.split()[5]) for line in lines if len(line.split()) == 7]
    assert 90 < len(depths) < 100
    assert max(depths) == DEEPEST_DIFFERENCE
    files = contents(source, source.fetch())
    assert {path for path, text in files.items() if text.startswith(b"new ")} == {f"{n * 29}.yaml" for n in range(100)}
    git(origin.path, "fsck", "--strict")
    branch.close()
    source.close()


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
