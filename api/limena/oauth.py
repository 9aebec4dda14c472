"""OAuth 2 as a client: the authorization code grant with PKCE (RFC 6749, 7636, 9700), refresh, revocation (RFC 7009).

Authlib speaks the protocol; what is here chooses the endpoints, bounds what comes back, and turns it into two errors.
The ID token of an OpenID provider is thrown away: nobody is logged in with it, so there is nothing in it to believe.
Refuses to repeat what a provider said: its error texts are its own, and could hold a token.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeGuard
from urllib.parse import urlsplit

import httpx2
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from limena.outbound import Guard, OutboundRefused
from limena.providers import Endpoints, OAuthProvider, OAuthRegistration
from limena.vault import MAX_SECRET_BYTES, Secret

CALLBACK_PATH: Final = "/settings/integrations/callback"
Revocation = Literal["done", "refused", "unreachable", "not_offered"]

TOKEN_SECONDS: Final = 25.0
"""For a provider's answer. Giving up early is not safe: it may have taken the old refresh token back."""
_DISCOVERY_SECONDS: Final = 3600.0
_TOKEN: Final = re.compile(rf"[\x20-\x7e]{{1,{MAX_SECRET_BYTES}}}")  # RFC 6749 appendix A.12
_SCOPES: Final = re.compile(r"[\x20-\x7e]{1,4096}")
_TEN_YEARS: Final = 315_360_000
_AN_HOUR: Final = 3600
_REFUSALS: Final = frozenset({"invalid_grant", "access_denied", "interaction_required", "consent_required"})
"""What says that this grant is no good. Everything else is somebody's mistake or a moment's trouble: a client that is
not registered, a server error."""


class ProviderRefused(Exception):
    """The provider says that the code or the refresh token is not, or no longer, good."""


class ProviderUnavailable(Exception):
    """The provider cannot be reached, or answers with something else than it should. `is_settled`: the request did not
    reach it, or it answered; else nobody knows what it did."""

    def __init__(self, *, is_settled: bool = True) -> None:
        super().__init__()
        self.is_settled: Final = is_settled


@dataclass(frozen=True, slots=True)
class Tokens:
    access_token: Secret
    refresh_token: Secret | None
    """None: the one that there was goes on being good."""
    expires_in: int | None
    """Seconds; None: the provider did not say."""
    scopes: str | None


class OAuthClient:
    """One provider, as this server is registered with it."""

    def __init__(
        self, provider: OAuthProvider, registration: OAuthRegistration, guard: Guard, *, base_url: str
    ) -> None:
        self._provider: Final = provider
        self._registration: Final = registration
        self._guard: Final = guard
        self._redirect_uri: Final = base_url + CALLBACK_PATH
        self._discovered: tuple[float, Endpoints] | None = None

    async def authorization_url(self, state: str, code_verifier: Secret) -> str:
        """Where to send the person. Raises `ProviderUnavailable` when the endpoints have to be asked for and cannot."""
        endpoints = await self._endpoints()
        url: str = prepare_grant_uri(
            endpoints.authorization,
            client_id=self._registration.client_id,
            response_type="code",
            redirect_uri=self._redirect_uri,
            scope=self._registration.scopes,
            state=state,
            code_challenge=create_s256_code_challenge(code_verifier.reveal()),
            code_challenge_method="S256",
            **self._provider.parameters,
        )
        return url

    async def is_own_issuer(self, issuer: str | None) -> bool:
        """Whether an answer that names its issuer, or does not, can come from this provider (RFC 9207)."""
        endpoints = await self._endpoints()
        if issuer is None:
            return not endpoints.tells_issuer
        return endpoints.issuer in (None, issuer)

    async def redeem(self, code: Secret, code_verifier: Secret) -> Tokens:
        """Raises `ProviderRefused`, `ProviderUnavailable`."""
        endpoints = await self._endpoints()
        try:
            async with self._session(endpoints) as session:
                answer = await session.fetch_token(
                    endpoints.token,
                    grant_type="authorization_code",
                    code=code.reveal(),
                    code_verifier=code_verifier.reveal(),
                )
        except OAuthError as error:
            raise _refusal(error) from None
        except _TROUBLE:
            raise ProviderUnavailable from None
        return _tokens(answer)

    async def refresh(self, refresh_token: Secret) -> Tokens:
        """Raises `ProviderRefused`, `ProviderUnavailable`."""
        shown = refresh_token.reveal()
        endpoints = await self._endpoints()
        try:
            async with self._session(endpoints) as session:
                session.scope = None  # the scopes that were granted
                session.token = {}
                answer = await session.refresh_token(endpoints.token, refresh_token=shown)
        except OAuthError as error:
            raise _refusal(error) from None
        except _UNSENT:
            raise ProviderUnavailable from None
        except _TROUBLE as error:
            raise ProviderUnavailable(is_settled=isinstance(error, httpx2.HTTPStatusError | ValueError)) from None
        tokens = _tokens(answer)
        if tokens.refresh_token is not None and tokens.refresh_token == refresh_token:
            return Tokens(tokens.access_token, None, tokens.expires_in, tokens.scopes)
        return tokens

    async def revoke(self, token: Secret, hint: Literal["access_token", "refresh_token"]) -> Revocation:
        """Tells the provider that a token is not needed any more. Does not raise: what came of it is the answer."""
        try:
            endpoints = await self._endpoints()
            if endpoints.revocation is None:
                return "not_offered"
            async with self._session(endpoints) as session:
                response = await session.revoke_token(endpoints.revocation, token=token.reveal(), token_type_hint=hint)
        except (OAuthError, ProviderUnavailable, *_TROUBLE):
            return "unreachable"
        if response.status_code == 200:
            return "done"
        return "unreachable" if response.status_code >= 500 else "refused"

    def _session(self, endpoints: Endpoints) -> Any:
        registration = self._registration
        method = endpoints.auth_method if registration.client_secret else "none"
        session: Any = AsyncOAuth2Client(
            registration.client_id,
            registration.client_secret,
            token_endpoint_auth_method=method,
            revocation_endpoint_auth_method=method,
            scope=registration.scopes,
            redirect_uri=self._redirect_uri,
            transport=self._guard.transport(seconds=TOKEN_SECONDS),
            timeout=None,  # the transport's, which is for the whole of it
            trust_env=False,
        )
        return session

    async def _endpoints(self) -> Endpoints:
        fixed, registration = self._provider.endpoints, self._registration
        if fixed is not None:
            tenant = registration.tenant or ""
            return replace(
                fixed,
                authorization=fixed.authorization.replace("{tenant}", tenant),
                token=fixed.token.replace("{tenant}", tenant),
            )
        if self._discovered is None or self._discovered[0] < time.monotonic():
            self._discovered = (time.monotonic() + _DISCOVERY_SECONDS, await self._discover(registration.issuer or ""))
        return self._discovered[1]

    async def _discover(self, issuer: str) -> Endpoints:
        """OpenID Connect Discovery 1.0, section 4; for a server that is none, RFC 8414, section 3."""
        parts = urlsplit(issuer)
        places = (
            issuer.rstrip("/") + "/.well-known/openid-configuration",
            f"{parts.scheme}://{parts.netloc}/.well-known/oauth-authorization-server{parts.path.rstrip('/')}",
        )
        try:
            async with self._guard.client() as client:
                for place in places:
                    response = await client.get(place, headers={"Accept": "application/json"})
                    if response.status_code == 200:
                        return _metadata(json.loads(response.content), issuer)
        except _TROUBLE:
            pass
        raise ProviderUnavailable


