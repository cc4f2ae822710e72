"""What a stream costs the xDS server in memory and processor time, beside a bare grpcio server that writes the same bytes."""

import asyncio
import gc
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
from envoy.service.discovery.v3 import discovery_pb2  # type: ignore[import-untyped]
from google.protobuf.any_pb2 import Any as Packed  # type: ignore[import-untyped]

from reconciler.core.model import Snapshot, XdsResource
from reconciler.seams import Seams
from reconciler.xds.server import OPTIONS, Server
from reconciler.xds.wire import TYPE_URLS, delta, sotw
from tests.xds.snapshot import cluster, snapshot

CLUSTERS = 1000
PUSHES = 7
DELTA = "DeltaAggregatedResources"
SOTW = "StreamAggregatedResources"
Row = tuple[str, float, str, float | None]


def one_cluster(name: str, connect_timeout: str = "1s") -> XdsResource:
    """About 480 bytes, as a cluster with fourteen endpoints of its own has."""
    addresses = [{"socket_address": {"address": f"10.0.{i}.{i}", "port_value": 8080}} for i in range(14)]
    endpoints = [{"endpoint": {"address": address}, "health_status": "HEALTHY"} for address in addresses]
    assignment = {"cluster_name": name, "endpoints": [{"locality": {"region": "here", "zone": "a"}, "lb_endpoints": endpoints}]}
    policy = {"lb_policy": "LEAST_REQUEST", "circuit_breakers": {"thresholds": [{"max_connections": 1000, "max_retries": 3}]}}
    return cluster(name, eds=False, connect_timeout=connect_timeout, type="STATIC", load_assignment=assignment, **policy)


def world(changed: int) -> Snapshot:
    """A thousand clusters, of which the first changes with the number."""
    names = [f"cluster-{i:04}" for i in range(CLUSTERS)]
    return snapshot([one_cluster(names[0], f"{changed + 1}s"), *map(one_cluster, names[1:])])


def rss_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


# The servers: each a process that reads commands and answers with what it cost.


class Ours:
    """The xDS server itself, every node told the same snapshot."""

    def __init__(self, method: str, streams: int) -> None:
        self._streams = streams
        self._server = Server(["127.0.0.1:0"], None, lambda _: b"", lambda: None, Seams())
        self._worlds = [world(i) for i in range(PUSHES + 1)]
        self._tell(0)
        self._server.start()
        (self.port,) = self._server.ports.values()

    def _tell(self, number: int) -> None:
        self._server.publish_all(dict.fromkeys((f"n{i}" for i in range(self._streams)), self._worlds[number]))

    def acks(self) -> int:
        return sum(self._server._registry.count.acks.values())

    def push(self, number: int) -> None:
        self._tell(number)


class Bare:
    """A reader and a writer per stream and nothing else: what grpcio itself costs for these bytes and their ACKs."""

    def __init__(self, method: str, streams: int, encode: bool = False) -> None:
        worlds = [world(i).resources["cds"] for i in range(PUSHES + 1)]
        url = TYPE_URLS["cds"]
        self._encode = encode
        self._packed = [[Packed.FromString(one.body) for one in each.values()] for each in worlds]
        if method == DELTA:
            whole = [[(one.name, one.version, one.body) for one in each.values()] for each in worlds]
            self._bodies = [delta(url, "v", "n" * 20, all if i == 0 else all[:1], (), ()) for i, all in enumerate(whole)]
            self._request = discovery_pb2.DeltaDiscoveryRequest
        else:
            self._bodies = [sotw(url, "v", "n" * 20, [one.body for one in each.values()], ()) for each in worlds]
            self._request = discovery_pb2.DiscoveryRequest
        self._method, self._acks, self._number = method, 0, 0
        self._waiting: set[asyncio.Event] = set()
        self._started = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True).start()
        self._started.wait()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        server = grpc.aio.server(options=OPTIONS)
        handler = grpc.stream_stream_rpc_method_handler(self._stream)
        service = "envoy.service.discovery.v3.AggregatedDiscoveryService"
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {self._method: handler}),))
        self.port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        self._started.set()
        await server.wait_for_termination()

    async def _stream(self, _: Any, context: Any) -> None:
        woken = asyncio.Event()
        self._waiting.add(woken)

        async def read() -> None:
            while (raw := await context.read()) is not grpc.aio.EOF:
                if self._request.FromString(raw).response_nonce:
                    self._acks += 1

        reader = asyncio.create_task(read())
        try:
            while True:
                await context.write(self._body())
                await woken.wait()
                woken.clear()
        finally:
            reader.cancel()

    def _wake(self) -> None:
        for woken in self._waiting:
            woken.set()

    def _body(self) -> bytes:
        if not self._encode:
            return self._bodies[self._number]
        message = discovery_pb2.DiscoveryResponse(version_info="v", type_url=TYPE_URLS["cds"], nonce="n" * 20)
        message.resources.extend(self._packed[self._number])
        return bytes(message.SerializeToString())

    def acks(self) -> int:
        return self._acks

    def push(self, number: int) -> None:
        self._number = number
        self._loop.call_soon_threadsafe(self._wake)


