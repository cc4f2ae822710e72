"""Writes in one go what several threads ask for at one time: to be safe on a disk costs as much for one as for a hundred."""

import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

A = TypeVar("A")
R = TypeVar("R")


class Together(Generic[A, R]):
    """`write` gets what has been asked for since it was called last, and gives a result, or an error, for each.

    Whoever comes first writes for all that wait by then, so nobody waits for anything but the disk. Thread-safe.
    """

    def __init__(self, write: Callable[[Sequence[A]], Sequence[R | Exception]]) -> None:
        self._write = write
        self._lock, self._turn = threading.Lock(), threading.Lock()
        self._waiting: list[_Asked[A]] = []

    def __call__(self, what: A) -> R:
        """Raises what `write` gives or raises."""
        mine = _Asked(what)
        with self._lock:
            self._waiting.append(mine)
        with self._turn:
            if not mine.done:
                with self._lock:
                    every, self._waiting = self._waiting, []
                self._all(every)
        if isinstance(mine.result, Exception):
            raise mine.result
        result: R = mine.result
        return result

    def _all(self, every: "Sequence[_Asked[A]]") -> None:
        results: Sequence[Any]
        try:
            results = self._write([one.what for one in every])
        except Exception as error:  # noqa: BLE001 - it is raised again, by everybody whom it concerns
            results = [error] * len(every)
        for one, result in zip(every, results, strict=True):
            one.result, one.done = result, True


class _Asked(Generic[A]):
    def __init__(self, what: A) -> None:
        self.what, self.done = what, False
        self.result: Any = None
