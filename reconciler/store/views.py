"""How the database is read: in a view of this thread's that is open already, in its batch, or for one question by itself."""

from contextlib import AbstractContextManager
from contextvars import ContextVar, Token
from typing import Any, Protocol

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from reconciler.seams import Seams
from reconciler.store.readers import Readers


class Readable(Protocol):
    """What of a Database is needed to read it."""

    seams: Seams

    @property
    def readers(self) -> Readers: ...
    def in_batch(self) -> Any: ...
    def in_view(self) -> "View | None": ...
    def failing(self, verb: str) -> AbstractContextManager[None]: ...


class View:
    """One thread's view of the database as it is at one moment: when it is first asked for its connection."""

    __slots__ = ("_connection", "_token", "database")

    def __init__(self, database: Readable) -> None:
        self.database = database
        self._connection: Connection | None = None

    def __enter__(self) -> None:
        self._token: Token[View | None] = VIEW.set(self)

    def __exit__(self, *_: object) -> None:
        VIEW.reset(self._token)
        self.end()

    def connection(self) -> Connection:
        if self._connection is None:
            self._connection = self.database.readers.lend()
        return self._connection

    def end(self, *, failed: bool = False) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        readers = self.database.readers
        if failed:
            readers.drop(connection)
            return
        # There is nothing that could be lost with it, and all that was read is there.
        try:
            readers.back(connection)
        except SQLAlchemyError:
            return


class Reading:
    """Lasts as long as what is read. No generator: several of these come with every request."""

    __slots__ = ("_batch", "_database", "_own", "_view", "_what")

    def __init__(self, database: Readable, what: str) -> None:
        self._database, self._what = database, what
        self._batch: Any = None
        self._view: View | None = None
        self._own: Connection | None = None

    def __enter__(self) -> Connection:
        database = self._database
        try:
            database.seams.point("store.read", self._what)
            self._batch = database.in_batch()
            if self._batch is not None and self._batch.connection is not None:
                connection: Connection = self._batch.connection
                return connection
            self._batch, self._view = None, database.in_view()
            if self._view is not None:
                return self._view.connection()
            self._own = database.readers.lend()
        except (SQLAlchemyError, OSError) as error:
            self._failed(error)
            raise
        return self._own

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        try:
            if self._own is not None:
                readers = self._database.readers
                readers.back(self._own) if error is None else readers.drop(self._own)
            elif error is not None and self._view is not None:
                # A transaction in which something failed answers nothing more on PostgreSQL.
                self._view.end(failed=True)
            elif error is not None and self._batch is not None:
                self._batch.failed = True
        except SQLAlchemyError as closing:
            self._failed(error or closing)
        if error is not None:
            self._failed(error)

    def _failed(self, error: BaseException) -> None:
        """Raises it as a StoreError, where it is the database's."""
        with self._database.failing(f"read {self._what}"):
            raise error


# The view that this thread is in.
VIEW: ContextVar[View | None] = ContextVar("view", default=None)
