"""Where everything stands in one document's text; made only when somebody has to be shown a place."""

from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.events import AliasEvent, MappingEndEvent, MappingStartEvent, ScalarEvent, SequenceEndEvent, SequenceStartEvent

from reconciler.core.compose import READER

Place = tuple[int, int]


@dataclass(slots=True)
class Node:
    """One value: where it begins (line and column from 0), its children, and where their keys are."""

    at: Place
    children: dict[str | int, "Node"] = field(default_factory=dict)
    keys: dict[str | int, Place] = field(default_factory=dict)
    # Children that a merge key (`<<`) brings; a key of the mapping's own goes before them.
    merged: list["Node"] = field(default_factory=list)


class _Frame:
    __slots__ = ("is_list", "key", "node")

    def __init__(self, node: Node, is_list: bool) -> None:
        self.node, self.is_list = node, is_list
        self.key: tuple[str, Place] | None = None


def outline(text: str) -> Node:
    """The places of a document that has been read without troubles; of any other, those up to the first."""
    root = Node((0, 0))
    stack: list[_Frame] = []
    anchors: dict[str, Node] = {}
    first = True
    try:
        reader = READER(text)
        while (event := reader.get_event()) is not None:
            kind = type(event)
            if kind is MappingEndEvent or kind is SequenceEndEvent:
                stack.pop()
                continue
            if kind is AliasEvent:
                known = anchors.get(event.anchor)
                node = Node(_at(event), known.children, known.keys, known.merged) if known else Node(_at(event))
            elif kind is ScalarEvent or kind is MappingStartEvent or kind is SequenceStartEvent:
                node = Node(_at(event))
                if event.anchor is not None:
                    anchors[event.anchor] = node
            else:
                continue
            if first:
                root, first = node, False
            elif stack:
                _put(stack[-1], node, event)
            if kind is not ScalarEvent and kind is not AliasEvent:
                stack.append(_Frame(node, kind is SequenceStartEvent))
    except yaml.YAMLError:
        pass
    return root


def _put(frame: _Frame, node: Node, event: Any) -> None:
    if frame.is_list:
        index = len(frame.node.children)
        frame.node.children[index] = node
    elif frame.key is None:
        frame.key = (event.value if type(event) is ScalarEvent else "", _at(event))
        if frame.key[0] == "<<" and not event.style:
            frame.key = ("", _at(event))
            frame.node.merged.append(node)
    else:
        key, at = frame.key
        frame.key = None
        if frame.node.merged and not key:
            frame.node.merged[-1] = node
        else:
            frame.node.children.setdefault(key, node)
            frame.node.keys.setdefault(key, at)


def find(root: Node, path: tuple[str | int, ...], key: bool) -> Place:
    """Where this path's value begins (or its key); the deepest part of the path that is there."""
    node, at = root, root.at
    for step, part in enumerate(path):
        holder = _holder(node, part)
        if holder is None:
            return at
        node = holder.children[part]
        last = step == len(path) - 1
        at = holder.keys.get(part, node.at) if key and last else node.at
    return at


def _holder(node: Node, part: str | int) -> Node | None:
    """The mapping that holds this key: the node itself, or one merged into it."""
    waiting, seen = [node], set[int]()
    while waiting:
        one = waiting.pop()
        if part in one.children:
            return one
        if id(one) not in seen:
            seen.add(id(one))
            # A merged list's entries come in their order; the last pushed is looked at first.
            for source in reversed(one.merged):
                entries = [source] if not source.children or source.keys or source.merged else list(source.children.values())
                waiting += reversed(entries)
    return None


def _at(event: Any) -> Place:
    return event.start_mark.line, event.start_mark.column
