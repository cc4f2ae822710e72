"""Takes a signed commit apart: what was signed, and the signature, refusing whatever could be read in two ways."""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

# A hundred times what a signature takes.
LONGEST_SIGNATURE = 64 * 1024
SSH = re.compile(rb"-----BEGIN SSH SIGNATURE-----\n([A-Za-z0-9+/=\n]+)-----END SSH SIGNATURE-----\n?")
# No second block inside: programs differ in which of two they read.
GPG = re.compile(rb"-----BEGIN PGP SIGNATURE-----\n(?:(?!-----)[\x20-\x7e\n])*\n-----END PGP SIGNATURE-----\n?")
HEADER = re.compile(rb"([a-z0-9-]+) ")
TREE = re.compile(rb"tree ([0-9a-f]{40})")
PARENT = re.compile(rb"parent [0-9a-f]{40}")


class Malformed(Exception):
    """The commit or its signature is not written as git writes it; the message goes on from "this commit"."""


@dataclass(frozen=True, slots=True)
class Signed:
    """`payload` is what was signed: the commit without its signature. `signature` is armoured, b"" where there is none."""

    payload: bytes
    signature: bytes
    tree: str


@dataclass(frozen=True, slots=True)
class SshKey:
    """What an SSH signature says of itself; nothing of it is proved."""

    fingerprint: str
    namespace: str


def take_apart(raw: bytes) -> Signed:
    """The two halves of a commit object: https://git-scm.com/docs/signature-format. Raises Malformed.

    Stricter than git: one `gpgsig`, no other signature beside it, and nothing that names a tree or a parent where readers
    of commits would not look for it.
    """
    head, blank, message = raw.partition(b"\n\n")
    payload: list[bytes] = []
    signature: list[bytes] = []
    inside = ""
    for number, line in enumerate(head.split(b"\n")):
        if line.startswith(b" "):
            (signature if inside == "gpgsig" else payload).append(line[1:] if inside == "gpgsig" else line)
            continue
        name = HEADER.match(line)
        before, inside = inside, name.group(1).decode() if name else ""
        if inside == "gpgsig":
            if signature:
                raise Malformed("has more than one signature")
            signature.append(line.removeprefix(b"gpgsig "))
            continue
        if inside.startswith("gpgsig"):
            raise Malformed(f"has a signature of a kind that is not understood ({inside})")
        late = inside == "parent" and before not in ("tree", "parent")
        if (inside == "tree") != (number == 0) or late or (inside == "parent" and not PARENT.fullmatch(line)):
            raise Malformed("is not written as git writes commits")
        payload.append(line)
    tree = TREE.fullmatch(payload[0]) if payload else None
    if tree is None:
        raise Malformed("is not written as git writes commits")
    armoured = b"\n".join(signature)
    if len(armoured) > LONGEST_SIGNATURE:
        raise Malformed(f"has a signature of {len(armoured)} bytes; the most is {LONGEST_SIGNATURE}")
    return Signed(b"\n".join(payload) + blank + message, armoured, tree.group(1).decode())


def ssh_key(signature: bytes) -> SshKey:
    """Which key an SSH signature says it is of: https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.sshsig."""
    armour = SSH.fullmatch(signature)
    try:
        blob = base64.b64decode(armour.group(1).replace(b"\n", b""), validate=True) if armour else b""
        if not blob.startswith(b"SSHSIG\0\0\0\1"):
            raise Malformed("has an SSH signature that cannot be read")
        key, rest = _string(blob[10:])
        namespace, _ = _string(rest)
        kind, _ = _string(key)
    except (ValueError, binascii.Error):
        raise Malformed("has an SSH signature that cannot be read") from None
    shown = base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")
    return SshKey(f"{printable(kind)} SHA256:{shown}", printable(namespace))


def _string(blob: bytes) -> tuple[bytes, bytes]:
    """The string that the blob begins with, and what follows it; raises ValueError."""
    size = int.from_bytes(blob[:4], "big")
    if len(blob) < 4 + size:
        raise ValueError
    return blob[4 : 4 + size], blob[4 + size :]


def printable(text: bytes, most: int = 100) -> str:
    """For showing what a stranger wrote."""
    shown = "".join(c if c.isprintable() else "�" for c in text.decode("utf-8", "replace"))
    return shown if len(shown) <= most else shown[:most] + "…"
