"""What is wanted: a revision is accepted whole or not at all, and whatever goes wrong, what was accepted stays."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from reconciler.certificates import Certificates
from reconciler.core.compile import Compiler
from reconciler.core.model import Ref
from reconciler.core.trailers import LONGEST_MESSAGE
from reconciler.earlier import IN_FORCE
from reconciler.git import Mirror, SourceError, Tree
from reconciler.load import Loader
from reconciler.log import Log
from reconciler.metrics import Metrics
from reconciler.releases import Releases
from reconciler.seams import Seams
from reconciler.secrets import Opener
from reconciler.store import Store
from reconciler.wanted import Wanted
from tests.drivers.world import soon
from tests.repos import Origin, git, hermetic, make_origin

HOST = "apiVersion: convoy/v1\nkind: Host\nmetadata: {name: h1}\nspec: {driver: process}\n"
OTHER = HOST.replace("h1", "h2")


@pytest.fixture
def origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Origin:
    hermetic(monkeypatch)
    return make_origin(tmp_path)


@contextmanager
def following(tmp_path: Path, origin: Origin, seams: Seams | None = None, subdirectory: str = "") -> Iterator[Wanted]:
    """A follower as `convoy serve` has it, without an Envoy to ask; looked at by hand."""
    seams = seams or Seams()
    with ExitStack() as stack:
        store = stack.enter_context(closing(Store(f"sqlite:///{tmp_path / 'convoy.db'}", seams)))
        certificates = Certificates(store, Opener.from_file(tmp_path / "none", store.opened), seams)
        mirror = Mirror(str(origin.path), "main", tmp_path / "mirror.git", seams, subdirectory=subdirectory)
        source = stack.enter_context(closing(mirror))
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


def test_a_repository_is_emptied_on_purpose(tmp_path: Path, origin: Origin) -> None:
    """The commit that empties it, or one on top of it, says that this is meant; then the order is there to be found."""
    origin.commit({"a.yaml": HOST})
    with following(tmp_path, origin) as wanted:
        wanted.look()
        origin.commit({"a.yaml": None, "README.md": "nothing here\n"})
        assert wanted.look().problems[0].hint.endswith("with the trailer `Convoy-Confirm: deletes`")
        meant = origin.commit({}, message="Yes, all of it\n\nConvoy-Confirm: deletes\n")
        accepted = wanted.look()
        assert accepted.fleet is not None
        assert (accepted.fleet.revision, accepted.problems) == (meant, ())
        (order,) = wanted._store.orders()
        assert (order.verb, order.subject, order.at) == ("confirm", "deletes", accepted.noticed_at)
        origin.commit({"README.md": "still nothing\n"})
        assert wanted.look().problems == ()
    with following(tmp_path, origin) as wanted:
        assert wanted.look().problems == ()
    origin.commit({"README.md": "nothing yet\n"})
    with following(tmp_path, origin) as wanted:
        assert wanted.look().problems == ()


def test_each_of_all_is_deleted_by_its_name(tmp_path: Path, origin: Origin) -> None:
    """As the API does: that is no emptied repository, in one commit or in several. One that nobody has named keeps them all."""
    origin.commit({"a.yaml": HOST, "b.yaml": OTHER, "README.md": "ours\n"})
    with following(tmp_path, origin) as wanted:
        wanted.look()
        one, other = (f"Delete {name}\n\nConvoy-Confirm: Host/{name}\n" for name in ("h1", "h2"))
        origin.commit({"a.yaml": None, "b.yaml": None}, message=one)
        assert "declares nothing" in wanted.look().problems[0].what
        last = origin.commit({}, message=other)
        accepted = wanted.look()
        assert accepted.fleet is not None
        assert (accepted.fleet.revision, accepted.problems) == (last, ())


def digest_of(wanted: Wanted, ref: Ref) -> str:
    assert wanted.accepted.fleet is not None
    return wanted.accepted.fleet.resources[ref].digest


def test_held_content_does_not_come_back(tmp_path: Path, origin: Origin) -> None:
    """Refused at the document's first word, after a restart too; other content goes on, and a trailer releases it."""
    bad = "# first\n---\n# second\n" + HOST.replace("process", "process, address: 127.0.0.9")
    origin.commit({"a.yaml": bad})
    with following(tmp_path, origin) as wanted:
        wanted.look()
        digest = digest_of(wanted, Ref("Host", "h1"))
        good = origin.commit({"a.yaml": HOST}, message=f"Back to one address\n\nConvoy-Hold: Host/h1@{digest}\n")
        assert wanted.look().problems == ()
    back = origin.commit({"a.yaml": bad}, message="Try again")
    with following(tmp_path, origin) as wanted:
        accepted = wanted.look()
        assert accepted.fleet is not None
        assert (accepted.fleet.revision, accepted.refused) == (good, back)
        (problem,) = accepted.problems
        assert (str(problem.where), problem.ref) == ("a.yaml:4:1", Ref("Host", "h1"))
        assert f"Back to one address ({good[:12]}), by A Person <person@example.org>" in problem.what
        assert "`Convoy-Release: Host/h1`" in problem.hint
        onward = origin.commit({"a.yaml": bad.replace("0.9", "0.8")})
        assert wanted.look().fleet.revision == onward  # type: ignore[union-attr]
        origin.commit({"a.yaml": bad})
        assert wanted.look().refused
        released = origin.commit({}, message="It was the network\n\nConvoy-Release: Host/h1\n")
        assert wanted.look().fleet.revision == released  # type: ignore[union-attr]
        assert wanted._store.orders() == ()


