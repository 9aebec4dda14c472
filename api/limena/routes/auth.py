"""How a person gets in, stays in and gets out: registration, log-in, refresh, log-out, passwords, sessions.

bcrypt, signatures and mail tokens stand between the procedures here, so most of these routes are code. Refuses to say
whether an address has an account, by an answer or by the time it takes, except where registration is open; and to
answer 401 to someone whose credential is good because something else failed.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
import secrets
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from limena import mail_tokens
from limena.authentication import REFRESH_PATH, access_token_of, refresh_cookie_name
from limena.cookies import cookie_name, values_of
from limena.disconnect import while_connected
from limena.errors import FieldError, Problem
from limena.input import Field
from limena.passwords import HashingBusy, PasswordRefused
from limena.routing import Caller, Endpoint, HandlerRoute, ProcedureRoute
from limena.services import Services, services_of
from limena.tokens import (
    ACCESS_TOKEN_SECONDS,
    AccessToken,
    RefreshToken,
    issue_access_token,
    issue_refresh_token,
    new_session_secret,
    secret_hash,
    successor_id,
)
from limena.transaction import SessionCredential
from limena.values import TYPES, Json, Wire, encode

log = logging.getLogger("limena")

REFRESH_TOKEN_SECONDS: Final = 7 * 24 * 60 * 60
AUTH_PATH: Final = REFRESH_PATH
QUIET_SECONDS: Final = 0.3
"""No answer that must not tell whether an address is known comes sooner: writing the mail that it gets takes time."""
RECORDING_SECONDS: Final = 0.1
"""For a failed log-in, after the password was compared: it is recorded in each of the person's tenants, and how many
they are, or that there is nobody, is not to be told by the time that it takes."""
REGISTRANT_COOKIE: Final = "limena_registrant"
REGISTRANT_SECONDS: Final = 24 * 60 * 60
"""As long as the link in the mail is good."""
MAX_REFRESH_ATTEMPTS: Final = 5

_ADDRESS: Final = re.compile(r" *[^\s@]+@[^\s@]+ *")

_TEXT: Final = Field(TYPES["text"])
_LOG_IN: Final = {
    "email": _TEXT,
    "password": _TEXT,
    "tenant_id": Field(TYPES["uuid"], required=False, nullable=True),
}
_REGISTRATION: Final = {"email": _TEXT, "password": _TEXT, "display_name": _TEXT, "tenant_name": _TEXT}


# In
# ---------------------------------------------------------------------------------------------------------------------


async def csrf_token(request: Request) -> Response:
    services = services_of(request)
    token = services.csrf.token_for(request, services.keys)
    response = _json({"csrf_token": token})
    services.csrf.set_cookie(response, token)
    return response


async def log_in(request: Request) -> Response:
    """Verifies a password and opens a session. A failure is recorded, and takes as long for an unknown address."""
    services, body = services_of(request), request.state.body
    email, password = _address(body["email"]), _text(body["password"])
    has_been_replaced = False
    while True:
        found = await _attempt(request, email)
        stored = found["password_hash"]
        comparing = services.hasher.verify(password, stored, highest_cost=found["highest_cost"])
        try:
            is_right = await while_connected(request, comparing)
        except ClientDisconnect:
            # On record like any other, or hanging up early would hide guesses.
            await _record_failure(request, email)
            raise
        except HashingBusy:
            await _take_back(request, email)
            raise
        if not is_right:
            break
        try:
            response = await _open_session(
                request, UUID(found["user_id"]), stored, counted_for=email, tenant_id=body.get("tenant_id")
            )
        except Problem as problem:
            if problem.code == "not_found":
                break  # they are not in that tenant: once more would change nothing
            await _take_back(request, email)
            if problem.status != 401 or has_been_replaced:
                raise
            has_been_replaced = (
                True  # the hash, this very moment: by a log-in that rehashed, if the password still fits
            )
            continue
        await _rehash(request, found["user_id"], password, stored)
        return response
    await _record_failure(request, email)
    raise Problem("unauthenticated", "The e-mail address or the password is wrong, or you are not in that tenant.")


async def register(request: Request) -> Response:
    services, body = services_of(request), request.state.body
    if services.settings.registration == "closed":
        raise _closed()
    words = [_text(body[name]) for name in ("email", "display_name", "tenant_name")]
    hashed = await _new_hash(services, "password", _text(body["password"]), words)
    person = {f"p_{name}": body[name] for name in ("email", "display_name", "tenant_name")}
    person["p_password_hash"] = encode(hashed)

    if services.settings.registration == "verified":
        started = time.monotonic()  # from where known and unknown addresses differ
        outbox_id, token_hash = _new_mail(services, "registration", _text(body["email"]))
        registrant = secrets.token_urlsafe(32)
        mail = {
            "p_outbox_id": outbox_id,
            "p_token_hash": token_hash,
            "p_registrant_hash": encode(secret_hash(registrant)),
        }
        await services.database.call_auth("request_registration", person | mail, request=request)
        response = await _accepted(started)
        _set_registrant_cookie(services, response, registrant)
        return response

    try:
        made = _object(await services.database.call_auth("register_user", person, request=request))
    except Problem as problem:
        if problem.code == "conflict":
            raise Problem("conflict", "This address has an account already.") from None
        raise
    return await _open_session(request, UUID(made["user"]["id"]), hashed, status=201)


async def verify(request: Request) -> Response:
    """The link proves who reads the mailbox. Who chose the password is proved by the browser's cookie, or does not
    matter, because whoever follows the link chooses one now."""
    services, body = services_of(request), request.state.body
    if services.settings.registration == "closed":
        raise _closed()
    token = {"p_token_hash": _token_hash(body["token"])}
    proof: dict[str, Wire] = {"p_registrant_hash": _registrant_hash(request)}
    if body.get("password") is not None:
        person = await _registration(request, token["p_token_hash"])
        if not person:
            raise _used_up()
        proof["p_new_hash"] = encode(await _new_hash(services, "password", _text(body["password"]), _words(person)))
    try:
        made = _object(await services.database.call_auth("verify_registration", token | proof, request=request))
    except Problem as problem:
        if problem.code == "not_found":
            raise _used_up() from None
        raise
    response = await _open_session(request, UUID(made["user"]["id"]), made["password_hash"])
    _clear_registrant_cookie(services, response)
    return response


async def link(request: Request) -> Response:
    """Whose a link is, before anything is done with it: somebody may have sent one of their own, so that what is put
    into the account comes to them. Whoever shows the token of a mail may know where it went."""
    token = _token_hash(request.state.body["token"])
    return _json({"email": (await _registration(request, token) or await _invitation(request, token)).get("email")})


async def _registration(request: Request, token_hash: Wire) -> dict[str, Any]:
    arguments = {"p_token_hash": token_hash}
    return _object(await services_of(request).database.call_auth("find_registration", arguments, request=request))


async def _invitation(request: Request, token_hash: Wire) -> dict[str, Any]:
    """Empty, too, for a token that is not the one of the invitation's mail (docs/decisions/0064)."""
    services = services_of(request)
    found = _object(await services.database.call_auth("find_invitation", {"p_token_hash": token_hash}, request=request))
    token = _text(request.state.body["token"])
    if not found or not mail_tokens.is_token(token, services.mail_key, UUID(found["id"]), "invitation", found["email"]):
        return {}
    return found


