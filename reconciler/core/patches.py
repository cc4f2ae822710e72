"""Changes that an environment makes to a document: JSON merge patches (RFC 7396) and JSON patches (RFC 6902)."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jsonpatch
import jsonpointer

from reconciler.core.compose import DEEPEST, MOST_CHARACTERS, MOST_NODES
from reconciler.core.scalars import short
from reconciler.core.variables import is_sealed

FAILURES = (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException)


class Unfit(Exception):
    """A patch that does not fit this document; `at` leads from the patch to what does not."""

    def __init__(self, what: str, hint: str = "", *at: str | int) -> None:
        super().__init__(what)
        self.what, self.hint, self.at = what, hint, at


def merged(
    target: Any,
    patch: Any,
    make: Callable[[Any], dict[str, Any]] = lambda _: {},
    none: Callable[[Any], bool] = lambda v: v is None,
) -> Any:
    """https://www.rfc-editor.org/rfc/rfc7396#section-2, as it stands there. The target's mappings are changed in place.

    `make` gives an empty mapping in the place of the patch's, `none` says what counts as null: for whoever follows where the
    parts come from (`core/trail.py`).
    """
    if not isinstance(patch, dict):
        return patch
    if not isinstance(target, dict):
        target = make(patch)
    for key, value in patch.items():
        if none(value):
            target.pop(key, None)
        else:
            target[key] = merged(target.get(key), value, make, none)
    return target


def operated(target: Any, operations: list[dict[str, Any]]) -> Any:
    """The target after these operations, one after the other; it is changed in place. Raises Unfit."""
    for number, operation in enumerate(operations):
        for pointer in (operation["path"], operation.get("from", "")):
            if half_sealed(target, pointer) and operation["op"] != "test":
                what = "one part of a sealed secret says nothing without the other"
                raise Unfit(what, "name the whole of it, and write both `age` and `hash`", "json", number, "path")
        try:
            target = step(target, operation)
        except FAILURES as error:
            raise Unfit(_why(operation, error), "", "json", number, "path") from error
        if operation["op"] == "copy":
            # What is copied can be what was copied before: thirty lines could stand for a billion things.
            measure(target, "json", number)
    return target


def step(target: Any, operation: Mapping[str, Any]) -> Any:
    return jsonpatch.JsonPatch([dict(operation)]).apply(target, in_place=True)


def _why(operation: Mapping[str, Any], error: Exception) -> str:
    """In our own words: the library's may repeat the whole document."""
    op, path = operation["op"], short(operation["path"], 100)
    if isinstance(error, jsonpatch.JsonPatchTestFailed):
        return f"`test` {path}: what is there is something else"
    start = f" from {short(operation['from'], 100)}" if "from" in operation else ""
    return f"`{op}` {path}{start}: there is nothing to do that to"


def half_sealed(target: Any, pointer: str) -> bool:
    """Whether a pointer leads into a sealed secret."""
    parts = pointer.split("/")[1:]
    node = target
    for number, part in enumerate(parts):
        if isinstance(node, dict):
            if is_sealed(node) and number == len(parts) - 1:
                return True
            node = node.get(part.replace("~1", "/").replace("~0", "~"))
        elif isinstance(node, list) and part.isdecimal() and len(part) < 10 and int(part) < len(node):
            node = node[int(part)]
        else:
            return False
    return False


def torn(target: Any, patch: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where a merge patch would change one part of a sealed secret alone."""
    if not isinstance(target, dict) or not isinstance(patch, dict):
        return
    if is_sealed(target) and patch and not target.keys() <= patch.keys():
        yield path
    for key, value in patch.items():
        yield from torn(target.get(key), value, (*path, key))


def measure(value: Any, *at: str | int) -> int:
    """How large a document is, in values and characters; raises Unfit when it is larger or deeper than one may be."""
    nodes = characters = 0
    waiting = [(value, 1)]
    while waiting:
        one, depth = waiting.pop()
        nodes += 1
        if isinstance(one, str):
            characters += len(one)
        elif isinstance(one, dict):
            waiting += [(inner, depth + 1) for inner in one.values()]
            characters += sum(map(len, one))
        elif isinstance(one, list):
            waiting += [(inner, depth + 1) for inner in one]
        if nodes > MOST_NODES or characters > MOST_CHARACTERS:
            raise Unfit(f"makes a document of more than {MOST_NODES} things or {MOST_CHARACTERS} characters", "", *at)
        if depth > DEEPEST + 1:
            raise Unfit(f"makes a document of more than {DEEPEST} levels", "nest less", *at)
    return nodes + characters


def copied(value: Any) -> Any:
    """A copy that shares nothing with it, and no part with another."""
    if isinstance(value, dict):
        return {key: copied(one) for key, one in value.items()}
    return [copied(one) for one in value] if isinstance(value, list) else value
