"""A port that another process shares with one of our Envoys: it is told, and not what is ours or only looks so."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconciler.core.model import Health, Observed, Ref
from reconciler.drivers.process import shared
from reconciler.seams import Seams

pytestmark = pytest.mark.skipif(not Path(shared.TABLES[0]).exists(), reason="only Linux tells who listens")
OTHER = """
import socket, sys
one = socket.socket()
one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
one.bind(("127.0.0.1", int(sys.argv[1])))
one.listen()
print("here", flush=True)
sys.stdin.read()
"""


class Clock(Seams):
    """Each look is later than one may be believed."""

    at = 0.0

    def monotonic(self) -> float:
        self.at += shared.AGAIN_S
        return self.at


def seen(pid: int, name: str = "edge") -> Observed:
    return Observed(Ref("Proxy", name), "i", "local", {"pid": pid, "state": "running"}, Health("healthy"), 0.0)


@contextmanager
def beside(port: int) -> Iterator[int]:
    words = [sys.executable, "-c", OTHER, str(port)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"here\n"
        yield other.pid
        other.communicate()


def test_who_shares_a_port() -> None:
    """It is told at the second look, for one may fall between two; two of ours are no strangers; and it is over when it is."""
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port, find = listening.getsockname()[1], shared.Shared(Clock())
        assert find([seen(os.getpid())]) == [seen(os.getpid())]
        with beside(port) as pid:
            find([seen(os.getpid())])
            (one,) = find([seen(os.getpid())])
            assert f"process {pid} listens on port {port} too" in one.fields["shared"]
            both = shared.Shared(Clock())
            for _ in range(3):
                assert all("shared" not in one.fields for one in both([seen(os.getpid()), seen(pid, "other")]))
            # Whoever is no Envoy of ours is not looked at.
            assert shared.Shared(Clock())([seen(2**30), seen(0)]) == [seen(2**30), seen(0)]
        find([seen(os.getpid())])
        assert find([seen(os.getpid())]) == [seen(os.getpid())]
