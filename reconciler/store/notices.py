"""Who was told what, what is under way to them, and what was given up; written in one transaction with how far was read."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from reconciler.core.notices import Told, is_message
from reconciler.store.attempts import Attempts
from reconciler.store.database import Database
from reconciler.store.questions import chunks
from reconciler.store.rows import as_json, read_object, sound
from reconciler.store.tables import ATTEMPTS, NOTICES, TELLINGS, TOLD

# More wait for one receiver only where nobody takes them: the oldest are given up. Of those that were, so many are kept.
MOST_WAITING, MOST_DEAD = 100, 20


@dataclass(frozen=True, slots=True)
class Place:
    """Up to which event and outcome was read, and when (Unix seconds) there was last something to tell."""

    event: int
    outcome: int
    at: float


@dataclass(frozen=True, slots=True)
class Notice:
    """One message under way. `tries`: how often it was tried in vain."""

    id: str
    notification: str
    body: Mapping[str, Any]
    tries: int


class Notices:
    """Raises StoreError. Only the holder of the lease writes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.attempts = Attempts(database)

    def places(self) -> dict[str, Place]:
        """Printed ref of a Notification ⇒ how far it has read."""
        with self._database.reading("tellings") as connection:
            rows = [row for row in connection.execute(select(TELLINGS)) if sound(TELLINGS, row)]
        return {row.notification: Place(row.event, row.outcome, row.at) for row in rows}

    def told(self, notification: str, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], Told]:
        """Of these subjects and topics: what it told last."""
        found: dict[tuple[str, str], Told] = {}
        mine = select(TOLD).where(TOLD.c.notification == notification)
        with self._database.reading("told") as connection:
            for some in chunks({subject for subject, _ in keys}):
                for row in connection.execute(mine.where(TOLD.c.subject.in_(some))):
                    if sound(TOLD, row):
                        found[row.subject, row.topic] = Told(row.state, row.at)
        return found

    def put(
        self,
        notification: str,
        place: Place,
        told: Mapping[tuple[str, str], Told | None],
        messages: Sequence[Mapping[str, Any]],
        remembered_since: float = 0.0,
    ) -> None:
        """How far it has read, what is remembered and what is to be told: all or nothing. What was told before
        `remembered_since` (Unix seconds) is told again in any case, and forgotten."""
        with self._database.writing("tellings") as connection:
            connection.execute(delete(TELLINGS).where(TELLINGS.c.notification == notification))
            row = {"notification": notification, "event": place.event, "outcome": place.outcome, "at": place.at}
            connection.execute(insert(TELLINGS).values(row))
            keys = [{"n": notification, "s": subject, "t": topic} for subject, topic in told]
            if keys:
                one = (TOLD.c.subject == bindparam("s")) & (TOLD.c.topic == bindparam("t"))
                connection.execute(delete(TOLD).where((TOLD.c.notification == bindparam("n")) & one), keys)
            if told:
                connection.execute(delete(TOLD).where((TOLD.c.notification == notification) & (TOLD.c.at < remembered_since)))
            rows = [
                {"notification": notification, "subject": subject, "topic": topic, "state": one.state, "at": one.at}
                for (subject, topic), one in told.items()
                if one is not None
            ]
            if rows:
                connection.execute(insert(TOLD), rows)
            for message in messages:
                connection.execute(delete(NOTICES).where(NOTICES.c.id == message["id"]))
                new = {"id": message["id"], "notification": notification, "at": message["at"], "body": as_json(message)}
                connection.execute(insert(NOTICES).values(**new, tries=0, next_at=0.0, dead=0, error=""))

    def waiting(self) -> list[tuple[str, str, float]]:
        """Id, Notification and when it is due, of every message under way, the oldest first."""
        columns = NOTICES.c.id, NOTICES.c.notification, NOTICES.c.next_at
        query = select(*columns).where(NOTICES.c.dead == 0).order_by(NOTICES.c.at, NOTICES.c.id)
        with self._database.reading("notices") as connection:
            return [(row.id, row.notification, row.next_at) for row in connection.execute(query) if sound(NOTICES, row)]

    def get(self, id: str) -> Notice | None:
        """None where there is none, and where somebody has spoiled it."""
        with self._database.reading("notices") as connection:
            row = connection.execute(select(NOTICES).where(NOTICES.c.id == id)).one_or_none()
        if row is None or not sound(NOTICES, row):
            return None
        body = read_object(row.body)
        return None if body is None or not is_message(body) else Notice(row.id, row.notification, body, row.tries)

    def arrived(self, id: str) -> None:
        with self._database.writing("notices") as connection:
            connection.execute(delete(NOTICES).where(NOTICES.c.id == id))

    def failed(self, id: str, error: str, next_at: float | None) -> None:
        """To be tried again then, or given up."""
        change = {"tries": NOTICES.c.tries + 1, "error": error}
        change |= {"dead": 1} if next_at is None else {"next_at": next_at}
        with self._database.writing("notices") as connection:
            connection.execute(update(NOTICES).where(NOTICES.c.id == id).values(change))
            if next_at is None:
                mine = select(NOTICES.c.notification).where(NOTICES.c.id == id).scalar_subquery()
                dead = (NOTICES.c.dead == 1) & (NOTICES.c.notification == mine)
                kept = select(NOTICES.c.id).where(dead).order_by(NOTICES.c.at.desc()).limit(MOST_DEAD)
                ids = connection.execute(kept).scalars().all()
                connection.execute(delete(NOTICES).where(dead & NOTICES.c.id.not_in(ids)))

    def again(self, notification: str) -> None:
        """Try everything of it now, also what was given up: its document is another."""
        mine = (NOTICES.c.notification == notification) & ((NOTICES.c.next_at > 0) | (NOTICES.c.dead == 1))
        with self._database.reading("notices") as connection:
            if not connection.execute(select(func.count()).select_from(NOTICES).where(mine)).scalar_one():
                return
        with self._database.writing("notices") as connection:
            connection.execute(update(NOTICES).where(mine).values(next_at=0.0, dead=0, tries=0))

    def forget(self, notifications: Iterable[str]) -> None:
        """They are not declared any more."""
        for notification in notifications:
            with self._database.writing("tellings") as connection:
                for table in (TELLINGS, TOLD, NOTICES, ATTEMPTS):
                    connection.execute(delete(table).where(table.c.notification == notification))

    def troubled(self) -> list[dict[str, Any]]:
        """Notifications with messages that did not arrive: how many are tried again, how many were given up, and why last."""
        with self._database.reading("notices") as connection:
            return read_troubled(connection)


def read_troubled(connection: Connection) -> list[dict[str, Any]]:
    query = select(NOTICES).where((NOTICES.c.tries > 0) | (NOTICES.c.dead == 1)).order_by(NOTICES.c.at)
    found: dict[str, dict[str, Any]] = {}
    for row in connection.execute(query):
        if not sound(NOTICES, row):
            continue
        one = found.setdefault(row.notification, {"notification": row.notification, "waiting": 0, "dead": 0})
        one["dead" if row.dead else "waiting"] += 1
        one["error"] = row.error
    return [*found.values()]
