"""What has to be there before the documented example of an operation can be played: a line for each that is served."""

from tests.api.envoy_fleet.playing import Dialect, Play, Prepare


def nothing(_: Dialect) -> Play:
    return Play()


def cluster(dialect: Dialect) -> Play:
    """One that bears another name than the documented one."""
    return Play({"id": dialect.made("clusters.create", {"name": "service-a"})["id"]}, {"lb_policy": "LEAST_REQUEST"})


def endpoint(dialect: Dialect) -> Play:
    return Play(cluster(dialect).ids)


PLAYS: dict[str, Prepare] = {
    "clusters.list": nothing,
    "clusters.create": nothing,
    "clusters.update": cluster,
    "clusters.endpoints.add": endpoint,
    "health.get": nothing,
    "openapi.get": nothing,
}
