"""Looks into a store without changing anything in it or beside it: also one that is damaged, older, newer or in use."""

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
from sqlalchemy import Connection, create_engine, func, inspect, select
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import DBAPIError

from reconciler.core.model import Ref
from reconciler.store import migrations
from reconciler.store.database import NoStore, failing, understood
from reconciler.store.hooks import Hook, Kept, read_hooks, read_kept
from reconciler.store.lease import LEASE
from reconciler.store.notices import read_troubled
from reconciler.store.tables import (
    CERTIFICATES,
    EVENTS,
    HOOK_DELIVERIES,
    HOOKS,
    LEASES,
    META,
    NOTICES,
    PLANS,
    STATE,
    STATUS,
)

# As long as anybody would wait for a page of words.
PATIENCE_S = 5.0


@dataclass(frozen=True)
class Examined:
    """What a store says of itself. Times are Unix seconds; `now` is by the clock that leases are compared with, or None.

    `newest` is the step of its tables that this Convoy knows. What cannot be read of it is empty, and `unreadable` says why.
    """

    shown: str
    step: int
    newest: int
    damage: tuple[str, ...] = ()
    unreadable: str = ""
    now: float | None = None
    installation: str = ""
    holder: str = ""
    expires_at: float = 0.0
    planned_at: float = 0.0
    latest_at: float = 0.0
    state: Mapping[str, Any] = field(default_factory=dict)
    status: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    certificates: Mapping[Ref, float] = field(default_factory=dict)
    # Inbound webhooks, and by their ids what has come.
    hooks: tuple[Hook, ...] = ()
    heard: Mapping[str, Kept] = field(default_factory=dict)
    # As Notices.troubled.
    untold: Sequence[Mapping[str, Any]] = ()


def examine(url: str) -> Examined:
    """Raises NoStore where nobody has made it yet, and StoreError where it cannot be opened."""
    parsed, dialect = understood(url)
    shown: str = dialect.shown(parsed)
    if not dialect.there(parsed):
        raise NoStore(f"there is no store {shown} yet")
    with failing(f"open the store {shown}", dialect), contextlib.ExitStack() as opened:
        engine = _sqlite(parsed) if parsed.get_backend_name() == "sqlite" else dialect.opened(parsed)
        opened.callback(engine.dispose)
        with engine.connect() as connection:
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql("SET TRANSACTION READ ONLY")
            return _examined(connection, shown, dialect)


def _sqlite(url: URL) -> Engine:
    path = Path(url.database or "")
    # https://www.sqlite.org/wal.html#read_only_databases: where nobody has it open, a mere look would leave two files behind.
    still = "" if Path(f"{path}-wal").exists() else "&immutable=1"

    def opened() -> sqlite3.Connection:
        return sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro{still}", uri=True, timeout=PATIENCE_S)

    return create_engine("sqlite://", creator=opened, hide_parameters=True)


def _examined(connection: Connection, shown: str, dialect: Any) -> Examined:
    step, newest = migrations.version(connection), len(migrations.STEPS)
    if not step:
        raise NoStore(f"there is no store in {shown} yet")
    damage: tuple[str, ...] = ()
    if connection.dialect.name == "sqlite":
        lines = [row[0] for row in connection.exec_driver_sql("PRAGMA quick_check(5)")]
        damage = tuple(line for line in lines if line != "ok")
    there = set(inspect(connection).get_table_names())
    found: dict[str, Any] = {}
    unreadable = ""
    for name, table, read in (
        ("installation", META, _installation),
        ("lease", LEASES, _lease),
        ("planned_at", PLANS, lambda c: _newest(c, PLANS)),
        ("latest_at", EVENTS, lambda c: max(_newest(c, EVENTS), _newest(c, PLANS))),
        ("state", STATE, lambda c: _bodies(c, STATE).get("fleet", {})),
        ("status", STATUS, lambda c: _bodies(c, STATUS)),
        ("certificates", CERTIFICATES, _certificates),
        ("hooks", HOOKS, read_hooks),
        ("heard", HOOK_DELIVERIES, lambda c: {row.id: read_kept(row) for row in c.execute(select(HOOK_DELIVERIES))}),
        ("untold", NOTICES, read_troubled),
    ):
        if table.name not in there:
            continue
        with _put_up_with() as failed:
            value: Any = read(connection)
            found |= value if name == "lease" else {name: value}
        unreadable = unreadable or (f"{table.name}: {dialect.words(failed[0])}" if failed else "")
    return Examined(shown, step, newest, damage, unreadable, dialect.clock(connection), **found)


@contextlib.contextmanager
def _put_up_with() -> Iterator[list[BaseException]]:
    """One table that is damaged says nothing of the others."""
    failed: list[BaseException] = []
    try:
        yield failed
    except DBAPIError as error:
        failed.append(error.orig or error)
    except (ValueError, TypeError) as error:
        failed.append(error)


def _installation(connection: Connection) -> str:
    value = connection.execute(select(META.c.value).where(META.c.name == "installation")).scalar_one_or_none()
    return bytes(value).decode() if value else ""


def _lease(connection: Connection) -> dict[str, Any]:
    row = connection.execute(select(LEASES).where(LEASES.c.name == LEASE)).one_or_none()
    return {} if row is None else {"holder": row.holder, "expires_at": row.expires_at}


def _newest(connection: Connection, table: Any) -> float:
    return float(connection.execute(select(func.max(table.c.at))).scalar_one_or_none() or 0.0)


def _bodies(connection: Connection, table: Any) -> dict[str, Any]:
    return {row.name: orjson.loads(row.body) for row in connection.execute(select(table.c.name, table.c.body))}


def _certificates(connection: Connection) -> dict[Ref, float]:
    rows = connection.execute(select(CERTIFICATES.c.ref, CERTIFICATES.c.not_after))
    return {Ref.parse(row.ref): row.not_after for row in rows}
