"""Memo: what was made of which documents, so that a revision costs what changed in it and not what it holds."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, TypeVar, cast

from reconciler.core.edition import differing
from reconciler.core.model import Ref, Resource

T = TypeVar("T")
Inputs = tuple[Resource | None, ...]
# Results are swept when there are twice as many as after the last sweep, so a sweep's cost is spread over what was made.
FEWEST_SWEPT = 1000


class Memo:
    """Results of pure functions of documents, by the identity of these. Not thread-safe.

    Identity costs nothing to compare; `same` gives documents that say the same at the same place one identity. What was made
    of documents that neither of the last two revisions has is forgotten.
    """

    def __init__(self) -> None:
        # The documents of the last revision, each as the object that it was first.
        self.documents: dict[Ref, Resource] = {}
        self._given: Mapping[Ref, Resource] = {}
        self._made: dict[tuple[Hashable, ...], tuple[Inputs, Any]] = {}
        self._last: dict[Hashable, tuple[Inputs, Any]] = {}
        self._sweep_at = FEWEST_SWEPT

    def same(
        self, resources: Mapping[Ref, Resource], beside: Iterable[Resource] = ()
    ) -> dict[Ref, tuple[Resource | None, Resource | None]]:
        """A new revision: what stands for another document than in the last one, with both.

        Each is the object that it was if it says the same at the same place. `beside` are others that the revision is made of,
        the same objects as long as they say the same.
        """
        changes: dict[Ref, tuple[Resource | None, Resource | None]] = {}
        for ref in differing(self._given, resources):
            old, new = self.documents.get(ref), resources.get(ref)
            if new is not None and old is not None and _alike(new, old):
                continue
            if new is not old:
                changes[ref] = old, new
        for ref, (_, new) in changes.items():
            if new is None:
                del self.documents[ref]
            else:
                self.documents[ref] = new
        self._given = resources
        if len(self._made) + len(self._last) > self._sweep_at:
            before = (old for old, _ in changes.values() if old is not None)
            self._sweep({id(None), *map(id, self.documents.values()), *map(id, before), *map(id, beside)})
        return changes

    def kept(self, what: str, inputs: Inputs, make: Callable[[], T]) -> T:
        """What `make` gave for these few documents, or gives now."""
        key = (what, *map(id, inputs))
        found = self._made.get(key)
        if found is None:
            # The documents are kept as well: as long as they are, nothing else can have their identity.
            found = self._made[key] = (inputs, make())
        return cast(T, found[1])

    def last(self, what: Hashable, inputs: Inputs, make: Callable[[], T]) -> T:
        """What `make` gave for these many documents, if they are the same as the last time, or gives now."""
        found = self._last.get(what)
        if found is None or found[0] != inputs:
            found = self._last[what] = (inputs, make())
        return cast(T, found[1])

    def _sweep(self, live: set[int]) -> None:
        for results in (self._made, self._last):
            dead = [key for key, found in results.items() if not live.issuperset(map(id, found[0]))]
            for key in dead:
                results.pop(cast(Any, key))
        self._sweep_at = max(FEWEST_SWEPT, 2 * (len(self._made) + len(self._last)))


def _alike(resource: Resource, old: Resource) -> bool:
    return (
        old.digest == resource.digest
        and old.source == resource.source
        and old.layers == resource.layers
        and old.uid == resource.uid
    )
