"""Who changes the same thing by what was read of it takes turns: all but one would have read what is not so any more."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from reconciler.core.model import Ref


@dataclass(slots=True)
class _Line:
    lock: threading.Lock = field(default_factory=threading.Lock)
    waiting: int = 0


class Turns:
    """Of one process. Thread-safe. What it cannot keep apart (Git, another process) is found out when it is committed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: dict[Ref, _Line] = {}

    @contextmanager
    def of(self, ref: Ref, timeout_s: float) -> Iterator[bool]:
        """Alone with this resource; False where others took longer than that, and one goes on beside them."""
        with self._lock:
            line = self._lines.setdefault(ref, _Line())
            line.waiting += 1
        taken = line.lock.acquire(timeout=timeout_s)
        try:
            yield taken
        finally:
            if taken:
                line.lock.release()
            with self._lock:
                line.waiting -= 1
                if not line.waiting:
                    del self._lines[ref]
