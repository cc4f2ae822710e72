"""Where the outside comes in: the clock, threads, and a named point before each I/O where a test may fail it or kill us."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, Protocol


class Thread(Protocol):
    """What runs beside its caller, once it is started."""

    @property
    def ident(self) -> int | None:
        """None as long as it was never started."""

    def start(self) -> None: ...

    def join(self) -> None: ...


class Pool(Protocol):
    """Runs what it is given, so many at once, in the order in which it came."""

    def submit(self, run: Callable[..., None], /, *arguments: Any) -> object: ...

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None: ...


class Seams:
    """The real clock, real threads, and no faults. A test passes its own to every part that does I/O."""

    def now(self) -> float:
        """Unix seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    def wait(self, event: threading.Event, timeout_s: float | None) -> bool:
        """Wait for an event; True when it was set."""
        return event.wait(timeout_s)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def thread(self, run: Callable[[], None], name: str) -> Thread:
        return threading.Thread(target=run, name=name, daemon=True)

    def pool(self, at_once: int, name: str) -> Pool:
        return ThreadPoolExecutor(at_once, thread_name_prefix=name)

    def lock(self) -> AbstractContextManager[object]:
        """For what is held across a point; a lock that is not needs no seam."""
        return threading.Lock()

    def point(self, name: str, *about: object) -> None:
        """Called before an I/O, for example `point("driver.apply", action)`. What it raises is that I/O's failure."""


Wake = Callable[[], None]
