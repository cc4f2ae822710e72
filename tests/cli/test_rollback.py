"""`convoy rollback`, on real repositories: what comes back, what stays, what is held, and who was quicker."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from reconciler.commands.sources import Place
from reconciler.git import Branch
from reconciler.store import Store
from tests.cli.conftest import Convoy
from tests.declared import declaration
from tests.repos import Origin, git, hermetic, make_clone, make_origin
from tests.signing import Ssh, needs_ssh_keygen, signed_commit

# Each command loads the fleet, looks at the hosts and pushes.
pytestmark = pytest.mark.slow
HOST = "apiVersion: convoy/v1\nkind: Host\nmetadata: {name: h}\nspec: {driver: process}\n"
OTHER = HOST.replace("name: h", "name: other")


def web(seconds: int, comment: str = "") -> str:
    return (
        f"{comment}apiVersion: convoy/v1\nkind: Container\nmetadata: {{name: web}}\n"
        f"spec:\n  host: h\n  command: [sleep, '{seconds}']\n"
    )


Back = Callable[..., str]


@pytest.fixture
def origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Origin:
    hermetic(monkeypatch)
    return make_origin(tmp_path)


@pytest.fixture
def back(convoy: Convoy, origin: Origin) -> Back:
    """`convoy rollback Container/web WORDS`, by Eve; its output."""

    def call(*words: str, code: int = 0, what: str = "Container/web", source: Path = origin.path) -> str:
        by = ("--author", "Eve <eve@example.org>")
        result = convoy("rollback", what, "--source", str(source), *by, *words, GIT_CONFIG_GLOBAL="/dev/null")
        assert result.exit_code == code, result.output
        return result.output

    return call


def at_tip(origin: Origin, path: str = "a.yaml") -> str:
    return git(origin.path, "show", f"main:{path}") + "\n"


def test_back_to_what_it_was(origin: Origin, back: Back) -> None:
    """Its own lines alone, comments and all; everything committed since stays; the commit says what, why and what is held."""
    good = origin.commit({"a.yaml": HOST + "---\n" + web(1, "# good\n")})
    bad = origin.commit({"a.yaml": HOST + "---\n" + web(2, "# bad\n")}, message="Sleep longer")
    tip = origin.commit({"a.yaml": HOST + "---\n" + web(2, "# bad\n") + "---\n" + OTHER, "README.md": "words\n"})
    shown = back("--reason", "it overslept")

    assert at_tip(origin) == HOST + "---\n" + web(1, "# good\n") + "---\n" + OTHER
    assert git(origin.path, "diff-tree", "-r", "--name-only", tip, "main") == "a.yaml"
    message = git(origin.path, "log", "-1", "--format=%an <%ae>%n%B", "main")
    assert message.startswith("Eve <eve@example.org>\nRoll back Container/web: it overslept\n")
    assert f"Convoy-Rollback: Container/web {bad}\nConvoy-Hold: Container/web@" in message
    for words in (
        f"to what it was in {good[:12]}",
        f"before {bad[:12]} Sleep longer",
        "-  command: [sleep, '2']",
        "1 to create",
    ):
        assert words in shown
    assert f"rolled back by {origin.tip()[:12]} on main" in shown


def test_a_dry_run_changes_nothing(origin: Origin, back: Back) -> None:
    """The answer is the same, without a revision."""
    origin.commit({"a.yaml": HOST + "---\n" + web(1)})
    tip = origin.commit({"a.yaml": HOST + "---\n" + web(2)})
    answer = json.loads(back("--dry-run", "-o", "json"))
    assert origin.tip() == tip == answer["tip"] == answer["from"]
    assert (answer["file"], answer["revision"], answer["plan"]["summary"]) == ("a.yaml", None, {"create": 1})
    done = json.loads(back("-o", "json"))
    assert done["revision"] == origin.tip()
    assert {**done, "revision": None, "plan": None} == {**answer, "plan": None}


def test_again_goes_further_back(origin: Origin, back: Back) -> None:
    """What was rolled back from is left out; when nothing else is left, that is said. A commit that is named counts anyway."""
    origin.commit({"a.yaml": HOST + "---\n" + web(1)})
    origin.commit({"a.yaml": HOST + "---\n" + web(2)})
    third = origin.commit({"a.yaml": HOST + "---\n" + web(3)})
    back()
    assert "'2'" in at_tip(origin)
    back()
    assert "'1'" in at_tip(origin)
    assert "was nothing else before but what is held" in back(code=1)
    back("--to", third[:10])
    assert "'3'" in at_tip(origin)
    assert "Convoy-Release: Container/web@" in git(origin.path, "log", "-1", "--format=%B", "main")
    assert "is what it was in" in back("--to", third, code=1)


def test_what_was_released_may_be_gone_back_to(origin: Origin, back: Back) -> None:
    """A hold that a later commit has taken back leaves nothing out; one of another resource never did."""
    origin.commit({"a.yaml": HOST + "---\n" + web(1)})
    origin.commit({"a.yaml": HOST + "---\n" + web(2)})
    back()
    for line in ("Convoy-Release: Container/web-2", "Convoy-Release: Container/web@0123456789abcdef"):
        origin.commit({}, message=f"x\n\n{line}\n")
    assert "was nothing else before but what is held" in back(code=1)
    origin.commit({}, message="It was the network\n\nConvoy-Release: Container/web\n")
    back()
    assert "'2'" in at_tip(origin)


def test_a_document_that_was_removed_or_moved(origin: Origin, back: Back) -> None:
    """Removed, it comes back where it stood last; moved, it is put back where it stands now."""
    origin.commit({"a.yaml": HOST + "---\n" + web(1), "b.yaml": OTHER})
    origin.commit({"a.yaml": HOST})
    back()
    assert at_tip(origin) == HOST + "---\n" + web(1)
    assert "Convoy-Hold" not in git(origin.path, "log", "-1", "--format=%B", "main")
    origin.commit({"a.yaml": HOST, "b.yaml": OTHER + "---\n" + web(1)}, message="Moved alone")
    origin.commit({"b.yaml": OTHER + "---\n" + web(2)})
    back()
    assert (at_tip(origin), at_tip(origin, "b.yaml")) == (HOST, OTHER + "---\n" + web(1))
    origin.commit({"b.yaml": None})
    back()
    assert at_tip(origin, "b.yaml") == web(1)


def test_a_document_that_cannot_be_read(origin: Origin, back: Back) -> None:
    """A typing error that breaks the YAML is taken back as well; nothing is held, for nothing was said."""
    origin.commit({"a.yaml": HOST + "---\n" + web(1) + "---\n" + OTHER})
    origin.commit({"a.yaml": HOST + "---\n" + web(1) + " bad: [\n---\n" + OTHER})
    back()
    assert at_tip(origin) == HOST + "---\n" + web(1) + "---\n" + OTHER
    assert "Convoy-Hold" not in git(origin.path, "log", "-1", "--format=%B", "main")


def test_through_merges(origin: Origin, back: Back) -> None:
    """What a merge brought to the branch is one step of it: back is what the branch had before."""
    origin.commit({"a.yaml": HOST + "---\n" + web(1)})
    start = origin.tip()
    origin.commit({"a.yaml": HOST + "---\n" + web(2)}, branch="side", onto=start)
    origin.commit({"a.yaml": HOST + "---\n" + web(3)}, branch="side")
    origin.commit({"b.yaml": OTHER})
    tree = git(origin.path, "merge-tree", "--write-tree", "main", "side").splitlines()[0]
    merge = git(
        origin.path, "-c", "user.name=a", "-c", "user.email=a@b", "commit-tree", tree, "-p", "main", "-p", "side", "-m", "Merge"
    )
    git(origin.path, "update-ref", "refs/heads/main", merge)
    answer = json.loads(back("-o", "json"))
    assert answer["from"] == merge
    assert "'1'" in at_tip(origin)


class Moving:
    """Somebody else commits just before the push."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *commits: Callable[[], object]) -> None:
        left, push = list(commits), Branch.push

        def slower(branch: Branch, revision: str, expected: str) -> None:
            if left:
                left.pop(0)()
            push(branch, revision, expected)

        monkeypatch.setattr(Branch, "push", slower)


