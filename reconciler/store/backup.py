"""Backups: everything in the store that cannot be had again by looking, in one file that any database can take back."""

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlalchemy import Connection, DefaultClause, Float, Integer, LargeBinary, Table, delete, insert, select

from reconciler.store import lease, migrations
from reconciler.store.audit import CHANGE
from reconciler.store.database import Database, StoreError
from reconciler.store.people_tables import ACCOUNTS, AUDIT, PASSWORDS, ROLES_GIVEN, SIGNING_KEYS, SIGNING_SECRETS
from reconciler.store.tables import (
    BLOBS,
    CERTIFICATE_KEYS,
    CERTIFICATES,
    EVENTS,
    GOODS,
    GUARDS,
    HISTORY,
    HOME,
    HOOK_SECRETS,
    HOOKS,
    LEASES,
    META,
    METADATA,
    NOTICES,
    ORDERS,
    PROPOSALS,
    REFUSED,
    REPORTS,
    REVISIONS,
    SETS,
    TELLINGS,
    TOKENS,
    TOLD,
)

# In an order in which they can be written: what others point to comes first. The leases come for their epochs alone. Of the
# history Git knows only the commits: not what came into force, nor when; what is declared now is read from Git again.
PRECIOUS = (
    META,
    LEASES,
    ORDERS,
    GUARDS,
    ACCOUNTS,
    ROLES_GIVEN,
    PASSWORDS,
    SIGNING_KEYS,
    SIGNING_SECRETS,
    AUDIT,
    TOKENS,
    HOOKS,
    HOOK_SECRETS,
    REVISIONS,
    HISTORY,
    EVENTS,
    REFUSED,
    BLOBS,
    SETS,
    GOODS,
    CERTIFICATES,
    CERTIFICATE_KEYS,
    TELLINGS,
    TOLD,
    NOTICES,
    PROPOSALS,
    REPORTS,
)
# The first words of every backup that is not sealed.
BEGINS = b'{"convoy":"backup"'
FORMAT = 1
AT_ONCE = 500


class BackupError(Exception):
    """What was given as a backup cannot be restored; the message says why. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class Backup:
    """`rows`: table ⇒ its rows. `files`: name ⇒ text, of what is precious and beside the store. Holds keys."""

    installation: str
    at: float
    rows: Mapping[str, list[dict[str, Any]]] = field(repr=False)
    files: Mapping[str, str] = field(default_factory=dict, repr=False)


def take(database: Database, at: float, files: Mapping[str, str]) -> Backup:
    """Everything precious as it is at one moment, whatever is written meanwhile."""
    with database.reading("backup") as connection:
        rows = {table.name: _rows(connection, table) for table in PRECIOUS}
    installation = next((bytes(row["value"]).decode() for row in rows[META.name] if row["name"] == "installation"), "")
    return Backup(installation, at, rows, files)


def _rows(connection: Connection, table: Table) -> list[dict[str, Any]]:
    names = [str(column.name) for column in table.columns]
    query = select(table).order_by(*table.primary_key.columns)
    if table is GUARDS:
        query = query.where(GUARDS.c.name.not_like(f"{HOME}%"))
    if table is AUDIT:
        # Who has only looked is no part of what must not be lost.
        query = query.where(AUDIT.c.kind == CHANGE)
    return [dict(zip(names, row, strict=True)) for row in connection.execute(query)]


def put(database: Database, backup: Backup, *, force: bool, last: Callable[[], None] = lambda: None) -> None:
    """Make the store what the backup holds, in one transaction; `last` is called in it when all else has succeeded.

    Raises StoreError where a Convoy acts on it, and where it has been used already unless `force`.
    """
    with database.writing("backup", fenced=False) as connection:
        now = database.now(connection)
        acting = [row.holder for row in connection.execute(select(LEASES)) if lease.held(row, now)]
        if acting:
            raise StoreError(f"a Convoy is at work on the store {database.shown} ({acting[0]}): stop it first")
        if not force:
            _unused(connection, database.shown)
        epochs = {row.name: row.epoch for row in connection.execute(select(LEASES))}
        for table in reversed(METADATA.sorted_tables):
            connection.execute(delete(table))
        for table in PRECIOUS:
            rows = backup.rows.get(table.name, [])
            if table is LEASES:
                rows = _ended(rows, epochs)
            for begin in range(0, len(rows), AT_ONCE):
                connection.execute(insert(table), rows[begin : begin + AT_ONCE])
        last()


def _unused(connection: Connection, shown: str) -> None:
    for table in METADATA.sorted_tables:
        if connection.execute(select(table).limit(1)).first() is not None:
            raise StoreError(
                f"the store {shown} has been used already, and restoring replaces all that is in it: restore into a new one, "
                "or say --force"
            )


def _ended(rows: Iterable[Mapping[str, Any]], epochs: dict[str, int]) -> list[dict[str, Any]]:
    """Nobody holds a lease, and the next holder's epoch is above every one that was ever given, here or there."""
    for row in rows:
        epochs[row["name"]] = max(epochs.get(row["name"], 0), row["epoch"])
    nobody = {"holder": "", "expires_at": 0.0, "ttl_s": 0.0}
    return [{"name": name, "epoch": epoch + 1, **nobody} for name, epoch in sorted(epochs.items())]


