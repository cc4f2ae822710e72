"""Loading reads only what it does not know, gives the same answer however it got there, and refuses a revision whole."""

import gc
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler import load as load_module
from reconciler import pack
from reconciler.core.model import Problem, Ref, Where
from reconciler.files import Parses
from reconciler.git import SourceError, Tree
from reconciler.load import Loaded, Loader
from reconciler.seams import Seams

HOST = "apiVersion: convoy/v1\nkind: Host\nmetadata: {name: local}\n"


def container(name: str, word: str = "x") -> str:
    return f"apiVersion: convoy/v1\nkind: Container\nmetadata: {{name: {name}}}\nspec: {{command: [{word}], host: local}}\n"


class Repository:
    """Files by path, read by blob id as Git does; counts what is read."""

    def __init__(self, **files: str) -> None:
        self.files: dict[str, str] = {}
        self._blobs: dict[str, bytes] = {}
        self.read: list[str] = []
        self.write({name.replace("__", "/") + ".yaml": text for name, text in files.items()})

    def write(self, files: Mapping[str, str]) -> None:
        for path, text in files.items():
            content = text.encode()
            blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
            self.files[path], self._blobs[blob] = blob, content

    def tree(self, root: str = "", problems: tuple[Problem, ...] = ()) -> Tree:
        revision = hashlib.sha256(repr(sorted(self.files.items())).encode()).hexdigest()[:12]
        return Tree(revision, dict(sorted(self.files.items())), problems, root)

    def contents(self, blobs: Iterable[str]) -> Mapping[str, bytes]:
        wanted = list(blobs)
        self.read += wanted
        return {blob: self._blobs[blob] for blob in wanted}


def load(repository: Repository, loader: Loader | None = None, **about: Any) -> Loaded:
    return (loader or Loader(None, Seams())).load(repository.tree(**about), repository.contents)


def test_a_sound_revision_becomes_a_fleet() -> None:
    """All documents of all files, under the revision's name."""
    repository = Repository(hosts=HOST, apps__a=container("a") + "---\n" + container("b"))
    loaded = load(repository)
    assert loaded.problems == ()
    assert loaded.parsed == 2
    assert loaded.fleet is not None
    assert loaded.fleet.revision == repository.tree().revision
    assert set(loaded.fleet.resources) == {Ref("Host", "local"), Ref("Container", "a"), Ref("Container", "b")}
    assert set(loaded.fleet.workloads) == {Ref("Container", "a"), Ref("Container", "b")}


def test_several_loaders_parse_what_is_new_once() -> None:
    """Whoever commits and whoever follows know each other's files, and forget them for each other without harm."""
    parses = Parses()
    first, second = Loader(None, Seams(), parses), Loader(None, Seams(), parses)
    repository = Repository(hosts=HOST, apps__a=container("a"))
    assert (load(repository, first).parsed, load(repository, second).parsed) == (2, 0)
    repository.write({"apps/b.yaml": container("b")})
    assert (load(repository, second).parsed, load(repository, first).parsed) == (1, 0)
    parses.blobs = {}
    repository.write({"apps/b.yaml": container("c")})
    assert load(repository, first).fleet == load(repository, second).fleet == load(repository).fleet


def test_an_empty_revision_is_an_empty_fleet() -> None:
    """Nothing declared is sound; that it is not acted upon in one go is the planner's business."""
    loaded = load(Repository())
    assert loaded.fleet is not None
    assert not loaded.fleet.resources


def test_only_document_files_count() -> None:
    """Other endings and hidden files are nobody's business; a hidden directory above the fleet's own is."""
    repository = Repository()
    repository.write(
        {"a.yaml": HOST, "README.md": "{", "b.json": "{", ".github/x.yaml": "{", "d/.x.yaml": "{", "e.yml": container("c")}
    )
    loaded = load(repository)
    assert loaded.fleet is not None
    assert len(loaded.fleet.resources) == 2
    assert loaded.parsed == 2
    hidden = Repository()
    hidden.write({".fleet/h.yaml": HOST, ".fleet/tenants/t/h.yaml": HOST.replace("local", "theirs")})
    below = load(hidden, root=".fleet/")
    assert below.fleet is not None
    assert set(below.fleet.resources) == {Ref("Host", "local"), Ref("Host", "theirs", "t")}


def test_everything_wrong_is_said_at_once_and_nothing_is_taken() -> None:
    """Files that cannot be read, parsed, checked or compiled: all of them, by place, and no fleet."""
    repository = Repository(
        a="a: [",
        b=HOST + "---\nkind: x\n---\na: 1\na: 2\n",
        c=container("c").replace("command", "comand"),
        d=container("d", "!!python/none x"),
    )
    link = Problem(Where("0.yaml"), "is a symbolic link", "put the file there")
    loaded = load(repository, problems=(link,))
    assert loaded.fleet is None
    assert [problem.where.file for problem in loaded.problems] == [
        "0.yaml",
        "a.yaml",
        "b.yaml",
        "b.yaml",
        "b.yaml",
        "b.yaml",
        "c.yaml",
        "d.yaml",
    ]
    assert list(loaded.problems) == sorted(loaded.problems, key=lambda problem: (problem.where, problem.what))
    assert loaded.problems[0] == link


