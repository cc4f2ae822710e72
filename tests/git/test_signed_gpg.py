"""Commits signed with GPG keys: only those in the given keyring, by gpg's status lines alone, whatever the user's own holds."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from reconciler.git import Files, SourceError
from reconciler.git.verifiers import Refused, Rules, by_gpg
from tests.git.conftest import Open
from tests.git.test_signed_ssh import judged, why
from tests.repos import Origin, git, make_clone
from tests.signing import Gpg, gnupg, needs_gpg, raw_commit, signed_commit, with_signature, write_commit

pytestmark = needs_gpg

ALICE, BOB, MALLORY = "Alice <alice@example.org>", "Bob <bob@example.org>", "Mallory <mallory@example.org>"
# A key that was valid in November 2023 alone.
SHORT, MADE_AT, USED_AT = "Short <short@example.org>", 1_700_000_000, 1_700_100_000
HOSTILE = "x\n[GNUPG:] GOODSIG 0123456789ABCDEF Alice\n[GNUPG:] VALIDSIG"


@pytest.fixture(scope="module")
def home() -> Iterator[Gpg]:
    with gnupg() as made:
        for who in (ALICE, BOB, MALLORY):
            made.key(who)
        made.key(SHORT, "20d", at=MADE_AT)
        yield made


@pytest.fixture
def keyring(home: Gpg, tmp_path: Path) -> Path:
    path = tmp_path / "keys.asc"
    path.write_bytes(home.export(ALICE, BOB, SHORT))
    return path


def test_a_commit_of_somebody_who_counts(origin: Origin, mirror: Open, home: Gpg, keyring: Path) -> None:
    """By a key of the exported ones, armoured or not."""
    revision = signed_commit(origin, home.sign(ALICE), {"a.yaml": "1"})
    source = mirror(signers=Files(gpg=keyring))
    said = judged(source)
    assert said.problem is None, said.problem
    assert said.signer.startswith(f"{ALICE} (")
    assert list(source.tree(revision).files) == ["a.yaml"]
    keyring.write_bytes(home.gpg("--export", ALICE))
    assert judged(mirror(signers=Files(gpg=keyring))).problem is None


def test_what_git_itself_signs(origin: Origin, mirror: Open, home: Gpg, keyring: Path, tmp_path: Path) -> None:
    """`git commit -S` is understood."""
    signed_commit(origin, home.sign(ALICE), {"a.yaml": "1"})
    clone = make_clone(origin, tmp_path / "clone")
    program = tmp_path / "gpg"
    program.write_text(f'#!/bin/sh\nexec gpg --homedir {home.home} "$@"\n')
    program.chmod(0o755)
    git(clone, "config", "gpg.program", str(program))
    git(clone, "config", "user.signingkey", "alice@example.org")
    git(clone, "commit", "-q", "--allow-empty", "-S", "-m", "by git")
    git(clone, "push", "-q", "origin", "main")
    assert b"BEGIN PGP SIGNATURE" in raw_commit(origin, origin.tip())
    assert judged(mirror(signers=Files(gpg=keyring))).problem is None


def test_nobody_else_counts(origin: Origin, mirror: Open, home: Gpg, keyring: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger's key is refused, also when the user's own keyring holds it, and nothing is written there."""
    signed_commit(origin, home.sign(MALLORY), {"a.yaml": "1"})
    monkeypatch.setenv("GNUPGHOME", str(home.home))
    before = {path.name: path.stat().st_mtime_ns for path in home.home.iterdir()}
    assert "does not hold" in why(mirror(signers=Files(gpg=keyring)))
    assert {path.name: path.stat().st_mtime_ns for path in home.home.iterdir()} == before
    monkeypatch.setenv("HOME", str(home.home))
    assert f"which {keyring} does not hold" in why(mirror(signers=Files(gpg=keyring)))


def test_the_other_kind_of_signature_needs_its_own_keys(origin: Origin, mirror: Open, home: Gpg, keyring: Path) -> None:
    """With SSH signers alone a GPG signature counts for nothing, and the other way round."""
    signed_commit(origin, home.sign(ALICE), {"a.yaml": "1"})
    assert "only those of --signers" in why(mirror(signers=Files(ssh=keyring)))
    raw = raw_commit(origin, origin.commit({"a.yaml": "2"}))
    write_commit(origin, with_signature(raw, b"-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----"))
    assert "only those of --gpg-keyring" in why(mirror(signers=Files(gpg=keyring)))
    write_commit(origin, with_signature(raw, b"-----BEGIN SIGNED MESSAGE-----\nAAAA\n-----END SIGNED MESSAGE-----"))
    assert "neither SSH's nor GPG's" in why(mirror(signers=Files(gpg=keyring)))


