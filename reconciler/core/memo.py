"""Memo: what was made of which documents, so that a revision costs what changed in it and not what it holds."""

from collections.abc import Callable, Hashable, Iterable
from typing import Any, TypeVar, cast

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
        self._made: dict[tuple[Hashable, ...], tuple[Inputs, Any]] = {}
        self._last: dict[Hashable, tuple[Inputs, object, Any]] = {}
        self._resources: dict[int, Resource] = {}
        self._before: dict[int, Resource] = {}
        self._by_ref: dict[Ref, Resource] = {}
        self._beside: dict[int, Resource] = {}
        self._sweep_at = FEWEST_SWEPT

    def same(self, resources: Iterable[Resource], beside: Iterable[Resource] = ()) -> list[Resource]:
        """A new revision: its resources, each as the object it was in the last one if it says the same at the same place.

        `beside` are others that it is made of, the same objects as long as they say the same.
        """
        before, by_ref = self._resources, self._by_ref
        result = [before.get(id(one)) or _alike(one, by_ref) for one in resources]
        self._before, self._resources = before, {id(one): one for one in result}
        self._beside = {id(one): one for one in beside}
        for gone in before.keys() - self._resources.keys():
            by_ref.pop(before[gone].ref, None)
        for new in self._resources.keys() - before.keys():
            by_ref[self._resources[new].ref] = self._resources[new]
        if len(self._made) + len(self._last) > self._sweep_at:
            self._sweep()
        return result

    def kept(self, what: str, inputs: Inputs, make: Callable[[], T]) -> T:
        """What `make` gave for these few documents, or gives now."""
        key = (what, *map(id, inputs))
        found = self._made.get(key)
        if found is None:
            # The documents are kept as well: as long as they are, nothing else can have their identity.
            found = self._made[key] = (inputs, make())
        return cast(T, found[1])

    def last(self, what: Hashable, inputs: Inputs, make: Callable[[], T], beside: object = None) -> T:
        """What `make` gave for these many documents, if they are the same as the last time, or gives now.

        `beside`: what else it is made of, compared by identity.
        """
        found = self._last.get(what)
        if found is None or found[1] is not beside or found[0] != inputs:
            found = self._last[what] = (inputs, beside, make())
        return cast(T, found[2])

    def _sweep(self) -> None:
        live = self._resources.keys() | self._before.keys() | self._beside.keys() | {id(None)}
        for results in (self._made, self._last):
            dead = [key for key, found in results.items() if not live.issuperset(map(id, found[0]))]
            for key in dead:
                results.pop(cast(Any, key))
        self._sweep_at = max(FEWEST_SWEPT, 2 * (len(self._made) + len(self._last)))


def _alike(resource: Resource, known: dict[Ref, Resource]) -> Resource:
    old = known.get(resource.ref)
    if (
        old is None
        or old.digest != resource.digest
        or old.source != resource.source
        or old.layers != resource.layers
        or old.uid != resource.uid
    ):
        return resource
    return old
