"""Tokens: what a program shows to the API to say who it is. Only a hash of one is kept, and it is shown but once."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select

from reconciler.seams import Seams
from reconciler.store.database import Database, StoreError
from reconciler.store.logs import add
from reconciler.store.questions import Question
from reconciler.store.rows import sound
from reconciler.store.tables import EVENTS, TOKENS

# A prefix of our own, so that scanners for secrets find a token wherever somebody has put one.
PREFIX = "cvy_"
ID_BYTES, SECRET_BYTES = 6, 32
FORM = re.compile(rf"{PREFIX}([0-9a-f]{{{2 * ID_BYTES}}})_([0-9a-f]{{{2 * SECRET_BYTES}}})")
NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")
# What a token may be allowed: to ask for plans; to read how the fleet is, and what it declares; to change that by commits; to
# manage accounts and what else takes the role of an admin.
SCOPES = ("plan", "read", "write", "manage")
MOST = 1_000
# Made once: it is asked with every request.
BY_ID = Question(select(TOKENS).where(TOKENS.c.id == bindparam("id")))
# Compared with where there is no such token, so that this takes as long.
NONE = hashlib.sha256(b"").hexdigest()


class TokenError(StoreError):
    """There can be no such token; the message says why."""


@dataclass(frozen=True, slots=True)
class Token:
    """What is kept of one. Times are Unix seconds; `until` is None where it never expires."""

    id: str
    name: str
    account: str
    scopes: frozenset[str]
    at: float
    until: float | None = None
    author: str = ""

    def expired(self, now: float) -> bool:
        return self.until is not None and now >= self.until


class Tokens:
    """Those of one store. Thread-safe; raises StoreError."""

    def __init__(self, database: Database, seams: Seams) -> None:
        self._database, self._seams = database, seams

    def create(
        self, name: str, scopes: Iterable[str], lasts_s: float | None, author: str = "", *, account: str = ""
    ) -> tuple[Token, str]:
        """A new token of this name and what it has to be shown as: that is kept nowhere. Raises TokenError.

        `author` is who its commits are by, as "Name <mail>"; `account` the id of the one that it speaks for.
        """
        if not NAME.fullmatch(name):
            raise TokenError(f"{name!r:.80} is no name for a token: use up to 63 of a-z, 0-9, `.`, `_` and `-`")
        now, id, secret = self._seams.now(), secrets.token_hex(ID_BYTES), secrets.token_hex(SECRET_BYTES)
        token = Token(id, name, account, frozenset(scopes), now, None if lasts_s is None else now + lasts_s, author)
        with self._database.writing("tokens") as connection:
            names = set(connection.execute(select(TOKENS.c.name)).scalars())
            if name in names:
                raise TokenError(f"there is a token {name} already: `convoy token revoke {name}`, or take another name")
            if len(names) >= MOST:
                raise TokenError(f"there are {MOST} tokens already: revoke those that nobody uses")
            row = {"id": id, "name": name, "account": account, "scopes": " ".join(sorted(token.scopes)), "hash": _hash(secret)}
            connection.execute(insert(TOKENS).values(row | {"at": now, "until": token.until, "author": author}))
            self._event(connection, "token.created", name, f"may {' and '.join(sorted(token.scopes))}")
        return token, f"{PREFIX}{id}_{secret}"

    def revoke(self, name: str) -> bool:
        """From now on it counts no more; False where there is none of this name."""
        with self._database.writing("tokens") as connection:
            gone = connection.execute(delete(TOKENS).where(TOKENS.c.name == name)).rowcount > 0
            if gone:
                self._event(connection, "token.revoked", name, "")
        return gone

    def every(self) -> tuple[Token, ...]:
        """By name."""
        with self._database.reading("tokens") as connection:
            rows = connection.execute(select(TOKENS).order_by(TOKENS.c.name))
            return tuple(_token(row) for row in rows if sound(TOKENS, row))

    def shown(self, text: str) -> Token | None:
        """Whose token this is; None for one that is not known, was revoked or has expired."""
        found = FORM.fullmatch(text)
        if found is None:
            return None
        id, secret = found.groups()
        with self._database.reading("tokens") as connection:
            row = next(iter(BY_ID.rows(connection, id=id)), None)
        if row is not None and not sound(TOKENS, row):
            # Somebody has put it there: whatever may be meant, it lets nobody in.
            row = None
        # The index is asked for what is no secret; the secret is compared in a time that tells nothing of it.
        if not hmac.compare_digest(_hash(secret), row.hash if row else NONE) or row is None:
            return None
        token = _token(row)
        return None if token.expired(self._seams.now()) else token

    def _event(self, connection: Connection, kind: str, name: str, words: str) -> None:
        add(connection, self._seams.now(), EVENTS, [{"kind": kind, "ref": f"Token/{name}", "message": words}])


def _token(row: "Row[Any]") -> Token:
    return Token(row.id, row.name, row.account, frozenset(row.scopes.split()), row.at, row.until, row.author)


def _hash(secret: str) -> str:
    """Fast on purpose: nobody guesses 256 random bits, and a slow one would be a way of keeping us busy."""
    return hashlib.sha256(secret.encode()).hexdigest()
