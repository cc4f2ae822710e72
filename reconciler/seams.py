"""Where the outside comes in: the clock, and a named point before each I/O at which a test may fail it or kill us."""

import threading
import time
from collections.abc import Callable


class Seams:
    """The real clock, and no faults. A test passes its own to every part that does I/O."""

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

    def point(self, name: str, *about: object) -> None:
        """Called before an I/O, for example `point("driver.apply", action)`. What it raises is that I/O's failure."""


Wake = Callable[[], None]
