"""A rule of a person's own about the health of things."""

from typing import Literal

from pydantic import Field

from reconciler.core.kinds.part import Part

Judged = Literal[
    "Container", "Application", "Proxy", "ProxyGroup", "Configuration", "Cluster", "VirtualHost", "Certificate", "Host"
]


class HealthRule(Part):
    """What must hold of each resource of a kind, and how it fares where that does not hold."""

    kind: Judged
    """Of which kind."""
    select: str | None = Field(None, min_length=1, max_length=400)
    """Which of them: `app/web-*`, `team=shop`; a comma means "and". Left out: all."""
    expression: str = Field(min_length=1, max_length=1000)
    """In CEL (https://cel.dev), true while all is well: `healthy >= replicas - 1 && restarts < 5`.

    Of every kind there are `name`, `tenant`, `labels`, `status` and `message`. Container: `there`, `state`, `check`, `said`,
    `restarts`, `exit`, `ended`, `failedChecks`, `latencyMs`. Proxy: these, and `connected`, `synced`, `waits`, `shared`.
    Application: `replicas`, `healthy`, `starting`, `unhealthy`, `restarts`, `worst`. ProxyGroup, Configuration, Cluster,
    VirtualHost: `proxies`, `connected`, `inForce`, `endpoints`, `healthyEndpoints`, `empty`, `bare`.
    Certificate: `known`, `daysLeft`, `madeHere`.
    Host: `seen`, `blind`, `state`, `workloads`.
    """
    status: Literal["degraded", "unhealthy"] = "unhealthy"
    """What it is called where the expression is not true. A rule never calls anything better than it is without it."""
    message: str = Field("", max_length=200)
    """Why, for whoever looks; left out, the expression itself."""
