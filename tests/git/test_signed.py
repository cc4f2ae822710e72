"""How a signed commit is taken apart: as git does where git writes it, and not at all where two readers could differ."""

import contextlib
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.git import verifiers
from reconciler.git.signed import LONGEST_SIGNATURE, Malformed, SshKey, printable, ssh_key, take_apart
from reconciler.git.verifiers import Rules, by_ssh
from tests.repos import Origin, hermetic_environment
from tests.signing import with_signature

TREE = b"tree " + b"a" * 40
PARENTS = b"parent " + b"b" * 40 + b"\nparent " + b"c" * 40
PEOPLE = b"author A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000"
PAYLOAD = TREE + b"\n" + PARENTS + b"\n" + PEOPLE + b"\n\nmessage\n\ngpgsig not one\n more\n"
ARMOURED = b"-----BEGIN PGP SIGNATURE-----\n\nabc=\n-----END PGP SIGNATURE-----"
WRITTEN = with_signature(PAYLOAD, ARMOURED)


def test_both_halves_are_what_was_put_together() -> None:
    """The commit without its signature, to the byte, and the signature; where there is none, the commit itself."""
    signed = take_apart(WRITTEN)
    assert (signed.payload, signed.signature, signed.tree) == (PAYLOAD, ARMOURED, "a" * 40)
    assert take_apart(PAYLOAD).payload == PAYLOAD
    assert take_apart(PAYLOAD).signature == b""
    tagged = PAYLOAD.replace(
        b"\n\nmessage", b"\nmergetag object x\n type commit\n gpgsig y\n -----BEGIN\nencoding x\n\nmessage"
    )
    assert take_apart(with_signature(tagged, ARMOURED)).payload == tagged
    assert take_apart(with_signature(tagged, ARMOURED)).signature == ARMOURED


@given(message=st.binary(max_size=200), signature=st.lists(st.binary(max_size=20), min_size=1, max_size=5))
def test_any_message_and_signature(message: bytes, signature: list[bytes]) -> None:
    """Whatever stands in them."""
    payload = TREE + b"\n" + PEOPLE + b"\n\n" + message
    text = b"\n".join(line.replace(b"\n", b"").replace(b"\r", b"") for line in signature) + b"."
    signed = take_apart(with_signature(payload, text))
    assert (signed.payload, signed.signature) == (payload, text)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\n\nmessage",
        PEOPLE + b"\n\nm",
        with_signature(WRITTEN, ARMOURED),
        WRITTEN.replace(b"\n\nmessage", b"\ngpgsig-sha256 x\n\nmessage"),
        WRITTEN.replace(b"\n\nmessage", b"\n" + TREE + b"\n\nmessage"),
        WRITTEN.replace(TREE + b"\n", TREE + b"\n" + TREE + b"\n"),
        WRITTEN.replace(b"\n\nmessage", b"\nparent " + b"d" * 40 + b"\n\nmessage"),
        WRITTEN.replace(b"author A", b"parent " + b"d" * 39 + b"\nauthor A"),
        b"gpgsig x\n" + PAYLOAD,
        WRITTEN.replace(b"tree a", b"tree A"),
        WRITTEN.replace(b"tree ", b" tree "),
        with_signature(PAYLOAD, b"x" * (LONGEST_SIGNATURE + 1)),
        PAYLOAD.replace(b"\n", b"\r\n"),
        b"object " + b"a" * 40 + b"\ntype commit\ntag v1\n\nmessage",
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(raw: bytes) -> None:
    """A second signature, tree or parent, or one where no reader looks; and what is no commit."""
    with pytest.raises(Malformed):
        take_apart(raw)


@given(st.binary(max_size=300))
def test_garbage_is_refused_and_nothing_else_happens(garbage: bytes) -> None:
    """Any bytes in any place give an answer or Malformed."""
    for raw in (garbage, TREE + b"\n" + garbage, WRITTEN[:90] + garbage + WRITTEN[90:], with_signature(PAYLOAD, garbage)):
        with contextlib.suppress(Malformed):
            take_apart(raw)
    with pytest.raises(Malformed):
        ssh_key(b"-----BEGIN SSH SIGNATURE-----\n" + garbage + b"\n-----END SSH SIGNATURE-----")
    assert printable(garbage).isprintable()


def test_git_reads_the_same(origin: Origin) -> None:
    """What is taken for the payload is what git hands to a verifier."""
    revision = origin.commit({"a.yaml": "1"})
    raw = subprocess.run(
        ["git", "cat-file", "commit", revision], cwd=origin.path, env=hermetic_environment(), capture_output=True
    )
    program = origin.path / "verifier"
    program.write_text(
        f'#!/bin/sh\ncat >{origin.path}/payload\ncp "$(for one; do [ -f "$one" ] && echo "$one"; done)" {origin.path}/sig\n'
    )
    program.chmod(0o755)
    done = subprocess.run(
        ["git", "hash-object", "-w", "-t", "commit", "--stdin"],
        cwd=origin.path,
        env=hermetic_environment(),
        input=with_signature(raw.stdout, ARMOURED),
        capture_output=True,
        check=True,
    )
    words = ["git", "-c", f"gpg.program={program}", "verify-commit", done.stdout.decode().strip()]
    subprocess.run(words, cwd=origin.path, env=hermetic_environment(), capture_output=True, check=False)
    signed = take_apart(with_signature(raw.stdout, ARMOURED))
    assert (origin.path / "payload").read_bytes() == signed.payload == raw.stdout
    assert (origin.path / "sig").read_bytes().rstrip(b"\n") == signed.signature


def test_verifiers_know_nothing_of_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting, agent, display or secret of our environment reaches them."""
    program = tmp_path / "bin" / "ssh-keygen"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n/usr/bin/env >{tmp_path}/env\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    for name in ("TOKEN", "GNUPGHOME", "SSH_AUTH_SOCK", "DISPLAY", "GIT_DIR", "SSH_SK_PROVIDER", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, "/secret")
    monkeypatch.setattr(verifiers, "ssh_key", lambda _: SshKey("ssh-ed25519 SHA256:x", "git"))
    with pytest.raises(verifiers.Refused):
        by_ssh(b"", b"", Rules(tmp_path / "signers", b""), None, 0.0)
    names = {line.partition("=")[0] for line in (tmp_path / "env").read_text().splitlines()}
    assert names - {"PWD", "SHLVL", "_", "OLDPWD"} <= {"PATH", "TMPDIR", "TZ", "LC_ALL", "HOME"}
    assert "/secret" not in (tmp_path / "env").read_text()
