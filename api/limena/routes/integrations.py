"""Integrations: connecting third parties and using them.

PostgreSQL decides who may, and keeps ciphertexts; what is sealed, opened and asked of a provider is here, in between
two procedures. No transaction is open while a provider is asked. Refuses to show a secret: the one thing that leaves is
an access token, to a caller with `integrations:use`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NoReturn
from uuid import UUID, uuid4

from starlette.requests import Request
from starlette.responses import Response

from limena.errors import FieldError, Problem
from limena.input import Field
from limena.integrations import Integrations, sealed_credentials, split_base_url, with_base_url
from limena.oauth import OAuthClient, ProviderRefused, ProviderUnavailable, Tokens
from limena.outbound import OutboundRefused
from limena.providers import PROVIDERS, ApiKeyProvider, OAuthProvider, Provider
from limena.routing import Caller, Endpoint, HandlerRoute
from limena.services import Services, services_of
from limena.values import TYPES, Json, Wire, encode
from limena.vault import Place, Sealed, Secret, UnreadableCredential

log = logging.getLogger("limena")

WAIT_SECONDS: Final = 15.0
"""How long a caller waits for another one's refresh."""
_SETTLE_SECONDS: Final = 30.0
"""With the 25 that a provider has for its answer, well below the 90 of the lease."""
_POLL_SECONDS: Final = (0.1, 1.6)
"""Between two questions: the first time, and at most."""
_REFRESHES: Final[set[asyncio.Task[Response]]] = set()
_API_KEY: Final = re.compile(r"[!-~]{1,4096}")
"""It goes into a header: visible ASCII characters, and nothing that could end one."""
_CODE: Final = re.compile(r"[ -~]{1,8192}")
_STATE: Final = re.compile(r"[!-~]{1,512}")
_WRITE: Final = "integrations:write"
_USE: Final = "integrations:use"


# Seeing, pasting, disconnecting
# ---------------------------------------------------------------------------------------------------------------------


async def list_integrations(request: Request) -> Response:
    integrations = services_of(request).integrations
    document = await _call(request, "read_integrations", {"p_permission": encode("integrations:read")})
    items = await asyncio.to_thread(_without_credentials, integrations, document)  # others wait for no cipher
    providers: list[Json] = [
        {
            "provider": provider.name,
            "title": provider.title,
            "kind": "api_key" if isinstance(provider, ApiKeyProvider) else "oauth",
            "takes_base_url": isinstance(provider, ApiKeyProvider) and provider.base_url is None,
            "is_available": isinstance(provider, ApiKeyProvider) or provider.name in integrations.clients,
        }
        for provider in PROVIDERS.values()
    ]
    return _json({"items": items, "next": None, "providers": providers})


def _without_credentials(integrations: Integrations, document: Mapping[str, Any]) -> list[Json]:
    """What may be shown of each integration: whether its credentials open, and not them."""
    items: list[Json] = []
    for item in document["items"]:
        for sealed, place in sealed_credentials(document, item):
            try:
                secret = integrations.open(item["provider"], sealed, place, _salt(document))
            except UnreadableCredential:
                item["state"] = "unreadable"
                continue
            if item["base_url"] not in (None, split_base_url(item["provider"], secret)[0]):
                item["state"] = "unreadable"  # somebody has written another address beside it
        del item["credentials"]
        items.append(item)
    return items


async def put_integration(request: Request) -> Response:
    """Stores an API key. The provider is not called: whether the key is good shows when it is used."""
    services, body = services_of(request), request.state.body
    provider = await _provider(request, _WRITE)
    secret, base_url = Secret(_text(body["secret"])), body.get("base_url")
    errors = []
    if _API_KEY.fullmatch(secret.reveal()) is None:
        errors.append(FieldError("secret", "must have 1 to 4096 visible ASCII characters"))
    if isinstance(provider, ApiKeyProvider) and (provider.base_url is None) != (base_url is not None):
        message = "is required for this provider" if base_url is None else "cannot be given for this provider"
        errors.append(FieldError("base_url", message))
    if errors:
        raise Problem("validation_failed", errors=errors)
    prepared = await _call(request, "prepare_integration", {"p_provider": encode(provider.name)})
    if not isinstance(provider, ApiKeyProvider):
        raise Problem("conflict", "This provider is connected by authorizing it, not with a key.")
    if base_url is not None:
        try:
            await services.integrations.guard.check_url(_text(base_url), on_behalf_of=prepared["tenant_id"])
        except OutboundRefused as refused:
            raise Problem.of_field("base_url", str(refused)) from None
    secret = with_base_url(secret, None if base_url is None else _text(base_url))
    sealed = _seal(services, prepared, "secret", secret)
    arguments = {"p_label": body.get("label"), "p_base_url": base_url, "p_secret": encode(sealed.ciphertext)}
    return await _connect(request, prepared, sealed.key_version, arguments)


