"""Many at once (section 15): all of them by one commit, or none."""

from collections.abc import Sequence
from typing import Any

from api.surfaces.envoy_fleet.mapping import bulk as mapping
from api.surfaces.envoy_fleet.mapping import clusters, virtual_machines
from api.surfaces.envoy_fleet.operations import Asked, Operations
from api.surfaces.envoy_fleet.routes.virtual_machines import cleared, vacant
from api.surfaces.envoy_fleet.wire import Invalid, NotFound
from reconciler.core.declared import Declared
from reconciler.core.proposal import Change


def add(served: Operations) -> None:
    @served("bulk.proxies.update")
    def update(asked: Asked) -> dict[str, Any]:
        ids, updates = asked.body["proxy_ids"], asked.body["updates"]

        def changes() -> tuple[Change, ...]:
            cluster = updates["cluster_id"]
            if cluster is not None:
                try:
                    cluster = asked.find(clusters.KIND, cluster, "cluster").name
                except NotFound as why:
                    raise Invalid("updates.cluster_id", str(why)) from None
            return mapping.standing(_every(asked, "proxy_ids", ids, "proxies"), cluster)

        asked.worked_out(lambda terms: (changes(), terms))
        return mapping.result(ids, "updated")

    @served("bulk.delete")
    def delete(asked: Asked) -> dict[str, Any]:
        type, ids = asked.body["resource_type"], asked.body["ids"]
        if type in mapping.FOR_ADMINS:
            asked.account.needs("admin")

        def changes() -> tuple[Change, ...]:
            found = _every(asked, "ids", ids, type)
            if mapping.TYPES[type][0] == virtual_machines.KIND:
                vacant(asked, [one.name for one in found])
            return mapping.deleted(found)

        cleared(asked, changes)
        return mapping.result(ids, "deleted")


def _every(asked: Asked, field: str, ids: Sequence[str], type: str) -> list[Declared]:
    """Those that are named, each once. Raises Invalid, with every one that is not there."""
    kind, word = mapping.TYPES[type]
    known: dict[str, int] = {}
    found, wrong = [], []
    for number, id in enumerate(ids):
        one = asked.look(kind, id)
        if one is None or not mapping.belongs(type, one):
            wrong.append((f"{field}[{number}]", f"there is no such {word}"))
        elif one.ref in known:
            wrong.append((f"{field}[{number}]", f"is the same {word} as {field}[{known[one.ref]}]"))
        else:
            known[one.ref] = number
            found.append(one)
    if wrong:
        raise Invalid(*wrong[0], wrong)
    return found