KINDS: dict[str, Callable[[str, int], Any]] = {
    "ours": Ours,
    "bare": Bare,
    "encoding": lambda method, streams: Bare(method, streams, encode=True),
}


def serve(kind: str, method: str, streams: int) -> None:
    """The process of one server. Each line of input is a push, -1 only waits for the first answers; each answer is figures."""
    server = KINDS[kind](method, streams)
    gc.collect()
    before_bytes = rss_bytes()
    print(json.dumps({"port": server.port}), flush=True)
    expected = 0
    for line in sys.stdin:
        number = int(line)
        expected += streams
        started, cpu = time.perf_counter(), time.process_time()
        if number >= 0:
            server.push(number)
        while server.acks() < expected:
            time.sleep(0.002)
        cpu_us = (time.process_time() - cpu) / streams * 1e6
        took_ms = (time.perf_counter() - started) * 1e3
        gc.collect()
        print(json.dumps({"cpu_us": cpu_us, "ms": took_ms, "bytes": (rss_bytes() - before_bytes) / streams}), flush=True)


# The clients: as many channels as streams, each its own connection, as Envoys would have.


async def client(port: int, method: str, node: int) -> None:
    """One stream that acknowledges whatever comes."""
    incremental = method == DELTA
    request = discovery_pb2.DeltaDiscoveryRequest if incremental else discovery_pb2.DiscoveryRequest
    reply = discovery_pb2.DeltaDiscoveryResponse if incremental else discovery_pb2.DiscoveryResponse
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        call = channel.stream_stream(f"/envoy.service.discovery.v3.AggregatedDiscoveryService/{method}")(wait_for_ready=True)
        first = request(type_url=TYPE_URLS["cds"])
        first.node.id = f"n{node}"
        await call.write(first.SerializeToString())
        while (raw := await call.read()) is not grpc.aio.EOF:
            told = reply.FromString(raw)
            answer = request(type_url=told.type_url, response_nonce=told.nonce)
            if not incremental:
                answer.version_info = told.version_info
            await call.write(answer.SerializeToString())


async def _said(server: asyncio.StreamReader, clients: list[asyncio.Task[None]]) -> dict[str, float]:
    """The server's next figures; for those of all streams it would wait for ever where one has ended."""
    line = asyncio.ensure_future(server.readline())
    await asyncio.wait([line, *clients], return_when=asyncio.FIRST_COMPLETED)
    for one in clients:
        if one.done():
            raise AssertionError("a stream ended by itself") from one.exception()
    figures: dict[str, float] = json.loads(await line)
    return figures


async def measure(kind: str, method: str, streams: int) -> dict[str, float]:
    """Figures of one server with so many clients: bytes per idle stream, and the best of the pushes."""
    command = [sys.executable, "-m", "tests.bench.xds", kind, method, str(streams)]
    process = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        port = json.loads(await process.stdout.readline())["port"]
        clients = [asyncio.create_task(client(port, method, i)) for i in range(streams)]
        answers = []
        for number in [-1, *range(1, PUSHES + 1)]:
            process.stdin.write(f"{number}\n".encode())
            await process.stdin.drain()
            answers.append(await _said(process.stdout, clients))
            await asyncio.sleep(0.2)
        for one in clients:
            one.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
    finally:
        process.kill()
        await process.wait()
    pushes = answers[1:]
    return {
        "bytes": answers[0]["bytes"],
        # The least of the pushes: what else this machine does can only add to it.
        "cpu_us": min(one["cpu_us"] for one in pushes),
        "ms": min(one["ms"] for one in pushes),
    }


async def _rows(streams: int) -> list[Row]:
    rows: list[Row] = []
    for method, words in ((DELTA, "one of 1,000 clusters, delta"), (SOTW, "1,000 clusters, state of the world")):
        kinds = ["bare", "ours"] if method == DELTA else ["encoding", "bare", "ours"]
        found = {kind: await measure(kind, method, streams) for kind in kinds}
        ours, bare = found["ours"], found["bare"]
        rows += [
            (
                f"xds: memory per idle stream ({words}, {streams} streams)",
                ours["bytes"] / 1e3,
                "KB",
                ours["bytes"] / bare["bytes"],
            ),
            (f"xds: the same, bare grpcio ({words})", bare["bytes"] / 1e3, "KB", None),
            (f"xds: server CPU per stream and push ({words})", ours["cpu_us"], "us", ours["cpu_us"] / bare["cpu_us"]),
            (f"xds: the same, bare grpcio ({words})", bare["cpu_us"], "us", None),
            (f"xds: push to last ACK ({words})", ours["ms"], "ms", ours["ms"] / bare["ms"]),
        ]
        if "encoding" in found:
            each = found["encoding"]["cpu_us"]
            rows.append(
                (
                    f"xds: server CPU per stream and push, beside encoding per stream ({words})",
                    ours["cpu_us"],
                    "us",
                    ours["cpu_us"] / each,
                )
            )
    return rows


def run(quick: bool) -> list[Row]:
    """(what, figure, unit, ratio to the same with a bare grpcio server in this run)."""
    return asyncio.run(_rows(300 if quick else 1000))


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], int(sys.argv[3]))
