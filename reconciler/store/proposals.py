"""Proposals: changes that somebody asked for over the API, each decided once: committed, or refused."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import Connection, Integer, Text, bindparam, delete, func, select, update

from reconciler.seams import Seams
from reconciler.store.database import Database, StoreError
from reconciler.store.logs import last_number
from reconciler.store.questions import Question, chunks, found, put
from reconciler.store.rows import as_json, read_list, read_object
from reconciler.store.tables import HISTORY, PROPOSALS, REVISIONS
from reconciler.store.together import Together

State = Literal["waiting", "committed", "proposed", "merged", "closed", "refused"]
Mode = Literal["commit", "pull-request"]
# Beyond these nobody is taken in: a remote that is away must not fill the disk.
MOST_WAITING = 1_000
# Decided ones that are kept, about: for those who ask again under the same key.
KEPT = 20_000
TRIMMED_EVERY = 500


# Made once: they are asked hundreds of times a second.
WAITING = Question(select(func.count().label("waiting")).where(PROPOSALS.c.state == "waiting"))
_MINE = (PROPOSALS.c.state == "waiting") & (PROPOSALS.c.mode == bindparam("mode", type_=Text))
NEXT = Question(select(PROPOSALS).where(_MINE).order_by(PROPOSALS.c.number).limit(bindparam("most", type_=Integer)))
DECIDED = Question(select(PROPOSALS).where(PROPOSALS.c.state != "waiting"), PROPOSALS.c.id)
END = update(PROPOSALS).where((PROPOSALS.c.id == bindparam("which")) & (PROPOSALS.c.state == "waiting"))
_GOOD = select(REVISIONS.c.revision).where(REVISIONS.c.status == "good").order_by(REVISIONS.c.number.desc()).limit(1)
_LAST = (PROPOSALS.c.revision == _GOOD.scalar_subquery()) & (PROPOSALS.c.state == "committed")
_HELD = _GOOD.with_only_columns(REVISIONS.c.proposal).scalar_subquery().label("held")
IN_FORCE = Question(select(func.max(PROPOSALS.c.number).label("number"), _HELD).where(_LAST))
OF_REQUESTS = Question(select(PROPOSALS.c.number).where(PROPOSALS.c.mode == "commit"), PROPOSALS.c.id)


class Full(StoreError):
    """As many wait as may."""


class KeyReused(StoreError):
    """Another change was asked for under this key before."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What one commit is to do. `body` says it all (core/proposal.py reads it) until it is decided, `refs` what it is about;
    `answer` how it ended, as plain JSON values. `proposed`: it is a pull request now, and people decide; `merged`: by a commit
    of a revision that came into force; `closed`: they will not have it."""

    number: int
    id: str
    at: float
    token: str
    body: Mapping[str, Any] = field(repr=False)
    state: State = "waiting"
    revision: str = ""
    answer: Mapping[str, Any] = field(default_factory=dict)
    refs: tuple[str, ...] = ()

    @property
    def changes(self) -> list[dict[str, Any]]:
        """What became of each of `refs`, once it is committed; of one that was found in the history nothing is known."""
        found = self.answer.get("changes")
        return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


@dataclass(frozen=True, slots=True)
class _New:
    token: str
    key: str
    digest: str
    body: Mapping[str, Any]
    refs: tuple[str, ...]
    mode: Mode

    def row(self, one: Proposal) -> dict[str, Any]:
        row = {"number": one.number, "at": one.at, "id": one.id, "token": self.token, "key": self.key, "digest": self.digest}
        # What is new in Git is written in the order in which it was given.
        row |= {"body": as_json(self.body, ordered=False), "refs": as_json(self.refs), "mode": self.mode}
        return row | {"state": "waiting", "revision": "", "answer": "{}"}


class Proposals:
    """Those of one store. Thread-safe; raises StoreError."""

    def __init__(self, database: Database, seams: Seams) -> None:
        self._database, self._seams = database, seams
        self._added: Together[_New, Proposal] = Together(self._add)

    def add(
        self, token: str, key: str, digest: str, body: Mapping[str, Any], refs: Sequence[str] = (), mode: Mode = "commit"
    ) -> Proposal:
        """A new one; under a key (not "") that this token has used before, the one of then. Raises Full and KeyReused."""
        return self._added(_New(token, key, digest, body, tuple(refs), mode))

    def _add(self, every: Sequence[_New]) -> list[Proposal | Exception]:
        """Those that came at one time, in one transaction."""
        table = PROPOSALS.c
        results: list[Proposal | Exception] = []
        with self._database.writing("proposals") as connection:
            room = MOST_WAITING - WAITING.rows(connection)[0].waiting
            number = first = last_number(connection, PROPOSALS)
            for new in every:
                try:
                    known = _known(connection, new.token, new.key, new.digest)
                except KeyReused as error:
                    results.append(error)
                    continue
                if known is not None:
                    results.append(known)
                elif room <= 0:
                    results.append(Full(f"{MOST_WAITING} changes wait to be committed already"))
                else:
                    room, number = room - 1, number + 1
                    one = Proposal(number, uuid.uuid4().hex, self._seams.now(), new.token, new.body, refs=new.refs)
                    put(connection, PROPOSALS, [new.row(one)])
                    results.append(one)
            if number // TRIMMED_EVERY != first // TRIMMED_EVERY:
                connection.execute(delete(PROPOSALS).where((table.number <= number - KEPT) & (table.state != "waiting")))
        return results

    def known(self, token: str, key: str, digest: str) -> Proposal | None:
        """The one that was asked for under this key before. Raises KeyReused."""
        with self._database.reading("proposals") as connection:
            return _known(connection, token, key, digest)

    def waiting(self, most: int, *, mode: Mode = "commit") -> tuple[Proposal, ...]:
        """In the order in which they came, at most so many of those that are to become this."""
        with self._database.reading("proposals") as connection:
            return tuple(_proposal(row) for row in NEXT.rows(connection, mode=mode, most=most))

    def waiting_ids(self) -> frozenset[str]:
        """Of all that are to be committed."""
        query = select(PROPOSALS.c.id).where((PROPOSALS.c.state == "waiting") & (PROPOSALS.c.mode == "commit"))
        with self._database.reading("proposals") as connection:
            return frozenset(connection.execute(query).scalars())

    def turn(self, ids: Iterable[str]) -> None:
        """What waits to be committed is to become a pull request instead."""
        with self._database.writing("proposals") as connection:
            for part in chunks(ids):
                connection.execute(update(PROPOSALS).where(PROPOSALS.c.id.in_(part)).values(mode="pull-request"))

    def get(self, id: str) -> Proposal | None:
        with self._database.reading("proposals") as connection:
            row = connection.execute(select(PROPOSALS).where(PROPOSALS.c.id == id)).one_or_none()
        return _proposal(row) if row is not None else None

    def decided(self, ids: Iterable[str]) -> dict[str, Proposal]:
        """Those of these that wait no more."""
        with self._database.reading("proposals") as connection:
            return {row.id: _proposal(row) for row in found(connection, DECIDED, ids)}

    def decide(self, ends: Mapping[str, tuple[State, str, Mapping[str, Any]]]) -> None:
        """Id ⇒ how it ended: state, revision, answer. What was decided before stays as it was.

        Its body is not kept: a document is in Git, or was refused, and may then hold a secret in the clear.
        """
        if not ends:
            return
        rows = [
            {"which": id, "state": state, "revision": revision, "answer": as_json(answer), "body": "{}"}
            for id, (state, revision, answer) in ends.items()
        ]
        with self._database.writing("proposals") as connection:
            connection.execute(END, rows)

    def undecided(self, most: int) -> tuple[Proposal, ...]:
        """Pull requests that nobody has merged yet, as far as is known, the oldest first; so many of the newest. What was
        closed may be opened again."""
        table = PROPOSALS.c
        query = select(PROPOSALS).where(table.state.in_(("proposed", "closed"))).order_by(table.number.desc()).limit(most)
        with self._database.reading("proposals") as connection:
            return tuple(_proposal(row) for row in reversed(connection.execute(query).all()))

    def became(self, id: str, state: State, revision: str, answer: Mapping[str, Any]) -> None:
        """What people have decided of a pull request."""
        table = PROPOSALS.c
        values = update(PROPOSALS).where((table.id == id) & table.state.in_(("proposed", "closed")))
        with self._database.writing("proposals") as connection:
            connection.execute(values.values(state=state, revision=revision, answer=as_json(answer)))

    def in_force(self) -> int:
        """The number of the last proposal that the revision in force has come from, 0 where none is known."""
        with self._database.reading("proposals") as connection:
            return in_force(connection)

    def traced(self, one: Proposal) -> bool:
        """Whether something that this one is about has come into force by its commit, or by that of one after it."""
        table, changed = PROPOSALS.c, HISTORY.c
        later = (table.number >= one.number) & (table.state == "committed") & (table.mode == "commit")
        since = select(table.revision).where(later)
        query = select(changed.number).where(changed.revision.in_(since)).limit(1)
        with self._database.reading("proposals") as connection:
            return any(connection.execute(query.where(changed.ref.in_(some))).first() is not None for some in chunks(one.refs))


def in_force(connection: Connection) -> int:
    """The same, in a transaction that is open: it ends with that commit, or was known to have it when it was recorded."""
    (row,) = IN_FORCE.rows(connection)
    return max(one if isinstance(one, int) else 0 for one in (row.number, row.held))


def last_of(connection: Connection, ids: Iterable[str]) -> int:
    """The highest number of these proposals, of those that were to be commits; 0 where nobody has asked for any of them."""
    return max((row.number for row in found(connection, OF_REQUESTS, ids)), default=0)


def _known(connection: Connection, token: str, key: str, digest: str) -> Proposal | None:
    table = PROPOSALS.c
    if not key:
        return None
    query = select(PROPOSALS).where((table.token == token) & (table.key == key)).order_by(table.number.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    if row is not None and row.digest != digest:
        raise KeyReused("this Idempotency-Key was used for another change before")
    known = _proposal(row) if row is not None else None
    # Of a conflict nothing came but the advice to try again.
    return known if known is not None and known.answer.get("code") != "conflict" else None


def _proposal(row: Any) -> Proposal:
    """What somebody has spoiled is one that asks for nothing, and is refused."""
    body, answer = read_object(row.body) or {}, read_object(row.answer) or {}
    refs = tuple(map(str, read_list(row.refs)))
    return Proposal(row.number, row.id, row.at, row.token, body, row.state, row.revision, answer, refs)
