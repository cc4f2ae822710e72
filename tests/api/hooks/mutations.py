"""The same document with something else at one place, for every place in it."""

import json
from collections.abc import Iterator
from typing import Any


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a document, the whole of it first."""
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, child in children:
        yield from places(child, (*path, name))


def mutated(payload: Any, path: tuple[Any, ...], to: Any) -> Any:
    """The same with something else at one place."""
    if not path:
        return to
    copied: Any = json.loads(json.dumps(payload))
    inner = copied
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = to
    return copied
