"""Who someone is: the caller's own identity, the tenant, its members, those who were invited. How they get in is in
`auth`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from uuid import uuid4

from limena import mail_tokens
from limena.routing import Endpoint, Made, ProcedureRoute
from limena.services import Services
from limena.values import Wire, encode


def _make_invitation(services: Services, arguments: Mapping[str, Wire]) -> Made:
    """The mail has the invitation's id, from which, with its template and recipient, its token follows: the token is
    never stored."""
    new_id, recipient = uuid4(), mail_tokens.normalise((arguments["email"] or b"").decode("utf-8"))
    token_hash = mail_tokens.token_hash(mail_tokens.token(services.mail_key, new_id, "invitation", recipient))
    return Made({"p_id": encode(new_id), "p_token_hash": encode(token_hash)})


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
    ProcedureRoute(
        method="PATCH",
        path="/api/v1/members/{user_id}",
        tag="identity",
        summary="Change a member's role",
        procedure="change_member_role",
        permission="members:write",
        path_arguments=("user_id",),
        body=("role",),
        answer="MemberRole",
        errors=("conflict",),
        example={"role": "admin"},
    ),
    ProcedureRoute(
        method="DELETE",
        path="/api/v1/members/{user_id}",
        tag="identity",
        summary="Remove a member, or leave",
        procedure="remove_member",
        permission="members:write",
        path_arguments=("user_id",),
        query=("api_keys",),
        status=204,
        answer=None,
        errors=("conflict",),
    ),
    ProcedureRoute(
        method="GET",
        path="/api/v1/invitations",
        tag="identity",
        summary="List open invitations",
        procedure="list_invitations",
        permission="invitations:read",
        query=("limit", "after"),
        answer="InvitationList",
    ),
    ProcedureRoute(
        method="POST",
        path="/api/v1/invitations",
        tag="identity",
        summary="Invite someone",
        procedure="create_invitation",
        permission="invitations:write",
        body=("email", "role"),
        made=("id", "token_hash"),
        make=_make_invitation,
        status=201,
        answer="Invitation",
        errors=("conflict", "rate_limited"),
        example={"email": "grace@example.com", "role": "member"},
    ),
    ProcedureRoute(
        method="DELETE",
        path="/api/v1/invitations/{id}",
        tag="identity",
        summary="Withdraw an invitation",
        procedure="withdraw_invitation",
        permission="invitations:write",
        path_arguments=("id",),
        status=204,
        answer=None,
    ),
    ProcedureRoute(
        method="GET",
        path="/api/v1/tenant",
        tag="identity",
        summary="The tenant",
        procedure="get_tenant",
        permission="tenant:read",
        answer="TenantDetails",
    ),
    ProcedureRoute(
        method="PATCH",
        path="/api/v1/tenant",
        tag="identity",
        summary="Change the tenant's name and settings",
        procedure="update_tenant",
        permission="tenant:write",
        body=("name", "audit_retention_days"),
        answer="TenantDetails",
        example={"name": "Analytical Engines"},
    ),
    ProcedureRoute(
        method="DELETE",
        path="/api/v1/tenant",
        tag="identity",
        summary="Delete the tenant",
        procedure="delete_tenant",
        permission="tenant:own",
        body=("name",),
        answer="TenantDetails",
        example={"name": "Analytical Engines"},
    ),
    ProcedureRoute(
        method="POST",
        path="/api/v1/tenant/restore",
        tag="identity",
        summary="Take the tenant's deletion back",
        procedure="restore_tenant",
        permission="tenant:own",
        answer="TenantDetails",
        errors=("conflict",),
    ),
    ProcedureRoute(
        method="POST",
        path="/api/v1/tenant/transfer-ownership",
        tag="identity",
        summary="Transfer the ownership",
        procedure="transfer_ownership",
        permission="tenant:own",
        body=("user_id",),
        answer="MemberRole",
        errors=("not_found",),
        example={"user_id": "3f2b8c1e-5d4a-4c6b-9e7f-0a1b2c3d4e5f"},
    ),
    ProcedureRoute(
        method="GET",
        path="/api/v1/permissions",
        tag="identity",
        summary="Permissions and scopes",
        procedure="list_permissions",
        permission=None,
        answer="PermissionList",
    ),
)
