"""Inbound webhooks: their addresses, the secrets their deliveries are checked with, and what of them has come lately.

A secret is needed as it is, to check a signature with; it is in a table of its own, which nothing lists. The address has a part
that nobody guesses, and of that only a hash is kept.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, Row, delete, insert, select

from reconciler.seams import Seams
from reconciler.store.database import Database, StoreError
from reconciler.store.logs import add
from reconciler.store.rows import sound
from reconciler.store.tables import EVENTS, HOOK_DELIVERIES, HOOK_SECRETS, HOOKS, readable
from reconciler.store.tokens import NAME

# Who sends, by the words of `convoy hook create --provider`; api/hooks/table.py has a line for each.
PROVIDERS = ("github", "gitlab", "gitea", "forgejo", "gogs", "bitbucket", "bitbucket-server", "azure", "generic")
ID_BYTES, KEY_BYTES, SECRET_BYTES = 6, 24, 32
LONGEST_PLACE = 2 * ID_BYTES + 1 + 2 * KEY_BYTES
# Each has a bucket for its rate and a row for its last deliveries.
MOST = 100
# How many of a hook's last deliveries are kept.
LAST = 10
LARGEST_COUNT = 2**53
SHORTEST_SECRET, LONGEST_SECRET = 16, 1_024
# Compared with where there is no such hook, so that this takes as long.
NONE = hashlib.sha256(b"").hexdigest()


class HookError(StoreError):
    """There can be no such hook; the message says why."""


@dataclass(frozen=True, slots=True)
class Hook:
    """What is kept of one, its secret aside. `repository` is what the forge calls the repository that is followed, "" where it
    is the URL that Convoy follows. `at` is when it was made, in Unix seconds."""

    id: str
    name: str
    provider: str
    repository: str
    at: float


@dataclass(frozen=True, slots=True)
class Heard:
    """One delivery: when it came (Unix seconds), which event it was, what became of it and why; the words are short."""

    at: float
    event: str
    verdict: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Kept:
    """What of one hook has come: verdict ⇒ how many, and the last, oldest first."""

    counts: Mapping[str, int]
    last: tuple[Heard, ...] = ()


NOTHING = Kept({})


class Hooks:
    """Those of one store. Thread-safe; raises StoreError."""

    def __init__(self, database: Database, seams: Seams) -> None:
        self._database, self._seams = database, seams

    def create(self, name: str, provider: str, repository: str = "", secret: str = "") -> tuple[Hook, str, str]:
        """A new hook, the last part of its address, and its secret, made here where none is given. Raises HookError."""
        if not NAME.fullmatch(name):
            raise HookError(f"{name!r:.80} is no name for a hook: use up to 63 of a-z, 0-9, `.`, `_` and `-`")
        if secret and not (SHORTEST_SECRET <= len(secret) <= LONGEST_SECRET and secret.isascii() and secret.isprintable()):
            raise HookError(f"a hook's secret is {SHORTEST_SECRET} to {LONGEST_SECRET} printable ASCII characters")
        hook = Hook(secrets.token_hex(ID_BYTES), name, provider, repository, self._seams.now())
        key, secret = secrets.token_hex(KEY_BYTES), secret or _made(provider)
        with self._database.writing("hooks") as connection:
            names = set(connection.execute(select(HOOKS.c.name)).scalars())
            if name in names:
                raise HookError(f"there is a hook {name} already: `convoy hook revoke {name}`, or take another name")
            if len(names) >= MOST:
                raise HookError(f"there are {MOST} hooks already: revoke those that nobody uses")
            row = {"id": hook.id, "name": name, "provider": provider, "repository": repository, "hash": _hash(key)}
            connection.execute(insert(HOOKS).values(row | {"at": hook.at}))
            connection.execute(insert(HOOK_SECRETS).values(id=hook.id, secret=secret.encode()))
            self._event(connection, "hook.created", name, f"for deliveries by {provider}")
        return hook, f"{hook.id}-{key}", secret

    def revoke(self, name: str) -> bool:
        """From now on nothing is there; False where there is none of this name."""
        with self._database.writing("hooks") as connection:
            id = connection.execute(select(HOOKS.c.id).where(HOOKS.c.name == name)).scalar_one_or_none()
            if id is not None:
                for table in (HOOK_DELIVERIES, HOOK_SECRETS, HOOKS):
                    connection.execute(delete(table).where(table.c.id == id))
                self._event(connection, "hook.revoked", name, "")
        return id is not None

    def every(self) -> tuple[Hook, ...]:
        """By name."""
        with self._database.reading("hooks") as connection:
            return read_hooks(connection)

    def at(self, provider: str, place: str) -> tuple[Hook, bytes] | None:
        """The hook with this address and its secret; None where there is none, or it is another provider's."""
        if len(place) != LONGEST_PLACE or not place.isascii():
            return None
        id, _, key = place.partition("-")
        with self._database.reading("hooks") as connection:
            row = connection.execute(select(HOOKS).where(HOOKS.c.id == id)).one_or_none()
            kept = connection.execute(select(HOOK_SECRETS.c.secret).where(HOOK_SECRETS.c.id == id)).scalar_one_or_none()
        secret = bytes(kept) if isinstance(kept, bytes | memoryview) else b""
        if row is not None and (not sound(HOOKS, row) or not secret):
            # Somebody has put it there, or taken it away: whatever may be meant, nobody is heard by it.
            row = None
        # The index is asked for what is no secret; the secret part is compared in a time that tells nothing of it.
        if not hmac.compare_digest(_hash(key), row.hash if row else NONE) or row is None or row.provider != provider:
            return None
        return _hook(row), secret

    # What has come

    def put_heard(self, news: Mapping[str, Sequence[Heard]]) -> None:
        """Hook's id ⇒ its new deliveries, oldest first; of hooks that are gone nothing is kept."""
        with self._database.writing("hook deliveries") as connection:
            there = set(connection.execute(select(HOOKS.c.id).where(HOOKS.c.id.in_(news))).scalars())
            rows = connection.execute(select(HOOK_DELIVERIES).where(HOOK_DELIVERIES.c.id.in_(there))).all()
            before = {row.id: read_kept(row) for row in rows}
            connection.execute(delete(HOOK_DELIVERIES).where(HOOK_DELIVERIES.c.id.in_(there)))
            for id in there:
                kept = before.get(id, NOTHING)
                counts = dict(kept.counts)
                for one in news[id]:
                    counts[one.verdict] = counts.get(one.verdict, 0) + 1
                last = [
                    [one.at, readable(one.event), one.verdict, readable(one.why)] for one in (*kept.last, *news[id])[-LAST:]
                ]
                row = {"id": id, "counts": orjson.dumps(counts).decode(), "last": orjson.dumps(last).decode()}
                connection.execute(insert(HOOK_DELIVERIES).values(row))

    def heard(self) -> dict[str, Kept]:
        """Hook's id ⇒ what has come; nothing of those that nothing has come of."""
        with self._database.reading("hook deliveries") as connection:
            return {row.id: read_kept(row) for row in connection.execute(select(HOOK_DELIVERIES))}

    def counts(self) -> dict[str, Mapping[str, int]]:
        """Hook's name ⇒ verdict ⇒ how many, for whoever shows figures: nothing where that cannot be read now."""
        try:
            heard = self.heard()
            return {one.name: heard[one.id].counts for one in self.every() if one.id in heard}
        except StoreError:
            return {}

    def _event(self, connection: Connection, kind: str, name: str, words: str) -> None:
        add(connection, self._seams.now(), EVENTS, [{"kind": kind, "ref": f"Hook/{name}", "message": words}])


