"""Orders: what people told Convoy beside Git: confirmed, suspended, taken over, held."""

from collections.abc import Iterable

from sqlalchemy import BindParameter, ColumnElement, Connection, and_, bindparam, delete, insert, select

from reconciler.core.facts import Order
from reconciler.store.database import Database
from reconciler.store.questions import Question
from reconciler.store.tables import ORDERS

Named = str | BindParameter[str]
# In every round, and for each batch of changes.
EVERY = Question(select(ORDERS).order_by(ORDERS.c.verb, ORDERS.c.subject))


def put(database: Database, order: Order) -> None:
    """A later order about the same replaces the earlier one."""
    with database.writing("orders") as connection:
        change(connection, (order,), ())


def change(connection: Connection, kept: Iterable[Order], dropped: Iterable[tuple[str, str]]) -> None:
    """In a transaction that is open."""
    for verb, subject in (*dropped, *((order.verb, order.subject) for order in kept)):
        connection.execute(delete(ORDERS).where(_about(verb, subject)))
    for order in kept:
        connection.execute(insert(ORDERS).values(**_row(order)))


def every(database: Database) -> tuple[Order, ...]:
    """In the order of verb and subject."""
    with database.reading("orders") as connection:
        rows = EVERY.rows(connection)
    return tuple(Order(row.verb, row.subject, row.reason, row.author, row.at, row.until) for row in rows)


def drop(database: Database, *orders: tuple[str, str]) -> int:
    """Verb and subject of each; how many there were. Nothing to drop writes nothing."""
    if not orders:
        return 0
    with database.reading("orders") as connection:
        if not _there(connection, orders):
            return 0
    with database.writing("orders") as connection:
        there = _there(connection, orders)
        if there:
            # Row by row: SQLite takes no condition of a thousand parts, and as many deletes may have been confirmed.
            statement = delete(ORDERS).where(_about(bindparam("v"), bindparam("s")))
            connection.execute(statement, [{"v": verb, "s": subject} for verb, subject in there])
        return len(there)


def _there(connection: Connection, orders: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    kept = {(row.verb, row.subject) for row in connection.execute(select(ORDERS.c.verb, ORDERS.c.subject))}
    return kept.intersection(orders)


def _about(verb: Named, subject: Named) -> ColumnElement[bool]:
    return and_(ORDERS.c.verb == verb, ORDERS.c.subject == subject)


def _row(order: Order) -> dict[str, object]:
    return {
        "verb": order.verb,
        "subject": order.subject,
        "reason": order.reason,
        "author": order.by,
        "at": order.at,
        "until": order.until,
    }
