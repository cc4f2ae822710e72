"""The short spellings of listeners, routes and clusters; `envoy` beside them takes the whole Envoy v3 message."""

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Annotated, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from reconciler.core.kinds.spec import EnvoyMessage, Name, Part, PortNumber, Reference, Seconds, broken

XdsName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[^\s\x00]+$")]
Weights = dict[XdsName, Annotated[int, Field(ge=0, le=1_000_000)]]
Domain = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[^\s\x00/]+$")]
# Envoy adds weights up in 32 bits: envoy.config.route.v3.WeightedCluster.
LARGEST_SUM = (1 << 32) - 1
# What in an `envoy.config.route.v3.Route` says which requests it is for, and what is done with them.
MATCHES = ("match",)
ACTIONS = (
    *("route", "redirect", "direct_response", "filter_action", "non_forwarding_action"),
    *("directResponse", "filterAction", "nonForwardingAction"),
)


def listenable(address: str) -> str:
    """Envoy resolves no names for its listeners."""
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise broken(f"{address!r} is not an IP address", "127.0.0.1 is this machine alone, 0.0.0.0 every address") from None
    return address


Address = Annotated[str, Field(max_length=64), AfterValidator(listenable)]


def check_weights(weights: Mapping[str, int]) -> None:
    if not any(weights.values()):
        raise broken("no cluster has any share of the requests", "give at least one a weight above 0", "weights")
    if sum(weights.values()) > LARGEST_SUM:
        raise broken(f"the weights add up to more than {LARGEST_SUM}", "use smaller ones", "weights")


class Tls(Part):
    """How a listener ends TLS."""

    certificate: Name
    """A Certificate's name; its key reaches the proxy by SDS alone."""


class Listener(Part):
    """A listener. Short: `name`, `port` and `routes`; anything else Envoy can do: `envoy`, merged over the short form."""

    name: XdsName
    """Its name; a Proxy's `ports` and the Envoy's statistics speak of it."""
    address: Address = "127.0.0.1"
    """The IP address it listens on; `0.0.0.0` is every one."""
    port: PortNumber | None = None
    """Where it listens; a Proxy can say otherwise for itself (`ports`)."""
    routes: XdsName | None = None
    """The route configuration it serves."""
    tls: Tls | None = None
    """Left out: plain HTTP."""
    envoy: EnvoyMessage = Field(default_factory=dict)
    """`envoy.config.listener.v3.Listener` in JSON form."""


class Route(Part):
    """One route. Exactly one of `prefix` and `path`, and one of `cluster` and `weights`, or all of it in `envoy`."""

    model_config = ConfigDict(
        json_schema_extra={"allOf": [{"not": {"required": ["prefix", "path"]}}, {"not": {"required": ["cluster", "weights"]}}]}
    )

    prefix: str | None = Field(None, pattern=r"^/[^\s\x00]*$", max_length=4096)
    """Requests whose path begins with this."""
    path: str | None = Field(None, pattern=r"^/[^\s\x00]*$", max_length=4096)
    """Requests for exactly this path."""
    cluster: XdsName | None = None
    """A cluster of this Configuration, a Cluster, or an Application."""
    weights: Weights | None = None
    """Cluster ⇒ share of requests, for example `{blue: 90, green: 10}`."""
    timeout_s: Seconds | None = Field(None, alias="timeoutSeconds")
    """How long the whole answer may take; Envoy's own default is 15 seconds."""
    envoy: EnvoyMessage = Field(default_factory=dict)
    """`envoy.config.route.v3.Route` in JSON form."""

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        for one, other, fields, purpose in (
            ("prefix", "path", MATCHES, "which requests it is for"),
            ("cluster", "weights", ACTIONS, "where they go"),
        ):
            said = [getattr(self, one) is not None, getattr(self, other) is not None]
            if all(said):
                raise broken(f"a route takes one of `{one}` and `{other}`", "remove one", other)
            if not any(said) and not any(field in self.envoy for field in fields):
                raise broken(f"a route must say {purpose}", f"write `{one}` or `{other}`, or `{fields[0]}` under `envoy`")
        if self.weights is not None:
            check_weights(self.weights)
        return self


class RouteHost(Part):
    """Which domains these routes answer for."""

    name: XdsName | None = None
    """Left out: made from its place."""
    domains: tuple[Domain, ...] = Field(("*",), min_length=1)
    """The domains they answer for; `*` is all of them, `*.shop.example` all below one."""
    routes: tuple[Route, ...] = ()
    """The first that fits a request is taken."""
    envoy: EnvoyMessage = Field(default_factory=dict)
    """`envoy.config.route.v3.VirtualHost` in JSON form."""


class Routes(Part):
    """A route configuration, delivered by RDS."""

    name: XdsName
    """The name by which listeners speak of it."""
    virtual_hosts: tuple[RouteHost, ...] = ()
    """By domain, what becomes of requests."""
    envoy: EnvoyMessage = Field(default_factory=dict)
    """`envoy.config.route.v3.RouteConfiguration` in JSON form."""


class Upstream(Part):
    """Where a cluster's requests go. At most one of `application`, `container`, `endpoints`; or all of it in `envoy`."""

    application: Name | None = None
    """The Application whose replicas answer."""
    container: Name | None = None
    """The Container that answers."""
    port: Name | None = None
    """Which port of that application or container; its first where left out."""
    endpoints: tuple[Annotated[str, Field(pattern=r"^\S+:[0-9]{1,5}$")], ...] = ()
    """Fixed endpoints, `address:port`; a host name is resolved by Envoy."""
    connect_timeout_s: Seconds = Field(5.0, alias="connectTimeoutSeconds")
    """How long a connection to an endpoint may take."""
    envoy: EnvoyMessage = Field(default_factory=dict)
    """`envoy.config.cluster.v3.Cluster` in JSON form."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        said = [name for name in ("application", "container", "endpoints") if getattr(self, name)]
        if len(said) > 1:
            what = f"a cluster takes one of `application`, `container` and `endpoints`, not {' and '.join(said)}"
            raise broken(what, "remove one, or make two clusters and give routes `weights`", said[1])
        if not said and not self.envoy:
            hint = "write `application`, `container` or `endpoints`, or all of it under `envoy`"
            raise broken("a cluster must say where its requests go", hint)
        if self.port is not None and not (self.application or self.container):
            raise broken("`port` names a port of `application` or `container`", "write it into `endpoints`", "port")
        for i, endpoint in enumerate(self.endpoints):
            if not 1 <= int(endpoint.rpartition(":")[2]) <= 65535:
                raise broken(f"{endpoint!r} has no port number", "write address:port, with a port up to 65535", "endpoints", i)
        return self

    def upstream_references(self, *path: str | int) -> Iterator[Reference]:
        if self.application:
            yield Reference((*path, "application"), ("Application",), self.application)
        if self.container:
            yield Reference((*path, "container"), ("Container",), self.container)


class InlineCluster(Upstream):
    """A cluster of this Configuration alone."""

    name: XdsName
    """The name by which routes speak of it."""
