"""Who acts: a lease that one holder has at a time, and an epoch that no two holders share."""

from dataclasses import dataclass

from sqlalchemy import Row, and_, insert, select, update

from reconciler.seams import Seams
from reconciler.store.database import Database
from reconciler.store.tables import LEASES


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to act, until it runs out. Every action's start checks the epoch: an old holder's no longer fits."""

    name: str
    holder: str
    epoch: int


def acquire(database: Database, seams: Seams, name: str, holder: str, ttl_s: float) -> Lease | None:
    """The lease under a new epoch, or None while another holder has it.

    A holder that asks again (restarted, say) takes over from its former self at once.
    """
    with database.writing("lease", counted=False) as connection:
        now = seams.now()
        row = connection.execute(select(LEASES).where(LEASES.c.name == name)).one_or_none()
        if row is None:
            connection.execute(insert(LEASES).values(name=name, holder=holder, epoch=1, expires_at=now + ttl_s, ttl_s=ttl_s))
            return Lease(name, holder, 1)
        if row.holder != holder and held(row, now):
            return None
        values = {"holder": holder, "epoch": row.epoch + 1, "expires_at": now + ttl_s, "ttl_s": ttl_s}
        connection.execute(update(LEASES).where(LEASES.c.name == name).values(values))
        return Lease(name, holder, row.epoch + 1)


def renew(database: Database, seams: Seams, lease: Lease, ttl_s: float) -> bool:
    """True when it is still ours, now for `ttl_s` more; also when it had run out and nobody has taken it since."""
    return extend(database, lease, seams.now() + ttl_s, ttl_s)


def release(database: Database, lease: Lease) -> None:
    """Let another have it at once; nothing happens when another already does."""
    extend(database, lease, 0.0, 0.0)


def check(database: Database, seams: Seams, lease: Lease) -> bool:
    """May its holder act now?"""
    with database.reading("lease") as connection:
        row = connection.execute(select(LEASES).where(LEASES.c.name == lease.name)).one_or_none()
    return row is not None and row.epoch == lease.epoch and held(row, seams.now())


def holder(database: Database, seams: Seams, name: str) -> str | None:
    """Who has it now."""
    with database.reading("lease") as connection:
        row = connection.execute(select(LEASES).where(LEASES.c.name == name)).one_or_none()
    return str(row.holder) if row is not None and held(row, seams.now()) else None


def extend(database: Database, lease: Lease, expires_at: float, ttl_s: float) -> bool:
    mine = and_(LEASES.c.name == lease.name, LEASES.c.epoch == lease.epoch)
    with database.writing("lease", counted=False) as connection:
        changed = connection.execute(update(LEASES).where(mine).values(expires_at=expires_at, ttl_s=ttl_s))
        return changed.rowcount == 1


def held(row: "Row[tuple[object, ...]]", now: float) -> bool:
    """A clock that was set back must not make a lease last for hours: none lasts longer than it was given for."""
    return bool(now < row.expires_at <= now + row.ttl_s)
