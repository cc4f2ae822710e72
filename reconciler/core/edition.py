"""Edition: a large mapping that is never changed, of which others are made that know in what they differ from it."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Protocol, Self, TypeVar, runtime_checkable

K = TypeVar("K")
V = TypeVar("V")
# How many editions back it is known what differs, and of how many entries: whoever has missed more looks at everything.
MOST_BEFORE, MOST_DIFFERING = 8, 1000


@runtime_checkable
class Telling(Protocol):
    """A mapping that can tell in what it differs from another."""

    def differing(self, old: Any) -> Collection[Any] | None: ...


class Edition(dict[K, V]):
    """To be read as any dict. Nothing may change it."""

    __slots__ = ("_mark", "_order", "_since")

    def __init__(self, entries: Mapping[K, V] | Iterable[tuple[K, V]] = ()) -> None:
        super().__init__(entries)
        self._mark, self._order = object(), object()
        # The mark of an older one ⇒ the keys of all that may differ. Marks, because the older ones are not to be kept for that.
        self._since: dict[object, frozenset[K]] = {}

    def edited(self, changes: Mapping[K, V | None]) -> Self:
        """With these entries (None: without). What stays keeps its place in the order, and what is new comes last."""
        result = self._copy()
        for key, value in changes.items():
            if value is None:
                result.pop(key, None)
            else:
                result[key] = value
        self._succeeded(result, frozenset(changes))
        if all(value is not None and key in self for key, value in changes.items()):
            result._order = self._order
        return result

    def _copy(self) -> Self:
        return type(self)(self)

    def reordered(self, entries: Iterable[tuple[K, V]], keys: Collection[K]) -> "Edition[K, V]":
        """Another one, of which these keys are all that may differ, and the order."""
        result = Edition(entries)
        self._succeeded(result, frozenset(keys))
        return result

    def _succeeded(self, by: "Edition[K, V]", keys: frozenset[K]) -> None:
        before = [*list(self._since.items())[1 - MOST_BEFORE :], (self._mark, frozenset[K]())]
        by._since = {mark: known | keys for mark, known in before if len(known) + len(keys) <= MOST_DIFFERING}

    def ordered_as(self, old: Mapping[K, V]) -> bool:
        """Whether it is known to have the keys of `old`, in the same order."""
        return isinstance(old, Edition) and old._order is self._order

    def differing(self, old: Mapping[K, V]) -> Collection[K] | None:
        """The keys of all that may differ from `old`; None where that is not known."""
        if old is self:
            return ()
        return self._since.get(old._mark) if isinstance(old, Edition) else None


def differing(old: Mapping[K, V], new: Mapping[K, V]) -> Collection[K]:
    """The keys of all that may differ: all that are not in both as the very same object, and perhaps some more."""
    known = new.differing(old) if isinstance(new, Telling) else None
    if known is not None:
        return known
    found = [key for key, value in new.items() if old.get(key) is not value]
    if len(old) + len(found) != len(new) or any(key in old for key in found):
        found += [key for key in old if key not in new]
    return found
