"""What a plain folder gives, and what it says when it cannot be read."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pygit2
import pytest

from reconciler.git import Directory, SourceError, folder
from reconciler.git.source import Source
from reconciler.seams import Seams


class Failing(Seams):
    """Fails the named point, and counts the files read."""

    def __init__(self) -> None:
        self.failing, self.read = "", 0
        # When this test began, whatever time passes on a slow machine.
        self.at = time.time()

    def now(self) -> float:
        return self.at

    def point(self, name: str, *about: object) -> None:
        self.read += name == "folder.read"
        if name == self.failing:
            raise PermissionError(13, "Permission denied")


@pytest.fixture
def seams() -> Failing:
    return Failing()


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    path = tmp_path / "fleet"
    (path / "deep").mkdir(parents=True)
    (path / "a.yaml").write_text("a")
    (path / "deep" / "b.yml").write_text("b")
    return path


@pytest.fixture
def directory(fleet: Path, seams: Failing) -> Iterator[Directory]:
    opened = Directory(fleet, seams, poll_s=3600.0)
    yield opened
    opened.close()


def contents(directory: Source) -> dict[str, bytes]:
    tree = directory.tree(directory.fetch())
    blobs = directory.read(tree.files.values())
    return {path: blobs[id] for path, id in tree.files.items()}


def test_reads_documents_as_they_are_now(fleet: Path, directory: Directory) -> None:
    """Documents at any depth, without other files and dot-directories; blob ids are git's."""
    (fleet / "README.md").write_text("no")
    (fleet / ".git").mkdir()
    (fleet / ".git" / "x.yaml").write_text("no")
    assert contents(directory) == {"a.yaml": b"a", "deep/b.yml": b"b"}
    tree = directory.tree(directory.fetch())
    assert tree.files["a.yaml"] == str(pygit2.hash(b"a"))
    assert tree.problems == ()
    assert directory.info(tree.revision).committed_at == pytest.approx(time.time(), abs=60)


def test_the_revision_is_the_content(fleet: Path, directory: Directory) -> None:
    """It changes with any name or content, comes back with them, and does not depend on times."""
    first = directory.fetch()
    assert first.startswith("folder-")
    os.utime(fleet / "a.yaml", (1, 1))
    assert directory.fetch() == first
    (fleet / "a.yaml").write_text("A")
    second = directory.fetch()
    (fleet / "a.yaml").rename(fleet / "c.yaml")
    third = directory.fetch()
    (fleet / "c.yaml").rename(fleet / "a.yaml")
    (fleet / "a.yaml").write_text("a")
    assert directory.fetch() == first
    assert len({first, second, third}) == 3
    assert directory.read([directory.tree(second).files["a.yaml"]]) == {str(pygit2.hash(b"A")): b"A"}


def test_old_revisions_are_let_go(fleet: Path, directory: Directory) -> None:
    """A folder keeps no history: what is long gone is an error, never an empty tree."""
    first = directory.fetch()
    blob = directory.tree(first).files["a.yaml"]
    for number in range(folder.MOST_REVISIONS):
        (fleet / "a.yaml").write_text(f"n{number}")
        directory.fetch()
    with pytest.raises(SourceError, match="keeps no history"):
        directory.tree(first)
    with pytest.raises(SourceError, match="no longer holds"):
        directory.read([blob])


def test_settled_files_are_read_once(fleet: Path, directory: Directory, seams: Failing) -> None:
    """A file that has not changed for a while is not read again; one written within the clock's grain always is."""
    directory.fetch()
    directory.fetch()
    assert seams.read == 4
    seams.at += 3600.0
    directory.fetch()
    assert seams.read == 6
    directory.fetch()
    assert seams.read == 6
    (fleet / "a.yaml").write_text("z")
    assert contents(directory)["a.yaml"] == b"z"
    assert seams.read == 7


