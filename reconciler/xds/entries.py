"""What is told, by name: one object per content, and pure functions over mappings of them."""

import hashlib
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from reconciler.core.model import XdsResource


class Entry:
    """One content of one name. `resource` is None when only the version is known, from a client that reconnects."""

    __slots__ = ("__weakref__", "name", "resource", "type", "version")

    def __init__(self, type: str, name: str, version: str, resource: XdsResource | None) -> None:
        self.type, self.name, self.version, self.resource = type, name, version, resource


Entries = Mapping[str, Entry]
EMPTY: Final[Entries] = MappingProxyType({})
NO_NAMES: Final[frozenset[str]] = frozenset()

# The version of the empty assignment that answers for endpoints which do not exist. Not content of any snapshot.
ABSENT = "absent"


def digest(pairs: Iterable[tuple[str, str]]) -> str:
    hashed = hashlib.sha256()
    for name, version in pairs:
        hashed.update(f"{name}\0{version}\n".encode())
    return hashed.hexdigest()[:20]


# Pure functions over shared mappings, called through Library.memo. Each gives back one of its arguments where it can, so
# that "nothing to do" is seen by identity.


def select(entries: Entries, names: frozenset[str]) -> Entries:
    """The entries of these names."""
    if not names or not entries:
        return EMPTY
    chosen = {name: entry for name, entry in entries.items() if name in names}
    return entries if len(chosen) == len(entries) else MappingProxyType(chosen) if chosen else EMPTY


def differing(have: Entries, goal: Entries) -> tuple[Entry, ...]:
    """The entries of `goal` that `have` lacks or has with other content."""
    return tuple(entry for name, entry in goal.items() if (old := have.get(name)) is None or old.version != entry.version)


def missing(have: Entries, goal: Entries) -> tuple[str, ...]:
    """The names in `have` that `goal` lacks."""
    return tuple(name for name in have if name not in goal)


def union(have: Entries, goal: Entries) -> Entries:
    """`goal`, and from `have` what it lacks: as long as the new is not in use, the old stays."""
    if all(name in goal for name in have):
        return goal
    return MappingProxyType({**{name: entry for name, entry in have.items() if entry.resource is not None}, **goal})


def digest_of(entries: Entries) -> str:
    """Names this content: the version of a state of the world."""
    return digest((entry.name, entry.version) for entry in entries.values())


def endpoints(have: Entries, goal: Entries) -> frozenset[str]:
    """The EDS names of the clusters that are new or changed."""
    return frozenset(e.resource.eds for e in differing(have, goal) if e.resource is not None and e.resource.eds)


def endpoints_needed(clusters: Entries, assignments: Entries) -> frozenset[str]:
    """The endpoints that are there for these clusters."""
    return endpoints(EMPTY, clusters) & assignments.keys()


def routes_needed(listeners: Entries, routes: Entries) -> frozenset[str]:
    """The routes that are there for these listeners."""
    refers = (refer for e in listeners.values() if e.resource is not None for refer in e.resource.refers)
    return frozenset(name for type, name in refers if type == "rds" and name in routes)


def values(entries: Entries) -> tuple[Entry, ...]:
    return tuple(entries.values())


def versions(entries: Entries) -> Mapping[str, str]:
    """Name ⇒ version, without what we made up."""
    return MappingProxyType({name: entry.version for name, entry in entries.items() if entry.version != ABSENT})
