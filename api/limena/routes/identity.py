"""Who someone is: the caller's own identity, the members of a tenant. How they get in is in `auth`."""

from __future__ import annotations

from typing import Final

from limena.routing import Endpoint, ProcedureRoute

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    ProcedureRoute(
        method="GET",
        path="/api/v1/me",
        tag="identity",
        summary="Who am I",
        procedure="get_me",
        permission=None,
        answer="Me",
    ),
    ProcedureRoute(
        method="GET",
        path="/api/v1/members",
        tag="identity",
        summary="List members",
        procedure="list_members",
        permission="members:read",
        query=("limit", "after"),
        answer="MemberList",
    ),
)
