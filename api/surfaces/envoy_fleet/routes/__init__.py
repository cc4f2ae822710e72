"""The groups of operations that are served: a line each."""

from types import ModuleType

from api.surfaces.envoy_fleet.routes import clusters, deployments, system

GROUPS: tuple[ModuleType, ...] = (
    clusters,
    deployments,
    system,
)
