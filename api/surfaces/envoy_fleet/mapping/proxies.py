"""Proxies as section 6 writes them: in a list, and with the configuration that one of them serves."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parseaddr
from functools import lru_cache
from typing import Any

import orjson

from api.readings import LATEST
from api.surfaces.envoy_fleet.mapping.configurations import counts
from api.surfaces.envoy_fleet.wire import moment
from reconciler.core.bootstrap import bootstrap
from reconciler.core.declared import Declared
from reconciler.core.delivery import Standing
from reconciler.core.health import ORDER
from reconciler.core.kinds.proxygroup import ProxyGroup
from reconciler.core.masked import shown
from reconciler.core.show_forms import STATUSES

# How a proxy fares in the document's words ⇒ in Convoy's; None is for one that nobody has looked at yet.
WORDS: Mapping[str, frozenset[str | None]] = {
    "healthy": frozenset({"healthy"}),
    "unhealthy": frozenset({"degraded", "unhealthy"}),
    "unknown": frozenset({None, *(word for word in ORDER if word not in STATUSES)}),
}
# The bootstraps of groups that were asked about lately.
MOST_GROUPS = 256


@dataclass(frozen=True, slots=True)
class Active:
    """One version of a Configuration: `uid` is the Configuration's, `id` and `n` are its own."""

    uid: str
    id: str
    n: int
    author: str
    at: float
    message: str
    document: Mapping[str, Any] = field(repr=False)
    digest: str

    @property
    def spec(self) -> Mapping[str, Any]:
        spec = self.document.get("spec")
        return spec if isinstance(spec, Mapping) else {}


@dataclass(frozen=True, slots=True)
class Fares:
    """How one proxy fares: the row of its status, where it stands with what it is told, and when that was looked at."""

    status: Mapping[str, Any] | None
    standing: Standing | None
    now: float


def listed(
    proxy: Declared, active: Active | None, fares: Fares, metrics: Mapping[str, float | None], cluster: str | None = None
) -> dict[str, Any]:
    """An entry of 6.1; `cluster` is the uid of the Cluster that it says it stands before. What Convoy does not know is null: it
    knows its Envoys' admin pages, which have a path and no port."""
    standing = fares.standing
    return {
        "id": proxy.uid,
        "proxy_id": proxy.name,
        "container_id": None,
        "cluster_id": cluster,
        "version": (standing.envoy or None) if standing is not None else None,
        "status": fared(fares.status),
        "admin_address": instance(fares.status).get("address"),
        "admin_port": None,
        "configuration": counts(active.spec if active is not None else {}),
        "metrics": {name: metrics.get(name) for name in LATEST},
        "last_heartbeat": moment(_heard(standing, fares.now)),
        "created_at": moment(proxy.created),
    }


def cluster_of(proxy: Declared) -> str:
    """The name of the Cluster that it says it stands before, or ""."""
    return str(proxy.spec.get("cluster") or "")


def fared(status: Mapping[str, Any] | None) -> str:
    return STATUSES.get(str((status or {}).get("health")), "unknown")


def instance(status: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The Envoy that serves for it, as it was seen last."""
    found = (status or {}).get("instances")
    return found[0] if isinstance(found, list) and found and isinstance(found[0], Mapping) else {}


def _heard(standing: Standing | None, now: float) -> float | None:
    """As long as its stream is open it is heard; after that, when it ended."""
    if standing is None:
        return None
    return now if standing.connected else standing.at


def shown_configuration(
    proxy: Declared,
    name: str,
    group: Declared | None,
    active: Active,
    fares: Fares,
    delivered: Mapping[str, Any],
    static: Any,
) -> dict[str, Any]:
    """The object of 6.2; `delivery` is an addition of ours (EF-C12), `static` what static_resources says of this one."""
    ours = _bootstrap(group.digest, orjson.dumps(group.document).decode()) if group is not None else {}
    admin = dict(ours.get("admin") or {})
    path = (instance(fares.status).get("ports") or {}).get("admin")
    if "address" in admin:
        admin["address"] = {"pipe": {"path": path}} if isinstance(path, str) else {}
    return {
        "id": active.uid,
        "proxy_id": proxy.uid,
        "name": name,
        "active_version": {
            "id": active.id,
            "version_number": active.n,
            "created_by": parseaddr(active.author)[1] or active.author or None,
            "created_at": moment(active.at),
            "change_description": active.message or None,
        },
        "static_resources": static,
        "dynamic_resources": dict(ours.get("dynamic_resources") or {}),
        "admin_config": admin,
        "delivery": dict(delivered),
    }


@lru_cache(maxsize=MOST_GROUPS)
def _bootstrap(digest: str, document: str) -> Mapping[str, Any]:
    """What the Envoys of this group start with, but for what they prove themselves by."""
    del digest
    text, _, _ = bootstrap(ProxyGroup.model_validate(json.loads(document).get("spec") or {}), "")
    found: dict[str, Any] = json.loads(text) if text else {}
    for service in ((found.get("dynamic_resources") or {}).get("ads_config") or {}).get("grpc_services", ()):
        service.pop("initial_metadata", None)
    return dict(shown(found))


def delivery(active: Active, fares: Fares, refused: Mapping[str, Any] | None, *, seen: bool) -> dict[str, Any]:
    """Whether the proxy runs this version (EF-C12).

    `seen`: the revision in force is what proxies are told. `refused` is the status row of the Configuration.
    """
    standing, why = fares.standing, None
    if refused is not None and refused.get("sync") == "refused":
        state, why = "refused", str(refused.get("why") or "") or None
    elif standing is None or not standing.connected:
        state = "not_connected"
    elif seen and standing.synced and standing.current:
        state = "acknowledged"
    else:
        state = "pending"
    return {"version_id": active.id, "state": state, "message": why}
