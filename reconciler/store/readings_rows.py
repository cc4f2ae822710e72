"""The tables of the readings, and their rows: what was served, by whom, in which span of time."""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    bindparam,
    delete,
    insert,
    select,
)

from reconciler.core.latency import packed, unpacked
from reconciler.core.readings import STEPS, Reading, joined, rolled
from reconciler.store.questions import Question, found
from reconciler.store.tables import Text

METADATA = MetaData()
# Whose readings: a printed ref, and for a cluster that a Configuration declares within itself that cluster's name behind it.
SUBJECTS = Table(
    "readings_subjects",
    METADATA,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("subject", Text, nullable=False, unique=True),
)
ROWS = Table(
    "readings",
    METADATA,
    Column("subject", BigInteger, primary_key=True, autoincrement=False),
    # Its resolution, and when it begins: Unix seconds.
    Column("step", Integer, primary_key=True, autoincrement=False),
    Column("at", BigInteger, primary_key=True, autoincrement=False),
    Column("requests", BigInteger, nullable=False),
    Column("errors", BigInteger, nullable=False),
    Column("ms", BigInteger, nullable=False),
    Column("connections", BigInteger, nullable=False),
    Column("looks", Integer, nullable=False),
    Column("latency", LargeBinary, nullable=False),
    Index("readings_by_time", "step", "at"),
    sqlite_with_rowid=False,
)
# Name ⇒ JSON: the version of these tables, up to when each resolution is rolled up, and the latest about the whole system.
MARKS = Table("readings_marks", METADATA, Column("name", Text, primary_key=True), Column("body", Text, nullable=False))
# Tables of another version are dropped: it may all be lost.
VERSION = 1
IDS = Question(select(SUBJECTS.c.subject, SUBJECTS.c.id), SUBJECTS.c.subject)
OF_TIMES = Question(select(ROWS).where(ROWS.c.step == bindparam("resolution")), ROWS.c.at)
# How much of all rows each resolution may have: the finest are the most, and soonest of no use.
SHARES = {60: 0.4, 300: 0.3, 3600: 0.2, 86400: 0.1}
FINER = dict(zip([*STEPS.values()][1:], STEPS.values(), strict=False))


def put(connection: Connection, step: int, new: Mapping[tuple[int, int], Reading], *, add: bool) -> None:
    """Subject's number and beginning ⇒ what; `add`ed to what is there, or in its place."""
    if not new:
        return
    rows = found(connection, OF_TIMES, {at for _, at in new}, resolution=step)
    there = {(row.subject, row.at): reading(row) for row in rows if (row.subject, row.at) in new}
    if there:
        one_row = (ROWS.c.subject == bindparam("whose"), ROWS.c.at == bindparam("begins"))
        gone = delete(ROWS).where(ROWS.c.step == step, *one_row)
        connection.execute(gone, [{"whose": subject, "begins": at} for subject, at in there])
    made = []
    for (subject, at), one in new.items():
        was = there.get((subject, at))
        whole = joined((was, one)) if add and was is not None else one
        made.append(
            {
                "subject": subject,
                "step": step,
                "at": at,
                "requests": whole.requests,
                "errors": whole.errors,
                "ms": whole.ms,
                "connections": whole.connections,
                "looks": whole.looks,
                "latency": packed(whole.latency),
            }
        )
    connection.execute(insert(ROWS), made)


def spans(connection: Connection, id: int, step: int, start: int, end: int) -> dict[int, Reading]:
    of = (ROWS.c.subject == id, ROWS.c.step == step, ROWS.c.at >= start, ROWS.c.at < end)
    every = {row.at: one for row in connection.execute(select(ROWS).where(*of)) if (one := reading(row)) is not None}
    finer = FINER.get(step)
    if finer is not None:
        done = number(connection, f"rolled {step}")
        begin = max(start, done if done is not None else start)
        last = -(-end // step) * step
        rest = spans(connection, id, finer, begin, last) if begin < last else {}
        for (_, at), one in rolled((("", at, one) for at, one in rest.items()), step).items():
            if at < end:
                every[at] = one
    return every


def reading(row: Any) -> Reading | None:
    """None where a row was spoiled: it is a gap."""
    numbers = (row.requests, row.errors, row.ms, row.connections, row.looks)
    try:
        return Reading(*numbers, unpacked(row.latency)) if all(isinstance(one, int) for one in numbers) else None
    except (ValueError, TypeError):
        return None


def by_name(connection: Connection, subjects: Iterable[str]) -> dict[str, int]:
    rows = found(connection, IDS, subjects)
    return {row.subject: row.id for row in rows}


def mark(connection: Connection, name: str, value: object) -> None:
    connection.execute(delete(MARKS).where(MARKS.c.name == name))
    connection.execute(insert(MARKS).values(name=name, body=orjson.dumps(value).decode()))


def marked(connection: Connection, name: str) -> Any:
    body = connection.execute(select(MARKS.c.body).where(MARKS.c.name == name)).scalar_one_or_none()
    try:
        return orjson.loads(body) if body is not None else None
    except ValueError:
        return None


def number(connection: Connection, name: str) -> int | None:
    value = marked(connection, name)
    return value if isinstance(value, int) else None