async def accept_invitation(request: Request) -> Response:
    """Someone who has an account shows that it is theirs, by a session or by the password: a mail that was forwarded
    brings nobody into a tenant. Someone who has none makes one: that the mailbox is theirs, only the token of the mail
    shows that went there. One that somebody had PostgreSQL take the hash of is none (docs/decisions/0064)."""
    services, body = services_of(request), request.state.body
    token = {"p_token_hash": _token_hash(body["token"])}
    invitation = await _invitation(request, token["p_token_hash"])
    if not invitation:
        raise _used_up()
    if "authorization" in request.headers:
        return await _accept_in_session(request, token)
    if invitation["is_known"]:
        if body.get("password") is None:
            raise Problem("unauthenticated", "This address has an account. Log in, or give its password.")
        return await _accept_by_password(request, token, invitation["email"], _text(body["password"]))

    missing = [name for name in ("password", "display_name") if body.get(name) is None]
    if missing:
        raise Problem(
            "validation_failed", errors=[FieldError(name, "is needed to make an account") for name in missing]
        )
    words = [invitation["email"], _text(body["display_name"]), *invitation["tenant_names"]]
    hashed = await _new_hash(services, "password", _text(body["password"]), words)
    person = {"p_password_hash": encode(hashed), "p_display_name": body["display_name"]}
    joined = await _accept(request, token | person)
    tenant_id = encode(joined["tenant"]["id"])
    return await _open_session(request, UUID(joined["user"]["id"]), hashed, tenant_id=tenant_id)


