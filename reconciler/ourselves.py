"""What Convoy itself uses, and how many of what it runs are well, in numbers."""

import os
import resource
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from reconciler.core.statuses import Status
from reconciler.metrics import XdsCounters
from reconciler.seams import Seams


class Ourselves:
    """The process that acts, since it began."""

    def __init__(self, seams: Seams) -> None:
        self._seams, self._begun = seams, seams.monotonic()
        self._before = (self._begun, _cpu_s())

    def now(self, status: Iterable[Status], xds: XdsCounters | None, rounds: int, turning: bool) -> dict[str, Any]:
        """As plain JSON values. `turning`: whether rounds of the loop end in time. Processors are since the last call."""
        at, spent = self._seams.monotonic(), _cpu_s()
        (then, before), self._before = self._before, (at, spent)
        counted: defaultdict[str, defaultdict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
        for one in status:
            counted[one.ref.tenant][one.ref.kind][one.health] += 1
        found: dict[str, Any] = {
            "convoy": {
                "cpu": round((spent - before) / (at - then), 4) if at > then else 0.0,
                "memory_bytes": _memory_bytes(),
                "up_s": round(at - self._begun, 1),
            },
            "loop": {"rounds": rounds, "turning": turning},
            "resources": {tenant: {kind: dict(by) for kind, by in kinds.items()} for tenant, kinds in counted.items()},
        }
        if xds is not None:
            found["xds"] = {
                "streams": xds.streams,
                "connects": xds.connects,
                "denied": xds.denied,
                "rejected": xds.rejected,
                "pushes": sum(xds.pushes.values()),
                "acks": sum(xds.acks.values()),
                "nacks": sum(xds.nacks.values()),
                "sent_bytes": xds.bytes_sent,
            }
        return found


def _cpu_s() -> float:
    spent = resource.getrusage(resource.RUSAGE_SELF)
    return spent.ru_utime + spent.ru_stime


def _memory_bytes() -> int:
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        # The most that it ever was; in bytes, or on Linux in kilobytes.
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
