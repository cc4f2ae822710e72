"""A third party: gRPC's own xDS client, which speaks the state of the world with explicit names."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from envoy.config.listener.v3 import api_listener_pb2, listener_pb2  # type: ignore[import-untyped]
from envoy.extensions.filters.network.http_connection_manager.v3 import (  # type: ignore[import-untyped]
    http_connection_manager_pb2,
)
from google.protobuf.any_pb2 import Any as Packed  # type: ignore[import-untyped]

from reconciler.core.model import XdsResource
from reconciler.seams import Seams
from reconciler.xds.server import Server

from .snapshot import assignment, cluster, listener, resource, routes, snapshot


def api_listener() -> XdsResource:
    """The listener that gRPC reads: the filter of an ordinary one, without the sockets."""
    packed = Packed.FromString(listener("echo", 1, "echo").body)
    ordinary = listener_pb2.Listener.FromString(packed.value)
    manager = http_connection_manager_pb2.HttpConnectionManager()
    ordinary.filter_chains[0].filters[0].typed_config.Unpack(manager)
    made = api_listener_pb2.ApiListener()
    made.api_listener.Pack(manager)
    return resource("lds", "echo", listener_pb2.Listener(name="echo", api_listener=made), refers=(("rds", "echo"),))


class Program:
    """The client in a process of its own, because gRPC reads its bootstrap once."""

    def __init__(self, port: int) -> None:
        config = {
            "xds_servers": [
                {"server_uri": f"127.0.0.1:{port}", "channel_creds": [{"type": "insecure"}], "server_features": ["xds_v3"]}
            ],
            "node": {"id": "grpc"},
        }
        command = [sys.executable, str(Path(__file__).with_name("grpc_client.py")), json.dumps(config)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self._line())

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def call(self, word: str = "wait") -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        return self._line()

    def close(self) -> None:
        self._process.communicate(timeout=60)


@pytest.fixture
def program() -> Iterator[tuple[Server, Program, threading.Event]]:
    woken = threading.Event()
    server = Server(["127.0.0.1:0"], None, lambda _: b"", woken.set, Seams())
    server.start()
    made = Program(*server.ports.values())
    yield server, made, woken
    made.close()
    server.stop()


def test_grpc_calls_move_with_what_is_published(program: tuple[Server, Program, threading.Event]) -> None:
    """It resolves, follows a new cluster with nothing lost, refuses what it must, and goes on with what it had."""
    server, client, woken = program

    def until(nacks: int) -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            woken.clear()
            known = server.connected().get("grpc")
            if known is not None and len(known.nacks) == nacks and (known.synced or nacks):
                return
            woken.wait(0.2)
        raise AssertionError(f"{server.connected()} {server.counters()}")

    one = [cluster("one"), assignment("one", client.port)]
    two = [cluster("two"), assignment("two", client.port)]
    server.publish("grpc", snapshot([*one, api_listener(), routes("echo", {"one": 1})]))
    assert client.call() == "OK wait"
    until(0)
    known = server.connected()["grpc"]
    assert {type: set(names) for type, names in known.acked.items()} == {
        "lds": {"echo"},
        "rds": {"echo"},
        "cds": {"one"},
        "eds": {"one"},
    }
    server.publish("grpc", snapshot([*one, *two, api_listener(), routes("echo", {"two": 1})]))
    for _ in range(50):
        assert client.call("fast") == "OK fast"
    until(0)
    server.publish("grpc", snapshot([*two, api_listener(), routes("echo", {"two": 1})]))
    for _ in range(50):
        assert client.call("fast") == "OK fast"
    bad = cluster("two", eds=False, type="STATIC")
    server.publish("grpc", snapshot([replace(bad, eds="two"), two[1], api_listener(), routes("echo", {"two": 1})]))
    until(1)
    (nack,) = server.connected()["grpc"].nacks
    assert (nack.type, nack.names, nack.versions) == ("cds", ("two",), (bad.version,))
    assert client.call("fast") == "OK fast"
