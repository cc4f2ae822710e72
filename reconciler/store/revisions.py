"""The revisions that were judged, each together with what its commits told us."""

from collections.abc import Sequence
from typing import Literal

from reconciler.core.facts import Order
from reconciler.core.model import Problem
from reconciler.seams import Seams
from reconciler.store import orders
from reconciler.store.database import Database
from reconciler.store.logs import add, last_row
from reconciler.store.rows import problems_json
from reconciler.store.tables import REVISIONS

# Verb and subject of each.
Abouts = Sequence[tuple[str, str]]


def record(
    database: Database,
    seams: Seams,
    revision: str,
    status: Literal["good", "refused"],
    problems: Sequence[Problem],
    told: Sequence[Order],
    taken_back: Abouts,
) -> None:
    """In one transaction, for an order without its revision, or a revision without its orders, would not be mended."""
    row = {"revision": revision, "status": status, "problems": problems_json(problems)}
    current = last_row(database, REVISIONS)
    same = current is not None and all(getattr(current, name) == value for name, value in row.items())
    if same and not told and not taken_back:
        return
    with database.writing("revisions") as connection:
        orders.change(connection, told, taken_back)
        if not same:
            add(connection, seams.now(), REVISIONS, [row])
