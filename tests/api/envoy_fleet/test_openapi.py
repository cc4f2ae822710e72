"""The OpenAPI document is of what is served: all of it, nothing else, with schemas that what is documented fits."""

from collections.abc import Iterator
from typing import Any

from api.surfaces.envoy_fleet import openapi, shapes
from api.surfaces.envoy_fleet.contract import operations
from tests.api.envoy_fleet.playing import Dialect, served


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        node = list(node.values())
    if isinstance(node, list):
        for one in node:
            yield from references(one)


def test_of_what_is_served(dialect: Dialect) -> None:
    """Each operation at its documented path, with an id; every reference leads somewhere."""
    said = dialect.made("openapi.get", role="viewer")
    assert said["openapi"] == "3.0.3"
    every = {one["operationId"]: (path, method) for path, at in said["paths"].items() for method, one in at.items()}
    assert every == {id: (operations()[id].path, operations()[id].method.lower()) for id in served(dialect.reach)}
    for reference in set(references(said)):
        found = said
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]
    assert dialect.ask("openapi.get", Authorization="Bearer nobody").status_code == 401


def test_where_it_is_served() -> None:
    """Under the surface's own name its URLs begin there."""
    assert openapi.document(["health.get"], "")["servers"] == [{"url": "/"}]
    assert openapi.document(["health.get"], "/envoy-fleet")["servers"] == [{"url": "/envoy-fleet"}]


def test_parameters_and_terms(dialect: Dialect) -> None:
    """A list takes both paginations; a change takes its terms, and may be answered with a plan."""
    said = dialect.made("openapi.get")["paths"]
    names = {one["name"]: one["schema"] for one in said["/api/v1/clusters"]["get"]["parameters"]}
    assert {"page", "per_page", "cursor", "limit", "sort_by", "order"} <= names.keys()
    assert names["per_page"] == {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}
    create = said["/api/v1/clusters"]["post"]
    assert {"dry_run", "wait", "Idempotency-Key", "If-Match"} <= {one["name"] for one in create["parameters"]}
    assert {"200", "201", "202", "409", "412", "422", "429", "503"} <= create["responses"].keys()
    assert create["requestBody"]["content"]["application/json"]["example"]["name"] == "service-a-cluster"


def test_every_schema_is_used() -> None:
    """And every one that a group names is there."""
    known = shapes.schemas()
    named = {one for shape in shapes.shapes().values() for one in (shape.request, shape.answer) if one}
    named |= {reference.rpartition("/")[2] for reference in references(dict(known))}
    assert named == known.keys()
