"""What is now, by name, as JSON: of what is put there only what changed is written."""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from sqlalchemy import Connection, Table, bindparam, delete, insert, select

from reconciler.store.database import Database
from reconciler.store.questions import Question, found
from reconciler.store.rows import as_json, read_object
from reconciler.store.tables import CHANGES, STATE, STATUS


class Current:
    """Tables of names and bodies. Thread-safe as far as its caller writes from one thread at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # Rows as they are in the database. Only the holder of the lease writes them.
        self._rows: dict[str, dict[str, str]] = {}

    def forget(self) -> None:
        """Somebody else may have written."""
        self._rows.clear()

    def every(self, table: Table) -> dict[str, dict[str, Any]]:
        """What cannot be read is left out; whoever writes it again mends it."""
        read = ((name, read_object(body)) for name, body in self._bodies(table).items())
        return {name: value for name, value in read if value is not None}

    def _bodies(self, table: Table) -> dict[str, str]:
        with self._database.reading(table.name) as connection:
            return {row.name: row.body for row in _every(table).rows(connection)}

    def some(self, table: Table, names: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The same of these names alone."""
        with self._database.reading(table.name) as connection:
            read = ((row.name, read_object(row.body)) for row in found(connection, by_name(table), names))
            return {name: value for name, value in read if value is not None}

    def put(self, table: Table, changes: Mapping[str, Mapping[str, Any] | None]) -> None:
        """Name ⇒ plain JSON values, or None to drop it."""
        # Put back only at the end: after a write that failed nobody knows what is there.
        known = self._rows.pop(table.name, None)
        known = self._bodies(table) if known is None else known
        bodies = {name: None if value is None else as_json(value) for name, value in changes.items()}
        changed = {name: body for name, body in bodies.items() if known.get(name) != body}
        if changed:
            with self._database.writing(table.name) as connection:
                connection.execute(delete(table).where(table.c.name == bindparam("old")), [{"old": name} for name in changed])
                rows: list[dict[str, Any]] = [{"name": n, "body": body} for n, body in changed.items() if body is not None]
                if table is STATUS:
                    number = _next_number(connection)
                    rows = [row | {"changed": number} for row in rows]
                if rows:
                    connection.execute(insert(table), rows)
        for name, body in changed.items():
            if body is None:
                del known[name]
            else:
                known[name] = body
        self._rows[table.name] = known


@cache
def by_name(table: Table) -> Question:
    """The rows of some names, for `found`."""
    return Question(select(table.c.name, table.c.body), table.c.name)


@cache
def _every(table: Table) -> Question:
    return Question(select(table.c.name, table.c.body).order_by(table.c.name))


def _next_number(connection: Connection) -> int:
    """Above every number that was given before, also to rows that are gone."""
    body = connection.execute(select(STATE.c.body).where(STATE.c.name == CHANGES)).scalar_one_or_none()
    number = last_number(body) + 1
    connection.execute(delete(STATE).where(STATE.c.name == CHANGES))
    connection.execute(insert(STATE).values(name=CHANGES, body=as_json({"number": number})))
    return number


def last_number(body: str | None) -> int:
    """What the row of CHANGES says; 0 where there is none, or somebody has spoiled it."""
    number = (read_object(body) or {}).get("number", 0) if body else 0
    return number if isinstance(number, int) else 0
