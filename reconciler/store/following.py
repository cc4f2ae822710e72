"""Follows a store from outside: each look reads what has changed since the last, and hardly anything where nothing has."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, func, select

from reconciler.store.current import last_number
from reconciler.store.database import Database
from reconciler.store.rows import Event, event, read_object
from reconciler.store.tables import CHANGES, DELIVERIES, EVENTS, OUTCOMES, PLANS, STATE, STATUS

# Of what happened since the last look no more is read than a screen could ever show.
MOST_NEWS = 200


@dataclass(frozen=True, slots=True)
class News:
    """What changed since the look before: printed ref ⇒ its status, or None for one that is gone; where the fleet stands and
    the last plan, each None where it is the same as before; the newest events and outcomes with their numbers, oldest first.
    `anew` says that `status` is all there is, and what was known before counts no more."""

    status: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)
    state: Mapping[str, Any] | None = None
    plan: Mapping[str, Any] | None = None
    events: tuple[Event, ...] = ()
    outcomes: tuple[Mapping[str, Any], ...] = ()
    # Node ⇒ where this proxy stands with what it is told, as kept; None where that is the same as before.
    proxies: Mapping[str, Mapping[str, Any]] | None = None
    anew: bool = False

    def __bool__(self) -> bool:
        told = (self.state, self.plan, self.proxies)
        return bool(self.status or self.events or self.outcomes or self.anew) or any(one is not None for one in told)


class Following:
    """One reader's place in a store. For one thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._changed, self._names = -1, set[str]()
        self._state: str | None = None
        self._plan = self._event = self._outcome = -1
        self._delivered: tuple[object, ...] = (0, None, None)

    def look(self) -> News:
        """Raises StoreError."""
        with self._database.reading("what has changed") as connection:
            bodies = {row.name: row.body for row in connection.execute(select(STATE.c.name, STATE.c.body))}
            status, anew = self._statuses(connection, last_number(bodies.get(CHANGES)))
            return News(
                status,
                self._fleet(bodies.get("fleet", "{}")),
                self._last_plan(connection),
                self._events(connection),
                self._outcomes(connection),
                self._deliveries(connection),
                anew,
            )

    def _statuses(self, connection: Connection, number: int) -> tuple[dict[str, dict[str, Any] | None], bool]:
        # A store that was restored counts from the beginning.
        anew = self._changed < 0 or number < self._changed
        if number == self._changed:
            return {}, False
        query = select(STATUS.c.name, STATUS.c.body)
        rows = connection.execute(query if anew else query.where(STATUS.c.changed > self._changed)).all()
        found: dict[str, dict[str, Any] | None] = {row.name: read_object(row.body) for row in rows}
        names = found.keys() if anew else self._names | found.keys()
        if not anew and connection.execute(select(func.count()).select_from(STATUS)).scalar_one() != len(names):
            there = set(connection.execute(select(STATUS.c.name)).scalars())
            found |= dict.fromkeys(names - there)
            names = there
        self._changed, self._names = number, set(names)
        return found, anew

    def _fleet(self, body: str) -> dict[str, Any] | None:
        if body == self._state:
            return None
        self._state = body
        return read_object(body) or {}

    def _last_plan(self, connection: Connection) -> dict[str, Any] | None:
        newest = connection.execute(select(func.max(PLANS.c.number))).scalar_one() or 0
        if newest == self._plan:
            return None
        self._plan = newest
        body = connection.execute(select(PLANS.c.body).where(PLANS.c.number == newest)).scalar_one_or_none()
        return (read_object(body) or {}) if body else {}

    def _events(self, connection: Connection) -> tuple[Event, ...]:
        query = select(EVENTS).where(EVENTS.c.number > self._event).order_by(EVENTS.c.number.desc()).limit(MOST_NEWS)
        rows = connection.execute(query).all()
        self._event = rows[0].number if rows else max(self._event, 0)
        return tuple(event(row) for row in reversed(rows))

    def _outcomes(self, connection: Connection) -> tuple[dict[str, Any], ...]:
        query = select(OUTCOMES).where(OUTCOMES.c.number > self._outcome).order_by(OUTCOMES.c.number.desc()).limit(MOST_NEWS)
        rows = connection.execute(query).all()
        self._outcome = rows[0].number if rows else max(self._outcome, 0)
        return tuple(found for row in reversed(rows) if (found := read_object(row.body)) is not None)

    def _deliveries(self, connection: Connection) -> dict[str, dict[str, Any]] | None:
        # Each says since when it is so, and thereby that it is another.
        at = DELIVERIES.c.at
        token = tuple(connection.execute(select(func.count(), func.max(at), func.sum(at)).select_from(DELIVERIES)).one())
        if token == self._delivered:
            return None
        self._delivered = token
        rows = connection.execute(select(DELIVERIES.c.node, DELIVERIES.c.body)).all()
        return {row.node: found for row in rows if (found := read_object(row.body)) is not None}
