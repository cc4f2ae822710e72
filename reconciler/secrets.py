"""Secrets: sealed with age for Git to hold, opened here alone, and every opening names its purpose and is recorded."""

import base64
import hashlib
import hmac
import os
import stat
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyrage  # type: ignore[import-untyped]

from reconciler.addressed import split
from reconciler.core.kinds.sealed import Ciphertext, Sealed
from reconciler.core.model import Ref
from reconciler.core.show_layout import harmless
from reconciler.seams import Seams

IDENTITY_FILE = "age-identity.txt"
# An identity file holds a line per key. One this large is some other file, and must not be read into memory.
MOST_IDENTITY_BYTES = 1 << 20
# Hashes remembered: more than any fleet has secrets.
MOST_KNOWN = 100_000

Record = Callable[[Ref, str], None]


class SecretError(Exception):
    """A secret could not be sealed or opened. The message never holds any of it."""


class Keys(NamedTuple):
    """An age key pair: who has `identity` can open what was sealed for `recipient`."""

    identity: str
    recipient: str


def keygen() -> Keys:
    """A new X25519 key pair."""
    identity = pyrage.x25519.Identity.generate()
    return Keys(str(identity), str(identity.to_public()))


def write_identity(path: Path, keys: Keys, seams: Seams) -> None:
    """Put the identity where `Opener.from_file` looks, as the `age` tool writes it; never over one that is there."""
    seams.point("secrets.write", path)
    text = f"# public key: {keys.recipient}\n{keys.identity}\n"
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(file, "w", encoding="ascii") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
    except FileExistsError:
        raise SecretError(f"{path} is there already: what was sealed for it opens with nothing else, so it is kept") from None
    except OSError as error:
        raise SecretError(f"cannot write the age identity {path}: {error.strerror}") from error


def recipient(identity: str) -> str:
    """The recipient that this identity opens for."""
    return str(_identity(identity, "it").to_public())


def encrypt(plaintext: bytes, recipients: Iterable[str]) -> str:
    """Age's armour around it, for every one of `recipients` (`age1…`), another each time; raises SecretError."""
    public = []
    for number, text in enumerate(recipients, 1):
        try:
            public.append(pyrage.x25519.Recipient.from_str(text.strip()))
        except pyrage.RecipientError as error:
            # What was pasted here by mistake may be an identity: it is not repeated.
            raise SecretError(f"recipient {number} is no age recipient ({error}): it looks like age1…") from None
    if not public:
        raise SecretError("cannot seal for nobody: name at least one age recipient (age1…)")
    return str(pyrage.encrypt(plaintext, public, armored=True).decode("ascii"))


def seal(plaintext: bytes, recipients: Iterable[str], hash_key: bytes | None) -> Sealed:
    """Seal for every one of `recipients`; raises SecretError when one is none, or there is none at all.

    The keyed hash beside the ciphertext tells whether the plaintext is another. Without a key the hash is drawn by lot, and
    the same secret sealed once more counts as another.
    """
    hash = unkeyed_hash() if hash_key is None else keyed_hash(plaintext, hash_key)
    return Sealed(age=encrypt(plaintext, recipients), hash=hash)


def keyed_hash(plaintext: bytes, hash_key: bytes) -> str:
    """HMAC-SHA256 in hexadecimal: tells equal secrets from different ones to those who have the key, and nothing to others."""
    return hmac.new(hash_key, plaintext, hashlib.sha256).hexdigest()


