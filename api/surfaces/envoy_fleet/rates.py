"""How often one client may ask (section 17, by EF-C05), and how it is told."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

from limits import RateLimitItemPerMinute
from limits.strategies import MovingWindowRateLimiter

from api.limits import Windows
from api.surfaces.envoy_fleet.contract import rates


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a client stands in one class: `reset` is when it may ask as often as at first again, in Unix seconds."""

    limit: int
    remaining: int
    reset: int
    over: bool = False

    def headers(self) -> Mapping[str, str]:
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset),
        }

    @property
    def after_s(self) -> int:
        return max(1, self.reset - int(time.time()))


class Rates:
    """Of one process. Thread-safe."""

    def __init__(self, in_a_minute: Mapping[str, int] | None = None) -> None:
        self._items = {name: RateLimitItemPerMinute(most) for name, most in (in_a_minute or rates()).items()}
        self._asked = MovingWindowRateLimiter(Windows())

    def hit(self, name: str, client: str) -> Standing:
        """One more request of this class by this client. "" is counted by nobody, and shown as `list` is."""
        item = self._items[name or "list"]
        if not name:
            return Standing(item.amount, item.amount, math.ceil(time.time()))
        taken = self._asked.hit(item, name, client)
        window = self._asked.get_window_stats(item, name, client)
        return Standing(item.amount, window.remaining, math.ceil(window.reset_time), not taken)
