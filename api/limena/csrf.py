"""Cross-site request forgery: a signed double submit, bound to the session, on every state-changing route.

A token is a nonce and an HMAC over it and what it is bound to: the session that the Bearer token shows, else the one
that a genuine refresh cookie shows, else the browser (whoever has the cookie). It is in the cookie `limena_csrf`, which
our pages read, and they send it back in `X-CSRF-Token`. Another site can make a browser send the cookie but neither
read it nor set the header; a sibling domain that plants a cookie of its own has no token for the victim's session, and
in production it cannot plant one at all: the name is `__Host-limena_csrf`. A session's `sid` stays when it is
refreshed, so the token survives that. (OWASP CSRF prevention cheat sheet, ASVS 5.0 3.5.1.)

Where a browser shows refresh cookies of several sessions, because somebody planted one, the token tells which session
is meant (`fits`).

`Origin` and `Sec-Fetch-Site` are held to our own origin where a browser sends them. Neither is enough alone: both may
be absent.

A request with an API key carries no ambient credential and needs none of this; whatever cookies come with it do not
count. Refuses to take a token from anywhere but header and cookie, and keeps no state.
"""

from __future__ import annotations

import base64
import hmac
import re
import secrets
from collections.abc import Iterable
from typing import Final

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from limena.authentication import refresh_cookie_name, shown_sessions, shows_api_key
from limena.cookies import cookie_name, values_of
from limena.errors import Problem
from limena.tokens import KeyRing, secret_hash

COOKIE: Final = "limena_csrf"
HEADER: Final = "X-CSRF-Token"
MAX_AGE_SECONDS: Final = 30 * 24 * 60 * 60
"""As long as a session lives: a browser that was closed meanwhile still tells its own session from a planted one."""
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

_NONCE_BYTES: Final = 16
_NOBODY: Final = bytes(32)
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{64}")  # 48 bytes: the nonce and 32 of the HMAC


class Csrf:
    """Makes and checks the tokens of one API."""

    def __init__(self, key: bytes, *, base_url: str, other_origins: Iterable[str], is_production: bool) -> None:
        """`base_url` is our origin, and the issuer of our tokens. Pages of `other_origins` may call, whatever site they
        are on."""
        self._key: Final = key
        self._base_url: Final = base_url
        self._other_origins: Final = frozenset(other_origins)
        self._is_secure: Final = is_production
        self._cookie: Final = cookie_name(COOKIE, path="/", is_production=is_production)
        self._refresh_cookie: Final = refresh_cookie_name(is_production=is_production)

    def token_for(self, request: HTTPConnection, keys: KeyRing) -> str:
        """A token for whoever asks. The one that the browser has, if it is good: other tabs may be using it."""
        bindings = self._bindings(request, keys)
        for token in values_of(request, self._cookie):
            if any(self._is_genuine(token, binding) for binding in bindings):
                return token
        return self._make(bindings[0])

    def token_of(self, session_secret: str) -> str:
        """A new token for a session that was just opened."""
        return self._make(_of_session(session_secret))

    def set_cookie(self, response: Response, token: str) -> None:
        """Readable by scripts, on purpose: they copy it into the header."""
        response.set_cookie(
            self._cookie, token, MAX_AGE_SECONDS, path="/", secure=self._is_secure, httponly=False, samesite="lax"
        )

    def clear_cookie(self, response: Response) -> None:
        response.delete_cookie(self._cookie, path="/", secure=self._is_secure, httponly=False, samesite="lax")

    def check(self, request: Request, keys: KeyRing, *, trusts_api_keys: bool = True) -> None:
        """Raises `Problem` 403 `csrf_failed` unless the request is safe, an API key's, or a page's of ours.

        `trusts_api_keys`: false where the key is never shown to the database, so that a made-up one excuses nothing."""
        if request.method in SAFE_METHODS or (trusts_api_keys and shows_api_key(request)):
            return
        self._check_origin(request)
        shown = request.headers.getlist(HEADER)
        if len(shown) != 1:
            raise Problem("csrf_failed")
        # All of them are compared, in constant time: which cookie fits is nobody's business.
        cookies = [hmac.compare_digest(shown[0].encode(), one.encode()) for one in values_of(request, self._cookie)]
        bindings = self._bindings(request, keys)
        if not any(cookies) or not any(self._is_genuine(shown[0], binding) for binding in bindings):
            raise Problem("csrf_failed")

    def fits(self, request: HTTPConnection, session_secret: str) -> bool:
        """Whether the token that a request shows in its header is of this session."""
        return self._is_genuine(request.headers.get(HEADER, ""), _of_session(session_secret))

    def _check_origin(self, request: Request) -> None:
        origins = request.headers.getlist("origin")
        is_of_other = bool(origins) and all(origin in self._other_origins for origin in origins)
        if origins and not is_of_other and origins != [self._base_url]:
            raise Problem("csrf_failed", "This page's origin may not do that.")
        sites = request.headers.getlist("sec-fetch-site")
        if sites and not is_of_other and not set(sites) <= {"same-origin", "none"}:
            raise Problem("csrf_failed", "Pages of another site may not do that.")

    def _bindings(self, request: HTTPConnection, keys: KeyRing) -> list[bytes]:
        sessions = shown_sessions(request, keys, issuer=self._base_url, cookie=self._refresh_cookie)
        return [_of_session(session) for session in sessions] or [_NOBODY]

    def _make(self, binding: bytes) -> str:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return base64.urlsafe_b64encode(nonce + self._mac(nonce, binding)).decode("ascii")

    def _is_genuine(self, token: str, binding: bytes) -> bool:
        if _TOKEN.fullmatch(token) is None:
            return False
        data = base64.urlsafe_b64decode(token)
        nonce, mac = data[:_NONCE_BYTES], data[_NONCE_BYTES:]
        return hmac.compare_digest(mac, self._mac(nonce, binding))

    def _mac(self, nonce: bytes, binding: bytes) -> bytes:
        return hmac.digest(self._key, binding + nonce, "sha256")  # both of fixed length


def _of_session(session_secret: str) -> bytes:
    return secret_hash(session_secret)
