"""Questions that come with every request: put into words once, and asked past all that SQLAlchemy does with each of them anew.

That takes ten times as long as the answer. The words are SQLAlchemy's all the same, and so are the tables.
"""

from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, bindparam, insert
from sqlalchemy.exc import DBAPIError

from reconciler.store.readers import answers
from reconciler.store.tables import readable

# Values in one statement; SQLite takes 32,766, PostgreSQL 32,767.
AT_ONCE = 512
AMONG = "among"


class Question:
    """A query, made once; where `among` is a column of it, its rows in which that has one of the values that `found` is given.

    Of its other values those that are to be given each time are named by `bindparam`.
    """

    def __init__(self, query: Select[Any], among: ColumnElement[Any] | None = None) -> None:
        if among is not None:
            query = query.where(among.in_(bindparam(AMONG, expanding=True, type_=among.type)))
        self._query = query
        self._words: dict[tuple[str, int], _Words] = {}

    def rows(self, connection: Connection, **values: Any) -> list[Any]:
        """Tuples whose members have the columns' names, in a transaction that is open. Raises DBAPIError."""
        known = answers(connection)
        if known is None:
            return self._asked(connection, connection.connection.driver_connection, values)
        if AMONG in values:
            values[AMONG] = tuple(values[AMONG])
        asked = (self, *values.items())
        rows = known.get(asked)
        if rows is None:
            rows = self._asked(connection, known.driver, values)
            known.put(asked, rows)
        return [*rows]

    def _asked(self, connection: Connection, driver: Any, values: dict[str, Any]) -> list[Any]:
        some = [*values.pop(AMONG, ())]
        # One is asked for in other words than two: so that there are few, the last is said again, and found but once.
        size = 1 << (len(some) - 1).bit_length() if some else 0
        words = self._words.get((connection.dialect.name, size)) or self._put(connection, size)
        given = {**values, AMONG: some + some[-1:] * (size - len(some))}
        try:
            answer = driver.execute(words.text, words.values(given)).fetchall()
        except words.error as error:
            raise DBAPIError("", None, error, hide_parameters=True) from error
        return [words.row(one) for one in answer]

    def _put(self, connection: Connection, size: int) -> "_Words":
        dialect: Any = connection.dialect
        compiled: Any = self._query.compile(dialect=dialect)
        # What is given each time stands in its place as its name, and where it stands among others.
        places: dict[str, Any] = {name: _Place(name) for name, one in compiled.binds.items() if one.required}
        if AMONG in places:
            places[AMONG] = [_Place(AMONG, n) for n in range(size)]
        state = compiled.construct_expanded_state({**compiled.construct_params(_check=False), **places})
        values = _in_order(state.positional_parameters) if compiled.positional else _by_name(state.parameters)
        row: Any = namedtuple("Row", self._query.selected_columns.keys())  # type: ignore[misc]  # they are known only now
        words = _Words(state.statement, values, row._make, dialect.loaded_dbapi.Error)
        self._words[dialect.name, size] = words
        return words


@dataclass(frozen=True, slots=True)
class _Place:
    """Of a value that is given each time."""

    name: str
    n: int = -1

    def of(self, given: dict[str, Any]) -> Any:
        value = given[self.name] if self.n < 0 else given[self.name][self.n]
        return value if not isinstance(value, str) or (value.isascii() and "\0" not in value) else readable(value)


@dataclass(frozen=True, slots=True)
class _Words:
    """The statement as this database's driver takes it, its values from those given, what a row becomes, and what it raises."""

    text: str
    values: Callable[[dict[str, Any]], Any]
    row: Callable[[Sequence[Any]], Any]
    error: type[Exception]


def _in_order(places: Iterable[Any]) -> Callable[[dict[str, Any]], Any]:
    every = list(places)
    return lambda given: [one.of(given) if isinstance(one, _Place) else one for one in every]


def _by_name(places: dict[str, Any]) -> Callable[[dict[str, Any]], Any]:
    return lambda given: {name: one.of(given) if isinstance(one, _Place) else one for name, one in places.items()}


def put(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """New rows, with a value for each column, in a transaction that is open. Raises DBAPIError."""
    words = _insertion(table, connection.dialect)
    driver: Any = connection.connection.driver_connection
    try:
        driver.cursor().executemany(words.text, [words.values(dict(one)) for one in rows])
    except words.error as error:
        raise DBAPIError("", None, error, hide_parameters=True) from error


@lru_cache(maxsize=16)
def _insertion(table: Table, dialect: Any) -> _Words:
    compiled: Any = insert(table).compile(dialect=dialect)
    places = {name: _Place(name) for name in compiled.binds}
    values = _in_order([places[name] for name in compiled.positiontup]) if compiled.positional else _by_name(places)
    return _Words(compiled.string, values, tuple, dialect.loaded_dbapi.Error)


def found(connection: Connection, question: Question, values: Iterable[Any], **others: Any) -> list[Any]:
    """The rows in which the question's column has one of these values."""
    return [row for some in chunks(values) for row in question.rows(connection, among=some, **others)]


def chunks(values: Iterable[Any]) -> Iterator[list[Any]]:
    """As many as one statement takes."""
    left = iter(values)
    while some := list(islice(left, AT_ONCE)):
        yield some
