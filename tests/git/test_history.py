"""What is told of the commits between two revisions: everything new, nothing old, and never without end."""

from pathlib import Path

import pygit2
import pytest

from reconciler.git import Directory, Source, SourceError, history
from reconciler.git.bare import MANY_USES
from reconciler.seams import Seams
from tests.git.conftest import Open
from tests.repos import Origin, git


def merge(origin: Origin, branch: str, other: str, at: int, message: str = "merge") -> str:
    """A commit of both branches on the first."""
    repository = pygit2.Repository(str(origin.path))
    parents = [repository.references[f"refs/heads/{name}"].peel(pygit2.Commit).id for name in (branch, other)]
    tree = repository.merge_commits(parents[0], parents[1]).write_tree(repository)
    person = pygit2.Signature("A", "a@example.org", at)
    return str(repository.create_commit(f"refs/heads/{branch}", person, person, message, tree, parents))


def test_what_is_new_is_told_newest_first(origin: Origin, mirror: Open) -> None:
    """With the whole message, commits that a merge brought too; nothing that the older revision already had."""
    base = origin.commit({"a.yaml": "1"})
    side = origin.commit({"s.yaml": "1"}, branch="side", message="Side\n\nConvoy-Confirm: deletes\n")
    old = origin.commit({"a.yaml": "2"})
    between = origin.commit({"a.yaml": "3"})
    new = merge(origin, "main", "side", 1_700_000_900)
    source = mirror()
    source.fetch()
    told = source.commits(old, new)
    assert told[0].revision == new
    assert {one.revision for one in told} == {new, between, side}
    assert [one.message for one in told if one.revision == side] == ["Side\n\nConvoy-Confirm: deletes\n"]
    assert [one.revision for one in source.commits(base, old)] == [old]
    assert source.commits(new, new) == ()


def test_wrong_clocks_bring_nothing_back(origin: Origin, mirror: Open) -> None:
    """Dates are whatever committers write: they neither hide a new commit nor show an old one again."""
    first = origin.commit({"a.yaml": "1"})
    origin.commits = 1_000_000
    old = origin.commit({"a.yaml": "2"})
    origin.commits = -1_600_000_000
    ancient = origin.commit({"a.yaml": "3"})
    origin.commits = 50
    origin.commit({"s.yaml": "1"}, branch="side", onto=first)
    side = origin.tip("side")
    new = merge(origin, "main", "side", 10)
    source = mirror()
    source.fetch()
    assert {one.revision for one in source.commits(old, new)} == {new, side, ancient}


def test_only_the_new_one_where_nothing_leads_there(origin: Origin, mirror: Open, tmp_path: Path) -> None:
    """A rewritten branch, a first revision, and an unknown one: the new commit alone speaks."""
    base = origin.commit({"a.yaml": "1"})
    left = origin.commit({"a.yaml": "2"})
    source = mirror()
    source.fetch()
    new = origin.commit({"a.yaml": "3"}, onto=base)
    source.fetch()
    blob = source.tree(new).files["a.yaml"]
    for old in (left, "", "0123456789" * 4, "folder-0123456789ab", blob, "main", "--all"):
        assert [one.revision for one in source.commits(old, new)] == [new]
    for unknown in ("main", "0123456789" * 4):
        with pytest.raises(SourceError, match="is not"):
            source.commits(new, unknown)


