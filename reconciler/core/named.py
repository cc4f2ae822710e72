"""Lists of things that have names, changed entry by entry: what is named is put in, and all others stay as they are."""

from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.core.patches import merged

Path = tuple[str | int, ...]


def by_name(value: Any) -> dict[str, Any] | None:
    """The entries of a list by their names; None where not each of them has one of its own."""
    if not isinstance(value, list) or not all(isinstance(one, dict) and isinstance(one.get("name"), str) for one in value):
        return None
    found = {one["name"]: one for one in value}
    return found if len(found) == len(value) else None


def upserted(target: Any, patch: Any) -> Any:
    """A merge patch (RFC 7396), save for lists of entries with names: an entry takes the place of the one of its name, or
    comes last. The target's mappings are changed in place."""
    if not isinstance(patch, dict):
        here, there = by_name(target), by_name(patch)
        return list({**here, **there}.values()) if here and there is not None else patch
    if not isinstance(target, dict):
        return merged(target, patch)
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        else:
            target[key] = upserted(target.get(key), value)
    return target


def taken(target: Any, patch: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """The names of a patch's entries that the target has already, each with the list it is in."""
    if isinstance(patch, Mapping) and isinstance(target, Mapping):
        for key, value in patch.items():
            yield from taken(target.get(key), value, (*path, key))
    elif here := by_name(target):
        yield from ((path, name) for name in by_name(patch) or () if name in here)
