"""Keeps what the last accepted revision declares, and how it came to be so; only what changed is written."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, bindparam, delete, func, insert, select

from reconciler.core.declared import (
    Change,
    Declaration,
    Declared,
    Maker,
    Place,
    differences,
    everything,
    place,
    touched,
    version_id,
)
from reconciler.core.model import Ref, Resource
from reconciler.store.database import Database
from reconciler.store.logs import last_number
from reconciler.store.questions import Question, chunks, found
from reconciler.store.resources import BY_REF, COLUMNS, read
from reconciler.store.rows import as_json, sound
from reconciler.store.tables import HISTORY, REPORTS, RESOURCES

# Of one resource; and of all together in changes and in bytes of documents: what a fleet of thousands does in years, and a
# store that still fits on anybody's disk. What is above is dropped from the oldest on, so many at a time.
MOST_OF_ONE, MOST, MOST_BYTES, DROPPED_AT_ONCE = 200, 100_000, 64 * 1024 * 1024, 2_000
# Its bytes are counted whenever so many more changes have been kept.
COUNTED_EVERY = 1_000
# A document above this is not kept once it has been changed.
LARGEST_KEPT = 128 * 1024
# More that name one resource nobody reads.
MOST_MENTIONING = 1_000
BY_NUMBER = Question(select(HISTORY), HISTORY.c.number)
_FIRST = select(HISTORY.c.ref, HISTORY.c.uid, func.min(HISTORY.c.at)).group_by(HISTORY.c.ref, HISTORY.c.uid)
FIRST = Question(_FIRST, HISTORY.c.ref)


@dataclass(frozen=True, slots=True)
class News:
    """What one declaration changes of what is `known`, by printed ref, and who made that change of each file."""

    declaration: Declaration
    changes: Mapping[str, tuple[Change | None, Resource | None]]
    makers: Mapping[str, Maker]
    known: dict[str, Place]

    def __bool__(self) -> bool:
        return bool(self.changes)


class Declarations:
    """Thread-safe as far as its caller writes from one thread at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # What is in the database, by printed ref; and the resources it was written from. Only the lease's holder writes it.
        self._known: dict[str, Place] | None = None
        self._last: Mapping[Ref, Resource] = {}

    def forget(self) -> None:
        """Somebody else may have written."""
        self._known, self._last = None, {}

    def news(self, declaration: Declaration, since: str) -> News:
        """What it changes; who made that is found out since the revision that was in force before."""
        known, last, now = self._known, self._last, declaration.resources
        # Until it is written nobody knows what is there.
        self.forget()
        if known is None:
            known = self.places()
            changes = differences(known, everything(known, now))
        else:
            changes = differences(known, touched(last, now))
        files = {resource.source.file if resource else known[ref].file for ref, (change, resource) in changes.items() if change}
        # Where nothing was known, the whole past is asked: the revision in force may be this very one.
        since = since if known and since != declaration.revision else ""
        return News(declaration, changes, declaration.makers(since, files) if files else {}, known)

    def became(self, news: News) -> None:
        """It is in the database."""
        for ref, (_, resource) in news.changes.items():
            if resource is None:
                news.known.pop(ref, None)
            else:
                news.known[ref] = place(resource)
        self._known, self._last = news.known, news.declaration.resources

    def every(self, refs: Iterable[str] | None = None) -> dict[str, Declared]:
        """By printed ref, in its order: these or all. What cannot be read is left out."""
        with self._database.reading("resources") as connection:
            rows = connection.execute(select(*COLUMNS)).all() if refs is None else found(connection, BY_REF, set(refs))
        return _read(rows)

    def mentioning(self, name: str) -> dict[str, Declared]:
        query = select(*COLUMNS).where(RESOURCES.c.document.contains(f'"{name}"', autoescape=True)).limit(MOST_MENTIONING)
        with self._database.reading("resources") as connection:
            return _read(connection.execute(query))

    def places(self) -> dict[str, Place]:
        """By printed ref, of all; what cannot be read is left out."""
        columns = RESOURCES.c
        query = select(columns.ref, columns.digest, columns.file, columns.line, columns.blob)
        with self._database.reading("resources") as connection:
            return {row.ref: Place(*row[1:]) for row in connection.execute(query) if sound(RESOURCES, row)}


def _read(rows: Iterable[Any]) -> dict[str, Declared]:
    every = {row.ref: read(row) for row in rows if sound(RESOURCES, row)}
    return {ref: one for ref, one in sorted(every.items()) if one is not None}


