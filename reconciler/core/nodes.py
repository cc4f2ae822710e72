"""Where every value of a document's text begins and ends, for whoever writes another one in its place."""

from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.events import AliasEvent, MappingEndEvent, MappingStartEvent, ScalarEvent, SequenceEndEvent, SequenceStartEvent

from reconciler.core.compose import READER


@dataclass(slots=True)
class Node:
    """One value: its characters from `start` to `end`; of a block collection, `end` is where its last word ends.

    `tied`: an anchor, an alias or a merge key, by which other places share it. `keys` are where those of a mapping begin.
    """

    start: int
    column: int
    flow: bool = False
    tied: bool = False
    end: int = 0
    entries: dict[str, "Node"] | None = None
    keys: dict[str, tuple[int, int]] = field(default_factory=dict)
    items: list["Node"] | None = None


def nodes(text: str) -> Node | None:
    """The root; None where the text cannot be taken apart."""
    root: Node | None = None
    stack: list[Node] = []
    names: list[tuple[str, tuple[int, int]] | None] = []
    event: Any
    try:
        reader = READER(text)
        while (event := reader.get_event()) is not None:
            kind = type(event)
            if kind in (MappingEndEvent, SequenceEndEvent):
                node = stack.pop()
                names.pop()
                inner = [*(node.entries or {}).values()] + (node.items or [])
                node.end = event.end_mark.index if node.flow or not inner else max(one.end for one in inner)
                continue
            if kind not in (ScalarEvent, AliasEvent, MappingStartEvent, SequenceStartEvent):
                continue
            start, end = event.start_mark.index, event.end_mark.index
            if stack and stack[-1].entries is not None and names[-1] is None:
                plain = kind is ScalarEvent and not event.anchor and not (event.value == "<<" and not event.style)
                if not plain:
                    stack[-1].tied = True
                names[-1] = (event.value if kind is ScalarEvent else "", (start, end))
                if kind in (MappingStartEvent, SequenceStartEvent):
                    return None
                continue
            tied = kind is AliasEvent or event.anchor is not None or (kind is ScalarEvent and event.tag is not None)
            node = Node(start, event.start_mark.column, tied=tied, end=end)
            if kind is MappingStartEvent:
                node.entries, node.flow = {}, bool(event.flow_style)
            elif kind is SequenceStartEvent:
                node.items, node.flow = [], bool(event.flow_style)
            if stack:
                holder, name = stack[-1], names[-1]
                if holder.items is not None:
                    holder.items.append(node)
                elif holder.entries is not None and name is not None:
                    holder.entries[name[0]], holder.keys[name[0]] = node, name[1]
                    names[-1] = None
            else:
                root = node
            if kind in (MappingStartEvent, SequenceStartEvent):
                stack.append(node)
                names.append(None)
    except yaml.YAMLError:
        return None
    return root
