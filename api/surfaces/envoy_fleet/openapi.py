"""The OpenAPI 3.0.3 document (section 21), made of contract.yaml and schemas/, so that it says what is served and checked."""

from collections.abc import Collection, Mapping
from typing import Any

from api.signing import PREFIX, SIGNATURE, TIMESTAMP
from api.surfaces.envoy_fleet import shapes, signatures, wire
from api.surfaces.envoy_fleet.contract import Operation, contract, operations
from api.surfaces.envoy_fleet.shapes import Shape

# Every answer that is an error, by its status: where anything but the contract's own can come.
ALWAYS = (400, 422, 429, 500, 503)
KNOWN = (401, 403)
CHANGED = (404, 408, 409, 412, 413, 415, 501, 504)
TOLD = {
    101: "The connection is a WebSocket from here on",
    200: "As asked",
    201: "Created",
    202: "Taken, and not carried out yet",
    204: "Done; there is nothing to say",
    304: "It is as If-None-Match says, and not said again",
    400: "What was sent cannot be read",
    401: "Who asks is not known",
    403: "Who asks may not do this",
    404: "There is no such thing for whoever asks",
    405: "This cannot be asked in that way",
    408: "The body has not come in time",
    409: "What is there already is in the way, or has changed meanwhile",
    412: "It is not what If-Match says",
    413: "The body is too long",
    415: "The body is not said to be JSON",
    422: "A member or a parameter cannot be taken as it is: `details` names it",
    426: "This is a WebSocket",
    429: "Too many requests",
    500: "Convoy has failed on this",
    501: "The Convoy that runs knows no such request",
    503: "Not at the moment: again after Retry-After",
    504: "Not answered in time",
}
PATH = {
    "schema": {"type": "string", "minLength": 1},
    "description": "A UUID, a name, or the first 8 digits or more of a UUID",
}
# What a change takes beside its body and parameters (api/changes.py).
TERMS: tuple[dict[str, Any], ...] = (
    {
        "name": "Idempotency-Key",
        "description": "Asking twice under one key is asking once",
        "schema": {"type": "string", "maxLength": 200, "pattern": "^[!-~]*$"},
    },
    {
        "name": "If-Match",
        "description": "The ETag of what is to be changed",
        "schema": {"type": "string"},
    },
    {
        "name": "If-None-Match",
        "description": "It must not be there yet",
        "schema": {"type": "string", "enum": ["*"]},
    },
)
# What who reads may say of what it has.
KNOWN_ALREADY: dict[str, Any] = {
    "name": "If-None-Match",
    "description": "The ETag of what is known already: 304 where it is so still",
    "schema": {"type": "string"},
}
# What one says of what is critical, where that is to be signed (signatures.py).
SIGNED: tuple[dict[str, Any], ...] = (
    {
        "name": TIMESTAMP,
        "description": "When it was signed, in Unix seconds",
        "schema": {"type": "string"},
    },
    {
        "name": SIGNATURE,
        "description": f"`{PREFIX}` and the HMAC-SHA256, in hexadecimal, of method, path with query, {TIMESTAMP} and the "
        "body's SHA-256, a line each",
        "schema": {"type": "string"},
    },
)
ENVELOPE: dict[str, Any] = {
    "Error": {
        "type": "object",
        "additionalProperties": False,
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "additionalProperties": False,
                "required": ["code", "message", "details", "request_id", "timestamp"],
                "properties": {
                    "code": {"type": "string", "enum": sorted({*wire.CODES.values(), *wire.UNSIGNED, "ERROR"})},
                    "message": {"type": "string"},
                    "details": {
                        "type": "object",
                        "properties": {
                            "field": {"type": "string"},
                            "reason": {"type": "string"},
                            "errors": {"type": "array", "items": {}},
                        },
                    },
                    "request_id": {"type": "string", "description": "A UUID, or the X-Request-Id that was sent"},
                    "timestamp": {"type": "string", "format": "date-time"},
                },
            }
        },
    },
    "Pagination": {
        "type": "object",
        "additionalProperties": False,
        "required": ["page", "per_page", "total_pages", "total_items"],
        "properties": {name: {"type": "integer"} for name in ("page", "per_page", "total_pages", "total_items")},
    },
    "Cursor": {
        "type": "object",
        "additionalProperties": False,
        "required": ["next", "previous", "has_more"],
        "properties": {
            "next": {"type": "string", "nullable": True},
            "previous": {"type": "string", "nullable": True},
            "has_more": {"type": "boolean"},
        },
    },
    "Later": {
        "type": "object",
        "description": "What was asked for waits there for people; without an address, it is committed, and not in force yet",
        "additionalProperties": False,
        "required": ["message"],
        "properties": {"message": {"type": "string"}, "pull_request_url": {"type": "string"}},
    },
    "Plan": {"type": "object", "description": "What would be done, for `dry_run`", "additionalProperties": True},
}
HEADERS: dict[str, Any] = {
    "API-Version": {"schema": {"type": "string", "enum": [wire.VERSION]}},
    "X-RateLimit-Limit": {"schema": {"type": "integer"}},
    "X-RateLimit-Remaining": {"schema": {"type": "integer"}},
    "X-RateLimit-Reset": {"description": "Unix seconds", "schema": {"type": "integer"}},
}


