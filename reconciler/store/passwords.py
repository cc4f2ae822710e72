"""Passwords: only an Argon2id hash of one is kept, and what is no password costs as much as one that does not fit."""

import secrets
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type

# OWASP's first choice for Argon2id (Password Storage Cheat Sheet): 19 MiB, two passes, one lane. About 25 ms of one core.
HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, hash_len=32, salt_len=16, type=Type.ID)
# NIST SP 800-63B: length is what counts. The longest bounds what a stranger makes us read.
SHORTEST, LONGEST = 12, 256


class PasswordError(Exception):
    """This can be no password; the message says why, and nothing of it."""


def hashed(password: str) -> str:
    """Takes a while, on purpose. Raises PasswordError."""
    if len(password) < SHORTEST:
        raise PasswordError(f"a password has at least {SHORTEST} characters")
    if len(password) > LONGEST:
        raise PasswordError(f"a password has at most {LONGEST} characters")
    if not password.isprintable():
        raise PasswordError("a password has no line breaks and nothing else that cannot be seen")
    return HASHER.hash(password.encode())


def fits(hash: str, password: str) -> bool:
    """Whether it is the one that was hashed. Takes as long where `hash` is "", or is none."""
    known = hash.startswith("$argon2id$")
    try:
        return HASHER.verify(hash if known else nobodys(), password.encode("utf-8", "replace")) and known
    except (VerificationError, InvalidHashError):
        return False


def outdated(hash: str) -> bool:
    """Whether it was made at other costs than today's."""
    try:
        return HASHER.check_needs_rehash(hash)
    except InvalidHashError:
        return False


@cache
def nobodys() -> str:
    """The hash that is asked where there is none: of a password that nobody knows."""
    return hashed(secrets.token_urlsafe(32))


def made() -> str:
    """A password that nobody guesses, of letters and digits that a person can copy."""
    return secrets.token_urlsafe(18)
