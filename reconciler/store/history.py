"""Reads what changed: each change of each resource, and what each accepted revision changed in numbers."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Select, bindparam, func, or_, select, tuple_

from reconciler.core.declared import CHANGES, Changed, Version
from reconciler.store.database import Database
from reconciler.store.questions import Question, chunks, found
from reconciler.store.rows import read_object, sound
from reconciler.store.tables import HISTORY, RESOURCES

# More at once nobody reads, and its documents are all in memory.
MOST_ROWS = 1_000
_LAST = select(func.max(HISTORY.c.number).label("number")).where(HISTORY.c.number <= bindparam("number"))
LAST_UNTIL = Question(_LAST.group_by(HISTORY.c.ref), HISTORY.c.ref)


def changes(
    database: Database, ref: str | None, before: int | None, most: int, accepted: str | None, documents: bool
) -> list[Changed]:
    """Newest first: of one resource or all, below a number, of one accepted revision."""
    query = select(HISTORY)
    if ref is not None:
        query = query.where(HISTORY.c.ref == ref)
    if before is not None:
        query = query.where(HISTORY.c.number < before)
    if accepted is not None:
        query = query.where(HISTORY.c.accepted == accepted)
    return _changes(database, query, most, documents)


def nth(database: Database, ref: str, n: int) -> Changed | None:
    """One change of one resource, with its documents."""
    return next(iter(_changes(database, select(HISTORY).where(HISTORY.c.ref == ref, HISTORY.c.n == n), 1, True)), None)


def in_force(database: Database, ref: str, at: float) -> Changed | None:
    """The last change of one resource until then, with its documents."""
    return next(iter(_changes(database, select(HISTORY).where(HISTORY.c.ref == ref, HISTORY.c.at <= at), 1, True)), None)


def later(database: Database, number: int, kinds: Collection[str], most: int) -> list[str]:
    """Printed refs, of these kinds, of what has changed since that change; at most so many."""
    columns = HISTORY.c
    named = or_(*(columns.ref.startswith(f"{kind}/") for kind in kinds))
    query = select(columns.ref).where(columns.number > number, named).distinct().limit(most)
    with database.reading("history") as connection:
        return [row.ref for row in connection.execute(query)]


def until(database: Database, refs: Iterable[str], number: int) -> list[Changed]:
    """The last change of each of these resources up to that change of any, with its documents."""
    with database.reading("history") as connection:
        numbers = [row.number for row in found(connection, LAST_UNTIL, refs, number=number)]
    some = (
        _changes(database, select(HISTORY).where(HISTORY.c.number.in_(piece)), MOST_ROWS, True) for piece in chunks(numbers)
    )
    return [one for piece in some for one in piece]


def _changes(database: Database, query: Select[Any], most: int, documents: bool) -> list[Changed]:
    query = query.order_by(HISTORY.c.number.desc()).limit(min(most, MOST_ROWS))
    with database.reading("history") as connection:
        rows = [row for row in connection.execute(query) if sound(HISTORY, row) and row.change in CHANGES]
        after = _after(connection, rows) if documents else {}
    return [
        Changed(
            number=row.number,
            ref=row.ref,
            uid=row.uid,
            n=row.n,
            revision=row.revision,
            accepted=row.accepted,
            at=row.at,
            author=row.author,
            change=row.change,
            digest_before=row.digest_before,
            digest=row.digest,
            file=row.file,
            line=row.line,
            before=read_object(row.document_before) if documents else None,
            after=after.get((row.ref, row.n)),
            version=row.version,
            message=row.message,
        )
        for row in rows
    ]


def _after(connection: Connection, rows: Iterable[Any]) -> Mapping[tuple[str, int], Mapping[str, Any] | None]:
    """What each of these changes led to: what the next one put an end to, or what is declared now."""
    wanted = {(row.ref, row.n): row.digest for row in rows if row.digest}
    after: dict[tuple[str, int], Mapping[str, Any] | None] = {}
    next_one = tuple_(HISTORY.c.ref, HISTORY.c.n)
    query = select(HISTORY.c.ref, HISTORY.c.n, HISTORY.c.digest_before, HISTORY.c.document_before)
    for some in chunks((ref, n + 1) for ref, n in wanted):
        for row in connection.execute(query.where(next_one.in_(some))):
            if sound(HISTORY, row) and wanted[row.ref, row.n - 1] == row.digest_before:
                after[row.ref, row.n - 1] = read_object(row.document_before)
    now = select(RESOURCES.c.ref, RESOURCES.c.n, RESOURCES.c.digest, RESOURCES.c.document)
    for some in chunks({ref for ref, _ in wanted}):
        for row in connection.execute(now.where(RESOURCES.c.ref.in_(some))):
            if sound(RESOURCES, row) and wanted.get((row.ref, row.n)) == row.digest:
                after[row.ref, row.n] = read_object(row.document)
    return after


def version(database: Database, id: str) -> Version | None:
    """What a resource was, or is, declared as under this id; None where nothing was, or that is not kept any more."""
    columns = HISTORY.c
    query = select(columns.ref, columns.n, columns.accepted, columns.at, columns.author, columns.message)
    query = query.where(columns.version == id, columns.digest != "").order_by(columns.number.desc()).limit(1)
    now = RESOURCES.c
    with database.reading("history") as connection:
        row = connection.execute(query).first() if id else None
        if row is not None and sound(HISTORY, row):
            return Version(id, row.ref, row.n, row.accepted, row.at, row.author, row.message)
        # It changed so long ago that the change itself is not kept any more; of the commit that made it, that is.
        old = select(now.ref, now.n, now.revision, now.at, now.author, now.message).where(now.version == id)
        row = connection.execute(old.limit(1)).first() if id else None
    return Version(id, *row) if row is not None and sound(RESOURCES, row) else None


def numbered(database: Database, ref: str, n: int) -> Version | None:
    """What this resource was, or is, declared as from its `n`th change on."""
    columns, now = HISTORY.c, RESOURCES.c
    query = select(columns.version).where(columns.ref == ref, columns.n == n, columns.digest != "")
    with database.reading("history") as connection:
        id = connection.execute(query.order_by(columns.number.desc()).limit(1)).scalar()
        if id is None:
            id = connection.execute(select(now.version).where(now.ref == ref, now.n == n)).scalar()
    return version(database, str(id)) if id else None


def counts(database: Database, accepted: Iterable[str]) -> dict[tuple[str, float], dict[str, int]]:
    """By accepted revision and when it was: how many resources it created, changed, moved and deleted."""
    found: dict[tuple[str, float], dict[str, int]] = {}
    columns = HISTORY.c
    query = select(columns.accepted, columns.at, columns.change, func.count()).group_by(
        columns.accepted, columns.at, columns.change
    )
    with database.reading("history") as connection:
        for some in chunks(set(accepted)):
            for revision, at, change, count in connection.execute(query.where(columns.accepted.in_(some))):
                found.setdefault((revision, at), {})[change] = count
    return found
