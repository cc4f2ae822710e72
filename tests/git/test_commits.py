"""Any commit of a repository on this machine, by any name that git has for it, read where it is and without a program."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from reconciler.git import Commits, SourceError
from reconciler.seams import Seams
from tests.repos import Origin, git, make_clone

Opened = Callable[..., Commits]


@pytest.fixture
def around() -> Iterator[Opened]:
    opened: list[Commits] = []

    def open_(folder: Path) -> Commits:
        opened.append(Commits.around(folder, Seams()))
        return opened[-1]

    yield open_
    for one in opened:
        one.close()


@pytest.fixture
def clone(tmp_path: Path, origin: Origin) -> Path:
    origin.commit({"fleet/a.yaml": "a: 1\n", "other.yaml": "x: 1\n"}, message="one")
    origin.commit({"fleet/a.yaml": "a: 2\n"}, message="two")
    git(origin.path, "tag", "v1", "main~1")
    return make_clone(origin, tmp_path / "clone")


@pytest.mark.parametrize(
    ("name", "message"),
    [("HEAD", "two"), ("main", "two"), ("origin/main", "two"), ("HEAD~1", "one"), ("main^", "one"), ("v1", "one"),
     ("HEAD@{0}", "two"), ("@", "two"), ("refs/tags/v1", "one"), ("v1^{commit}", "one"), ("marked", "two")],
)  # fmt: skip
def test_whatever_git_calls_a_commit(clone: Path, around: Opened, name: str, message: str) -> None:
    """Branches, branches of remotes, tags with and without words of their own, ancestors, and where something was before."""
    git(clone, "tag", "-a", "-m", "words", "marked")
    commits = around(clone)
    assert commits.info(commits.resolve(name)).message.strip() == message
    assert commits.resolve(commits.resolve(name)[:10]) == commits.resolve(name) == git(clone, "rev-parse", f"{name}^{{commit}}")


@pytest.mark.parametrize(
    "name",
    ["--upload-pack=touch x", "-x", "", " ", "a..b", "a...b", ":/two", "HEAD^{/two}", "HEAD:fleet", "HEAD\nmain", "\x1b[31m",
     "x" * 251, "HEAD^{tree}", "nope", "HEAD~99", "0" * 40, ".."],
)  # fmt: skip
def test_what_is_no_commit_is_an_error_in_words(clone: Path, around: Opened, name: str) -> None:
    """Options, searches through all of the past, ranges, files and names that nobody bears."""
    with pytest.raises(SourceError) as raised:
        around(clone).resolve(name)
    assert "name a commit as git does" in str(raised.value)
    assert str(raised.value).isprintable()


def test_a_branch_of_a_remote_is_suggested(clone: Path, around: Opened, origin: Origin) -> None:
    """In a CI job's clone the base branch is there under its remote's name."""
    origin.commit({"b.yaml": "1"}, branch="release", onto=origin.tip())
    git(clone, "fetch", "--quiet")
    with pytest.raises(SourceError, match="there is origin/release"):
        around(clone).resolve("release")


def test_the_folder_is_the_fleets_directory(clone: Path, around: Opened, tmp_path: Path) -> None:
    """A folder below the top, a linked working tree, and a link to either: only what is below it is the fleet."""
    git(clone, "worktree", "add", "--quiet", "--detach", str(tmp_path / "linked"), "v1")
    (tmp_path / "link").symlink_to(clone / "fleet")
    for folder, name, said in (
        (clone / "fleet", "HEAD", b"a: 2\n"),
        (tmp_path / "link", "HEAD~1", b"a: 1\n"),
        (tmp_path / "linked" / "fleet", "HEAD", b"a: 1\n"),
    ):
        commits = around(folder).at(name)
        tree = commits.tree(commits.fetch())
        assert tree.root == "fleet/"
        assert list(tree.files) == ["fleet/a.yaml"]
        assert commits.read(tree.files.values())[tree.files["fleet/a.yaml"]] == said
    assert sorted(around(clone).tree(around(clone).resolve("HEAD")).files) == ["fleet/a.yaml", "other.yaml"]


def test_a_bare_repository(origin: Origin, clone: Path) -> None:
    """By its path, with the fleet's directory named."""
    with closing(Commits(str(origin.path), "fleet", Seams())) as commits:
        assert list(commits.tree(commits.at("main").fetch()).files) == ["fleet/a.yaml"]
        with closing(Commits(str(origin.path), "nowhere", Seams())) as elsewhere, pytest.raises(SourceError, match="nowhere"):
            elsewhere.tree(commits.revision)


def test_where_there_is_no_repository(tmp_path: Path, around: Opened) -> None:
    """The error says what to do, and a repository on another machine is not looked for here."""
    (tmp_path / "alone").mkdir()
    with pytest.raises(SourceError, match="in no Git repository"):
        around(tmp_path / "alone")
    with pytest.raises(SourceError, match="not on this machine"):
        Commits("https://git.example/fleet.git", "", Seams())


def test_what_a_shallow_clone_lacks_is_said(origin: Origin, clone: Path, tmp_path: Path, around: Opened) -> None:
    """CI jobs clone one commit: the base is not there, and the error says so."""
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{origin.path}", "shallow")
    with pytest.raises(SourceError, match=r"there is no commit 'HEAD~1'"):
        around(tmp_path / "shallow").resolve("HEAD~1")


def test_nothing_of_the_repository_runs(clone: Path, around: Opened) -> None:
    """Programs that its settings and hooks name stay what they are: files."""
    for key, value in {
        "core.fsmonitor": "touch ran",
        "core.sshCommand": "touch ran",
        "extensions.partialClone": "origin",
        "core.alternateRefsCommand": "touch ran",
    }.items():
        git(clone, "config", key, value)
    commits = around(clone).at("HEAD")
    commits.read(commits.tree(commits.fetch()).files.values())
    assert not (clone / "ran").exists()
