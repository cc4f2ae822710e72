"""A commit on the expected parent, or nothing: into bare repositories, beside working clones, against hooks, killed midway."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pygit2
import pytest

from reconciler.git import Branch, Conflict, Declined, Person, SourceError, Words
from reconciler.git.person import person
from reconciler.seams import Seams
from tests.git.conftest import Open, contents
from tests.repos import Origin, git, make_clone

EVE = Person("Eve Adams", "eve@example.org")
WORDS = Words("Change it\n\nSo that it is other.\n", EVE, EVE)
Write = Callable[..., Branch]


@pytest.fixture
def write(tmp_path: Path, origin: Origin, mirror: Open) -> Iterator[Write]:
    """A Branch over the mirror that was fetched last."""
    opened: list[Branch] = []

    def make(url: str | Path = origin.path, branch: str = "main", seams: Seams | None = None) -> Branch:
        one = Branch(str(url), branch, tmp_path / "state" / "mirror", seams or Seams())
        opened.append(one)
        return one

    yield make
    for one in opened:
        one.close()


def hook(origin: Origin, name: str, script: str) -> None:
    path = origin.path / "hooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_a_commit_touches_what_it_names(origin: Origin, mirror: Open, write: Write) -> None:
    """New, changed and deleted files; all others, their modes and their order stay as git wrote them."""
    origin.commit({"a.yaml": "a\n", "dir/b.yaml": "b\n", "dir.yaml": "d\n", "gone/c.yaml": "c\n"}, links={"link": "a.yaml"})
    source = mirror()
    parent = source.fetch()
    revision = write().commit(
        {"a.yaml": b"A\n", "new/deep/n.yaml": b"n\n", "gone/c.yaml": None, "dir-x.yaml": b"x\n"}, parent, WORDS
    )

    assert origin.tip() == revision == source.fetch()
    assert contents(source, revision) == {
        "a.yaml": b"A\n",
        "dir/b.yaml": b"b\n",
        "dir.yaml": b"d\n",
        "dir-x.yaml": b"x\n",
        "new/deep/n.yaml": b"n\n",
    }
    changed = git(origin.path, "diff-tree", "-r", "--name-status", parent, revision)
    assert changed.split() == ["M", "a.yaml", "A", "dir-x.yaml", "D", "gone/c.yaml", "A", "new/deep/n.yaml"]
    assert git(origin.path, "log", "-1", "--format=%an <%ae>|%cn|%P|%B", revision) == (
        f"Eve Adams <eve@example.org>|Eve Adams|{parent}|Change it\n\nSo that it is other."
    )
    git(origin.path, "fsck", "--strict")


def test_a_file_keeps_its_mode(origin: Origin, mirror: Open, write: Write) -> None:
    """What was executable stays so, also in the odd mode that old gits wrote."""
    blob = origin.blob(b"old\n")
    origin.commit_tree([("100755", b"run.yaml", blob), ("100664", b"wide.yaml", blob), ("100644", b"z.yaml", blob)])
    revision = write().commit({"run.yaml": b"new\n", "z.yaml": b"new\n"}, mirror().fetch(), WORDS)

    repository = pygit2.Repository(str(origin.path))
    raw = repository.odb.read(repository[revision].peel(pygit2.Tree).id)[1]
    new = bytes.fromhex(origin.blob(b"new\n"))
    assert raw == b"".join((b"100755 run.yaml\0" + new, b"100664 wide.yaml\0" + bytes.fromhex(blob), b"100644 z.yaml\0" + new))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"../a.yaml": b""}, "is not the path"),
        ({".git/config": b""}, "is not the path"),
        ({"GIT~1/config": b""}, "is not the path"),
        ({"/a.yaml": b""}, "is not the path"),
        ({"a\nb.yaml": b""}, "is not the path"),
        ({"link": b"x"}, "a link or a submodule there, not a file"),
        ({"link/x.yaml": b"x"}, "not a directory"),
        ({"dir": b"x"}, "not a file"),
        ({"a.yaml/b.yaml": b"x"}, "not a directory"),
        ({"none.yaml": None}, "is not there"),
        ({"none/none.yaml": None}, "is not there"),
        ({"n": b"x", "n/m": b"x"}, "cannot be a file and a directory"),
        ({"a.yaml": b"x" * (5 * 1024 * 1024 + 1)}, "the most is"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_changes_that_cannot_be_made(
    changes: dict[str, bytes | None], words: str, origin: Origin, mirror: Open, write: Write
) -> None:
    """They are refused in words, and the branch stays where it is."""
    tip = origin.commit({"a.yaml": "a\n", "dir/b.yaml": "b\n"}, links={"link": "dir"})
    with pytest.raises(SourceError, match=words):
        write().commit(changes, mirror().fetch(), WORDS)
    assert origin.tip() == tip


def test_the_branch_has_moved(origin: Origin, mirror: Open, write: Write) -> None:
    """Whatever it moved to, forward or back: a Conflict that names it, and nothing is changed."""
    first = origin.commit({"a.yaml": "1\n"})
    second = origin.commit({"a.yaml": "2\n"})
    assert mirror().fetch() == second
    third = origin.commit({"b.yaml": "3\n"})
    with pytest.raises(Conflict, match="has moved from") as caught:
        write().commit({"a.yaml": b"x\n"}, second, WORDS)
    assert (origin.tip(), caught.value.tip) == (third, third)
    # A plain push would be taken here, and bring the second commit back.
    git(origin.path, "update-ref", "refs/heads/main", first)
    with pytest.raises(Conflict):
        write().commit({"a.yaml": b"x\n"}, second, WORDS)
    assert origin.tip() == first
    git(origin.path, "update-ref", "-d", "refs/heads/main")
    with pytest.raises(Conflict, match="is gone") as caught:
        write().commit({"a.yaml": b"x\n"}, second, WORDS)
    assert (origin.tip(), caught.value.tip) == ("", "")


def test_a_new_branch(origin: Origin, mirror: Open, write: Write) -> None:
    """A commit can become a branch of its own, which must not be there yet."""
    tip = origin.commit({"a.yaml": "1\n"})
    mirror().fetch()
    side = write(branch="proposed/a")
    revision = side.make({"a.yaml": b"2\n"}, tip, WORDS)
    side.push(revision, "")
    assert (origin.tip("proposed/a"), origin.tip()) == (revision, tip)
    other = side.make({"a.yaml": b"3\n"}, tip, WORDS)
    with pytest.raises(Conflict, match="choose another name"):
        side.push(other, "")
    assert origin.tip("proposed/a") == revision


def test_a_push_that_is_given_up_is_no_refusal(origin: Origin, mirror: Open, tmp_path: Path) -> None:
    """The other end may be another machine, which goes on and takes it yet: whoever asked must not be told that it was not."""
    origin.commit({"a.yaml": "a\n"})
    tip = mirror().fetch()
    os.mkfifo(tmp_path / "never")
    hook(origin, "pre-receive", f"cat {tmp_path / 'never'}")
    branch = Branch(str(origin.path), "main", tmp_path / "state" / "mirror", Seams(), deadline_s=2.0)
    with closing(branch), pytest.raises(SourceError, match="given up after 2 s") as given_up:
        branch.commit({"a.yaml": b"b\n"}, tip, WORDS)
    assert not isinstance(given_up.value, Declined)
    assert origin.tip() == tip


def test_hooks_of_the_other_side_speak(origin: Origin, mirror: Open, write: Write) -> None:
    """A repository that refuses a push says why, and that is what a person reads first."""
    tip = origin.commit({"a.yaml": "1\n"})
    hook(origin, "pre-receive", "echo 'ask the platform team first' >&2; exit 1")
    with pytest.raises(SourceError, match="does not take the commit for branch main: ask the platform team first;"):
        write().commit({"a.yaml": b"2\n"}, mirror().fetch(), WORDS)
    assert origin.tip() == tip


def test_an_answer_that_was_lost(origin: Origin, mirror: Open, write: Write, tmp_path: Path) -> None:
    """A push that failed after it was taken has succeeded; only what the branch names counts."""
    tip = origin.commit({"a.yaml": "1\n"})
    mirror().fetch()
    # The hook runs after the branch has moved; whoever pushed hears nothing any more.
    hook(origin, "post-update", "kill -9 $PPID")
    revision = write().commit({"a.yaml": b"2\n"}, tip, WORDS)
    assert origin.tip() == revision != tip


def test_the_users_own_settings_break_nothing(
    origin: Origin, mirror: Open, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signing by default, hooks, tags to follow and signed pushes are other people's business here."""
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in ("pre-commit", "prepare-commit-msg", "commit-msg", "post-commit", "pre-push"):
        (hooks / name).write_text("#!/bin/sh\nexit 1\n")
        (hooks / name).chmod(0o755)
    settings = tmp_path / "gitconfig"
    settings.write_text(
        f"[commit]\ngpgsign = true\n[gpg]\nprogram = /bin/false\n[push]\ngpgSign = true\nfollowTags = true\ndefault = nothing\n"
        f"[core]\nhooksPath = {hooks}\n[push]\npushOption = x\n[submodule]\nrecurse = true\n"
    )
    origin.commit({"a.yaml": "1\n"})
    parent = mirror().fetch()
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    revision = write().commit({"a.yaml": b"2\n"}, parent, WORDS)
    assert origin.tip() == revision


