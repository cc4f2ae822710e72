"""The past of a branch, along its first parents: which documents each commit changed; and commits by their names."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.git import Mirror, Past, SourceError
from reconciler.seams import Seams
from tests.git.conftest import Open
from tests.repos import Origin, git


@pytest.fixture
def past(tmp_path: Path, origin: Origin, mirror: Open) -> Iterator[Past]:
    one = Past(str(origin.path), "main", tmp_path / "state" / "mirror", Seams(), subdirectory="fleet")
    yield one
    one.close()


def steps(past: Past, source: Mirror) -> list[tuple[str, dict[str, str]]]:
    """Subject, and path ⇒ + - ~."""
    tip = source.fetch()
    sign = {(True, False): "+", (False, True): "-", (False, False): "~"}
    return [
        (step.commit.subject, {path: sign[old is None, new is None] for path, (old, new) in step.changed().items()})
        for step in past.steps(tip)
    ]


def test_what_each_commit_changed(origin: Origin, mirror: Open, past: Past) -> None:
    """Documents of the fleet's directory alone: no other files, none elsewhere, none that are hidden, no links."""
    origin.commit(
        {"fleet/a.yaml": "1", "fleet/deep/b.yml": "1", "fleet/x.txt": "1", "c.yaml": "1", "fleet/.h/d.yaml": "1"}, message="1"
    )
    origin.commit({"fleet/a.yaml": "2", "fleet/.e.yaml": "1"}, links={"fleet/l.yaml": "a.yaml"}, message="2")
    origin.commit({"README.md": "x"}, message="3")
    origin.commit({"fleet/a.yaml": None, "fleet/deep/f.yaml": "1"}, message="4")
    origin.commit({"fleet/deep/b.yml": None, "fleet/deep/f.yaml": None, "fleet/deep": "a file now"}, message="5")
    assert steps(past, mirror(subdirectory="fleet")) == [
        ("5", {"fleet/deep/b.yml": "-", "fleet/deep/f.yaml": "-"}),
        ("4", {"fleet/a.yaml": "-", "fleet/deep/f.yaml": "+"}),
        ("3", {}),
        ("2", {"fleet/a.yaml": "~"}),
        ("1", {"fleet/a.yaml": "+", "fleet/deep/b.yml": "+"}),
    ]


def test_one_file_alone(origin: Origin, mirror: Open, past: Past) -> None:
    """Whether a commit left it alone, whatever stands at its path before and after."""
    origin.commit({"fleet/a.yaml": "1"}, message="1")
    origin.commit({"fleet/b.yaml": "1"}, message="2")
    origin.commit({"fleet/a.yaml": "2"}, message="3")
    origin.commit({"fleet/a.yaml": None}, links={"fleet/a.yaml": "b.yaml"}, message="4")
    origin.commit({"fleet/a.yaml": None, "fleet/a.yaml/c.yaml": "1"}, message="5")
    tip = mirror(subdirectory="fleet").fetch()
    same = {step.commit.subject: step.same("fleet/a.yaml") for step in past.steps(tip)}
    assert same == {"5": True, "4": False, "3": False, "2": True, "1": False}
    same = {step.commit.subject: step.same("fleet/none/a.yaml") for step in past.steps(tip)}
    assert all(same.values())


def test_a_merge_is_one_step(origin: Origin, mirror: Open, past: Past) -> None:
    """What it brought to the branch, not what led to it elsewhere."""
    start = origin.commit({"fleet/a.yaml": "1"}, message="1")
    origin.commit({"fleet/b.yaml": "1"}, branch="side", onto=start, message="side")
    origin.commit({"fleet/b.yaml": "2"}, branch="side", message="side")
    origin.commit({"fleet/c.yaml": "1"}, message="2")
    tree = git(origin.path, "merge-tree", "--write-tree", "main", "side").splitlines()[0]
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    merge = git(origin.path, *who, "commit-tree", tree, "-p", "main", "-p", "side", "-m", "merge")
    git(origin.path, "update-ref", "refs/heads/main", merge)
    assert steps(past, mirror(subdirectory="fleet")) == [
        ("merge", {"fleet/b.yaml": "+"}),
        ("2", {"fleet/c.yaml": "+"}),
        ("1", {"fleet/a.yaml": "+"}),
    ]


def test_commits_by_name(origin: Origin, mirror: Open, past: Past) -> None:
    """Some digits, or so many before the tip; only what led to the tip, and nothing that git would take for something else."""
    first = origin.commit({"fleet/a.yaml": "1"})
    second = origin.commit({"fleet/b.yaml": "1"})
    tip = mirror(subdirectory="fleet").fetch()
    for name, expected in (
        (first[:8], first),
        (second, second),
        ("HEAD", second),
        ("main~1", first),
        (f"{second[:6]}^", first),
    ):
        commit, files = past.named(tip, name)
        assert (commit.revision, "fleet/b.yaml" in files) == (expected, expected == second)
    with pytest.raises(SourceError):
        past.named(first, second)
    blob = git(origin.path, "rev-parse", "main:fleet/a.yaml")
    for name in ("", "abc", "f" * 40, "HEAD~9", "--all", "main:fleet", "@{-1}", ":/x", "HEAD^{tree}", "refs/convoy/tip", blob):
        with pytest.raises(SourceError, match="is no commit that branch main"):
            past.named(tip, name)


@pytest.mark.slow
def test_bounded(origin: Origin, mirror: Open, past: Past) -> None:
    """A few trees that name each other stand for billions of files; looking at them has an end."""
    level = origin.tree([("100644", b"a.yaml", origin.blob(b"x"))])
    for _ in range(20):
        level = origin.tree([("40000", b"%d" % number, level) for number in range(9)])
    origin.commit_tree([("40000", b"fleet", level)])
    with pytest.raises(SourceError, match="has more than"):
        steps(past, mirror(subdirectory="fleet"))


def test_a_mirror_that_is_not_there(past: Past) -> None:
    """Nothing was fetched yet."""
    with pytest.raises(SourceError, match="cannot read the history"):
        next(past.steps("1" * 40))
