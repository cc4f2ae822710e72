"""What the store knows, read back: revisions, changes, plans, outcomes, events, and who may act."""

import contextlib
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from reconciler.core.declared import Changed, Version
from reconciler.store import happened, history, revisions
from reconciler.store import lease as leases
from reconciler.store.database import Database, Lease
from reconciler.store.following import Following
from reconciler.store.happened import Happened
from reconciler.store.rows import Event, Revision


class Past:
    """The half of a Store that writes nothing and remembers nothing. Raises StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def view(self) -> contextlib.AbstractContextManager[None]:
        """All that this thread reads inside is read in one consistent view, which begins when it reads first."""
        return self._database.view()

    def refresh(self) -> None:
        """What this thread reads from here on is as it is then, in such a view too: whoever waits for others does this before,
        and again after each look."""
        self._database.refresh()

    def current(self) -> Revision | None:
        """The revision that was judged last."""
        return revisions.current(self._database)

    def last_good(self) -> str | None:
        return revisions.last_good(self._database)

    def good_since(self, revision: str) -> float | None:
        """When this revision was first found good, as far back as is kept."""
        return revisions.good_since(self._database, revision)

    def judged(self, before: float | None = None, most: int = 100) -> list[Revision]:
        """The revisions judged (before that time), newest first."""
        return revisions.judged(self._database, before, most)

    def history(
        self,
        ref: str | None = None,
        before: int | None = None,
        most: int = 100,
        *,
        accepted: str | None = None,
        documents: bool = True,
    ) -> list[Changed]:
        """The newest changes, newest first: of one printed ref, below a number, of one accepted revision; at most 1,000."""
        return history.changes(self._database, ref, before, most, accepted, documents)

    def version(self, id: str) -> Version | None:
        """What a resource was, or is, declared as under this id (`core.declared.version_id`)."""
        return history.version(self._database, id)

    def numbered(self, ref: str, n: int) -> Version | None:
        """The `n`th version of the resource of this printed ref, as far as it is kept."""
        return history.numbered(self._database, ref, n)

    def nth(self, ref: str, n: int) -> Changed | None:
        """The `n`th change of a resource, with its documents."""
        return history.nth(self._database, ref, n)

    def declared_by(self, ref: str, revision: str) -> Changed | None:
        """The change after which a resource was as this revision declares it, with its documents; None where that is not known
        any more, or the revision was never in force."""
        since = revisions.good_since(self._database, revision)
        return history.in_force(self._database, ref, since) if since is not None else None

    def changed_since(self, number: int, kinds: Collection[str], most: int) -> list[str]:
        """What of these kinds has changed since the change of that number, as printed refs; at most so many."""
        return history.later(self._database, number, kinds, most)

    def changed_until(self, refs: Iterable[str], number: int) -> list[Changed]:
        """The last change of each of these resources up to that number, with its documents."""
        return history.until(self._database, refs, number)

    def declared_at(self, ref: str, at: float) -> Changed | None:
        """The last change of a resource up to that time (Unix seconds), with its documents."""
        return history.in_force(self._database, ref, at)

    def change_counts(self, accepted: Iterable[str]) -> dict[tuple[str, float], dict[str, int]]:
        """Accepted revision and when ⇒ how many resources it created, changed, moved, deleted."""
        return history.counts(self._database, accepted)

    def last_plan(self) -> Any:
        return happened.last_plan(self._database)

    def outcomes(self, limit: int = 100) -> list[dict[str, Any]]:
        """The newest, newest first."""
        return happened.outcomes(self._database, limit)

    def events(self, since: int = 0, limit: int = 100) -> list[Event]:
        """Those numbered above `since`, in order."""
        return happened.events(self._database, since, limit)

    def recent(self, ref: str, limit: int = 20) -> list[Event]:
        """The newest about one resource, newest first."""
        return happened.recent(self._database, ref, limit)

    def latest(self, kinds: Sequence[str], limit: int = 100) -> list[Event]:
        """The newest whose kind begins so, newest first."""
        return happened.latest(self._database, kinds, limit)

    def happened(self) -> Happened:
        """Events and outcomes by their numbers, for whoever reads them back and forth."""
        return Happened(self._database)

    def following(self) -> Following:
        """For whoever looks again and again."""
        return Following(self._database)

    def check(self, lease: Lease) -> bool:
        """May its holder act now?"""
        return self.remaining(lease) > 0

    def remaining(self, lease: Lease) -> float:
        """For how many seconds more its holder may act; 0.0 when he may not."""
        return leases.remaining(self._database, lease)

    def holder(self, name: str) -> str | None:
        """Who has this lease now."""
        return leases.holder(self._database, name)
