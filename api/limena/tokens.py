"""Access and refresh tokens: RS256 JSON Web Tokens, signed and verified with our own keys only.

A token is not what opens anything: it carries `sid`, a 256-bit secret whose SHA-256 the database looks up among its
live sessions at each request. The signature spares the database tokens that we never issued.

Refuses: any header but the very text that we write for one of our keys. Algorithm, key and type are bound to each other
by that one comparison, and no header that a stranger wrote is ever parsed: `none`, HS256 with a public key as its
secret, `jku`, `jwk`, `x5u`, `crit` and `b64` get nowhere. Further a wrong issuer or audience, a claim of another form
than we issue (RFC 8725 sections 3.1 to 3.12), RSA keys below 3072 bits. It never puts a token, a claim or a key into an
error.

Everything here is synchronous CPU work: with 3072 bits, measured on one core, a signature takes 2.5 ms and a
verification 0.2 ms. Call `issue_…` in an executor; `verify_…` may be called on the event loop.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

if TYPE_CHECKING:
    from limena.config import Settings

ALGORITHM: Final = "RS256"
MINIMUM_RSA_BITS: Final = 3072
"""NIST SP 800-57 part 1, table 2: 128 bits of strength."""
ACCESS_TOKEN_SECONDS: Final = 15 * 60
LEEWAY_SECONDS: Final = 5
"""How far the clocks of two API processes may differ: a token is good from `nbf` - 5 s until `exp` + 5 s."""
MAX_TOKEN_LENGTH: Final = 4096
"""Characters. One of ours has about 900; anything longer than this is refused before it is parsed."""

_ACCESS_TYPE: Final = "at+jwt"  # RFC 9068 section 2.1
_REFRESH_TYPE: Final = "limena-refresh+jwt"
_ACCESS_AUDIENCE: Final = "limena"
_REFRESH_AUDIENCE: Final = "limena-refresh"

_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
# 32 bytes in base64url are 43 characters, and the last of them ends in two zero bits: one text for one secret.
_SESSION_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")
_TOKEN_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")


class TokenError(Exception):
    """A token that opens nothing. The text never repeats any part of it."""


class TokenExpired(TokenError):
    """The signature is ours and the time is over: the client may refresh."""


class TokenInvalid(TokenError):
    """Everything else that is wrong with a token. Why is told to nobody but the reader of a debugger."""


class KeyStrengthError(ValueError):
    """A text that is no RSA private key in PEM form, or one that is too weak. Never repeats the text."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What a verified access token says. The database decides whether the session still lives."""

    user_id: UUID
    tenant_id: UUID | None
    """None: a user without a tenant, who can call nothing that belongs to one."""
    session_secret: str = field(repr=False)
    """The claim `sid`: 43 characters of base64url. See `secret_hash`."""


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """What a verified refresh token says. The database decides whether it may still be exchanged."""

    user_id: UUID
    session_secret: str = field(repr=False)
    token_id: str = field(repr=False)
    """The claim `jti`, of which the database keeps the SHA-256."""
    issued_at: int
    """Seconds since the epoch."""
    is_over: bool
    """Its time is. Nothing is given for it, but the database may know it as spent, and its bearer as a thief."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One RSA key of ours. `from_pem` is the way to make one: it checks the strength."""

    kid: str
    """RFC 7638 thumbprint of the public key: 43 characters of base64url."""
    private_key: RSAPrivateKey = field(repr=False)
    public_key: RSAPublicKey = field(repr=False)

    @classmethod
    def from_pem(cls, pem: str) -> SigningKey:
        """An RSA private key in PEM form, unencrypted. Raises `KeyStrengthError` when it is none or below 3072 bits."""
        private_key = load_private_key(pem)
        public_key = private_key.public_key()
        return cls(kid=_thumbprint(public_key), private_key=private_key, public_key=public_key)


