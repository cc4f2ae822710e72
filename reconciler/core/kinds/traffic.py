"""The short spellings of listeners, routes and clusters; `envoy` beside them takes the whole Envoy v3 message."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from reconciler.core.kinds.spec import EnvoyMessage, Name, Part, PortNumber, Reference, Seconds

XdsName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[^\s\x00]+$")]
Weights = dict[XdsName, Annotated[int, Field(ge=0, le=1_000_000)]]


class Tls(Part):
    """How a listener ends TLS."""

    certificate: Name
    """A Certificate's name; its key reaches the proxy by SDS alone."""


class Listener(Part):
    """A listener. Short: `name`, `port` and `routes`; anything else Envoy can do: `envoy`, merged over the short form."""

    name: XdsName
    address: str = Field("127.0.0.1", min_length=1, max_length=253)
    port: PortNumber | None = None
    """Where it listens; a Proxy can say otherwise for itself (`ports`)."""
    routes: XdsName | None = None
    """The route configuration it serves."""
    tls: Tls | None = None
    envoy: EnvoyMessage = Field(default_factory=dict)
    """`envoy.config.listener.v3.Listener` in JSON form."""


class Route(Part):
    """One route. Exactly one of `prefix` and `path`, and one of `cluster` and `weights`, or all of it in `envoy`."""

    prefix: str | None = Field(None, pattern=r"^/")
    path: str | None = Field(None, pattern=r"^/")
    cluster: XdsName | None = None
    """A cluster of this Configuration, a Cluster, or an Application."""
    weights: Weights | None = None
    """Cluster ⇒ share of requests."""
    timeout_s: Seconds | None = Field(None, alias="timeoutSeconds")
    envoy: EnvoyMessage = Field(default_factory=dict)
    """`envoy.config.route.v3.Route` in JSON form."""


class RouteHost(Part):
    """Which domains these routes answer for."""

    name: XdsName | None = None
    domains: tuple[str, ...] = Field(("*",), min_length=1)
    routes: tuple[Route, ...] = ()
    envoy: EnvoyMessage = Field(default_factory=dict)
    """`envoy.config.route.v3.VirtualHost` in JSON form."""


class Routes(Part):
    """A route configuration, delivered by RDS."""

    name: XdsName
    virtual_hosts: tuple[RouteHost, ...] = ()
    envoy: EnvoyMessage = Field(default_factory=dict)
    """`envoy.config.route.v3.RouteConfiguration` in JSON form."""


class Upstream(Part):
    """Where a cluster's requests go. At most one of `application`, `container`, `endpoints`; or all of it in `envoy`."""

    application: Name | None = None
    container: Name | None = None
    port: Name | None = None
    """Which port of that application or container; its first where left out."""
    endpoints: tuple[Annotated[str, Field(pattern=r"^\S+:[0-9]{1,5}$")], ...] = ()
    """Fixed endpoints, `address:port`; a host name is resolved by Envoy."""
    connect_timeout_s: Seconds = Field(5.0, alias="connectTimeoutSeconds")
    envoy: EnvoyMessage = Field(default_factory=dict)
    """`envoy.config.cluster.v3.Cluster` in JSON form."""

    def upstream_references(self, *path: str | int) -> Iterator[Reference]:
        if self.application:
            yield Reference((*path, "application"), ("Application",), self.application)
        if self.container:
            yield Reference((*path, "container"), ("Container",), self.container)


class InlineCluster(Upstream):
    """A cluster of this Configuration alone."""

    name: XdsName