def test_a_working_tree_is_not_left_behind(origin: Origin, mirror: Open, write: Write, tmp_path: Path) -> None:
    """A branch that somebody has checked out is refused in words, in linked working trees too; another one is written."""
    origin.commit({"a.yaml": "1\n"})
    clone = make_clone(origin, tmp_path / "clone")
    git(clone, "branch", "other")
    parent = mirror(clone).fetch()
    with pytest.raises(SourceError, match=r"branch main is checked out in .*clone"):
        write(clone).commit({"a.yaml": b"2\n"}, parent, WORDS)
    git(clone, "config", "receive.denyCurrentBranch", "ignore")
    with pytest.raises(SourceError, match="is checked out"):
        write(clone).commit({"a.yaml": b"2\n"}, parent, WORDS)
    assert git(clone, "status", "--porcelain") == ""
    git(clone, "worktree", "add", "-q", str(tmp_path / "linked"), "other")
    with pytest.raises(SourceError, match="is checked out"):
        write(clone, "other").commit({"a.yaml": b"2\n"}, parent, WORDS)
    git(clone, "checkout", "-q", "--detach")
    revision = write(clone).commit({"a.yaml": b"2\n"}, parent, WORDS)
    assert git(clone, "rev-parse", "main") == revision


def test_git_may_bring_the_working_tree_along(origin: Origin, mirror: Open, write: Write, tmp_path: Path) -> None:
    """Where its owner has asked for that, the tree follows, and a tree with work in it is left alone."""
    origin.commit({"a.yaml": "1\n"})
    clone = make_clone(origin, tmp_path / "clone")
    git(clone, "config", "receive.denyCurrentBranch", "updateInstead")
    first = write(clone).commit({"a.yaml": b"2\n"}, mirror(clone).fetch(), WORDS)
    assert ((clone / "a.yaml").read_text(), git(clone, "status", "--porcelain")) == ("2\n", "")
    (clone / "a.yaml").write_text("mine\n")
    with pytest.raises(SourceError, match="does not take the commit"):
        write(clone).commit({"a.yaml": b"3\n"}, mirror(clone).fetch(), WORDS)
    assert ((clone / "a.yaml").read_text(), git(clone, "rev-parse", "HEAD")) == ("mine\n", first)


