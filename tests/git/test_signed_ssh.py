"""Commits signed with SSH keys: only those whose keys count, now, for commits, over exactly this commit."""

import stat
import subprocess
import time
import zlib
from pathlib import Path

import pygit2
import pytest

from reconciler.git import Files, Mirror, Signature, SourceError
from reconciler.git.signers import AGAIN_S
from reconciler.seams import Seams
from tests.git.conftest import Open, contents
from tests.repos import Origin, git, hermetic_environment, make_clone
from tests.signing import Ssh, needs_ssh_keygen, raw_commit, run, signed_commit, with_signature, write_commit

pytestmark = needs_ssh_keygen


def judged(source: Mirror, at: float | None = None, after: str = "") -> Signature:
    return source.signature(source.fetch(), time.time() if at is None else at, after)


def why(source: Mirror, at: float | None = None, after: str = "") -> str:
    problem = judged(source, at, after).problem
    assert problem is not None
    assert problem.hint
    assert str(problem).isprintable()
    # What nobody answers for cannot even be listed.
    if not after:
        with pytest.raises(SourceError, match="nobody who counts"):
            source.tree(source.fetch())
    return problem.what


def test_a_commit_of_somebody_who_counts(origin: Origin, mirror: Open, ssh: Ssh, signers: Path) -> None:
    """It can be read, and it is known who answers for it."""
    revision = signed_commit(origin, ssh.sign("alice"), {"a.yaml": "1"})
    source = mirror(signers=Files(signers))
    said = judged(source)
    assert said.problem is None
    assert said.signer.startswith("alice@example.org (ssh-ed25519 SHA256:")
    fingerprint = run("ssh-keygen", "-lf", str(ssh.directory / "alice.pub")).decode().split()[1]
    assert fingerprint in said.signer
    assert list(source.tree(revision).files) == ["a.yaml"]


def test_what_git_itself_signs(origin: Origin, mirror: Open, ssh: Ssh, signers: Path, tmp_path: Path) -> None:
    """`git commit -S` and `git merge -S`, with their messages, encodings and merged tags, are understood."""
    signed_commit(origin, ssh.sign("alice"), {"a.yaml": "1"})
    clone = make_clone(origin, tmp_path / "clone")
    for key, value in {
        "gpg.format": "ssh",
        "user.signingkey": str(ssh.directory / "alice"),
        "i18n.commitEncoding": "ISO-8859-1",
    }.items():
        git(clone, "config", key, value)
    git(clone, "checkout", "-q", "-b", "side")
    (clone / "b.yaml").write_text("2")
    git(clone, "add", "b.yaml")
    git(clone, "commit", "-q", "-S", "-m", "side\n\n-----BEGIN SSH SIGNATURE-----\nmine\n-----END SSH SIGNATURE-----\n")
    git(clone, "tag", "-s", "-m", "tagged", "v1")
    git(clone, "checkout", "-q", "main")
    git(clone, "merge", "-q", "-S", "--no-ff", "-m", "merged", "v1")
    assert b"mergetag object" in raw_commit(Origin(clone / ".git"), git(clone, "rev-parse", "HEAD"))
    git(clone, "push", "-q", "origin", "main")
    source = mirror(signers=Files(signers))
    said = judged(source)
    assert said.problem is None, said.problem
    assert set(source.tree(origin.tip()).files) == {"a.yaml", "b.yaml"}


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_other_kinds_of_keys(origin: Origin, mirror: Open, ssh: Ssh, signers: Path, kind: str) -> None:
    """What ssh-keygen can verify counts."""
    signers.write_text(f"bob@example.org {ssh.key('bob', kind)}\n")
    signed_commit(origin, ssh.sign("bob"), {"a.yaml": "1"})
    assert judged(mirror(signers=Files(signers))).signer.startswith("bob@example.org (")


