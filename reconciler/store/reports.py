"""What registered things say of themselves, which nobody else sees: no wish, so no commit; and precious."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select

from reconciler.seams import Seams
from reconciler.store.database import Database
from reconciler.store.questions import Question, found
from reconciler.store.rows import sound
from reconciler.store.tables import REPORTS, RESOURCES

STATES = frozenset({"created", "running", "stopped", "failed"})
# The end of the year 9999.
LAST_MOMENT = 253_402_300_799.0
BY_UID = Question(select(REPORTS), REPORTS.c.uid)


@dataclass(frozen=True, slots=True)
class Report:
    """The last one: what state it is in, None where it said no more than that it is there; how often it was started again, and
    when it was heard (Unix seconds)."""

    status: str | None
    restarts: int
    at: float


class Reports:
    """Of what is declared, by its uid. Thread-safe; raises StoreError."""

    def __init__(self, database: Database, seams: Seams) -> None:
        self._database, self._seams = database, seams

    def put(self, uid: str, status: str, restarts: int | None, heard: Collection[str] = ()) -> Report:
        """In place of the last one; `restarts` as it was where that is None. `heard` are the uids of what was heard with it:
        the machine that it runs on."""
        now = self._seams.now()
        with self._database.writing("reports") as connection:
            if restarts is None:
                last = _read(connection, [uid]).get(uid)
                restarts = last.restarts if last is not None else 0
            every = [{"uid": uid, "status": status, "restarts": restarts, "at": now}]
            every += [{"uid": other, "status": None, "restarts": 0, "at": now} for other in heard if other != uid]
            connection.execute(delete(REPORTS).where(REPORTS.c.uid.in_([one["uid"] for one in every])))
            connection.execute(insert(REPORTS), every)
        return Report(status, restarts, now)

    def some(self, uids: Iterable[str]) -> dict[str, Report]:
        """Of those of these that were heard of."""
        with self._database.reading("reports") as connection:
            return _read(connection, set(uids))

    def on(self, tenant: str, machines: Collection[str]) -> dict[str, int]:
        """Name of a VirtualMachine ⇒ how many Containers are registered on it; one question for all of these."""
        question = _containers(self._database.dialect)
        with self._database.reading("resources") as connection:
            return dict(found(connection, question, set(machines), tenant=tenant))


@cache
def _containers(dialect: Any) -> Question:
    machine = dialect.text_at(RESOURCES.c.document, ("spec", "virtualMachine")).label("machine")
    containers = (RESOURCES.c.kind == "Container") & (RESOURCES.c.tenant == bindparam("tenant"))
    return Question(select(machine, func.count().label("containers")).where(containers).group_by(machine), machine)


def _read(connection: Connection, uids: Iterable[str]) -> dict[str, Report]:
    rows = found(connection, BY_UID, uids)
    return {row.uid: Report(row.status, row.restarts, row.at) for row in rows if sound(REPORTS, row) and _possible(row)}


def _possible(row: Any) -> bool:
    """What somebody has spoiled is as if it were not there."""
    return (row.status is None or row.status in STATES) and row.restarts >= 0 and 0 <= row.at <= LAST_MOMENT
