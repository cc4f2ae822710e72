"""What the store gives back, and how what it keeps is written as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import NoneType
from typing import Any, Literal

import orjson
from sqlalchemy import BigInteger, Column, Double, Integer, Table

from reconciler.core.model import Problem, Ref, Where
from reconciler.store.tables import readable

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
    types, numbers = _fitting(table, row._fields, tuple(but))
    return all(map(isinstance, row, types)) and all(row[n] is None or -most < row[n] < most for n, most in numbers)


@cache
def _fitting(table: Table, names: Sequence[str], but: Sequence[str]) -> tuple[list[Any], list[tuple[int, int]]]:
    """Of which types the columns of these names are, and which of them hold numbers below what.

    Made once: it is asked for each row that is read.
    """
    columns = [None if name in but else table.c[name] for name in names]
    return [*map(_types, columns)], [(n, _most(one)) for n, one in enumerate(columns) if one is not None and _most(one)]


def _types(column: "Column[Any] | None") -> Any:
    if column is None:
        return object
    kind = (float, int) if isinstance(column.type, Double) else (int,) if isinstance(column.type, Integer) else (str,)
    return (*kind, NoneType) if column.nullable else kind


def _most(column: "Column[Any]") -> int:
    """What is counted on from a whole number must fit as well."""
    if isinstance(column.type, BigInteger):
        return LARGEST_NUMBER
    return 2**31 if isinstance(column.type, Integer) else 0


def event(row: Any) -> Event:
    """Of a row of events. What somebody has spoiled keeps its number, for the next to be found."""
    at = float(row.at) if isinstance(row.at, float | int) else 0.0
    return Event(row.number, str(row.kind), str(row.ref), str(row.message), at)
