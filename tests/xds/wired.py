"""A small gRPC client for the tests of the xDS server: sends requests, reads responses, in the test's own thread."""

import queue
from collections.abc import Iterator
from typing import Any

import grpc  # type: ignore[import-untyped]
from envoy.service.discovery.v3 import discovery_pb2  # type: ignore[import-untyped]

from reconciler.xds.wire import TYPE_URLS

ADS = "/envoy.service.discovery.v3.AggregatedDiscoveryService/"


class Client:
    """One channel with one stream; close it."""

    def __init__(
        self, target: str, method: str = ADS + "DeltaAggregatedResources", token: str = "", node: str = "n", instance: str = ""
    ) -> None:
        self.delta = method.rpartition("/")[2].startswith("Delta")
        self.kind = discovery_pb2.DeltaDiscoveryRequest if self.delta else discovery_pb2.DiscoveryRequest
        reply = discovery_pb2.DeltaDiscoveryResponse if self.delta else discovery_pb2.DiscoveryResponse
        self.node, self._requests = node, queue.SimpleQueue[bytes | None]()
        # A channel of its own connection: otherwise gRPC shares one between channels to the same place.
        self.channel = grpc.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)])
        metadata = [("authorization", f"Bearer {token}")] if token else []
        metadata += [("convoy-instance", instance)] if instance else []
        self.call = self.channel.stream_stream(method, response_deserializer=reply.FromString)(
            self._sending(), metadata=metadata, timeout=240
        )

    def _sending(self) -> Iterator[bytes]:
        while (message := self._requests.get()) is not None:
            yield message

    def send_bytes(self, content: bytes | None) -> None:
        """Send these bytes; None: there will be no more."""
        self._requests.put(content)

    def send(self, type: str, **fields: Any) -> None:
        message = self.kind(type_url=TYPE_URLS.get(type, type), **fields)
        if self.node:
            message.node.id = self.node
        self.send_bytes(message.SerializeToString())

    def read(self) -> Any:
        """The next response; raises grpc.RpcError at the end of the stream."""
        return next(self.call)

    def ack(self, response: Any, **fields: Any) -> None:
        version = {} if self.delta else {"version_info": response.version_info}
        self.send(response.type_url, response_nonce=response.nonce, **version, **fields)

    def ended(self) -> tuple[str, str]:
        """Wait for the end: (name of the status, details)."""
        try:
            while True:
                self.read()
        except StopIteration:
            return "OK", ""
        except grpc.RpcError as error:
            return error.code().name, error.details()

    def close(self) -> None:
        self._requests.put(None)
        self.call.cancel()
        self.channel.close()