def written(backup: Backup) -> bytes:
    """As lines of JSON: what it is, the rows, the files, and a digest of all that."""
    head = {"convoy": "backup", "format": FORMAT, "schema": len(migrations.STEPS)}
    lines = [orjson.dumps({**head, "installation": backup.installation, "at": backup.at})]
    for table in PRECIOUS:
        lines += [orjson.dumps([table.name, _plain(row)]) for row in backup.rows.get(table.name, ())]
    lines += [orjson.dumps(["", {"name": name, "text": text}]) for name, text in sorted(backup.files.items())]
    body = b"".join(line + b"\n" for line in lines)
    return body + orjson.dumps({"sha256": hashlib.sha256(body).hexdigest()}) + b"\n"


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value for name, value in row.items()
    }


def read(text: bytes) -> Backup:
    """What `written` made; raises BackupError for what is damaged, cut short, or of a newer Convoy."""
    body, _, last = text.rstrip(b"\n").rpartition(b"\n")
    body += b"\n"
    try:
        head, *lines = [orjson.loads(line) for line in body.splitlines()]
        if not isinstance(head, dict) or head.get("convoy") != "backup":
            raise BackupError("this is no backup of Convoy's")
        if head["format"] > FORMAT or head["schema"] > len(migrations.STEPS):
            raise BackupError("a newer Convoy has made this backup: restore it with that one")
        if orjson.loads(last) != {"sha256": hashlib.sha256(body).hexdigest()}:
            raise BackupError("this backup is damaged or cut short: its digest is another")
        return _understood(head, lines)
    except (ValueError, KeyError, TypeError, binascii.Error):
        # What was read is not told: there are keys in it.
        raise BackupError("this backup is damaged or cut short, or it is none") from None


def _understood(head: Mapping[str, Any], lines: Iterable[Any]) -> Backup:
    tables = {table.name: table for table in PRECIOUS}
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in tables}
    files: dict[str, str] = {}
    older = head["schema"] < len(migrations.STEPS)
    for name, row in lines:
        if name:
            rows[name].append(_row(tables[name], (_later(tables[name]) | row) if older else row))
        else:
            files[str(row["name"])] = str(row["text"])
    return Backup(str(head["installation"]), float(head["at"]), rows, files)


def _later(table: Table) -> dict[str, Any]:
    """What a column that came later has in rows that were there before."""
    found: dict[str, Any] = {}
    for column in table.columns:
        default = column.server_default
        if isinstance(default, DefaultClause):
            given = str(default.arg)
            number = int if isinstance(column.type, Integer) else float if isinstance(column.type, Float) else None
            found[column.name] = number(given) if number is not None else given
    return found


def _row(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    """As the database takes it. Every column of the table, each of its type, and no other."""
    result: dict[str, Any] = {}
    for column in table.columns:
        value = row[column.name]
        kind: tuple[type, ...] = (str,)
        if isinstance(column.type, LargeBinary):
            value, kind = base64.b64decode(value["base64"], validate=True), (bytes,)
        elif isinstance(column.type, Integer):
            kind = (int,)
        elif isinstance(column.type, Float):
            kind = (float, int)
        if not isinstance(value, kind) and not (value is None and column.nullable):
            raise TypeError(column.name)
        result[column.name] = value
    if len(result) != len(row):
        raise TypeError(table.name)
    return result
