"""Turns single tries of a check into a verdict that does not flap."""

import time

from .probe import Probe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Until the first verdict a check is repeated this fast, so that "healthy" is known soon after it is true; then at its interval.
QUICK_S = 0.075
# An instance that has not passed for so long is unhealthy, no longer starting; and no longer worth quick tries.
STARTING_S = 10.0


class Health:
    """The record that state.json carries. Times are Unix seconds."""

    def __init__(self) -> None:
        self.status, self.message = "starting", ""
        self.since = self.checked_at = time.time()
        self.code, self.latency_ms, self.passed, self.failed = 0, 0.0, 0, 0
        self.started = time.monotonic()

    def become(self, status: str, message: str = "") -> bool:
        """True when this is another status than before."""
        self.message = message
        if status == self.status:
            return False
        self.status, self.since = status, time.time()
        return True

    def start(self) -> None:
        """The process begins (again). After a crash it stays unhealthy until it passes: it was not made new."""
        self.started = time.monotonic()
        self.passed = self.failed = 0

    def count(self, probe: Probe, healthy_after: int, unhealthy_after: int) -> bool:
        """Take in one finished try; True when the status changed."""
        self.checked_at, self.code, self.latency_ms = time.time(), probe.code, probe.latency_ms
        if probe.passed:
            self.passed, self.failed = self.passed + 1, 0
            if self.status == "healthy" or self.passed >= healthy_after:
                return self.become("healthy")
            return False
        self.passed, self.failed = 0, self.failed + 1
        if self.status == "healthy":
            return self.failed >= unhealthy_after and self.become("unhealthy", probe.message)
        over = time.monotonic() - self.started > STARTING_S
        return self.become("unhealthy" if over else self.status, probe.message)

    def next_s(self, interval_s: float) -> float:
        """How long until the next try."""
        if self.status != "healthy" and time.monotonic() - self.started < STARTING_S:
            return min(QUICK_S, interval_s)
        return interval_s

    def record(self) -> "dict[str, Any]":
        return {
            "status": self.status,
            "checked_at": round(self.checked_at, 3),
            "code": self.code,
            "latency_ms": self.latency_ms,
            "passed": self.passed,
            "failed": self.failed,
            "message": self.message,
        }
