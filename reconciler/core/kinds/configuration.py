"""Configuration: what Envoys are told."""

from collections.abc import Iterator
from typing import Any, ClassVar

from reconciler.core.kinds.spec import Reference, Spec
from reconciler.core.kinds.traffic import InlineCluster, Listener, Routes


class Configuration(Spec):
    """What Envoys are told: listeners, routes, and clusters of their own, in one document with one history."""

    example: ClassVar[dict[str, Any]] = {
        "apiVersion": "convoy/v1",
        "kind": "Configuration",
        "metadata": {"name": "edge"},
        "spec": {
            "listeners": [{"name": "http", "port": 10000, "routes": "main"}],
            "routes": [{"name": "main", "virtualHosts": [{"routes": [{"prefix": "/", "weights": {"web": 90, "ledger": 10}}]}]}],
        },
    }

    listeners: tuple[Listener, ...] = ()
    """Where Envoys listen."""
    routes: tuple[Routes, ...] = ()
    """Route configurations, by the names that listeners speak of."""
    clusters: tuple[InlineCluster, ...] = ()
    """Upstreams that only this Configuration has."""

    def references(self) -> Iterator[Reference]:
        own = {cluster.name for cluster in self.clusters}
        for i, listener in enumerate(self.listeners):
            if listener.tls:
                yield Reference(("listeners", i, "tls", "certificate"), ("Certificate",), listener.tls.certificate)
        for i, cluster in enumerate(self.clusters):
            yield from cluster.upstream_references("clusters", i)
        for i, routes in enumerate(self.routes):
            for j, host in enumerate(routes.virtual_hosts):
                for k, route in enumerate(host.routes):
                    at = ("routes", i, "virtualHosts", j, "routes", k)
                    if route.cluster and route.cluster not in own:
                        yield Reference((*at, "cluster"), ("Cluster", "Application"), route.cluster)
                    for name in route.weights or ():
                        if name not in own:
                            yield Reference((*at, "weights", name), ("Cluster", "Application"), name)
