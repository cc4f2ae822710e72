"""How much one client may ask for: so many in a minute, so many at once, so many bytes in memory.

The rate is kept by the `limits` library, which can keep it in Redis for several web processes as well; that so many are at
once is a matter of this process's threads and memory, for which a count under a lock is all it takes.
"""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

# A pull request asks once for each push; a forge with a hundred open ones that all are rebased asks for these within minutes.
PLANS_IN_A_MINUTE = 60
# Each holds one of the threads (api/serve.py, which has as many as all of these together, and some for the rest).
PLANS_AT_ONCE, CHANGES_AT_ONCE, WAITS_AT_ONCE, HOOKS_AT_ONCE, STRANGERS_AT_ONCE = 24, 40, 16, 16, 20
# A program that does nothing but write, each change its own commit, comes to a few thousand.
CHANGES_IN_A_MINUTE, WAITS_IN_A_MINUTE = 12_000, 12_000
# All that is being read and not answered yet.
MOST_BYTES = 256 * 1024 * 1024

# Stands in the environ of a request that was not answered since a limit was met, which is counted.
LIMITED = "convoy.limited"


class TooMany(Exception):
    """Not now: `after_s` is when to try again. `own` where this client alone has asked too often."""

    def __init__(self, what: str, after_s: int, *, own: bool) -> None:
        super().__init__(what)
        self.after_s, self.own = after_s, own


class Windows(MemoryStorage):
    """Moving windows in memory. Thread-safe.

    Those of the library start a thread with nearly every hit to forget what is over, which takes longer than all else about a
    hit, and keep the name of everybody who has ever asked. Here the next hit forgets, whoever's it is.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        # Who has asked ⇒ until when each of these hits counts, in order; whoever was quiet the longest is first.
        self._hits: OrderedDict[str, deque[float]] = OrderedDict()

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        now = time.time()
        with self._lock:
            while self._hits and next(iter(self._hits.values()))[-1] < now:
                self._hits.popitem(last=False)
            hits = self._counting(key, now)
            if len(hits) + amount > limit:
                return False
            hits.extend([now + expiry] * amount)
            self._hits[key] = hits
            self._hits.move_to_end(key)
            return True

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        now = time.time()
        with self._lock:
            hits = self._counting(key, now)
            return (hits[0] - expiry, len(hits)) if hits else (now, 0)

    def _counting(self, key: str, now: float) -> deque[float]:
        hits = self._hits.get(key, deque[float]())
        while hits and hits[0] < now:
            hits.popleft()
        if not hits:
            self._hits.pop(key, None)
        return hits

    def clear(self, key: str) -> None:
        super().clear(key)
        with self._lock:
            self._hits.pop(key, None)

    def reset(self) -> int | None:
        with self._lock:
            count = len(self._hits)
            self._hits.clear()
        return count + (super().reset() or 0)


class Limits:
    """Of one process. Thread-safe."""

    def __init__(
        self,
        in_a_minute: int = PLANS_IN_A_MINUTE,
        at_once: int = PLANS_AT_ONCE,
        bytes: int = MOST_BYTES,
        *,
        what: str = "plans",
    ) -> None:
        """`what` is counted, in words."""
        self._what = what
        self._rate = RateLimitItemPerMinute(in_a_minute)
        self._asked = MovingWindowRateLimiter(Windows())
        self._lock = threading.Lock()
        self._left, self._bytes = at_once, bytes

    def count(self, client: str) -> None:
        """One more request of this client; raises TooMany."""
        if not self._asked.hit(self._rate, client):
            reset = self._asked.get_window_stats(self._rate, client).reset_time
            words = f"this token has asked for more than {self._rate.amount} {self._what} within a minute"
            raise TooMany(words, max(1, round(reset - time.time())), own=True)

    @contextmanager
    def one(self) -> "Iterator[Held]":
        """Room for one request, with the bytes it takes; raises TooMany."""
        with self._lock:
            if self._left <= 0:
                raise TooMany(f"as many {self._what} are being made as can be at once", 5, own=False)
            self._left -= 1
        held = Held(self)
        try:
            yield held
        finally:
            with self._lock:
                self._left += 1
                self._bytes += held.bytes

    def take(self, bytes: int) -> None:
        with self._lock:
            if bytes > self._bytes:
                raise TooMany("as much is being read as there is memory for", 5, own=False)
            self._bytes -= bytes


def changes() -> Limits:
    """For all that is to be committed, whichever surface asks."""
    return Limits(CHANGES_IN_A_MINUTE, CHANGES_AT_ONCE, what="changes")


def waits() -> Limits:
    """For reading what has to come first."""
    return Limits(WAITS_IN_A_MINUTE, WAITS_AT_ONCE, what="answers that wait for a change")


def strangers() -> Limits:
    """For those who are not known before their request is read: who they are counted as is their surface's matter."""
    return Limits(at_once=STRANGERS_AT_ONCE, bytes=32 * 1024 * 1024, what="requests of those who are not known yet")


class Held:
    """What one request holds until it is answered."""

    def __init__(self, limits: Limits) -> None:
        self._limits, self.bytes = limits, 0

    def take(self, bytes: int) -> None:
        """Raises TooMany."""
        self._limits.take(bytes)
        self.bytes += bytes
