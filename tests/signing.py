"""Keys for tests, made by the real ssh-keygen and gpg in directories of their own, and commits signed with them."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pygit2
import pytest

from tests.repos import Content, Origin

Sign = Callable[[bytes], bytes]

needs_ssh_keygen = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="no ssh-keygen here: install openssh-client")
needs_gpg = pytest.mark.skipif(shutil.which("gpg") is None, reason="no gpg here: install gnupg")


def run(*words: str, stdin: bytes = b"") -> bytes:
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C"}
    done = subprocess.run(words, input=stdin, env=environment, capture_output=True, timeout=240, check=False)
    assert done.returncode == 0, f"{words}: {done.stderr.decode()}"
    return done.stdout


@dataclass
class Ssh:
    """SSH keys in one directory."""

    directory: Path
    made: dict[str, str] = field(default_factory=dict)

    def key(self, name: str, kind: str = "ed25519") -> str:
        """The public key, as it stands in an allowed-signers file; made when it is first named."""
        path = self.directory / name
        if name not in self.made:
            run("ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "", "-f", str(path))
            self.made[name] = " ".join(path.with_suffix(".pub").read_text().split()[:2])
        return self.made[name]

    def sign(self, name: str, namespace: str = "git") -> Sign:
        self.key(name)
        return lambda payload: run("ssh-keygen", "-Y", "sign", "-n", namespace, "-f", str(self.directory / name), stdin=payload)


@dataclass
class Gpg:
    """One person's GnuPG: secret keys and all."""

    home: Path

    def gpg(self, *words: str, stdin: bytes = b"", at: int | None = None) -> bytes:
        clock = ("--faked-system-time", f"{at}!") if at is not None else ()
        return run("gpg", "--homedir", str(self.home), "--batch", "--quiet", "--no-tty", *clock, *words, stdin=stdin)

    def key(self, who: str, expires: str = "never", at: int | None = None) -> str:
        """Make a key; gives its fingerprint."""
        self.gpg("--passphrase", "", "--quick-generate-key", who, "ed25519", "sign", expires, at=at)
        listed = self.gpg("--with-colons", "--fingerprint", f"={who}", at=at).decode()
        return next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:"))

    def revoke(self, fingerprint: str) -> None:
        """By the certificate that GnuPG makes with every key; it must be unlocked by taking a colon away."""
        certificate = (self.home / "openpgp-revocs.d" / f"{fingerprint}.rev").read_bytes()
        self.gpg("--import", stdin=certificate.replace(b":-----BEGIN", b"-----BEGIN"))

    def sign(self, who: str, *words: str, at: int | None = None) -> Sign:
        words = words or ("--armor", "--detach-sign")
        return lambda payload: self.gpg("--local-user", who, *words, "--output", "-", stdin=payload, at=at)

    def export(self, *who: str) -> bytes:
        return self.gpg("--armor", "--export", *who)


@contextmanager
def gnupg() -> Iterator[Gpg]:
    """A GnuPG home on a short path (its agent's socket has at most 107 bytes), without an agent in the end."""
    home = Path(tempfile.mkdtemp(prefix="cgpg-"))
    try:
        yield Gpg(home)
    finally:
        run("gpgconf", "--homedir", str(home), "--kill", "all")
        shutil.rmtree(home, ignore_errors=True)


def with_signature(raw: bytes, signature: bytes, header: bytes = b"gpgsig") -> bytes:
    """The commit object with this signature in its header, where git puts it."""
    head, _, message = raw.partition(b"\n\n")
    return head + b"\n" + header + b" " + signature.rstrip(b"\n").replace(b"\n", b"\n ") + b"\n\n" + message


def raw_commit(origin: Origin, revision: str) -> bytes:
    repository = pygit2.Repository(str(origin.path))
    return repository.odb.read(pygit2.Oid(hex=revision))[1]


def write_commit(origin: Origin, raw: bytes, branch: str = "main") -> str:
    """Put a commit object, whatever it says, on a branch."""
    repository = pygit2.Repository(str(origin.path))
    id = repository.odb.write(pygit2.enums.ObjectType.COMMIT, raw)
    path = origin.path / "refs" / "heads" / branch
    path.write_text(f"{id}\n")
    return str(id)


def signed_commit(origin: Origin, sign: Sign, files: dict[str, Content], *, onto: str | None = None, message: str = "m") -> str:
    """A commit on main, signed."""
    raw = raw_commit(origin, origin.commit(files, onto=onto, message=message))
    return write_commit(origin, with_signature(raw, sign(raw)))
