"""schemas/ is what the kinds say, and says the same as loading does."""

import json
from typing import Any

import jsonschema
import pytest
import yaml
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from reconciler.core.envelope import check
from reconciler.core.kinds import KINDS
from reconciler.core.kinds.export import FLEET, schemas
from reconciler.core.layers import KINDS as ENVIRONMENTS
from reconciler.core.parse import parse
from reconciler.core.validate import validate
from reconciler.schemas import DIRECTORY, write, written


def judge(name: str) -> jsonschema.Draft202012Validator:
    """The schema of this file, with the others beside it as an editor finds them."""
    registry: Registry[Any] = Registry().with_resources(
        (file, Resource.from_contents(schema, default_specification=DRAFT202012)) for file, schema in schemas().items()
    )
    return jsonschema.Draft202012Validator(schemas()[name], registry=registry)


def test_the_files_are_what_the_kinds_say() -> None:
    """Who changes a kind runs `make schemas`, and review sees what it means for everybody's files."""
    there = {file.name: file.read_text(encoding="utf-8") for file in DIRECTORY.glob("*.json")}
    assert there == written(), "run `make schemas`"


def test_writing_leaves_exactly_the_schemas(tmp_path: Any) -> None:
    """A kind that is gone takes its schema with it; other files stay."""
    (tmp_path / "gone.json").write_text("{}")
    (tmp_path / "README.md").write_text("mine")
    write(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {*written(), "README.md"}


@pytest.mark.parametrize("name", schemas())
def test_every_schema_is_one(name: str) -> None:
    """Each is sound JSON Schema 2020-12."""
    jsonschema.Draft202012Validator.check_schema(schemas()[name])
    assert json.loads((DIRECTORY / name).read_text(encoding="utf-8"))["$schema"].endswith("2020-12/schema")


@pytest.mark.parametrize("kind", [*KINDS, "Environment"])
def test_everything_is_described_and_shown(kind: str) -> None:
    """An editor can say something about every field, and shows an example document that the schema accepts."""
    schema = schemas()[f"{kind.lower()}.json"]
    waiting: list[tuple[str, Any]] = [(kind, schema)]
    while waiting:
        place, one = waiting.pop()
        if isinstance(one, list):
            waiting += [(place, inner) for inner in one]
        if isinstance(one, dict):
            for name, field in one.get("properties", {}).items():
                assert isinstance(field, dict)
                assert field.get("description"), f"{place}: {name} has no description"
            waiting += [(f"{place}.{key}", inner) for key, inner in one.items() if key != "examples"]
    assert schema["description"]
    assert schema["examples"]
    for example in schema["examples"]:
        judge(f"{kind.lower()}.json").validate(example)
        judge(FLEET).validate(example)


def test_the_examples_together_are_a_fleet() -> None:
    """They name each other, so all of them in one file have no Problem."""
    text = "---\n".join(yaml.safe_dump(model.example, sort_keys=False) for model in KINDS.values())
    validated = validate(parse("examples.yaml", "", text.encode()).documents)
    assert validated.problems == ()
    assert {ref.kind for ref in validated.resources} == set(KINDS)


@pytest.mark.parametrize(
    ("kind", "spec", "sound"),
    [
        ("Host", {}, True),
        ("Host", {"driver": "process", "address": "10.0.0.1"}, True),
        ("Host", {"drivr": "process"}, False),
        ("Host", {"ports": 5}, False),
        ("Container", {}, False),
        ("Container", {"command": ["x"], "environment": {"A": "1"}, "files": {"a/b": "c"}}, True),
        ("Container", {"command": ["x"], "environment": {"A B": "1"}}, False),
        ("Container", {"command": ["x"], "files": {"../b": "c"}}, False),
        ("Container", {"command": ["x"], "files": {"/b": "c"}}, False),
        ("Container", {"command": ["x"], "files": {"a//b": "c"}}, False),
        ("Container", {"command": ["x"], "files": {"a/..": "c"}}, False),
        ("Container", {"command": ["x"], "files": {"..a/b..": "c"}}, True),
        ("Container", {"command": "x"}, False),
        ("Container", {"command": ["x"], "ports": [{}], "check": {"http": {}}}, True),
        ("Container", {"command": ["x"], "ports": [{}], "check": {"http": {}, "tcp": {}}}, False),
        ("Container", {"command": ["x"], "check": {}}, False),
        ("Application", {"command": ["x"], "replicas": "2"}, False),
        ("Application", {"command": ["x"], "replicas": True}, False),
        ("Proxy", {"group": "edge", "ports": {"http": 70000}}, False),
        ("VirtualHost", {"group": "a", "port": 1, "domains": ["a"], "backend": "b"}, True),
        ("VirtualHost", {"group": "a", "port": 1, "domains": ["a"]}, False),
        ("VirtualHost", {"group": "a", "port": 1, "domains": [], "backend": "b"}, False),
        ("Certificate", {"selfSigned": {"names": ["a"]}}, True),
        ("Certificate", {}, False),
        ("Configuration", {"listeners": [{"name": "a", "envoy": {"anything": [1, {"b": None}]}}]}, True),
    ],
)
def test_schema_and_loading_agree(kind: str, spec: dict[str, Any], sound: bool) -> None:
    """What an editor accepts is accepted, and what it refuses is refused, as far as one document can tell."""
    document = {"apiVersion": "convoy/v1", "kind": kind, "metadata": {"name": "x"}, "spec": spec}
    assert judge(f"{kind.lower()}.json").is_valid(document) is sound
    assert judge(FLEET).is_valid(document) is sound
    text = yaml.safe_dump(document, sort_keys=False)
    assert validate(parse("x.yaml", "", text.encode()).documents).whole is sound


@pytest.mark.parametrize(
    ("spec", "sound"),
    [
        ({}, True),
        ({"bases": ["../base"], "values": {"a": 1, "b": [True, "x", 0.5]}, "labels": {"a": "b"}}, True),
        ({"bases": "../base"}, False),
        ({"values": {"a": None}}, False),
        ({"values": {"a": [["x"]]}}, False),
        ({"variables": {"a": {}, "b": {"type": "list", "of": "integer", "minimum": 1}}}, True),
        ({"variables": {"1a": {}}}, False),
        ({"variables": {"a": {"type": "object"}}}, False),
        ({"patches": [{"target": {"name": "web"}, "merge": {"spec": {"a": None}}}]}, True),
        ({"patches": [{"target": {"name": "web"}, "json": [{"op": "remove", "path": "/spec/a"}]}]}, True),
        ({"patches": [{"target": {"kind": "Proxy"}, "delete": True}]}, True),
        ({"patches": [{"target": {"kind": "Proxy"}, "delete": False}]}, False),
        ({"patches": [{"target": {}, "delete": True}]}, False),
        ({"patches": [{"target": {"name": "web"}}]}, False),
        ({"patches": [{"target": {"name": "web"}, "merge": {}, "delete": True}]}, False),
        ({"patches": [{"target": {"name": "web"}, "json": [{"op": "remove", "path": "spec"}]}]}, False),
    ],
)
def test_schema_and_reading_of_an_environment_agree(spec: dict[str, Any], sound: bool) -> None:
    """The same for what is no resource of a fleet and is written in its files all the same."""
    document = {"apiVersion": "convoy/v1", "kind": "Environment", "metadata": {"name": "x"}, "spec": spec}
    assert judge("environment.json").is_valid(document) is sound
    assert judge(FLEET).is_valid(document) is sound
    (parsed,) = parse("environment.yaml", "", yaml.safe_dump(document, sort_keys=False).encode()).documents
    assert (check(parsed, "default", ENVIRONMENTS).problems == ()) is sound


@pytest.mark.parametrize(
    "document",
    [
        {"kind": "Host", "metadata": {"name": "x"}},
        {"apiVersion": "convoy/v1", "kind": "Hots", "metadata": {"name": "x"}},
        {"apiVersion": "convoy/v1", "kind": "Host", "metadata": {"name": "X"}},
        {"apiVersion": "convoy/v1", "kind": "Host", "metadata": {}},
        {"apiVersion": "convoy/v1", "kind": "Host", "metadata": {"name": "x"}, "sepc": {}},
        {"apiVersion": "convoy/v1", "kind": "Host", "metadata": {"name": "x", "uid": "1"}},
    ],
)
def test_envelopes_are_checked_by_the_schema_too(document: dict[str, Any]) -> None:
    """Wrong or missing names, kinds and versions are seen in the editor."""
    assert not judge(FLEET).is_valid(document)