def test_there_is_an_end(origin: Origin, mirror: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more commits than anybody pushes at once the newest are told."""
    monkeypatch.setattr(history, "MOST_COMMITS", 3)
    revisions = [origin.commit({"a.yaml": f"{number}"}) for number in range(6)]
    source = mirror()
    source.fetch()
    assert [one.revision for one in source.commits(revisions[0], revisions[-1])] == revisions[:2:-1]


def test_a_shallow_repository_tells_what_it_has(origin: Origin, mirror: Open, tmp_path: Path) -> None:
    """Where history is cut off, what lies before the cut is not missed."""
    revisions = [origin.commit({"a.yaml": f"{number}"}) for number in range(4)]
    git(tmp_path, "clone", "-q", "--depth=2", f"file://{origin.path}", "shallow")
    source = mirror(tmp_path / "shallow")
    assert source.fetch() == revisions[3]
    # For as long as it is open: now and then it forgets all that it knows of its packs.
    for _ in range(MANY_USES + 1):
        assert [one.revision for one in source.commits(revisions[2], revisions[3])] == [revisions[3]]
        assert [one.revision for one in source.commits(revisions[0], revisions[3])] == [revisions[3]]


def test_a_folder_has_no_history(tmp_path: Path) -> None:
    """Its revision now is all there is to tell."""
    (tmp_path / "a.yaml").write_text("1")
    source = Directory(tmp_path, Seams())
    old = source.fetch()
    (tmp_path / "a.yaml").write_text("2")
    new = source.fetch()
    assert [one.revision for one in source.commits(old, new)] == [new]
    assert source.commits(new, new) == ()
    source.close()


def made(source: Source, old: str, new: str, *files: str) -> dict[str, str]:
    return {file: commit.revision for file, commit in source.makers(old, new, files).items()}


def test_who_changed_each_file(origin: Origin, mirror: Open) -> None:
    """The newest commit since the older revision, in any directory, also of a file that is gone or was moved there."""
    first = origin.commit({"a.yaml": "1", "x/y/b.yaml": "1", "c.yaml": "1"})
    second = origin.commit({"x/y/b.yaml": "2"})
    third = origin.commit({"a.yaml": "2", "c.yaml": None})
    fourth = origin.commit({"a.yaml": "3", "README.md": "words"})
    source = mirror()
    source.fetch()
    assert made(source, first, fourth, "a.yaml", "x/y/b.yaml", "c.yaml", "x/y/none.yaml") == {
        "a.yaml": fourth,
        "x/y/b.yaml": second,
        "c.yaml": third,
    }
    assert made(source, second, third, "a.yaml", "x/y/b.yaml") == {"a.yaml": third}
    assert made(source, "", second, "a.yaml", "x/y/b.yaml") == {"a.yaml": first, "x/y/b.yaml": second}
    assert made(source, fourth, fourth, "a.yaml") == {}


def test_what_a_merge_brought_is_the_merges(origin: Origin, mirror: Open) -> None:
    """Along the first parents: the branch itself became so by the merge."""
    origin.commit({"a.yaml": "1"})
    origin.commit({"s.yaml": "1"}, branch="side")
    old = origin.commit({"a.yaml": "2"})
    new = merge(origin, "main", "side", 1_700_000_900)
    source = mirror()
    source.fetch()
    assert made(source, old, new, "s.yaml", "a.yaml") == {"s.yaml": new}


def test_nobody_is_looked_for_for_ever(origin: Origin, mirror: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was changed too long ago, or beyond the end of a shallow clone, is nobody's rather than somebody else's."""
    first = origin.commit({"a.yaml": "1"})
    for number in range(5):
        origin.commit({"b.yaml": str(number)})
    source = mirror()
    source.fetch()
    assert made(source, "", origin.tip("main"), "a.yaml") == {"a.yaml": first}
    monkeypatch.setattr(history, "MOST_STEPS", 3)
    assert made(source, "", origin.tip("main"), "a.yaml", "b.yaml") == {"b.yaml": origin.tip("main")}
    with pytest.raises(SourceError, match="is not in the mirror"):
        source.makers("", "0" * 40, ["a.yaml"])


def test_a_folder_has_no_makers(tmp_path: Path) -> None:
    """Nobody is named for what was never committed."""
    (tmp_path / "a.yaml").write_text("a: 1\n")
    source = Directory(tmp_path, Seams())
    assert source.makers("", source.fetch(), ["a.yaml"]) == {}
