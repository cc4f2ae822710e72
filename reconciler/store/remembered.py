"""What was made once and may be needed again: so many bytes of it, and what was asked for longest ago goes first."""

import threading
from collections import OrderedDict
from sys import getsizeof
from typing import Generic, TypeVar

One = TypeVar("One", str, bytes)

# What a dictionary that keeps an order needs for each of its entries, about.
ENTRY_BYTES = 160


class Remembered(Generic[One]):
    """Texts, by what they were made of. Thread-safe."""

    def __init__(self, most: int) -> None:
        """`most`: bytes of memory, of all of them and of what they are found by, which may be more than they."""
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
        found_by = ENTRY_BYTES + _bytes(key)
        with self._lock:
            gone = self._texts.pop(key, None)
            self._size += getsizeof(text) - getsizeof(gone) if gone is not None else found_by + getsizeof(text)
            self._texts[key] = text
            while self._size > self._most:
                oldest, gone = self._texts.popitem(last=False)
                self._size -= ENTRY_BYTES + _bytes(oldest) + getsizeof(gone)


def _bytes(key: tuple[object, ...]) -> int:
    """Of a key's own: what others have too, such as functions, is counted as well, and hardly counts."""
    return getsizeof(key) + sum(map(getsizeof, key)) + sum(_bytes(one) - getsizeof(one) for one in key if type(one) is tuple)