async def delete_integration(request: Request) -> Response:
    """Forgets, then revokes at the provider, then puts on record what came of that: NULL until then, and for good where
    this process dies. Someone who wants to be rid of a connection must not depend on the provider's health."""
    name = (await _provider(request, _WRITE)).name
    gone = await _call(request, "disconnect_integration", {"p_provider": encode(name)})
    outcome = {
        "p_integration_id": encode(gone["id"]),
        "p_disconnected_at": encode(gone["disconnected_at"]),
        "p_revocation": encode(await _revoke(services_of(request), gone)),
    }
    try:
        await _call(request, "record_revocation", outcome)
    except Problem as problem:
        # It is disconnected, which is what was asked for: the caller's session ended meanwhile, or they connected anew.
        log.warning("what became of the tokens of %s was not recorded: %s", name, problem.code)
    return Response(status_code=204)


async def _revoke(services: Services, gone: Mapping[str, Any]) -> str:
    """The refresh token, with which most providers end the whole grant (RFC 7009 section 2.1), or else the access
    token."""
    client = services.integrations.clients.get(gone["provider"])
    found = {place.field: (sealed, place) for sealed, place in sealed_credentials(gone, gone)}
    if client is None:
        return "not_offered"
    for field in ("refresh_token", "access_token"):
        if field in found:
            try:
                token = services.integrations.open(gone["provider"], *found[field], _salt(gone))
            except UnreadableCredential:
                return "unreadable"
            return await client.revoke(token, "refresh_token" if field == "refresh_token" else "access_token")
    return "not_offered"


# Connecting with OAuth 2
# ---------------------------------------------------------------------------------------------------------------------


async def authorize(request: Request) -> Response:
    """Begins a connection: the state is the browser's, its SHA-256 and the sealed code verifier are the database's."""
    services = services_of(request)
    name = (await _provider(request, _WRITE)).name
    prepared = await _call(request, "prepare_integration", {"p_provider": encode(name)})
    client = _client(services, name)

    # The page to which the provider redirects reads the provider's name off the state.
    state = f"{name}.{secrets.token_urlsafe(32)}"
    verifier = Secret(secrets.token_urlsafe(48))  # RFC 7636 section 4.1: 43 to 128 characters
    try:
        url = await client.authorization_url(state, verifier)
    except ProviderUnavailable:
        raise Problem("provider_unavailable") from None
    flow_id = uuid4()
    sealed = services.integrations.vault.seal(
        verifier, Place(UUID(prepared["tenant_id"]), flow_id, "code_verifier"), _salt(prepared)
    )
    await _call(
        request,
        "begin_integration_flow",
        {
            "p_provider": encode(name),
            "p_flow_id": encode(flow_id),
            "p_state_hash": encode(_hash(state)),
            "p_key_version": encode(str(sealed.key_version)),
            "p_code_verifier": encode(sealed.ciphertext),
        },
    )
    return _json({"authorization_url": url})


