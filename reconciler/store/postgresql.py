"""PostgreSQL: a server that Convoys on several machines share, reached with psycopg 3."""

import re
from collections.abc import Sequence
from typing import Any

from sqlalchemy import JSON, ColumnElement, Connection, case, cast, collate, create_engine, event, func, inspect
from sqlalchemy.engine import URL, Engine

# How long to wait for another process that is writing: a hundred times what our longest transaction takes.
BUSY_S = 10.0
# A Convoy that is stopped or cut off in the middle of writing keeps others from it no longer than this: a lease lasts longer.
STUCK_S = 10.0
# A server that does not answer is given up after this long, whether it refuses, is silent, or went away without a word.
SILENT_S = 5
# Threads that ask at once: a few of our own, and those of each host that ask whether they may act; in the process that serves
# HTTP each request that reads, of which the 16 that may take long (api/limits.py) must leave some for others.
CONNECTIONS, MORE_CONNECTIONS = 5, 25
# The lock of whoever writes, in each schema its own. Its first number tells it from other programs' locks: "Cnvy".
LOCK = f"SELECT pg_advisory_xact_lock({int.from_bytes(b'Cnvy', 'big')}, hashtext(current_schema()))"
# Who writes what is not precious waits for nobody but others that do ("Cnvr"), and nobody else for it.
OTHER_LOCK = LOCK.replace(str(int.from_bytes(b"Cnvy", "big")), str(int.from_bytes(b"Cnvr", "big")))

# A reader sees what is committed when it begins and nothing later. A writer has to see, once it has the lock, all that the
# one before it wrote: so each of its statements looks anew. The snapshot of a stricter level would be older than the lock.
READING: dict[str, Any] = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True, "convoy_writing": False}
WRITING: dict[str, Any] = {"isolation_level": "READ COMMITTED", "convoy_writing": True}

# Nothing tells which state of the database a transaction sees, and a connection that is held may be gone when it is used next.
seen = ended = None


class Missing(Exception):
    """The driver for PostgreSQL is not installed."""


def shown(url: URL) -> str:
    """How the store is named to people: without user, password and options."""
    host = url.host or url.query.get("host") or "localhost"
    port = f":{url.port}" if url.port else ""
    return f"postgresql://{host}{port}/{url.database or ''}"


def wrong(url: URL) -> str:
    """What no store can be kept under, or ""."""
    if "@" in (url.host or ""):
        return "write an @ in its password as %40, or keep the password in a file ($PGPASSFILE)"
    if url.get_driver_name() not in ("psycopg", "psycopg2") or url.drivername == "postgresql+psycopg2":
        return "it begins with postgresql+psycopg://"
    if not url.database:
        return "it ends with the name of a database"
    return ""


def there(_url: URL) -> bool:
    """False where nobody has made it yet; True also where only a look inside tells."""
    return True


def opened(url: URL, *, precious: bool = True) -> Engine:
    """No connection is made yet. What is not `precious` may be lost by a power cut. Raises Missing."""
    try:
        engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            hide_parameters=True,
            pool_pre_ping=True,
            pool_size=CONNECTIONS,
            max_overflow=MORE_CONNECTIONS,
            pool_timeout=BUSY_S,
            connect_args=_connecting(url),
        )
    except ImportError as error:
        raise Missing(
            f"PostgreSQL is reached with psycopg, which cannot be used here ({error}): pip install 'convoy-fleet[postgres]'"
        ) from None

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: object) -> None:
        # Set here, not in the connection's options: those are the place for a search_path of one's own.
        for name, seconds in (
            ("lock_timeout", BUSY_S),
            ("statement_timeout", 3 * BUSY_S),
            ("idle_in_transaction_session_timeout", STUCK_S),
        ):
            connection.execute(f"SET {name} = {1000 * seconds:.0f}")
        # What is precious (keys, what Envoys refuse, the lease's epoch) survives a power cut, also where others take the risk.
        if precious:
            connection.execute(
                "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
            )
        else:
            connection.execute("SET synchronous_commit = off")
        connection.commit()

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        if connection.get_execution_options().get("convoy_writing", False):
            connection.exec_driver_sql(LOCK if precious else OTHER_LOCK)

    return engine


def _connecting(url: URL) -> dict[str, object]:
    """https://www.postgresql.org/docs/current/libpq-connect.html: what the URL does not say itself."""
    ours = {
        "application_name": "convoy",
        "connect_timeout": SILENT_S,
        "keepalives_idle": SILENT_S,
        "keepalives_interval": 1,
        "keepalives_count": SILENT_S,
        "tcp_user_timeout": 2 * 1000 * SILENT_S,
    }
    return {name: value for name, value in ours.items() if name not in url.query}


def has_table(connection: Connection, name: str) -> bool:
    return bool(inspect(connection).has_table(name))


def clock(connection: Connection) -> float | None:
    """The server's clock, in Unix seconds: the one that Convoys on several machines have in common."""
    return float(connection.exec_driver_sql("SELECT extract(epoch FROM clock_timestamp())::float8").scalar_one())


def text_at(column: ColumnElement[Any], path: Sequence[str]) -> ColumnElement[Any]:
    """What stands at this place of a JSON object; NULL where nothing does. Of one that holds a NUL, nothing can be read."""
    return case((~column.contains("\\u0000", autoescape=True), func.json_extract_path_text(cast(column, JSON), *path)))


def ordered(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Text in the order of its characters: a database's own order may leave out what is not a letter."""
    return collate(column, "C")


def like(column: ColumnElement[Any], pattern: str) -> ColumnElement[bool]:
    """`*` stands for any letters, `?` for one."""
    escaped = re.sub(r"([\\%_])", r"\\\1", pattern)
    return column.like(escaped.replace("*", "%").replace("?", "_"), escape="\\")


def words(error: BaseException | None) -> str:
    """What went wrong and what to do about it; without the details of a row, which may hold keys."""
    diagnosis = getattr(error, "diag", None)
    message = " ".join((getattr(diagnosis, "message_primary", None) or str(error)).split())
    for part, hint in (
        ("lock timeout", f"another process has been writing for {BUSY_S:g} s: see what it does"),
        ("password", "give one in $PGPASSFILE, or in the URL in $CONVOY_STORE"),
        ("does not exist", "make it, or see whether the URL names the right one"),
        ("permission denied", "this user has to own the database or the schema"),
        ("No space left", "make room on the server's disk"),
        ("read-only transaction", "the server is a replica: name the one that writes"),
        ("connection", "see whether PostgreSQL runs there and may be reached from here"),
    ):
        if part in message:
            return f"{message} ({hint})"
    return message
