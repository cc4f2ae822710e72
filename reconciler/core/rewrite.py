"""One document's text with other values in it: only what differs is written, and every other byte stays, comments too."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.core.as_yaml import as_yaml
from reconciler.core.nodes import Node, nodes
from reconciler.core.parse import Chunk, read

Edit = tuple[int, int, str]


class NotRewritten(Exception):
    """No text could be made that says what is wanted; the message says why."""


class _Whole(Exception):
    """This value cannot be changed in its parts: all of it is written anew."""


def rewritten(raw: bytes, before: Mapping[str, Any], after: Mapping[str, Any]) -> bytes:
    """The document's bytes with `after` in the place of `before`, which is what they say. Raises NotRewritten.

    What has been written is read again, and must be what was meant. Where the text is too entangled for that (anchors that
    are shared, for one), the smallest part around it that can be is written anew; at last the whole document.
    """
    if before == after:
        return raw
    text = raw.decode()
    root = nodes(text)
    if root is not None:
        for depth in (64, 2, 1):
            try:
                edits = list(_edits(text, root, before, after, depth))
            except _Whole:
                continue
            result = _applied(text, edits)
            if says(result, after):
                return result
    result = (_heading(text) + as_yaml(after).replace("\n", "\r\n" if "\r\n" in text else "\n")).encode()
    if not says(result, after):
        raise NotRewritten("what it is to say cannot be written so that it reads the same again")
    return result


def says(raw: bytes, value: Mapping[str, Any]) -> bool:
    """Whether this text, read, is just that."""
    found, troubles = read(Chunk(0, len(raw), 1, 0, raw, preamble=False))
    return not troubles and found == value and repr(found) == repr(_in_order(found, value))


def _in_order(found: Any, value: Any) -> Any:
    """The wanted value with its keys in the order of what was found: repr then also tells 1 from 1.0 and from true."""
    if isinstance(found, dict) and isinstance(value, Mapping):
        return {key: _in_order(one, value[key]) for key, one in found.items()}
    if isinstance(found, list) and isinstance(value, list):
        return [_in_order(one, other) for one, other in zip(found, value, strict=True)]
    return value


def _heading(text: str) -> str:
    """The blank lines and comments above a document's first word."""
    kept = ""
    for line in text.splitlines(keepends=True):
        if line.strip() and not line.lstrip().startswith("#"):
            break
        kept += line
    return kept


def _applied(text: str, edits: list[Edit]) -> bytes:
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text.encode()


# What differs


def _edits(text: str, node: Node, before: Any, after: Any, depth: int) -> Iterator[Edit]:
    """Raises _Whole where the node has to be written as a whole by whoever holds it."""
    if same(before, after):
        return
    if node.tied or depth == 0:
        raise _Whole
    if isinstance(before, dict) and isinstance(after, Mapping) and node.entries is not None and before and after:
        yield from _in_mapping(text, node, before, after, depth)
    elif isinstance(before, list) and isinstance(after, list) and node.items is not None and before and after:
        yield from _in_list(text, node, before, after, depth)
    else:
        raise _Whole


def _in_mapping(text: str, node: Node, before: Mapping[str, Any], after: Mapping[str, Any], depth: int) -> Iterator[Edit]:
    entries = node.entries or {}
    if entries.keys() != before.keys():
        raise _Whole
    kept = [key for key in before if key in after]
    if not kept:
        raise _Whole
    for key in kept:
        try:
            yield from list(_edits(text, entries[key], before[key], after[key], depth - 1))
        except _Whole:
            yield _replaced(text, node, entries[key], node.keys[key], after[key])
    names = list(before)
    for number, key in enumerate(names):
        if key not in after:
            following = names[number + 1] if number + 1 < len(names) else ""
            yield _removed(text, node, key, names[number - 1] if number else "", following)
    added = {key: value for key, value in after.items() if key not in before}
    if added and node.flow:
        at = max(entries[key].end for key in names)
        yield at, at, "".join(f", {_in_flow(key)}: {_in_flow(value)}" for key, value in added.items())
    elif added:
        yield _inserted(text, node.end, _indented(as_yaml(added), node.column))


