"""The OpenAPI 3.1 document: made from the routes' declarations, the procedures' signatures and their comments.

A route that is declared is documented, its fields with the types and defaults of `pg_proc`, its errors as they follow
from what it takes. Refuses to be written by hand: what it cannot derive stands in `limena.schemas` or at the route.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, cast

import limena
from limena.authentication import REFRESH_COOKIE
from limena.csrf import HEADER, SAFE_METHODS
from limena.errors import CODES, FieldError, Problem
from limena.input import Field
from limena.procedures import Argument, Catalog
from limena.routing import Caller, Endpoint, HandlerRoute, ProcedureRoute, fields_of
from limena.schemas import FIELDS, SCHEMAS
from limena.values import Json

_EXAMPLE_REQUEST_ID: Final = "5f0c3a4e-8d0b-4a51-9a3c-6d1f0b9f7c21"
_PROBLEM: Final = "application/problem+json"

_TAGS: Final[Mapping[str, str]] = {
    "identity": "Logging in, the caller, the members of a tenant",
    "api_keys": "Keys for programs",
    "integrations": "Third parties that a tenant has connected",
    "audit": "What happened in a tenant",
    "ai": "What a tenant's AI calls may take, and what they took",
    "admin": "The platform's administration",
    "platform": "The service itself",
}


def describe(endpoints: Sequence[Endpoint], catalog: Catalog, base_url: str) -> dict[str, Json]:
    """The document. Raises `CatalogError` when a route does not fit its procedure."""
    paths: dict[str, dict[str, Json]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, catalog, base_url)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Limena",
            "version": limena.__version__,
            "description": "Tenant isolation, roles, API keys and an audit log. Errors are RFC 9457 problem documents.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": base_url}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": cast(Json, paths),
        "components": {
            "schemas": cast(Json, dict(SCHEMAS)),
            "securitySchemes": {
                "session": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "The access token of a log-in, good for 15 minutes.",
                },
                "refreshCookie": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": REFRESH_COOKIE,
                    "description": "The refresh token of a log-in; in production the name begins with __Secure-.",
                },
                "apiKey": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "lmn_ and 49 letters and digits",
                    "description": "An API key. It acts with its scopes, as far as its creator still holds them.",
                },
            },
        },
    }


def _operation(endpoint: Endpoint, catalog: Catalog, base_url: str) -> dict[str, Json]:
    operation: dict[str, Json] = {
        "operationId": re.sub(r"[^a-z]+", "_", f"{endpoint.method} {endpoint.path}".lower()).strip("_"),
        "tags": [endpoint.tag],
        "summary": endpoint.summary,
    }
    codes = {*endpoint.errors, "internal_error"}
    body: Mapping[str, dict[str, Json]]
    match endpoint:
        case ProcedureRoute():
            procedure = catalog.procedures[endpoint.procedure]
            fields = fields_of(endpoint, catalog)
            arguments = {argument.name.removeprefix("p_"): argument for argument in procedure.arguments.values()}
            operation["description"] = _for_clients(procedure.comment)
            operation["x-procedure"] = f"limena.{procedure.name}"
            if endpoint.permission is not None:
                operation["x-permission"] = endpoint.permission
            schemes = ["session", "apiKey"] if endpoint.accepts_api_keys else ["session"]
            operation["security"] = [{scheme: []} for scheme in schemes]
            operation["parameters"] = [
                *(_parameter(name, "path", arguments[name]) for name in fields.path),
                *(_parameter(name, "query", arguments[name]) for name in fields.query),
                *(
                    _parameter(name, "header", arguments[name]) | {"name": header}
                    for name, header in endpoint.headers.items()
                ),
                *_csrf_parameters(endpoint, is_required=not endpoint.accepts_api_keys),
            ]
            body = {name: _field(name, field, arguments[name]) for name, field in fields.body.items()}
            required = [name for name, field in fields.body.items() if field.required]
            codes |= {"unauthenticated", "token_expired", "session_revoked", "forbidden", "unavailable"}
            codes |= {"validation_failed"}  # if only for a query parameter that no route knows
            codes |= {"not_found"} if fields.path else set()
            codes |= {"invalid_api_key"}
            codes |= {"rate_limited"} if endpoint.accepts_api_keys else set()
            codes |= set() if endpoint.method in SAFE_METHODS else {"tenant_frozen"}
        case HandlerRoute():
            operation["description"] = endpoint.description
            operation["security"] = [{scheme: []} for scheme in _SCHEMES[endpoint.caller]]
            if endpoint.permission is not None:
                operation["x-permission"] = endpoint.permission
            operation["parameters"] = [
                *(_path_text(name, description) for name, description in endpoint.path_texts.items()),
                *(_query_parameter(name, field) for name, field in endpoint.query.items()),
                *_csrf_parameters(endpoint, is_required=endpoint.caller is not Caller.CREDENTIAL),
            ]
            body = {name: _field(name, field, None) for name, field in endpoint.body.items()}
            required = [name for name, field in endpoint.body.items() if field.required]
            codes |= {"unavailable"} if endpoint.procedures else set()
            codes |= _CODES[endpoint.caller]
            codes |= {"validation_failed"} if endpoint.query or endpoint.caller is Caller.CREDENTIAL else set()
            codes |= {"not_found"} if endpoint.path_texts else set()
        case _:
            raise TypeError(f"{endpoint.label} is of a kind that has no documentation")
    codes |= set() if endpoint.method in SAFE_METHODS else {"csrf_failed"}
    if body:
        codes |= {"invalid_request", "payload_too_large", "unsupported_media_type", "validation_failed"}
        operation["requestBody"] = _request_body(body, required, endpoint.example)
    operation["responses"] = {
        str(endpoint.status): _answer(endpoint, endpoint.answer),
        **{str(status): _answer(endpoint, schema) for status, schema in endpoint.also.items()},
        **_problems(codes, endpoint, sorted(body), base_url),
    }
    return operation


_SCHEMES: Final = {
    Caller.ANYONE: [],
    Caller.SESSION: ["session"],
    Caller.CREDENTIAL: ["session", "apiKey"],
    Caller.REFRESH_COOKIE: ["refreshCookie"],
}
_CODES: Final = {
    Caller.ANYONE: set(),
    Caller.SESSION: {"unauthenticated", "token_expired", "session_revoked", "invalid_api_key", "forbidden"},
    Caller.CREDENTIAL: {"unauthenticated", "token_expired", "session_revoked", "invalid_api_key", "forbidden"},
    Caller.REFRESH_COOKIE: {"unauthenticated", "session_revoked", "invalid_api_key", "forbidden"},
}


def _path_text(name: str, description: str) -> Json:
    return {"name": name, "in": "path", "required": True, "description": description, "schema": {"type": "string"}}


def _query_parameter(name: str, field: Field) -> Json:
    schema = dict(field.type.schema) | dict(FIELDS.get(name, {}))
    description = schema.pop("description", None)
    return {
        "name": name,
        "in": "query",
        "required": field.required,
        **({"description": description} if description else {}),
        "schema": schema,
    }


def _csrf_parameters(endpoint: Endpoint, *, is_required: bool) -> list[Json]:
    """Not required where a key may call: then it is needed all the same, unless a key does."""
    if endpoint.method in SAFE_METHODS:
        return []
    description = (
        "The value of the cookie limena_csrf (in production __Host-limena_csrf), which GET /api/v1/auth/csrf sets. An "
        "API key needs none."
    )
    schema: Json = {"type": "string"}
    return [{"name": HEADER, "in": "header", "required": is_required, "description": description, "schema": schema}]


def _for_clients(comment: str) -> str:
    """A procedure's comment without what only SQL knows: SQLSTATEs and the `p_` of arguments."""
    return re.sub(r"\bp_(?=[a-z])", "", comment.partition(" Raises ")[0])