class KeyRing:
    """Our keys: the first signs, all of them verify. They are the current, the previous and the next one: a process
    knows the next key before any other process signs with it."""

    def __init__(self, keys: Iterable[SigningKey]) -> None:
        self._keys: Final = tuple(keys)
        if not self._keys:
            raise ValueError("a key ring needs a key")
        self.current: Final = self._keys[0]
        self._public_keys: Final = {
            (_header(key.kid, token_type), token_type): key.public_key
            for key in self._keys
            for token_type in (_ACCESS_TYPE, _REFRESH_TYPE)
        }

    @classmethod
    def from_settings(cls, settings: Settings) -> KeyRing:
        """Raises `KeyStrengthError` when one of `settings.jwt_keys` cannot be used."""
        return cls(SigningKey.from_pem(pem) for pem in settings.jwt_keys)

    def public_key_of(self, token: str, token_type: str) -> RSAPublicKey | None:
        """The key to verify `token` with: None when its header is not, byte for byte, ours for a token of that type."""
        return self._public_keys.get((token.partition(".")[0], token_type))

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The public halves as a JWK set (RFC 7517), current first. Holds no private member."""
        return {
            "keys": [
                {**_public_jwk(key.public_key), "use": "sig", "alg": ALGORITHM, "kid": key.kid} for key in self._keys
            ]
        }


def load_private_key(pem: str) -> RSAPrivateKey:
    """An unencrypted RSA private key of at least 3072 bits. Raises `KeyStrengthError` for anything else."""
    try:
        key = load_pem_private_key(pem.encode("utf-8"), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: the key is encrypted
        raise KeyStrengthError("is not an unencrypted private key in PEM form") from None
    if not isinstance(key, RSAPrivateKey):
        raise KeyStrengthError("is not an RSA key")
    if key.key_size < MINIMUM_RSA_BITS:
        raise KeyStrengthError(f"is an RSA key of {key.key_size} bits, and {MINIMUM_RSA_BITS} are the least")
    if key.public_key().public_numbers().e < 65537:  # FIPS 186-5 section A.1.1
        raise KeyStrengthError("has a public exponent below 65537")
    return key


def new_private_key() -> str:
    """A fresh RSA key of 3072 bits, as PEM. Takes about a second."""
    key = generate_private_key(public_exponent=65537, key_size=MINIMUM_RSA_BITS)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")


def new_session_secret() -> str:
    """A fresh `sid`: 256 bits from the system's CSPRNG, 43 characters of base64url."""
    return secrets.token_urlsafe(32)


def secret_hash(text: str) -> bytes:
    """SHA-256 (32 bytes) of the ASCII text of a `sid` or `jti` claim: what the database stores and compares. No salt
    and no slow hash, because the text holds 128 bits of entropy or more."""
    return hashlib.sha256(text.encode("ascii")).digest()


def issue_access_token(
    keys: KeyRing, *, issuer: str, user_id: UUID, tenant_id: UUID | None, session_secret: str
) -> str:
    """An access token that is good for 15 minutes from now. `tid` is absent when `tenant_id` is None.

    Raises `ValueError` when `session_secret` has not the form of `new_session_secret()`."""
    now = int(time.time())
    claims: dict[str, str | int] = {
        "iss": issuer,
        "aud": _ACCESS_AUDIENCE,
        "sub": str(user_id),
        "sid": _checked_session_secret(session_secret),
        "iat": now,
        "nbf": now,
        "exp": now + ACCESS_TOKEN_SECONDS,
        "jti": secrets.token_urlsafe(16),
    }
    if tenant_id is not None:
        claims["tid"] = str(tenant_id)
    return _sign(keys.current, claims, _ACCESS_TYPE)


def issue_refresh_token(
    keys: KeyRing,
    *,
    issuer: str,
    user_id: UUID,
    session_secret: str,
    token_id: str,
    issued_at: datetime,
    expires_at: datetime,
) -> str:
    """A refresh token. The same arguments and the same current key yield the same bytes, so that a lost answer can be
    given again: `token_id` (the claim `jti`) and both times, cut to whole seconds, come from the caller.

    Raises `ValueError` for a time without zone, and for a secret or id that is not base64url text."""
    if issued_at.tzinfo is None or expires_at.tzinfo is None:
        raise ValueError("the times of a token need a time zone")
    if _TOKEN_ID.fullmatch(token_id) is None:
        raise ValueError("not a token id")
    claims: dict[str, str | int] = {
        "iss": issuer,
        "aud": _REFRESH_AUDIENCE,
        "sub": str(user_id),
        "sid": _checked_session_secret(session_secret),
        "iat": int(issued_at.timestamp()),
        "nbf": int(issued_at.timestamp()),
        "exp": int(expires_at.timestamp()),
        "jti": token_id,
    }
    return _sign(keys.current, claims, _REFRESH_TYPE)


def verify_access_token(keys: KeyRing, token: str, *, issuer: str) -> AccessToken:
    """What a genuine, current access token says. Raises `TokenExpired` when only its time is over, `TokenInvalid` for
    everything else, and nothing else for any `token`, whatever its type or size."""
    claims = _verified_claims(keys, token, _ACCESS_TYPE, audience=_ACCESS_AUDIENCE, issuer=issuer)
    return AccessToken(
        user_id=UUID(_text(claims, "sub", _UUID)),
        tenant_id=UUID(_text(claims, "tid", _UUID)) if "tid" in claims else None,
        session_secret=_text(claims, "sid", _SESSION_SECRET),
    )


