"""Parts of long lists, read in SQL: by their place, or by what was seen last."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import JSON, Column, ColumnElement, Select, and_, case, cast, func, or_, select

from reconciler.core.declared import Declared
from reconciler.store.database import Database
from reconciler.store.resources import read
from reconciler.store.rows import sound
from reconciler.store.tables import RESOURCES

Key = str | float
# By what resources are sorted; names break ties.
SORTS: Mapping[str, "Column[Any]"] = {"name": RESOURCES.c.name, "created_at": RESOURCES.c.created, "updated_at": RESOURCES.c.at}


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a sorted list: at most `most`, from the place `start` on, or, where `beyond` is given, those after that
    sort key and tie ("" for none), or before them where `back`, the nearest first. `counted`: how many there are in all is
    asked too."""

    sort: str = "name"
    descending: bool = False
    most: int = 20
    start: int = 0
    beyond: tuple[Key, str] | None = None
    back: bool = False
    counted: bool = True

    def of(self, query: "Select[Any]", key: "ColumnElement[Any]", tie: "ColumnElement[Any]") -> "Select[Any]":
        """The query's rows in this window: `key` is the column of `sort`, and `tie` what tells rows of one key apart."""
        falling = self.descending != self.back
        if self.beyond is not None:
            value, at = self.beyond
            past = (key < value, tie < at) if falling else (key > value, tie > at)
            query = query.where(past[0] if key is tie else or_(past[0], and_(key == value, past[1])))
        columns = (key,) if key is tie else (key, tie)
        return query.order_by(*(one.desc() if falling else one for one in columns)).offset(self.start).limit(self.most)


@dataclass(frozen=True, slots=True)
class Page:
    """`total` is how many there are in all, None where nobody asked."""

    rows: tuple[Declared, ...]
    total: int | None


class Pages:
    """Of what the last accepted revision declares. Thread-safe; raises StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(self, kind: str, tenant: str, window: Window, fields: Mapping[tuple[str, ...], str] = {}) -> Page:
        """One tenant's resources of a kind. `fields`: a path in the document ⇒ the text that must stand there."""
        columns = RESOURCES.c
        where = [columns.kind == kind, columns.tenant == tenant]
        with self._database.reading("resources") as connection:
            where += [_text_at(connection.dialect.name, path) == text for path, text in fields.items()]
            rows = connection.execute(window.of(select(RESOURCES).where(*where), SORTS[window.sort], columns.name)).all()
            count = select(func.count()).select_from(RESOURCES).where(*where)
            total = connection.execute(count).scalar_one() if window.counted else None
        return Page(tuple(_in_order(rows)), total)


def _in_order(rows: Iterable[Any]) -> Iterator[Declared]:
    for row in rows:
        one = read(row) if sound(RESOURCES, row) else None
        if one is not None:
            yield one


def _text_at(dialect: str, path: tuple[str, ...]) -> "ColumnElement[Any]":
    """The text at this path of a document, in the words of this database."""
    if dialect == "postgresql":
        return func.json_extract_path_text(cast(RESOURCES.c.document, JSON), *path)
    at = "$" + "".join(f'."{step}"' for step in path)
    return case((func.json_valid(RESOURCES.c.document) == 1, func.json_extract(RESOURCES.c.document, at)))
