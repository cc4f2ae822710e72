"""Who acts: a lease that one holder has at a time, and an epoch that no two holders share."""

from typing import Any

from sqlalchemy import and_, bindparam, insert, select, update

from reconciler.store.database import Database, Lease
from reconciler.store.questions import Question
from reconciler.store.tables import LEASES

# Whose it is acts on the fleet.
LEASE = "control"
# Asked before each action, and each push.
ONE = Question(select(LEASES).where(LEASES.c.name == bindparam("name")))


def acquire(database: Database, name: str, holder: str, ttl_s: float) -> Lease | None:
    """The lease under a new epoch, or None while another holder has it.

    A holder that asks again (restarted, say) takes over from its former self at once.
    """
    with database.writing("lease", counted=False, fenced=False) as connection:
        now = database.now(connection)
        row = connection.execute(select(LEASES).where(LEASES.c.name == name)).one_or_none()
        if row is None:
            connection.execute(insert(LEASES).values(name=name, holder=holder, epoch=1, expires_at=now + ttl_s, ttl_s=ttl_s))
            return Lease(name, holder, 1)
        if row.holder != holder and held(row, now):
            return None
        values = {"holder": holder, "epoch": row.epoch + 1, "expires_at": now + ttl_s, "ttl_s": ttl_s}
        connection.execute(update(LEASES).where(LEASES.c.name == name).values(values))
        return Lease(name, holder, row.epoch + 1)


def renew(database: Database, lease: Lease, ttl_s: float) -> bool:
    """True when it is still ours, now for `ttl_s` more; also when it had run out and nobody has taken it since."""
    return extend(database, lease, ttl_s)


def release(database: Database, lease: Lease) -> None:
    """Let another have it at once; nothing happens when another already does."""
    extend(database, lease, None)


def remaining(database: Database, lease: Lease) -> float:
    """For how many seconds more its holder may act; 0.0 when he may not."""
    with database.reading("lease") as connection:
        row = next(iter(ONE.rows(connection, name=lease.name)), None)
        if row is None or row.epoch != lease.epoch:
            return 0.0
        now = database.now(connection)
    return float(row.expires_at - now) if held(row, now) else 0.0


def holder(database: Database, name: str) -> str | None:
    """Who has it now."""
    with database.reading("lease") as connection:
        row = connection.execute(select(LEASES).where(LEASES.c.name == name)).one_or_none()
        return str(row.holder) if row is not None and held(row, database.now(connection)) else None


def extend(database: Database, lease: Lease, ttl_s: float | None) -> bool:
    mine = and_(LEASES.c.name == lease.name, LEASES.c.epoch == lease.epoch)
    with database.writing("lease", counted=False, fenced=False) as connection:
        until = 0.0 if ttl_s is None else database.now(connection) + ttl_s
        changed = connection.execute(update(LEASES).where(mine).values(expires_at=until, ttl_s=ttl_s or 0.0))
        return changed.rowcount == 1


def held(row: Any, now: float) -> bool:
    """A clock that was set back must not make a lease last for hours: none lasts longer than it was given for."""
    return bool(now < row.expires_at <= now + row.ttl_s)
