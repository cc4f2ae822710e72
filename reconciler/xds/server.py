"""The gRPC server: carries bytes between clients and their streams, in one thread with an event loop of its own."""

import asyncio
import contextlib
import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]

from reconciler.core.model import Connected, Snapshot
from reconciler.seams import Seams, Wake
from reconciler.xds import protocols
from reconciler.xds.admission import Rejected, instance
from reconciler.xds.counters import Counters
from reconciler.xds.identity import Identity
from reconciler.xds.link import Link
from reconciler.xds.listen import ListenError, answers, checked, path_of, untaken
from reconciler.xds.pace import Pace
from reconciler.xds.registry import Registry
from reconciler.xds.snapshots import OpenSecret

# How long a client may take to say who it is, and how long one that is known but has nothing published is held: shorter
# than an Envoy's back-off between connections may become (30 s), so that a restarting control plane serves it sooner.
FIRST_REQUEST_S = 15.0
HOLD_S = 10.0
# How often unanswered responses are looked for.
SWEEP_S = 2.0
START_S = 30.0
# How long streams have to end when they are told to, before their connections are cut.
ENDING_S = 2.0

# Why each value: https://grpc.io/docs/guides/keepalive/ for the pings (an Envoy sends one each 30 s, for which a default
# server closes the connection); a delta request with 50,000 versions has 4 MB; each Envoy off ADS opens a stream per
# cluster; with the default of pending requests a storm of 2,000 connections loses some.
OPTIONS = (
    ("grpc.max_receive_message_length", 32 << 20),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_concurrent_streams", 1 << 20),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_connection_age_ms", 36_000_000),
    ("grpc.max_connection_age_grace_ms", 120_000),
    ("grpc.server.max_pending_requests", 1_000_000),
    ("grpc.server.max_pending_requests_hard_limit", 1_000_000),
    # Two servers on one port would each get half of the proxies.
    ("grpc.so_reuseport", 0),
)


