"""What is taken and answered, as schemas (schemas/<group>.yaml): bodies and parameters are checked by them, and the OpenAPI
document is made of them, so that it is true."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, ValidationError
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from api.surfaces.envoy_fleet import pages
from api.surfaces.envoy_fleet.contract import Operation, operations, read
from api.surfaces.envoy_fleet.wire import Invalid
from reconciler.core.near import did_you_mean, listing

ROOT = "urn:convoy:envoy-fleet"
# What every change takes (api/changes.py), in words of this dialect's parameters.
CHANGES: dict[str, dict[str, Any]] = {
    "dry_run": {"type": "boolean", "default": False, "description": "Answer with what would be done, and do nothing"},
    "wait": {
        "type": "string",
        "enum": ["committed", "synced"],
        "default": "committed",
        "description": "Answer when it is committed, or when it is carried out too",
    },
    "mode": {
        "type": "string",
        "enum": ["commit", "pull-request"],
        "default": "commit",
        "description": "Commit it, or open a pull request with it",
    },
    "timeoutSeconds": {"type": "integer", "default": 20, "min": 1, "max": 60, "description": "How long to wait for `synced`"},
    "message": {"type": "string", "max": 500, "description": "The commit's title"},
}
# A parameter that says nothing of its own.
LONGEST_PARAMETER = 256
TYPES = {
    "object": "an object",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}
WORDS = {
    "minimum": "must be at least {}",
    "maximum": "must be at most {}",
    "minLength": "must have at least {} characters",
    "maxLength": "must have at most {} characters",
    "minItems": "must have at least {} entries",
    "maxItems": "must have at most {} entries",
    "minProperties": "must have at least {} members",
    "maxProperties": "must have at most {} members",
    "uniqueItems": "must not hold the same twice",
}


@dataclass(frozen=True, slots=True)
class Shape:
    """What one operation takes and answers. `request` and `answer` are names of schemas, "" for none; `sorts` what a list can
    be sorted by (() where it is no list); `changes`: it takes what every change does; `success`: another status than the
    contract's first; `tagged`: what is read has an ETag."""

    request: str = ""
    answer: str = ""
    sorts: tuple[str, ...] = ()
    query: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    changes: bool = False
    success: int | None = None
    tagged: bool = False


@cache
def _groups() -> tuple[Mapping[str, Any], ...]:
    """Each group's file, by its name."""
    files = sorted((Path(__file__).parent / "schemas").glob("*.yaml"))
    return tuple(read(file) for file in files)


@cache
def schemas() -> Mapping[str, Any]:
    """Name ⇒ schema, as OpenAPI 3.0 writes them."""
    return {name: schema for group in _groups() for name, schema in (group.get("schemas") or {}).items()}


@cache
def shapes() -> Mapping[str, Shape]:
    """By operation id, of those that some group serves."""
    return {id: _shape(operations()[id], said or {}) for group in _groups() for id, said in group["operations"].items()}


def _shape(operation: Operation, said: Mapping[str, Any]) -> Shape:
    query = dict(operation.query) | dict(said.get("query") or {})
    sorts = tuple(said.get("sorts") or ())
    if sorts:
        own = pages.PARAMETERS | {"sort_by": {"type": "string", "enum": list(sorts), "description": "Sort field"}}
        query = query | own
    # What proposes commits takes what every such change takes.
    changes = bool(said.get("changes", operation.writes))
    if changes:
        query |= CHANGES
    return Shape(
        said.get("request", ""), said.get("answer", ""), sorts, query, changes, said.get("success"), bool(said.get("tagged"))
    )


