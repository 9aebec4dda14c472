"""The audit log, for those whose tenant it tells about."""

from __future__ import annotations

from typing import Final

from limena.export import ExportRoute
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
    ExportRoute(
        method="GET",
        path="/api/v1/audit-logs.csv",
        tag="audit",
        summary="Export audit rows",
        procedure="export_audit_logs",
        begin="begin_audit_export",
        permission="audit:export",
        query=("action", "actor_id", "entity_type", "entity_id", "from", "to"),
        answer=None,
        media_type="text/csv",
        file_name="audit-log.csv",
    ),
    ProcedureRoute(
        method="GET",
        path="/api/v1/audit-logs/verification",
        tag="audit",
        summary="Verify the audit log",
        procedure="get_audit_verification",
        permission="audit:read",
        query=("limit", "after"),
        answer="AuditVerification",
    ),
)
