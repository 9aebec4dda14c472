"""AI calls: reserved before they are made, settled after. All that counts is counted by PostgreSQL."""

from __future__ import annotations

from typing import Final

from limena.routing import Endpoint, ProcedureRoute

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    ProcedureRoute(
        method="GET",
        path="/api/v1/ai/quota",
        tag="ai",
        summary="See the AI quota",
        procedure="get_ai_quota",
        permission="ai:read",
        answer="AiQuota",
    ),
    ProcedureRoute(
        method="PATCH",
        path="/api/v1/ai/settings",
        tag="ai",
        summary="Change AI settings",
        procedure="update_ai_settings",
        permission="ai:write",
        body=("is_enabled", "calls_per_hour", "tokens_per_month"),
        answer="AiQuota",
        example={"calls_per_hour": 100, "tokens_per_month": 5_000_000},
    ),
    ProcedureRoute(
        method="POST",
        path="/api/v1/ai/quota/reset",
        tag="ai",
        summary="End a pause for velocity",
        procedure="reset_ai_quota",
        permission="tenant:own",
        answer="AiQuota",
    ),
    ProcedureRoute(
        method="POST",
        path="/api/v1/ai/reservations",
        tag="ai",
        summary="Reserve an AI call",
        procedure="reserve_ai_call",
        permission="ai:use",
        body=("model", "estimated_tokens"),
        headers={"idempotency_key": "Idempotency-Key"},
        may_refuse=True,
        status=201,
        answer="AiReservation",
        errors=("ai_velocity_exceeded", "ai_ceiling_exceeded", "ai_disabled"),
        example={"model": "claude-sonnet-4-5", "estimated_tokens": 4000},
    ),
    ProcedureRoute(
        method="POST",
        path="/api/v1/ai/reservations/{id}/settle",
        tag="ai",
        summary="Settle an AI call",
        procedure="settle_ai_call",
        permission="ai:use",
        path_arguments=("id",),
        body=("prompt_tokens", "completion_tokens", "latency_ms", "outcome"),
        answer="AiSettlement",
        errors=("conflict",),
        example={"prompt_tokens": 1200, "completion_tokens": 350, "latency_ms": 2100},
    ),
    ProcedureRoute(
        method="DELETE",
        path="/api/v1/ai/reservations/{id}",
        tag="ai",
        summary="Release an AI call",
        procedure="release_ai_call",
        permission="ai:use",
        path_arguments=("id",),
        status=204,
        answer=None,
        errors=("conflict",),
    ),
    ProcedureRoute(
        method="GET",
        path="/api/v1/ai/usage",
        tag="ai",
        summary="List AI usage",
        procedure="list_ai_usage",
        permission="ai:read",
        query=("by", "from", "to", "limit", "after"),
        answer="AiUsageList",
    ),
)