def parameters(shape: Shape, given: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Name ⇒ value of what was given. Raises Invalid."""
    found: dict[str, Any] = {}
    for name, texts in given.items():
        if name not in shape.query:
            hint = did_you_mean(
                name, shape.query, f"there is {listing(sorted(shape.query))}" if shape.query else "there is none"
            )
            raise Invalid(name, f"there is no such parameter here: {hint}")
        if len(texts) > 1:
            raise Invalid(name, "it is given more than once")
        found[name] = _value(name, texts[0], shape.query[name])
    return found


def _value(name: str, text: str, about: Mapping[str, Any]) -> Any:
    kind, known, most = about["type"], about.get("enum"), about.get("max")
    if kind == "integer":
        least = about.get("min", 1)
        if not (text.isascii() and text.isdecimal() and len(text) < 12 and least <= int(text) <= (most or 10**11)):
            raise Invalid(name, f"must be a whole number from {least}" + (f" to {most}" if most else ""))
        return int(text)
    if kind == "boolean":
        if text not in ("true", "false"):
            raise Invalid(name, "must be true or false")
        return text == "true"
    if known and text not in known:
        raise Invalid(name, f"must be one of {', '.join(known)}")
    if len(text) > (most or LONGEST_PARAMETER) or not text.isprintable():
        raise Invalid(name, f"must be at most {most or LONGEST_PARAMETER} characters that can be seen")
    return text


def check(name: str, body: Any) -> None:
    """Holds a body against a schema; raises Invalid for the first member that does not fit, never with what was sent."""
    first = min(_validator(name).iter_errors(body), key=_outermost, default=None)
    if first is not None:
        raise _invalid(first)


def fits(name: str, body: Any) -> bool:
    return bool(_validator(name).is_valid(body))


def _outermost(error: ValidationError) -> Any:
    """The outermost first, and of those the first by name."""
    return len(error.absolute_path), [str(step) for step in error.absolute_path], str(error.validator), error.message


@cache
def _validator(name: str) -> Any:
    whole = {"components": {"schemas": {one: _today(schema) for one, schema in schemas().items()}}}
    registry: Any = Registry().with_resource(ROOT, Resource.from_contents(whole, default_specification=DRAFT202012))
    return Draft202012Validator({"$ref": f"{ROOT}#/components/schemas/{name}"}, registry=registry)


def _today(schema: Any) -> Any:
    """OpenAPI 3.0's `nullable` in words of JSON Schema; and references to a document that has a name."""
    if isinstance(schema, list):
        return [_today(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: _today(one) for name, one in schema.items() if name != "nullable"}
    if schema.get("nullable"):
        return {"anyOf": [{"type": "null"}, found]}
    if isinstance(schema.get("$ref"), str):
        found["$ref"] = f"{ROOT}{schema['$ref']}"
    return found


def _invalid(error: ValidationError) -> Invalid:
    at, rule, value, schema, given = list(error.absolute_path), str(error.validator), *_said(error)
    if rule == "required":
        missing = next(name for name in value if name not in given)
        return Invalid(dotted([*at, missing]), "is required")
    if rule == "additionalProperties":
        known = sorted(schema.get("properties", ()))
        extra = min(str(name) for name in given if name not in known)
        return Invalid(dotted([*at, extra]), f"is not known here: {did_you_mean(extra, known, f'there is {listing(known)}')}")
    if rule in WORDS:
        return Invalid(dotted(at), WORDS[rule].format(value))
    if rule == "type":
        return Invalid(dotted(at), f"must be {TYPES.get(value, value)}")
    if rule == "enum":
        return Invalid(dotted(at), f"must be one of {listing(map(str, value), 40)}")
    # Whatever else there is: the schema says in words what it wants.
    return Invalid(dotted(at), f"must be {schema.get('description', 'otherwise')}")


def _said(error: ValidationError) -> tuple[Any, Any, Any]:
    return error.validator_value, error.schema, error.instance


def dotted(path: Sequence[str | int]) -> str:
    """`health_checks[0].path`"""
    found = ""
    for step in path:
        found += f"[{step}]" if isinstance(step, int) else f".{step}" if found else str(step)
    return found or "body"
