"""What is wanted of a branch whose commits have to be signed: who answers is known, and whatever is not signed is not done."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from reconciler import cli
from reconciler.certificates import Certificates
from reconciler.core import show
from reconciler.git import Files, Mirror
from reconciler.load import Loader
from reconciler.log import Log
from reconciler.metrics import Metrics
from reconciler.record import Record
from reconciler.seams import Seams
from reconciler.secrets import Opener
from reconciler.store import Store
from reconciler.wanted import Wanted
from tests.cli.conftest import Convoy
from tests.repos import Origin, git, hermetic, make_origin
from tests.signing import Ssh, needs_ssh_keygen, signed_commit

pytestmark = needs_ssh_keygen

HOST = "apiVersion: convoy/v1\nkind: Host\nmetadata: {name: h1}\nspec: {driver: process}\n"
OTHER = HOST.replace("h1", "h2")


class Clock(Seams):
    """Ours to move."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def now(self) -> float:
        return time.time() + self.ahead_s

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead_s


@pytest.fixture
def origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Origin:
    hermetic(monkeypatch)
    return make_origin(tmp_path)


@contextmanager
def following(tmp_path: Path, origin: Origin, signers: Path, seams: Seams | None = None) -> Iterator[tuple[Wanted, Store]]:
    """A follower as `convoy serve --signers` has it; looked at by hand."""
    seams = seams or Seams()
    with ExitStack() as stack:
        store = stack.enter_context(closing(Store(f"sqlite:///{tmp_path / 'convoy.db'}", seams)))
        certificates = Certificates(store, Opener.from_file(tmp_path / "none", store.opened), seams)
        mirror = Mirror(str(origin.path), "main", tmp_path / "mirror.git", seams, signers=Files(signers))
        source = stack.enter_context(closing(mirror))
        loader, log = Loader(None, seams), Log(level="error")
        yield Wanted(source, loader, None, certificates, store, Metrics(), log, seams, lambda: None), store


def test_it_is_known_who_answers_for_what_is_in_force(tmp_path: Path, origin: Origin, ssh: Ssh, signers: Path) -> None:
    """`convoy status` names the signer, and the refused commit with what is wrong; what was good before stays in force."""
    good = signed_commit(origin, ssh.sign("alice"), {"a.yaml": HOST})
    with following(tmp_path, origin, signers) as (wanted, store):
        assert wanted.look().signer.startswith("alice@example.org (ssh-ed25519 SHA256:")
        unsigned = origin.commit({"b.yaml": OTHER})
        accepted = wanted.look()
        assert accepted.fleet is not None
        assert (accepted.fleet.revision, accepted.refused) == (good, unsigned)
        Record(store, Log(level="error"), Seams())._state(accepted, good, True)
        state = store.state() or {}
        happened = [(one.kind, one.ref, one.message) for one in store.events() if one.kind.startswith("revision.")]
    assert [(kind, revision) for kind, revision, _ in happened] == [("revision.accepted", good), ("revision.refused", unsigned)]
    assert happened[0][2].startswith("signed by alice@example.org (ssh-ed25519 SHA256:")
    assert "this commit is not signed" in happened[1][2]
    shown = show.plain(show.status(show.standing(state), {}, time.time()))
    assert "signed by alice@example.org (ssh-ed25519 SHA256:" in shown
    assert "this commit is not signed" in shown
    assert show.status_json(show.standing(state), state, {})["signer"] == accepted.signer
    # The next signed commit speaks for what lies between, too.
    with following(tmp_path, origin, signers) as (wanted, _):
        assert wanted.look().fleet is not None
        mended = signed_commit(origin, ssh.sign("alice"), {"c.txt": "seen"})
        fleet = wanted.look().fleet
        assert fleet is not None
        assert fleet.revision == mended
        assert len(fleet.resources) == 2


def test_a_refusal_is_lifted_by_the_policy_alone(tmp_path: Path, origin: Origin, ssh: Ssh, signers: Path) -> None:
    """Once the signer is allowed the commit counts: no new one is needed, and none is while nothing changes."""
    with following(tmp_path, origin, signers) as (wanted, store):
        bobs = signed_commit(origin, ssh.sign("bob"), {"a.yaml": HOST})
        for _ in range(3):
            assert wanted.look().refused == bobs
        assert wanted.accepted.fleet is None
        signers.write_text(f"bob@example.org {ssh.key('bob')}\n")
        fleet = wanted.look().fleet
        assert fleet is not None
        assert (fleet.revision, wanted.accepted.refused, wanted.accepted.problems) == (bobs, "", ())
        writes = store.writes
        for _ in range(3):
            wanted.look()
        assert store.writes == writes


