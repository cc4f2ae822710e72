"""Ports for what a test has listen later."""

import random
import socket
import sys

# No connection is given one of these by the system (they are below its range), no process host chooses one (20000 and above),
# and no document names one.
FIRST, LAST = 12_000, 17_999
# Those that are taken and perhaps not listened on yet. Each has a name in the kernel too (not in a directory; on Linux), until
# this process ends: so no other pytest worker gets one.
_kept: set[int] = set()


def free_port() -> int:
    """One on which nobody listens, and that nobody else is given while this process lives."""
    for port in random.Random().sample(range(FIRST, LAST + 1), LAST + 1 - FIRST):
        if port not in _kept and _keep(port):
            return port
    raise AssertionError(f"no port between {FIRST} and {LAST} is free")


def _keep(port: int) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as mark, socket.socket() as probe:
        try:
            if sys.platform == "linux":
                mark.bind(f"\0convoy-test-port-{port}")
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
        mark.detach()
    _kept.add(port)
    return True
