"""From the `Authorization` header to a credential that is worth showing to the database.

What is checked here costs no query: the scheme, an API key's checksum, an access token's signature, type, audience and
time. Whether session or key still live is the database's answer. Refuses a credential in any other place: no cookie, no
query parameter, no form field (RFC 6750 sections 2.2 and 2.3).
"""

from __future__ import annotations

from typing import Final

from starlette.requests import HTTPConnection

from limena import api_key_format
from limena.errors import Problem
from limena.tokens import KeyRing, TokenExpired, TokenInvalid, secret_hash, verify_access_token
from limena.transaction import ApiKeyCredential, Credential, SessionCredential

_MAX_LENGTH: Final = 8192


def authenticate(request: HTTPConnection, keys: KeyRing, *, issuer: str) -> Credential:
    """The credential of a request. Raises `Problem` 401: `unauthenticated`, `token_expired` or `invalid_api_key`."""
    shown = request.headers.getlist("authorization")
    if len(shown) != 1 or len(shown[0]) > _MAX_LENGTH:
        raise Problem("unauthenticated")
    scheme, _, token = shown[0].partition(" ")
    if scheme.lower() != "bearer":
        raise Problem("unauthenticated")
    token = token.strip(" ")
    if token.startswith(api_key_format.PREFIX):
        key_hash = api_key_format.parse(token)
        if key_hash is None:
            raise Problem("invalid_api_key")
        return ApiKeyCredential(key_hash)
    try:
        access = verify_access_token(keys, token, issuer=issuer)
    except TokenExpired:
        raise Problem("token_expired") from None
    except TokenInvalid:
        raise Problem("unauthenticated") from None
    return SessionCredential(secret_hash(access.session_secret), access.tenant_id)
