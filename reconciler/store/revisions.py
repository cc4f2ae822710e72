"""The revisions that were judged, each together with what its commits told us, what it declares and its events."""

from collections.abc import Sequence
from typing import Literal

from sqlalchemy import func, select

from reconciler.core.declared import Declaration
from reconciler.core.facts import Order
from reconciler.core.model import Problem
from reconciler.seams import Seams
from reconciler.store import declarations, orders, proposals
from reconciler.store.database import Database
from reconciler.store.declarations import Declarations
from reconciler.store.happened import event_rows
from reconciler.store.logs import add, last_row
from reconciler.store.questions import Question
from reconciler.store.rows import Revision, problems_json, read_problems
from reconciler.store.tables import EVENTS, REVISIONS

# Verb and subject of each.
Abouts = Sequence[tuple[str, str]]
# Made once: it is asked with many a request.
_GOOD = select(REVISIONS.c.revision).where(REVISIONS.c.status == "good")
LAST_GOOD = Question(_GOOD.order_by(REVISIONS.c.number.desc()).limit(1))


def record(
    database: Database,
    seams: Seams,
    known: Declarations,
    revision: str,
    status: Literal["good", "refused"],
    problems: Sequence[Problem],
    told: Sequence[Order],
    taken_back: Abouts,
    declaration: Declaration | None,
    events: Sequence[tuple[str, str, str]],
    requests: Sequence[str],
) -> None:
    """In one transaction: orders without their revision, or a revision without its orders or events, would not be mended."""
    row = {"revision": revision, "status": status, "problems": problems_json(problems)}
    current = last_row(database, REVISIONS)
    same = current is not None and all(getattr(current, name) == value for name, value in row.items())
    news = known.news(declaration, last_good(database) or "") if declaration is not None else None
    if not same or told or taken_back or news or events:
        now = seams.now()
        with database.writing("revisions") as connection:
            orders.change(connection, told, taken_back)
            if not same:
                # Whoever pushes onto ours keeps it: what was in force before is so still.
                holds = max(proposals.in_force(connection), proposals.last_of(connection, requests)) if status == "good" else 0
                add(connection, now, REVISIONS, [row | {"proposal": holds}])
            if news:
                declarations.write(connection, now, news)
            if events:
                add(connection, now, EVENTS, event_rows(events))
    if news is not None:
        known.became(news)


def declare(database: Database, seams: Seams, known: Declarations, declaration: Declaration) -> None:
    """What the revision in force declares, where that is not what is kept: after an upgrade, or where rows were lost."""
    news = known.news(declaration, declaration.revision)
    if news:
        with database.writing("resources") as connection:
            declarations.write(connection, seams.now(), news)
    known.became(news)


def current(database: Database) -> Revision | None:
    row = last_row(database, REVISIONS)
    return None if row is None else Revision(row.revision, row.status, read_problems(row.problems), row.at)


def last_good(database: Database) -> str | None:
    with database.reading("revisions") as connection:
        return next((row.revision for row in LAST_GOOD.rows(connection)), None)


def good_since(database: Database, revision: str) -> float | None:
    query = select(func.min(REVISIONS.c.at)).where(REVISIONS.c.revision == revision, REVISIONS.c.status == "good")
    with database.reading("revisions") as connection:
        return connection.execute(query).scalar_one_or_none()


def judged(database: Database, before: float | None, most: int) -> list[Revision]:
    """Newest first; those judged before that time."""
    query = select(REVISIONS).order_by(REVISIONS.c.number.desc()).limit(most)
    query = query if before is None else query.where(REVISIONS.c.at < before)
    with database.reading("revisions") as connection:
        rows = connection.execute(query).all()
    return [Revision(row.revision, row.status, read_problems(row.problems), row.at) for row in rows]
