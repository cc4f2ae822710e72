"""Readings: what Envoys served, minute by minute, and rolled up; in a database of its own, which may be lost at any time.

Beside a store in a file it is a second file; in PostgreSQL, tables of its own. It is in no backup, no migration keeps it, and
one that is broken is started anew.
"""

import contextlib
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, bindparam, delete, exists, func, insert, inspect, select
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from reconciler.core.readings import MINUTE_S, Reading, rolled
from reconciler.seams import Seams
from reconciler.store.database import StoreError, failing, understood
from reconciler.store.questions import Question, found
from reconciler.store.readers import Readers
from reconciler.store.readings_rows import (
    FINER,
    MARKS,
    METADATA,
    ROWS,
    SHARES,
    SUBJECTS,
    VERSION,
    by_name,
    mark,
    marked,
    number,
    put,
    reading,
    spans,
)

# What the database says when what is there is of no use, or takes the room that others need.
BROKEN = (
    "not a database",
    "malformed",
    "not decode",
    "no such column",
    "no such table",
    "has no column",
    "does not exist",
    "is full",
    "No space left",
)
# What the clock said that was put right meanwhile.
AHEAD_S = 2 * MINUTE_S


RECENT = Question(
    select(ROWS).where(ROWS.c.step == MINUTE_S, ROWS.c.at >= bindparam("since")).order_by(ROWS.c.at), ROWS.c.subject
)