def write(connection: Connection, now: float, news: News) -> None:
    """In a transaction that is open."""
    was = _sound(RESOURCES, found(connection, BY_REF, news.changes))
    past = _sound(HISTORY, _newest(connection, news.changes))
    first = _first(connection, [ref for ref in past if ref not in was])
    number = last_number(connection, HISTORY)
    resources: list[dict[str, Any]] = []
    history: list[dict[str, Any]] = []
    for ref, (change, resource) in news.changes.items():
        old, last = was.get(ref), past.get(ref)
        kept = old
        if change and resource and last and (last.digest, last.file) == (resource.digest, resource.source.file):
            # Only the row was lost (history is in backups, and this is not): nothing has happened.
            change, kept = None, last
        if change is None and kept is not None:
            made = {name: getattr(kept, name) for name in ("revision", "author", "message", "n", "at", "version")}
        else:
            there = resource.source.file if resource else news.known[ref].file
            maker = news.makers.get(there) or Maker(news.declaration.revision)
            n = max(one.n for one in (old, last) if one) + 1 if old or last else 1
            made = {"revision": maker.revision, "author": maker.author, "message": maker.message, "n": n, "at": now}
            about = _change(ref, change or "changed", resource, old, news)
            made["version"] = version_id(about["uid"], about["accepted"])
            history.append({**about, **made, "number": number + len(history) + 1})
        if resource is not None:
            document = as_json(news.declaration.document(resource.ref))
            began = first.get((ref, resource.uid), made["at"])
            created = old.created if old is not None and old.uid == resource.uid else began
            resources.append({**_row(ref, resource), **made, "document": document, "created": created})
    connection.execute(delete(RESOURCES).where(RESOURCES.c.ref == bindparam("old")), [{"old": ref} for ref in news.changes])
    _forget_reports(connection, [old.uid for ref, old in was.items() if news.changes[ref][1] is None])
    for table, rows in ((RESOURCES, resources), (HISTORY, history)):
        if rows:
            connection.execute(insert(table), rows)
    _trim(connection, history, number)


def _forget_reports(connection: Connection, gone: Iterable[str]) -> None:
    """What is not declared any more says nothing of what may come under its name."""
    for some in chunks(gone):
        connection.execute(delete(REPORTS).where(REPORTS.c.uid.in_(some)))


def _change(ref: str, change: Change, resource: Resource | None, old: Any, news: News) -> dict[str, Any]:
    before = news.known.get(ref)
    here = place(resource) if resource else before or Place("", "", 1, "")
    document = old.document if old is not None and len(old.document) <= LARGEST_KEPT else ""
    return {
        "ref": ref,
        "uid": resource.uid if resource else old.uid if old is not None else "",
        "accepted": news.declaration.revision,
        "change": change,
        "digest_before": before.digest if before else "",
        "digest": resource.digest if resource else "",
        "file": here.file,
        "line": here.line,
        "document_before": document,
        "bytes": len(document),
    }


def _row(printed: str, resource: Resource) -> dict[str, Any]:
    ref, source = resource.ref, resource.source
    return {
        "ref": printed,
        "uid": resource.uid,
        "kind": ref.kind,
        "tenant": ref.tenant,
        "name": ref.name,
        "digest": resource.digest,
        "file": source.file,
        "line": source.line,
        "blob": source.blob,
    }


def _newest(connection: Connection, refs: Iterable[str]) -> list[Any]:
    """The newest change of each of these that is kept."""
    if connection.execute(select(HISTORY.c.number).limit(1)).first() is None:
        return []
    newest = select(func.max(HISTORY.c.number)).group_by(HISTORY.c.ref)
    numbers = [row[0] for some in chunks(refs) for row in connection.execute(newest.where(HISTORY.c.ref.in_(some)))]
    return found(connection, BY_NUMBER, numbers)


def _first(connection: Connection, refs: Iterable[str]) -> dict[tuple[str, str], float]:
    """When each of these was changed first, by ref and uid, as far as that is kept."""
    return {(ref, uid): at for ref, uid, at in found(connection, FIRST, refs)}


def _sound(table: Table, rows: Iterable[Any]) -> dict[str, Any]:
    return {row.ref: row for row in rows if sound(table, row)}


def _trim(connection: Connection, added: Sequence[Mapping[str, Any]], before: int) -> None:
    """Drop what is above the limits."""
    long = [{"old": row["ref"], "end": row["n"] - MOST_OF_ONE} for row in added if row["n"] > MOST_OF_ONE]
    if long:
        old = (HISTORY.c.ref == bindparam("old")) & (HISTORY.c.n <= bindparam("end"))
        connection.execute(delete(HISTORY).where(old), long)
    end = before + len(added)
    first = connection.execute(select(func.min(HISTORY.c.number))).scalar_one()
    if first is None:
        return
    keep = end - MOST + 1
    if before // COUNTED_EVERY != end // COUNTED_EVERY:
        total = connection.execute(select(func.sum(HISTORY.c.bytes))).scalar_one() or 0
        if total > MOST_BYTES:
            # Half a round more than is added meanwhile, so that it gets smaller whatever comes.
            keep = max(keep, first + DROPPED_AT_ONCE)
    keep = min(keep, first + max(DROPPED_AT_ONCE, 2 * len(added)))
    if keep > first:
        connection.execute(delete(HISTORY).where(HISTORY.c.number < keep))
