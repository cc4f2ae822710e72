"""The audit: every call of every surface, who made it and what came of it; kept longest of what matters most."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from sqlalchemy import ColumnElement, func, select

from reconciler.store.database import Database
from reconciler.store.logs import keep_newest, last_number
from reconciler.store.people_tables import AUDIT
from reconciler.store.questions import chunks, put
from reconciler.store.rows import as_json, read_object, sound

# How many rows of each class are kept, about: changes by somebody known, whatever else somebody known asked, and what nobody
# known asked. Each has a cap of its own, so that no flood of one washes away another.
CHANGE, READ, NOBODY = "change", "read", "nobody"
KEPT = {CHANGE: 200_000, READ: 100_000, NOBODY: 20_000}
# What one row says about a change; more of it is in Git.
LARGEST_CHANGES = 16_384
LONGEST_TEXT = 256


@dataclass(frozen=True, slots=True)
class Call:
    """One call. `account` is an id, "" for nobody and for a token that is nobody's; `by` an e-mail or a token's name; `tenant`
    "" for nobody. `before` and `after`: the fields that a change changed, None where it was none."""

    at: float
    kind: str
    account: str
    by: str
    tenant: str
    surface: str
    action: str
    resource_type: str
    resource_id: str
    address: str
    agent: str
    status: int
    request: str
    before: Mapping[str, Any] | None = field(default=None, repr=False)
    after: Mapping[str, Any] | None = field(default=None, repr=False)
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    number: int = 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which calls: those of these tenants, and of what else is not None. Times are Unix seconds; `until` is not among them."""

    tenants: Sequence[str]
    account: str | None = None
    action: str | None = None
    resource_type: str | None = None
    since: float | None = None
    until: float | None = None


PLAIN = tuple(one.name for one in fields(Call) if one.name not in ("number", "before", "after"))


class Audit:
    """That of one store. Thread-safe; raises StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._since_trimmed: dict[str, int] = {}

    def add(self, calls: Sequence[Call]) -> None:
        """In their order, in one transaction."""
        if not calls:
            return
        with self._database.writing("audit") as connection:
            last = last_number(connection, AUDIT)
            for some in chunks(_row(call, last + place) for place, call in enumerate(calls, 1)):
                put(connection, AUDIT, some)
            for kind, kept in KEPT.items():
                new = self._since_trimmed.get(kind, kept) + sum(call.kind == kind for call in calls)
                if new > kept // 20:
                    keep_newest(connection, AUDIT, AUDIT.c.kind == kind, kept)
                    new = 0
                self._since_trimmed[kind] = new

    def page(self, wanted: Wanted, most: int, *, start: int = 0, beyond: int | None = None, rising: bool = False) -> list[Call]:
        """The newest first, or `rising`; from the `start`th on, or beyond a number."""
        query = select(AUDIT).where(*_conditions(wanted))
        if beyond is not None:
            query = query.where(AUDIT.c.number > beyond if rising else AUDIT.c.number < beyond)
        query = query.order_by(AUDIT.c.number if rising else AUDIT.c.number.desc()).offset(start).limit(most)
        with self._database.reading("audit") as connection:
            return [_call(row) for row in connection.execute(query) if sound(AUDIT, row)]

    def count(self, wanted: Wanted) -> int:
        with self._database.reading("audit") as connection:
            return connection.execute(select(func.count()).select_from(AUDIT).where(*_conditions(wanted))).scalar_one()


def _conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [AUDIT.c.tenant.in_(wanted.tenants)]
    for column, value in (
        (AUDIT.c.account, wanted.account),
        (AUDIT.c.action, wanted.action),
        (AUDIT.c.resource_type, wanted.resource_type),
    ):
        if value is not None:
            found.append(column == value)
    if wanted.since is not None:
        found.append(AUDIT.c.at >= wanted.since)
    if wanted.until is not None:
        found.append(AUDIT.c.at < wanted.until)
    return found


def _row(call: Call, number: int) -> dict[str, Any]:
    row: dict[str, Any] = {"number": number, "before": _changes(call.before), "after": _changes(call.after)}
    for name in PLAIN:
        value = getattr(call, name)
        row[name] = value[:LONGEST_TEXT] if isinstance(value, str) else value
    return row


def _changes(changed: Mapping[str, Any] | None) -> str:
    if changed is None:
        return ""
    text = as_json(changed)
    return text if len(text) <= LARGEST_CHANGES else as_json({"_": f"{len(text)} bytes are too many for a row: Git has them"})


def _call(row: Any) -> Call:
    values = dict(row._mapping)
    for name in ("before", "after"):
        values[name] = read_object(values[name]) if values[name] else None
    return Call(**values)
