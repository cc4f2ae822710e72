"""Opens the database and runs transactions in it: many that read, one at a time that writes, one kind of error."""

import contextlib
import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from reconciler.seams import Seams
from reconciler.store import migrations

# How long to wait for another process that is writing: a hundred times what our longest transaction takes.
BUSY_S = 10.0


class StoreError(Exception):
    """The store could not be read or written; the message says what was attempted and where."""


class Database:
    """Thread-safe. `writes` counts the transactions that were made to change something, renewed leases aside."""

    def __init__(self, url: str, seams: Seams) -> None:
        self._seams = seams
        self._writing = threading.Lock()
        self.writes = 0
        try:
            parsed = make_url(url)
        except SQLAlchemyError:
            raise StoreError("the store's URL is not one: it looks like sqlite:////var/lib/convoy/convoy.db") from None
        self.shown = parsed.database or "" if parsed.get_backend_name() == "sqlite" else parsed.render_as_string()
        if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
            raise StoreError(
                f"{self.shown or url!r} is not a store this Convoy can use: give sqlite:/// and the path of a file"
            )
        with self._failing("open"):
            private(Path(parsed.database))
            self._engine = opened(parsed)
            try:
                self._migrate()
            except BaseException:
                self._engine.dispose()
                raise

    def _migrate(self) -> None:
        with self.reading("schema") as connection:
            now = migrations.version(connection)
        if now != len(migrations.STEPS):
            with self.writing("schema") as connection:
                # Another process may have been quicker: only what is seen under the lock counts.
                migrations.migrate(connection, migrations.version(connection))

    @contextlib.contextmanager
    def reading(self, what: str) -> Iterator[Connection]:
        """One consistent view."""
        with self._failing(f"read {what}"):
            self._seams.point("store.read", what)
            with self._engine.connect() as connection:
                yield connection

    @contextlib.contextmanager
    def writing(self, what: str, *, counted: bool = True) -> Iterator[Connection]:
        """The one transaction that writes; what is read in it is still true when it commits."""
        with self._failing(f"write {what}"), self._writing:
            self._seams.point("store.write", what)
            with self._engine.connect().execution_options(convoy_writing=True) as connection, connection.begin():
                yield connection
                self._seams.point("store.commit", what)
            self.writes += counted

    @contextlib.contextmanager
    def _failing(self, verb: str) -> Iterator[None]:
        try:
            yield
        except migrations.NewerSchema as error:
            raise StoreError(f"cannot {verb} in the store {self.shown}: {error}") from error
        except DBAPIError as error:
            # Only the driver's own words: the statement and its values may hold keys.
            raise StoreError(f"cannot {verb} in the store {self.shown}: {error.orig}{hint(str(error.orig))}") from None
        except SQLAlchemyError as error:
            raise StoreError(f"cannot {verb} in the store {self.shown}: {type(error).__name__}") from None
        except OSError as error:
            raise StoreError(f"cannot {verb} in the store {self.shown}: {error.strerror or error}") from error

    def close(self) -> None:
        self._engine.dispose()


def opened(url: URL) -> Engine:
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": BUSY_S})

    @event.listens_for(engine, "connect")
    def _connected(connection: sqlite3.Connection, _record: object) -> None:
        # The driver opens transactions of its own kind unless told not to, and those lose updates without an error.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        # What is precious (keys, what Envoys refuse, the lease's epoch) survives a power cut.
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        writing = connection.get_execution_options().get("convoy_writing", False)
        # https://www.sqlite.org/lang_transaction.html: a transaction that reads first and writes later cannot wait for another.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


def private(path: Path) -> None:
    """The file is there and only ours to read, before any key is in it; SQLite gives its companions the same mode."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if stat.S_IMODE(os.fstat(file).st_mode) & 0o077:
            os.fchmod(file, 0o600)
    finally:
        os.close(file)


def hint(message: str) -> str:
    if "locked" in message:
        return f" (another process has been writing for {BUSY_S:g} s: see what it does)"
    if "not a database" in message or "malformed" in message:
        return " (the file is damaged: restore a backup, or move it away and Convoy starts a new one)"
    if "full" in message:
        return " (make room on its disk)"
    return ""
