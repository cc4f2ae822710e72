"""What is wanted: a revision is accepted whole or not at all, and whatever goes wrong, what was accepted stays."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from reconciler.certificates import Certificates
from reconciler.git import Mirror
from reconciler.load import Loader
from reconciler.log import Log
from reconciler.metrics import Metrics
from reconciler.seams import Seams
from reconciler.secrets import Opener
from reconciler.store import Store
from reconciler.wanted import Wanted
from tests.repos import Origin, hermetic, make_origin

HOST = "apiVersion: convoy/v1\nkind: Host\nmetadata: {name: h1}\nspec: {driver: process}\n"
OTHER = HOST.replace("h1", "h2")


@pytest.fixture
def origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Origin:
    hermetic(monkeypatch)
    return make_origin(tmp_path)


@contextmanager
def following(tmp_path: Path, origin: Origin) -> Iterator[Wanted]:
    """A follower as `convoy serve` has it, without an Envoy to ask; looked at by hand."""
    seams = Seams()
    with ExitStack() as stack:
        store = stack.enter_context(closing(Store(f"sqlite:///{tmp_path / 'convoy.db'}", seams)))
        certificates = Certificates(store, Opener.from_file(tmp_path / "none", store.opened), seams)
        source = stack.enter_context(closing(Mirror(str(origin.path), "main", tmp_path / "mirror.git", seams)))
        yield Wanted(source, Loader(None, seams), None, certificates, store, Metrics(), Log(level="error"), seams, lambda: None)


def test_a_good_revision_is_accepted(tmp_path: Path, origin: Origin) -> None:
    """The newest commit without Problems is in force."""
    origin.commit({"a.yaml": HOST})
    with following(tmp_path, origin) as wanted:
        assert wanted.look().fleet is not None
        newest = origin.commit({"b.yaml": OTHER})
        fleet = wanted.look().fleet

    assert fleet is not None
    assert fleet.revision == newest
    assert sorted(str(ref) for ref in fleet.resources) == ["Host/h1", "Host/h2"]


def test_a_revision_with_problems_is_refused_whole(tmp_path: Path, origin: Origin) -> None:
    """One bad document, and nothing of that commit is in force; its Problems are told, also after a restart."""
    good = origin.commit({"a.yaml": HOST})
    with following(tmp_path, origin) as wanted:
        wanted.look()
        bad = origin.commit({"a.yaml": HOST.replace("driver", "drivers"), "b.yaml": OTHER})
        accepted = wanted.look()
        assert accepted.fleet is not None
        assert (accepted.fleet.revision, accepted.refused) == (good, bad)
        assert [str(problem.where) for problem in accepted.problems] == ["a.yaml:4:8"]
    with following(tmp_path, origin) as wanted:
        accepted = wanted.look()
        assert accepted.fleet is not None
        assert (accepted.fleet.revision, accepted.refused) == (good, bad)


def test_an_unreadable_source_is_not_an_empty_fleet(tmp_path: Path, origin: Origin) -> None:
    """A repository that is gone changes nothing but what is said about it; when it is back, so is all."""
    good = origin.commit({"a.yaml": HOST})
    with following(tmp_path, origin) as wanted:
        wanted.look()
        shutil.move(origin.path, tmp_path / "away")
        accepted = wanted.look()
        assert accepted.unreadable
        assert accepted.fleet is not None
        assert accepted.fleet.revision == good
        shutil.move(tmp_path / "away", origin.path)
        assert wanted.look().unreadable == ""


def test_an_emptied_repository_is_refused(tmp_path: Path, origin: Origin) -> None:
    """A commit that takes every document away is held against the fleet it would empty, also after a restart."""
    good = origin.commit({"a.yaml": HOST})
    with following(tmp_path, origin) as wanted:
        wanted.look()
        emptied = origin.commit({"a.yaml": None, "README.md": "nothing here\n"})
        accepted = wanted.look()
        assert accepted.fleet is not None
        assert (accepted.fleet.revision, accepted.refused) == (good, emptied)
        assert "declares nothing" in accepted.problems[0].what
    with following(tmp_path, origin) as wanted:
        accepted = wanted.look()
        assert accepted.fleet is not None
        assert accepted.fleet.revision == good


def test_a_new_repository_may_be_empty(tmp_path: Path, origin: Origin) -> None:
    """Where nothing was ever declared, nothing is lost."""
    origin.commit({"README.md": "soon\n"})
    with following(tmp_path, origin) as wanted:
        accepted = wanted.look()
    assert accepted.problems == ()
    assert accepted.fleet is not None