def test_the_branch_moves_elsewhere(origin: Origin, back: Back, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit is made anew on what came between, also when that moved the document, as often as it takes."""
    origin.commit({"a.yaml": HOST + "---\n" + web(1)})
    origin.commit({"a.yaml": HOST + "---\n" + web(2)})
    Moving(
        monkeypatch,
        lambda: origin.commit({"b.yaml": OTHER}),
        lambda: origin.commit({"a.yaml": HOST, "c.yaml": web(2)}),
    )
    shown = back()
    assert shown.count("has moved from") == 2
    assert (at_tip(origin, "c.yaml"), at_tip(origin, "b.yaml"), at_tip(origin)) == (web(1), OTHER, HOST)


def test_the_document_itself_was_changed(origin: Origin, back: Back, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever was quicker is named, and their work stays."""
    origin.commit({"a.yaml": HOST + "---\n" + web(1)})
    origin.commit({"a.yaml": HOST + "---\n" + web(2)})
    Moving(monkeypatch, lambda: origin.commit({"a.yaml": HOST + "---\n" + web(9)}, message="Mended already"))
    shown = back(code=1)
    assert f"was changed meanwhile, by {origin.tip()[:12]} (Mended already, A Person <person@example.org>)" in shown
    assert "'9'" in at_tip(origin)


def test_a_proposal(origin: Origin, back: Back) -> None:
    """A branch of its own for a pull request; one that is there already is left alone."""
    origin.commit({"a.yaml": HOST + "---\n" + web(1)})
    tip = origin.commit({"a.yaml": HOST + "---\n" + web(2)})
    back("--propose", "back")
    assert (origin.tip(), git(origin.path, "rev-parse", "back^")) == (tip, tip)
    assert "choose another name" in back("--propose", "back", "--reason", "again", code=1)


def test_what_would_not_be_accepted_is_not_committed(origin: Origin, back: Back) -> None:
    """A rollback that adds a Problem is shown with it; Problems that were there stop nothing, and are told."""
    origin.commit({"a.yaml": HOST + "---\n" + web(1)})
    origin.commit({"a.yaml": HOST + "---\n" + web(2).replace("host: h", "host: other") + "---\n" + OTHER})
    tip = origin.commit({"a.yaml": web(2).replace("host: h", "host: other") + "---\n" + OTHER})
    assert "a.yaml:5:9: there is no Host" in back(code=1)
    assert origin.tip() == tip
    origin.commit({"a.yaml": HOST + "---\n" + web(2), "b.yaml": OTHER.replace("driver", "drivers")})
    assert "that the branch has already will keep it from coming into force" in back("--to", "HEAD~3")
    assert "'1'" in at_tip(origin)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--to", "1234567"), "is no commit that branch main"),
        (("--to", "--all"), "is no commit that branch main"),
        (("--to", "HEAD~99"), "is no commit that branch main"),
        (("--to", "HEAD~2"), "does not declare Container/web"),
        (("--author", "nobody"), "is not an author"),
    ],
)
def test_what_cannot_be_done_is_said(words: tuple[str, ...], expected: str, origin: Origin, back: Back) -> None:
    """With what to do instead, and nothing done."""
    origin.commit({"a.yaml": HOST})
    origin.commit({"a.yaml": HOST + "---\n" + web(1)})
    tip = origin.commit({"a.yaml": HOST + "---\n" + web(2)})
    assert expected in back(*words, code=1)
    assert origin.tip() == tip