def test_nobody_else_counts(origin: Origin, mirror: Open, ssh: Ssh, signers: Path) -> None:
    """Unsigned, or signed by a stranger: refused, and it is said by whose key."""
    origin.commit({"a.yaml": "1"})
    source = mirror(signers=Files(signers))
    assert why(source) == "this commit is not signed, and only signed ones count here"
    signed_commit(origin, ssh.sign("mallory"), {"a.yaml": "2"})
    assert "ssh-ed25519 SHA256:" in why(source)
    assert f"{signers} does not allow" in why(source)


def test_every_branch_has_its_own_signers(origin: Origin, mirror: Open, ssh: Ssh, signers: Path, tmp_path: Path) -> None:
    """Who counts is told from outside for the branch that is followed; a file in the repository changes nothing."""
    (tmp_path / "others").write_text(f"bob@example.org {ssh.key('bob')}\n")
    signed_commit(
        origin,
        ssh.sign("bob"),
        {"a.yaml": "1", ".gitsigners": f"bob@example.org {ssh.key('bob')}\n", "signers": f"* {ssh.key('bob')}\n"},
    )
    git(origin.path, "update-ref", "refs/heads/lab", origin.tip())
    git(origin.path, "config", "gpg.ssh.allowedSignersFile", str(tmp_path / "others"))
    assert "does not allow" in why(mirror(signers=Files(signers)))
    assert judged(mirror(branch="lab", signers=Files(tmp_path / "others"))).problem is None


def test_a_signature_over_something_else(origin: Origin, mirror: Open, ssh: Ssh, signers: Path) -> None:
    """One taken from another commit, and one whose commit was changed afterwards, do not hold."""
    good = signed_commit(origin, ssh.sign("alice"), {"a.yaml": "1"})
    source = mirror(signers=Files(signers))
    assert judged(source).problem is None
    raw = raw_commit(origin, good)
    other = origin.commit({"a.yaml": "2"})
    write_commit(origin, with_signature(raw_commit(origin, other), ssh.sign("alice")(b"something else")))
    assert "does not hold" in why(source)
    write_commit(origin, raw.replace(b"\n\nm", b"\n\nn"))
    assert "does not hold" in why(source)
    tree = raw.split()[1]
    write_commit(origin, raw.replace(tree, raw_commit(origin, other).split()[1]))
    assert "does not hold" in why(source)


def test_a_signature_for_something_else(origin: Origin, mirror: Open, ssh: Ssh, signers: Path) -> None:
    """A signature under another namespace, or with a key allowed for others alone, is none over a commit."""
    signed_commit(origin, ssh.sign("alice", "file"), {"a.yaml": "1"})
    source = mirror(signers=Files(signers))
    assert "made for 'file'" in why(source)
    signers.write_text(f'alice@example.org namespaces="file" {ssh.key("alice")}\n')
    signed_commit(origin, ssh.sign("alice"), {"a.yaml": "2"})
    assert "does not hold" in why(source)
    signers.write_text(f'alice@example.org namespaces="git" {ssh.key("alice")}\n')
    assert judged(source).problem is None


def test_keys_have_their_time(origin: Origin, mirror: Open, ssh: Ssh, signers: Path) -> None:
    """Not valid yet, and valid no longer, at the instant asked about; a date that the commit gives itself says nothing."""
    signers.write_text(f'alice@example.org valid-after="20240101000000",valid-before="20250101000000" {ssh.key("alice")}\n')
    origin.commits = 30_000_000
    signed_commit(origin, ssh.sign("alice"), {"a.yaml": "1"})

    def in_year(year: int) -> float:
        return time.mktime((year, 6, 1, 0, 0, 0, 0, 0, -1))

    assert "not yet valid" in why(mirror(signers=Files(signers)), in_year(2023))
    assert judged(mirror(signers=Files(signers)), in_year(2024)).problem is None
    assert "expired" in why(mirror(signers=Files(signers)), in_year(2025))
    assert "expired" in why(mirror(signers=Files(signers)))


