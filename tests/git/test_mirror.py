"""What a mirror gives for a branch, and what it says when it cannot."""

import os
import threading
from pathlib import Path

import pygit2
import pytest

from reconciler.git import SourceError
from reconciler.git import carry as carrying
from tests.git.conftest import Open, contents
from tests.repos import Origin, git, make_clone


def test_reads_documents_of_the_branch(origin: Origin, mirror: Open) -> None:
    """Documents at any depth are read; other files, and names that begin with a dot, are left out."""
    files = {"a.yaml": "a", "deep/er/b.yml": "b", "README.md": "no", ".github/ci.yaml": "no", "deep/.hidden.yaml": "no"}
    revision = origin.commit(files)
    origin.commit({"other.yaml": "no"}, branch="other")
    source = mirror()
    assert source.fetch() == revision
    assert contents(source, revision) == {"a.yaml": b"a", "deep/er/b.yml": b"b"}
    assert source.tree(revision).problems == ()


@pytest.mark.parametrize("remote", [False, True])
def test_follows_new_rewritten_and_reverted_commits(
    origin: Origin, mirror: Open, remote: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the branch names is what is wanted, also when history was rewritten; by copying objects and by git alike."""
    if remote:
        monkeypatch.setattr("reconciler.git.mirror.carry", lambda *_: False)
    first = origin.commit({"a.yaml": "1", "dir/b.yaml": "1"})
    source = mirror()
    assert source.fetch() == first
    second = origin.commit({"dir/b.yaml": "2", "c/d/e.yaml": "new"})
    assert source.fetch() == second
    assert contents(source, second) == {"a.yaml": b"1", "dir/b.yaml": b"2", "c/d/e.yaml": b"new"}
    rewritten = origin.commit({"dir/b.yaml": "3", "a.yaml": None}, onto=first)
    assert source.fetch() == rewritten
    assert contents(source, rewritten) == {"dir/b.yaml": b"3"}
    orphan = origin.commit({"z.yaml": "z"}, onto="")
    assert source.fetch() == orphan
    assert contents(source, orphan) == {"z.yaml": b"z"}
    git(origin.path, "update-ref", "refs/heads/main", first)
    assert source.fetch() == first
    # The commits left behind can still be read: one of them may be the last good one.
    assert contents(source, second)["c/d/e.yaml"] == b"new"
    git(origin.path.parent / "state" / "mirror", "fsck", "--full", "--strict")


def test_carries_merges_and_many_commits(origin: Origin, mirror: Open) -> None:
    """A merge, and more commits at once than are carried one by one, arrive complete."""
    base = origin.commit({"a.yaml": "1"})
    source = mirror()
    source.fetch()
    side = origin.commit({"side.yaml": "s"}, branch="side", onto=base)
    main = origin.commit({"a.yaml": "2"})
    repository = pygit2.Repository(str(origin.path))
    index = repository.merge_commits(pygit2.Oid(hex=main), pygit2.Oid(hex=side))
    person = pygit2.Signature("A", "a@example.org", 1_700_000_100)
    parents = [pygit2.Oid(hex=main), pygit2.Oid(hex=side)]
    merge = str(repository.create_commit("refs/heads/main", person, person, "merge", index.write_tree(repository), parents))
    assert source.fetch() == merge
    assert contents(source, merge) == {"a.yaml": b"2", "side.yaml": b"s"}
    for number in range(carrying.MOST_COMMITS + 2):
        last = origin.commit({"a.yaml": f"n{number}"})
    assert source.fetch() == last
    assert contents(source, last)["a.yaml"] == f"n{carrying.MOST_COMMITS + 1}".encode()
    git(origin.path.parent / "state" / "mirror", "fsck", "--full", "--strict")


def test_nothing_new_costs_nothing(origin: Origin, mirror: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking at a local branch that has not moved starts no process and opens no mirror."""
    revision = origin.commit({"a.yaml": "1"})
    source = mirror()
    source.fetch()
    monkeypatch.setattr("reconciler.git.command.subprocess.Popen", None)
    monkeypatch.setattr("reconciler.git.bare.os.open", None)
    assert source.fetch() == revision


def test_one_commit_among_ten_thousand_files(origin: Origin, mirror: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """A one-file commit starts no process and reads only the directories on the way to that file."""
    origin.commit({f"d{number // 100}/{number}.yaml": f"n{number}" for number in range(10_000)})
    source = mirror()
    trees = source._bare
    source.tree(source.fetch())
    read = trees.trees().trees_read
    assert read == 101
    monkeypatch.setattr("reconciler.git.command.subprocess.Popen", None)
    revision = commit_without_process(origin, "d7", "777.yaml", b"changed")
    assert source.fetch() == revision
    files = source.tree(revision).files
    assert trees.trees().trees_read - read == 2
    assert len(files) == 10_000
    assert source.read([files["d7/777.yaml"]]) == {files["d7/777.yaml"]: b"changed"}


def commit_without_process(origin: Origin, directory: str, name: str, content: bytes) -> str:
    repository = pygit2.Repository(str(origin.path))
    old = repository[origin.tip()].peel(pygit2.Commit)
    below = repository.TreeBuilder((old.tree / directory).peel(pygit2.Tree))
    below.insert(name, repository.create_blob(content), pygit2.enums.FileMode.BLOB)
    top = repository.TreeBuilder(old.tree)
    top.insert(directory, below.write(), pygit2.enums.FileMode.TREE)
    person = pygit2.Signature("A", "a@example.org", 1_700_000_500)
    return str(repository.create_commit("refs/heads/main", person, person, "one", top.write(), [old.id]))


def test_a_subdirectory_is_the_whole_fleet(origin: Origin, mirror: Open) -> None:
    """Only what is below it is listed, under paths from the repository's root; where it is gone nothing is said to be there."""
    first = origin.commit({"fleet/prod/a.yaml": "a", "b.yaml": "b", "fleet/c.yaml": "c"})
    source = mirror(subdirectory="./fleet/prod/")
    tree = source.tree(source.fetch())
    assert (list(tree.files), tree.root) == (["fleet/prod/a.yaml"], "fleet/prod/")
    second = origin.commit({"fleet/prod/a.yaml": None})
    assert source.fetch() == second
    with pytest.raises(SourceError, match="no directory fleet/prod/"):
        source.tree(second)
    assert list(source.tree(first).files) == ["fleet/prod/a.yaml"]


def test_says_who_and_when(origin: Origin, mirror: Open) -> None:
    """A revision's facts are the commit's."""
    first = origin.commit({"a.yaml": "1"})
    second = origin.commit({"a.yaml": "2"}, message="Second\n\nbody")
    source = mirror()
    source.fetch()
    said = source.info(second)
    assert (said.author, said.committed_at, said.subject) == ("A Person <person@example.org>", 1_700_000_002.0, "Second")
    assert said.parents == (first,)


def test_a_folder_inside_a_repository_is_not_the_repository(origin: Origin, mirror: Open, tmp_path: Path) -> None:
    """A path means the repository at that path, never one found further up."""
    origin.commit({"sub/a.yaml": "1"})
    clone = make_clone(origin, tmp_path / "clone")
    with pytest.raises(SourceError, match="is not a Git repository"):
        mirror(clone / "sub").fetch()


def test_a_working_clone_is_followed_by_its_branch(origin: Origin, mirror: Open, tmp_path: Path) -> None:
    """What counts is what is committed to the named branch, neither the files lying there nor what is checked out."""
    origin.commit({"a.yaml": "1"})
    clone = make_clone(origin, tmp_path / "clone")
    (clone / "a.yaml").write_text("not committed")
    source = mirror(clone)
    assert contents(source, source.fetch()) == {"a.yaml": b"1"}
    git(clone, "checkout", "-q", "-b", "elsewhere")
    git(clone, "commit", "-q", "-am", "elsewhere")
    assert contents(source, source.fetch()) == {"a.yaml": b"1"}


def test_a_worktree_is_followed_by_its_repository(origin: Origin, mirror: Open, tmp_path: Path) -> None:
    """A linked worktree has its branches elsewhere; they are found, and watched there."""
    origin.commit({"a.yaml": "1"})
    clone = make_clone(origin, tmp_path / "clone")
    git(clone, "worktree", "add", "-q", "-b", "wip", str(tmp_path / "linked"))
    source = mirror(tmp_path / "linked", "wip")
    source.fetch()
    (tmp_path / "linked" / "a.yaml").write_text("2")
    git(tmp_path / "linked", "commit", "-q", "-am", "two")
    assert contents(source, source.fetch()) == {"a.yaml": b"2"}
    assert clone / ".git" / "refs" / "heads" in source._places()


def test_a_shallow_clone_will_do(origin: Origin, mirror: Open, tmp_path: Path) -> None:
    """Where the history is cut off, as in a build, the branch can still be read and followed."""
    for number in range(3):
        origin.commit({"a.yaml": f"{number}"})
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{origin.path}", "shallow")
    source = mirror(tmp_path / "shallow")
    assert contents(source, source.fetch()) == {"a.yaml": b"2"}
    git(tmp_path / "shallow", "config", "user.email", "person@example.org")
    git(tmp_path / "shallow", "config", "user.name", "A Person")
    (tmp_path / "shallow" / "a.yaml").write_text("3")
    git(tmp_path / "shallow", "commit", "-q", "-am", "three")
    assert contents(source, source.fetch()) == {"a.yaml": b"3"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a repository to somebody else: run as root")
def test_a_repository_of_another_owner_can_be_read(origin: Origin, mirror: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """A volume's files often belong to somebody else; they are read all the same, by git and by copying objects."""
    first = origin.commit({"a.yaml": "1"})
    for path in (origin.path, *origin.path.rglob("*")):
        os.chown(path, 65534, 65534)
    source = mirror()
    assert source.fetch() == first
    git(origin.path, "-c", f"safe.directory={origin.path}", "update-ref", "refs/heads/next", first)
    second = commit_onto_main(origin, b"2")
    os.chown(origin.path, 65534, 65534)
    assert contents(source, source.fetch()) == {"a.yaml": b"2"}
    assert second == origin.tip()


def commit_onto_main(origin: Origin, content: bytes) -> str:
    repository = pygit2.Repository(str(origin.path))
    builder = repository.TreeBuilder()
    builder.insert("a.yaml", repository.create_blob(content), pygit2.enums.FileMode.BLOB)
    person = pygit2.Signature("A", "a@example.org", 1_700_000_600)
    parent = repository.references["refs/heads/main"].target
    return str(repository.create_commit("refs/heads/main", person, person, "next", builder.write(), [parent]))


def test_a_restart_goes_on_with_the_mirror(origin: Origin, mirror: Open) -> None:
    """A second life finds the mirror of the first, starts no process for what is there, and reads old revisions."""
    first = origin.commit({"a.yaml": "1"})
    one = mirror()
    one.fetch()
    second = origin.commit({"a.yaml": "2"})
    one.fetch()
    one.close()
    two = mirror()
    assert two.fetch() == second
    assert contents(two, first) == {"a.yaml": b"1"}


def test_loose_objects_are_packed_and_nothing_is_lost(
    origin: Origin, mirror: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packing keeps also the revisions that no branch names any more, and a reader in another process goes on."""
    first = origin.commit({"a.yaml": "1"})
    source, other = mirror(), mirror()
    source.fetch()
    left = origin.commit({"a.yaml": "left behind"})
    source.fetch()
    other.fetch()
    origin.commit({"a.yaml": "2"}, onto=first)
    revision = source.fetch()
    monkeypatch.setattr("reconciler.git.bare.MANY_PACKS", 0)
    while source.changed(0):
        # What happened before may be noticed again, and later than it was read.
        assert source.fetch() == revision
    loose = [
        path
        for path in (tmp_path / "state/mirror/objects").rglob("*")
        if path.is_file() and path.parent.name not in ("pack", "info")
    ]
    assert len(loose) < 4
    for reader in (source, other):
        assert contents(reader, left) == {"a.yaml": b"left behind"}
        assert contents(reader, revision) == {"a.yaml": b"2"}


def test_a_commit_is_noticed_at_once(origin: Origin, mirror: Open, watching: threading.Event) -> None:
    """With polling off, a commit ends the wait; also on a branch in directories that do not exist yet."""
    origin.commit({"a.yaml": "1"}, branch="team/web")
    git(origin.path, "pack-refs", "--all", "--prune")
    source = mirror(branch="team/web", poll_s=3600.0)
    source.fetch()
    assert source.changed(0.3) is False
    assert watching.wait(60)
    revision = origin.commit({"a.yaml": "2"}, branch="team/web")
    assert source.changed(120.0) is True
    while source.fetch() != revision:
        assert source.changed(120.0) is True


def test_waiting_ends(origin: Origin, mirror: Open) -> None:
    """A wait ends with its time, with the poll, with a hint, and with the source itself."""
    others = set(threading.enumerate())
    origin.commit({"a.yaml": "1"})
    source = mirror(poll_s=3600.0)
    source.fetch()
    assert source.changed(0.01) is False
    source.hint()
    assert source.changed(None) is True
    closing = threading.Timer(0.05, source.close)
    closing.start()
    assert source.changed(None) is False
    closing.join()
    assert source.changed(None) is False
    assert "source-watch" not in {thread.name for thread in set(threading.enumerate()) - others}
    polling = mirror(poll_s=0.02)
    polling.fetch()
    assert polling.changed(None) is True
