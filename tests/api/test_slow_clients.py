"""Clients that say a little now and then hold nobody else up for long: with the process that serves HTTP."""

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.serve import THREADS
from api.worker import HEAD_S
from reconciler.log import Log
from reconciler.metrics import Metrics
from reconciler.seams import Seams
from reconciler.store import Store, default_url
from reconciler.web import Http, Web
from tests.drivers.world import soon

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


# Whoever were not ended would hold his thread for as long as the test lasts.
WITHIN_S = 20 * HEAD_S


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """Of a web process that answers."""
    with contextlib.closing(Store(default_url(tmp_path), Seams())):
        pass
    with contextlib.closing(
        Web(Http("127.0.0.1:0"), default_url(tmp_path), tmp_path, Metrics(), Log(level="error"), Seams())
    ) as web:
        found = int(web.address.rpartition(":")[2])
        health(found)
        yield found


def health(port: int) -> float:
    """Seconds that it took."""
    begun = time.monotonic()
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=WITHIN_S)) as asking:
        asking.request("GET", "/health")
        assert asking.getresponse().status == 200
    return time.monotonic() - begun


def test_heads_that_come_byte_by_byte(port: int) -> None:
    """More of them than there are threads: each is ended after a while, and whoever asks in full is answered."""
    over = threading.Event()
    ended: list[float] = []

    def drip() -> None:
        begun = time.monotonic()
        with contextlib.closing(socket.create_connection(("127.0.0.1", port))) as slow, contextlib.suppress(OSError):
            slow.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n")
            while not over.wait(0.3):
                slow.sendall(b"X-A: b\r\n")
        if not over.is_set():
            ended.append(time.monotonic() - begun)

    clients = [threading.Thread(target=drip) for _ in range(THREADS + 4)]
    for client in clients:
        client.start()
    try:
        time.sleep(1)
        assert health(port) < WITHIN_S
        soon(lambda: len(ended) >= THREADS, WITHIN_S)
        assert min(ended) > HEAD_S / 2
    finally:
        over.set()
        for client in clients:
            client.join()
    assert health(port) < WITHIN_S
