"""A large mapping with a few entries changed: what that costs follows the changes, and the one before stays as it is."""

from collections.abc import Collection, Iterator, Mapping
from typing import TypeVar

from reconciler.core.edition import Edition

K = TypeVar("K")
V = TypeVar("V")
# So many changes are carried along before a new whole is made of them.
MOST_OVER = 250


class Laid(Mapping[K, V]):
    """`over` (None: gone) laid over `under`. Neither may change any more."""

    __slots__ = ("_over", "_under")

    def __init__(self, under: Mapping[K, V], over: Mapping[K, V | None]) -> None:
        self._under, self._over = under, over

    def __getitem__(self, key: K) -> V:
        if key not in self._over:
            return self._under[key]
        found = self._over[key]
        if found is None:
            raise KeyError(key)
        return found

    def __iter__(self) -> Iterator[K]:
        return iter(self.whole())

    def __len__(self) -> int:
        # Nor is it made whole to say whether there is anything.
        return len(self._under) + sum((value is not None) - (key in self._under) for key, value in self._over.items())

    def whole(self) -> Edition[K, V]:
        """All of it; what is new comes last."""
        under = self._under if isinstance(self._under, Edition) else Edition(self._under)
        return under.edited(self._over)

    def changed(self, changes: Mapping[K, V | None]) -> "Laid[K, V]":
        over = {**self._over, **changes}
        result = Laid(self._under, over)
        return result if len(over) <= MOST_OVER else Laid(result.whole(), {})

    def differing(self, old: Mapping[K, V]) -> Collection[K] | None:
        """The keys of all that differ from `old`; None where that is not known."""
        if not isinstance(old, Laid):
            return None
        below: Collection[K] | None = ()
        if old._under is not self._under:
            below = self._under.differing(old._under) if isinstance(self._under, Edition) else None
        if below is None:
            return None
        return [key for key in {*below, *old._over, *self._over} if self.get(key) is not old.get(key)]


def laid(before: Mapping[K, V], changes: Mapping[K, V | None]) -> Laid[K, V]:
    """`before` with these entries (None: without)."""
    return before.changed(changes) if isinstance(before, Laid) else Laid(before, changes)


def whole(mapping: Mapping[K, V]) -> Mapping[K, V]:
    """The same, to be gone through."""
    return mapping.whole() if isinstance(mapping, Laid) else mapping
