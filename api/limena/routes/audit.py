"""The audit log, for those whose tenant it tells about."""

from __future__ import annotations

from typing import Final

from limena.routing import Endpoint, ProcedureRoute

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    ProcedureRoute(
        method="GET",
        path="/api/v1/audit-logs",
        tag="audit",
        summary="List audit rows",
        procedure="list_audit_logs",
        permission="audit:read",
        query=("limit", "after", "action", "actor_id", "entity_type", "entity_id", "from", "to"),
        answer="AuditRowList",
    ),
)
