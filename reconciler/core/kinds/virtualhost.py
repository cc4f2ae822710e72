"""VirtualHost: domains ⇒ backend, the short way of saying listener, route and cluster."""

from collections.abc import Iterator
from typing import Any, ClassVar, Self

from pydantic import ConfigDict, Field, model_validator

from reconciler.core.kinds.spec import Name, PortNumber, Reference, Spec, broken
from reconciler.core.kinds.traffic import Address, Domain, Tls, Weights, XdsName, check_weights


class VirtualHost(Spec):
    """Domains ⇒ backend, on every proxy of a group. VirtualHosts of one group and port share a listener."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["backend"]}, {"required": ["weights"]}]})
    example: ClassVar[dict[str, Any]] = {
        "apiVersion": "convoy/v1",
        "kind": "VirtualHost",
        "metadata": {"name": "shop"},
        "spec": {"group": "edge", "port": 8443, "domains": ["shop.example"], "backend": "web", "tls": {"certificate": "shop"}},
    }

    group: Name
    """The ProxyGroup that serves it."""
    port: PortNumber
    """Where the proxies listen for it."""
    address: Address = "127.0.0.1"
    """The IP address they listen on there; `0.0.0.0` is every one."""
    domains: tuple[Domain, ...] = Field(min_length=1, max_length=1000)
    """The domains it answers for; `*` is all of them, `*.shop.example` all below one."""
    backend: XdsName | None = None
    """A Cluster or an Application. Exactly one of `backend` and `weights`."""
    weights: Weights | None = None
    """Cluster or Application ⇒ its share of requests, for example `{blue: 90, green: 10}`."""
    tls: Tls | None = None
    """Left out: plain HTTP. Several certificates on one port are told apart by the name the client asks for (SNI)."""

    @model_validator(mode="after")
    def _one_backend(self) -> Self:
        if (self.backend is None) == (self.weights is None):
            what = "both `backend` and `weights`" if self.backend is not None else "neither `backend` nor `weights`"
            raise broken(f"there is {what}", "name one backend, or several with their shares of requests")
        if self.weights is not None:
            check_weights(self.weights)
        return self

    def references(self) -> Iterator[Reference]:
        yield Reference(("group",), ("ProxyGroup",), self.group)
        if self.backend:
            yield Reference(("backend",), ("Cluster", "Application"), self.backend)
        for name in self.weights or ():
            yield Reference(("weights", name), ("Cluster", "Application"), name)
        if self.tls:
            yield Reference(("tls", "certificate"), ("Certificate",), self.tls.certificate)
