"""Parts of long lists, filtered, sorted and cut by the database: by their place, or by what was seen last.

By place, it is what stands there now. By what was seen last, nothing that stays is shown twice or left out, whatever comes and
goes meanwhile.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Literal

from sqlalchemy import ColumnElement, FromClause, Integer, Select, and_, bindparam, func, or_, select, true

from reconciler.core.declared import Declared
from reconciler.core.select import EVERYTHING, Labelled, Named, Selector, Word
from reconciler.store.database import Database
from reconciler.store.questions import Question, found
from reconciler.store.readers import LONGEST, answers
from reconciler.store.remembered import Remembered
from reconciler.store.resources import COLUMNS, DOCUMENT
from reconciler.store.rows import read_object, sound
from reconciler.store.tables import REPORTS, RESOURCES, STATUS

Key = str | float
# By what resources are sorted, beside places in their documents; of these, times are numbers.
TEXTS: Mapping[str, Any] = {"name": RESOURCES.c.name, "ref": RESOURCES.c.ref}
TIMES: Mapping[str, Any] = {"created_at": RESOURCES.c.created, "updated_at": RESOURCES.c.at}
SORTS = (*TEXTS, *TIMES)
BODIES: Mapping[str, Any] = {"document": RESOURCES.c.document, "status": STATUS.c.body}
# So much of what stands in a document is sorted by: a cursor holds it.
LONGEST_KEY = 200
BEYOND = ("beyond_key", "beyond_tie")
# Of questions that are remembered: so many kinds of lists, sorted and filtered in so many ways.
MOST_SHAPES, ANY = 512, "*"
WITH_STATUS = Question(
    select(*COLUMNS, STATUS.c.body).outerjoin_from(RESOURCES, STATUS, STATUS.c.name == RESOURCES.c.ref), RESOURCES.c.ref
)
# Bytes of documents, and of what their rows say beside them: about as much again.
MOST_SOUND = 32_000_000
LABELS = ("metadata", "labels")


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a sorted list: at most `most`, from the place `start` on, or, where `beyond` is given, those after that
    sort key and tie ("" for none), or before them where `back`, the nearest first. `counted`: how many there are in all is
    asked too. `sort` is a name of one of the list's orders, or a path in the documents."""

    sort: str | tuple[str, ...] = "name"
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
            value, at = (bindparam(name, type_=one.type) for name, one in zip(BEYOND, (key, tie), strict=True))
            past = (key < value, tie < at) if falling else (key > value, tie > at)
            query = query.where(past[0] if key is tie else or_(past[0], and_(key == value, past[1])))
        columns = (key,) if key is tie else (key, tie)
        query = query.order_by(*(one.desc() if falling else one for one in columns))
        return query.offset(bindparam("start", type_=Integer())).limit(bindparam("most", type_=Integer()))

    @property
    def values(self) -> dict[str, Any]:
        """Of what is named in that."""
        found: dict[str, Any] = {"start": self.start, "most": self.most}
        return found if self.beyond is None else found | dict(zip(BEYOND, self.beyond, strict=True))


@dataclass(frozen=True, slots=True)
class Has:
    """What stands at this place of a resource's document, or of its status, is one of these; None: nothing stands there. With
    `differs`, it is none of these. Of a report there is but one place: what state it tells of."""

    path: tuple[str, ...]
    values: frozenset[str | None]
    of: Literal["document", "status", "report"] = "document"
    differs: bool = False