def verify_refresh_token(keys: KeyRing, token: str, *, issuer: str) -> RefreshToken:
    """What a genuine refresh token says, one whose time is over included. Raises `TokenInvalid`."""
    is_over = False
    try:
        claims = _verified_claims(keys, token, _REFRESH_TYPE, audience=_REFRESH_AUDIENCE, issuer=issuer)
    except TokenExpired:
        is_over = True
        claims = _verified_claims(
            keys, token, _REFRESH_TYPE, audience=_REFRESH_AUDIENCE, issuer=issuer, may_be_over=True
        )
    return RefreshToken(
        user_id=UUID(_text(claims, "sub", _UUID)),
        session_secret=_text(claims, "sid", _SESSION_SECRET),
        token_id=_text(claims, "jti", _TOKEN_ID),
        issued_at=_number(claims, "iat"),
        is_over=is_over,
    )


def _verified_claims(
    keys: KeyRing, token: str, token_type: str, *, audience: str, issuer: str, may_be_over: bool = False
) -> Mapping[str, object]:
    """The claims of a token that we signed, held once more to the types with which we issue them."""
    if type(token) is not str or len(token) > MAX_TOKEN_LENGTH or not token.isascii():
        raise TokenInvalid("not a token")
    public_key = keys.public_key_of(token, token_type)
    if public_key is None:
        raise TokenInvalid("no key of ours signs tokens of this type under this header")
    try:
        claims: Mapping[str, object] = jwt.decode(
            token,
            public_key,
            algorithms=[ALGORITHM],
            audience=audience,
            issuer=issuer,
            leeway=LEEWAY_SECONDS,
            options={"strict_aud": True, "enforce_minimum_key_length": True, "verify_exp": not may_be_over},
        )
    except jwt.ExpiredSignatureError:
        raise TokenExpired("the token has expired") from None
    except jwt.PyJWTError:
        raise TokenInvalid("not a valid token") from None
    for name in ("iat", "nbf", "exp"):
        _number(claims, name)
    _text(claims, "jti", _TOKEN_ID)
    return claims


def successor_id(key: bytes, token_id: str) -> str:
    """The `jti` of the refresh token that follows the one with this `jti`: base64url of HMAC-SHA-256, 43 characters.
    The same parent always has the same successor, and nobody without the key knows which."""
    return _base64url(hmac.digest(key, token_id.encode("ascii"), "sha256"))


def _text(claims: Mapping[str, object], name: str, form: re.Pattern[str]) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or form.fullmatch(value) is None:
        raise TokenInvalid(f"the token's {name} has not the form in which we issue it")
    return value


def _number(claims: Mapping[str, object], name: str) -> int:
    value = claims.get(name)
    if not isinstance(value, int) or isinstance(value, bool):  # True is an int
        raise TokenInvalid("a time of the token is not a whole number")
    return value


def _checked_session_secret(session_secret: str) -> str:
    if _SESSION_SECRET.fullmatch(session_secret) is None:
        raise ValueError("not a session secret")
    return session_secret


def _sign(key: SigningKey, claims: dict[str, str | int], token_type: str) -> str:
    return jwt.encode(claims, key.private_key, algorithm=ALGORITHM, headers={"kid": key.kid, "typ": token_type})


def _header(kid: str, token_type: str) -> str:
    """The first segment of every token that `_sign` makes (a test holds the two together)."""
    header = {"alg": ALGORITHM, "kid": kid, "typ": token_type}
    return _base64url(json.dumps(header, sort_keys=True, separators=(",", ":")).encode("ascii"))


def _public_jwk(key: RSAPublicKey) -> dict[str, str]:
    """The required members of an RSA public key (RFC 7518 section 6.3.1), and no other."""
    numbers = key.public_numbers()
    return {"kty": "RSA", "n": _base64url_uint(numbers.n), "e": _base64url_uint(numbers.e)}


def _thumbprint(key: RSAPublicKey) -> str:
    """RFC 7638: SHA-256 over the required members, sorted, without white space."""
    text = json.dumps(_public_jwk(key), sort_keys=True, separators=(",", ":"))
    return _base64url(hashlib.sha256(text.encode("ascii")).digest())


def _base64url_uint(number: int) -> str:
    return _base64url(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