def test_a_signature_over_something_else(origin: Origin, mirror: Open, home: Gpg, keyring: Path) -> None:
    """Changed afterwards, or taken from another commit."""
    good = signed_commit(origin, home.sign(ALICE), {"a.yaml": "1"})
    raw = raw_commit(origin, good)
    write_commit(origin, raw.replace(b"\n\nm", b"\n\nn"))
    source = mirror(signers=Files(gpg=keyring))
    assert "over something else" in why(source)
    other = raw_commit(origin, origin.commit({"a.yaml": "2"}))
    write_commit(origin, with_signature(other, home.sign(ALICE)(b"something else")))
    assert "over something else" in why(source)


def test_keys_have_their_time(origin: Origin, mirror: Open, home: Gpg, keyring: Path) -> None:
    """A key counts from its making to its end, by our clock and not by what the signature says."""
    signed_commit(origin, home.sign(SHORT, at=USED_AT), {"a.yaml": "1"})
    assert judged(mirror(signers=Files(gpg=keyring)), USED_AT + 60).problem is None
    assert "expired" in why(mirror(signers=Files(gpg=keyring)))
    assert "does not hold" in why(mirror(signers=Files(gpg=keyring)), MADE_AT - 86400)


def test_signatures_have_their_time(origin: Origin, mirror: Open, home: Gpg, keyring: Path) -> None:
    """One that says itself that it ends counts until then."""
    expiring = ("--default-sig-expire", "1d", "--armor", "--detach-sign")
    at = int(time.time())
    signed_commit(origin, home.sign(ALICE, *expiring, at=at), {"a.yaml": "1"})
    assert judged(mirror(signers=Files(gpg=keyring)), at + 60).problem is None
    assert "has expired" in why(mirror(signers=Files(gpg=keyring)), at + 3 * 86400)


def test_revoked_keys(origin: Origin, mirror: Open, keyring: Path) -> None:
    """A key that is revoked in the keyring counts no more, whenever it signed."""
    with gnupg() as own:
        key = own.key(ALICE)
        signed_commit(origin, own.sign(ALICE), {"a.yaml": "1"})
        keyring.write_bytes(own.export(ALICE))
        source = mirror(signers=Files(gpg=keyring))
        assert judged(source).problem is None
        own.revoke(key)
        keyring.write_bytes(own.export(ALICE))
    assert "revoked" in why(source)


def test_kinds_of_signatures_that_prove_too_little(origin: Origin, mirror: Open, home: Gpg, keyring: Path) -> None:
    """A text signature (line ends may change under it), a weak digest, a signed message in its place, two at once."""
    text = ("--armor", "--textmode", "--detach-sign")
    signed_commit(origin, home.sign(ALICE, *text), {"a.yaml": "1"})
    source = mirror(signers=Files(gpg=keyring))
    assert "class 01" in why(source)
    rsa = "Weak <weak@example.org>"
    home.gpg("--passphrase", "", "--quick-generate-key", rsa, "rsa2048", "sign", "never")
    keyring.write_bytes(home.export(ALICE, BOB, rsa))
    weak = ("--digest-algo", "SHA1", "--armor", "--detach-sign")
    signed_commit(origin, home.sign(rsa, *weak), {"a.yaml": "2"})
    assert "digest 2" in why(source)
    signed_commit(origin, home.sign(ALICE, "--local-user", BOB, "--armor", "--detach-sign"), {"a.yaml": "3"})
    assert "does not hold" in why(source)
    raw = raw_commit(origin, origin.commit({"a.yaml": "4"}))
    message = home.sign(ALICE, "--armor", "--sign")(raw)
    write_commit(origin, with_signature(raw, message.replace(b"PGP MESSAGE", b"PGP SIGNATURE")))
    assert "does not hold" in why(source)
    write_commit(origin, with_signature(raw, message))
    assert "neither SSH's nor GPG's" in why(source)


def test_words_that_a_stranger_chose_are_words(origin: Origin, mirror: Open, home: Gpg, keyring: Path) -> None:
    """A user id, a notation or a comment that look like gpg's own status lines change no verdict and no line of ours."""
    uid = f"Eve {HOSTILE.replace(chr(10), ' ')} <eve@example.org>"
    home.key(uid)
    keyring.write_bytes(home.export(ALICE))
    signed_commit(origin, home.sign(uid), {"a.yaml": "1"})
    source = mirror(signers=Files(gpg=keyring))
    assert "does not hold" in why(source)
    keyring.write_bytes(home.export(ALICE, uid))
    notation = ("--set-notation", f"x@example.org={HOSTILE.replace(chr(10), ' ')}", "--armor", "--detach-sign")
    signed_commit(origin, home.sign(uid, *notation), {"a.yaml": "2"})
    said = judged(source)
    assert said.problem is None
    assert said.signer.isprintable()
    assert said.signer.startswith("Eve x [GNUPG:] GOODSIG 0123456789ABCDEF Alice [GNUPG:] VALIDSIG <eve@example.org> (")
    raw = raw_commit(origin, origin.commit({"a.yaml": "3"}))
    bad = home.sign(MALLORY, *notation)(raw)
    for text in (
        bad,
        bad.replace(b"SIGNATURE-----\n", f"SIGNATURE-----\nComment: {HOSTILE}\n".encode(), 1),
        b"[GNUPG:] GOODSIG 0123456789ABCDEF Alice\n" + bad,
        bad + b"\n[GNUPG:] GOODSIG 0123456789ABCDEF Alice",
        bad + home.sign(ALICE)(raw),
        home.sign(ALICE)(raw) + bad,
    ):
        write_commit(origin, with_signature(raw, text))
        assert judged(source).signer == ""
        assert judged(source).problem is not None


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n-----END PGP PUBLIC KEY BLOCK-----\n"]
)
def test_a_keyring_that_holds_nobody(origin: Origin, mirror: Open, home: Gpg, keyring: Path, content: bytes) -> None:
    """Nobody counts, rather than everybody."""
    signed_commit(origin, home.sign(ALICE), {"a.yaml": "1"})
    keyring.write_bytes(content)
    assert "does not hold" in why(mirror(signers=Files(gpg=keyring)))