def document(ids: Collection[str], base: str) -> dict[str, Any]:
    """Of these operations; `base` is what stands before the documented paths."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in (one for one in operations().values() if one.id in ids):
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, shapes.shapes()[operation.id])
    return {
        "openapi": "3.0.3",
        "info": {"title": contract()["title"], "version": wire.VERSION},
        "servers": [{"url": base or "/"}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted((ENVELOPE | dict(shapes.schemas())).items())),
            "headers": HEADERS,
            "responses": {str(status): _refused(status) for status in wire.CODES},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _operation(operation: Operation, shape: Shape) -> dict[str, Any]:
    said: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.id.split(".")[0]],
        "security": [] if operation.open else [{"bearer": []}],
        "parameters": [*_parameters(operation, shape)],
        "responses": _responses(operation, shape),
    }
    if shape.request:
        body: dict[str, Any] = {"schema": _ref(shape.request)}
        documented = [operation.said["request"], *(one["body"] for one in operation.said.get("request_examples_more", ()))]
        shown = [one for one in documented if one is not None and shapes.fits(shape.request, one)]
        if shown:
            body["example"] = shown[0]
        said["requestBody"] = {"required": operation.said["request"] is not None, "content": {"application/json": body}}
    return said


def _parameters(operation: Operation, shape: Shape) -> list[dict[str, Any]]:
    found = [{"name": name, "in": "path", "required": True} | PATH for name in operation.said["path_params"]]
    for name, about in shape.query.items():
        found.append({"name": name, "in": "query", "description": about.get("description", ""), "schema": _parameter(about)})
    if shape.changes:
        found += [{"in": "header", "required": False} | one for one in TERMS]
    if operation.id in signatures.CRITICAL:
        found += [{"in": "header", "required": False} | one for one in SIGNED]
    if shape.tagged:
        found.append({"in": "header", "required": False} | KNOWN_ALREADY)
    meant = {"type": "string", "pattern": wire.VERSIONS.pattern}
    version = {"name": "API-Version", "description": "The version that is meant", "schema": meant}
    return [*found, {"in": "header"} | version]


def _parameter(about: Mapping[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": about["type"]}
    if about["type"] == "integer":
        schema |= {"minimum": about.get("min", 1)} | ({"maximum": about["max"]} if about.get("max") else {})
    elif about["type"] == "string" and not about.get("enum"):
        schema["maxLength"] = about.get("max") or shapes.LONGEST_PARAMETER
    schema |= {name: about[name] for name in ("enum", "default", "format") if about.get(name) is not None}
    return schema


def _responses(operation: Operation, shape: Shape) -> dict[str, Any]:
    success = shape.success or operation.success
    found = {success: _answered(success, _body(shape) if shape.answer else None)}
    if shape.changes:
        later = _ref("Later")
        found[202] = _answered(202, {"anyOf": [_body(shape), later]} if shape.answer else later)
        plan = _ref("Plan")
        both = {"anyOf": [_body(shape), plan]} if success == 200 and shape.answer else plan
        found[200] = _answered(200, both)
    if shape.tagged:
        found[success]["headers"]["ETag"] = {"schema": {"type": "string"}}
        found[304] = _answered(304, None)
        found[304]["headers"]["ETag"] = {"schema": {"type": "string"}}
    errors = {*ALWAYS, *(status for status in operation.statuses if status >= 400)}
    errors |= set() if operation.open else {*KNOWN}
    errors |= {*CHANGED} if operation.writes else set()
    errors |= {404} if operation.said["path_params"] else set()
    errors |= {426, 501} if operation.said.get("kind") == "websocket" else set()
    every = found | {status: {"$ref": f"#/components/responses/{status}"} for status in errors}
    return {str(status): every[status] for status in sorted(every)}


def _body(shape: Shape) -> dict[str, Any]:
    if not shape.sorts:
        return _ref(shape.answer)
    data = {"type": "array", "items": _ref(shape.answer)}
    return {
        "oneOf": [
            {
                "type": "object",
                "additionalProperties": False,
                "required": ["data", name],
                "properties": {"data": data, name: _ref(schema)},
            }
            for name, schema in (("pagination", "Pagination"), ("cursor", "Cursor"))
        ]
    }


def _answered(status: int, schema: Mapping[str, Any] | None) -> dict[str, Any]:
    found: dict[str, Any] = {"description": TOLD[status], "headers": _headers()}
    if schema is not None:
        found["content"] = {"application/json": {"schema": schema}}
    return found


def _refused(status: int) -> dict[str, Any]:
    return _answered(status, _ref("Error"))


def _headers() -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in HEADERS}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}
