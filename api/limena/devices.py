"""Device cookies: a browser in which someone has logged in is known for their account, so that its attempts are counted
apart from everyone else's (OWASP, "Slow down online guessing attacks with device cookies").

A token is the account (a MAC of its address), when it was given, a nonce, and a MAC over all of it: 96 characters of
base64url that tell nothing to whoever has no key. It opens nothing. Whoever steals one may guess at that account's
password as often as anyone may. The cookie keeps the newest tokens, each of another account, for people who share a
browser or have two accounts.

Refuses to count: `limena.begin_log_in` does, by the SHA-256 of a token that was verified here. Refuses a token for any
account but its own.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from starlette.requests import HTTPConnection
from starlette.responses import Response

from limena.cookies import cookie_name, values_of

COOKIE: Final = "limena_device"
PATH: Final = "/api/v1/auth/"
KNOWN_SECONDS: Final = 180 * 24 * 60 * 60
"""From the last log-in."""
MAX_ACCOUNTS: Final = 4

_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{96}")
_PARTS: Final = struct.Struct(">16sQ16s")
"""The account, seconds since the epoch, the nonce. The MAC of 32 bytes follows."""


@dataclass(frozen=True, slots=True)
class _Device:
    token: str
    account: bytes


class Devices:
    """Makes and checks the tokens of one API."""

    def __init__(self, key: bytes, *, is_production: bool) -> None:
        self._key: Final = key
        self._is_secure: Final = is_production
        self._name: Final = cookie_name(COOKIE, path=PATH, is_production=is_production)

    def hash_of(self, request: HTTPConnection, email: str) -> bytes | None:
        """SHA-256 of the token with which this browser is known for the account; None where it is not."""
        account = self._account(email)
        for device in self._shown(request):
            if hmac.compare_digest(device.account, account):
                return hashlib.sha256(device.token.encode("ascii")).digest()
        return None

    def account_shown(self, request: HTTPConnection) -> str | None:
        """What stands for the account for which this browser was known last; None where it is known for none."""
        device = next(self._shown(request), None)
        return None if device is None else device.account.hex()

    def remember(self, request: HTTPConnection, response: Response, email: str) -> None:
        """Gives the browser a new token: someone has just proved in it that the account is theirs."""
        account = self._account(email)
        parts = _PARTS.pack(account, int(time.time()), secrets.token_bytes(16))
        new = base64.urlsafe_b64encode(parts + self._mac(parts)).decode("ascii")
        kept = {device.account: device.token for device in reversed(list(self._shown(request)))}
        kept.pop(account, None)
        others = list(reversed(kept.values()))
        response.set_cookie(
            self._name,
            ".".join([new, *others][:MAX_ACCOUNTS]),
            max_age=KNOWN_SECONDS,
            path=PATH,
            secure=self._is_secure,
            httponly=True,
            samesite="lax",
        )

    def _shown(self, request: HTTPConnection) -> Iterator[_Device]:
        """The genuine ones. There are as many as a head has room for: who plants others hides none."""
        for value in values_of(request, self._name):
            for token in value.split("."):
                if _TOKEN.fullmatch(token) is None:
                    continue
                data = base64.urlsafe_b64decode(token)
                parts, mac = data[: _PARTS.size], data[_PARTS.size :]
                account, given_at, _ = _PARTS.unpack(parts)
                if hmac.compare_digest(mac, self._mac(parts)) and given_at > time.time() - KNOWN_SECONDS:
                    yield _Device(token, account)

    def _account(self, email: str) -> bytes:
        """As the database reads an address. Where the two differ, which takes a character that no address of ours has,
        a browser is not known."""
        text = email.strip(" ").lower().encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, b"account\x00" + text, "sha256")[:16]

    def _mac(self, parts: bytes) -> bytes:
        return hmac.digest(self._key, b"device\x00" + parts, "sha256")
