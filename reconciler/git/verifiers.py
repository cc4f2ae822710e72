"""Asks ssh-keygen and gpg whether a signature is over these bytes, by their exit codes and status lines alone."""

import re
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes

from reconciler.git.command import plain_environment
from reconciler.git.signed import GPG, Malformed, printable, ssh_key
from reconciler.git.source import SourceError

# Both take some milliseconds; what takes longer hangs.
DEADLINE_S = 20.0
# What git signs under: https://git-scm.com/docs/git-config#Documentation/git-config.txt-gpgformat
NAMESPACE = "git"
# https://github.com/gpg/gnupg/blob/master/doc/DETAILS: what gpg says of one good signature, and nothing else.
WELCOME = re.compile(
    r"NEWSIG|KEY_CONSIDERED|SIG_ID|GOODSIG|VALIDSIG|TRUST_[A-Z]+|KEYEXPIRED|NOTATION_[A-Z]+|POLICY_URL|"
    r"VERIFICATION_COMPLIANCE_MODE"
)
# RFC 9580, 9.5: MD5, SHA-1 and RIPEMD-160 can be made to collide.
WEAK_DIGESTS = ("1", "2", "3")
BINARY_DOCUMENT = "00"


class Refused(Exception):
    """Nobody who counts has signed this; the message goes on from "this commit"."""


@dataclass(frozen=True, slots=True)
class Rules:
    """A file that says whose signatures count, as it was read."""

    path: Path
    content: bytes


@dataclass(frozen=True, slots=True)
class Ran:
    status: int
    out: bytes
    said: str