async def callback(request: Request) -> Response:
    """Ends a connection: uses the state up, redeems the code, stores the tokens. Each failure is on record."""
    services, body = services_of(request), request.state.body
    name = (await _provider(request, _WRITE)).name
    state, code = _text(body["state"]), body.get("code")
    if _STATE.fullmatch(state) is None:
        raise Problem.of_field("state", "is not one of ours")
    if code is not None and _CODE.fullmatch(_text(code)) is None:
        raise Problem.of_field("code", "must have 1 to 8192 printable ASCII characters")
    if (code is None) == (body.get("error") is None):
        raise Problem.of_field("code", "is required, or error instead of it")

    arguments = {"p_provider": encode(name), "p_state_hash": encode(_hash(state))}
    flow = await _call(request, "take_integration_flow", arguments)
    client = _client(services, name)
    if flow is None:
        raise Problem.of_field("state", "was used, is over, or belongs to another session")
    if code is None:
        await _fail(request, "denied")
    sealed = Sealed(flow["key_version"], bytes.fromhex(flow["ciphertext"]))
    place = Place(UUID(flow["tenant_id"]), UUID(flow["flow_id"]), "code_verifier")
    try:
        verifier = services.integrations.open(name, sealed, place, _salt(flow))
        issuer = body.get("iss")
        if not await client.is_own_issuer(None if issuer is None else _text(issuer)):
            raise ProviderRefused
        tokens = await client.redeem(Secret(_text(code)), verifier)
    except UnreadableCredential:
        await _fail(request, "unreadable")
    except ProviderRefused:
        await _fail(request, "refused")
    except ProviderUnavailable:
        await _fail(request, "unreachable")
    try:
        prepared = await _call(request, "prepare_integration", {"p_provider": encode(name)})
        version, arguments = _sealed_tokens(services, prepared, tokens)
        return await _connect(request, prepared, version, arguments)
    except BaseException:
        # They were granted and are stored nowhere: the session ended meanwhile, or somebody else was quicker.
        await _give_back(client, tokens)
        raise


# Using
# ---------------------------------------------------------------------------------------------------------------------


async def access_token(request: Request) -> Response:
    """A fresh access token. Whoever holds the lease refreshes it; all others wait until that is done."""
    services, provider = services_of(request), await _provider(request, _USE)
    name = provider.name
    deadline, (pause, longest) = asyncio.get_running_loop().time() + WAIT_SECONDS, _POLL_SECONDS
    while True:
        found = await _call(request, "use_integration", {"p_provider": encode(name)})
        if not isinstance(provider, OAuthProvider):
            raise Problem("conflict", "This provider is used with a key, which this API does not show.")
        if found["is_failed"]:
            raise Problem("integration_failed")
        if not found["is_due"]:
            token = await _open(request, found, "access_token")
            return _token(token, found["expires_in"], found["expires_at"])
        if "refresh_token" not in found["credentials"]:
            raise Problem("integration_failed", "The access token has expired, and there is no refresh token.")
        if found["lease"] is not None:
            break
        if asyncio.get_running_loop().time() + pause > deadline:
            raise Problem("provider_unavailable", headers={"Retry-After": str(found["retry_after"] or 1)})
        await asyncio.sleep(pause)
        pause = min(pause * 2, longest)
    refresh = asyncio.create_task(_refresh(request, services, name, found))
    _REFRESHES.add(refresh)  # the event loop alone does not keep it
    refresh.add_done_callback(_REFRESHES.discard)
    return await asyncio.shield(refresh)


async def _refresh(request: Request, services: Services, name: str, found: Mapping[str, Any]) -> Response:
    """Shows the refresh token, and stores what came for it. Not to be cancelled in between: a provider that rotates has
    taken the old one back by then."""
    lease = {
        "p_tenant_id": encode(found["tenant_id"]),
        "p_integration_id": encode(found["integration_id"]),
        "p_lease": encode(found["lease"]),
    }

    async def settle(outcome: Mapping[str, Wire]) -> bool:
        """Goes on trying while the database is away and the lease lasts: what came may be the only token that is
        good."""
        deadline, pause = asyncio.get_running_loop().time() + _SETTLE_SECONDS, 0.1
        while True:
            try:
                stored = await services.database.call_auth("settle_refresh", lease | dict(outcome), request=request)
                return stored == b"true"
            except Problem as problem:
                if problem.code != "unavailable" or asyncio.get_running_loop().time() + pause > deadline:
                    raise
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)

    try:
        refresh_token = await _open(request, found, "refresh_token")
        tokens = await _client(services, name).refresh(refresh_token)
    except ProviderRefused:
        await settle({"p_is_refused": b"true"})
        raise Problem("integration_failed") from None
    except ProviderUnavailable as error:
        if error.is_settled:
            await settle({})
        # Else the provider may have rotated, or be about to: the lease runs out by itself.
        raise Problem("provider_unavailable") from None
    except Problem:
        await settle({})
        raise
    version, sealed = _sealed_tokens(services, found, tokens)
    try:
        stored = await settle(
            {"p_key_version": encode(str(version))} | {k: v for k, v in sealed.items() if k != "p_scopes"}
        )
    except Problem:
        # Not as long as the lease lasts: nobody else may be left with what nobody here has.
        await _give_back(_client(services, name), tokens)
        raise
    if not stored:
        # Disconnected, or connected anew, while the provider was asked.
        await _give_back(_client(services, name), tokens)
        raise Problem("conflict", "The connection was changed at this moment. Ask again.")
    expires_at = None if tokens.expires_in is None else datetime.now(UTC) + timedelta(seconds=tokens.expires_in)
    return _token(tokens.access_token, tokens.expires_in, None if expires_at is None else expires_at.isoformat())


