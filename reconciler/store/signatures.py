"""What an account signs its requests with, and which signatures have been used.

A secret is needed as it is, to work a signature out; it is in a table of its own, which nothing lists.
"""

import secrets
from typing import Literal

from sqlalchemy import Connection, delete, func, insert, select

from reconciler.seams import Seams
from reconciler.store.accounts import AccountError, by_email, spelled
from reconciler.store.database import Database
from reconciler.store.logs import add
from reconciler.store.people_tables import SIGNATURES, SIGNING_SECRETS
from reconciler.store.tables import EVENTS
from reconciler.store.tokens import PREFIX

# As tokens begin, so that what finds and hides those finds and hides these.
SECRET_PREFIX = f"{PREFIX}signing_"
SECRET_BYTES = 32
# Of one account at a time: more than the limits of a surface let it change in ten minutes.
MOST_USED = 5_000
Use = Literal["first", "again", "too many"]


class Signatures:
    """Those of one store. Thread-safe; raises StoreError."""

    def __init__(self, database: Database, seams: Seams) -> None:
        self._database, self._seams = database, seams

    def now(self) -> float:
        return self._seams.now()

    def give(self, email: str) -> str:
        """A new secret, which is shown this once; the one before it counts no more. Raises AccountError."""
        made = f"{SECRET_PREFIX}{secrets.token_hex(SECRET_BYTES)}"
        with self._database.writing("signing secrets") as connection:
            id = _known(connection, email)
            connection.execute(delete(SIGNING_SECRETS).where(SIGNING_SECRETS.c.id == id))
            connection.execute(insert(SIGNING_SECRETS).values(id=id, secret=made.encode()))
            self._event(connection, email, "has a new signing secret")
        return made

    def take(self, email: str) -> bool:
        """From now on it has none; False where it had none. Raises AccountError."""
        with self._database.writing("signing secrets") as connection:
            id = _known(connection, email)
            gone = connection.execute(delete(SIGNING_SECRETS).where(SIGNING_SECRETS.c.id == id)).rowcount > 0
            if gone:
                self._event(connection, email, "has no signing secret any more")
        return gone

    def secret(self, account: str) -> bytes | None:
        """Of the account of this id; None where it has none, and b"", by which nothing is signed, where that is spoiled."""
        query = select(SIGNING_SECRETS.c.secret).where(SIGNING_SECRETS.c.id == account)
        with self._database.reading("signing secrets") as connection:
            rows = connection.execute(query).all()
        if not rows:
            return None
        return bytes(rows[0].secret) if isinstance(rows[0].secret, bytes | memoryview) else b""

    def accounts(self) -> frozenset[str]:
        """The ids of those that have one."""
        with self._database.reading("signing secrets") as connection:
            return frozenset(connection.execute(select(SIGNING_SECRETS.c.id)).scalars())

    def use(self, account: str, signature: str, until: float) -> Use:
        """Whether this account has used it before; it is remembered until then, in Unix seconds."""
        mine = SIGNATURES.c.account == account
        with self._database.writing("signatures") as connection:
            connection.execute(delete(SIGNATURES).where(SIGNATURES.c.until < self.now()))
            used = select(SIGNATURES.c.signature).where(mine & (SIGNATURES.c.signature == signature))
            if connection.execute(used).first() is not None:
                return "again"
            count = connection.execute(select(func.count()).select_from(SIGNATURES).where(mine)).scalar_one()
            if count >= MOST_USED:
                return "too many"
            connection.execute(insert(SIGNATURES).values(account=account, signature=signature, until=until))
        return "first"

    def _event(self, connection: Connection, email: str, words: str) -> None:
        row = {"kind": "account.signing", "ref": f"Account/{spelled(email)}", "message": words}
        add(connection, self.now(), EVENTS, [row])


def _known(connection: Connection, email: str) -> str:
    id = by_email(connection, email)
    if id is None:
        raise AccountError(f"there is no account {email!r:.300}")
    return id
