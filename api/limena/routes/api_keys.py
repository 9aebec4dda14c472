"""API keys. The key itself is made here, shown once in the answer, and reaches PostgreSQL as its SHA-256 only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from limena import api_key_format
from limena.routing import Endpoint, Made, ProcedureRoute
from limena.services import Services
from limena.values import Wire, encode


def _make_key(_services: Services, _arguments: Mapping[str, Wire]) -> Made:
    new = api_key_format.generate()
    return Made(
        {"p_prefix": encode(new.prefix), "p_last_four": encode(new.last_four), "p_key_hash": encode(new.key_hash)},
        reveal={"key": new.key},
    )


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    ProcedureRoute(
        method="GET",
        path="/api/v1/api-keys",
        tag="api_keys",
        summary="List API keys",
        procedure="list_api_keys",
        permission="api_keys:read",
        query=("limit", "after"),
        answer="ApiKeyList",
    ),
    ProcedureRoute(
        method="POST",
        path="/api/v1/api-keys",
        tag="api_keys",
        summary="Create an API key",
        procedure="create_api_key",
        permission="api_keys:write",
        body=("name", "scopes", "expires_at", "calls_per_minute"),
        made=("prefix", "last_four", "key_hash"),
        make=_make_key,
        status=201,
        answer="NewApiKey",
        example={"name": "CI", "scopes": ["members:read", "audit:read"], "expires_at": "2031-01-31T12:00:00Z"},
    ),
    ProcedureRoute(
        method="POST",
        path="/api/v1/api-keys/{id}/rotate",
        tag="api_keys",
        summary="Rotate an API key",
        procedure="rotate_api_key",
        permission="api_keys:write",
        path_arguments=("id",),
        body=("grace_seconds",),
        made=("prefix", "last_four", "key_hash"),
        make=_make_key,
        status=201,
        answer="RotatedApiKey",
        errors=("conflict",),
        example={"grace_seconds": 3600},
    ),
    ProcedureRoute(
        method="POST",
        path="/api/v1/api-keys/revoke-all",
        tag="api_keys",
        summary="Revoke all API keys",
        procedure="revoke_all_api_keys",
        permission="api_keys:write",
        answer="Revoked",
    ),
    ProcedureRoute(
        method="DELETE",
        path="/api/v1/api-keys/{id}",
        tag="api_keys",
        summary="Revoke an API key",
        procedure="revoke_api_key",
        permission="api_keys:write",
        path_arguments=("id",),
        status=204,
        answer=None,
    ),
)
