"""From the `Authorization` header to a credential that is worth showing to the database.

What is checked here costs no query: the scheme, an API key's checksum, a token's signature, type, audience and time.
Whether session or key still live is the database's answer. Refuses a credential in any other place: no query parameter,
no form field (RFC 6750 sections 2.2 and 2.3), and no cookie but the refresh token, which opens nothing but its
successor.
"""

from __future__ import annotations

from typing import Final

from starlette.requests import HTTPConnection

from limena import api_key_format
from limena.cookies import values_of
from limena.errors import Problem
from limena.tokens import (
    AccessToken,
    KeyRing,
    RefreshToken,
    TokenError,
    TokenExpired,
    TokenInvalid,
    secret_hash,
    verify_access_token,
    verify_refresh_token,
)
from limena.transaction import ApiKeyCredential, Credential, SessionCredential

REFRESH_COOKIE: Final = "limena_refresh"
_MAX_LENGTH: Final = 8192


def authenticate(request: HTTPConnection, keys: KeyRing, *, issuer: str) -> Credential:
    """The credential of a request. Raises `Problem` 401: `unauthenticated`, `token_expired` or `invalid_api_key`."""
    token = _bearer(request)
    if token.startswith(api_key_format.PREFIX):
        key_hash = api_key_format.parse(token)
        if key_hash is None:
            raise Problem("invalid_api_key")
        return ApiKeyCredential(key_hash)
    access = _access_token(token, keys, issuer=issuer)
    return SessionCredential(secret_hash(access.session_secret), access.tenant_id)


def access_token_of(request: HTTPConnection, keys: KeyRing, *, issuer: str) -> AccessToken:
    """What the access token of a request says. Raises `Problem` 401."""
    return _access_token(_bearer(request), keys, issuer=issuer)


def refresh_cookie_name(*, is_production: bool) -> str:
    """Browsers take a cookie whose name begins with `__Secure-` over TLS only (RFC 6265bis section 4.1.3.1)."""
    return f"__Secure-{REFRESH_COOKIE}" if is_production else REFRESH_COOKIE


def refresh_token_of(request: HTTPConnection, keys: KeyRing, *, issuer: str, cookie: str) -> RefreshToken:
    """What the refresh cookie of a request says. Raises `Problem` 401 when there is none, more than one, or one that we
    did not sign or whose time is over."""
    shown = values_of(request, cookie)
    if len(shown) != 1:
        raise Problem("unauthenticated", "There is no refresh token. Log in.")
    try:
        return verify_refresh_token(keys, shown[0], issuer=issuer)
    except TokenError:
        raise Problem("unauthenticated", "The refresh token is not valid. Log in.") from None


def shown_session(request: HTTPConnection, keys: KeyRing, *, issuer: str, cookie: str) -> str | None:
    """The secret of the session that a request shows, by its access token or else by its refresh cookie; None without
    one. Whether the session lives, and whether the request may act in it, is not asked here."""
    try:
        return access_token_of(request, keys, issuer=issuer).session_secret
    except Problem:
        pass
    try:
        return refresh_token_of(request, keys, issuer=issuer, cookie=cookie).session_secret
    except Problem:
        return None


def shows_api_key(request: HTTPConnection) -> bool:
    """Whether a request is an API key's. No page of another site can make a browser send such a header."""
    try:
        return api_key_format.parse(_bearer(request)) is not None
    except Problem:
        return False


def _bearer(request: HTTPConnection) -> str:
    shown = request.headers.getlist("authorization")
    if len(shown) != 1 or len(shown[0]) > _MAX_LENGTH:
        raise Problem("unauthenticated")
    scheme, _, token = shown[0].partition(" ")
    if scheme.lower() != "bearer":
        raise Problem("unauthenticated")
    return token.strip(" ")


def _access_token(token: str, keys: KeyRing, *, issuer: str) -> AccessToken:
    try:
        return verify_access_token(keys, token, issuer=issuer)
    except TokenExpired:
        raise Problem("token_expired") from None
    except TokenInvalid:
        raise Problem("unauthenticated") from None
