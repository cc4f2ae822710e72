"""JSON that was made of a resource before, for as long as that is as it was then.

What is answered of it is made of its row alone, which is read anew for each request; so it is found under all that the row says
but the document, for which its digest, its file's blob and its number stand. Nothing that is kept can be old.
"""

import json
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from itertools import zip_longest
from operator import attrgetter
from typing import Any

from reconciler.core.declared import Declared
from reconciler.store import Row
from reconciler.store.remembered import Remembered

# Stands in the place of a part until that is put in; nobody outside of this process has ever seen it.
HERE = secrets.token_hex(16)
# Of all that is kept, and of what it is found by: about as much again.
MOST_BYTES = 64 * 1024 * 1024
_SAID = attrgetter(*(one.name for one in fields(Declared) if one.name != "document"))


class Kept:
    """Of one process. Thread-safe."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._texts: Remembered[bytes] = Remembered(most_bytes)

    def of(self, show: Callable[[Declared], Mapping[str, Any]], one: Declared) -> "Text":
        """What `show`, a function of a module, makes of this resource and of nothing else."""
        return self.under((show, _SAID(one)), lambda: show(one))

    def of_row(self, show: Callable[[Declared], Mapping[str, Any]], row: Row) -> "Text":
        """The same of one of a page, whose document is read only where it must be."""
        return self.under((show, row.said), lambda: show(row.declared))

    def every(self, show: Callable[[Declared], Mapping[str, Any]], rows: Iterable[Row]) -> "Text":
        """The same of all of these, as a list."""
        rows = tuple(rows)
        key = ("every", show, *(row.said for row in rows))
        text = self._texts.get(key)
        if text is None:
            text = b"[" + b", ".join(self.of_row(show, row).text for row in rows) + b"]"
            self._texts.put(key, text)
        return Text(text)

    def under(self, key: tuple[Any, ...], make: Callable[[], Any]) -> "Text":
        """What is made of nothing but what stands in the key."""
        text = self._texts.get(key)
        if text is None:
            text = dumped(make())
            self._texts.put(key, text)
        return Text(text)


class Text:
    """A part of an answer that is JSON already."""

    __slots__ = ("text",)

    def __init__(self, text: bytes) -> None:
        self.text = text


def dumped(said: Any) -> bytes:
    """As JSON, with the parts that are so already as they are."""
    parts: list[bytes] = []

    def put(one: Any) -> str:
        if not isinstance(one, Text):
            raise TypeError(f"{type(one).__name__} is no JSON")
        parts.append(one.text)
        return HERE

    text = json.dumps(said, ensure_ascii=False, default=put).encode("utf-8", "replace")
    if not parts:
        return text
    return b"".join(piece for pair in zip_longest(text.split(f'"{HERE}"'.encode()), parts, fillvalue=b"") for piece in pair)