def test_revoked_keys(origin: Origin, mirror: Open, ssh: Ssh, signers: Path, tmp_path: Path) -> None:
    """By a list of public keys and by a KRL, also while they are still among the allowed."""
    signers.write_text(f"alice@example.org {ssh.key('alice')}\nbob@example.org {ssh.key('bob')}\n")
    signed_commit(origin, ssh.sign("alice"), {"a.yaml": "1"})
    (tmp_path / "list").write_text(f"{ssh.key('alice')}\n")
    run("ssh-keygen", "-q", "-k", "-f", str(tmp_path / "krl"), str(ssh.directory / "alice.pub"))
    for name in ("list", "krl"):
        assert "revoked" in why(mirror(signers=Files(signers, tmp_path / name)))
    signed_commit(origin, ssh.sign("bob"), {"a.yaml": "2"})
    for name in ("list", "krl"):
        assert judged(mirror(signers=Files(signers, tmp_path / name))).problem is None


def test_certificates(origin: Origin, mirror: Open, ssh: Ssh, signers: Path) -> None:
    """A key certified by an authority that counts, for the principals the file gives it."""
    authority = ssh.directory / "authority"
    ssh.key("authority")
    ssh.key("alice")
    run("ssh-keygen", "-q", "-s", str(authority), "-I", "id", "-n", "carol@example.org", str(ssh.directory / "alice.pub"))
    certificate = ssh.directory / "alice-cert.pub"
    signed_commit(
        origin,
        lambda payload: run("ssh-keygen", "-Y", "sign", "-n", "git", "-f", str(certificate), stdin=payload),
        {"a.yaml": "1"},
    )
    signers.write_text(f"*@example.org cert-authority {ssh.key('authority')}\n")
    assert judged(mirror(signers=Files(signers))).problem is None
    signers.write_text(f"*@elsewhere.org cert-authority {ssh.key('authority')}\n")
    why(mirror(signers=Files(signers)))
    signers.write_text(f"*@example.org cert-authority {ssh.key('other')}\n")
    why(mirror(signers=Files(signers)))


def test_several_keys_and_patterns(origin: Origin, mirror: Open, ssh: Ssh, signers: Path) -> None:
    """Comments, blank lines, lists and patterns of principals, as ssh-keygen reads them."""
    signers.write_text(f"# who may\n\ndave@example.org {ssh.key('dave')}\nx@a.org,*@example.org {ssh.key('alice')}\n")
    signed_commit(origin, ssh.sign("alice"), {"a.yaml": "1"})
    assert judged(mirror(signers=Files(signers))).problem is None


@pytest.mark.parametrize(
    "content", ["", "\n# nobody\n", "alice@example.org\n", "\0\0\0", "alice@example.org ssh-ed25519 AAAA\n"]
)
def test_a_file_that_allows_nobody(origin: Origin, mirror: Open, ssh: Ssh, signers: Path, content: str) -> None:
    """Empty, or not what ssh-keygen understands: nobody counts, rather than everybody."""
    signers.write_text(content)
    signed_commit(origin, ssh.sign("alice"), {"a.yaml": "1"})
    assert "does not allow" in why(mirror(signers=Files(signers)))


