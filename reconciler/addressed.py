"""Secrets that may be sent to one address and used for nothing else: its origin is sealed in front of them.

Whoever may write a document may write another address beside a ciphertext, or the ciphertext into another document. What was
sealed with the address in it opens for that address alone.
"""

import re
import urllib.parse

HEAD = b"convoy-sealed-for "
PORTS = {"http": 80, "https": 443, "smtp": 587}
# Of an origin: longer than any host's name with a scheme and a port. A URL there may be longer.
LONGEST = 300
HINT = "it looks like https://api.github.com, or smtp://mail.example:587"


def origin(url: str) -> str:
    """`https://api.github.com` of whatever URL there: scheme, host, and the port where it is not the scheme's own. Raises
    ValueError, whose message shows nothing of it."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"this is no address: {HINT}") from None
    name = f"[{host}]" if host is not None and ":" in host else host or ""
    found = f"{parts.scheme}://{name}" + (f":{port}" if port is not None and port != PORTS.get(parts.scheme) else "")
    good = parts.scheme in PORTS and name and "@" not in parts.netloc
    if not good or len(found) > LONGEST or not re.fullmatch(r"[!-~]+", found):
        raise ValueError(f"this is no address that a secret can be sealed for: {HINT}")
    return found


def addressed(secret: bytes, to: str) -> bytes:
    """What is sealed so that it opens for this origin alone."""
    return HEAD + to.encode() + b"\n" + secret


def split(plaintext: bytes) -> tuple[str, bytes]:
    """The origin, "" where it is sealed for none, and the secret itself."""
    if not plaintext.startswith(HEAD):
        return "", plaintext
    head, _, secret = plaintext.partition(b"\n")
    return head.removeprefix(HEAD)[:LONGEST].decode("ascii", "replace").strip(), secret