def test_what_came_last_counts(tmp_path: Path, origin: Origin) -> None:
    """Several commits noticed together are heard in their order, merged ones too."""
    origin.commit({"a.yaml": HOST})
    held = "Convoy-Hold: Host/h1@0123456789abcdef\n"
    with following(tmp_path, origin) as wanted:
        wanted.look()
        origin.commit({"b.yaml": OTHER}, message=f"1\n\n{held}")
        origin.commit({}, message="2\n\nConvoy-Release: Host/h1\n")
        assert (wanted.look().notes, wanted._store.orders()) == ((), ())
        start = origin.tip()
        origin.commit({}, branch="side", onto=start, message=f"3\n\n{held}")
        origin.commit({}, message="4")
        tree = git(origin.path, "rev-parse", "main^{tree}")
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        merge = git(origin.path, *who, "commit-tree", tree, "-p", "main", "-p", "side", "-m", "5")
        git(origin.path, "update-ref", "refs/heads/main", merge)
        wanted.look()
        assert [order.reason for order in wanted._store.orders()] == [f"3 ({git(origin.path, 'rev-parse', 'side')[:12]})"]


def test_a_trailer_that_makes_no_sense_stops_nothing(tmp_path: Path, origin: Origin) -> None:
    """It is noted with the revision until the next one."""
    origin.commit({"a.yaml": HOST}, message="x\n\nConvoy-Hold: Host/h1\n")
    with following(tmp_path, origin) as wanted:
        accepted = wanted.look()
        assert accepted.fleet is not None
        assert "`Convoy-Hold: Host/h1` has no digest" in accepted.notes[0]
        origin.commit({"b.yaml": OTHER})
        assert wanted.look().notes == ()


def test_what_stands_in_the_middle_of_a_long_message_is_no_order(tmp_path: Path, origin: Origin) -> None:
    """A message is read only so far; where that cuts it, nothing in it is taken for its end, and this is said."""
    origin.commit({"a.yaml": HOST})
    with following(tmp_path, origin) as wanted:
        wanted.look()
        quoted = "\n\nConvoy-Confirm: deletes\n"
        message = "x\n\n" + "y" * (LONGEST_MESSAGE - len(quoted) - 3) + quoted + "\nis what the other one said.\n"
        origin.commit({"a.yaml": None, "README.md": "nothing here\n"}, message=message)
        accepted = wanted.look()
        assert [problem.hint.endswith("with the trailer `Convoy-Confirm: deletes`") for problem in accepted.problems] == [True]
        assert "so no trailer of it counts" in accepted.notes[0]
        assert wanted._store.orders() == ()


def test_a_preview_hears_but_keeps_nothing(tmp_path: Path, origin: Origin) -> None:
    """What trailers say counts for what is shown, and is not an order yet."""
    origin.commit({"a.yaml": HOST})
    with following(tmp_path, origin) as wanted:
        wanted.look()
    origin.commit({"a.yaml": None}, message="All of it\n\nConvoy-Confirm: deletes\n")
    with following(tmp_path, origin) as wanted:
        wanted._recording = False
        accepted = wanted.look()
        assert accepted.problems == ()
        assert [(one.verb, one.subject) for one in accepted.orders or ()] == [("confirm", "deletes")]
        assert wanted._store.orders() == ()


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("point", ["store.write", "store.commit"])
def test_an_order_comes_with_its_revision_or_not_at_all(point: str, tmp_path: Path, origin: Origin) -> None:
    """Killed while the revision is recorded, neither is there; the next life takes both, once."""
    origin.commit({"a.yaml": HOST})
    with following(tmp_path, origin) as wanted:
        wanted.look()
    told = origin.commit({"b.yaml": OTHER}, message="x\n\nConvoy-Confirm: Host/h1\n")

    class Deadly(Seams):
        def point(self, name: str, *about: object) -> None:
            if (name, *about) == (point, "revisions"):
                raise Killed

    with following(tmp_path, origin, Deadly()) as wanted, pytest.raises(Killed):
        wanted.look()
    with following(tmp_path, origin) as wanted:
        assert (wanted._store.orders(), wanted._store.last_good() == told) == ((), False)
        wanted.look()
        assert [one.subject for one in wanted._store.orders()] == ["Host/h1"]
        assert wanted._store.last_good() == told
        wanted._store.drop_orders(("confirm", "Host/h1"))
    with following(tmp_path, origin) as wanted:
        wanted.look()
        assert wanted._store.orders() == ()


