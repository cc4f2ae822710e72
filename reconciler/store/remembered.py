"""What was made once and may be needed again: so many bytes of it, and what was asked for longest ago goes first."""

import threading
from collections import OrderedDict
from typing import Generic, TypeVar

One = TypeVar("One", str, bytes)


class Remembered(Generic[One]):
    """Texts, by what they were made of. Thread-safe."""

    def __init__(self, most: int) -> None:
        """`most`: bytes, or characters, of all of them."""
        self._lock = threading.Lock()
        self._most, self._size = most, 0
        self._texts: OrderedDict[tuple[object, ...], One] = OrderedDict()

    def get(self, key: tuple[object, ...]) -> One | None:
        with self._lock:
            text = self._texts.get(key)
            if text is not None:
                self._texts.move_to_end(key)
        return text

    def put(self, key: tuple[object, ...], text: One) -> None:
        with self._lock:
            gone = self._texts.pop(key, None)
            self._size += len(text) - (len(gone) if gone is not None else 0)
            self._texts[key] = text
            while self._size > self._most:
                _, gone = self._texts.popitem(last=False)
                self._size -= len(gone)
