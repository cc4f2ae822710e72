"""The fleet as it was declared at an earlier change: as it is now, but for what has changed since."""

from collections.abc import Iterable

from reconciler.core.declared import Changed, Declared
from reconciler.core.model import Ref
from reconciler.store import Has, Store, Which, Window

# Of more that have changed since it is not asked how they were: those are told as they are now.
MOST_LATER = 1_000
EVERY = Window(most=100_000, counted=False)
KINDS = ("Proxy", "ProxyGroup", "Configuration")


class Then:
    """Of proxies, their groups and what they are configured with. Raises StoreError."""

    def __init__(self, store: Store, number: int) -> None:
        """`number` is the last change's that counts."""
        self._store = store
        later = store.changed_since(number, KINDS, MOST_LATER + 1)
        self._later: dict[str, Declared | None] = {}
        if len(later) <= MOST_LATER:
            now, earlier = store.declared(later), {one.ref: one for one in store.changed_until(later, number)}
            self._later = {ref: was(earlier.get(ref), now.get(ref)) for ref in later}

    def declared(self, refs: Iterable[str]) -> dict[str, Declared]:
        """Printed ref ⇒ how it was declared, for those that were."""
        asked = set(refs)
        found = self._store.declared(asked - self._later.keys()) if asked - self._later.keys() else {}
        return found | {ref: one for ref in asked & self._later.keys() if (one := self._later[ref]) is not None}

    def naming(self, kind: str, named: Ref, field: str) -> dict[str, Declared]:
        """The resources of a kind, in its tenant, whose spec named it there."""
        which = Which(kind, named.tenant, has=(Has(("spec", field), frozenset({named.name})),))
        now = (row.declared for row in self._store.pages.page(which, EVERY).rows if row.declared.ref not in self._later)
        earlier = (one for one in self._later.values() if one is not None and (one.kind, one.tenant) == (kind, named.tenant))
        return {one.ref: one for one in (*now, *(one for one in earlier if one.spec.get(field) == named.name))}


def was(change: Changed | None, now: Declared | None) -> Declared | None:
    """How a resource was declared after this change; the same as now where it was not changed since; None where it was not."""
    if change is None or change.change == "deleted":
        return None
    if now is not None and (now.uid, now.n) == (change.uid, change.n):
        return now
    if change.after is None:
        # What it was then is not kept any more.
        return now
    ref = Ref.parse(change.ref)
    created = now.created if now is not None and now.uid == change.uid else change.at
    return Declared(
        change.ref,
        change.uid,
        ref.kind,
        ref.tenant,
        ref.name,
        change.digest,
        change.after,
        change.file,
        change.line,
        "",
        change.revision,
        change.author,
        change.n,
        change.at,
        created,
        change.version,
        change.message,
    )
