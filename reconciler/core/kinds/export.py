"""The kinds as JSON Schemas: one per kind for a whole document, and one for any document, for editors and other tools."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from reconciler.core.kinds import KINDS
from reconciler.core.kinds.document import document_model
from reconciler.core.kinds.environment import KIND, Environment
from reconciler.core.kinds.part import told
from reconciler.core.kinds.spec import Spec

DIALECT = "https://json-schema.org/draft/2020-12/schema"
FLEET = "fleet.json"


class _Plain(GenerateJsonSchema):
    """Pydantic's schemas without the titles it makes up from names."""

    schema_dialect = DIALECT

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def model_schema(self, schema: Any) -> dict[str, Any]:
        """With what stands below each field."""
        made: dict[str, Any] = super().model_schema(schema)
        model: type[BaseModel] = schema["cls"]
        for name, text in told(model).items():
            field = model.model_fields[name]
            if field.description is None:
                made["properties"][field.alias or name]["description"] = text
        return made


def schemas(kinds: Mapping[str, type[Spec]] = KINDS) -> dict[str, dict[str, Any]]:
    """File name ⇒ schema."""
    # No resource of a fleet, and written in the same files all the same.
    kinds = {**kinds, KIND: Environment}
    result = {f"{kind.lower()}.json": _document(kind, spec) for kind, spec in kinds.items()}
    result[FLEET] = {
        "$schema": DIALECT,
        "title": "A document of a Convoy fleet",
        "description": "One document of any kind; `kind` says which.",
        "type": "object",
        "required": ["apiVersion", "kind", "metadata"],
        "properties": {"kind": {"enum": list(kinds), "description": "What kind of thing this document declares."}},
        # Told apart by `kind` first (a plain `oneOf` would not be), so that an editor complains about the one field that is
        # wrong and not about ten kinds.
        "allOf": [
            {"if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]}, "then": {"$ref": f"{kind.lower()}.json"}}
            for kind in kinds
        ],
    }
    return result


def _document(kind: str, spec: type[Spec]) -> dict[str, Any]:
    schema = document_model(kind, spec).model_json_schema(by_alias=True, schema_generator=_Plain)
    _each(schema, _tidy)
    head: dict[str, Any] = {"$schema": DIALECT, "title": kind}
    # First what a person looks for.
    body: dict[str, Any] = {key: schema.pop(key) for key in ("description", "type", "required", "properties") if key in schema}
    return {**head, **body, **schema, "examples": [spec.example]}


def _tidy(schema: dict[str, Any]) -> None:
    if isinstance(schema.get("title"), str):
        # Our classes' names are for whoever reads the code.
        del schema["title"]
    if isinstance(schema.get("patternProperties"), dict):
        # Or a key that does not fit the pattern would be welcome with any value.
        schema["additionalProperties"] = False
    if schema.get("default", ...) is None:
        del schema["default"]


def _each(schema: Any, change: Callable[[dict[str, Any]], None]) -> None:
    waiting = [schema]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting += one.values()
            change(one)
        elif isinstance(one, list):
            waiting += one
