"""Opens the database and runs transactions in it: many that read, one at a time that writes, one kind of error."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from reconciler.seams import Seams
from reconciler.store import migrations, postgresql, sqlite
from reconciler.store.readers import Readers
from reconciler.store.tables import LEASES
from reconciler.store.views import VIEW, Reading, View

# Each is a module with the same functions: all that differs between the databases is in there.
DIALECTS: dict[str, Any] = {"sqlite": sqlite, "postgresql": postgresql}
LOOKS_LIKE = "sqlite:////var/lib/convoy/convoy.db or postgresql+psycopg://user@host/database"


class StoreError(Exception):
    """The store could not be read or written; the message says what was attempted and where."""


class NoStore(StoreError):
    """Nobody has made this store yet."""


class Damaged(StoreError):
    """What was kept is not what it was: somebody, or a disk, has changed it."""


class LeaseLost(StoreError):
    """Another Convoy acts now; nothing was written."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to act, until it runs out. Every action's start checks the epoch: an old holder's no longer fits."""

    name: str
    holder: str
    epoch: int


class Database:
    """Thread-safe. `writes` counts the transactions that were made to change something, renewed leases aside.

    While `fence` is set, every write checks in its own transaction that nobody has taken that lease since.
    """

    def __init__(self, url: str, seams: Seams, *, make: bool = True) -> None:
        self.seams = seams
        self._writing = seams.lock()
        self.writes = 0
        self.fence: Lease | None = None
        parsed, dialect = understood(url)
        # What this database calls by other names than others.
        self.dialect: Any = dialect
        self.shown: str = self.dialect.shown(parsed)
        if not make and not self.dialect.there(parsed):
            raise NoStore(f"there is no store {self.shown} yet")
        with self.failing("open"):
            self._engine = self.dialect.opened(parsed)
            self.readers = Readers(self._engine, self.dialect)
            try:
                self._migrate(make)
            except BaseException:
                self.close()
                raise

    def _migrate(self, make: bool) -> None:
        with self.reading("schema") as connection:
            now = migrations.version(connection)
        if now == 0 and not make:
            raise NoStore(f"there is no store in {self.shown} yet")
        if now != len(migrations.STEPS):
            with self.writing("schema") as connection:
                # Another process may have been quicker: only what is seen under the lock counts.
                migrations.migrate(connection, migrations.version(connection))

    def reading(self, what: str) -> Reading:
        """One consistent view; inside a batch that has written, what it wrote is part of it."""
        return Reading(self, what)

    def view(self) -> View:
        """All that this thread reads inside is read in one consistent view, which begins when it reads first.

        After what it writes itself meanwhile, another begins; and where `refresh` says so, which whoever waits for others does.
        """
        return View(self)

    def refresh(self) -> None:
        """What this thread reads from here on is as it is then. Until it reads, it holds nothing."""
        view = self.in_view()
        if view is not None:
            view.end()

    def in_view(self) -> View | None:
        view = VIEW.get()
        return view if view is not None and view.database is self else None

    @contextlib.contextmanager
    def writing(self, what: str, *, counted: bool = True, fenced: bool = True) -> Iterator[Connection]:
        """The one transaction that writes; what is read in it is still true when it commits."""
        with self.failing(f"write {what}"):
            batch = self.in_batch()
            if batch is None:
                with self._transaction(what, fenced) as connection:
                    yield connection
            else:
                with batch.failing():
                    if batch.connection is None:
                        batch.connection = batch.open.enter_context(self._transaction("batch", fenced))
                    self.seams.point("store.write", what)
                    yield batch.connection
                return
            self.writes += counted

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        """What this thread writes inside becomes one transaction: all of it or nothing. Nothing written, none is begun.

        Others wait to write from the first write to the end of it: do nothing slow inside.
        """
        if self.in_batch() is not None:
            yield
            return
        with self.failing("write"), contextlib.ExitStack() as opened:
            batch = _Batch(self, opened, BATCH.get())
            opened.callback(BATCH.reset, BATCH.set(batch))
            yield
            if batch.failed:
                raise StoreError(f"cannot write in the store {self.shown}: part of it failed, so nothing of it was written")
            written = batch.connection is not None
        self.writes += written

    def in_batch(self) -> "_Batch | None":
        batch = BATCH.get()
        while batch is not None and batch.database is not self:
            batch = batch.outer
        return batch

    @contextlib.contextmanager
    def _transaction(self, what: str, fenced: bool) -> Iterator[Connection]:
        self.refresh()
        with self._writing:
            self.seams.point("store.write", what)
            with (
                self._engine.connect().execution_options(**self.dialect.WRITING) as connection,
                connection.begin(),
            ):
                if fenced:
                    self._check_fence(connection)
                yield connection
                self.seams.point("store.commit", what)
            # It is written, and nobody has heard of it yet.
            self.seams.point("store.committed", what)

    def _check_fence(self, connection: Connection) -> None:
        lease = self.fence
        if lease is None:
            return
        row = connection.execute(select(LEASES.c.epoch, LEASES.c.holder).where(LEASES.c.name == lease.name)).one_or_none()
        if row is None or row.epoch != lease.epoch:
            holder = f" ({row.holder})" if row else ""
            raise LeaseLost(f"cannot write in the store {self.shown}: another Convoy{holder} has taken the lease")

    def now(self, connection: Connection) -> float:
        """The clock that leases are compared with: the database's own where machines share it, else this machine's."""
        there: float | None = self.dialect.clock(connection)
        return self.seams.now() if there is None else there

    def failing(self, verb: str) -> contextlib.AbstractContextManager[None]:
        return failing(f"{verb} in the store {self.shown}", self.dialect)

    def close(self) -> None:
        self.readers.close()
        self._engine.dispose()


