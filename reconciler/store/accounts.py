"""Accounts: people and programs that a surface knows by name, each of one tenant, with a role per surface."""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from reconciler.seams import Seams
from reconciler.store.database import Database, StoreError
from reconciler.store.logs import add
from reconciler.store.people_tables import ACCOUNTS, PASSWORDS, ROLES_GIVEN, SESSIONS, SIGNATURES, SIGNING_SECRETS
from reconciler.store.questions import Question
from reconciler.store.rows import sound
from reconciler.store.tables import EVENTS, TOKENS

# Each may do what the one before it may.
ROLES = ("viewer", "operator", "admin")
Status = Literal["active", "disabled"]
# RFC 5321: what a mail server has to take. Nothing of it may end or begin a header, a commit's author or a terminal's command.
EMAIL = re.compile(r"[^\s@<>()\[\]\\,;:\"\x00-\x20\x7f-\xa0]{1,64}@[A-Za-z0-9]([A-Za-z0-9.-]{0,187}[A-Za-z0-9])?")
USERNAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._ -]{0,62}[A-Za-z0-9])?")
NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
MOST = 10_000
# Made once: they are asked with every request.
WITH_ROLES = select(ACCOUNTS, ROLES_GIVEN.c.surface, ROLES_GIVEN.c.role).outerjoin(
    ROLES_GIVEN, ROLES_GIVEN.c.account == ACCOUNTS.c.id
)
NOT_OF_ACCOUNTS = ("surface", "role", "until")
BY_ID = Question(WITH_ROLES.where(ACCOUNTS.c.id == bindparam("id")))
BY_EMAIL = Question(WITH_ROLES.where(ACCOUNTS.c.email == bindparam("email")))


class AccountError(StoreError):
    """There can be no such account; the message says why."""


@dataclass(frozen=True, slots=True)
class KeptAccount:
    """What is kept of one, its password aside. `roles`: surface ⇒ role. Times are Unix seconds."""

    id: str
    email: str
    username: str
    tenant: str
    status: Status
    at: float
    roles: Mapping[str, str] = field(default_factory=dict)