def _field(name: str, field: Field, argument: Argument | None) -> dict[str, Json]:
    schema = dict(field.type.schema) | dict(FIELDS.get(name, {}))
    if field.nullable:
        schema["type"] = [schema["type"], "null"]
    if argument is not None and argument.default is not None:
        schema["default"] = _default(argument)
    return schema


def _parameter(name: str, place: str, argument: Argument) -> dict[str, Json]:
    schema = dict(argument.type.schema) | dict(FIELDS.get(name, {}))
    if argument.default is not None:
        schema["default"] = _default(argument)
    description = schema.pop("description", None)
    return {
        "name": name,
        "in": place,
        "required": argument.required,
        **({"description": description} if description else {}),
        "schema": schema,
    }


def _default(argument: Argument) -> Json:
    text = (argument.default or b"").decode("ascii")
    return text == "true" if argument.type.schema["type"] == "boolean" else int(text)


def _request_body(
    properties: Mapping[str, dict[str, Json]], required: Sequence[str], example: Mapping[str, Json] | None
) -> Json:
    content: dict[str, Json] = {
        "schema": {
            "type": "object",
            "properties": dict(properties),
            "required": list(required),
            "additionalProperties": False,
        }
    }
    if example is not None:
        content["example"] = dict(example)
    return {"required": True, "content": {"application/json": content}}


def _answer(endpoint: Endpoint, name: str | None) -> Json:
    if endpoint.status == 204:
        return {"description": endpoint.summary + ": done", "headers": _HEADERS}
    schema: Json = {"$ref": f"#/components/schemas/{name}"} if name else {"type": "string"}
    return {
        "description": endpoint.summary + ": the answer",
        "headers": _HEADERS,
        "content": {endpoint.media_type: {"schema": schema}},
    }


_HEADERS: Final[Json] = {
    "X-Request-Id": {"description": "As in the audit log.", "schema": {"type": "string", "format": "uuid"}}
}


def _problems(codes: set[str], endpoint: Endpoint, fields: Sequence[str], base_url: str) -> dict[str, Json]:
    """One response a status, one example a code."""
    responses: dict[str, Json] = {}
    for status in sorted({CODES[code].status for code in codes}):
        here = [code for code in CODES if code in codes and CODES[code].status == status]
        headers = dict(cast(dict[str, Json], _HEADERS))
        if status == 401:
            headers["WWW-Authenticate"] = {"schema": {"type": "string"}}
        if status in (429, 503):
            headers["Retry-After"] = {"description": "Seconds.", "schema": {"type": "integer"}}
        examples = {code: {"value": _example(code, endpoint, fields, base_url)} for code in here}
        responses[str(status)] = {
            "description": " · ".join(f"`{code}`: {CODES[code].title}" for code in here),
            "headers": headers,
            "content": {
                _PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": cast(Json, examples)}
            },
        }
    return responses


def _example(code: str, endpoint: Endpoint, fields: Sequence[str], base_url: str) -> Json:
    permission = (
        endpoint.permission if isinstance(endpoint, ProcedureRoute | HandlerRoute) and code == "forbidden" else None
    )
    errors = [FieldError(fields[0], "is required") if fields else FieldError("color", "is not known here")]
    problem = Problem(code, errors=errors if code == "validation_failed" else (), permission=permission)
    return problem.as_json(request_id=_EXAMPLE_REQUEST_ID, base_url=base_url)
