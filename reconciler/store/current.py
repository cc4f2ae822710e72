"""What is now, by name, as JSON: of what is put there only what changed is written."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Table, bindparam, delete, insert, select

from reconciler.store.database import Database
from reconciler.store.rows import as_json, read_object


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
        found = ((name, read_object(body)) for name, body in self._bodies(table).items())
        return {name: value for name, value in found if value is not None}

    def _bodies(self, table: Table) -> dict[str, str]:
        with self._database.reading(table.name) as connection:
            return {row.name: row.body for row in connection.execute(select(table).order_by(table.c.name))}

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
                rows = [{"name": name, "body": body} for name, body in changed.items() if body is not None]
                if rows:
                    connection.execute(insert(table), rows)
        for name, body in changed.items():
            if body is None:
                del known[name]
            else:
                known[name] = body
        self._rows[table.name] = known
