"""Where sealed secrets stand in a document's text, and the same text with others in their places and nothing else changed."""

import copy
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import ValidationError
from yaml.events import MappingEndEvent, MappingStartEvent, ScalarEvent, SequenceEndEvent, SequenceStartEvent

from reconciler.core.compose import READER
from reconciler.core.kinds.sealed import Ciphertext, Sealed
from reconciler.core.parse import Document

BEGIN = "-----BEGIN AGE ENCRYPTED FILE-----"
Span = tuple[int, int]
Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Placed:
    """One sealed secret: the path of its mapping from the document's root, what stands there, and in which characters.

    `hash` is None where nothing stands for the plaintext (Settings.hashKey).
    """

    path: Path
    age: str
    hash: str | None
    age_span: Span
    hash_span: Span | None = None

    @property
    def sealed(self) -> Ciphertext | None:
        """As the kinds know it; None where it is not as they want it."""
        try:
            return Ciphertext(age=self.age) if self.hash is None else Sealed(age=self.age, hash=self.hash)
        except ValidationError:
            return None

    @property
    def field(self) -> str:
        return ".".join(map(str, self.path))


@dataclass(frozen=True, slots=True)
class Change:
    """What is to stand in a place."""

    at: Placed
    age: str
    hash: str | None


@dataclass(slots=True)
class _Frame:
    path: Path
    is_list: bool
    key: str | None = None
    count: int = 0
    age: tuple[str, Span] | None = None
    hash: tuple[str, Span] | None = None


def find(document: Document) -> list[Placed]:
    """Every sealed secret of a document that was read without troubles, in the order of its text."""
    text = document.raw.decode()
    if BEGIN not in text:
        return []
    found: list[Placed] = []
    stack: list[_Frame] = []
    try:
        reader = READER(text)
        while (event := reader.get_event()) is not None:
            kind = type(event)
            if kind is MappingEndEvent or kind is SequenceEndEvent:
                found += _placed(stack.pop())
            elif kind is MappingStartEvent or kind is SequenceStartEvent:
                path = _next(stack)
                stack.append(_Frame(path, kind is SequenceStartEvent))
            elif stack:
                _scalar(stack, event)
    except yaml.YAMLError:
        return []
    return sorted(found, key=lambda one: one.age_span)


def _next(stack: list[_Frame], value: str | None = None) -> Path:
    """The path of the value that begins now; of a key, that of its mapping."""
    if not stack:
        return ()
    frame = stack[-1]
    if frame.is_list:
        frame.count += 1
        return (*frame.path, frame.count - 1)
    if frame.key is None:
        # A key that is no scalar has no name that anybody could ask for.
        frame.key = "" if value is None else value
        return frame.path
    path = (*frame.path, frame.key)
    frame.key = None
    return path


def _scalar(stack: list[_Frame], event: Any) -> None:
    frame, is_scalar = stack[-1], type(event) is ScalarEvent
    key = frame.key
    if not is_scalar and type(event).__name__ != "AliasEvent":
        return
    _next(stack, event.value if is_scalar else "")
    if is_scalar and not frame.is_list and key in ("age", "hash"):
        place = (event.value, (event.start_mark.index, event.end_mark.index))
        if key == "age" and event.value.startswith(BEGIN):
            frame.age = place
        elif key == "hash":
            frame.hash = place


def _placed(frame: _Frame) -> Iterable[Placed]:
    if frame.age is not None and frame.path[:1] == ("spec",):
        hash, span = frame.hash or (None, None)
        yield Placed(frame.path, frame.age[0], hash, frame.age[1], span)


def changed(document: Document, changes: Iterable[Change]) -> bytes:
    """The document's bytes with these changes, each written as what it replaces was."""
    text = document.raw.decode()
    edits: list[tuple[Span, str]] = []
    for change in changes:
        edits.append((change.at.age_span, _as_written(text[slice(*change.at.age_span)], change.age)))
        if change.at.hash_span is not None and change.at.hash is not None and change.hash is not None:
            written = text[slice(*change.at.hash_span)]
            edits.append((change.at.hash_span, written.replace(change.at.hash, change.hash, 1)))
    for (start, end), new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text.encode()


def expected(value: dict[str, Any], changes: Iterable[Change]) -> dict[str, Any]:
    """What the document says after these changes."""
    result = copy.deepcopy(value)
    for change in changes:
        node: Any = result
        for part in change.at.path:
            node = node[part]
        node["age"] = change.age
        if change.hash is not None:
            node["hash"] = change.hash
    return result


def _as_written(old: str, new: str) -> str:
    """A literal block stays one, with its own header, indentation and line ends; anything else becomes a quoted text."""
    header, line_end, body = old.partition("\n")
    words = header.split("#")[0].split()
    after = old[len(old.rstrip()) :]
    if not line_end or not any(word.startswith("|") for word in words):
        return json.dumps(new) + after
    first = next(line for line in body.split("\n") if line.strip())
    indent = first[: len(first) - len(first.lstrip(" "))]
    end = "\r\n" if header.endswith("\r") else "\n"
    return header + "\n" + end.join(indent + line for line in new.strip().split("\n")) + after
