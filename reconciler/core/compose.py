"""Makes one YAML document's value out of its events: never deeper, larger or stranger than a fleet document can be.

Goes event by event with a stack of its own instead of PyYAML's recursive composer, which ends the whole process on deep
nesting, and its constructor, which keeps the last of two equal keys and builds whatever a tag names.
"""

from dataclasses import dataclass
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from reconciler.core.scalars import NOT_TEXT, Unreadable, meaning, short
from reconciler.core.syntax import syntax_trouble

# libyaml where PyYAML has it (25 times faster), else its own scanner and parser.
READER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# Envoy's deepest real messages go 30 deep; protobuf's JSON reader ends at 100, pydantic's at 200, libyaml at 1,000.
DEEPEST = 64
# With aliases followed: a hundred times the largest document anyone has shown us, and half a second of work.
MOST_NODES = 500_000
MOST_CHARACTERS = 20_000_000
# More about one document helps nobody, and each costs time.
MOST_TROUBLES = 100

TAGS = {
    "tag:yaml.org,2002:str": str,
    "tag:yaml.org,2002:int": int,
    "tag:yaml.org,2002:float": float,
    "tag:yaml.org,2002:bool": bool,
    "tag:yaml.org,2002:null": type(None),
    "tag:yaml.org,2002:map": dict,
    "tag:yaml.org,2002:seq": list,
}
_NO_KEY, _DROPPED, _MERGE, _OPEN = object(), object(), object(), object()


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong at a place in one document's text; line and column count from 0."""

    line: int
    column: int
    what: str
    hint: str = ""


class _Frame:
    """A mapping or list that is being filled."""

    __slots__ = ("anchor", "characters", "key", "lines", "merged", "nodes", "value")

    def __init__(self, value: dict[str, Any] | list[Any], anchor: str | None, nodes: int, characters: int) -> None:
        self.value, self.anchor, self.nodes, self.characters = value, anchor, nodes, characters
        self.key: Any = _NO_KEY
        self.lines: dict[str, int] = {}
        self.merged: list[dict[str, Any]] | None = None