def _in_list(text: str, node: Node, before: list[Any], after: list[Any], depth: int) -> Iterator[Edit]:
    items = node.items or []
    first = 0
    while first < min(len(before), len(after)) and same(before[first], after[first]):
        first += 1
    last = 0
    while last < min(len(before), len(after)) - first and same(before[-1 - last], after[-1 - last]):
        last += 1
    old, new = before[first : len(before) - last], after[first : len(after) - last]
    for place, (one, other) in enumerate(zip(old, new, strict=False), first):
        try:
            yield from list(_edits(text, items[place], one, other, depth - 1))
        except _Whole:
            if node.flow:
                yield items[place].start, items[place].end, _in_flow(other)
            else:
                dash = _dash(text, node, items, place)
                yield dash, items[place].end, _item(other, node.column).rstrip("\n").lstrip(" ") + _tail(text, items[place])
    if len(new) > len(old):
        more = new[len(old) :]
        at = items[first + len(old) - 1].end if first + len(old) else -1
        if at < 0:
            # In front of all others.
            start = items[0].start if node.flow else _dash(text, node, items, 0)
            words = "".join(f"{_in_flow(one)}, " for one in more) if node.flow else ""
            yield start, start, words or "".join(_item(one, node.column) for one in more).lstrip(" ") + " " * node.column
        elif node.flow:
            yield at, at, "".join(f", {_in_flow(one)}" for one in more)
        else:
            yield _inserted(text, at, "".join(_item(one, node.column) for one in more))
    for place in range(first + len(new), first + len(old)):
        if node.flow:
            start = items[place - 1].end if place else items[0].start
            end = items[place].end if place or len(items) == 1 else items[1].start
            yield start, end, ""
        else:
            yield _line_start(text, _dash(text, node, items, place)), _line_end(text, items[place].end), ""


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same type all through: 1 is not true, and not 1.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


# How it is written


def _replaced(text: str, holder: Node, node: Node, key: tuple[int, int], value: Any) -> Edit:
    """The value of a key written anew: behind its colon where it stands on the same line, with whatever shape it has now."""
    if holder.flow:
        return node.start, node.end, _in_flow(value)
    words = _indented(as_yaml({"k": value}), holder.column).lstrip(" ").removeprefix("k:").rstrip("\n")
    if "\n" not in words and "\n" not in text[key[1] : node.end] and node.end > node.start:
        return node.start, node.end, words.removeprefix(" ")
    colon = text.index(":", key[1]) + 1
    return colon, node.end, words + _tail(text, node)


def _tail(text: str, node: Node) -> str:
    """A block scalar ends behind its line break: what takes its place needs one as well."""
    return "\n" if text[max(node.end - 1, 0) : node.end] == "\n" else ""


def _removed(text: str, node: Node, key: str, before: str, following: str) -> Edit:
    entries, start = node.entries or {}, node.keys[key][0]
    if node.flow:
        if following:
            return start, node.keys[following][0], ""
        return entries[before].end, entries[key].end, ""
    line = _line_start(text, start)
    if text[line:start].strip():
        # It shares its line with the dash of the list's entry; what follows takes its place there.
        if not following:
            raise _Whole
        return start, node.keys[following][0], ""
    return line, _line_end(text, entries[key].end), ""


def _inserted(text: str, at: int, lines: str) -> Edit:
    """Whole lines, behind the one on which something ends."""
    at = _line_end(text, at)
    return at, at, ("" if text[:at].endswith("\n") else "\n") + lines


def _item(value: Any, column: int) -> str:
    return _indented(as_yaml({"k": [value]}).partition("\n")[2], column)


def _indented(lines: str, column: int) -> str:
    return "".join(" " * column + line if line.strip() else line for line in lines.splitlines(keepends=True))


def _in_flow(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _line_start(text: str, at: int) -> int:
    return text.rfind("\n", 0, at) + 1


def _line_end(text: str, at: int) -> int:
    """Behind the line break that ends the line on which something ends."""
    if at and text[at - 1] == "\n":
        return at
    end = text.find("\n", at)
    return len(text) if end < 0 else end + 1


def _dash(text: str, node: Node, items: list[Node], place: int) -> int:
    """Where the `-` of a block list's entry stands."""
    at, low = items[place].start, items[place - 1].end if place else node.start
    while (at := text.rfind("-", low, at)) >= 0:
        if at - _line_start(text, at) == node.column or not place:
            return at
    raise _Whole