# Parts
# ---------------------------------------------------------------------------------------------------------------------


async def _connect(
    request: Request, prepared: Mapping[str, Any], key_version: int, arguments: Mapping[str, Wire]
) -> Response:
    connected = await _call(
        request,
        "connect_integration",
        {
            "p_provider": encode(request.path_params["provider"]),
            "p_integration_id": encode(prepared["integration_id"]),
            "p_key_version": encode(str(key_version)),
            **arguments,
        },
    )
    return _json(connected)


async def _call(request: Request, procedure: str, arguments: Mapping[str, Wire]) -> Any:
    """What a procedure answers in the context of the caller."""
    route = f"{request.method} {request.scope['route'].path}"
    answer = await services_of(request).database.call(
        procedure, arguments, credential=request.state.credential, request=request, route=route
    )
    return json.loads(answer) if answer else None


async def _fail(request: Request, reason: str) -> NoReturn:
    """Puts on record that a connection did not come about, and tells the caller."""
    arguments = {"p_provider": encode(request.path_params["provider"]), "p_reason": encode(reason)}
    await _call(request, "record_integration_failure", arguments)
    if reason == "unreachable":
        raise Problem("provider_unavailable")
    if reason == "unreadable":
        raise Problem("integration_unreadable")
    denied = "Consent was not given." if reason == "denied" else None
    raise Problem("integration_failed", denied)


async def _open(request: Request, found: Mapping[str, Any], field: str) -> Secret:
    """One of the tokens that `use_integration` tells. Raises `Problem` when it does not open."""
    one = found["credentials"].get(field)
    if one is None:
        raise Problem("integration_failed")
    sealed = Sealed(one["key_version"], bytes.fromhex(one["ciphertext"]))
    place = Place(UUID(found["tenant_id"]), UUID(found["integration_id"]), field)
    try:
        return services_of(request).integrations.open(request.path_params["provider"], sealed, place, _salt(found))
    except UnreadableCredential:
        await _fail(request, "unreadable")


def _sealed_tokens(services: Services, prepared: Mapping[str, Any], tokens: Tokens) -> tuple[int, dict[str, Wire]]:
    access = _seal(services, prepared, "access_token", tokens.access_token)
    arguments = {"p_access_token": encode(access.ciphertext), "p_scopes": encode(tokens.scopes)}
    if tokens.expires_in is not None:
        arguments["p_expires_in"] = encode(str(tokens.expires_in))
    if tokens.refresh_token is not None:
        refresh = _seal(services, prepared, "refresh_token", tokens.refresh_token)
        arguments["p_refresh_token"] = encode(refresh.ciphertext)
    return access.key_version, arguments


def _seal(services: Services, prepared: Mapping[str, Any], field: str, secret: Secret) -> Sealed:
    place = Place(UUID(prepared["tenant_id"]), UUID(prepared["integration_id"]), field)
    return services.integrations.vault.seal(secret, place, _salt(prepared))


async def _give_back(client: OAuthClient, tokens: Tokens) -> None:
    if tokens.refresh_token is not None:
        await client.revoke(tokens.refresh_token, "refresh_token")
    else:
        await client.revoke(tokens.access_token, "access_token")


async def _provider(request: Request, permission: str) -> Provider:
    """The provider that the path names. One that there is not is told to those alone who could connect it, and never
    shown to PostgreSQL."""
    provider = PROVIDERS.get(request.path_params["provider"])
    if provider is None:
        await _call(request, "require", {"p_permission": encode(permission)})
        raise Problem("not_found")
    return provider


def _client(services: Services, name: str) -> OAuthClient:
    if not isinstance(PROVIDERS[name], OAuthProvider):
        raise Problem("conflict", "This provider is connected with a key, not by authorizing it.")
    client = services.integrations.clients.get(name)
    if client is None:
        raise Problem("not_found", "This server is not registered with that provider.")
    return client


def _salt(document: Mapping[str, Any]) -> bytes:
    """None where it was destroyed: then nothing opens."""
    return bytes.fromhex(document["salt"] or "")