async def _accept(request: Request, arguments: dict[str, Wire]) -> dict[str, Any]:
    try:
        return _object(await services_of(request).database.call_auth("accept_invitation", arguments, request=request))
    except Problem as problem:
        if problem.code == "not_found":
            raise _used_up() from None
        if problem.code == "conflict":
            raise Problem("conflict", "You are a member of this tenant already.") from None
        raise


async def _accept_in_session(request: Request, token: dict[str, Wire]) -> Response:
    services = services_of(request)
    access = access_token_of(request, services.keys, issuer=services.settings.base_url)
    try:
        joined = await _accept(request, token | {"p_secret_hash": encode(secret_hash(access.session_secret))})
    except Problem as problem:
        if problem.code == "unauthenticated":
            raise Problem("session_revoked") from None
        if problem.code == "forbidden":
            raise Problem("forbidden", "This invitation is for another address than yours.") from None
        raise
    access_token = await run_in_threadpool(
        issue_access_token,
        services.keys,
        issuer=services.settings.base_url,
        user_id=access.user_id,
        tenant_id=UUID(joined["tenant"]["id"]),
        session_secret=access.session_secret,
    )
    return _json(joined | _bearer(access_token))


async def _accept_by_password(request: Request, token: dict[str, Wire], email: str, password: str) -> Response:
    """Counts as a log-in does, so that an invitation is no way to guess a password."""
    services = services_of(request)
    has_been_replaced = False
    while True:
        stored = (await _attempt(request, email))["password_hash"]
        try:
            is_right = await services.hasher.verify(password, stored)
        except HashingBusy:
            await _take_back(request, email)
            raise
        if not is_right:
            await _record_failure(request, email)
            raise Problem("unauthenticated", "The password is wrong.")
        try:
            joined = await _accept(request, token | {"p_verified_hash": encode(stored)})
            tenant_id, user_id = encode(joined["tenant"]["id"]), UUID(joined["user"]["id"])
            return await _open_session(request, user_id, stored, counted_for=email, tenant_id=tenant_id)
        except Problem as problem:
            # The password was right, whatever else there was: a frozen tenant is no guess.
            await _take_back(request, email)
            if problem.code != "unauthenticated" or has_been_replaced:
                raise
            has_been_replaced = True  # the hash, this very moment, by a log-in that rehashed


async def refresh(request: Request) -> Response:
    """A new access token, and the next refresh token in place of the one that was shown. Tabs that ask at the same
    moment with the same token share one answer."""
    tokens: list[RefreshToken] = request.state.refresh_tokens
    services = services_of(request)
    # Of the session that the page means; then whatever there is, as for a page that shows an access token as well.
    meant = [token for token in tokens if services.csrf.fits(request, token.session_secret)]
    refusal: Problem | None = None
    for token in (meant or tokens)[:MAX_REFRESH_ATTEMPTS]:
        try:
            access_token, refresh_token, expires_at = await _refresh_once(request, services, token)
        except Problem as problem:
            if problem.status != 401:
                raise
            refusal = refusal or problem
            continue
        response = _json(_bearer(access_token))
        if refresh_token is not None:
            _set_refresh_cookie(services, response, refresh_token, expires_at)
        return response
    raise refusal or Problem("session_revoked")


async def _refresh_once(request: Request, services: Services, shown: RefreshToken) -> tuple[str, str | None, datetime]:
    pending = services.refreshes.get(shown.token_id)
    if pending is None:
        pending = asyncio.ensure_future(_refresh(request, services, shown))
        services.refreshes[shown.token_id] = pending
        pending.add_done_callback(lambda done: _forget_refresh(services, shown.token_id, done))
    # Who hangs up takes the answer away from nobody.
    return await asyncio.shield(pending)


def _forget_refresh(services: Services, token_id: str, done: asyncio.Future[tuple[str, str | None, datetime]]) -> None:
    del services.refreshes[token_id]
    if not done.cancelled():
        done.exception()  # looked at here, for whoever asked may be gone


