"""What is listed of a commit's tree, and what is refused by name."""

from collections.abc import Mapping
from pathlib import Path

import pygit2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.core.model import Problem
from reconciler.git import source, trees
from reconciler.git.trees import Trees
from tests.repos import DIRECTORY, FILE, LINK, SUBMODULE, Origin

MISSING = "1" * 40


def listed(origin: Origin, revision: str) -> tuple[Mapping[str, str], dict[str, Problem]]:
    repository = pygit2.Repository(str(origin.path))
    files, problems = Trees(repository).files(repository[revision].peel(pygit2.Commit).tree_id, "")
    return files, {problem.where.file: problem for problem in problems}


def test_links_are_never_followed(origin: Origin) -> None:
    """A link that could stand for documents is a Problem that says where it leads; one to any other file is left alone."""
    links = {
        "out.yaml": "/etc/passwd",
        "up.yaml": "../../x.yaml",
        "deep/up": "../../elsewhere",
        "passwd": "/etc/passwd",
        "inside.yaml": "a.yaml",
        "alias": "a.yaml",
        "dir-link": "deep",
        "loop": "loop",
        "git": ".git",
        "readme-link": "README.md",
        "deep/readme-link": "../README.md",
    }
    revision = origin.commit({"a.yaml": "a", "deep/b.yaml": "b", "README.md": "r"}, links=links)
    files, problems = listed(origin, revision)
    assert set(files) == {"a.yaml", "deep/b.yaml"}
    assert set(problems) == set(links) - {"readme-link", "deep/readme-link"}
    for path in ("out.yaml", "up.yaml", "deep/up", "passwd"):
        assert problems[path].what.startswith("is a symbolic link out of the repository, to '")
    for path in ("inside.yaml", "alias", "dir-link", "loop", "git"):
        assert "which Convoy does not follow" in problems[path].what
    assert all(problem.hint for problem in problems.values())


def test_submodules_are_refused(origin: Origin) -> None:
    """A submodule may hold documents that nobody reviewed here."""
    files, problems = listed(origin, origin.commit({"a.yaml": "a"}, submodules=["vendor/fleet"]))
    assert set(files) == {"a.yaml"}
    assert "is a submodule" in problems["vendor/fleet"].what


