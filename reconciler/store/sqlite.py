"""SQLite: one file on this machine, which needs nothing set up and which one machine's Convoys share."""

import os
import sqlite3
import stat
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    MetaData,
    Table,
    Text,
    bindparam,
    case,
    cast,
    create_engine,
    event,
    func,
    select,
)
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from reconciler.store.questions import Question

# How long to wait for another process that is writing: a hundred times what our longest transaction takes.
BUSY_S = 10.0
# How soon is tried again what SQLite does not wait for itself.
BETWEEN_S = 0.02
# Threads that ask at once; a connection that is opened anew asks the file for its schema again, and costs as much as an answer.
CONNECTIONS = 64
_SCHEMA = Table("sqlite_master", MetaData(), Column("name", Text))
TABLE = Question(select(_SCHEMA.c.name).where(_SCHEMA.c.name == bindparam("table")))

READING = {"convoy_writing": False, "convoy_held": True}
WRITING = {"convoy_writing": True}


def shown(url: URL) -> str:
    """How the store is named to people."""
    return url.database or ""


def wrong(url: URL) -> str:
    """What no store can be kept under, or ""."""
    if not url.database or url.database == ":memory:":
        return "give sqlite:/// and the path of a file"
    return ""


def there(url: URL) -> bool:
    """False where nobody has made it yet; True also where only a look inside tells."""
    return Path(url.database or "").exists()


def opened(url: URL, *, precious: bool = True) -> Engine:
    """What is not `precious` may be lost by a power cut, and its file may be put in the place of another at any time."""
    private(Path(url.database or ""))
    pool: dict[str, Any] = {"poolclass": NullPool}
    if precious:
        # The one that was used last knows most of what it is asked by heart.
        pool = {"pool_size": CONNECTIONS, "max_overflow": CONNECTIONS, "pool_use_lifo": True}
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": BUSY_S}, **pool)

    @event.listens_for(engine, "connect")
    def _connected(connection: sqlite3.Connection, _record: object) -> None:
        # The driver opens transactions of its own kind unless told not to, and those lose updates without an error.
        connection.isolation_level = None
        cursor = connection.cursor()
        _write_ahead(cursor)
        # What is precious (keys, what Envoys refuse, the lease's epoch) survives a power cut.
        cursor.execute(f"PRAGMA synchronous={'FULL' if precious else 'NORMAL'}")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        options = connection.get_execution_options()
        if options.get("convoy_held", False):
            # `seen` begins what it reads in.
            return
        if not options.get("convoy_writing", False):
            # It touches no file, so that there is no error of it to be put in words: past all that SQLAlchemy does for those,
            # which costs as much again as a small answer.
            connection.connection.driver_connection.execute("BEGIN")  # type: ignore[union-attr]  # it is connected
            return
        # https://www.sqlite.org/lang_transaction.html: a transaction that reads first and writes later cannot wait for another.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _write_ahead(cursor: sqlite3.Cursor) -> None:
    """Where several processes open a new file at the same moment, SQLite tells all but one at once that it is locked, however
    long they would wait: each holds what the other wants (https://www.sqlite.org/wal.html#activating_and_configuring_wal_mode)."""
    end = time.monotonic() + BUSY_S
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= end:
                raise
        time.sleep(BETWEEN_S)


def seen(driver: Any) -> object:
    """Begins a transaction and says which state of the database it sees: another one whenever somebody else has committed since
    this connection asked before (https://www.sqlite.org/pragma.html#pragma_data_version; those that read write nothing)."""
    try:
        driver.execute("BEGIN")
        return driver.execute("PRAGMA data_version").fetchone()
    except sqlite3.Error as error:
        raise DBAPIError("", None, error, hide_parameters=True) from error


def ended(driver: Any) -> None:
    """The transaction that `seen` has begun is over."""
    try:
        driver.rollback()
    except sqlite3.Error as error:
        raise DBAPIError("", None, error, hide_parameters=True) from error


def has_table(connection: Connection, name: str) -> bool:
    """Asked in words that are made once: SQLAlchemy would look through all of the schema each time."""
    return bool(TABLE.rows(connection, table=name))


def private(path: Path) -> None:
    """The file is there and only ours to read, before any key is in it; SQLite gives its companions the same mode."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if stat.S_IMODE(os.fstat(file).st_mode) & 0o077:
            os.fchmod(file, 0o600)
    finally:
        os.close(file)


def clock(_connection: Connection) -> float | None:
    """None: whoever opens this file is on this machine, and has its clock."""
    return None


def text_at(column: ColumnElement[Any], path: Sequence[str]) -> ColumnElement[Any]:
    """What stands at this place of a JSON object; NULL where nothing does, or where it is none."""
    place = "$" + "".join(f'."{part}"' for part in path)
    return case((func.json_valid(column) == 1, cast(func.json_extract(column, place), Text)))


def ordered(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Text in the order of its characters."""
    return column


def like(column: ColumnElement[Any], pattern: str) -> ColumnElement[bool]:
    """`*` stands for any letters, `?` for one."""
    return column.op("GLOB", is_comparison=True, return_type=Boolean())(pattern.replace("[", "[[]"))


def words(error: BaseException | None) -> str:
    """What went wrong and what to do about it; only the driver's own words, for a statement's values may hold keys."""
    message = str(error)
    if "locked" in message:
        return f"{message} (another process has been writing for {BUSY_S:g} s: see what it does)"
    if "not a database" in message or "malformed" in message:
        return f"{message} (the file is damaged: restore a backup, or move it away and Convoy starts a new one)"
    if "full" in message:
        return f"{message} (make room on its disk)"
    return message