def test_what_came_into_force_outlives_its_key(tmp_path: Path, origin: Origin, ssh: Ssh, signers: Path) -> None:
    """A key that ends does not stop the fleet, also across restarts; a commit made with it afterwards does not count."""
    clock = Clock()
    until = time.strftime("%Y%m%d%H%M%S", time.localtime(time.time() + 3600))
    signers.write_text(f'alice@example.org valid-before="{until}" {ssh.key("alice")}\n')
    good = signed_commit(origin, ssh.sign("alice"), {"a.yaml": HOST})
    with following(tmp_path, origin, signers, clock) as (wanted, _):
        assert wanted.look().refused == ""
        clock.ahead_s = 7200
        assert wanted.look().refused == ""
    with following(tmp_path, origin, signers, clock) as (wanted, _):
        accepted = wanted.look()
        assert accepted.fleet is not None
        assert (accepted.fleet.revision, accepted.refused) == (good, "")
        late = signed_commit(origin, ssh.sign("alice"), {"b.yaml": OTHER})
        accepted = wanted.look()
        assert accepted.fleet is not None
        assert (accepted.fleet.revision, accepted.refused) == (good, late)
        assert "expired" in accepted.problems[0].what


def test_a_key_taken_away_brings_nothing_old_back(tmp_path: Path, origin: Origin, ssh: Ssh, signers: Path) -> None:
    """What is in force stays while Convoy runs, and the doubt is shown; after a restart nothing is in force, least of all the
    revision before."""
    signers.write_text(f"alice@example.org {ssh.key('alice')}\nbob@example.org {ssh.key('bob')}\n")
    signed_commit(origin, ssh.sign("alice"), {"a.yaml": HOST})
    with following(tmp_path, origin, signers) as (wanted, _):
        wanted.look()
        bobs = signed_commit(origin, ssh.sign("bob"), {"b.yaml": OTHER})
        assert wanted.look().refused == ""
        signers.write_text(f"alice@example.org {ssh.key('alice')}\n")
        accepted = wanted.look()
        assert accepted.fleet is not None
        assert (accepted.fleet.revision, accepted.refused) == (bobs, bobs)
    for _ in range(2):
        with following(tmp_path, origin, signers) as (wanted, _):
            accepted = wanted.look()
            assert (accepted.fleet, accepted.refused) == (None, bobs)
    with following(tmp_path, origin, signers) as (wanted, _):
        wanted.look()
        mended = signed_commit(origin, ssh.sign("alice"), {"c.txt": "checked"})
        fleet = wanted.look().fleet
        assert fleet is not None
        assert fleet.revision == mended


def test_an_old_signed_commit_is_not_brought_back(tmp_path: Path, origin: Origin, ssh: Ssh, signers: Path) -> None:
    """Whoever may push and not sign cannot set the branch back, also across a restart."""
    first = signed_commit(origin, ssh.sign("alice"), {"a.yaml": HOST, "b.yaml": OTHER})
    second = signed_commit(origin, ssh.sign("alice"), {"b.yaml": None})
    with following(tmp_path, origin, signers) as (wanted, _):
        wanted.look()
        git(origin.path, "update-ref", "refs/heads/main", first)
        for _ in range(2):
            accepted = wanted.look()
            assert accepted.fleet is not None
            assert (accepted.fleet.revision, accepted.refused) == (second, first)
            assert "does not lead on from" in accepted.problems[0].what
    with following(tmp_path, origin, signers) as (wanted, _):
        accepted = wanted.look()
        assert accepted.fleet is not None
        assert (accepted.fleet.revision, accepted.refused) == (second, first)
        assert accepted.signer


def test_policy_that_cannot_be_read_changes_nothing(tmp_path: Path, origin: Origin, ssh: Ssh, signers: Path) -> None:
    """A signers file that is gone is said to be, and what is in force stays; when it is back, so is all."""
    good = signed_commit(origin, ssh.sign("alice"), {"a.yaml": HOST})
    with following(tmp_path, origin, signers) as (wanted, _):
        wanted.look()
        content = signers.read_text()
        signers.unlink()
        newer = signed_commit(origin, ssh.sign("alice"), {"b.yaml": OTHER})
        accepted = wanted.look()
        assert accepted.fleet is not None
        assert accepted.fleet.revision == good
        assert "cannot tell whose commits count" in accepted.unreadable
        signers.write_text(content)
        fleet = wanted.look().fleet
        assert fleet is not None
        assert (fleet.revision, wanted.accepted.unreadable) == (newer, "")


@pytest.fixture
def convoy(tmp_path: Path) -> Convoy:
    def call(*words: str, **_: object) -> Result:
        env = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": None, "XDG_STATE_HOME": None}
        return CliRunner().invoke(cli.convoy, ["--state", str(tmp_path / "state"), *words], prog_name="convoy", env=env)

    return call


def test_commands_ask_who_signed(tmp_path: Path, origin: Origin, ssh: Ssh, signers: Path, convoy: Convoy) -> None:
    """`validate`, `plan` and `apply` refuse what is not signed, as a Problem, without reading any document of it."""
    origin.commit({"a.yaml": "this: is: not yaml"})
    signing = ("--source", str(origin.path), "--signers", str(signers))
    answer = json.loads(convoy("validate", "-o", "json", *signing).stdout)
    assert not answer["valid"]
    assert [problem["what"] for problem in answer["problems"]] == ["this commit is not signed, and only signed ones count here"]
    for command in ("plan", "apply"):
        result = convoy(command, *signing)
        assert result.exit_code == 1
        assert "this commit is not signed" in result.stdout, result.stderr
        assert "not yaml" not in result.stdout
    signed_commit(origin, ssh.sign("alice"), {"a.yaml": HOST})
    assert json.loads(convoy("validate", "-o", "json", *signing).stdout)["valid"]
    assert convoy("plan", *signing).exit_code == 0