@dataclass(frozen=True, slots=True)
class Which:
    """Which resources; "" for any kind, or any tenant. All of `has` holds, and of `either`, where there are any, all of one."""

    kind: str = ""
    tenant: str = ""
    selector: Selector = EVERYTHING
    has: tuple[Has, ...] = ()
    either: tuple[tuple[Has, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """One of a page: its sort key and its tie, which a cursor holds, the text of its status, if any, and what is declared:
    `said` is all of that but the document, whose text is `document`."""

    key: Key
    tie: str
    said: tuple[Any, ...]
    document: str = field(repr=False)
    body: str | None = field(default=None, repr=False)

    @property
    def declared(self) -> Declared:
        """Read where it is asked for: of what is listed often, what is shown is known."""
        every: Any = (*self.said[:DOCUMENT], read_object(self.document), *self.said[DOCUMENT:])
        return Declared(*every)

    @property
    def status(self) -> Mapping[str, Any] | None:
        """Read where it is asked for: not every list shows it."""
        return read_object(self.body) if self.body is not None else None


@dataclass(frozen=True, slots=True)
class Page:
    """`total` is how many there are in all, None where nobody asked."""

    rows: tuple[Row, ...]
    total: int | None


class Pages:
    """Of what the last accepted revision declares. Thread-safe; raises StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # What a row says beside its document ⇒ that document's text, of those that were found to be sound.
        self._sound: Remembered[str] = Remembered(MOST_SOUND)

    def page(self, which: Which, window: Window) -> Page:
        """In one consistent view. Within one tenant and kind, names tell what has one sort key apart, else refs do."""
        shape = replace(window, most=0, start=0, beyond=window.beyond and ("", ""), counted=False)
        few, many = _asked(self._database.dialect, replace(which, tenant=which.tenant and ANY), shape)
        where = {"tenant": which.tenant} if which.tenant else {}
        with self._database.reading("resources") as connection:
            known = answers(connection)
            page: Page | None = known.get((which, window)) if known is not None else None
            if page is not None:
                return page
            rows = few.rows(connection, **where, **window.values)
            total = many.rows(connection, **where)[0].total if window.counted else None
            there = {row.ref: row for row in found(connection, WITH_STATUS, [row.ref for row in rows])}
            every = (self._row(row, there.get(row.ref)) for row in rows)
            page = Page(tuple(one for one in every if one is not None), total)
            if known is not None and len(rows) <= LONGEST:
                known.keep((which, window), page, sum(len(one.document) + len(one.body or "") for one in page.rows))
        return page

    def _row(self, row: Any, there: Any) -> Row | None:
        """What somebody has spoiled is left out."""
        if there is None:
            return None
        said, document = (*there[:DOCUMENT], *there[DOCUMENT + 1 : len(COLUMNS)]), there.document
        if self._sound.get(said) != document:
            if not sound(RESOURCES, there, but=("body",)) or read_object(document) is None:
                return None
            self._sound.put(said, document)
        return Row(row.key, row.tie, said, document, there.body if isinstance(there.body, str) else None)


@lru_cache(maxsize=MOST_SHAPES)
def _asked(dialect: Any, which: Which, window: Window) -> tuple[Question, Question]:
    """The rows of such a window, and how many there are in all. The same lists are asked for again and again."""
    words = _Words(dialect)
    tie = words.ordered(RESOURCES.c.name if which.kind and which.tenant else RESOURCES.c.ref)
    key = words.key(window.sort)
    key = tie if key.compare(tie) else key
    asked = words.where(select(RESOURCES.c.ref, key.label("key"), tie.label("tie")), which)
    return Question(window.of(asked, key, tie)), Question(words.where(select(func.count().label("total")), which))


class _Words:
    """A question in the words of this database."""

    def __init__(self, dialect: Any) -> None:
        self._dialect = dialect

    def ordered(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        found: ColumnElement[Any] = self._dialect.ordered(column)
        return found

    def key(self, sort: str | tuple[str, ...]) -> ColumnElement[Any]:
        if isinstance(sort, tuple):
            # What has nothing there comes first.
            text = func.substr(self._dialect.text_at(RESOURCES.c.document, sort), 1, LONGEST_KEY)
            return self.ordered(func.coalesce(text, ""))
        time: ColumnElement[Any] | None = TIMES.get(sort)
        return self.ordered(TEXTS[sort]) if time is None else time

    def where(self, asked: Select[Any], which: Which) -> Select[Any]:
        conditions: list[ColumnElement[bool]] = [RESOURCES.c.kind == which.kind] if which.kind else []
        conditions += [RESOURCES.c.tenant == bindparam("tenant")] if which.tenant else []
        conditions += map(self._has, which.has)
        if which.selector:
            conditions.append(or_(*(and_(*map(self._word, words)) for words in which.selector.any_of)))
        if which.either:
            conditions.append(or_(*(and_(true(), *map(self._has, every)) for every in which.either)))
        asked_of = {one.of for every in (which.has, *which.either) for one in every}
        there: FromClause = RESOURCES
        if "status" in asked_of:
            there = there.outerjoin(STATUS, STATUS.c.name == RESOURCES.c.ref)
        if "report" in asked_of:
            there = there.outerjoin(REPORTS, REPORTS.c.uid == RESOURCES.c.uid)
        return asked.select_from(there).where(and_(true(), *conditions))

    def _word(self, word: Word) -> ColumnElement[bool]:
        if isinstance(word, Labelled):
            value = self._dialect.text_at(RESOURCES.c.document, (*LABELS, word.label))
            found = func.coalesce(self._like(value, word.value), False)
            return ~found if word.differs else found
        return and_(RESOURCES.c.kind == word.kind, *self._named(word))

    def _named(self, word: Named) -> list[ColumnElement[bool]]:
        patterns = ((RESOURCES.c.name, word.name), (RESOURCES.c.tenant, word.tenant))
        return [self._like(column, pattern) for column, pattern in patterns if pattern]

    def _like(self, value: ColumnElement[Any], pattern: str) -> ColumnElement[bool]:
        """`*` and `?` stand for letters."""
        if not {"*", "?"} & set(pattern):
            return value == pattern
        found: ColumnElement[bool] = self._dialect.like(value, pattern)
        return found

    def _has(self, one: Has) -> ColumnElement[bool]:
        value = REPORTS.c.status if one.of == "report" else self._dialect.text_at(BODIES[one.of], one.path)
        named = func.coalesce(value.in_([text for text in one.values if text is not None]), False)
        found = or_(named, value.is_(None)) if None in one.values else named
        return ~found if one.differs else found