def test_links_and_odd_files_are_refused(
    fleet: Path, directory: Directory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Links are never followed, pipes never opened, large files never read; each is a Problem at its path."""
    monkeypatch.setattr(folder, "LARGEST_FILE", 10)
    (tmp_path / "secret.yaml").write_text("secret")
    links = {
        "out.yaml": "/etc/passwd",
        "up": "../secret.yaml",
        "in.yaml": "a.yaml",
        "dir": "deep",
        "loop": "loop",
        "fine": "notes.txt",
    }
    (fleet / "notes.txt").write_text("n")
    for name, target in links.items():
        (fleet / name).symlink_to(target)
    os.mkfifo(fleet / "pipe.yaml")
    (fleet / "large.yaml").write_text("x" * 11)
    tree = directory.tree(directory.fetch())
    assert set(tree.files) == {"a.yaml", "deep/b.yml"}
    problems = {problem.where.file: problem.what for problem in tree.problems}
    assert set(problems) == {*links, "pipe.yaml", "large.yaml"} - {"fine"}
    assert "out of the folder" in problems["out.yaml"]
    assert "out of the folder" in problems["up"]
    assert "does not follow" in problems["in.yaml"]
    assert "is not a regular file" in problems["pipe.yaml"]
    assert "is 11 bytes long" in problems["large.yaml"]


def test_a_directory_swapped_for_a_link_leads_nowhere(fleet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at a name and its use a directory becomes a link out: an error, and nothing of it is read."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "b.yml").write_text("secret")
    whole = folder.opened

    def swapping(name: Path, directory: int | None):  # type: ignore[no-untyped-def]
        if name == Path("deep"):
            (fleet / "deep").rename(tmp_path / "moved")
            (fleet / "deep").symlink_to(tmp_path / "elsewhere")
        return whole(name, directory)

    monkeypatch.setattr(folder, "opened", swapping)
    directory = Directory(fleet, Seams())
    with pytest.raises(SourceError, match=r"cannot read .*deep"):
        directory.fetch()


def test_what_cannot_be_read_is_an_error(fleet: Path, directory: Directory, seams: Failing, tmp_path: Path) -> None:
    """A folder that is not there, and a file or folder that may not be read, never look empty."""
    seams.failing = "folder.fetch"
    with pytest.raises(SourceError, match="Permission denied"):
        directory.fetch()
    seams.failing = "folder.read"
    with pytest.raises(SourceError, match=r"a\.yaml: Permission denied"):
        directory.fetch()
    for path in (tmp_path / "nothing", fleet / "a.yaml"):
        with pytest.raises(SourceError, match="cannot read"):
            Directory(path, Seams()).fetch()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything: run as an ordinary user")
def test_permissions_are_respected(fleet: Path, directory: Directory) -> None:
    """A directory without permission is an error, not an empty directory."""
    (fleet / "deep").chmod(0)
    try:
        with pytest.raises(SourceError, match="Permission denied"):
            directory.fetch()
    finally:
        (fleet / "deep").chmod(0o700)


def test_a_change_is_noticed_at_once(fleet: Path, directory: Directory, watching: threading.Event) -> None:
    """A new file in a directory ends the wait; what happens in dot-directories does not."""
    (fleet / ".convoy").mkdir()
    directory.fetch()
    assert directory.changed(0.3) is False
    assert watching.wait(60)
    (fleet / ".convoy" / "convoy.db").write_text("state")
    assert directory.changed(0.3) is False
    (fleet / "deep" / "new.yaml").write_text("new")
    assert directory.changed(120.0) is True
    assert "deep/new.yaml" in contents(directory)
    directory.hint()
    assert directory.changed(None) is True
    closing = threading.Timer(0.05, directory.close)
    closing.start()
    while directory.changed(None):
        pass
    closing.join()


def test_an_environment_is_woken_by_its_bases(tmp_path: Path, seams: Failing, watching: threading.Event) -> None:
    """What it takes in lies outside its own directory, and paths count from the repository's root."""
    (tmp_path / ".git").mkdir()
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "a.yaml").write_text("a: b\n")
    (tmp_path / "own").mkdir()
    head = "apiVersion: convoy/v1\nkind: Environment\nmetadata: {name: own}\n"
    (tmp_path / "own" / "environment.yaml").write_text(f"{head}spec: {{bases: [../base]}}\n")
    opened = Directory(tmp_path / "own", seams, poll_s=3600.0)
    try:
        first = opened.fetch()
        assert list(opened.tree(first).files) == ["base/a.yaml", "own/environment.yaml"]
        woken: list[bool] = []
        waiting = threading.Thread(target=lambda: woken.append(opened.changed(120.0)))
        waiting.start()
        assert watching.wait(60)
        (tmp_path / "base" / "a.yaml").write_text("a: c\n")
        waiting.join()
        assert woken == [True]
        assert opened.fetch() != first
    finally:
        opened.close()
