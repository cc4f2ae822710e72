"""Many at once (section 15): which kinds of resources can be deleted so, and what is changed of proxies."""

from collections.abc import Iterable, Mapping
from typing import Any

from api.surfaces.envoy_fleet.mapping import certificates, clusters, containers, deployments, virtual_machines, webhooks
from reconciler.core.declared import Declared
from reconciler.core.model import Ref
from reconciler.core.proposal import Change

PROXY = "Proxy"
# A resource type, as paths have it ⇒ its kind, and the word for one.
TYPES: Mapping[str, tuple[str, str]] = {
    "certificates": (certificates.KIND, "certificate"),
    "clusters": (clusters.KIND, "cluster"),
    "configurations": ("Configuration", "configuration"),
    "containers": (containers.KIND, "container"),
    "deployments": (deployments.KIND, "deployment"),
    "proxies": (PROXY, "proxy"),
    "virtual-machines": (virtual_machines.KIND, "virtual machine"),
    "virtual_machines": (virtual_machines.KIND, "virtual machine"),
    "webhooks": (webhooks.KIND, "webhook"),
}
# Whoever may make them may delete them.
FOR_ADMINS = frozenset({"certificates", "webhooks"})


def belongs(type: str, declared: Declared) -> bool:
    """Whether what is of the kind is of the type too."""
    return type != "webhooks" or webhooks.is_webhook(declared)


def standing(proxies: Iterable[Declared], cluster: str | None) -> tuple[Change, ...]:
    """Before this cluster, or None."""
    return tuple(Change("patch", Ref.parse(one.ref), {"spec": {"cluster": cluster}}) for one in proxies)


def deleted(every: Iterable[Declared]) -> tuple[Change, ...]:
    return tuple(Change("delete", Ref.parse(one.ref)) for one in every)


def result(ids: Iterable[str], status: str) -> dict[str, Any]:
    results = [{"id": id, "status": status} for id in ids]
    return {"total": len(results), "succeeded": len(results), "failed": 0, "results": results}
