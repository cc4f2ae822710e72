"""The groups of operations that are served: a line each."""

from types import ModuleType

from api.surfaces.envoy_fleet.routes import (
    audit,
    auth,
    bulk,
    certificates,
    clusters,
    configurations,
    containers,
    deployments,
    metrics,
    proxies,
    streams,
    system,
    virtual_machines,
    webhooks,
)

GROUPS: tuple[ModuleType, ...] = (
    audit,
    auth,
    bulk,
    certificates,
    clusters,
    configurations,
    containers,
    deployments,
    metrics,
    proxies,
    streams,
    system,
    virtual_machines,
    webhooks,
)
