"""Clusters and their endpoints (section 7)."""

from typing import Any

from api.surfaces.envoy_fleet.mapping import clusters as mapping
from api.surfaces.envoy_fleet.operations import Answer, Asked, Operations, tagged

KIND, WORD = mapping.KIND, "cluster"


def add(served: Operations) -> None:
    @served("clusters.list")
    def every(asked: Asked) -> dict[str, Any]:
        kind = asked.query.get("type")
        return asked.resources(KIND, mapping.shown, {("spec", "envoy", "type"): kind} if kind else {})

    @served("clusters.create")
    def create(asked: Asked) -> Answer:
        made = asked.make(mapping.created(asked.body, asked.account.tenant)).declared
        return tagged(made, mapping.shown(made))

    @served("clusters.update")
    def update(asked: Asked, id: str) -> Answer:
        made = asked.changed(lambda: mapping.changed(asked.body, asked.find(KIND, id, WORD))).declared
        return tagged(made, mapping.shown(made))

    @served("clusters.endpoints.add")
    def add_endpoint(asked: Asked, id: str) -> Answer:
        made = asked.changed(lambda: mapping.endpoint_added(asked.body, asked.find(KIND, id, WORD))).declared
        at = asked.body["address"], asked.body["port"]
        (one,) = (one for one in mapping.endpoints(made) if (one["address"], one["port"]) == at)
        return tagged(made, one)