def test_a_new_repository_may_be_empty(tmp_path: Path, origin: Origin) -> None:
    """Where nothing was ever declared, nothing is lost."""
    origin.commit({"README.md": "soon\n"})
    with following(tmp_path, origin) as wanted:
        accepted = wanted.look()
    assert accepted.problems == ()
    assert accepted.fleet is not None


def test_what_is_declared_is_known_with_who_made_it(tmp_path: Path, origin: Origin) -> None:
    """Of several commits that came at once each is named for the file it changed, and a refused one changes nothing."""
    first = origin.commit({"a.yaml": HOST, "c.yaml": HOST.replace("h1", "h3")})
    with following(tmp_path, origin) as wanted:
        wanted.look()
        origin.commit({"b.yaml": OTHER})
        second = origin.commit({"a.yaml": HOST.replace("{driver", "{state: cordoned, driver"), "c.yaml": None})
        third = origin.commit({"b.yaml": OTHER.replace("{driver", "{state: cordoned, driver")})
        wanted.look()
        origin.commit({"a.yaml": HOST.replace("driver", "drivers")})
        wanted.look()
    with closing(Store(f"sqlite:///{tmp_path / 'convoy.db'}", Seams())) as store:
        known = [(one.ref, one.n, one.change, one.revision, one.accepted) for one in store.history()]
        assert sorted(known[:3]) == [
            ("Host/h1", 2, "changed", second, third),
            ("Host/h2", 1, "created", third, third),
            ("Host/h3", 2, "deleted", second, third),
        ]
        assert {(ref, revision, accepted) for ref, _, _, revision, accepted in known[3:]} == {
            ("Host/h1", first, first),
            ("Host/h3", first, first),
        }
        assert "@" in store.history()[0].author
        assert {ref: (one.file, one.document["spec"]) for ref, one in store.declared().items()} == {
            "Host/h1": ("a.yaml", {"driver": "process", "state": "cordoned"}),
            "Host/h2": ("b.yaml", {"driver": "process", "state": "cordoned"}),
        }


def test_it_is_known_whose_request_is_in_force_below_another_commit(tmp_path: Path, origin: Origin) -> None:
    """By its trailer, also where nobody has written down yet that it was committed; what a refused revision has is not."""
    origin.commit({"a.yaml": HOST})
    with following(tmp_path, origin) as wanted, closing(Store(f"sqlite:///{tmp_path / 'convoy.db'}", Seams())) as store:
        wanted.look()
        first, second, third = (store.proposals.add("t", "", "d", {}, ["Host/h1"]) for _ in range(3))
        asked = store.proposals.add("t", "", "d", {}, ["Host/h1"], "pull-request")
        for one, state in ((first, "cordoned"), (second, "draining")):
            changed = {"a.yaml": HOST.replace("{driver", f"{{state: {state}, driver")}
            origin.commit(changed, message=f"change\n\nConvoy-Account: ada\nConvoy-Request: {one.id}")
        origin.commit({"b.yaml": OTHER}, message=f"theirs\n\nConvoy-Request: {asked.id}")
        assert store.proposals.in_force() == 0
        wanted.look()
        assert store.proposals.in_force() == second.number
        origin.commit({"a.yaml": HOST.replace("driver", "drivers")}, message=f"bad\n\nConvoy-Request: {third.id}")
        wanted.look()
        assert store.proposals.in_force() == second.number
        origin.commit({"a.yaml": HOST})
        wanted.look()
        assert store.proposals.in_force() == third.number


