"""From the `Authorization` header to a credential that is worth showing to the database.

What is checked here costs no query: the scheme, an API key's checksum, a token's signature, type, audience and time.
Whether session or key still live is the database's answer. Refuses a credential in any other place: no query parameter,
no form field (RFC 6750 sections 2.2 and 2.3), and no cookie but the refresh token, which opens nothing but its
successor.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from starlette.requests import HTTPConnection

from limena import api_key_format
from limena.cookies import cookie_name, values_of
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
REFRESH_PATH: Final = "/api/v1/auth/"
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
    return cookie_name(REFRESH_COOKIE, path=REFRESH_PATH, is_production=is_production)


def refresh_tokens_of(request: HTTPConnection, keys: KeyRing, *, issuer: str, cookie: str) -> list[RefreshToken]:
    """What the refresh cookies of a request say that we signed, newest first; also those whose time is over, which the
    database may know as spent. Raises `Problem` 401 when there is none.

    There are two when a sibling domain has planted one of its own, and the genuine one must not suffer from it. As many
    are verified as a request's head has room for: 36, at a fifth of a millisecond each."""
    genuine: list[RefreshToken] = []
    for shown in values_of(request, cookie):
        with suppress(TokenError):
            genuine.append(verify_refresh_token(keys, shown, issuer=issuer))
    if not genuine:
        raise Problem("unauthenticated", "There is no refresh token that is valid. Log in.")
    return sorted(genuine, key=lambda token: token.issued_at, reverse=True)


def shown_sessions(request: HTTPConnection, keys: KeyRing, *, issuer: str, cookie: str) -> list[str]:
    """The secrets of the sessions that a request shows: its access token's, or else those of its refresh cookies.
    Whether they live, and whether the request may act in them, is not asked here."""
    try:
        return [access_token_of(request, keys, issuer=issuer).session_secret]
    except Problem:
        pass
    try:
        tokens = refresh_tokens_of(request, keys, issuer=issuer, cookie=cookie)
    except Problem:
        return []
    return list(dict.fromkeys(token.session_secret for token in tokens))


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