def run(words: list[str], stdin: bytes, status_file: int | None = None) -> Ran:
    """Run one of the two without anybody's settings; raises SourceError when it is not there or does not end."""
    fds = () if status_file is None else (status_file,)
    try:
        done = subprocess.run(
            words,
            input=stdin,
            capture_output=True,
            env=plain_environment(),
            cwd="/",
            timeout=DEADLINE_S,
            pass_fds=fds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SourceError(f"cannot check signatures: {words[0]} was given up after {DEADLINE_S:g} s without an end") from None
    except OSError as error:
        package = "openssh-client" if words[0] == "ssh-keygen" else "gnupg"
        why = f"{words[0]} cannot be run ({error.strerror or error})"
        raise SourceError(f"cannot check signatures: {why}; install it (Debian: {package})") from error
    return Ran(done.returncode, done.stdout, printable(b"; ".join(done.stderr.strip().splitlines()), 300))


def by_ssh(signature: bytes, payload: bytes, signers: Rules, revoked: Rules | None, at: float) -> str:
    """The signer, as the allowed-signers file calls them; raises Refused, Malformed or SourceError.

    The file is ssh-keygen's own: https://man.openbsd.org/ssh-keygen#ALLOWED_SIGNERS. `at` (Unix seconds) is the instant at
    which a key has to be valid.
    """
    key = ssh_key(signature)
    with tempfile.TemporaryDirectory(prefix="convoy-signers-") as name:
        directory = Path(name)
        gone = revoked.content if revoked is not None else b""
        for part, content in (("signers", signers.content), ("signature", signature), ("revoked", gone)):
            (directory / part).write_bytes(content)
        # ssh-keygen reads times without a zone in its own one, in this option as in the file.
        when = f"-Overify-time={time.strftime('%Y%m%d%H%M%S', time.localtime(at))}"
        known = ["-f", str(directory / "signers"), "-s", str(directory / "signature"), when]
        found = run(["ssh-keygen", "-Y", "find-principals", *known], b"")
        said = found.said
        for principal in found.out.decode("utf-8", "replace").splitlines() if found.status == 0 else ():
            verify = ["ssh-keygen", "-Y", "verify", "-n", NAMESPACE, "-I", principal, *known]
            ran = run([*verify, *(["-r", str(directory / "revoked")] if revoked is not None else [])], payload)
            if ran.status == 0:
                return f"{printable(principal.encode())} ({key.fingerprint})"
            if revoked is not None and run(verify, payload).status == 0:
                raise Refused(f"is signed with {key.fingerprint}, which {revoked.path} revokes")
            said = ran.said
    said = said.replace(str(directory / "signers"), str(signers.path)).replace(str(directory), "")
    if key.namespace != NAMESPACE:
        raise Refused(f"has a signature made for {key.namespace!r}, not for commits")
    if found.status != 0:
        raise Refused(f"is signed with {key.fingerprint}, which {signers.path} does not allow ({said})")
    raise Refused(f"has a signature with {key.fingerprint} that does not hold ({said or 'ssh-keygen does not say why'})")


def by_gpg(signature: bytes, payload: bytes, keyring: Rules, at: float) -> str:
    """The signer, as the key names them; raises Refused, Malformed or SourceError. The keys are all that gpg gets to know."""
    if not GPG.fullmatch(signature):
        raise Malformed("has a GPG signature that cannot be read")
    with tempfile.TemporaryDirectory(prefix="convoy-signers-") as name, tempfile.TemporaryFile() as status:
        directory = Path(name)
        for part, content in (("keys", keyring.content), ("signature", signature)):
            (directory / part).write_bytes(content)
        gpg = ["gpg", "--homedir", name, "--no-options", "--batch", "--no-tty", "--no-autostart", "--disable-dirmngr"]
        gpg += ["--no-auto-key-retrieve", "--no-auto-check-trustdb", "--trust-model", "always", "--quiet"]
        gpg += ["--faked-system-time", str(int(at))]
        run([*gpg, "--import", str(directory / "keys")], b"")
        ran = run(
            [*gpg, "--status-fd", str(status.fileno()), "--verify", str(directory / "signature"), "-"], payload, status.fileno()
        )
        status.seek(0)
        said = _lines(status.read(1024 * 1024))
    return _signer(said, ran, keyring.path)


def _lines(status: bytes) -> list[list[str]]:
    """gpg's status lines, as words; a line that is none is an empty one, which nothing allows."""
    prefix = b"[GNUPG:] "
    lines = status.decode("utf-8", "replace").removesuffix("\n").split("\n")
    return [line.removeprefix(prefix.decode()).split(" ") if line.startswith(prefix.decode()) else [""] for line in lines]


def _signer(said: list[list[str]], ran: Ran, file: Path) -> str:
    keys = [line[0] for line in said]
    words = {line[0]: line for line in said}
    if "REVKEYSIG" in words:
        raise Refused(f"is signed with the key {_id(words['REVKEYSIG'])}, which is revoked in {file}")
    if "EXPKEYSIG" in words:
        raise Refused(f"is signed with the key {_id(words['EXPKEYSIG'])}, which has expired by {file}")
    if "EXPSIG" in words:
        raise Refused(f"has a signature with the key {_id(words['EXPSIG'])} that has expired")
    if "BADSIG" in words:
        raise Refused(f"has a signature with the key {_id(words['BADSIG'])} that is over something else")
    if "NO_PUBKEY" in words:
        raise Refused(f"is signed with the key {_id(words['NO_PUBKEY'])}, which {file} does not hold")
    valid = words.get("VALIDSIG", [])
    once = all(keys.count(key) == 1 for key in ("NEWSIG", "GOODSIG", "VALIDSIG"))
    if ran.status != 0 or not once or len(valid) < 11 or not all(WELCOME.fullmatch(key) for key in keys):
        raise Refused(f"has a GPG signature that does not hold ({ran.said or 'gpg does not say why'})")
    fingerprint, digest, of_what = valid[-1], valid[8], valid[9]
    if of_what != BINARY_DOCUMENT or digest in WEAK_DIGESTS or not re.fullmatch(r"[0-9A-F]{40,64}", fingerprint):
        raise Refused(f"has a GPG signature of a kind that proves too little (class {of_what}, digest {digest})")
    return f"{printable(unquote_to_bytes(' '.join(words['GOODSIG'][2:])))} ({fingerprint})"


def _id(line: list[str]) -> str:
    return line[1] if len(line) > 1 and re.fullmatch(r"[0-9A-F]{8,64}", line[1]) else "?"