@pytest.mark.parametrize("point", ["git.commit", "git.push"])
def test_a_failure_before_the_push_changes_nothing(point: str, origin: Origin, mirror: Open, write: Write) -> None:
    """A full disk or a lost network is a SourceError, and the branch is where it was."""

    class Failing(Seams):
        def point(self, name: str, *about: object) -> None:
            if name == point:
                raise OSError(28, "No space left on device")

    tip = origin.commit({"a.yaml": "1\n"})
    with pytest.raises(SourceError, match="No space left"):
        write(seams=Failing()).commit({"a.yaml": b"2\n"}, mirror().fetch(), WORDS)
    assert origin.tip() == tip


KILLED = """
import os, signal, sys
from pathlib import Path
from reconciler.git import Branch, Mirror, Person, Words
from reconciler.seams import Seams

class Deadly(Seams):
    def point(self, name, *about):
        if name == "git.push":
            os.kill(os.getpid(), signal.SIGKILL)

origin, state = sys.argv[1:]
eve = Person("Eve", "eve@example.org")
parent = Mirror(origin, "main", Path(state), Seams()).fetch()
Branch(origin, "main", Path(state), Deadly()).commit({"a.yaml": b"2\\n"}, parent, Words("x", eve, eve))
"""


@pytest.mark.slow
def test_killed_between_commit_and_push(origin: Origin, mirror: Open, write: Write, tmp_path: Path) -> None:
    """The origin has nothing of it, the mirror goes on, and the same change is made anew."""
    tip = origin.commit({"a.yaml": "1\n"})
    state = tmp_path / "state" / "mirror"
    done = subprocess.run([sys.executable, "-c", KILLED, str(origin.path), str(state)], timeout=240, check=False)
    assert done.returncode == -9
    assert origin.tip() == tip
    assert "commit" not in git(origin.path, "fsck", "--unreachable", "--no-reflogs")
    source = mirror()
    assert source.fetch() == tip
    revision = write().commit({"a.yaml": b"2\n"}, tip, WORDS)
    assert origin.tip() == revision == source.fetch()


