"""Who someone is: logging in, the caller's own identity, the members of a tenant.

Log-in is the one route here that is not one procedure: bcrypt stands between finding the hash and opening the session.
Refuses to say what was wrong with a log-in, by its answer or by the time it takes.
"""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from limena.disconnect import while_connected
from limena.errors import Problem
from limena.input import Field, read_body, read_query
from limena.routing import Endpoint, HandlerRoute, ProcedureRoute
from limena.services import Services, services_of
from limena.tokens import (
    ACCESS_TOKEN_SECONDS,
    issue_access_token,
    issue_refresh_token,
    new_session_secret,
    secret_hash,
)
from limena.values import TYPES, encode

REFRESH_TOKEN_SECONDS: Final = 7 * 24 * 60 * 60
REFRESH_COOKIE: Final = "limena_refresh"
AUTH_PATH: Final = "/api/v1/auth/"

_LOG_IN_FIELDS: Final = {
    "email": Field(TYPES["text"]),
    "password": Field(TYPES["text"]),
    "tenant_id": Field(TYPES["uuid"], required=False, nullable=True),
}


async def log_in(request: Request) -> Response:
    """Verifies a password and opens a session. A failure is recorded, and takes as long for an unknown address."""
    services = services_of(request)
    database = services.database
    body = await read_body(request, _LOG_IN_FIELDS, max_bytes=services.settings.max_body_bytes)
    read_query(request, {})
    email = {"p_email": body["email"]}
    password = (body["password"] or b"").decode("utf-8")

    found = json.loads(await database.call_auth("find_log_in", email, request=request) or b"{}")
    stored = found.get("password_hash")
    try:
        is_right = await while_connected(request, services.hasher.verify(password, stored))
    except ClientDisconnect:
        # On record like any other, or hanging up early would hide guesses.
        await database.call_auth("record_failed_log_in", email, request=request)
        raise
    if not is_right:
        await database.call_auth("record_failed_log_in", email, request=request)
        raise _wrong()

    secret, token_id = new_session_secret(), secrets.token_urlsafe(32)
    session = {
        "p_user_id": encode(found["user_id"]),
        "p_password_hash": encode(stored),
        "p_secret_hash": encode(secret_hash(secret)),
        "p_refresh_hash": encode(secret_hash(token_id)),
        "p_tenant_id": body.get("tenant_id"),
    }
    try:
        opened = json.loads(await database.call_auth("log_in", session, request=request) or b"{}")
    except Problem as problem:
        if problem.status != 401:
            raise
        # Not a member of that tenant, or the password was changed this very moment.
        await database.call_auth("record_failed_log_in", email, request=request)
        raise _wrong() from None

    access_token, refresh_token = await run_in_threadpool(
        _issue_tokens,
        services,
        user_id=UUID(opened["user"]["id"]),
        tenant_id=UUID(opened["tenant"]["id"]) if opened["tenant"] else None,
        secret=secret,
        token_id=token_id,
    )
    answer = opened | {"access_token": access_token, "token_type": "Bearer", "expires_in": ACCESS_TOKEN_SECONDS}
    response = Response(json.dumps(answer), media_type="application/json")
    is_production = services.settings.environment == "production"
    response.set_cookie(
        f"__Secure-{REFRESH_COOKIE}" if is_production else REFRESH_COOKIE,
        refresh_token,
        max_age=REFRESH_TOKEN_SECONDS,
        path=AUTH_PATH,
        secure=is_production,
        httponly=True,
        samesite="lax",
    )
    return response


def _issue_tokens(
    services: Services, *, user_id: UUID, tenant_id: UUID | None, secret: str, token_id: str
) -> tuple[str, str]:
    """Two RSA signatures, some milliseconds each: not on the event loop."""
    issuer, now = services.settings.base_url, datetime.now(UTC)
    return (
        issue_access_token(services.keys, issuer=issuer, user_id=user_id, tenant_id=tenant_id, session_secret=secret),
        issue_refresh_token(
            services.keys,
            issuer=issuer,
            user_id=user_id,
            session_secret=secret,
            token_id=token_id,
            issued_at=now,
            expires_at=now + timedelta(seconds=REFRESH_TOKEN_SECONDS),
        ),
    )


def _wrong() -> Problem:
    return Problem("unauthenticated", "The e-mail address or the password is wrong, or you are not in that tenant.")


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    HandlerRoute(
        method="POST",
        path=f"{AUTH_PATH}login",
        tag="identity",
        summary="Log in",
        description=(
            "Opens a session. The access token goes into the Authorization header of later requests; the refresh token "
            "is in an HttpOnly cookie. Without tenant_id the session is in the tenant where the person was last."
        ),
        handler=log_in,
        procedures=("find_log_in", "log_in", "record_failed_log_in"),
        body=_LOG_IN_FIELDS,
        answer="LogIn",
        errors=("unauthenticated",),
        example={"email": "ada@example.com", "password": "correct horse battery staple"},
    ),
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