def test_without_the_file_or_the_program_nothing_is_accepted(
    origin: Origin, mirror: Open, ssh: Ssh, signers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be checked is an error that says what to do; when that is done, the commit counts."""
    signed_commit(origin, ssh.sign("alice"), {"a.yaml": "1"})
    source = mirror(signers=Files(signers))
    source.fetch()
    content = signers.read_text()
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path / "nothing"))
        with pytest.raises(SourceError, match=r"ssh-keygen cannot be run .*install it"):
            judged(source)
    signers.unlink()
    with pytest.raises(SourceError, match=r"cannot tell whose commits count from .*No such file"):
        judged(source)
    signers.mkdir()
    with pytest.raises(SourceError, match="cannot tell whose commits count"):
        judged(source)
    signers.rmdir()
    signers.write_text(content)
    signers.chmod(0o666)
    with pytest.raises(SourceError, match="everybody on this machine may write to it"):
        judged(source)
    signers.chmod(0o644)
    assert judged(source).problem is None
    with pytest.raises(SourceError, match="cannot tell whose commits count"):
        judged(mirror(signers=Files(signers, tmp_path / "no-such-list")))


def test_a_program_that_hangs_is_given_up(
    origin: Origin, mirror: Open, ssh: Ssh, signers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends in an error, and not in a yes."""
    signed_commit(origin, ssh.sign("alice"), {"a.yaml": "1"})
    source = mirror(signers=Files(signers))
    source.fetch()
    program = tmp_path / "bin" / "ssh-keygen"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr("reconciler.git.verifiers.DEADLINE_S", 0.2)
    monkeypatch.setenv("PATH", str(program.parent))
    with pytest.raises(SourceError, match="was given up"):
        judged(source)


class Clock(Seams):
    """Ours to move."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead_s


def test_a_revision_is_checked_once(origin: Origin, mirror: Open, ssh: Ssh, signers: Path) -> None:
    """Then it is known; again when the files change, and a refusal also after a while."""
    signed_commit(origin, ssh.sign("alice"), {"a.yaml": "1"})
    clock = Clock()
    source = mirror(signers=Files(signers), seams=clock)
    checks = source._signers
    assert checks is not None
    for _ in range(5):
        assert judged(source).problem is None
    assert checks.checks == 1
    signers.write_text(f"bob@example.org {ssh.key('bob')}\n")
    for _ in range(5):
        assert judged(source).problem is not None
    assert checks.checks == 2
    clock.ahead_s = AGAIN_S
    judged(source)
    assert checks.checks == 3
    signers.write_text(f"alice@example.org {ssh.key('alice')}\n")
    for ahead_s in (0.0, 0.0, AGAIN_S, 10 * AGAIN_S):
        clock.ahead_s += ahead_s
        assert judged(source).problem is None
    assert checks.checks == 4


def test_a_signed_branch_only_goes_forward(origin: Origin, mirror: Open, ssh: Ssh, signers: Path) -> None:
    """Whoever can push cannot bring an old signed commit back; signed commits on top of what is in force are the way back."""
    sign = ssh.sign("alice")
    first = signed_commit(origin, sign, {"a.yaml": "1"})
    second = signed_commit(origin, sign, {"a.yaml": "2"})
    source = mirror(signers=Files(signers))
    assert judged(source, after=first).problem is None
    assert judged(source, after=second).problem is None
    git(origin.path, "update-ref", "refs/heads/main", first)
    assert "does not lead on from" in why(source, after=second)
    signed_commit(origin, sign, {"a.yaml": "3"}, onto=first)
    assert "does not lead on from" in why(source, after=second)
    # To look at another branch is no step back.
    assert judged(source).problem is None
    signed_commit(origin, sign, {"a.yaml": "1"}, onto=second)
    assert judged(source, after=second).problem is None
    assert judged(source, after="folder-0123456789ab").problem is None
    assert "does not lead on" in why(source, after="0123456789" * 4)


def test_the_callers_settings_do_not_count(
    origin: Origin, mirror: Open, ssh: Ssh, signers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs and signers that the user's or the repository's Git settings name are not asked."""
    program = tmp_path / "yes"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\necho 'Good \"git\" signature for alice'\n")
    program.chmod(0o755)
    settings = f'[gpg]\nformat=ssh\n[gpg "ssh"]\nprogram={program}\nallowedSignersFile={tmp_path}/all\n'
    (tmp_path / "config").write_text(settings)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    with (origin.path / "config").open("a") as file:
        file.write(settings)
    signed_commit(origin, ssh.sign("mallory"), {"a.yaml": "1"})
    (tmp_path / "all").write_text(f"* {ssh.key('mallory')}\n")
    assert "does not allow" in why(mirror(signers=Files(signers)))
    assert not (tmp_path / "ran").exists()


def test_replaced_objects_and_grafts_change_nothing(
    origin: Origin, mirror: Open, ssh: Ssh, signers: Path, tmp_path: Path
) -> None:
    """What is checked and what is read are both the commit of that name, whatever the origin or the mirror would put there."""
    good = signed_commit(origin, ssh.sign("alice"), {"a.yaml": "1"})
    bad = origin.commit({"a.yaml": "2"}, branch="bad", onto="")
    for repository in (origin.path, tmp_path / "state" / "mirror"):
        source = mirror(signers=Files(signers))
        assert judged(source).problem is None
        source.close()
        git(origin.path, "push", "-q", str(repository), f"{bad}:refs/heads/bad", f"{good}:refs/heads/good")
        for one, other in ((good, bad), (bad, good)):
            git(repository, "update-ref", f"refs/replace/{one}", other)
            assert git(repository, "log", "--format=%T", one) == git(repository, "log", "--format=%T", other)
            source = mirror(signers=Files(signers))
            assert judged(source).problem is None
            tree = source.tree(good)
            assert source.read(tree.files.values())[tree.files["a.yaml"]] == b"1"
            assert "is not signed" in why(mirror(branch="bad", signers=Files(signers)))
            git(repository, "update-ref", "-d", f"refs/replace/{one}")


def test_a_signed_tag_vouches_for_nothing(origin: Origin, mirror: Open, ssh: Ssh, signers: Path, tmp_path: Path) -> None:
    """An annotated tag of somebody who counts, on the branch's commit or in the branch's place, does not make it signed."""
    revision = origin.commit({"a.yaml": "1"})
    clone = make_clone(origin, tmp_path / "clone")
    git(clone, "config", "gpg.format", "ssh")
    git(clone, "config", "user.signingkey", str(ssh.directory / "alice"))
    git(clone, "tag", "-s", "-m", "good", "main-tag", revision)
    git(clone, "push", "-q", "origin", "main-tag")
    source = mirror(signers=Files(signers))
    assert "is not signed" in why(source)
    tag = git(origin.path, "rev-parse", "main-tag")
    (origin.path / "refs" / "heads" / "main").write_text(f"{tag}\n")
    assert source.fetch() == revision
    assert "is not signed" in why(source)
    # The tag's text in a commit's place.
    text = git(origin.path, "cat-file", "tag", tag).encode()
    body, _, signature = text.partition(b"-----BEGIN SSH SIGNATURE-----")
    subprocess.run(
        ["git", "hash-object", "-w", "-t", "commit", "--stdin", "--literally"],
        cwd=origin.path,
        env=hermetic_environment(),
        input=with_signature(body, b"-----BEGIN SSH SIGNATURE-----" + signature),
        check=True,
        capture_output=True,
    )


@pytest.mark.parametrize("what", ["commit", "tree", "blob"])
def test_what_was_put_under_another_name_is_not_read(
    origin: Origin, mirror: Open, ssh: Ssh, signers: Path, tmp_path: Path, what: str
) -> None:
    """An object in the mirror that is not what its name says is never taken for it: the mirror is made anew."""
    signed_commit(origin, ssh.sign("alice"), {"a.yaml": "1"})
    source = mirror(signers=Files(signers))
    source.fetch()
    signed = signed_commit(origin, ssh.sign("alice"), {"a.yaml": "good"})
    evil = origin.commit({"a.yaml": "evil"}, branch="evil")
    source.fetch()
    source.close()
    place = {"commit": "", "tree": "^{tree}", "blob": ":a.yaml"}[what]
    names = [git(origin.path, "rev-parse", f"{one}{place}") for one in (signed, evil)]
    there = tmp_path / "state" / "mirror" / "objects" / names[0][:2] / names[0][2:]
    assert there.is_file()
    there.chmod(0o600)
    there.write_bytes(loose(origin, names[1]))
    source = mirror(signers=Files(signers))
    read: dict[str, bytes] = {}
    for _ in range(2):
        try:
            assert judged(source).problem is None
            read = contents(source, signed)
        except SourceError:
            continue
    assert read == {"a.yaml": b"good"}


def loose(origin: Origin, name: str) -> bytes:
    """An object as a file of its own holds it."""
    kind, raw = pygit2.Repository(str(origin.path)).odb.read(pygit2.Oid(hex=name))
    word = {1: b"commit", 2: b"tree", 3: b"blob"}[int(kind)]
    return zlib.compress(b"%s %d\0" % (word, len(raw)) + raw)