class Opener:
    """Opens sealed secrets with the identities it has. Thread-safe.

    `record` is told of every opening before the value is handed out (which ref, for what); what it raises prevents it.
    """

    def __init__(self, identities: Sequence[str], record: Record, *, lacking: str = "this Opener has no age identity") -> None:
        self._identities = [_identity(text, f"identity {number}") for number, text in enumerate(identities, 1)]
        self.record = record
        self._lacking = lacking
        # Hash beside a ciphertext ⇒ what this process knows the plaintext by. The key is nobody else's, and goes with us.
        self._own_key = os.urandom(32)
        self._known: OrderedDict[str, str] = OrderedDict()

    @classmethod
    def from_file(cls, path: Path, record: Record, seams: Seams | None = None) -> "Opener":
        """An Opener that reads its identities from this file whenever it opens something, so that one may be added later."""
        return _FromFile(path, record, seams or Seams())

    def open(self, ref: Ref, sealed: Ciphertext, purpose: str, to: str = "") -> bytes:
        """The plaintext, for this purpose only; raises SecretError when it cannot be opened.

        `to`: the origin that it will be sent to. What is sealed for one opens for that one and nothing else, and what is sent
        to one has to be sealed for it: whoever may write the address beside it is not asked.
        """
        plaintext = self._decrypted(ref, sealed)
        sealed_for, secret = split(plaintext)
        if sealed_for != to:
            raise SecretError(_not_for(ref, sealed_for, to))
        self._same(ref, sealed, plaintext)
        self.record(ref, purpose)
        return secret

    def open_whole(self, ref: Ref, sealed: Ciphertext, purpose: str) -> bytes:
        """For a person, or to seal it again: with the line that says for which address it is sealed. Raises SecretError."""
        plaintext = self._decrypted(ref, sealed)
        self._same(ref, sealed, plaintext)
        self.record(ref, purpose)
        return plaintext

    def _decrypted(self, ref: Ref, sealed: Ciphertext) -> bytes:
        try:
            armored = sealed.age.encode("ascii")
        except UnicodeEncodeError:
            raise SecretError(f"cannot open the secret of {ref}: {_why('')}") from None
        return self.decrypt(armored, f"the secret of {ref}")

    def decrypt(self, armored: bytes, what: str) -> bytes:
        """What was encrypted and is no document's, such as a backup; raises SecretError, and nothing is recorded."""
        identities = self._loaded()
        if not identities:
            raise SecretError(f"cannot open {what}: {self._lacking}")
        try:
            return bytes(pyrage.decrypt(armored, identities))
        except pyrage.DecryptError as error:
            raise SecretError(f"cannot open {what}: {_why(str(error))}") from None

    def recipients(self) -> tuple[str, ...]:
        """Whom to seal for so that this opens it: one for each identity, none where there is none. Raises SecretError."""
        return tuple(str(one.to_public()) for one in self._loaded())

    def _same(self, ref: Ref, sealed: Ciphertext, plaintext: bytes) -> None:
        """Two plaintexts under one hash: somebody put in a new ciphertext and left the hash, and nobody would see a change."""
        if isinstance(sealed, Sealed):
            own = keyed_hash(plaintext, self._own_key)
            if self._known.setdefault(sealed.hash, own) != own:
                raise SecretError(
                    f"will not use the secret of {ref}: the hash beside it is that of another secret; "
                    f"seal it again (`convoy secret seal`), and take over both `age` and `hash`"
                )
            if len(self._known) > MOST_KNOWN:
                self._known.popitem(last=False)

    def _loaded(self) -> list[Any]:
        return self._identities


class _FromFile(Opener):
    """Reads the file again when it has changed."""

    def __init__(self, path: Path, record: Record, seams: Seams) -> None:
        super().__init__((), record, lacking=f"there is no age identity in {path}: make one with `convoy secret keygen`")
        self._path, self._seams = path, seams
        self._read: tuple[tuple[int, int, int], list[Any]] | None = None

    def _loaded(self) -> list[Any]:
        self._seams.point("secrets.read", self._path)
        try:
            file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise SecretError(f"cannot read the age identity {self._path}: {error.strerror}") from error
        with os.fdopen(file, "rb") as opened:
            found = os.fstat(opened.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_size > MOST_IDENTITY_BYTES:
                raise SecretError(f"{self._path} is no age identity file")
            if stat.S_IMODE(found.st_mode) & 0o077:
                raise SecretError(f"others can read the age identity {self._path}: chmod 600 it, and consider it known to them")
            key = (found.st_ino, found.st_mtime_ns, found.st_size)
            known = self._read
            if known is not None and known[0] == key:
                return known[1]
            text = opened.read(MOST_IDENTITY_BYTES).decode("utf-8", "replace")
        lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
        identities = [
            _identity(line, f"line {number} of {self._path}") for number, line in lines if line and not line.startswith("#")
        ]
        self._read = (key, identities)
        return identities


def _identity(text: str, what: str) -> Any:
    try:
        return pyrage.x25519.Identity.from_str(text.strip())
    except pyrage.IdentityError as error:
        raise SecretError(f"{what} is no age identity ({error}): it looks like AGE-SECRET-KEY-1…") from None


def _why(said: str) -> str:
    if "No matching keys" in said:
        return "it is sealed for others: seal it again for this installation's recipient (`convoy secret recipient`)"
    return "it is damaged or no age file: seal it again (`convoy secret seal`)"


def _not_for(ref: Ref, sealed_for: str, to: str) -> str:
    if not to:
        return f"will not use the secret of {ref}: it is sealed to be sent to {harmless(sealed_for)}, and for nothing else"
    how = f"seal it again with `convoy secret seal --for {to}`"
    if not sealed_for:
        return f"will not send the secret of {ref} to {to}: it is not sealed for an address; {how}"
    return (
        f"will not send the secret of {ref} to {to}: it is sealed for {harmless(sealed_for)}; put that address back, or {how}"
    )


def recipients_in(sealed: Ciphertext) -> int | None:
    """For how many recipients it is sealed, as its header says; whom, no age file tells. None when it is none.

    https://github.com/C2SP/C2SP/blob/main/age.md#header; stanzas of other types are padding that no key opens.
    """
    lines = [line.strip() for line in sealed.age.strip().splitlines()]
    try:
        content = base64.b64decode("".join(lines[1:-1]), validate=True)
    except ValueError:
        return None
    header, found, _ = content.partition(b"\n--- ")
    if not found or not header.startswith(b"age-encryption.org/v1\n"):
        return None
    return sum(line.startswith(b"-> X25519 ") for line in header.split(b"\n"))


def unkeyed_hash() -> str:
    """Stands for one plaintext sealed by somebody who has no key for hashes: drawn by lot, so it tells nobody anything."""
    return f"unkeyed-{os.urandom(16).hex()}"