def test_what_an_environment_changes_is_named_for_who_changed_it(tmp_path: Path, origin: Origin) -> None:
    """A value that was changed in the environment is that commit's, whatever came after it; a document is its own commit's."""
    head = "apiVersion: convoy/v1\nkind: Environment\nmetadata: {name: e}\nspec: "
    document = "apiVersion: convoy/v1\nkind: Host\nmetadata: {name: h}\nspec: {state: '${var.state}'}\n"
    environment = head + "{bases: [../base], values: {state: %s}}\n"
    base = {"base/environment.yaml": head + "{variables: {state: {}}}\n", "base/h.yaml": document}
    origin.commit({**base, "prod/environment.yaml": environment % "active"})
    with following(tmp_path, origin, subdirectory="prod") as wanted:
        wanted.look()
        value = origin.commit({"prod/environment.yaml": environment % "cordoned"})
        origin.commit({"README.md": "words"})
        wanted.look()
        origin.commit({"prod/environment.yaml": environment % "active"})
        both = origin.commit({"base/h.yaml": document.replace("h}", "h, labels: {a: b}}")})
        origin.commit({"prod/environment.yaml": "# words\n" + environment % "active"})
        wanted.look()
    with closing(Store(f"sqlite:///{tmp_path / 'convoy.db'}", Seams())) as store:
        assert [one.revision for one in store.history("Host/h")][:2] == [both, value]


def test_a_store_without_declarations_is_filled(tmp_path: Path, origin: Origin) -> None:
    """After an upgrade on a refused revision, what is in force is known from the revision that is recalled."""
    good = origin.commit({"a.yaml": HOST, "b.yaml": OTHER})
    newer = origin.commit({"b.yaml": OTHER.replace("{driver", "{state: cordoned, driver")})
    with following(tmp_path, origin) as wanted:
        wanted.look()
    with closing(sqlite3.connect(tmp_path / "convoy.db")) as raw:
        raw.execute("DELETE FROM resources")
        raw.execute("DELETE FROM history")
        raw.commit()
    origin.commit({"a.yaml": HOST.replace("driver", "drivers")})
    with following(tmp_path, origin) as wanted:
        wanted.look()
    with closing(Store(f"sqlite:///{tmp_path / 'convoy.db'}", Seams())) as store:
        assert {one.ref: (one.revision, one.n) for one in store.declared().values()} == {
            "Host/h1": (good, 1),
            "Host/h2": (newer, 1),
        }


def test_two_revisions_before_the_first_round(tmp_path: Path, origin: Origin) -> None:
    """After a start, what was in force is known by the newest revision, also where it was the one that was found first."""
    first = origin.commit({"a.yaml": HOST})
    with following(tmp_path, origin) as wanted:
        wanted.look()
        wanted._store.put_guards({IN_FORCE: {"revision": first, "withheld": {}, "told": {}}})
    with following(tmp_path, origin) as wanted:
        assert wanted.look().before == {}
        for n in range(3):
            origin.commit({"b.yaml": OTHER.replace("h2", f"h{n + 2}")})
            accepted = wanted.look()
            assert list(accepted.before) == [first]
        assert accepted.fleet is not None
        in_force = Releases(wanted._store).base(accepted, accepted.fleet)
    assert (in_force.revision, [*map(str, in_force.resources)]) == (first, ["Host/h1"])


def test_what_was_good_is_read_until_it_can_be(tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a start on a revision that is refused: what could not be read of the one before is no reason to follow nothing."""
    good = origin.commit({"a.yaml": HOST})
    with following(tmp_path, origin) as wanted:
        wanted.look()
    bad = origin.commit({"a.yaml": HOST.replace("driver", "drivers")})
    with following(tmp_path, origin) as wanted:
        tree = wanted._source.tree

        def failing(revision: str) -> Tree:
            if revision == good:
                raise SourceError("cannot read it: no space")
            return tree(revision)

        monkeypatch.setattr(wanted._source, "tree", failing)
        for _ in range(2):
            accepted = wanted.look()
            assert (accepted.fleet, accepted.refused, accepted.unreadable) == (None, bad, "cannot read it: no space")
        monkeypatch.undo()
        accepted = wanted.look()
        assert accepted.fleet is not None
        assert (accepted.fleet.revision, accepted.refused, accepted.unreadable) == (good, bad, "")


def test_a_mistake_of_ours_ends_no_following(tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was accepted stays, it is said, and the next revision is followed from nothing that the mistake has left."""
    first = origin.commit({"a.yaml": HOST})
    with following(tmp_path, origin) as wanted:
        monkeypatch.setattr("reconciler.wanted.RETRY_S", 0.05)
        wanted.start()
        try:
            soon(lambda: wanted.accepted.fleet is not None, 60)
            with monkeypatch.context() as broken:
                broken.setattr(Compiler, "compile", lambda *_: {"a": 1}["nothing"])
                second = origin.commit({"b.yaml": OTHER})
                soon(lambda: "KeyError" in wanted.accepted.unreadable, 60)
                assert wanted.accepted.fleet is not None
                assert wanted.accepted.fleet.revision == first
            soon(lambda: wanted.accepted.fleet is not None and wanted.accepted.fleet.revision == second, 60)
            assert wanted.accepted.unreadable == ""
        finally:
            wanted.close()