class Readings:
    """Thread-safe. Raises StoreError. Nothing is opened, and no file made, before something is written."""

    def __init__(self, store: str, seams: Seams) -> None:
        """`store` is the URL of the store that this belongs to."""
        self._seams = seams
        self._url, self._dialect = understood(store)
        if self._url.get_backend_name() == "sqlite":
            file = Path(self._url.database or "")
            self._url = self._url.set(database=str(file.with_name(f"{file.stem}-readings.db")))
        self.shown: str = self._dialect.shown(self._url)
        self._engine: Engine | None = None
        self._lock = threading.Lock()
        # Connections that read, and which file they have opened; whoever reads never waits for who writes.
        self._readers: Readers | None = None
        self._read: object = None
        self._opening = threading.Lock()

    def close(self) -> None:
        if self._readers is not None:
            self._readers.close()
        if self._engine is not None:
            self._engine.dispose()

    # Writing: one thread of the Convoy that acts

    def write(self, minutes: Mapping[tuple[str, int], Reading], system: Mapping[str, Any], now: float) -> None:
        """Subject and minute ⇒ what was served in it, added to what is there already; what is over by `now` is rolled up.

        In one transaction: all of it or nothing.
        """
        with self._writing("write") as connection:
            ids = self._numbered(connection, {subject for subject, _ in minutes})
            new = {(ids[subject], at): one for (subject, at), one in minutes.items()}
            put(connection, MINUTE_S, new, add=True)
            mark(connection, "system", system)
            self._roll(connection, int(now), min((at for _, at in minutes), default=None))

    def purge(self, keep_s: Mapping[int, int], most: int, now: float) -> int:
        """Drop what is older than its resolution is kept, or beyond `most` rows in all; how many rows that were."""
        dropped = 0
        with self._writing("purge") as connection:
            for step, seconds in keep_s.items():
                of = ROWS.c.step == step
                # What is not rolled up yet stays until it is.
                coarser = next((one for one, finer in FINER.items() if finer == step), None)
                safe = int(now) if coarser is None else number(connection, f"rolled {coarser}") or 0
                old = (ROWS.c.at < min(int(now) - seconds, safe)) | (ROWS.c.at > int(now) + AHEAD_S)
                dropped += connection.execute(delete(ROWS).where(of, old)).rowcount
                there = connection.execute(select(func.count()).select_from(ROWS).where(of)).scalar_one()
                over = there - int(SHARES[step] * most)
                if over > 0:
                    last = select(ROWS.c.at).where(of).order_by(ROWS.c.at).offset(over - 1).limit(1).scalar_subquery()
                    dropped += connection.execute(delete(ROWS).where(of, ROWS.c.at <= last, ROWS.c.at < safe)).rowcount
            if dropped:
                unused = ~exists().where(ROWS.c.subject == SUBJECTS.c.id)
                connection.execute(delete(SUBJECTS).where(unused))
        return dropped

    def _numbered(self, connection: Connection, subjects: Iterable[str]) -> dict[str, int]:
        # Asked each time: another Convoy may have dropped some since, and given their numbers to others.
        wanted = sorted(subjects)
        known = by_name(connection, wanted)
        last = connection.execute(select(func.max(SUBJECTS.c.id))).scalar_one() or 0
        made = {subject: last + n for n, subject in enumerate((one for one in wanted if one not in known), 1)}
        if made:
            connection.execute(insert(SUBJECTS), [{"id": id, "subject": subject} for subject, id in made.items()])
        return known | made

    def _roll(self, connection: Connection, now: int, since: int | None) -> None:
        """What is finer than each resolution, added up for every span of it that has something new and is over."""
        for step, finer in FINER.items():
            name = f"rolled {step}"
            done = number(connection, name)
            if since is not None:
                # A clock that was put back, or what came late: the span is made anew from all that is in it.
                done = min(done, since - since % step) if done is not None else since - since % step
            end = now - now % step
            if done is None or done >= end:
                if done is not None:
                    mark(connection, name, done)
                continue
            of = (ROWS.c.step == finer, ROWS.c.at < end)
            while True:
                # From span to span that has anything, one at a time: a Convoy that was away has many, most of them empty.
                first = connection.execute(select(func.min(ROWS.c.at)).where(*of, ROWS.c.at >= done)).scalar_one()
                if first is None:
                    break
                begin = first - first % step
                rows = connection.execute(select(ROWS).where(*of, ROWS.c.at >= begin, ROWS.c.at < begin + step))
                whole = rolled(((row.subject, row.at, one) for row in rows if (one := reading(row)) is not None), step)
                put(connection, step, whole, add=False)
                since = begin if since is None else min(since, begin)
                done = begin + step
            mark(connection, name, end)

    # Reading: any process

    def read(self, subject: str, step: int, start: int, end: int) -> dict[int, Reading]:
        """When each span of `step` seconds begins, from `start` to before `end` ⇒ what was served in it; gaps are not there.

        What is not rolled up yet is, for the answer.
        """
        with self._reading("read") as connection:
            if connection is None:
                return {}
            id = by_name(connection, [subject]).get(subject)
            return {} if id is None else spans(connection, id, step, start - start % step, end)

    def latest(self, subjects: Iterable[str], since: int) -> dict[str, tuple[int, Reading]]:
        """Subject ⇒ its last minute that began at or after `since`, and what was served in it."""
        with self._reading("read") as connection:
            if connection is None:
                return {}
            names = {id: name for name, id in by_name(connection, set(subjects)).items()}
            rows = found(connection, RECENT, names, since=since)
            return {names[row.subject]: (row.at, one) for row in rows if (one := reading(row)) is not None}

    def system(self) -> dict[str, Any]:
        """The latest about the whole system, as `write` was given it."""
        with self._reading("read") as connection:
            last = marked(connection, "system") if connection is not None else None
        return last if isinstance(last, dict) else {}

    # How it is opened

    @contextlib.contextmanager
    def _writing(self, what: str) -> Iterator[Connection]:
        with self._lock, self._failing(what):
            self._seams.point("readings.write", what)
            try:
                with self._opened().connect().execution_options(convoy_writing=True) as connection:
                    self._prepare(connection)
                    with connection.begin():
                        yield connection
            except DBAPIError as error:
                if not any(word in str(error.orig) for word in BROKEN):
                    raise
                self._start_anew()
                why = " ".join(str(error.orig).split())
                raise StoreError(f"cannot {what} the readings in {self.shown}, so they are begun anew: {why}") from None

    def _prepare(self, connection: Connection) -> None:
        """The tables are there, and ours."""
        with connection.begin():
            if inspect(connection).has_table(MARKS.name):
                if marked(connection, "version") == VERSION:
                    return
                METADATA.drop_all(connection)
            METADATA.create_all(connection)
            mark(connection, "version", VERSION)

    def _start_anew(self) -> None:
        """What is there is of no use any more. Whoever writes next makes it again."""
        with contextlib.suppress(OSError, SQLAlchemyError):
            if self._url.get_backend_name() == "sqlite":
                for end in ("", "-wal"):
                    _lose(Path(f"{self._url.database}{end}"))
                # That others have it mapped; it is small.
                Path(f"{self._url.database}-shm").unlink(missing_ok=True)
            else:
                with self._opened().begin() as connection:
                    METADATA.drop_all(connection)

    @contextlib.contextmanager
    def _reading(self, what: str) -> Iterator[Connection | None]:
        """None where nothing was ever written, or all of it was lost just now."""
        file = self._file()
        if file is None:
            yield None
            return
        with self._failing(what):
            self._seams.point("readings.read", what)
            readers = self._lending(file)
            connection = readers.lend()
            try:
                yield connection if self._dialect.has_table(connection, MARKS.name) else None
            except BaseException:
                readers.drop(connection)
                raise
            readers.back(connection)

    def _lending(self, file: object) -> Readers:
        with self._opening:
            if self._readers is None or file != self._read:
                if self._readers is not None:
                    self._readers.close()
                self._readers, self._read = Readers(self._opened(), self._dialect), file
            return self._readers

    def _opened(self) -> Engine:
        if self._engine is None or self._gone():
            # A file is ours alone to read from its beginning.
            self._engine = self._dialect.opened(self._url, precious=False)
        return self._engine

    def _gone(self) -> bool:
        return self._file() is None

    def _file(self) -> object:
        """Which one it is: another may be in its place at any time, and while one is open no other is called as it is. None
        where there is none."""
        if self._url.get_backend_name() != "sqlite":
            return ""
        try:
            found = os.stat(self._url.database or "")
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _failing(self, verb: str) -> contextlib.AbstractContextManager[None]:
        return failing(f"{verb} the readings in {self.shown}", self._dialect)


def _lose(path: Path) -> None:
    """The file is gone, and so is the room that it takes, also where somebody holds it open to read from it. Raises OSError."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        path.unlink(missing_ok=True)
        return
    try:
        path.unlink()
        os.ftruncate(file, 0)
    finally:
        os.close(file)
