"""Connections that read, lent to one thread at a time, and what they know by heart for as long as nobody has written.

See docs/decisions/0032-known-by-heart.md.
"""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

# Of connections that nobody uses; those above are closed.
MOST_IDLE = 64
# What one connection knows by heart: so many answers and characters in them, and no answer with more rows than a page has.
MOST_KNOWN, MOST_CHARACTERS, LONGEST = 256, 1_000_000, 101
# The option under which a connection's answers stand.
ANSWERS = "convoy_answers"


class Answers:
    """Of one connection: what a question was answered with, and what was made of that, in this state of the database and no
    other. Nobody changes it."""

    __slots__ = ("_known", "_left", "_state", "driver")

    def __init__(self, driver: Any) -> None:
        self.driver = driver
        self._known: dict[Any, Any] = {}
        self._left, self._state = MOST_CHARACTERS, None

    @property
    def state(self) -> Any:
        """Of the database."""
        return self._state

    def seen(self, state: Any) -> None:
        """By the transaction that has just begun."""
        if state != self._state:
            self._known.clear()
            self._left, self._state = MOST_CHARACTERS, state

    def get(self, asked: Any) -> Any:
        """None where it is not known."""
        return self._known.get(asked)

    def put(self, asked: Any, rows: list[Any]) -> None:
        if len(rows) <= LONGEST:
            self.keep(asked, rows, sum(len(one) for row in rows for one in row if isinstance(one, str | bytes)))

    def keep(self, asked: Any, answer: Any, characters: int) -> None:
        """`characters` are in it."""
        if len(self._known) < MOST_KNOWN:
            self._left -= characters
            if self._left >= 0:
                self._known[asked] = answer


def answers(connection: Connection) -> Answers | None:
    """Of the transaction that is open there; None where nothing is known by heart."""
    found: Answers | None = connection.get_execution_options().get(ANSWERS)
    return found


class Readers:
    """Thread-safe. Raises SQLAlchemyError."""

    def __init__(self, engine: Engine, dialect: Any) -> None:
        """Where it has `seen`, that begins a transaction on a driver's connection and says which state of the database it sees,
        and `ended` ends it: then connections are held between transactions, since all that SQLAlchemy does around each costs
        more than a small answer."""
        self._engine = engine.execution_options(**dialect.READING)
        self._seen: Callable[[Any], object] | None = dialect.seen
        self._ended: Callable[[Any], None] = dialect.ended
        self._idle: deque[Connection] = deque()
        self._closed = False

    def lend(self) -> Connection:
        """In a transaction that has begun, and sees one state of the database."""
        seen = self._seen
        if seen is None:
            return self._begun(self._engine.connect())
        try:
            # The one that was used last knows most of what it is asked.
            connection = self._idle.pop()
        except IndexError:
            # SQLAlchemy takes it for one long transaction; ours are begun and ended past it.
            connection = self._begun(self._engine.connect())
            connection.execution_options(**{ANSWERS: Answers(connection.connection.driver_connection)})
        try:
            answers: Answers = connection.get_execution_options()[ANSWERS]
            answers.seen(seen(answers.driver))
        except BaseException:
            self.drop(connection)
            raise
        return connection

    def _begun(self, connection: Connection) -> Connection:
        try:
            connection.begin()
        except BaseException:
            connection.close()
            raise
        return connection

    def back(self, connection: Connection) -> None:
        """Its transaction is over."""
        if self._seen is None:
            connection.close()
            return
        try:
            self._ended(connection.get_execution_options()[ANSWERS].driver)
        except SQLAlchemyError:
            # All that was read is there.
            self.drop(connection)
            return
        if len(self._idle) >= MOST_IDLE:
            self.drop(connection)
            return
        self._idle.append(connection)
        if self._closed:
            self.close()

    def drop(self, connection: Connection) -> None:
        """Something has failed on it: nobody is lent it again."""
        # There is nothing that could be lost with it.
        with suppress(SQLAlchemyError):
            connection.close()

    def close(self) -> None:
        self._closed = True
        # Others may take from them, or close them, at the same moment.
        with suppress(IndexError):
            while True:
                self.drop(self._idle.pop())