def test_without_the_program_nothing_is_accepted(
    origin: Origin, mirror: Open, home: Gpg, keyring: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said what to install, and once it is there the commit counts."""
    signed_commit(origin, home.sign(ALICE), {"a.yaml": "1"})
    source = mirror(signers=Files(gpg=keyring))
    source.fetch()
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        with pytest.raises(SourceError, match=r"gpg cannot be run .*install it \(Debian: gnupg\)"):
            judged(source)
    assert judged(source).problem is None


@pytest.mark.slow
def test_programs_that_lie_in_human_words_are_not_believed(tmp_path: Path, home: Gpg, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only status lines on their own descriptor count, all of them welcome, with an exit code of nought."""
    payload = b"payload"
    signature = home.sign(MALLORY)(payload)
    keyring = Rules(tmp_path / "keys", home.export(ALICE))
    good = "[GNUPG:] NEWSIG\n[GNUPG:] GOODSIG 0123456789ABCDEF Alice\n[GNUPG:] VALIDSIG " + "A" * 40
    good += " 2024-01-01 1 0 4 0 22 10 00 " + "A" * 40 + "\n"
    program = tmp_path / "bin" / "gpg"
    program.parent.mkdir()

    def verdict(said: str, status: int = 0, where: str = "") -> str:
        """Of a gpg that says this, to its status descriptor or elsewhere, and ends so."""
        lines = [
            f"#!{sys.executable} -I",
            "import os, sys",
            "at = sys.argv.index('--status-fd') if '--status-fd' in sys.argv else 0",
            f"os.write({where or 'int(sys.argv[at + 1]) if at else 2'}, {said.encode()!r})",
            f"sys.exit({status})",
        ]
        program.write_text("\n".join(lines))
        program.chmod(0o755)
        try:
            return by_gpg(signature, payload, keyring, time.time())
        except Refused:
            return "refused"

    monkeypatch.setenv("PATH", str(program.parent))
    assert verdict(good) == f"Alice ({'A' * 40})"
    assert verdict(good, 1) == "refused"
    assert verdict(good, where="1") == "refused"
    assert verdict(good, where="2") == "refused"
    assert verdict("") == "refused"
    for more in (
        "[GNUPG:] BADSIG 0123456789ABCDEF x",
        "[GNUPG:] ERRSIG 0123456789ABCDEF 1 2 3 4 9",
        "[GNUPG:] NEWSIG",
        "[GNUPG:] GOODSIG 0123456789ABCDEF Bob",
        "[GNUPG:] EXPKEYSIG 0123456789ABCDEF Bob",
        "[GNUPG:] REVKEYSIG 0123456789ABCDEF Bob",
        "[GNUPG:] EXPSIG 0123456789ABCDEF Bob",
        "[GNUPG:] NO_PUBKEY 0123456789ABCDEF",
        "[GNUPG:] PLAINTEXT 62 1 x",
        "[GNUPG:] SOMETHING_NEW",
        "gpg: Good signature",
        "",
    ):
        assert verdict(good + more + "\n") == "refused", more
        assert verdict(more + "\n" + good) == "refused", more
    for damaged in (good.replace("VALIDSIG", "VALIDSIX"), good.replace("A" * 40, "A" * 39), good.replace(" 00 ", " 01 ")):
        assert verdict(damaged) == "refused"


def test_nothing_is_left_behind(
    origin: Origin, mirror: Open, home: Gpg, keyring: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file of a check, and no process, outlives it."""
    signed_commit(origin, home.sign(ALICE), {"a.yaml": "1"})
    source = mirror(signers=Files(gpg=keyring))
    source.fetch()
    (tmp_path / "t").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "t"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "t"))
    assert judged(source).problem is None
    assert list((tmp_path / "t").iterdir()) == []
    running = [" ".join(one.info["cmdline"] or ()) for one in psutil.process_iter(["cmdline"])]
    assert not [line for line in running if str(tmp_path / "t") in line]
