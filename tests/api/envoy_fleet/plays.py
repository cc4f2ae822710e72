"""What has to be there before the documented example of an operation can be played: a line for each that is served."""

import time

from reconciler.core.readings import Reading
from tests.api.envoy_fleet.certificates import uploaded, used_by_a_listener
from tests.api.envoy_fleet.edges import edge_fleet, proxy
from tests.api.envoy_fleet.playing import Dialect, Play, Prepare


def nothing(_: Dialect) -> Play:
    return Play()


def cluster(dialect: Dialect) -> Play:
    """One that bears another name than the documented one."""
    return Play({"id": dialect.made("clusters.create", {"name": "service-a"})["id"]}, {"lb_policy": "LEAST_REQUEST"})


def endpoint(dialect: Dialect) -> Play:
    return Play(cluster(dialect).ids)


def deployment(dialect: Dialect) -> Play:
    """The documented strategy is refused (test_deployments.py); the rest of the example is played."""
    version = edge_fleet(dialect)[1]
    proxies = [proxy(dialect, name) for name in ("edge-1", "edge-2")]
    return Play(body={"proxy_ids": proxies, "version_id": version, "deployment_strategy": "all_at_once"})


def deployed(dialect: Dialect) -> Play:
    made = dialect.made("deployments.create", deployment(dialect).body)
    # Nobody is a canary.
    return Play({"id": made["id"]}, absent=frozenset({"canary_status"}))


def measured(dialect: Dialect) -> Play:
    """A proxy that served something in every minute of the last hour."""
    edge_fleet(dialect)
    minute = int(time.time()) // 60 * 60
    every = {("Proxy/edge-1", minute - 60 * n): Reading(600, 6, 60_000, 3, 1, {300: 600}) for n in range(1, 61)}
    dialect.store.readings.write(every, {}, minute)
    return Play({"id": proxy(dialect, "edge-1")}, query={"resolution": "5m"})


def upload(dialect: Dialect) -> Play:
    """With PEM that is whole: the document's is cut short."""
    return Play(body=uploaded(dialect))


def certificate(dialect: Dialect) -> Play:
    made = dialect.made("certificates.upload", uploaded(dialect))
    used_by_a_listener(dialect, made["name"])
    return Play({"id": made["id"]})


PLAYS: dict[str, Prepare] = {
    "certificates.list": nothing,
    "certificates.upload": upload,
    "certificates.get": certificate,
    "clusters.list": nothing,
    "clusters.create": nothing,
    "clusters.update": cluster,
    "clusters.endpoints.add": endpoint,
    "deployments.create": deployment,
    "deployments.list": nothing,
    "deployments.status": deployed,
    "health.get": nothing,
    "metrics.cluster": endpoint,
    "metrics.proxy": measured,
    "metrics.system": nothing,
    "openapi.get": nothing,
}
