"""The groups of operations that are served: a line each."""

from types import ModuleType

from api.surfaces.envoy_fleet.routes import (
    audit,
    auth,
    certificates,
    clusters,
    configurations,
    deployments,
    metrics,
    proxies,
    streams,
    system,
    webhooks,
)

GROUPS: tuple[ModuleType, ...] = (
    audit,
    auth,
    certificates,
    clusters,
    configurations,
    deployments,
    metrics,
    proxies,
    streams,
    system,
    webhooks,
)