async def _refresh(request: Request, services: Services, shown: RefreshToken) -> tuple[str, str | None, datetime]:
    successor = successor_id(services.refresh_key, shown.token_id)
    hashes = {
        "p_token_hash": encode(secret_hash(shown.token_id)),
        "p_successor_hash": encode(secret_hash(successor)),
    }
    try:
        session = _object(await services.database.call_auth("refresh_session", hashes, request=request))
    except Problem as problem:
        if problem.status != 401:
            raise
        if shown.is_over:
            raise Problem("unauthenticated", "The refresh token is over. Log in.") from None
        raise Problem("session_revoked") from None
    if session["outcome"] == "reused":
        raise Problem("session_revoked", "This refresh token was used before, so its session has ended. Log in again.")
    issued_at, expires_at = (datetime.fromtimestamp(session[name], UTC) for name in ("issued_at", "expires_at"))
    user_id, tenant_id = UUID(session["user_id"]), session["tenant_id"] and UUID(session["tenant_id"])
    if session["outcome"] == "superseded":  # the browser has a newer refresh token than any that could be given here
        access_token = await run_in_threadpool(
            issue_access_token,
            services.keys,
            issuer=services.settings.base_url,
            user_id=user_id,
            tenant_id=tenant_id,
            session_secret=shown.session_secret,
        )
        return access_token, None, expires_at
    access_token, refresh_token = await run_in_threadpool(
        _issue_tokens,
        services,
        user_id=user_id,
        tenant_id=tenant_id,
        secret=shown.session_secret,
        token_id=successor,
        issued_at=issued_at,
        expires_at=expires_at,
    )
    return access_token, refresh_token, expires_at


async def switch_tenant(request: Request) -> Response:
    services = services_of(request)
    access: AccessToken = request.state.access_token
    moved = _object(
        await services.database.call(
            "switch_tenant",
            {"p_tenant_id": request.state.body["tenant_id"]},
            credential=SessionCredential(secret_hash(access.session_secret), access.tenant_id),
            request=request,
            route=f"POST {AUTH_PATH}tenant",
        )
    )
    access_token = await run_in_threadpool(
        issue_access_token,
        services.keys,
        issuer=services.settings.base_url,
        user_id=access.user_id,
        tenant_id=UUID(moved["tenant_id"]),
        session_secret=access.session_secret,
    )
    return _json(_bearer(access_token))


# Passwords
# ---------------------------------------------------------------------------------------------------------------------


async def change_password(request: Request) -> Response:
    """Counts as a log-in does, so that a stolen access token is no way to guess the password."""
    services, body = services_of(request), request.state.body
    access: AccessToken = request.state.access_token
    session = {"p_secret_hash": encode(secret_hash(access.session_secret))}
    current, new = _text(body["current_password"]), _text(body["new_password"])
    hashed: str | None = None
    verified: str | None = None
    while True:
        person = _object(await services.database.call_auth("find_password", session, request=request))
        if not person or person["password_hash"] == verified:
            raise Problem("session_revoked")
        if hashed is None:
            await _check_new(services, "new_password", new, _words(person))
        email = person["email"]
        await _attempt(request, email)
        try:
            is_right = await services.hasher.verify(current, person["password_hash"])
            hashed = hashed or (await services.hasher.hash(new) if is_right else None)
        except HashingBusy:
            await _take_back(request, email)
            raise
        if hashed is None:
            await _record_failure(request, email)
            raise Problem.of_field("current_password", "is wrong")
        hashes = {"p_old_hash": encode(person["password_hash"]), "p_new_hash": encode(hashed)}
        device = {"p_device_hash": _device_hash(request, email)}
        try:
            await services.database.call_auth("change_password", session | hashes | device, request=request)
        except Problem as problem:
            if problem.status >= 500:
                await _take_back(request, email)
            if problem.status != 401 or verified is not None:
                raise
            verified = person["password_hash"]  # replaced this very moment, by a log-in that rehashed; or session over
            continue
        return Response(status_code=204)


async def forgot_password(request: Request) -> Response:
    services = services_of(request)
    started = time.monotonic()
    email = encode(_address(request.state.body["email"]))
    outbox_id, token_hash = _new_mail(services, "password_reset", _text(email))
    arguments = {"p_email": email, "p_outbox_id": outbox_id, "p_token_hash": token_hash}
    await services.database.call_auth("request_password_reset", arguments, request=request)
    return await _accepted(started)


async def reset_password(request: Request) -> Response:
    services, body = services_of(request), request.state.body
    token = {"p_token_hash": _token_hash(body["token"])}
    person = _object(await services.database.call_auth("find_password_reset", token, request=request))
    if not person:
        raise _used_up()
    hashed = await _new_hash(services, "new_password", _text(body["new_password"]), _words(person))
    try:
        await services.database.call_auth("reset_password", token | {"p_new_hash": encode(hashed)}, request=request)
    except Problem as problem:
        if problem.code == "not_found":
            raise _used_up() from None
        raise
    # Whoever proved that the mailbox is theirs is nobody whom strangers can keep waiting.
    response = Response(status_code=204)
    services.devices.remember(request, response, person["email"])
    return response


