"""Asks for what the last accepted revision declares: of one resource or a few, by an index, whatever there is beside them."""

import re
from collections.abc import Collection, Iterable
from dataclasses import fields
from typing import Any

from sqlalchemy import Connection, Select, bindparam, false, or_, select, union

from reconciler.core.declared import Declared
from reconciler.store.database import Database
from reconciler.store.questions import Question, found
from reconciler.store.rows import read_object, sound
from reconciler.store.tables import CERTIFICATES, RESOURCES

UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
LOWEST, HIGHEST = "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"
# Fewer digits of a uid say nothing: of 10,000 resources two would soon have the same.
LEAST_OF_UID = 8
# More that name one resource nobody reads.
MOST_NAMING = 1_000
# In the order of what they become.
COLUMNS = [RESOURCES.c[one.name] for one in fields(Declared)]
DOCUMENT = COLUMNS.index(RESOURCES.c.document)
BY_REF = Question(select(*COLUMNS), RESOURCES.c.ref)
DIGESTS = Question(select(RESOURCES.c.ref, RESOURCES.c.digest), RESOURCES.c.ref)
CHAINS = Question(select(CERTIFICATES.c.ref, CERTIFICATES.c.chain), CERTIFICATES.c.ref)


class Resources:
    """Those of one store. Thread-safe; raises StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def digests(self, refs: Iterable[str]) -> dict[str, str]:
        """Printed ref ⇒ the digest of its document, of those of these that are declared."""
        with self._database.reading("resources") as connection:
            return {row.ref: row.digest for row in found(connection, DIGESTS, refs)}

    def find(self, tenant: str, kind: str, word: str) -> Declared | None:
        """The one of this name, else of this uid, else the only one whose uid begins so."""
        with self._database.reading("resources") as connection:
            rows = [row for row in _named(connection, tenant, kind, word.lower()) if sound(RESOURCES, row)]
        # Where one has this name, another's uid may still begin so.
        return read(rows[0]) if rows and (len(rows) == 1 or rows[0].name == word.lower()) else None

    def naming(self, tenant: str, kinds: Collection[str], names: Collection[str]) -> list[Declared]:
        """Those of these kinds (at most a thousand) in whose documents one of these names stands as a value."""
        columns = RESOURCES.c
        here = select(*COLUMNS).where((columns.tenant == tenant) & columns.kind.in_(kinds))
        some = or_(false(), *(columns.document.contains(f'"{name}"', autoescape=True) for name in names))
        with self._database.reading("resources") as connection:
            rows = connection.execute(here.where(some).order_by(columns.ref).limit(MOST_NAMING))
            every = [read(row) for row in rows if sound(RESOURCES, row)]
        return [one for one in every if one is not None]

    def chains(self, refs: Iterable[str]) -> dict[str, str]:
        """Printed ref ⇒ the certificates that were made here for it, as PEM; never a key."""
        with self._database.reading("certificates") as connection:
            rows = found(connection, CHAINS, refs)
            return {row.ref: bytes(row.chain).decode("ascii", "replace") for row in rows}


def _named(connection: Connection, tenant: str, kind: str, word: str) -> list[Any]:
    asked = {"tenant": tenant, "kind": kind, "word": word}
    lowest, highest = _uids(word)
    if not lowest:
        return BY_NAME.rows(connection, **asked)
    return BY_NAME_OR_UID.rows(connection, **asked, lowest=lowest, highest=highest)


def found_by(*, uid: bool) -> Select[Any]:
    """By one index for each: asked for by `or`, SQLite would look through all of that kind."""
    columns = RESOURCES.c
    word: Any = bindparam("word")
    here = select(columns.ref).where((columns.tenant == bindparam("tenant")) & (columns.kind == bindparam("kind")))
    refs: Any = here.where(columns.name == word)
    if uid:
        # Of uids all are of one form, so that they are in the same order wherever text is compared.
        begun = here.where(columns.uid.between(bindparam("lowest"), bindparam("highest"))).limit(2).subquery()
        refs = union(refs, select(begun.c.ref))
    return select(*COLUMNS).where(columns.ref.in_(refs)).order_by(columns.name != word)


BY_NAME, BY_NAME_OR_UID = Question(found_by(uid=False)), Question(found_by(uid=True))


def _uids(word: str) -> tuple[str, str]:
    """The lowest and the highest uid that begin so; empty where none can."""
    if len(word) < LEAST_OF_UID or not UID.fullmatch(word + LOWEST[len(word) :]):
        return "", ""
    return word + LOWEST[len(word) :], word + HIGHEST[len(word) :]


def read(row: Any) -> Declared | None:
    """Of COLUMNS, and what may come after them. What somebody has spoiled is as if it were not there."""
    document = read_object(row.document)
    every: Any = (*row[:DOCUMENT], document, *row[DOCUMENT + 1 : len(COLUMNS)])
    return Declared(*every) if document is not None else None