def test_words_that_cannot_be_right(tmp_path: Path, origin: Origin, ssh: Ssh, signers: Path, convoy: Convoy) -> None:
    """Signers for a folder, revocations without signers, and a policy out of the repository that it is to judge."""
    fleet = tmp_path / "fleet"
    fleet.mkdir()
    (fleet / ".git").mkdir()
    (fleet / "signers").write_text("")
    (tmp_path / "link").symlink_to(fleet / "signers")
    for words, said in (
        (("plan", str(fleet), "--signers", str(signers)), "a folder has no commits"),
        (("serve", "--source", str(tmp_path / "keys"), "--signers", str(signers)), "a folder has no commits"),
        (("plan", "--source", str(origin.path), "--revoked-signers", str(signers)), "--revoked-signers belongs to --signers"),
        (("plan", "--source", str(fleet), "--signers", str(fleet / "signers")), "lies in the repository"),
        (("plan", "--source", str(fleet / ".git"), "--signers", str(fleet / "signers")), "lies in the repository"),
        (("plan", "--source", str(fleet), "--signers", str(tmp_path / "link")), "lies in the repository"),
        (("serve", "--source", str(fleet), "--gpg-keyring", str(fleet / "signers")), "lies in the repository"),
    ):
        result = convoy(*words)
        assert (result.exit_code, said in result.stderr) == (2, True), result.stderr


def test_nothing_is_heard_from_whoever_does_not_count(tmp_path: Path, origin: Origin, ssh: Ssh, signers: Path) -> None:
    """What an unsigned commit says in its trailers is neither done nor shown; once a signed one leads on from it, it counts."""
    signed_commit(origin, ssh.sign("alice"), {"a.yaml": HOST})
    with following(tmp_path, origin, signers) as (wanted, store):
        wanted.look()
        origin.commit({"b.yaml": OTHER}, message="x\n\nConvoy-Confirm: Host/h1\nConvoy-Hold: look here\n")
        accepted = wanted.look()
        assert accepted.refused
        assert (accepted.notes, store.orders()) == ((), ())
        signed_commit(origin, ssh.sign("alice"), {"README.md": "read\n"})
        accepted = wanted.look()
        assert (accepted.refused, len(accepted.notes), [one.subject for one in store.orders()]) == ("", 1, ["Host/h1"])


def test_another_commit_is_compared_only_where_somebody_answers_for_it(
    convoy: Convoy, origin: Origin, ssh: Ssh, signers: Path
) -> None:
    """Of a branch whose commits are signed, only what it has gone through can be named, and only what counts is read."""
    first = signed_commit(origin, ssh.sign("alice"), {"a.yaml": HOST})
    signed_commit(origin, ssh.sign("alice"), {"b.yaml": OTHER})
    origin.commit({"c.yaml": OTHER.replace("h2", "h3")}, branch="unsigned", onto=first)
    words = ("plan", "--source", str(origin.path), "--signers", str(signers))

    result = convoy(*words, "--from", "HEAD~1", "-o", "json")
    assert result.exit_code == 0, result.output
    assert list(json.loads(result.stdout)["documents"]) == ["Host/h2"]
    elsewhere = convoy(*words, "--from", "unsigned")
    assert elsewhere.exit_code == 1
    assert "no commit that branch main" in elsewhere.stderr
    nobody = convoy(*words, "--branch", "unsigned", "--from", first[:10])
    assert nobody.exit_code == 1
    assert "is not read" in nobody.stderr
    assert convoy(*words, "--at", first[:10]).exit_code == 0


def test_what_was_in_force_is_known_again_after_a_restart(tmp_path: Path, origin: Origin, ssh: Ssh, signers: Path) -> None:
    """The revisions that something in force is of are read again, if somebody answered for them; no row makes others read."""
    first = signed_commit(origin, ssh.sign("alice"), {"a.yaml": HOST})
    with following(tmp_path, origin, signers) as (wanted, store):
        assert wanted.look().before == {}
        unsigned = origin.commit({"b.yaml": OTHER})
        wanted.look()
        store.put_guards({"in-force": {"revision": first, "withheld": {"Host/h1": unsigned, "Host/h2": "--nonsense"}}})
    second = signed_commit(origin, ssh.sign("alice"), {"c.yaml": OTHER.replace("h2", "h3")})
    with following(tmp_path, origin, signers) as (wanted, _):
        accepted = wanted.look()
    assert accepted.fleet is not None
    assert accepted.fleet.revision == second
    assert {revision: len(fleet.resources) for revision, fleet in accepted.before.items()} == {first: 1}