def test_what_could_not_be_read_may_declare_what_others_name() -> None:
    """A file with a slip of syntax is one Problem, not one for each document that names what is in it."""
    repository = Repository(hosts=HOST + "spec: [\n", **{f"c{i}": container(f"c{i}") for i in range(5)})
    assert len(load(repository).problems) == 1


def test_what_only_compiling_finds_is_said_beside_the_rest() -> None:
    """As long as every document is known, references to nothing do not hide what is wrong with an Envoy message."""
    spec = "{endpoints: ['127.0.0.1:1'], envoy: {lb_polcy: RANDOM}}"
    broken = f"apiVersion: convoy/v1\nkind: Cluster\nmetadata: {{name: x}}\nspec: {spec}\n"
    loaded = load(Repository(a=broken, b=container("c")))
    assert [problem.where.file for problem in loaded.problems] == ["a.yaml", "b.yaml"]


def test_what_is_known_is_not_read_again() -> None:
    """A commit costs the files it changes; going back, renaming and copying cost nothing."""
    repository = Repository(hosts=HOST, **{f"c{i}": container(f"c{i}") for i in range(20)})
    loader = Loader(None, Seams())
    assert load(repository, loader).parsed == 21
    first, repository.read = repository.tree(), []
    assert load(repository, loader).parsed == 0
    repository.write({"c3.yaml": container("c3", "y")})
    changed = load(repository, loader)
    assert changed.parsed == 1
    assert repository.read == [repository.files["c3.yaml"]]
    repository.read = []
    assert loader.load(first, repository.contents).parsed == 0
    repository.files["moved/c4.yaml"] = repository.files.pop("c4.yaml")
    moved = load(repository, loader)
    assert moved.parsed == 0
    assert moved.fleet is not None
    assert moved.fleet.resources[Ref("Container", "c4")].source.file == "moved/c4.yaml"
    repository.files["copy.yaml"] = repository.files["c5.yaml"]
    copied = load(repository, loader)
    assert str(copied.problems[0]).startswith("copy.yaml:3:18: Container/c5 is declared twice: first at c5.yaml:3:18")
    assert repository.read == []


def test_problems_move_with_their_file() -> None:
    """A broken file that is renamed is broken at its new place."""
    repository = Repository(a="x: 1\nx: 2\n")
    loader = Loader(None, Seams())
    assert str(load(repository, loader).problems[0].where) == "a.yaml:2:1"
    repository.files["b.yaml"] = repository.files.pop("a.yaml")
    moved = load(repository, loader)
    assert [str(problem.where) for problem in moved.problems] == ["b.yaml:2:1"]
    assert moved.parsed == 0


def test_unchanged_documents_stay_the_same_objects() -> None:
    """Whatever was made of a resource can be kept by its identity."""
    repository = Repository(hosts=HOST, a=container("a"), b=container("b"))
    loader = Loader(None, Seams())
    before = load(repository, loader).fleet
    repository.write({"b.yaml": container("b", "y")})
    after = load(repository, loader).fleet
    assert before is not None
    assert after is not None
    assert after.resources[Ref("Container", "a")] is before.resources[Ref("Container", "a")]
    assert after.resources[Ref("Container", "b")] is not before.resources[Ref("Container", "b")]


def test_a_source_that_cannot_be_read_is_its_own_failure() -> None:
    """It never looks like an empty fleet, and the next load starts from what was known before."""

    def unreadable(blobs: Iterable[str]) -> Mapping[str, bytes]:
        raise SourceError("the disk is gone")

    repository = Repository(hosts=HOST)
    loader = Loader(None, Seams())
    assert load(repository, loader).parsed == 1
    repository.write({"a.yaml": container("a")})
    with pytest.raises(SourceError):
        loader.load(repository.tree(), unreadable)
    assert load(repository, loader).parsed == 1


