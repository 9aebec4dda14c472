"""The third parties that a tenant can connect. One entry each; nothing else in the code knows one by its name.

An OAuth 2 provider is offered when the operator has registered this server with it: LIMENA_<NAME>_CLIENT_ID and, unless
the client is a public one, LIMENA_<NAME>_CLIENT_SECRET, with the redirect URI
<LIMENA_BASE_URL>/settings/integrations/callback. LIMENA_<NAME>_SCOPES says what to ask for. To add a provider: add an
entry here and its variables to limena.config.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class ApiKeyProvider:
    """A provider that is used with a key, which someone pastes."""

    name: str
    title: str
    base_url: str | None
    """None: the tenant says where it is."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    authorization: str
    token: str
    revocation: str | None
    """RFC 7009; None: the provider offers none."""
    auth_method: Literal["client_secret_basic", "client_secret_post"] = "client_secret_basic"
    issuer: str | None = None
    """What `iss` in the provider's answer has to be (RFC 9207), where it is known."""
    tells_issuer: bool = False
    """Whether each of its answers has `iss`: then one without is somebody else's."""


@dataclass(frozen=True, slots=True)
class OAuthProvider:
    """A provider that is connected with OAuth 2, authorization code and PKCE."""

    name: str
    title: str
    endpoints: Endpoints | None
    """None: they are asked of the issuer (OpenID Connect Discovery 1.0, RFC 8414). `{tenant}` is filled in from
    LIMENA_<NAME>_TENANT."""
    scopes: str
    """Asked for unless the operator says otherwise."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Added to the authorization request."""


Provider: TypeAlias = ApiKeyProvider | OAuthProvider

PROVIDERS: Final[Mapping[str, Provider]] = {
    provider.name: provider
    for provider in (
        ApiKeyProvider("anthropic", "Anthropic", "https://api.anthropic.com"),
        ApiKeyProvider("openai", "OpenAI", "https://api.openai.com/v1"),
        ApiKeyProvider("openai-compatible", "OpenAI-compatible", None),
        OAuthProvider(
            "google",
            "Google",
            Endpoints(
                authorization="https://accounts.google.com/o/oauth2/v2/auth",
                token="https://oauth2.googleapis.com/token",  # noqa: S106 – an address
                revocation="https://oauth2.googleapis.com/revoke",
                issuer="https://accounts.google.com",
            ),
            scopes="openid email",
            # Without these Google sends a refresh token the first time only.
            parameters={"access_type": "offline", "prompt": "consent"},
        ),
        OAuthProvider(
            "microsoft",
            "Microsoft",
            Endpoints(
                authorization="https://login.microsoftonline.com/{tenant}/oauth2/v2.0/authorize",
                token="https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token",  # noqa: S106 – an address
                revocation=None,
                auth_method="client_secret_post",
            ),
            scopes="openid email offline_access",
        ),
        OAuthProvider("oidc", "OpenID Connect", None, scopes="openid offline_access"),
    )
}


@dataclass(frozen=True, slots=True)
class OAuthRegistration:
    """What the operator got from a provider when they registered this server with it."""

    client_id: str
    client_secret: str | None = field(repr=False)
    """None: a public client, which PKCE alone protects."""
    scopes: str
    issuer: str | None = None
    """Where the endpoints are asked for, for a provider that has none in `PROVIDERS`."""
    tenant: str | None = None