def test_nothing_to_go_back_to(origin: Origin, back: Back) -> None:
    """A document that was never otherwise, and one that never was; a commit elsewhere in the repository is none of ours."""
    origin.commit({"a.yaml": HOST + "---\n" + web(1)})
    assert "a.yaml:5: Container/web was nothing else before" in back(code=1)
    assert "no commit of the branch has ever declared Container/none" in back(what="container/none", code=1)
    side = origin.commit({"a.yaml": web(5)}, branch="side", onto="")
    assert "is no commit that branch main" in back("--to", side, code=1)
    assert "declared more than once" in (origin.commit({"b.yaml": web(2)}) and back(code=1))


def test_a_hook_that_refuses(origin: Origin, back: Back) -> None:
    """What the other side says is what a person reads."""
    origin.commit({"a.yaml": HOST + "---\n" + web(1)})
    tip = origin.commit({"a.yaml": HOST + "---\n" + web(2)})
    hook = origin.path / "hooks" / "update"
    hook.write_text("#!/bin/sh\necho 'main is protected: open a pull request' >&2\nexit 1\n")
    hook.chmod(0o755)
    assert "does not take the commit for branch main: main is protected: open a pull request" in back(code=1)
    assert origin.tip() == tip


def test_a_checked_out_branch(origin: Origin, back: Back, tmp_path: Path) -> None:
    """Under somebody's working tree nothing is committed; a proposal is."""
    origin.commit({"a.yaml": HOST + "---\n" + web(1)})
    origin.commit({"a.yaml": HOST + "---\n" + web(2)})
    clone = make_clone(origin, tmp_path / "clone")
    assert "branch main is checked out in" in back(source=clone, code=1)
    back("--propose", "back", source=clone)
    assert git(clone, "diff", "--stat", "main", "back").startswith("a.yaml")


