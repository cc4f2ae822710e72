"""Metrics of proxies, of clusters and of the whole (section 12)."""

import time
from typing import Any

from api.readings import RECENT_S, over
from api.surfaces.envoy_fleet.mapping import metrics as mapping
from api.surfaces.envoy_fleet.operations import Asked, Operations
from reconciler.core.model import DEFAULT_TENANT, Ref
from reconciler.core.readings import tenant


def add(served: Operations) -> None:
    @served("metrics.proxy")
    def of_proxy(asked: Asked, id: str) -> dict[str, Any]:
        return _of(asked, "Proxy", id, "proxy")

    @served("metrics.cluster")
    def of_cluster(asked: Asked, id: str) -> dict[str, Any]:
        """Over all proxies that are told of it."""
        return _of(asked, "Cluster", id, "cluster")

    @served("metrics.system")
    def of_all(asked: Asked) -> dict[str, Any]:
        """Of all proxies of the account's tenant; what Convoy and its hosts use is for those of the tenant it is run in."""
        readings, own = asked.reach.store.readings, asked.account.tenant
        every = tenant(own)
        span, metrics = mapping.asked(asked.query, time.time())
        found = over(asked.reach.store, every, span, metrics)
        lately = readings.latest([every], int(time.time()) - RECENT_S).get(every)
        now = {"traffic": mapping.latest(lately[1] if lately else None)}
        return mapping.system(readings.system(), own, own == DEFAULT_TENANT) | now | mapping.shown(span, found)


def _of(asked: Asked, kind: str, id: str, word: str) -> dict[str, Any]:
    span, metrics = mapping.asked(asked.query, time.time())
    one = asked.find(kind, id, word)
    subject = str(Ref(kind, one.name, one.tenant))
    return {f"{word}_id": one.uid} | mapping.shown(span, over(asked.reach.store, subject, span, metrics))