def test_a_fleet_of_any_size_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than fits is one Problem, said before the rest is read."""
    monkeypatch.setattr(load_module, "LARGEST_FLEET", 1000)
    monkeypatch.setattr(load_module, "BATCH", 5)
    repository = Repository(**{f"c{i:02}": container(f"c{i}") for i in range(50)})
    loaded = load(repository)
    assert [problem.what for problem in loaded.problems] == ["the fleet's documents are more than 1000 bytes together"]
    assert len(repository.read) < 20


def test_the_pack_saves_parsing_after_a_restart(tmp_path: Path) -> None:
    """What was parsed once is found on disk: nothing is read or parsed, and the answer is the same."""
    text = (
        "\ufeff"
        + container("a")
        + "--- \n# é\n"
        + container("b")
        + "--- {apiVersion: convoy/v1, kind: Host, metadata: {name: h}}\n"
    )
    repository = Repository(hosts=HOST, a=text)
    first = load(repository, Loader(tmp_path / "cache", Seams()))
    repository.read = []
    second = load(repository, Loader(tmp_path / "cache", Seams()))
    assert second.parsed == 0
    assert repository.read == []
    assert second.fleet == first.fleet
    repository.write({"a.yaml": text.replace("[x]", "[x, 5]")})
    third = load(repository, Loader(tmp_path / "cache", Seams()))
    assert third.parsed == 1
    assert [str(problem.where) for problem in third.problems] == ["a.yaml:4:21", "a.yaml:10:21"]


@pytest.mark.parametrize(
    "harm",
    ["cut", "flip", "swap", "lengths", "empty", "text", "zeros", "directory", "foreign"],
)
def test_a_harmed_pack_is_not_believed(tmp_path: Path, harm: str) -> None:
    """Whatever happened to the file: at worst everything is parsed again, and the next load finds it mended."""
    repository = Repository(hosts=HOST, **{f"c{i}": container(f"c{i}", "word") for i in range(5)})
    expected = load(repository, Loader(tmp_path, Seams())).fleet
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    if harm == "directory":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(
            {
                "cut": content[:-100],
                "flip": content.replace(b"word", b"evil"),
                "swap": content.replace(repository.files["c0.yaml"].encode(), repository.files["c1.yaml"].encode(), 1),
                "lengths": content.replace(b" ", b" 9999999", 1),
                "empty": b"",
                "text": b"hello\n" * 1000,
                "zeros": b"\0" * 5000,
                "foreign": b"a" * 40 + b" 2 0\n" + hashlib.sha256(b"a" * 40 + b" 2 0\n{}").digest() + b"{}",
            }[harm]
        )
    again = load(repository, Loader(tmp_path, Seams()))
    assert again.fleet == expected
    assert again.parsed >= 1
    if harm != "directory":
        assert load(repository, Loader(tmp_path, Seams())).parsed == 0


def test_nothing_broken_is_packed(tmp_path: Path) -> None:
    """Files with Problems are parsed again after a restart, so that their Problems are there again."""
    repository = Repository(hosts=HOST, a="a: [")
    for _ in range(2):
        loaded = load(repository, Loader(tmp_path, Seams()))
        assert [problem.where.file for problem in loaded.problems] == ["a.yaml"]
    assert loaded.parsed == 1


def test_a_disk_that_fails_costs_only_time(tmp_path: Path) -> None:
    """The pack is read and written through the seams; when either fails, loading goes on."""

    class Failing(Seams):
        def point(self, name: str, *about: object) -> None:
            if name.startswith("cache."):
                raise OSError(28, "no space left on device")

    assert load(Repository(hosts=HOST), Loader(tmp_path, Failing())).fleet is not None
    assert list(tmp_path.iterdir()) == []


def test_a_pack_is_written_for_enough_changes_and_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One change in a large fleet does not write all of it again; other code's packs go, and nothing else is left behind."""
    repository = Repository(hosts=HOST, **{f"c{i}": container(f"c{i}") for i in range(100)})
    (tmp_path / "parsed-0123456789abcdef.pack").write_bytes(b"of another version")
    loader = Loader(tmp_path, Seams())
    load(repository, loader)
    (path,) = tmp_path.iterdir()
    assert path.stat().st_mode & 0o077 == 0
    written = path.stat().st_mtime_ns
    for i in range(3):
        repository.write({"c1.yaml": container("c1", f"y{i}")})
        load(repository, loader)
    assert path.stat().st_mtime_ns == written
    monkeypatch.setattr(pack, "fingerprint", lambda: "other")
    assert load(repository, Loader(tmp_path, Seams())).parsed == 101


@pytest.fixture
def collector() -> Iterator[None]:
    yield
    gc.enable()
    gc.unfreeze()


def test_the_collector_is_left_as_it_was(collector: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """It rests while a whole fleet is read, and works again afterwards, whatever went wrong."""
    monkeypatch.setattr(load_module, "MANY_FILES", 1)
    repository = Repository(hosts=HOST, a=container("a"), b=container("b"))

    def watching(blobs: Iterable[str]) -> Mapping[str, bytes]:
        assert not gc.isenabled()
        raise SourceError("gone")

    with pytest.raises(SourceError):
        Loader(None, Seams()).load(repository.tree(), watching)
    assert gc.isenabled()
    load(repository)
    assert gc.isenabled()
    gc.disable()
    load(repository)
    assert not gc.isenabled()


PIECES = [
    HOST,
    container("a"),
    container("a", "y"),
    container("b"),
    "a: [",
    "",
    container("c").replace("local", "nowhere"),
    "# only\n",
]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.dictionaries(st.sampled_from(["a.yaml", "b.yaml", "d/c.yml"]), st.sampled_from(PIECES), max_size=3),
        min_size=1,
        max_size=6,
    )
)
def test_what_was_known_before_never_changes_the_answer(revisions: list[dict[str, str]]) -> None:
    """Any history of revisions: each loads as it does from nothing."""
    loader = Loader(None, Seams())
    for files in revisions:
        repository = Repository()
        repository.write(files)
        kept, fresh = load(repository, loader), load(repository)
        assert (kept.fleet, kept.problems) == (fresh.fleet, fresh.problems)
