"""A check judges any answer in time."""

import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from reconciler.drivers.process.shim.probe import Connection, Http, Probe
from tests.ports import free_port

pytestmark = pytest.mark.slow


def answering(serve: Callable[[socket.socket], object]) -> list[Any]:
    """An address at which one connection is answered by `serve`."""
    listening = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        with listening:
            connection, _ = listening.accept()
            with connection:
                try:
                    serve(connection)
                except OSError:
                    return

    threading.Thread(target=run, daemon=True).start()
    return list(listening.getsockname())


def play(probe: Probe) -> Probe:
    """Do what the shim's loop does with one try."""
    while not probe.over:
        poll = select.poll()
        if probe.fd >= 0:
            poll.register(probe.fd, probe.events)
        left_s = probe.deadline - time.monotonic()
        if left_s <= 0:
            probe.expire()
        elif poll.poll(int(left_s * 1000) + 1):
            probe.step()
    return probe


def silent(connection: socket.socket) -> None:
    while connection.recv(1000):
        """Until the other side has gone."""


def drip(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"H")
        time.sleep(0.05)


def endless(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"x" * 65536)


def endless_body(connection: socket.socket) -> None:
    connection.recv(1000)
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    endless(connection)


@pytest.mark.parametrize(
    ("serve", "passed", "said"),
    [
        (lambda c: c.sendall(b"HTTP/1.0 204 No Content\r\n\r\n"), True, ""),
        (lambda c: c.sendall(b"HTTP/1.1 302 Found\r\n\r\n"), True, ""),
        (lambda c: c.sendall(b"HTTP/1.1 503 Sorry\r\n\r\n"), False, "status 503"),
        (lambda c: c.sendall(b"HTTP/1.1 199\r\n"), False, "status 199"),
        (lambda c: c.sendall(b"SSH-2.0-OpenSSH_9.2\r\n"), False, "not an HTTP answer"),
        (lambda c: c.sendall(b"HTTP/1.1 2000 OK\r\n"), False, "not an HTTP answer"),
        (lambda c: c.sendall(b"\x00\xff" * 50 + b"\n"), False, "not an HTTP answer"),
        (lambda c: c.recv(1000), False, ""),
        (silent, False, "no answer within 0.4 s"),
        (drip, False, "no answer within 0.4 s"),
        (endless, False, "not an HTTP answer"),
        (endless_body, True, ""),
    ],
)
def test_answers_of_any_kind_are_judged_in_time(serve: Callable[[socket.socket], object], passed: bool, said: str) -> None:
    """An HTTP check is decided by the status line alone, within its timeout, whatever else comes or does not come."""
    # Who answers is given the time that a busy machine takes.
    probe = play(Http(answering(serve), "GET", "/", 0.4 if said.startswith("no answer") else 60.0))
    assert probe.passed is passed
    assert said in probe.message
    assert len(probe.message) < 300


def test_nobody_at_the_port() -> None:
    """A refused connection fails at once, over TCP and over a Unix socket, and says so."""
    target = ["127.0.0.1", free_port()]
    assert "connection refused" in play(Connection(target, 60.0, "connect")).message
    assert "no such file" in play(Connection("/nonexistent/socket", 60.0, "connect")).message
    assert play(Connection("/" + "x" * 300, 60.0, "connect")).passed is False