def _made(provider: str) -> str:
    if provider == "gitlab":
        # What GitLab's signing token has to look like, and good as its older secret token as well.
        return f"whsec_{base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()}"
    return secrets.token_hex(SECRET_BYTES)


def read_hooks(connection: Connection) -> tuple[Hook, ...]:
    """All that can be read, by name."""
    rows = connection.execute(select(HOOKS).order_by(HOOKS.c.name))
    return tuple(_hook(row) for row in rows if sound(HOOKS, row))


def _hook(row: "Row[Any]") -> Hook:
    return Hook(row.id, row.name, row.provider, row.repository, row.at)


def read_kept(row: "Row[Any]") -> Kept:
    """A row of HOOK_DELIVERIES; what cannot be read any more counts for nothing."""
    try:
        last = tuple(Heard(float(at), str(event), str(verdict), str(why)) for at, event, verdict, why in orjson.loads(row.last))
        counts = orjson.loads(row.counts).items()
        return Kept({str(verdict): n for verdict, n in counts if isinstance(n, int) and 0 <= n < LARGEST_COUNT}, last)
    except (ValueError, TypeError, AttributeError, OverflowError):
        return NOTHING


def _hash(key: str) -> str:
    """Fast on purpose: nobody guesses 192 random bits."""
    return hashlib.sha256(key.encode()).hexdigest()
