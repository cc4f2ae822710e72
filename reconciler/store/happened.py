"""Plans, what became of them, and events: what happened, as it is read back."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Select, or_, select

from reconciler.seams import Seams
from reconciler.store.database import Database
from reconciler.store.logs import append, last_number, last_row
from reconciler.store.rows import Event, as_json, event, read_object
from reconciler.store.tables import EVENTS, OUTCOMES, PLANS


def put_plan(database: Database, seams: Seams, revision: str, plan: object, at: float | None) -> None:
    last, body = last_row(database, PLANS), as_json(plan)
    if last is None or (last.revision, last.body) != (revision, body):
        append(database, seams, PLANS, [{"revision": revision, "body": body, "at": seams.now() if at is None else at}])


def last_plan(database: Database) -> Any:
    last = last_row(database, PLANS)
    return None if last is None else read_object(last.body)


def add_outcomes(database: Database, seams: Seams, outcomes: Sequence[Mapping[str, Any]]) -> None:
    if outcomes:
        append(database, seams, OUTCOMES, [{"body": as_json(outcome)} for outcome in outcomes])


def outcomes(database: Database, limit: int) -> list[dict[str, Any]]:
    query = select(OUTCOMES.c.body).order_by(OUTCOMES.c.number.desc()).limit(limit)
    with database.reading("outcomes") as connection:
        found = [read_object(body) for body in connection.execute(query).scalars()]
    return [one for one in found if one is not None]


def event_rows(events: Sequence[tuple[str, str, str]]) -> list[dict[str, str]]:
    """Of the kind, the printed ref and the message of each."""
    return [{"kind": kind, "ref": ref, "message": message} for kind, ref, message in events]


def events(database: Database, since: int, limit: int) -> list[Event]:
    query = select(EVENTS).where(EVENTS.c.number > since).order_by(EVENTS.c.number).limit(limit)
    with database.reading("events") as connection:
        return [event(row) for row in connection.execute(query)]


def recent(database: Database, ref: str, limit: int) -> list[Event]:
    query = select(EVENTS).where(EVENTS.c.ref == ref).order_by(EVENTS.c.number.desc()).limit(limit)
    with database.reading("events") as connection:
        return [event(row) for row in connection.execute(query)]


def latest(database: Database, kinds: Sequence[str], limit: int) -> list[Event]:
    begins = or_(*(EVENTS.c.kind.startswith(kind, autoescape=True) for kind in kinds))
    query = select(EVENTS).where(begins).order_by(EVENTS.c.number.desc()).limit(limit)
    with database.reading("events") as connection:
        return [event(row) for row in connection.execute(query)]


class Happened:
    """Events and outcomes by their numbers: what was before one, and what came after it. Raises StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def last_numbers(self) -> tuple[int, int]:
        """Of the newest event and of the newest outcome; 0 where there is none."""
        with self._database.reading("events") as connection:
            return last_number(connection, EVENTS), last_number(connection, OUTCOMES)

    def events_after(self, number: int, limit: int) -> list[Event]:
        """In order."""
        return events(self._database, number, limit)

    def events_before(self, number: int, limit: int) -> list[Event]:
        """Newest first."""
        query = select(EVENTS).where(EVENTS.c.number < number).order_by(EVENTS.c.number.desc()).limit(limit)
        with self._database.reading("events") as connection:
            return [event(row) for row in connection.execute(query)]

    def outcomes_after(self, number: int, limit: int) -> list[tuple[int, dict[str, Any]]]:
        """In order, each with its number."""
        return self._outcomes(select(OUTCOMES).where(OUTCOMES.c.number > number).order_by(OUTCOMES.c.number).limit(limit))

    def outcomes_before(self, number: int, limit: int) -> list[tuple[int, dict[str, Any]]]:
        """Newest first, each with its number."""
        query = select(OUTCOMES).where(OUTCOMES.c.number < number).order_by(OUTCOMES.c.number.desc()).limit(limit)
        return self._outcomes(query)

    def _outcomes(self, query: Select[Any]) -> list[tuple[int, dict[str, Any]]]:
        """What somebody has spoiled keeps its number, for the next to be found, and says nothing."""
        with self._database.reading("outcomes") as connection:
            return [(row.number, read_object(row.body) or {}) for row in connection.execute(query)]
