"""A change to what bases say, written where it belongs: as one more patch in the environment's own `environment.yaml`."""

from collections.abc import Mapping
from typing import Any

import jsonpatch

from reconciler.core.as_yaml import as_yaml
from reconciler.core.layers import declared
from reconciler.core.nodes import Node, nodes
from reconciler.core.parse import Document, parse
from reconciler.core.patches import copied, merged
from reconciler.core.variables import is_sealed

REMOVED = object()


class NotWritten(Exception):
    """The patch cannot be put there; the message says why and what to do."""


def patch_between(now: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What makes `wanted` of `now`: a merge patch, or a JSON patch where a merge cannot say it (a null, for example)."""
    merge = _difference(now, wanted)
    if merged(copied(now), copied(merge)) == wanted:
        return {"merge": literal(merge)}
    return {"json": literal(jsonpatch.make_patch(copied(now), copied(wanted)).patch)}


def _difference(now: Any, wanted: Mapping[str, Any]) -> dict[str, Any]:
    patch: dict[str, Any] = {}
    for key in [*wanted, *(one for one in now if one not in wanted)]:
        old, new = now.get(key, REMOVED), wanted.get(key, REMOVED)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict) and not (is_sealed(old) or is_sealed(new)):
            patch[key] = _difference(old, new)
        else:
            patch[key] = None if new is REMOVED else new
    return patch


def literal(value: Any) -> Any:
    """With what would be taken for a variable spelled so that it is none."""
    if isinstance(value, str):
        return value.replace("${var.", "$${var.")
    if isinstance(value, dict):
        return {key: literal(one) for key, one in value.items()}
    return [literal(one) for one in value] if isinstance(value, list) else value


def with_patch(text: bytes, patch: Mapping[str, Any], comment: str = "") -> bytes:
    """The environment.yaml with one more patch behind all others, and nothing else changed. Raises NotWritten."""
    documents = declared(parse("", "", text).documents)
    if len(documents) != 1:
        raise NotWritten("its environment.yaml cannot be read")
    (document,) = documents
    start = document.source.start
    new = text[:start] + _inserted(document, patch, comment) + text[document.source.end :]
    spec = dict(document.value.get("spec") or {})
    spec["patches"] = [*spec.get("patches", []), patch]
    if [one.value for one in declared(parse("", "", new).documents)] != [{**document.value, "spec": spec}]:
        raise NotWritten("its environment.yaml is written in a way that leaves no room for a patch: write `patches:` in lines")
    return new


def _inserted(document: Document, patch: Mapping[str, Any], comment: str) -> bytes:
    text = document.raw.decode()
    spec = _entry(nodes(text), "spec")
    patches = _entry(spec, "patches")
    if spec is None or spec.entries is None or spec.flow or (patches is not None and (patches.items is None or patches.flow)):
        raise NotWritten("write `spec:` and `patches:` of its environment.yaml in lines, without braces and brackets")
    indent, at = (patches.column, patches.end) if patches is not None else (spec.column, spec.end)
    # A line of its own, behind whatever stands on the last one.
    if text[at - 1 : at] != "\n":
        line_end = text.find("\n", at)
        at = len(text) if line_end < 0 else line_end + 1
    lines = [] if patches is not None else [" " * indent + "patches:"]
    dash = indent if patches is not None else indent + 2
    lines += [f"{' ' * dash}# {line}" for line in comment.splitlines()]
    for number, line in enumerate(as_yaml(patch).splitlines()):
        lines.append((" " * dash + ("- " if number == 0 else "  ") + line).rstrip())
    end = "\r\n" if "\r\n" in text else "\n"
    before = text[:at] + ("" if text[:at].endswith("\n") or not text[:at] else end)
    return (before + "".join(line + end for line in lines) + text[at:]).encode()


def _entry(node: Node | None, key: str) -> Node | None:
    return node.entries.get(key) if node is not None and node.entries is not None else None