def test_who_is_at_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, origin: Origin) -> None:
    """The person's own settings say it, those of a repository before the general ones; a guess is not an answer."""
    with pytest.raises(SourceError, match=r"git does not know who you are.*--author"):
        person("AUTHOR")
    settings = tmp_path / "gitconfig"
    settings.write_text("[user]\nname = Ann Ö\nemail = ann@example.org\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    assert person("AUTHOR") == Person("Ann Ö", "ann@example.org")
    git(origin.path, "config", "user.email", "here@example.org")
    assert person("COMMITTER", origin.path) == Person("Ann Ö", "here@example.org")
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Bob")
    assert person("AUTHOR") == Person("Bob", "ann@example.org")
    assert Person.parse(" Ann  <a@b> ") == Person("Ann", "a@b")
    for wrong in ("Ann", "<a@b>", "Ann <>", "Ann <a@b> x", "A\nB <a@b>"):
        with pytest.raises(SourceError):
            Person.parse(wrong)


def test_a_remote_by_url(origin: Origin, mirror: Open, write: Write) -> None:
    """A file URL is a repository on this machine; what is no URL is refused before anything is run."""
    origin.commit({"a.yaml": "1\n"})
    url = f"file://{origin.path}"
    revision = write(url).commit({"a.yaml": b"2\n"}, mirror(url).fetch(), WORDS)
    assert origin.tip() == revision
    for wrong in ("ext::sh -c id", "--upload-pack=id", ""):
        with pytest.raises(SourceError):
            write(wrong)


def test_a_chain_is_one_commit_on_the_other(origin: Origin, mirror: Open, write: Write) -> None:
    """Each has what those before it have written and what it writes itself, in the trees that git would have made."""
    origin.commit({f"dir/{n}.yaml": f"{n}\n" for n in range(20)} | {"dir.yaml": "d\n", "gone/c.yaml": "c\n"})
    source = mirror()
    parent = source.fetch()
    steps: list[dict[str, bytes | None]] = [
        {"dir/3.yaml": b"three\n"},
        {"dir/3.yaml": b"again\n", "dir/12.yaml": b"twelve\n"},
        {"gone/c.yaml": None, "dir/new/e.yaml": b"e\n"},
        {"gone": b"a file now\n", "dir/3.yaml": None, "dir-a/f.yaml": b"f\n"},
        {"dir/3.yaml": b"back\n"},
    ]
    branch = write()
    revisions = branch.chain([(step, WORDS) for step in steps], parent)
    branch.push(revisions[-1], parent)

    files = {path: git(origin.path, "show", f"{parent}:{path}").encode() + b"\n" for path in contents(source, parent)}
    assert source.fetch() == origin.tip() == revisions[-1]
    for step, revision in zip(steps, revisions, strict=True):
        files = {path: text for path, text in {**files, **step}.items() if text is not None}
        assert git(origin.path, "rev-parse", f"{revision}^") == parent
        listed = git(origin.path, "ls-tree", "-r", "--name-only", revision).splitlines()
        assert {path: git(origin.path, "show", f"{revision}:{path}").encode() + b"\n" for path in listed} == files
        parent = revision
    git(origin.path, "fsck", "--strict")


def test_several_commits_stay_the_pack_as_which_they_come(origin: Origin, mirror: Open, write: Write) -> None:
    """On this machine: one commit is a few files there, as git makes them, and many are not taken apart for that."""
    parent = origin.commit({f"dir/{n}.yaml": f"{n}\n" for n in range(20)})
    mirror().fetch()
    branch = write()

    def kept() -> tuple[int, int]:
        """Loose objects and packs."""
        said = dict(line.split(": ") for line in git(origin.path, "count-objects", "-v").splitlines())
        return int(said["count"]), int(said["packs"])

    loose, packs = kept()
    one = branch.commit({"dir/3.yaml": b"three\n"}, parent, WORDS)
    # A blob, two trees and the commit.
    assert kept() == (loose + 4, packs)
    revisions = branch.chain([({f"dir/{n}.yaml": b"new\n%d\n" % n}, WORDS) for n in range(8)], one)
    branch.push(revisions[-1], one)
    assert kept() == (loose + 4, packs + 1)
    git(origin.path, "fsck", "--strict")
