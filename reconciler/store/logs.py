"""Append-only tables: numbered in order, capped, and never written for the sake of what is there already."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, delete, func, insert, select

from reconciler.seams import Seams
from reconciler.store.database import Database
from reconciler.store.questions import Question
from reconciler.store.rows import LARGEST_NUMBER
from reconciler.store.tables import EVENTS, OUTCOMES, PLANS, REVISIONS

# How many rows of each log are kept, about. Events are what people read back; the rest is for finding out what happened.
KEPT = {EVENTS: 10_000, OUTCOMES: 2_000, REVISIONS: 1_000, PLANS: 50}


def last_row(database: Database, table: Table) -> Any:
    with database.reading(table.name) as connection:
        return connection.execute(select(table).order_by(table.c.number.desc()).limit(1)).one_or_none()


def append(database: Database, seams: Seams, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows without an `at` happened now. The last good revision is never dropped."""
    with database.writing(table.name) as connection:
        add(connection, seams.now(), table, rows)


def add(connection: Connection, now: float, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """The same, in a transaction that is open."""
    last = last_number(connection, table)
    kept = KEPT[table]
    connection.execute(insert(table), [{"at": now, **row, "number": last + place} for place, row in enumerate(rows, 1)])
    end = last + len(rows)
    if last // (kept // 10) != end // (kept // 10):
        old = table.c.number <= end - kept
        if table is REVISIONS:
            good = select(func.max(table.c.number)).where(table.c.status == "good").scalar_subquery()
            old = old & (table.c.number < func.coalesce(good, 0))
        connection.execute(delete(table).where(old))


def last_number(connection: Connection, table: Table) -> int:
    """0 where there is none. What no log of ours can have reached, somebody has put there."""
    return _last(table).rows(connection)[0].last or 0


@lru_cache(maxsize=16)
def _last(table: Table) -> Question:
    ours = table.c.number.between(1, LARGEST_NUMBER - 1)
    return Question(select(func.max(table.c.number).label("last")).where(ours))


def keep_newest(connection: Connection, table: Table, mine: ColumnElement[bool], kept: int) -> None:
    """Drop what has a lower number than the newest so many of those rows."""
    number = table.c.number
    edge = select(number).where(mine).order_by(number.desc()).offset(kept).limit(1).scalar_subquery()
    connection.execute(delete(table).where(mine, number <= edge))


def trim(connection: Connection, table: Table, most: int) -> None:
    """Drop the oldest rows above a cap."""
    count = connection.execute(select(func.count()).select_from(table)).scalar_one()
    if count > most:
        edge = select(table.c.at).order_by(table.c.at.desc()).offset(most * 9 // 10).limit(1).scalar_subquery()
        connection.execute(delete(table).where(table.c.at <= edge))
