"""Sessions: who is logged in and until when, the keys that their tokens are signed with, and who has failed too often."""

import hashlib
import hmac
import secrets
import uuid
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from reconciler.seams import Seams
from reconciler.store.accounts import WITH_ROLES, KeptAccount, account
from reconciler.store.database import Database
from reconciler.store.logs import add, trim
from reconciler.store.people_tables import ACCOUNTS, LOCKOUTS, SESSIONS, SIGNING_KEYS
from reconciler.store.questions import Question
from reconciler.store.tables import EVENTS

# From the login on, however often it is refreshed; shorter than a signing key signs, so that no session ends by the key's age.
LASTS_S = 30 * 86_400.0
KEY_LASTS_S = 60 * 86_400.0
KEY_BYTES = 32
# A signing key and the one before it are believed.
BELIEVED = 2
# Of one account at a time; the oldest goes.
MOST_SESSIONS = 100
MOST_LOCKOUTS = 20_000
# Made once: they are asked with every request.
BY_SESSION = Question(
    WITH_ROLES.add_columns(SESSIONS.c.until)
    .join(SESSIONS, SESSIONS.c.account == ACCOUNTS.c.id)
    .where(SESSIONS.c.id == bindparam("session"))
)
NEWEST_KEYS = Question(select(SIGNING_KEYS).order_by(SIGNING_KEYS.c.at.desc()).limit(BELIEVED))
# What failed so long ago does not count any more.
FORGOTTEN_S = 900.0


@dataclass(frozen=True, slots=True)
class Lock:
    """After `free` failures, each one more locks for `first_s`, then twice that, at most `longest_s`."""

    free: int
    first_s: float
    longest_s: float

    def seconds(self, failures: int) -> float:
        """For how long that many lock."""
        over = failures - self.free
        return min(self.first_s * 2.0 ** min(over - 1, 30), self.longest_s) if over > 0 else 0.0


# Of one account, and of one address, behind which there may be an office.
ACCOUNT_LOCK, ADDRESS_LOCK = Lock(5, 30.0, FORGOTTEN_S), Lock(30, 60.0, FORGOTTEN_S)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """What tokens are signed with; `id` is their `kid`."""

    id: str
    key: bytes = field(repr=False)
    at: float


