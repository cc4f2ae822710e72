"""What the store gives back, and how what it keeps is written as JSON."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from typing import Any, Literal

import orjson
from sqlalchemy import BigInteger, Column, ColumnElement, Connection, Double, Integer, Select, Table, bindparam

from reconciler.core.model import Problem, Ref, Where
from reconciler.store.tables import readable

# Values in one statement; SQLite takes 32,766, PostgreSQL 32,767.
AT_ONCE = 500
# Beyond it nothing was ever numbered: whoever counts on from there would soon be past what a database holds.
LARGEST_NUMBER = 2**53


@dataclass(frozen=True, slots=True)
class Revision:
    """What became of a revision. Times are Unix seconds."""

    revision: str
    status: Literal["good", "refused"]
    problems: tuple[Problem, ...]
    at: float


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened; numbers rise without gaps, and become visible in their order."""

    number: int
    kind: str
    ref: str
    message: str
    at: float


@dataclass(frozen=True, slots=True)
class KeptCertificate:
    """An issued certificate: PEM of its key and of its chain, and the digest of the spec it was made from."""

    spec_digest: str
    key_pem: bytes = field(repr=False)
    chain_pem: bytes
    not_after: float


def as_json(value: object, *, ordered: bool = True) -> str:
    """`ordered`: equal values have equal texts; else keys stay in the order in which they were given."""
    option = orjson.OPT_SORT_KEYS if ordered else 0
    try:
        return orjson.dumps(value, option=option).decode()
    except TypeError:
        return orjson.dumps(plain(value), option=option).decode()


def plain(value: object) -> object:
    """What hosts and programs say may hold what JSON cannot: half characters, and numbers beyond any size."""
    if isinstance(value, str):
        return readable(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return str(value)
    if isinstance(value, Mapping):
        return {readable(str(name)): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value


def problems_json(problems: Sequence[Problem]) -> str:
    entries = [
        (one.where.file, one.where.line, one.where.column, one.what, one.hint, str(one.ref) if one.ref else "")
        for one in problems
    ]
    return as_json(entries)


def read_object(body: str) -> dict[str, Any] | None:
    """The JSON object that this is; None where it is none: a row that somebody has spoiled is as if it were not there."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def read_list(body: str) -> list[Any]:
    """The same of a list."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return []
    return found if isinstance(found, list) else []


def read_problems(body: str) -> tuple[Problem, ...]:
    return tuple(
        Problem(Where(file, line, column), what, hint, Ref.parse(ref) if ref else None)
        for file, line, column, what, hint, ref in orjson.loads(body)
    )


def sound(table: Table, row: Any, but: Sequence[str] = ()) -> bool:
    """Whether each value is what its column holds: SQLite takes anything anywhere, so somebody may have put it there.

    `but`: those of another table.
    """
    fits = _fits(table)
    return all(fits[name](value) for name, value in row._mapping.items() if name not in but)


@cache
def _fits(table: Table) -> Mapping[str, Callable[[object], bool]]:
    """By the names of its columns. Made once: it is asked for each row that is read."""
    return {column.name: _fitting(column) for column in table.columns}


def _fitting(column: "Column[Any]") -> Callable[[object], bool]:
    empty = bool(column.nullable)
    if isinstance(column.type, Double):
        return lambda value: isinstance(value, float | int) or (value is None and empty)
    if isinstance(column.type, Integer):
        # What is counted on from it must fit as well.
        most = LARGEST_NUMBER if isinstance(column.type, BigInteger) else 2**31
        return lambda value: (isinstance(value, int) and abs(value) < most) or (value is None and empty)
    return lambda value: isinstance(value, str) or (value is None and empty)


def event(row: Any) -> Event:
    """Of a row of events. What somebody has spoiled keeps its number, for the next to be found."""
    at = float(row.at) if isinstance(row.at, float | int) else 0.0
    return Event(row.number, str(row.kind), str(row.ref), str(row.message), at)


def among(query: Select[Any], column: ColumnElement[Any]) -> Select[Any]:
    """The query's rows in which a column has one of the values that `found` is given.

    Make it once: to put a question into words takes longer than to have it answered.
    """
    return query.where(column.in_(bindparam("among", expanding=True, type_=column.type)))


def found(connection: Connection, query: Select[Any], values: Iterable[Any]) -> list[Any]:
    """The rows in which the column has one of these values; the query is made by `among`."""
    return [row for some in chunks(values) for row in connection.execute(query, {"among": some})]


def chunks(values: Iterable[Any]) -> Iterator[list[Any]]:
    """As many as one statement takes."""
    left = iter(values)
    while some := list(islice(left, AT_ONCE)):
        yield some
