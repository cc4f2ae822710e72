"""Where every part of a rendered document was written: found by rendering it once more, with places instead of values."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from reconciler.core.kinds.environment import Target
from reconciler.core.model import Source, Where
from reconciler.core.parse import Document, locate
from reconciler.core.patches import merged, step
from reconciler.core.variables import Path, Value, behind, inside, source_at

LABELS: Path = ("spec", "labels")


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """One patch of an environment, its variables filled in: `what` is merge, json or delete, `path` where it is written.

    `content` is what is merged, or the list of operations; nothing may change it. No `target`: it is for every document.
    """

    document: Document
    path: Path
    what: str
    content: Any
    values: tuple[Value, ...] = ()
    target: Target | None = None

    @property
    def source(self) -> Source:
        return source_at(self.document, self.path)


@dataclass(frozen=True, slots=True)
class At:
    """A place in a document as it is written; `value` is the variable that stands there, `null` an explicit nothing."""

    document: Document
    path: Path
    value: Value | None = None
    null: bool = False

    def __deepcopy__(self, _: object) -> "At":
        return self


class _Mapping(dict[str, Any]):
    def __init__(self, at: At) -> None:
        super().__init__()
        self.at = at


class _List(list[Any]):
    def __init__(self, at: At) -> None:
        super().__init__()
        self.at = at


@dataclass(frozen=True, slots=True, eq=False)
class Rendered:
    """How a document came to be: the one that is written, what was filled in, and what was changed, in order."""

    document: Document
    values: tuple[Value, ...]
    changes: tuple[Change, ...]

    def locate(self, path: Path, key: bool) -> Where:
        at, exact = _found(_shadow(self), path)
        if key and exact:
            # What a JSON patch adds has its name in the operation's path.
            added = at.path[-1:] == ("value",) and at.path[-3:-2] == ("json",)
            return locate(at.document, (*at.path[:-1], "path"), key=False) if added else locate(at.document, at.path, key=True)
        if at.value is not None:
            return at.value.where
        return locate(at.document, at.path)

    def beside(self, path: Path) -> str:
        at, _ = _found(_shadow(self), path)
        if at.value is not None:
            return f"it is ${{var.{at.value.name}}} at {locate(at.document, at.path)}"
        text = _at(at.document.value, at.path)
        used = [one for name in inside(text) for one in self._values() if one.name == name] if isinstance(text, str) else []
        if used:
            return "; ".join(f"${{var.{one.name}}} is from {one.where}" for one in dict.fromkeys(used))
        if at.document is not self.document:
            return f"it changes {locate(self.document, ())}"
        return ""

    def layers(self) -> tuple[Source, ...]:
        written = [one.source for one in self.changes] + [source_at(one.document, one.path) for one in self._values()]
        return (self.document.source, *dict.fromkeys(written))

    def _values(self) -> tuple[Value, ...]:
        return (*self.values, *(value for change in self.changes for value in change.values))


@lru_cache(maxsize=64)
def _shadow(rendered: Rendered) -> Any:
    """The rendered document with an At in the place of every value."""
    values = {one.name: one for one in rendered.values}
    shadow = shade(rendered.document, (), rendered.document.value, values)
    for change in rendered.changes:
        mine = {one.name: one for one in change.values}
        shadow = changed(shadow, change, mine)
    return shadow


def changed(shadow: Any, change: Change, values: Mapping[str, Value]) -> Any:
    path = change.path if change.path == LABELS else (*change.path, change.what)
    content = shade(change.document, path, _at(change.document.value, path), values)
    if change.path == LABELS:
        holder = _Mapping(At(change.document, path))
        holder["metadata"] = _Mapping(At(change.document, path))
        holder["metadata"]["labels"] = content
        content = holder
    if change.what == "merge":
        return merged(shadow, content, lambda patch: _Mapping(patch.at), lambda one: isinstance(one, At) and one.null)
    for operation, said in zip(content, change.content, strict=True):
        if said["op"] != "test":
            places = {"value": operation["value"]} if "value" in operation else {}
            shadow = step(shadow, {**said, **places})
    return shadow


def shade(document: Document, path: Path, value: Any, values: Mapping[str, Value]) -> Any:
    if isinstance(value, dict):
        result = _Mapping(At(document, path))
        for key, one in value.items():
            result[key] = shade(document, (*path, key), one, values)
        return result
    variable = behind(value, values) if isinstance(value, str) else None
    if isinstance(value, list) or (variable is not None and isinstance(variable.value, list)):
        entries = _List(At(document, path, variable))
        if variable is None:
            entries += [shade(document, (*path, number), one, values) for number, one in enumerate(value)]
        else:
            entries += [At(variable.document, (*variable.path, number)) for number in range(len(variable.value))]
        return entries
    return At(document, path, variable, value is None)


def _found(shadow: Any, path: Path) -> tuple[At, bool]:
    """The deepest part of a path that is there, and whether that is all of it."""
    node = shadow
    for part in path:
        if isinstance(node, dict) and part in node:
            node = node[str(part)]
        elif isinstance(node, list) and isinstance(part, int) and 0 <= part < len(node):
            node = node[part]
        else:
            return _place(node), False
    return _place(node), True


def _place(node: Any) -> At:
    at: At = node if isinstance(node, At) else node.at
    return at


def _at(value: Any, path: Path) -> Any:
    for part in path:
        value = value[part]
    return value