class Sessions:
    """Those of one store. Thread-safe; raises StoreError."""

    def __init__(self, database: Database, seams: Seams) -> None:
        self._database, self._seams = database, seams

    def now(self) -> float:
        return self._seams.now()

    def open(self, account: str) -> tuple[str, str, float]:
        """Its id, the secret that its refresh token proves, and until when it lasts."""
        now, id, secret = self.now(), str(uuid.uuid4()), secrets.token_urlsafe(KEY_BYTES)
        with self._database.writing("sessions") as connection:
            mine = SESSIONS.c.account == account
            connection.execute(delete(SESSIONS).where(SESSIONS.c.until <= now))
            newest = select(SESSIONS.c.id).where(mine).order_by(SESSIONS.c.at.desc()).limit(MOST_SESSIONS - 1)
            connection.execute(delete(SESSIONS).where(mine & SESSIONS.c.id.not_in(newest)))
            row = {"id": id, "account": account, "refresh": _hash(secret), "at": now, "until": now + LASTS_S}
            connection.execute(insert(SESSIONS).values(row))
        return id, secret, now + LASTS_S

    def whose(self, id: str) -> KeptAccount | None:
        """Who is logged in by it; None once it is over."""
        with self._database.reading("sessions") as connection:
            rows = BY_SESSION.rows(connection, session=id)
        # Not asked of the database: what is asked is the same each time then, and so is found by heart (readers.py).
        now = self.now()
        lasting = [row for row in rows if isinstance(row.until, float | int) and row.until > now]
        return account(*lasting)

    def refresh(self, id: str, secret: str) -> tuple[str, float] | None:
        """The next secret, and until when the session lasts; None where it is over.

        A secret that was exchanged already is in two hands, and nobody knows whose hand is the right one: the session ends.
        """
        with self._database.writing("sessions") as connection:
            row = connection.execute(select(SESSIONS).where(SESSIONS.c.id == id)).one_or_none()
            if row is None or not isinstance(row.until, float | int) or row.until <= self.now():
                return None
            if not hmac.compare_digest(_hash(secret), str(row.refresh)):
                connection.execute(delete(SESSIONS).where(SESSIONS.c.id == id))
                email = connection.execute(select(ACCOUNTS.c.email).where(ACCOUNTS.c.id == row.account)).scalar_one_or_none()
                self._event(connection, "account.session-reused", str(email), "a refresh token was used twice: logged out")
                return None
            following = secrets.token_urlsafe(KEY_BYTES)
            connection.execute(update(SESSIONS).where(SESSIONS.c.id == id).values(refresh=_hash(following)))
        return following, row.until

    def end(self, id: str) -> None:
        """Also where it is over already."""
        with self._database.writing("sessions") as connection:
            connection.execute(delete(SESSIONS).where(SESSIONS.c.id == id))

    # What tokens are signed with

    def believed(self) -> tuple[SigningKey, ...]:
        """Those that are believed, the newest first."""
        with self._database.reading("signing keys") as connection:
            return _keys(connection)

    def signing(self) -> SigningKey:
        """The newest; made where there is none, or where it has signed for long enough."""
        newest = next(iter(self.believed()), None)
        return newest if newest is not None and self.now() - newest.at < KEY_LASTS_S else self.rotate(newest)

    def rotate(self, was: SigningKey | None = None) -> SigningKey:
        """A new one. With `was`, only if that is still the newest: several may find it too old at once."""
        with self._database.writing("signing keys") as connection:
            kept = _keys(connection)
            if was is not None and kept and kept[0].id != was.id:
                return kept[0]
            # Two of one moment would have no order.
            at = max(self.now(), kept[0].at + 0.001) if kept else self.now()
            made = SigningKey(secrets.token_hex(8), secrets.token_bytes(KEY_BYTES), at)
            connection.execute(insert(SIGNING_KEYS).values(id=made.id, key=made.key, at=made.at))
            believed = [one.id for one in (made, *kept)][:BELIEVED]
            connection.execute(delete(SIGNING_KEYS).where(SIGNING_KEYS.c.id.not_in(believed)))
            words = f"tokens are signed with the key {made.id}"
            add(connection, made.at, EVENTS, [{"kind": "account.keys", "ref": "", "message": words}])
        return made

    # Who has failed too often

    def attempt(self, email: str, address: str) -> float:
        """Counts as a failure from now on, lest many at once be free; for how many seconds it is refused unheard, 0.0 if not.

        What is counted is what was said, so that an account that is not there is locked as one that is.
        """
        now = self.now()
        with self._database.writing("lockouts") as connection:
            rows = {subject: _failures(connection, subject, now) for subject, _ in _subjects(email, address)}
            wait_s = max(until - now for _, until in rows.values())
            if wait_s > 0:
                return wait_s
            for subject, lock in _subjects(email, address):
                failures = rows[subject][0] + 1
                row = {"failures": failures, "at": now, "until": now + lock.seconds(failures)}
                connection.execute(delete(LOCKOUTS).where(LOCKOUTS.c.subject == subject))
                connection.execute(insert(LOCKOUTS).values(row | {"subject": subject}))
            trim(connection, LOCKOUTS, MOST_LOCKOUTS)
        return 0.0

    def succeeded(self, email: str, address: str) -> None:
        """The attempt was none that failed. What the address did to other accounts stands."""
        (account, _), (place, lock) = _subjects(email, address)
        with self._database.writing("lockouts") as connection:
            connection.execute(delete(LOCKOUTS).where(LOCKOUTS.c.subject == account))
            failures, _ = _failures(connection, place, self.now())
            if failures > 0:
                row = {"failures": failures - 1, "until": self.now() + lock.seconds(failures - 1)}
                connection.execute(update(LOCKOUTS).where(LOCKOUTS.c.subject == place).values(row))

    def unlock(self, email: str) -> None:
        """Its failures are forgotten."""
        with self._database.writing("lockouts") as connection:
            connection.execute(delete(LOCKOUTS).where(LOCKOUTS.c.subject == _subjects(email, "")[0][0]))

    def _event(self, connection: Connection, kind: str, email: str, words: str) -> None:
        add(connection, self.now(), EVENTS, [{"kind": kind, "ref": f"Account/{email}", "message": words}])


def _keys(connection: Connection) -> tuple[SigningKey, ...]:
    return _believed(*NEWEST_KEYS.rows(connection))


@lru_cache(maxsize=8)
def _believed(*rows: Any) -> tuple[SigningKey, ...]:
    """One that somebody has spoiled is none. Made once of the same rows: they come with every request."""
    return tuple(
        SigningKey(row.id, bytes(row.key), float(row.at))
        for row in rows
        if isinstance(row.id, str)
        and isinstance(row.at, float | int)
        and isinstance(row.key, bytes | memoryview)
        and len(row.key) == KEY_BYTES
    )


def _subjects(email: str, address: str) -> tuple[tuple[str, Lock], tuple[str, Lock]]:
    # A digest: what people type into a field for e-mails is sometimes their password.
    digest = hashlib.sha256(email.lower().encode("utf-8", "replace")).hexdigest()
    return (f"account/{digest}", ACCOUNT_LOCK), (f"address/{address}", ADDRESS_LOCK)


def _failures(connection: Connection, subject: str, now: float) -> tuple[int, float]:
    """How many of late, and until when it is locked."""
    row = connection.execute(select(LOCKOUTS).where(LOCKOUTS.c.subject == subject)).one_or_none()
    if row is None or not all(isinstance(one, float | int) for one in (row.at, row.until, row.failures)):
        return 0, 0.0
    if max(row.at + FORGOTTEN_S, row.until) <= now:
        return 0, 0.0
    return max(0, min(int(row.failures), 10_000)), min(row.until, now + FORGOTTEN_S)


def _hash(secret: str) -> str:
    """Fast on purpose: nobody guesses 256 random bits."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
