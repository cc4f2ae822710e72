"""VirtualHost: domains ⇒ backend, the short way of saying listener, route and cluster."""

from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import Field

from reconciler.core.kinds.spec import Name, PortNumber, Reference, Spec
from reconciler.core.kinds.traffic import Tls, Weights, XdsName


class VirtualHost(Spec):
    """Domains ⇒ backend, on every proxy of a group. VirtualHosts of one group and port share a listener."""

    example: ClassVar[dict[str, Any]] = {
        "apiVersion": "convoy/v1",
        "kind": "VirtualHost",
        "metadata": {"name": "shop"},
        "spec": {"group": "edge", "port": 8443, "domains": ["shop.example"], "backend": "web", "tls": {"certificate": "shop"}},
    }

    group: Name
    """The ProxyGroup that serves it."""
    port: PortNumber
    address: str = Field("127.0.0.1", min_length=1, max_length=253)
    domains: tuple[str, ...] = Field(min_length=1)
    backend: XdsName | None = None
    """A Cluster or an Application. Exactly one of `backend` and `weights`."""
    weights: Weights | None = None
    tls: Tls | None = None
    """Left out: plain HTTP. Several certificates on one port are told apart by the name the client asks for (SNI)."""

    def references(self) -> Iterator[Reference]:
        yield Reference(("group",), ("ProxyGroup",), self.group)
        if self.backend:
            yield Reference(("backend",), ("Cluster", "Application"), self.backend)
        for name in self.weights or ():
            yield Reference(("weights", name), ("Cluster", "Application"), name)
        if self.tls:
            yield Reference(("tls", "certificate"), ("Certificate",), self.tls.certificate)