class Composer:
    """Reads one document. `value` holds what it says, `troubles` what is wrong with it; with troubles, value means nothing."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.value: Any = None
        self.troubles: list[Trouble] = []
        self._stack: list[_Frame] = []
        self._anchors: dict[str, tuple[Any, int, int]] = {}
        self._nodes = self._characters = 0

    def run(self) -> "Composer":
        try:
            self._run(READER(self.text))
        except yaml.MarkedYAMLError as error:
            self._syntax(error)
        except yaml.YAMLError as error:
            self.troubles.append(Trouble(0, 0, f"is not YAML: {short(str(error), 200)}", "rewrite this document"))
        except _Enough:
            pass
        return self

    def _syntax(self, error: yaml.MarkedYAMLError) -> None:
        what, hint = syntax_trouble(error.context or "", error.problem or "", DEEPEST)
        mark = error.problem_mark or error.context_mark
        # What was never closed is noticed at the very end, and mended where it began.
        if mark and error.context_mark and not self.text[mark.index :].strip():
            mark = error.context_mark
        self.troubles.append(Trouble(mark.line if mark else 0, mark.column if mark else 0, what, hint))

    def _run(self, reader: Any) -> None:
        get_event = reader.get_event
        stack = self._stack
        documents = 0
        while (event := get_event()) is not None:
            kind = type(event)
            if kind is ScalarEvent:
                text = event.value
                self._nodes += 1
                self._characters += len(text)
                if event.style or (event.tag is None and text and text[0] not in NOT_TEXT):
                    value: Any = text
                    if event.style == '"' and "\0" in text:
                        self._trouble(event, "holds a NUL character", "leave it out: no program, file or header can take it")
                    if event.tag is not None:
                        value = self._tagged(event, text)
                else:
                    value = self._plain(event, text)
                if event.anchor is not None:
                    self._anchors[event.anchor] = (value, 1, len(text))
            elif kind is MappingStartEvent or kind is SequenceStartEvent:
                self._open(event, {} if kind is MappingStartEvent else [])
                continue
            elif kind is MappingEndEvent or kind is SequenceEndEvent:
                frame = stack.pop()
                value = frame.value
                if frame.merged is not None:
                    for source in frame.merged:
                        for key in source:
                            value.setdefault(key, source[key])
                if frame.anchor is not None:
                    self._anchors[frame.anchor] = (value, self._nodes - frame.nodes, self._characters - frame.characters)
            elif kind is AliasEvent:
                value = self._alias(event)
            else:
                if kind is DocumentStartEvent:
                    documents += 1
                    if documents > 1:
                        self._trouble(event, "begins another document in the middle of this one", "begin it with a line `---`")
                        raise _Enough
                continue
            if self._nodes > MOST_NODES or self._characters > MOST_CHARACTERS:
                what = f"says more than {MOST_NODES} things or {MOST_CHARACTERS} characters, aliases followed"
                self._trouble(event, what, "split it into several documents, and repeat less by aliases")
                raise _Enough
            if not stack:
                self.value = value
                continue
            frame = stack[-1]
            into = frame.value
            if type(into) is list:
                into.append(value)
            elif frame.key is _NO_KEY:
                self._key(frame, event, value)
            else:
                if frame.key is _MERGE:
                    self._merge(frame, event, value)
                elif frame.key is not _DROPPED:
                    into[frame.key] = value
                frame.key = _NO_KEY

    def _open(self, event: Any, value: Any) -> None:
        self._nodes += 1
        if event.tag is not None and TAGS.get(event.tag) is not type(value):
            self._bad_tag(event)
        if len(self._stack) >= DEEPEST:
            self._trouble(event, f"is more than {DEEPEST} levels deep", "nest less")
            raise _Enough
        if event.anchor is not None:
            self._anchors[event.anchor] = (_OPEN, 0, 0)
        self._stack.append(_Frame(value, event.anchor, self._nodes - 1, self._characters))

    def _key(self, frame: _Frame, event: Any, key: Any) -> None:
        if key == "<<" and type(event) is ScalarEvent and not event.style and event.tag is None:
            if frame.merged is not None:
                self._trouble(event, "a second `<<` in one mapping", "write `<<: [*one, *other]`")
            frame.key = _MERGE
            return
        if type(key) is not str:
            frame.key = _DROPPED
            shown = event.value if type(event) is ScalarEvent else ""
            hint = f'put it in quotes: "{short(shown)}"' if shown else "every key is text"
            self._trouble(event, f"the key {short(shown) or 'here'} is {said(key)}, not text", hint)
            return
        frame.key = key
        if key in frame.lines:
            first = frame.lines[key] - event.start_mark.line
            what = f"the key {short(key)!r} is there twice in one mapping"
            back = f"{-first} line{'s' if first != -1 else ''} above" if first else "on this line"
            self._trouble(event, what, f"the first is {back}: remove one")
        frame.lines[key] = event.start_mark.line

    def _merge(self, frame: _Frame, event: Any, value: Any) -> None:
        sources = value if type(value) is list else [value]
        frame.merged = frame.merged or []
        for source in sources:
            if type(source) is dict:
                frame.merged.append(source)
            else:
                hint = "write `<<: *anchor` or `<<: [*one, *other]`"
                self._trouble(event, f"`<<` merges mappings, and this is {said(source)}", hint)

    def _plain(self, event: Any, text: str) -> Any:
        try:
            value = meaning(text)
        except Unreadable as error:
            self._trouble(event, error.what, error.hint)
            return None
        return value if event.tag is None else self._tagged(event, value)

    def _tagged(self, event: Any, value: Any) -> Any:
        wanted = TAGS.get(event.tag)
        if wanted is str:
            return event.value
        if wanted is None:
            self._bad_tag(event)
        elif event.style:
            value = self._plain_again(event)
        if wanted is not None and type(value) is not wanted and not (wanted is float and type(value) is int):
            self._trouble(event, f"the tag says {said(wanted())}, and the text is not that", "leave the tag out")
        return float(value) if wanted is float and type(value) is int else value

    def _plain_again(self, event: Any) -> Any:
        try:
            return meaning(event.value)
        except Unreadable:
            return None

    def _bad_tag(self, event: Any) -> None:
        tag = event.tag.replace("tag:yaml.org,2002:", "!!", 1)
        self._trouble(
            event, f"the tag {short(tag)} is not accepted", "leave it out: documents are plain text, numbers and lists"
        )

    def _alias(self, event: Any) -> Any:
        found = self._anchors.get(event.anchor)
        if found is None:
            hint = f"define it above in this document: `&{short(event.anchor)}`"
            self._trouble(event, f"the alias *{short(event.anchor)} names nothing", hint)
            return None
        value, nodes, characters = found
        if value is _OPEN:
            self._trouble(
                event, f"the alias *{short(event.anchor)} stands inside what it names: a cycle", "write the value out"
            )
            return None
        self._nodes += nodes
        self._characters += characters
        return value

    def _trouble(self, event: Any, what: str, hint: str) -> None:
        mark = event.start_mark
        self.troubles.append(Trouble(mark.line, mark.column, what, hint))
        if len(self.troubles) >= MOST_TROUBLES:
            raise _Enough


class _Enough(Exception):
    """Nothing more is read of this document."""


def said(value: Any) -> str:
    """What a value is, in a person's words."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list() | tuple():
            return "a list"
    return "a mapping"
