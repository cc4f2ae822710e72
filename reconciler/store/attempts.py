"""The log of what was told outward: every try to carry a message, and what became of it."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import func, insert, select

from reconciler.store.database import Database
from reconciler.store.logs import keep_newest, last_number
from reconciler.store.rows import sound
from reconciler.store.tables import ATTEMPTS

# Of each Notification; every so often what is beyond that is dropped.
MOST_KEPT, TIDIED = 100, 10
LONGEST_ERROR = 1_000
Outcome = Literal["told", "failed", "given up"]
OUTCOMES: tuple[Outcome, ...] = ("told", "failed", "given up")


@dataclass(frozen=True, slots=True)
class Attempt:
    """`message` is the id that the receiver sees, `events` the kinds in it ("" for a test), `at` and `took_s` when it began and
    how long it took (seconds), `tries` which try of this message it was, from 1."""

    notification: str
    message: str
    events: str
    at: float
    took_s: float
    tries: int
    outcome: Outcome
    error: str = ""
    number: int = 0


class Attempts:
    """Raises StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, one: Attempt) -> None:
        with self._database.writing("attempts") as connection:
            number = last_number(connection, ATTEMPTS) + 1
            row = {
                "number": number,
                "notification": one.notification,
                "id": one.message,
                "events": one.events,
                "at": one.at,
                "took_s": one.took_s,
                "tries": one.tries,
                "outcome": one.outcome,
                "error": one.error[:LONGEST_ERROR],
            }
            connection.execute(insert(ATTEMPTS).values(row))
            if number % TIDIED == 0:
                keep_newest(connection, ATTEMPTS, ATTEMPTS.c.notification == one.notification, MOST_KEPT)

    def of(self, notification: str, most: int, before: int | None = None) -> list[Attempt]:
        """The newest of a Notification, newest first; below a number."""
        query = select(ATTEMPTS).where(ATTEMPTS.c.notification == notification).order_by(ATTEMPTS.c.number.desc()).limit(most)
        return self._read(query if before is None else query.where(ATTEMPTS.c.number < before))

    def of_message(self, id: str) -> Attempt | None:
        """The last of a message."""
        found = self._read(select(ATTEMPTS).where(ATTEMPTS.c.id == id).order_by(ATTEMPTS.c.number.desc()).limit(1))
        return found[0] if found else None

    def last(self, notifications: Collection[str]) -> dict[str, Attempt]:
        """The newest of each of these that has any."""
        newest = select(func.max(ATTEMPTS.c.number)).where(ATTEMPTS.c.notification.in_(list(notifications)))
        numbers = newest.group_by(ATTEMPTS.c.notification)
        return {one.notification: one for one in self._read(select(ATTEMPTS).where(ATTEMPTS.c.number.in_(numbers)))}

    def _read(self, query: Any) -> list[Attempt]:
        with self._database.reading("attempts") as connection:
            rows = [row for row in connection.execute(query) if sound(ATTEMPTS, row) and row.outcome in OUTCOMES]
        return [
            Attempt(row.notification, row.id, row.events, row.at, row.took_s, row.tries, row.outcome, row.error, row.number)
            for row in rows
        ]