def _token(token: Secret, expires_in: int | None, expires_at: str | None) -> Response:
    return _json(
        {"access_token": token.reveal(), "token_type": "Bearer", "expires_in": expires_in, "expires_at": expires_at}
    )


def _hash(state: str) -> bytes:
    return hashlib.sha256(state.encode("ascii")).digest()


def _text(value: Wire) -> str:
    return (value or b"").decode("utf-8")


def _json(document: Json) -> Response:
    return Response(json.dumps(document, ensure_ascii=False).encode("utf-8"), media_type="application/json")


_TEXT: Final = Field(TYPES["text"])
_OPTIONAL: Final = Field(TYPES["text"], required=False, nullable=True)
_PATH: Final = "/api/v1/integrations/{provider}"
_PROVIDER: Final = {"provider": f"One of {', '.join(PROVIDERS)}."}

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    HandlerRoute(
        method="GET",
        path="/api/v1/integrations",
        tag="integrations",
        summary="List integrations",
        description="What the tenant has connected, newest first, and what it could connect. Never a secret.",
        handler=list_integrations,
        caller=Caller.CREDENTIAL,
        permission="integrations:read",
        procedures=("read_integrations",),
        answer="IntegrationList",
    ),
    HandlerRoute(
        method="PUT",
        path=_PATH,
        tag="integrations",
        summary="Connect a provider with an API key",
        description="Stores the key, encrypted, in the place of the one that was there. Does not call the provider.",
        handler=put_integration,
        caller=Caller.CREDENTIAL,
        permission=_WRITE,
        path_texts=_PROVIDER,
        body={"secret": _TEXT, "label": _OPTIONAL, "base_url": _OPTIONAL},
        procedures=("prepare_integration", "connect_integration"),
        answer="Integration",
        errors=("conflict",),
        example={"secret": "sk-…", "label": "Production"},
    ),
    HandlerRoute(
        method="DELETE",
        path=_PATH,
        tag="integrations",
        summary="Disconnect a provider",
        description="Deletes what is stored, then revokes the tokens at the provider, if it offers that. What came of "
        "it is in the audit log.",
        handler=delete_integration,
        caller=Caller.CREDENTIAL,
        permission=_WRITE,
        path_texts=_PROVIDER,
        procedures=("disconnect_integration", "record_revocation"),
        status=204,
        answer=None,
    ),
    HandlerRoute(
        method="POST",
        path=f"{_PATH}/authorize",
        tag="integrations",
        summary="Begin to connect a provider with OAuth 2",
        description="Send the browser to authorization_url. The provider sends it back to "
        "/settings/integrations/callback with a code and a state, which has the provider's name before its first full "
        "stop; within ten minutes.",
        handler=authorize,
        caller=Caller.SESSION,
        permission=_WRITE,
        path_texts=_PROVIDER,
        procedures=("prepare_integration", "begin_integration_flow"),
        answer="Authorization",
        errors=("conflict", "provider_unavailable"),
    ),
    HandlerRoute(
        method="POST",
        path=f"{_PATH}/callback",
        tag="integrations",
        summary="Finish connecting a provider with OAuth 2",
        description="What the provider's redirect had in its query: state and code, or state and error. The state is "
        "good once, in the session that began. A provider that was connected before is connected anew.",
        handler=callback,
        caller=Caller.SESSION,
        permission=_WRITE,
        path_texts=_PROVIDER,
        body={"state": _TEXT, "code": _OPTIONAL, "error": _OPTIONAL, "iss": _OPTIONAL},
        procedures=(
            "take_integration_flow",
            "prepare_integration",
            "connect_integration",
            "record_integration_failure",
        ),
        answer="Integration",
        errors=("conflict", "integration_failed", "integration_unreadable", "provider_unavailable"),
        example={"state": "google.7fJ…", "code": "4/0A…"},
    ),
    HandlerRoute(
        method="POST",
        path=f"{_PATH}/access-token",
        tag="integrations",
        summary="Obtain an access token of a connected provider",
        description="The stored one as long as it is good for another minute, else a new one from the refresh token. "
        "Callers at one moment cause one refresh.",
        handler=access_token,
        caller=Caller.CREDENTIAL,
        permission=_USE,
        path_texts=_PROVIDER,
        procedures=("use_integration", "settle_refresh", "record_integration_failure"),
        answer="IntegrationToken",
        errors=("conflict", "integration_failed", "integration_unreadable", "provider_unavailable"),
    ),
)