# What they share
# ---------------------------------------------------------------------------------------------------------------------


async def _attempt(request: Request, email: str) -> dict[str, Any]:
    """Counts an attempt before the password is looked at. Raises `Problem` 429 when it comes too soon."""
    subject = {"p_email": encode(email), "p_device_hash": _device_hash(request, email)}
    found = _object(await services_of(request).database.call_auth("begin_log_in", subject, request=request))
    if found["retry_after"]:
        detail = "Too many log-ins failed for this account or from this address. Wait before the next."
        raise Problem("rate_limited", detail, headers={"Retry-After": str(found["retry_after"])})
    return found


async def _take_back(request: Request, email: str) -> None:
    """The attempt was no guess that got an answer: what it counted goes, if the database is there to forget it."""
    subject = {"p_email": encode(email), "p_device_hash": _device_hash(request, email)}
    with suppress(Problem):
        await services_of(request).database.call_auth("take_back_log_in", subject, request=request)


async def _record_failure(request: Request, email: str) -> None:
    started = time.monotonic()
    await services_of(request).database.call_auth("record_failed_log_in", {"p_email": encode(email)}, request=request)
    await asyncio.sleep(max(0.0, started + RECORDING_SECONDS - time.monotonic()))


def _device_hash(request: Request, email: str) -> Wire:
    return encode(services_of(request).devices.hash_of(request, email))


async def _open_session(
    request: Request,
    user_id: UUID,
    password_hash: str,
    *,
    counted_for: str | None = None,
    tenant_id: Wire = None,
    status: int = 200,
) -> Response:
    """A session for someone who has just proved to be who they are. `counted_for`: the address with which `_attempt`
    counted. Raises `Problem` 401 when `password_hash` is no longer theirs, 404 when the tenant is not."""
    services = services_of(request)
    secret, token_id, now = new_session_secret(), secrets.token_urlsafe(32), datetime.now(UTC)
    arguments = {
        "p_user_id": encode(user_id),
        "p_password_hash": encode(password_hash),
        "p_secret_hash": encode(secret_hash(secret)),
        "p_refresh_hash": encode(secret_hash(token_id)),
        "p_tenant_id": tenant_id,
        "p_device_hash": None if counted_for is None else _device_hash(request, counted_for),
        "p_was_counted": b"true" if counted_for is not None else b"false",
    }
    opened = _object(await services.database.call_auth("log_in", arguments, request=request))
    expires_at = now + timedelta(seconds=REFRESH_TOKEN_SECONDS)
    access_token, refresh_token = await run_in_threadpool(
        _issue_tokens,
        services,
        user_id=user_id,
        tenant_id=UUID(opened["tenant"]["id"]) if opened["tenant"] else None,
        secret=secret,
        token_id=token_id,
        issued_at=now,
        expires_at=expires_at,
    )
    response = _json(opened | _bearer(access_token), status)
    _set_refresh_cookie(services, response, refresh_token, expires_at)
    services.csrf.set_cookie(response, services.csrf.token_of(secret))
    services.devices.remember(request, response, opened["user"]["email"])
    return response


def _issue_tokens(
    services: Services,
    *,
    user_id: UUID,
    tenant_id: UUID | None,
    secret: str,
    token_id: str,
    issued_at: datetime,
    expires_at: datetime,
) -> tuple[str, str]:
    """Two RSA signatures, some milliseconds each: not on the event loop."""
    keys, issuer = services.keys, services.settings.base_url
    return (
        issue_access_token(keys, issuer=issuer, user_id=user_id, tenant_id=tenant_id, session_secret=secret),
        issue_refresh_token(
            keys,
            issuer=issuer,
            user_id=user_id,
            session_secret=secret,
            token_id=token_id,
            issued_at=issued_at,
            expires_at=expires_at,
        ),
    )


async def _rehash(request: Request, user_id: str, password: str, stored: str) -> None:
    """Stores the hash at the configured cost. Whoever has logged in is in, also when this must wait for next time."""
    services = services_of(request)
    if not services.hasher.needs_rehash(stored):
        return
    try:
        hashes = {"p_old_hash": encode(stored), "p_new_hash": encode(await services.hasher.hash(password))}
        await services.database.call_auth("rehash_password", {"p_user_id": encode(user_id)} | hashes, request=request)
    except (HashingBusy, Problem):
        log.warning("a password could not be hashed at the new cost, request %s", request.state.request_id)


