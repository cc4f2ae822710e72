"""Ports for what a test has listen later."""

import random
import socket

# No connection is given one of these by the system (they are below its range), no process host chooses one (20000 and above),
# and no document names one.
FIRST, LAST = 12_000, 17_999
# The same numbers of UDP, which nobody here uses, kept until this process ends: so no other pytest worker gets one that is
# taken and not listened on yet.
_kept: set[int] = set()


def free_port() -> int:
    """One on which nobody listens, and that nobody else is given while this process lives."""
    for port in random.Random().sample(range(FIRST, LAST + 1), LAST + 1 - FIRST):
        if port not in _kept and _keep(port):
            return port
    raise AssertionError(f"no port between {FIRST} and {LAST} is free")


def _keep(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mark, socket.socket() as probe:
        try:
            mark.bind(("127.0.0.1", port))
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
        _kept.add(port)
        mark.detach()
    return True
