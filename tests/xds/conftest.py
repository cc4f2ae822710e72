"""Servers and clients of one test."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from reconciler.core.model import Connected
from reconciler.seams import Seams
from reconciler.xds.pace import Pace
from reconciler.xds.server import Server

from .wired import Client


class World:
    """Servers and clients of one test, all closed at its end."""

    def __init__(self) -> None:
        self.woken = threading.Event()
        self._closing: list[Callable[[], Any]] = []

    def server(self, address: str = "127.0.0.1:0", **more: Any) -> Server:
        given = {"identity": None, "open_secret": lambda _: b"", "seams": Seams(), "pace": Pace(linger_s=0.0), **more}
        server = Server([address], wake=self.woken.set, **given)
        server.start()
        self._closing.append(server.stop)
        return server

    def client(self, server: Server, **more: Any) -> Client:
        (port,) = server.ports.values()
        return self.client_at(f"127.0.0.1:{port}", **more)

    def client_at(self, target: str, **more: Any) -> Client:
        client = Client(target, **more)
        self._closing.append(client.close)
        return client

    def until(self, server: Server, what: Callable[[dict[str, Connected]], bool]) -> dict[str, Connected]:
        """What is connected, as soon as it fits; woken by the server and never by a clock alone."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            self.woken.clear()
            found = dict(server.connected())
            if what(found):
                return found
            self.woken.wait(0.5)
        raise AssertionError(f"not in time: {server.connected()} {server.counters()}")

    def close(self) -> None:
        for close in reversed(self._closing):
            close()


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()