async def _new_hash(services: Services, field: str, password: str, words: list[str]) -> str:
    await _check_new(services, field, password, words)
    return await services.hasher.hash(password)


async def _check_new(services: Services, field: str, password: str, words: list[str]) -> None:
    """Raises `Problem` 422 for a password that may not be set."""
    try:
        await services.hasher.check_new(password, words)
    except PasswordRefused as refused:
        raise Problem.of_field(field, str(refused)) from None


def _words(person: dict[str, Any]) -> list[str]:
    return [person["email"], person["display_name"], *person["tenant_names"]]


def _new_mail(services: Services, template: str, address: str) -> tuple[Wire, Wire]:
    """The id of a mail, and the SHA-256 of the token that its link will have."""
    outbox_id = uuid4()
    token = mail_tokens.token(services.mail_key, outbox_id, template, mail_tokens.normalise(address))
    return encode(outbox_id), encode(mail_tokens.token_hash(token))


def _token_hash(token: Wire) -> Wire:
    return encode(mail_tokens.token_hash(_text(token)))


async def _accepted(started: float) -> Response:
    await asyncio.sleep(max(0.0, started + QUIET_SECONDS - time.monotonic()))
    return _json({"status": "accepted"}, 202)


def _closed() -> Problem:
    return Problem("forbidden", "Registration is closed. Ask someone in the tenant to invite you.")


def _used_up() -> Problem:
    return Problem("not_found", "This link was used, is too old, or never was one.")


def _bearer(access_token: str) -> dict[str, Json]:
    return {"access_token": access_token, "token_type": "Bearer", "expires_in": ACCESS_TOKEN_SECONDS}


def _set_refresh_cookie(services: Services, response: Response, token: str, expires_at: datetime) -> None:
    is_production = services.settings.environment == "production"
    response.set_cookie(
        refresh_cookie_name(is_production=is_production),
        token,
        max_age=round((expires_at - datetime.now(UTC)).total_seconds()),
        path=AUTH_PATH,
        secure=is_production,
        httponly=True,
        samesite="lax",
    )


def _set_registrant_cookie(services: Services, response: Response, registrant: str) -> None:
    is_production = services.settings.environment == "production"
    response.set_cookie(
        cookie_name(REGISTRANT_COOKIE, path="/", is_production=is_production),
        registrant,
        max_age=REGISTRANT_SECONDS,
        path="/",
        secure=is_production,
        httponly=True,
        samesite="lax",
    )


def _clear_registrant_cookie(services: Services, response: Response) -> None:
    is_production = services.settings.environment == "production"
    name = cookie_name(REGISTRANT_COOKIE, path="/", is_production=is_production)
    response.delete_cookie(name, path="/", secure=is_production, httponly=True, samesite="lax")


def _registrant_hash(request: Request) -> Wire:
    """Of the secret that this browser got when it registered. None without one; with two, one is planted."""
    is_production = services_of(request).settings.environment == "production"
    shown = values_of(request, cookie_name(REGISTRANT_COOKIE, path="/", is_production=is_production))
    return encode(secret_hash(shown[0])) if len(shown) == 1 and shown[0].isascii() else None


def _clear_cookies(services: Services, response: Response) -> None:
    is_production = services.settings.environment == "production"
    response.delete_cookie(
        refresh_cookie_name(is_production=is_production),
        path=AUTH_PATH,
        secure=is_production,
        httponly=True,
        samesite="lax",
    )
    services.csrf.clear_cookie(response)


def _address(value: Wire) -> str:
    """What somebody typed as their address. What is none may be a password in the wrong field: PostgreSQL, which may
    log what it is asked, gets its hash, which nobody has as an address."""
    text = _text(value)
    return text if _ADDRESS.fullmatch(text) else hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _json(document: Json, status: int = 200) -> Response:
    return Response(json.dumps(document), status, media_type="application/json")


def _object(text: bytes | None) -> dict[str, Any]:
    """A procedure's JSON object; empty when it returned no row."""
    document: dict[str, Any] = json.loads(text or b"{}")
    return document


