"""The platform's administration: for people whose account says so, through a session of theirs. It gives no right
inside a tenant: what is read is read as an operator, whose access is declared, and what is done has a reason."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from limena.errors import Problem
from limena.input import Field, read_path
from limena.routing import Caller, Endpoint, HandlerRoute
from limena.services import services_of
from limena.transaction import SessionCredential
from limena.values import TYPES, encode

ACTIONS: Final = (
    "freeze",
    "unfreeze",
    "disable-ai",
    "enable-ai",
    "revoke-api-keys",
    "reset-ai-quota",
    "set-ai-limits",
)
_USAGE_REASON: Final = "GET /api/v1/admin/usage"


async def usage(request: Request) -> Response:
    arguments = {f"p_{name}": value for name, value in request.state.query.items()}
    content = await services_of(request).database.call_operator(
        "list_tenant_usage", arguments, credential=_session(request), reason=_USAGE_REASON, request=request
    )
    return Response(content, media_type="application/json")


async def administer(request: Request) -> Response:
    """PostgreSQL asks who calls before it looks for the tenant or the action: a stranger hears 403 of either."""
    try:
        tenant_id = read_path(request, {"id": Field(TYPES["uuid"])})["id"]
    except Problem:
        tenant_id = encode(UUID(int=0))  # no tenant has it
    session = {"p_secret_hash": encode(_session(request).secret_hash)}
    action = {"p_tenant_id": tenant_id, "p_action": encode(request.path_params["action"])}
    body = {f"p_{name}": value for name, value in request.state.body.items()}
    try:
        await services_of(request).database.call_auth("administer_tenant", session | action | body, request=request)
    except Problem as problem:
        if problem.code == "unauthenticated":
            raise Problem("session_revoked") from problem
        raise
    return Response(status_code=204)


def _session(request: Request) -> SessionCredential:
    credential = request.state.credential
    assert isinstance(credential, SessionCredential)  # noqa: S101 - Caller.SESSION
    return credential


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    HandlerRoute(
        method="GET",
        path="/api/v1/admin/usage",
        tag="admin",
        summary="List tenants by AI usage",
        description=(
            "Tenants with their AI usage of this month against their limits, trips and the last 30 days, most first. "
            "For platform admins. The reading is declared, as every operator's, and stands in the log."
        ),
        handler=usage,
        caller=Caller.SESSION,
        query={
            "sort": Field(TYPES["text"], required=False),
            "limit": Field(TYPES["integer"], required=False),
            "after": Field(TYPES["text"], required=False),
            "trend": Field(TYPES["boolean"], required=False),
        },
        procedures=("list_tenant_usage",),
        answer="TenantUsageList",
        errors=("validation_failed",),
    ),
    HandlerRoute(
        method="POST",
        path="/api/v1/admin/tenants/{id}/{action}",
        tag="admin",
        summary="Act on a tenant",
        description=(
            f"{', '.join(ACTIONS[:-1])} or {ACTIONS[-1]}; the last takes calls_per_hour and tokens_per_month, one of "
            "them at least. For platform admins. It stands, with its reason, in the tenant's log and in the platform's."
        ),
        handler=administer,
        caller=Caller.SESSION,
        path_texts={"id": "The tenant.", "action": f"One of {', '.join(ACTIONS)}."},
        body={
            "reason": Field(TYPES["text"]),
            "calls_per_hour": Field(TYPES["integer"], required=False),
            "tokens_per_month": Field(TYPES["bigint"], required=False),
        },
        procedures=("administer_tenant",),
        status=204,
        answer=None,
        errors=("not_found",),
        example={"reason": "The customer asked for more", "calls_per_hour": 2000},
    ),
)