_TROUBLE: Final = (
    httpx2.HTTPError,
    httpx2.InvalidURL,
    OutboundRefused,
    OSError,
    TimeoutError,
    ValueError,
    AttributeError,
    KeyError,
    TypeError,
    RecursionError,
    ArithmeticError,
)
"""What an answer that is none raises, somewhere in httpx, Authlib or json."""


_UNSENT: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, OutboundRefused)
"""What is raised before anything is sent."""


def _refusal(error: OAuthError) -> Exception:
    return ProviderRefused() if error.error in _REFUSALS else ProviderUnavailable()


def _tokens(answer: object) -> Tokens:
    """What a token endpoint says, as far as it is believed (RFC 6749 section 5.1)."""
    if not isinstance(answer, dict) or str(answer.get("token_type", "")).lower() != "bearer":
        raise ProviderUnavailable
    access, refresh = answer.get("access_token"), answer.get("refresh_token")
    if not _is_text(access, _TOKEN) or (refresh is not None and not _is_text(refresh, _TOKEN)):
        raise ProviderUnavailable
    seconds, scopes = answer.get("expires_in"), answer.get("scope")
    if isinstance(seconds, str) and seconds.isascii() and seconds.isdecimal() and len(seconds) < 10:
        seconds = int(seconds)  # some providers quote it
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= _TEN_YEARS:
        seconds = None if refresh is None else _AN_HOUR  # RFC 6749 section 4.2.2 only recommends to say it
    elif isinstance(seconds, float):
        seconds = int(seconds)
    return Tokens(
        Secret(access),
        None if refresh is None else Secret(refresh),
        seconds,
        scopes if _is_text(scopes, _SCOPES) else None,
    )


def _is_text(value: object, pattern: re.Pattern[str]) -> TypeGuard[str]:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _metadata(document: object, issuer: str) -> Endpoints:
    if not isinstance(document, dict) or document.get("issuer") != issuer:
        raise ValueError("another issuer")  # Discovery, section 4.3: or somebody else speaks for it
    if "S256" not in (document.get("code_challenge_methods_supported") or []):
        raise ValueError("no PKCE")  # RFC 9700 section 2.1.1: a server that ignores it protects nothing
    methods = document.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
    revocation = document.get("revocation_endpoint")
    authorization = str(document["authorization_endpoint"])
    # Plain only where the issuer is, which the operator chose, for development.
    if not authorization.startswith("https://" if issuer.startswith("https://") else ("https://", "http://")):
        raise ValueError("nothing that a browser should be sent to")
    return Endpoints(
        authorization,
        str(document["token_endpoint"]),
        None if revocation is None else str(revocation),
        "client_secret_basic" if "client_secret_basic" in methods else "client_secret_post",
        issuer,
        document.get("authorization_response_iss_parameter_supported") is True,
    )