def _text(value: Wire) -> str:
    return (value or b"").decode("utf-8")


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    HandlerRoute(
        method="GET",
        path=f"{AUTH_PATH}csrf",
        tag="identity",
        summary="Get a CSRF token",
        description=(
            "Sets the cookie limena_csrf (in production __Host-limena_csrf). Whatever changes something and is not "
            "called with an API key needs the cookie, and its value in the header X-CSRF-Token. It belongs to the "
            "session of the access token or of the refresh cookie, and else to the browser: after a log-in there is a "
            "new one."
        ),
        handler=csrf_token,
        answer="CsrfToken",
    ),
    HandlerRoute(
        method="POST",
        path=f"{AUTH_PATH}register",
        tag="identity",
        summary="Register",
        description=(
            "Makes a person and a tenant that is theirs, and logs them in. Where addresses are verified, the answer is "
            "202 for every address, and the mail has a link; where registration is closed, it is 403."
        ),
        handler=register,
        procedures=("register_user", "request_registration", "log_in"),
        body=_REGISTRATION,
        status=201,
        also={202: "Accepted"},
        answer="LogIn",
        errors=("forbidden", "conflict"),
        example={
            "email": "ada@example.com",
            "password": "correct horse battery staple",
            "display_name": "Ada Lovelace",
            "tenant_name": "Analytical Engines",
        },
    ),
    HandlerRoute(
        method="POST",
        path=f"{AUTH_PATH}verify",
        tag="identity",
        summary="Follow the link of a registration",
        description=(
            "Makes the account that was asked for, and logs in. The link is good once, for one day. In the browser "
            "that registered (by its cookie limena_registrant) the password is the one that was given then. Anywhere "
            "else a password is needed, which becomes the account's: without it the answer is 422 for the field "
            "password, and the link stays good. So nobody gets an account whose password a stranger knows."
        ),
        handler=verify,
        procedures=("find_registration", "verify_registration", "log_in"),
        body={"token": _TEXT, "password": Field(TYPES["text"], required=False, nullable=True)},
        answer="LogIn",
        errors=("unauthenticated", "forbidden", "not_found", "conflict"),
        example={"token": "W5sBvyP2kq9mJc0rT8hXzL1dNfGaUe4iOoQ7S3EwYxA"},
    ),
    HandlerRoute(
        method="POST",
        path=f"{AUTH_PATH}link",
        tag="identity",
        summary="Ask whose a link is",
        description=(
            "The address that the link of a registration or an invitation was sent to: to be shown before it is "
            "followed, for whoever is given somebody else's link makes somebody else's account. Changes nothing."
        ),
        handler=link,
        procedures=("find_registration", "find_invitation"),
        body={"token": _TEXT},
        answer="Link",
        example={"token": "W5sBvyP2kq9mJc0rT8hXzL1dNfGaUe4iOoQ7S3EwYxA"},
    ),
    HandlerRoute(
        method="POST",
        path=f"{AUTH_PATH}login",
        tag="identity",
        summary="Log in",
        description=(
            "Opens a session. The access token goes into the Authorization header of later requests; the refresh token "
            "is in an HttpOnly cookie. Without tenant_id the session is in the tenant where the person was last. After "
            "several failures the next attempt must wait, longer each time."
        ),
        handler=log_in,
        procedures=("begin_log_in", "log_in", "record_failed_log_in", "rehash_password", "take_back_log_in"),
        body=_LOG_IN,
        answer="LogIn",
        errors=("unauthenticated", "rate_limited"),
        example={"email": "ada@example.com", "password": "correct horse battery staple"},
    ),
    HandlerRoute(
        method="POST",
        path=f"{AUTH_PATH}invitations/accept",
        tag="identity",
        summary="Accept an invitation",
        description=(
            "Joins the tenant and logs in there. Someone without an account makes one, with a password and a name. "
            "Someone who has one shows their access token, or gives their password. The link is good once, for seven "
            "days, and for the address that was invited."
        ),
        handler=accept_invitation,
        procedures=(
            "find_invitation",
            "accept_invitation",
            "begin_log_in",
            "take_back_log_in",
            "record_failed_log_in",
            "log_in",
        ),
        body={
            "token": _TEXT,
            "password": Field(TYPES["text"], required=False, nullable=True),
            "display_name": Field(TYPES["text"], required=False, nullable=True),
        },
        answer="LogIn",
        errors=(
            "unauthenticated",
            "token_expired",
            "session_revoked",
            "forbidden",
            "tenant_frozen",
            "not_found",
            "conflict",
            "rate_limited",
        ),
        example={
            "token": "W5sBvyP2kq9mJc0rT8hXzL1dNfGaUe4iOoQ7S3EwYxA",
            "password": "correct horse battery staple",
            "display_name": "Grace Hopper",
        },
    ),
    HandlerRoute(
        method="POST",
        path=f"{AUTH_PATH}refresh",
        tag="identity",
        summary="Refresh",
        description=(
            "A new access token, and a new refresh token in the cookie. A refresh token is good once; for 10 seconds "
            "after, it yields the same successor again, or, when that was used as well, no cookie: the browser has a "
            "newer one. Later it ends the session."
        ),
        caller=Caller.REFRESH_COOKIE,
        handler=refresh,
        procedures=("refresh_session",),
        answer="AccessToken",
    ),
    ProcedureRoute(
        method="POST",
        path=f"{AUTH_PATH}logout",
        tag="identity",
        summary="Log out",
        procedure="log_out",
        permission=None,
        accepts_api_keys=False,
        finish=_clear_cookies,
        status=204,
        answer=None,
    ),
    ProcedureRoute(
        method="POST",
        path=f"{AUTH_PATH}logout-all",
        tag="identity",
        summary="Log out everywhere",
        procedure="log_out_all",
        permission=None,
        accepts_api_keys=False,
        finish=_clear_cookies,
        status=204,
        answer=None,
    ),
    HandlerRoute(
        method="POST",
        path=f"{AUTH_PATH}password",
        tag="identity",
        summary="Change the password",
        description="Ends the person's other sessions.",
        caller=Caller.SESSION,
        handler=change_password,
        procedures=("find_password", "begin_log_in", "record_failed_log_in", "change_password", "take_back_log_in"),
        body={"current_password": _TEXT, "new_password": _TEXT},
        status=204,
        answer=None,
        errors=("rate_limited",),
        example={"current_password": "correct horse battery staple", "new_password": "seven violet umbrellas hum"},
    ),
    HandlerRoute(
        method="POST",
        path=f"{AUTH_PATH}password/forgot",
        tag="identity",
        summary="Ask for a link to set a new password",
        description="The answer is the same whether the address has an account or not.",
        handler=forgot_password,
        procedures=("request_password_reset",),
        body={"email": _TEXT},
        status=202,
        answer="Accepted",
        example={"email": "ada@example.com"},
    ),
    HandlerRoute(
        method="POST",
        path=f"{AUTH_PATH}password/reset",
        tag="identity",
        summary="Set a new password by a link",
        description="The link is good once, for one hour. Ends all sessions of the person.",
        handler=reset_password,
        procedures=("find_password_reset", "reset_password"),
        body={"token": _TEXT, "new_password": _TEXT},
        status=204,
        answer=None,
        errors=("not_found",),
        example={
            "token": "W5sBvyP2kq9mJc0rT8hXzL1dNfGaUe4iOoQ7S3EwYxA",
            "new_password": "seven violet umbrellas hum",
        },
    ),
    ProcedureRoute(
        method="GET",
        path=f"{AUTH_PATH}sessions",
        tag="identity",
        summary="List sessions",
        procedure="list_sessions",
        permission=None,
        accepts_api_keys=False,
        query=("limit", "after"),
        answer="SessionList",
    ),
    ProcedureRoute(
        method="DELETE",
        path=f"{AUTH_PATH}sessions/{{id}}",
        tag="identity",
        summary="End a session",
        procedure="end_session",
        permission=None,
        accepts_api_keys=False,
        path_arguments=("id",),
        status=204,
        answer=None,
    ),
    ProcedureRoute(
        method="GET",
        path=f"{AUTH_PATH}tenants",
        tag="identity",
        summary="List one's tenants",
        procedure="list_tenants",
        permission=None,
        accepts_api_keys=False,
        query=("limit", "after"),
        answer="MyTenantList",
    ),
    HandlerRoute(
        method="POST",
        path=f"{AUTH_PATH}tenant",
        tag="identity",
        summary="Switch the tenant",
        description="An access token of the same session for another of the person's tenants. Refreshes keep to it.",
        caller=Caller.SESSION,
        handler=switch_tenant,
        procedures=("switch_tenant",),
        body={"tenant_id": Field(TYPES["uuid"])},
        answer="AccessToken",
        errors=("not_found",),
        example={"tenant_id": "3f2b8c1e-5d4a-4c6b-9e7f-0a1b2c3d4e5f"},
    ),
)