class Server:
    """Serves ADS and the services per type. Everything public may be called from any thread.

    `open_secret` gives the serialised `Any` of a Secret when it is about to be sent; what it raises becomes a Nack on that
    secret. `wake` is called after an ACK, a NACK, a connect and a disconnect, from the server's thread.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        identity: Identity | None,
        open_secret: OpenSecret,
        wake: Wake,
        seams: Seams,
        pace: Pace | None = None,
        hold_s: float = HOLD_S,
    ) -> None:
        self._addresses = [checked(address) for address in addresses]
        self._identity, self._open_secret, self._wake, self._seams = identity, open_secret, wake, seams
        self._pace, self._hold_s = pace or Pace(), hold_s
        self._registry: Registry[Link] = Registry()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: grpc.aio.Server | None = None
        self._started = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="xds", daemon=True)
        self._ports: dict[str, int] = {}

    def start(self) -> None:
        """Listen and serve; raises ListenError when an address cannot be had."""
        self._thread.start()
        if not self._started.wait(START_S):
            raise ListenError(f"the xDS server did not start within {START_S:.0f} s")
        if self._failure is not None:
            self._thread.join()
            raise self._failure

    def stop(self, grace_s: float = 0.0) -> None:
        """Stop listening, let streams go on for `grace_s`, end them. Proxies keep what they have."""
        loop, server = self._loop, self._server
        if loop is None or server is None or not self._thread.is_alive():
            return
        with contextlib.suppress(RuntimeError):  # the loop ended by itself in the meantime
            asyncio.run_coroutine_threadsafe(self._stop(server, grace_s), loop)
        self._thread.join()

    @property
    def ports(self) -> Mapping[str, int]:
        """Address as given ⇒ port that is bound, for the addresses that have one."""
        return dict(self._ports)

    def publish(self, node: str, snapshot: Snapshot) -> None:
        """Tell this node so from now on. The same version again does nothing; a newer one overtakes what is half done."""
        self.publish_all({node: snapshot})

    def publish_all(self, snapshots: Mapping[str, Snapshot]) -> None:
        """`publish` for many nodes at once: one hand-over to the server's thread, not one for each."""
        if self._registry.publish(snapshots):
            self._call(self._spread)

    def forget(self, node: str) -> None:
        """This node is told nothing any more; its streams end, and it keeps what it has."""
        for link in self._registry.forget(node):
            self._call(functools.partial(link.end, "UNAVAILABLE", "nothing is declared for this node any more"))

    def connected(self) -> Mapping[str, Connected]:
        """Node ⇒ what its streams have acknowledged, for every node with a stream open."""
        return self._registry.connected()

    def counters(self) -> Counters:
        with self._registry.lock:
            return self._registry.count.copy()

    def _call(self, function: Callable[[], object]) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # stopped meanwhile: nobody is left to be told
                self._loop.call_soon_threadsafe(function)

    def _spread(self) -> None:
        for link in self._registry.spread():
            link.kick()

    # The server's own thread

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # noqa: BLE001 - raised again by start()
            self._failure = error if isinstance(error, ListenError) else ListenError(f"the xDS server failed to start: {error}")
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        server = grpc.aio.server(options=OPTIONS)
        server.add_generic_rpc_handlers(protocols.services(self._stream))
        for address in self._addresses:
            self._bind(server, address)
        await server.start()
        self._server = server
        self._started.set()
        sweep = asyncio.create_task(self._sweep())
        # What was published before the loop ran.
        self._spread()
        await server.wait_for_termination()
        sweep.cancel()

    async def _stop(self, server: grpc.aio.Server, grace_s: float) -> None:
        # Nobody new from here on: a client that is sent away now goes to who comes after us.
        stopping = asyncio.create_task(server.stop(grace_s + ENDING_S))
        await asyncio.sleep(grace_s)
        for link in self._registry.links():
            link.end("UNAVAILABLE", "this server stops")
        await stopping

    def _bind(self, server: grpc.aio.Server, address: str) -> None:
        self._seams.point("xds.listen", address)
        if address.startswith("unix:"):
            if answers(address):
                words = "another server answers there; stop it or choose another path"
                raise ListenError(f"cannot listen on {address}: {words}")
        else:
            # Of the two addresses of `localhost`, gRPC is content with one.
            untaken(address)
        try:
            port = server.add_insecure_port(address)
        except RuntimeError:
            raise ListenError(f"cannot listen on {address}: it is not allowed, or was just taken; choose another") from None
        if address.startswith("unix:"):
            path_of(address).chmod(0o600)
        else:
            self._ports[address] = port

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            if self._registry.overdue():
                self._wake()

    async def _stream(self, protocol: protocols.Protocol, context: Any) -> None:
        """One client, from its first request to its end."""
        stream = protocol.stream(self._registry.library, self._seams, self._pace, protocol.only)
        link = Link(stream, context, self._registry, self._open_secret, self._seams, self._wake)
        with self._registry.lock:
            self._registry.count.streams += 1
            self._registry.count.connects += 1
        member = None
        try:
            async with asyncio.timeout(FIRST_REQUEST_S):
                raw = await context.read()
            if raw is not grpc.aio.EOF:
                request = protocol.parse(raw)
                with self._registry.lock:
                    stream.on_request(request)
                    self._check(stream.node, context)
                    stream.instance = instance(context.invocation_metadata())
                    member = self._registry.join(stream, link, self._seams.now())
                link.hold(self._hold_s)
                await link.begin()
                self._wake()
                link.kick()
                raw = await context.read()
            while raw is not grpc.aio.EOF:
                request = protocol.parse(raw)
                with self._registry.lock:
                    stream.on_request(request)
                    answered = self._registry.heard(stream)
                if answered:
                    self._wake()
                link.kick()
                raw = await context.read()
        except Rejected as rejected:
            with self._registry.lock:
                self._registry.count.rejected += 1
            link.end(rejected.code, str(rejected))
        except TimeoutError:
            link.end("DEADLINE_EXCEEDED", f"no request came within {FIRST_REQUEST_S:.0f} s of opening this stream")
        except asyncio.CancelledError:
            if link.verdict is None:
                raise
            # We cancelled ourselves to get out of the read; the client is still there and is told why.
            if (task := asyncio.current_task()) is not None:
                task.uncancel()
        finally:
            link.leave()
            with self._registry.lock:
                self._registry.count.streams -= 1
            if member is not None:
                self._registry.leave(member)
                self._wake()
        if link.verdict is not None:
            await link.written()
            await context.abort(*link.verdict)

    def _check(self, node: str, context: Any) -> None:
        if self._identity is None:
            return
        given = [value for key, value in context.invocation_metadata() or () if key == "authorization"]
        if len(given) != 1 or not isinstance(given[0], str) or not self._identity.allows(node, given[0]):
            self._registry.count.denied += 1
            raise Rejected("PERMISSION_DENIED", f"the token of this stream does not belong to node {node!r}")
