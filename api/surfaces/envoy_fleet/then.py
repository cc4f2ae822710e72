"""The fleet as it was declared at an earlier change: as it is now, but for what has changed since."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from reconciler.core.declared import Changed, Declared
from reconciler.core.model import Ref
from reconciler.store import Has, Store, Which, Window
from reconciler.store.questions import chunks

# Of more that have changed since it is not asked how they were: those are told as they are now.
MOST_LATER = 1_000
EVERY = Window(most=100_000, counted=False)
KINDS = ("Proxy", "ProxyGroup", "Configuration")


class Then:
    """Of proxies, their groups and what they are configured with. Raises StoreError."""

    def __init__(self, store: Store, number: int) -> None:
        """`number` is the last change's that counts."""
        self._store = store
        self._named: dict[tuple[str, str, str], dict[str, list[Declared]]] = {}
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

    def naming(self, kind: str, tenant: str, names: Collection[str], field: str) -> dict[str, Declared]:
        """The resources of a kind, in a tenant, whose spec named one of these there. What is there is looked through once for
        all of the names: of many, nobody asks one by one."""
        found: dict[str, Declared] = {}
        for some in chunks(sorted(names)):
            which = Which(kind, tenant, has=(Has(("spec", field), frozenset(some)),))
            now = (row.declared for row in self._store.pages.page(which, EVERY).rows)
            found |= {one.ref: one for one in now if one.ref not in self._later}
        earlier = self._naming(kind, tenant, field)
        return found | {one.ref: one for name in names for one in earlier.get(name, ())}

    def _naming(self, kind: str, tenant: str, field: str) -> Mapping[str, Sequence[Declared]]:
        """Name ⇒ those that named it, of what has changed since."""
        known = self._named.get((kind, tenant, field))
        if known is None:
            known = self._named[kind, tenant, field] = {}
            for one in self._later.values():
                if one is not None and (one.kind, one.tenant) == (kind, tenant):
                    known.setdefault(str(one.spec.get(field) or ""), []).append(one)
        return known


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