class Accounts:
    """Those of one store. Thread-safe; raises StoreError."""

    def __init__(self, database: Database, seams: Seams) -> None:
        self._database, self._seams = database, seams

    def create(
        self, email: str, tenant: str, roles: Mapping[str, str], *, username: str = "", hash: str = "", first: bool = False
    ) -> KeptAccount:
        """An active account, with the hash of its password ("": it cannot log in). Raises AccountError.

        `first`: only where there is none at all.
        """
        email, username = spelled(email), username or email.partition("@")[0]
        if not USERNAME.fullmatch(username):
            username_given = f"{username!r:.80} is no user name"
            raise AccountError(f"{username_given}: use up to 64 of A-Z, a-z, 0-9, blanks, `.`, `_` and `-`")
        if not NAME.fullmatch(tenant):
            raise AccountError(f"{tenant!r:.80} is no name for a tenant: use up to 63 of a-z, 0-9 and `-`")
        _check(roles)
        made = KeptAccount(str(uuid.uuid4()), email, username, tenant, "active", self._seams.now(), dict(roles))
        with self._database.writing("accounts") as connection:
            if connection.execute(select(ACCOUNTS.c.id).where(ACCOUNTS.c.email == email)).first() is not None:
                raise AccountError(f"there is an account {email} already")
            count = connection.execute(select(func.count()).select_from(ACCOUNTS)).scalar_one()
            if first and count:
                raise AccountError("there are accounts already")
            if count >= MOST:
                raise AccountError(f"there are {MOST} accounts already: delete those that nobody uses")
            row = {"id": made.id, "email": email, "username": username, "tenant": tenant, "status": made.status, "at": made.at}
            connection.execute(insert(ACCOUNTS).values(row))
            _give(connection, made.id, roles)
            if hash:
                connection.execute(insert(PASSWORDS).values(id=made.id, hash=hash))
            given = ", ".join(f"{role} on {surface}" for surface, role in sorted(roles.items()))
            self._event(connection, "account.created", email, f"of {tenant}, {given or 'without a role'}")
        return made

    def get(self, id: str) -> KeptAccount | None:
        return self.one(BY_ID, id=id)

    def of(self, email: str) -> KeptAccount | None:
        """By its e-mail, however that is written."""
        return self.one(BY_EMAIL, email=email.lower()) if EMAIL.fullmatch(email) else None

    def one(self, question: Question, **values: object) -> KeptAccount | None:
        """The one that such a question finds."""
        with self._database.reading("accounts") as connection:
            rows = question.rows(connection, **values)
        return account(*rows)

    def every(self) -> tuple[KeptAccount, ...]:
        """By e-mail."""
        with self._database.reading("accounts") as connection:
            return tuple(_accounts(connection.execute(WITH_ROLES.order_by(ACCOUNTS.c.email)).all()))

    def put_status(self, email: str, status: Status) -> bool:
        """False where there is none. A disabled one is refused from its next request on, whatever it shows."""
        with self._database.writing("accounts") as connection:
            id = by_email(connection, email)
            if id is not None:
                connection.execute(update(ACCOUNTS).where(ACCOUNTS.c.id == id).values(status=status))
                if status != "active":
                    connection.execute(delete(SESSIONS).where(SESSIONS.c.account == id))
                self._event(connection, f"account.{'enabled' if status == 'active' else status}", spelled(email), "")
        return id is not None

    def put_roles(self, email: str, roles: Mapping[str, str | None]) -> bool:
        """Surface ⇒ the role it has there from now on, or None for none. False where there is no such account."""
        _check({surface: role for surface, role in roles.items() if role is not None})
        with self._database.writing("accounts") as connection:
            id = by_email(connection, email)
            if id is not None:
                for surface, role in roles.items():
                    mine = (ROLES_GIVEN.c.account == id) & (ROLES_GIVEN.c.surface == surface)
                    connection.execute(delete(ROLES_GIVEN).where(mine))
                    _give(connection, id, {surface: role} if role is not None else {})
                    self._event(connection, "account.role", spelled(email), f"{role or 'nothing'} on {surface}")
        return id is not None

    def put_password(self, email: str, hash: str) -> bool:
        """False where there is no such account. Whoever is logged in as it is logged out."""
        with self._database.writing("accounts") as connection:
            id = by_email(connection, email)
            if id is not None:
                connection.execute(delete(PASSWORDS).where(PASSWORDS.c.id == id))
                connection.execute(insert(PASSWORDS).values(id=id, hash=hash))
                connection.execute(delete(SESSIONS).where(SESSIONS.c.account == id))
                self._event(connection, "account.password", spelled(email), "has a new password")
        return id is not None

    def rehashed(self, id: str, hash: str) -> None:
        """The same password, hashed as is done today."""
        with self._database.writing("accounts") as connection:
            connection.execute(update(PASSWORDS).where(PASSWORDS.c.id == id).values(hash=hash))

    def password(self, id: str) -> str:
        """The hash of its password, "" where it has none."""
        with self._database.reading("accounts") as connection:
            found = connection.execute(select(PASSWORDS.c.hash).where(PASSWORDS.c.id == id)).scalar_one_or_none()
        return found if isinstance(found, str) else ""

    def delete(self, email: str) -> bool:
        """With its roles, its sessions, its tokens and what it signs with. False where there is none."""
        with self._database.writing("accounts") as connection:
            id = by_email(connection, email)
            if id is not None:
                for table in (PASSWORDS, SIGNING_SECRETS):
                    connection.execute(delete(table).where(table.c.id == id))
                for table in (TOKENS, SESSIONS, SIGNATURES, ROLES_GIVEN):
                    connection.execute(delete(table).where(table.c.account == id))
                connection.execute(delete(ACCOUNTS).where(ACCOUNTS.c.id == id))
                self._event(connection, "account.deleted", spelled(email), "")
        return id is not None

    def _event(self, connection: Connection, kind: str, email: str, words: str) -> None:
        add(connection, self._seams.now(), EVENTS, [{"kind": kind, "ref": f"Account/{email}", "message": words}])


def spelled(email: str) -> str:
    """As it is kept: small, for nobody has two mailboxes that differ in case. Raises AccountError."""
    if not EMAIL.fullmatch(email) or not email.isprintable():
        raise AccountError(f"{email!r:.80} is no e-mail address")
    return email.lower()


def _check(roles: Mapping[str, str]) -> None:
    for surface, role in roles.items():
        if role not in ROLES:
            raise AccountError(f"{role!r:.80} is no role: it is {', '.join(ROLES[:-1])} or {ROLES[-1]}")
        if not NAME.fullmatch(surface):
            raise AccountError(f"{surface!r:.80} is no surface")


def _give(connection: Connection, id: str, roles: Mapping[str, str]) -> None:
    if roles:
        rows = [{"account": id, "surface": surface, "role": role} for surface, role in roles.items()]
        connection.execute(insert(ROLES_GIVEN), rows)


def by_email(connection: Connection, email: str) -> str | None:
    if not EMAIL.fullmatch(email):
        return None
    return connection.execute(select(ACCOUNTS.c.id).where(ACCOUNTS.c.email == email.lower())).scalar_one_or_none()


@lru_cache(maxsize=1_000)
def account(*rows: Any) -> KeptAccount | None:
    """The first of these rows'. Made once of the same rows: they come with every request."""
    return next(iter(_accounts(rows)), None)


def _accounts(rows: Any) -> list[KeptAccount]:
    """One for each, with all its roles; what somebody has spoiled is nobody, and a role that is none is none."""
    found: dict[str, KeptAccount] = {}
    roles: dict[str, dict[str, str]] = {}
    for row in rows:
        if row.status not in ("active", "disabled") or not sound(ACCOUNTS, row, but=NOT_OF_ACCOUNTS):
            continue
        given = roles.setdefault(row.id, {})
        if isinstance(row.surface, str) and row.role in ROLES:
            given[row.surface] = row.role
        found[row.id] = KeptAccount(row.id, row.email, row.username, row.tenant, row.status, row.at, given)
    return list(found.values())