class _Batch:
    """One thread's batch: its transaction, once it has one, and whether a part of it failed.

    PostgreSQL answers the commit of a transaction in which something failed by rolling it back, without an error.
    """

    def __init__(self, database: Database, open: contextlib.ExitStack, outer: "_Batch | None") -> None:
        self.database, self.open, self.outer = database, open, outer
        self.connection: Connection | None = None
        self.failed = False

    @contextlib.contextmanager
    def failing(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.failed = True
            raise


# The batches that this thread is in, the innermost first.
BATCH: ContextVar[_Batch | None] = ContextVar("batch", default=None)


@contextlib.contextmanager
def failing(doing: str, dialect: Any) -> Iterator[None]:
    """Whatever a database cannot do is a StoreError; `doing` says what was attempted, and where."""
    try:
        yield
    except (migrations.NewerSchema, postgresql.Missing) as error:
        raise StoreError(f"cannot {doing}: {error}") from error
    except DBAPIError as error:
        raise StoreError(f"cannot {doing}: {dialect.words(error.orig)}") from None
    except SQLAlchemyError as error:
        raise StoreError(f"cannot {doing}: {type(error).__name__}") from None
    except OSError as error:
        raise StoreError(f"cannot {doing}: {error.strerror or error}") from error


def default_url(state: Path) -> str:
    """The store that a state directory has of its own."""
    return f"sqlite:///{state / 'convoy.db'}"


def understood(url: str) -> tuple[URL, ModuleType]:
    """A store's URL and the dialect for it; raises StoreError, which never shows the URL: a password may be in it."""
    try:
        # As many write it who have used other programs.
        parsed = make_url("postgresql://" + url.removeprefix("postgres://") if url.startswith("postgres://") else url)
        dialect = DIALECTS.get(parsed.get_backend_name())
    except (SQLAlchemyError, ValueError):
        raise StoreError(f"the store's URL is not one: it looks like {LOOKS_LIKE}") from None
    if dialect is None:
        raise StoreError(f"a store cannot be kept in {parsed.get_backend_name()!r}: its URL looks like {LOOKS_LIKE}")
    wrong = dialect.wrong(parsed)
    if wrong:
        raise StoreError(f"the store's URL does not name a store that Convoy can use: {wrong}")
    return parsed, dialect
