"""Memo: what was made of which objects, so that a revision costs what changed in it and not what it holds."""

from collections.abc import Callable, Hashable, Iterable
from typing import Any, TypeVar, cast

from reconciler.core.model import Ref, Resource

T = TypeVar("T")
Key = tuple[Hashable, ...]


class Memo:
    """Results of pure functions by the identity of what went in. Keeps what the last two turns have used. Not thread-safe.

    Inputs are compared by identity because that costs nothing; `same` gives documents that say the same one identity.
    """

    def __init__(self) -> None:
        self._now: dict[Key, tuple[tuple[object, ...], Any]] = {}
        self._before: dict[Key, tuple[tuple[object, ...], Any]] = {}
        self._resources: dict[int, Resource] = {}
        self._by_ref: dict[Ref, Resource] = {}

    def turn(self) -> None:
        """A new revision begins."""
        self._now, self._before = {}, self._now

    def keep(self) -> None:
        """This revision led to nothing: what was known before it stays known as well."""
        self._now = {**self._before, **self._now}

    def same(self, resources: Iterable[Resource]) -> list[Resource]:
        """These resources, each as the object it was in the last revision if it says the same at the same place."""
        before, by_ref = self._resources, self._by_ref
        result = [before.get(id(one)) or _alike(one, by_ref) for one in resources]
        # A resource that is another object but says the same is known by both.
        if len(before) != len(result) or any(id(one) not in before for one in result):
            self._resources = {id(one): one for one in result}
            self._by_ref = {one.ref: one for one in result}
        return result

    def kept(self, what: Hashable, inputs: tuple[object, ...], make: Callable[[], T]) -> T:
        """What `make` gave when it was last asked for under `what` with these inputs, or gives now."""
        key = (what, *map(id, inputs))
        found = self._now.get(key)
        if found is None:
            # The inputs are kept too: as long as they are, nothing else can have their identity.
            found = self._before.get(key) or (inputs, make())
            self._now[key] = found
        return cast(T, found[1])


def _alike(resource: Resource, known: dict[Ref, Resource]) -> Resource:
    old = known.get(resource.ref)
    if old is None or old.digest != resource.digest or old.source != resource.source or old.uid != resource.uid:
        return resource
    return old
