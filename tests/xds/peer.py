"""A client without a wire: plays both protocols against a stream's state machine, with a clock that the test turns."""

from collections.abc import Iterable, Sequence
from typing import Any

from envoy.service.discovery.v3 import discovery_pb2  # type: ignore[import-untyped]

from reconciler.core.model import Snapshot, XdsResource
from reconciler.seams import Seams
from reconciler.xds.delta import Delta
from reconciler.xds.entries import ABSENT
from reconciler.xds.pace import Pace
from reconciler.xds.snapshots import Library
from reconciler.xds.sotw import Sotw
from reconciler.xds.stream import Stream
from reconciler.xds.wire import TYPE_URLS

from .snapshot import snapshot


class Clock(Seams):
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.time_s = 1000.0

    def now(self) -> float:
        return self.time_s

    def monotonic(self) -> float:
        return self.time_s


class Told:
    """One response as a client reads it."""

    def __init__(self, message: Any) -> None:
        self.message = message
        self.url, self.nonce = message.type_url, message.nonce
        types = {url: type for type, url in TYPE_URLS.items()}
        self.type = types.get(message.type_url, message.type_url)
        self.errors = {error.resource_name.name: error.error_detail.message for error in message.resource_errors}

    def __repr__(self) -> str:
        return f"{self.type} {self.named} -{list(self.removed)}"

    @property
    def delta(self) -> bool:
        return isinstance(self.message, discovery_pb2.DeltaDiscoveryResponse)

    @property
    def named(self) -> dict[str, str]:
        """Name ⇒ version. The state of the world carries both only inside the bodies that `snapshot.raw` makes."""
        if self.delta:
            return {resource.name: resource.version for resource in self.message.resources}
        pairs = (resource.value.decode().rpartition("@") for resource in self.message.resources)
        return {name or version[2:]: version if name else ABSENT for name, _, version in pairs}

    @property
    def removed(self) -> Sequence[str]:
        return list(self.message.removed_resources) if self.delta else []


class Peer:
    """One stream and its client."""

    def __init__(self, stream: type[Stream], library: Library | None = None, pace: Pace | None = None, only: str = "") -> None:
        self.clock = Clock()
        self.library = library or Library()
        self.stream = stream(self.library, self.clock, pace or Pace(linger_s=0.0), only)
        self.node: str | None = "proxy-1"
        self.heard: list[Told] = []

    def publish(self, *resources: XdsResource) -> Snapshot:
        made = snapshot(resources)
        self.stream.on_snapshot(self.library.told(made))
        return made

    def request(self, message: Any) -> None:
        """Send it, with the node if it is the first."""
        if self.node is not None:
            message.node.id, self.node = self.node, None
        self.stream.on_request(type(message).FromString(message.SerializeToString()))

    def pull(self) -> list[Told]:
        """Everything the stream says now."""
        said = []
        kind = discovery_pb2.DeltaDiscoveryResponse if self.stream.delta else discovery_pb2.DiscoveryResponse
        while (following := self.stream.next()) is not None:
            said.append(Told(kind.FromString(following[1].encoded(lambda resource: b"\x0a\x06opened"))))
        self.heard += said
        return said

    def one(self) -> Told:
        """The only thing the stream says now."""
        said = self.pull()
        assert len(said) == 1, said
        return said[0]

    def settle(self) -> list[Told]:
        """Pull and acknowledge until nothing is said; what was said, in order."""
        said: list[Told] = []
        while got := self.pull():
            said += got
            self.ack(*got)
        return said

    def ack(self, *told: Told) -> None:
        raise AssertionError("one of the two protocols")

    @property
    def refusals(self) -> list[tuple[str, tuple[str, ...], str]]:
        return [(nack.type, nack.names, nack.message) for nack in self.stream.tally.nacks]


class DeltaPeer(Peer):
    def __init__(self, **more: Any) -> None:
        super().__init__(Delta, **more)

    def subscribe(
        self,
        type: str,
        *names: str,
        leave: Iterable[str] = (),
        have: dict[str, str] | None = None,
        nonce: str = "",
        error: str = "",
    ) -> None:
        url = TYPE_URLS.get(type, type)
        message = discovery_pb2.DeltaDiscoveryRequest(
            type_url=url, resource_names_subscribe=names, resource_names_unsubscribe=leave, response_nonce=nonce
        )
        message.initial_resource_versions.update(have or {})
        if error:
            message.error_detail.message = error
        self.request(message)

    def ack(self, *told: Told) -> None:
        for one in told:
            self.subscribe(one.type, nonce=one.nonce)

    def nack(self, told: Told, words: str) -> None:
        self.subscribe(told.type, nonce=told.nonce, error=words)


class SotwPeer(Peer):
    def __init__(self, **more: Any) -> None:
        super().__init__(Sotw, **more)
        self.names: dict[str, tuple[str, ...]] = {}
        self.version: dict[str, str] = {}

    def subscribe(self, type: str, *names: str, nonce: str = "", version: str = "", error: str = "") -> None:
        self.names[type] = names
        message = discovery_pb2.DiscoveryRequest(
            type_url=TYPE_URLS.get(type, type), resource_names=names, response_nonce=nonce, version_info=version
        )
        if error:
            message.error_detail.message = error
        self.request(message)

    def ack(self, *told: Told) -> None:
        for one in told:
            self.version[one.type] = one.message.version_info
            self.subscribe(one.type, *self.names[one.type], nonce=one.nonce, version=one.message.version_info)

    def nack(self, told: Told, words: str) -> None:
        self.subscribe(
            told.type, *self.names[told.type], nonce=told.nonce, version=self.version.get(told.type, ""), error=words
        )