def test_where_from_and_by_whom(convoy: Convoy, origin: Origin, state: Path, tmp_path: Path) -> None:
    """By default: what this state directory follows, by the person of the Git settings; what is missing is asked for."""
    origin.commit({"a.yaml": HOST + "---\n" + web(1)})
    origin.commit({"a.yaml": HOST + "---\n" + web(2)})
    assert "name the repository with --source" in convoy("rollback", "Container/web").stderr
    assert convoy("rollback", "Container/web", "--branch", "main").exit_code == 2
    state.mkdir(mode=0o700)
    Place(str(tmp_path)).remember(state)
    assert "is followed as a folder" in convoy("rollback", "Container/web").stderr
    Place("https://me:secret@git.example/f.git", "main").remember(state)
    assert "is not kept: give it again with --source" in convoy("rollback", "Container/web").stderr
    Place(str(origin.path), "main").remember(state)
    settings = tmp_path / "gitconfig"
    nobody = convoy("rollback", "Container/web", GIT_CONFIG_GLOBAL=str(settings), HOME=str(tmp_path))
    assert "git does not know who you are" in nobody.stderr or nobody.exit_code == 0
    settings.write_text("[user]\nname = Ann\nemail = ann@example.org\n")
    assert convoy("rollback", "nonsense", GIT_CONFIG_GLOBAL=str(settings)).exit_code != 0


def test_without_a_name(convoy: Convoy, origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit is somebody's: their Git settings say whose, and without them nothing is made."""
    monkeypatch.chdir(tmp_path)
    origin.commit({"a.yaml": HOST + "---\n" + web(1)})
    tip = origin.commit({"a.yaml": HOST + "---\n" + web(2)})
    result = convoy("rollback", "Container/web", "--source", str(origin.path))
    assert (result.exit_code, origin.tip()) == (1, tip)
    assert "git does not know who you are" in result.stderr
    settings = tmp_path / "gitconfig"
    settings.write_text("[user]\nname = Ann\nemail = ann@example.org\n[commit]\ngpgsign = true\n[gpg]\nprogram = /bin/false\n")
    result = convoy("rollback", "Container/web", "--source", str(origin.path), GIT_CONFIG_GLOBAL=str(settings))
    assert result.exit_code == 0, result.output
    assert git(origin.path, "log", "-1", "--format=%an <%ae>", "main") == "Ann <ann@example.org>"


@needs_ssh_keygen
def test_where_commits_must_be_signed(
    convoy: Convoy, origin: Origin, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rollback is signed by the person's own settings, as the branch that is followed wants it, or not made at all."""
    monkeypatch.chdir(tmp_path)
    ssh = Ssh(tmp_path)
    (tmp_path / "allowed").write_text(f"eve@example.org {ssh.key('eve')}\n")
    origin.commit({"a.yaml": HOST + "---\n" + web(1)})
    tip = signed_commit(origin, ssh.sign("eve"), {"a.yaml": HOST + "---\n" + web(2)})
    state.mkdir(mode=0o700)
    Place(str(origin.path), "main", "", {"ssh": tmp_path / "allowed"}).remember(state)
    settings = tmp_path / "gitconfig"

    def rolled_back(key: Path, name: str = "Eve") -> Result:
        settings.write_text(
            f"[user]\nname = {name}\nemail = {name.lower()}@example.org\nsigningKey = {key}\n[gpg]\nformat = ssh\n"
        )
        return convoy("rollback", "Container/web", GIT_CONFIG_GLOBAL=str(settings))

    assert "cannot sign the commit" in rolled_back(tmp_path / "none").stderr
    ssh.key("mallory")
    refused = rolled_back(tmp_path / "mallory", "Mallory")
    assert (refused.exit_code, origin.tip()) == (1, tip)
    assert "this commit" in refused.stdout
    done = rolled_back(tmp_path / "eve")
    assert done.exit_code == 0, done.output
    git(origin.path, "-c", f"gpg.ssh.allowedSignersFile={tmp_path / 'allowed'}", "verify-commit", "main")
    assert "'1'" in at_tip(origin)


def test_back_to_a_number_of_the_history(origin: Origin, back: Back, store: Store) -> None:
    """`--to N` is what change N of `convoy history` made it; of a number that is not known those are told that are."""
    for seconds in (1, 2, 3):
        revision = origin.commit({"a.yaml": HOST + "---\n" + web(seconds)})
        store.record_revision(revision, "good", (), (), (), declaration(revision, {"Container/web": {"seconds": seconds}}))
    assert "change 9 of Container/web is not known: `convoy history Container/web` lists them (1 to 3)" in back(
        "--to", "9", code=1
    )
    back("--to", "1")
    assert "'1'" in at_tip(origin)