def test_large_files_are_refused_without_reading_them(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is on documents alone, to the byte, and a file that shrinks below it is read again."""
    monkeypatch.setattr(trees, "LARGEST_FILE", 10)
    files, problems = listed(origin, origin.commit({"big.yaml": "x" * 11, "fits.yaml": "x" * 10, "big.bin": "x" * 100}))
    assert set(files) == {"fits.yaml"}
    assert problems["big.yaml"].what == "is 11 bytes long; the most is 10"
    assert set(problems) == {"big.yaml"}
    files, problems = listed(origin, origin.commit({"big.yaml": "x"}))
    assert set(files) == {"big.yaml", "fits.yaml"}
    assert problems == {}


def test_hostile_names_are_refused(origin: Origin) -> None:
    """Names that git never makes, and names that cannot be shown or typed, are Problems at a printable path."""
    blob = origin.blob(b"x")
    below = origin.tree([(FILE, b"x.yaml", blob)])
    entries = [
        (DIRECTORY, b"..", below),
        (FILE, b"../escape.yaml", blob),
        (DIRECTORY, b"a\\nb".replace(b"\\n", b"\n"), below),
        (FILE, b"bell\x07.yaml", blob),
        (FILE, "right‮lmay.yaml".encode(), blob),
        (FILE, b"latin-\xe9.yaml", blob),
        (DIRECTORY, b"latin-\xe9", below),
        (FILE, b"latin-\xe9.txt", blob),
        (FILE, "grün.yaml".encode(), blob),
        (DIRECTORY, b".git", below),
        (FILE, b"", blob),
    ]
    files, problems = listed(origin, origin.commit_tree(entries))
    assert set(files) == {"grün.yaml"}
    assert set(problems) == {
        "..",
        "../escape.yaml",
        "a\\nb",
        "bell\\x07.yaml",
        "right\\u202elmay.yaml",
        "latin-\\xe9.yaml",
        "latin-\\xe9",
        "",
    }
    assert all(str(problem).isprintable() for problem in problems.values())


def test_names_that_are_one_elsewhere_are_refused(origin: Origin) -> None:
    """Documents and directories that a disk ignoring case or the spelling of accents would merge are Problems."""
    names = [
        "Web.yaml",
        "web.yaml",
        "x/a.yaml",
        "X/a.yaml",
        "\u00e9.yaml",
        "e\u0301.yaml",
        "README.md",
        "readme.md",
        "y/w.yaml",
    ]
    files, problems = listed(origin, origin.commit(dict.fromkeys(names, "1")))
    assert len(files) == 7
    assert set(problems) == {"web.yaml", "x", "\u00e9.yaml"}
    assert "'Web.yaml'" in problems["web.yaml"].what


def test_depth_and_number_have_an_end(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few small trees that stand for billions of files, and directories without end, are Problems and not an outage."""
    blob, level = origin.blob(b"x"), ""
    level = origin.tree([(FILE, f"{n}.yaml".encode(), blob) for n in range(10)])
    for _ in range(12):
        level = origin.tree([(DIRECTORY, f"d{n}".encode(), level) for n in range(10)])
    monkeypatch.setattr(trees, "MOST_ENTRIES", 5_000)
    files, problems = listed(origin, origin.commit_tree([(DIRECTORY, b"bomb", level)]))
    assert (files, list(problems)) == ({}, ["."])
    assert "more than 5000 files" in problems["."].what
    level = origin.tree([(FILE, b"x.yaml", blob)])
    for _ in range(source.DEEPEST + 1):
        level = origin.tree([(DIRECTORY, b"d", level)])
    files, problems = listed(origin, origin.commit_tree([(DIRECTORY, b"d", level)]))
    assert files == {}
    assert [problem.what for problem in problems.values()] == [f"is more than {source.DEEPEST} directories deep"]


def test_missing_and_damaged_objects_are_errors(origin: Origin) -> None:
    """A tree or blob that is not there, or a tree that is none, is never a shorter list."""
    blob = origin.blob(b"x")
    for entries in (
        [(FILE, b"a.yaml", MISSING)],
        [(DIRECTORY, b"d", MISSING)],
        [(DIRECTORY, b"d", blob)],
    ):
        revision = origin.commit_tree([*entries, (FILE, b"z.yaml", blob)])
        with pytest.raises((KeyError, ValueError)):
            listed(origin, revision)


NAMES = st.sampled_from(["a.yaml", "A.yaml", "b.yml", "c.txt", ".hidden.yaml", "bell\x07.yaml"])
LEAF = st.one_of(
    st.binary(max_size=12).map(lambda data: (FILE, data)),
    st.sampled_from([(LINK, b"a.yaml"), (LINK, b"c.txt"), (SUBMODULE, b"")]),
)
WORLD = st.recursive(
    st.dictionaries(NAMES, LEAF, max_size=4),
    lambda below: st.fixed_dictionaries({}, optional={"d": below, "e": below, "D": below, "a.yaml": LEAF, "c.txt": LEAF}),
    max_leaves=6,
)


def write(repository: pygit2.Repository, world: Mapping[str, object]) -> str:
    entries = []
    for name, value in world.items():
        if isinstance(value, dict):
            entries.append((DIRECTORY, name, write(repository, value)))
        elif isinstance(value, tuple):
            mode, data = value
            entries.append((mode, name, MISSING if mode == SUBMODULE else str(repository.create_blob(data))))
    entries.sort(key=lambda entry: entry[1] + ("/" if entry[0] == DIRECTORY else ""))
    raw = b"".join(mode.encode() + b" " + name.encode() + b"\0" + bytes.fromhex(id) for mode, name, id in entries)
    return str(repository.odb.write(pygit2.enums.ObjectType.TREE, raw))


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(worlds=st.lists(WORLD, min_size=2, max_size=5))
def test_listing_on_equals_listing_anew(worlds: list[dict[str, object]], tmp_path: Path) -> None:
    """Whatever was listed before, a tree's listing is the same as from scratch."""
    repository = pygit2.init_repository(str(tmp_path / "any"), bare=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trees, "LARGEST_FILE", 8)
        patch.setattr(trees, "BLOCK", 2)
        on = Trees(repository)
        for world in worlds:
            tree = pygit2.Oid(hex=write(repository, world))
            assert on.files(tree, "") == Trees(repository).files(tree, "")
