"""OpenAPI 3.1, made from the route table and the types that it names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from mission_control_desktop import __version__
from mission_control_desktop.control.policy import RULES
from mission_control_desktop.domain.events import DATA_TYPES, EVENT_ID_PATTERN
from mission_control_desktop.domain.limits import KEY_HOURS, KEY_PATTERN, MAX_EVENT_ID_CHARS, MAX_KEY_CHARS
from mission_control_desktop.server.bodies import EventId
from mission_control_desktop.server.errors import ErrorBody
from mission_control_desktop.server.table import Route, parameters

REF = "#/components/schemas/{name}"
LAST_EVENT_ID = {"type": "string", "maxLength": MAX_EVENT_ID_CHARS, "pattern": f"^$|{EVENT_ID_PATTERN}"}
"""Browsers' event sources send an empty one for none."""
(EVENT_ID,), _ = msgspec.json.schema_components([EventId])
_MEANING = {
    400: "Not an HTTP request that can be understood",
    401: "No token, or one that is wrong, revoked or expired",
    403: "The role is too low, or the request comes from a web page",
    404: "Not found",
    408: "The request came too slowly",
    409: "Illegal in this state, or another request came first",
    413: "The request is too large",
    415: "Not JSON",
    422: "Bad input; `details.field` names it",
    429: "Too many; `Retry-After` says when",
    500: "Something went wrong here",
    501: "The provider cannot do this",
    502: "The provider does not answer",
    503: "Not possible now",
}


def describe(routes: Iterable[Route]) -> dict[str, Any]:
    """The whole description as plain JSON values."""
    table = list(routes)
    types: list[Any] = [ErrorBody, *DATA_TYPES.values()]
    for kind in (*(route.reply for route in table), *(route.body for route in table)):
        if kind is not None and kind not in types:
            types.append(kind)
    schemas, components = msgspec.json.schema_components(types, ref_template=REF)
    schema_of = dict(zip(map(str, types), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in table:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Mission Control", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"bearer": []}],
    }


def _operation(route: Route, schema_of: dict[str, dict[str, Any]]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": route.handler.__name__,
        "summary": route.summary,
        "tags": ["agents" if route.path.startswith("/agents") else "control plane"],
        "parameters": [*_path_parameters(route), *_query_parameters(route), *_header_parameters(route)],
        "responses": _responses(route, schema_of),
    }
    if route.operation is None:
        described["security"] = []
    else:
        described["x-role"] = RULES[route.operation].role.value
        described["x-operation"] = route.operation.value
        described["x-action"] = RULES[route.operation].action.value
        described["x-agents"] = sorted(reach.value for reach in RULES[route.operation].agents)
    if route.body is not None:
        described["requestBody"] = {
            "required": any(field.required for field in msgspec.structs.fields(route.body)),
            "content": {"application/json": {"schema": schema_of[str(route.body)]}},
        }
    return described


def _responses(route: Route, schema_of: dict[str, dict[str, Any]]) -> dict[str, Any]:
    good: dict[str, Any] = {"description": route.summary}
    if route.stream:
        good["content"] = {"text/event-stream": {"schema": _events()}}
    elif route.reply is not None:
        good["content"] = {"application/json": {"schema": schema_of[str(route.reply)]}}
    responses: dict[str, Any] = {str(route.status): good}
    failures = {400, 403, 413, 422, 500, *route.errors}
    if route.operation is not None:
        failures |= {401}
    if route.body is not None:
        failures |= {408, 415}
    for status in sorted(failures):
        responses[str(status)] = {
            "description": _MEANING[status],
            "content": {"application/json": {"schema": schema_of[str(ErrorBody)]}},
        }
    return responses


def _events() -> dict[str, Any]:
    """One event of a stream: its type says what the JSON in its data is."""
    return {
        "type": "object",
        "required": ["event", "data"],
        "properties": {"id": EVENT_ID},
        "oneOf": [
            {
                "properties": {
                    "event": {"const": type_.value},
                    "data": {
                        "type": "string",
                        "contentMediaType": "application/json",
                        "contentSchema": {"$ref": REF.format(name=record.__name__)},
                    },
                }
            }
            for type_, record in DATA_TYPES.items()
        ],
    }


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in parameters(route.path)
    ]


def _query_parameters(route: Route) -> list[dict[str, Any]]:
    (schema,), components = msgspec.json.schema_components([route.query], ref_template=REF)
    properties = components[schema["$ref"].rpartition("/")[2]]["properties"]
    return [
        {
            "name": field.encode_name,
            "in": "query",
            "required": field.required,
            "schema": _inlined(properties[field.encode_name], components),
        }
        for field in msgspec.structs.fields(route.query)
    ]


def _inlined(schema: Any, components: dict[str, Any]) -> Any:
    """Query schemas are small: their references are written out."""
    if isinstance(schema, list):
        return [_inlined(part, components) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(components[schema["$ref"].rpartition("/")[2]], components)
    return {key: _inlined(value, components) for key, value in schema.items()}


def _header_parameters(route: Route) -> list[dict[str, Any]]:
    if route.method == "POST":
        return [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": f"For {KEY_HOURS} hours the same request gets the first answer, another one 409.",
                "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_CHARS, "pattern": KEY_PATTERN},
            }
        ]
    if route.stream:
        return [
            {
                "name": "Last-Event-ID",
                "in": "header",
                "required": False,
                "schema": LAST_EVENT_ID,
            }
        ]
    return []
