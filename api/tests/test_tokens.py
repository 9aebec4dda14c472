"""Tokens: what we issue verifies, and nothing else does, whatever it looks like.

Each forged token here is signed for real (with our key, with an attacker's, with a public key as HMAC secret), so that
the test fails when the check that it names is taken out of `verify_access_token`, not merely because a signature is
wrong.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from limena.tokens import (
    ACCESS_TOKEN_SECONDS,
    LEEWAY_SECONDS,
    AccessToken,
    KeyRing,
    KeyStrengthError,
    SigningKey,
    TokenError,
    TokenExpired,
    TokenInvalid,
    _thumbprint,
    issue_access_token,
    issue_refresh_token,
    load_private_key,
    new_session_secret,
    secret_hash,
    verify_access_token,
)

ISSUER = "https://limena.example"
USER = UUID("0191a0b0-0000-7000-8000-000000000001")
TENANT = UUID("0191a0b0-0000-7000-8000-000000000002")

Claims = dict[str, Any]


def pem_of(key: PrivateKeyTypes, encryption: KeySerializationEncryption | None = None) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption()).decode()


CURRENT = SigningKey.from_pem(pem_of(rsa.generate_private_key(65537, 3072)))
PREVIOUS = SigningKey.from_pem(pem_of(rsa.generate_private_key(65537, 3072)))
STRANGER = SigningKey.from_pem(pem_of(rsa.generate_private_key(65537, 3072)))
KEYS = KeyRing([CURRENT, PREVIOUS])


def b64(data: bytes | str | dict[str, Any]) -> str:
    if isinstance(data, dict):  # as PyJWT and we write a header: sorted, without white space
        data = json.dumps(data, sort_keys=True, separators=(",", ":"))
    if isinstance(data, str):
        data = data.encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def good_claims(**changes: Any) -> Claims:
    now = int(time.time())
    claims: Claims = {
        "iss": ISSUER, "aud": "limena", "sub": str(USER), "tid": str(TENANT), "sid": new_session_secret(),
        "iat": now, "nbf": now, "exp": now + 60, "jti": "j",
    }  # fmt: skip
    claims.update(changes)
    return claims


def good_header(**changes: Any) -> dict[str, Any]:
    return {"alg": "RS256", "typ": "at+jwt", "kid": CURRENT.kid, **changes}


def signed(header: dict[str, Any] | str, claims: Claims | str | bytes, key: SigningKey = CURRENT) -> str:
    """Really signed with RSASSA-PKCS1-v1_5 and SHA-256, whatever the header claims."""
    text = f"{b64(header)}.{b64(claims)}"
    return f"{text}.{b64(key.private_key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def verify(token: Any) -> AccessToken:
    return verify_access_token(KEYS, token, issuer=ISSUER)


def refused(token: Any) -> None:
    with pytest.raises(TokenInvalid):
        verify(token)


# issuing


@pytest.mark.parametrize("tenant_id", [TENANT, None])
def test_what_is_issued_verifies(tenant_id: UUID | None) -> None:
    sid = new_session_secret()
    token = issue_access_token(KEYS, issuer=ISSUER, user_id=USER, tenant_id=tenant_id, session_secret=sid)
    assert verify(token) == AccessToken(USER, tenant_id, sid)
    assert len(token) < 1500


def test_the_claims_are_those_of_the_design() -> None:
    token = issue_access_token(KEYS, issuer=ISSUER, user_id=USER, tenant_id=TENANT, session_secret=new_session_secret())
    decoded = jwt.decode_complete(token, CURRENT.public_key, algorithms=["RS256"], audience="limena")
    assert token.split(".")[0] == b64(good_header())  # the text that the verifier expects is what the library writes
    assert decoded["header"] == {"alg": "RS256", "typ": "at+jwt", "kid": CURRENT.kid}
    claims = decoded["payload"]
    assert set(claims) == {"iss", "aud", "sub", "tid", "sid", "iat", "nbf", "exp", "jti"}
    assert claims["exp"] - claims["iat"] == ACCESS_TOKEN_SECONDS == 900
    assert abs(claims["iat"] - time.time()) < 60
    without = issue_access_token(KEYS, issuer=ISSUER, user_id=USER, tenant_id=None, session_secret=new_session_secret())
    assert "tid" not in jwt.decode(without, CURRENT.public_key, algorithms=["RS256"], audience="limena")


def test_no_two_access_tokens_are_the_same() -> None:
    sid = new_session_secret()
    assert (
        len({issue_access_token(KEYS, issuer=ISSUER, user_id=USER, tenant_id=None, session_secret=sid) for _ in "abc"})
        == 3
    )


def test_session_secrets_hold_256_bits_and_are_hashed_as_text() -> None:
    secrets = {new_session_secret() for _ in range(100)}
    assert len(secrets) == 100
    for secret in secrets:
        assert len(base64.urlsafe_b64decode(secret + "=")) == 32
        assert secret_hash(secret) == hashlib.sha256(secret.encode()).digest()


@pytest.mark.parametrize(
    "secret", ["", "short", "x" * 44, new_session_secret()[:-1] + "B", new_session_secret()[:-1] + "é"]
)
def test_a_session_secret_of_another_form_is_never_signed(secret: str) -> None:
    with pytest.raises(ValueError, match="not a session secret"):
        issue_access_token(KEYS, issuer=ISSUER, user_id=USER, tenant_id=None, session_secret=secret)


def test_a_refresh_token_is_the_same_bytes_for_the_same_arguments_and_is_no_access_token() -> None:
    issued = datetime(2030, 1, 1, 12, 0, 0, 999_999, tzinfo=UTC)
    sid = new_session_secret()

    def issue() -> str:
        return issue_refresh_token(
            KEYS, issuer=ISSUER, user_id=USER, session_secret=sid, token_id="parent-1",
            issued_at=issued, expires_at=issued + timedelta(days=7),
        )  # fmt: skip

    token = issue()
    assert token == issue()
    decoded = jwt.decode_complete(
        token, CURRENT.public_key, algorithms=["RS256"], audience="limena-refresh",
        options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
    )  # fmt: skip
    assert decoded["header"]["typ"] == "limena-refresh+jwt"
    assert decoded["payload"] == {
        "iss": ISSUER, "aud": "limena-refresh", "sub": str(USER), "sid": sid, "jti": "parent-1",
        "iat": 1893499200, "nbf": 1893499200, "exp": 1893499200 + 7 * 86400,
    }  # fmt: skip
    refused(token)


@pytest.mark.parametrize(
    ("token_id", "issued_at", "expires_at"),
    [
        ("", datetime.now(UTC), datetime.now(UTC)),
        ("a b", datetime.now(UTC), datetime.now(UTC)),
        ("ok", datetime.now(UTC).replace(tzinfo=None), datetime.now(UTC)),
        ("ok", datetime.now(UTC), datetime.now(UTC).replace(tzinfo=None)),
    ],
)
def test_a_refresh_token_needs_an_id_and_times_with_a_zone(
    token_id: str, issued_at: datetime, expires_at: datetime
) -> None:
    with pytest.raises(ValueError, match="token"):
        issue_refresh_token(
            KEYS, issuer=ISSUER, user_id=USER, session_secret=new_session_secret(), token_id=token_id,
            issued_at=issued_at, expires_at=expires_at,
        )  # fmt: skip


# keys


def test_the_previous_key_still_verifies_and_the_current_one_signs() -> None:
    assert verify(signed(good_header(kid=PREVIOUS.kid), good_claims(), PREVIOUS)).user_id == USER
    token = issue_access_token(KEYS, issuer=ISSUER, user_id=USER, tenant_id=None, session_secret=new_session_secret())
    assert jwt.get_unverified_header(token)["kid"] == CURRENT.kid


def test_a_key_that_was_dropped_verifies_nothing() -> None:
    token = issue_access_token(KEYS, issuer=ISSUER, user_id=USER, tenant_id=None, session_secret=new_session_secret())
    with pytest.raises(TokenInvalid):
        verify_access_token(KeyRing([PREVIOUS]), token, issuer=ISSUER)


def test_the_kid_is_the_thumbprint_of_rfc_7638() -> None:
    # The example key of RFC 7638 section 3.1 has 2048 bits; only the thumbprint of it is of interest here.
    n = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhM"
        "stn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5ha"
        "jrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )
    number = int.from_bytes(base64.urlsafe_b64decode(n + "=="), "big")
    key = rsa.RSAPublicNumbers(65537, number).public_key()
    assert _thumbprint(key) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_the_jwks_holds_the_public_halves_and_nothing_else() -> None:
    keys = KEYS.jwks()["keys"]
    assert [key["kid"] for key in keys] == [CURRENT.kid, PREVIOUS.kid]
    for key in keys:
        assert set(key) == {"kty", "use", "alg", "kid", "n", "e"}
        assert (key["kty"], key["use"], key["alg"], key["e"]) == ("RSA", "sig", "RS256", "AQAB")
    token = issue_access_token(KEYS, issuer=ISSUER, user_id=USER, tenant_id=None, session_secret=new_session_secret())
    jwt.decode(token, jwt.PyJWK(dict(keys[0])), audience="limena")  # another implementation can use the set


def test_neither_ring_nor_key_nor_token_shows_a_secret() -> None:
    sid = new_session_secret()
    assert sid not in repr(AccessToken(USER, TENANT, sid))
    assert "private" not in repr(CURRENT)


@pytest.mark.parametrize(
    ("pem", "why"),
    [
        ("", "PEM"),
        ("secret-text-that-must-not-show", "PEM"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "PEM"),
        (pem_of(rsa.generate_private_key(65537, 2048)), "2048 bits"),
        (pem_of(rsa.generate_private_key(3, 3072)), "exponent"),
        (pem_of(ec.generate_private_key(ec.SECP256R1())), "not an RSA key"),
        (pem_of(ed25519.Ed25519PrivateKey.generate()), "not an RSA key"),
        (pem_of(STRANGER.private_key, BestAvailableEncryption(b"password")), "unencrypted"),
        (STRANGER.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(), "PEM"),
        ("\ud800", "PEM"),
    ],
)
def test_weak_and_foreign_keys_are_refused_without_repeating_them(pem: str, why: str) -> None:
    with pytest.raises(KeyStrengthError, match=why) as error:
        load_private_key(pem)
    assert "must-not-show" not in str(error.value)
    assert error.value.__cause__ is None


def test_a_ring_without_a_key_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a key"):
        KeyRing([])


# algorithm and key confusion


def test_alg_none_is_refused() -> None:
    for alg in ("none", "None", "NONE", "", None):
        refused(f"{b64(good_header(alg=alg))}.{b64(good_claims())}.")
        refused(signed(good_header(alg=alg), good_claims()))


def test_the_public_key_as_hmac_secret_is_refused() -> None:
    public = CURRENT.public_key
    for secret in (
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        b"",
    ):
        for alg in ("HS256", "RS256"):
            text = f"{b64(good_header(alg=alg))}.{b64(good_claims())}"
            refused(f"{text}.{b64(hmac.digest(secret, text.encode(), 'sha256'))}")


def test_other_rsa_algorithms_with_our_own_key_are_refused() -> None:
    for alg in ("PS256", "RS384", "RS512", "PS512"):
        claims, headers = good_claims(), {"typ": "at+jwt", "kid": CURRENT.kid}
        genuine = jwt.encode(claims, CURRENT.private_key, algorithm=alg, headers=headers)
        jwt.decode(genuine, CURRENT.public_key, algorithms=[alg], audience="limena")  # the signature itself is right
        refused(genuine)
        relabelled = b64(good_header()) + genuine[genuine.index(".") :]
        refused(relabelled)
    others: tuple[object, ...] = ("ES256", "EdDSA", "rs256", "RS256 ", ["RS256"], {"RS256": 1}, 1, True)
    for other in others:
        refused(signed(good_header(alg=other), good_claims()))


def test_a_key_brought_along_is_never_used() -> None:
    jwk = KeyRing([STRANGER]).jwks()["keys"][0]
    for header in (
        good_header(jwk=jwk),
        good_header(jwk=jwk, kid=STRANGER.kid),
        good_header(jku="http://127.0.0.1:9/jwks.json", kid=STRANGER.kid),
        good_header(x5u="http://127.0.0.1:9/cert.pem", kid=CURRENT.kid),
        good_header(x5c=["AAAA"], kid=CURRENT.kid),
    ):
        refused(signed(header, good_claims(), STRANGER))
    # Nor beside a genuine signature: a header that we do not write is not ours.
    refused(signed(good_header(jku="http://127.0.0.1:9/jwks.json"), good_claims()))
    refused(signed(good_header(jwk=jwk), good_claims()))


def test_the_header_is_compared_as_text_and_never_parsed_first() -> None:
    verify(signed(good_header(), good_claims()))
    refused(signed(json.dumps(good_header()), good_claims()))  # the same object with blanks
    refused(
        signed('{"alg":"none",' + json.dumps(good_header(), separators=(",", ":"))[1:], good_claims())
    )  # a duplicate


def test_the_kid_must_name_the_key_that_signed() -> None:
    refused(signed(good_header(kid=PREVIOUS.kid), good_claims(), CURRENT))
    refused(signed(good_header(kid=CURRENT.kid), good_claims(), STRANGER))
    kids: tuple[object, ...] = (
        "",
        "unknown",
        "../../dev/null",
        None,
        1,
        True,
        [CURRENT.kid],
        {"kid": CURRENT.kid},
        CURRENT.kid + "\0",
    )
    for kid in kids:
        refused(signed(good_header(kid=kid), good_claims()))
    header = good_header()
    del header["kid"]
    refused(signed(header, good_claims()))


def test_a_critical_extension_is_refused_even_one_that_the_library_knows() -> None:
    for crit in (["exp"], ["b64"], [], "b64", None, [1]):
        refused(signed(good_header(crit=crit), good_claims()))
        refused(signed(good_header(crit=crit, b64=True), good_claims()))
    refused(signed(good_header(b64=True), good_claims()))
    refused(signed(good_header(b64=False), good_claims()))
    # RFC 7797, detached: the signature covers a payload that is not in the token.
    payload = json.dumps(good_claims())
    header = b64(good_header(b64=False, crit=["b64"]))
    signature = CURRENT.private_key.sign(f"{header}.{payload}".encode(), padding.PKCS1v15(), hashes.SHA256())
    refused(f"{header}..{b64(signature)}")


# types and claims


@pytest.mark.parametrize("typ", ["JWT", "AT+JWT", "application/at+jwt", "limena-refresh+jwt", "", None, 1, ["at+jwt"]])
def test_a_token_of_another_type_is_refused(typ: object) -> None:
    refused(signed(good_header(typ=typ), good_claims()))


def test_a_token_without_type_is_refused() -> None:
    header = good_header()
    del header["typ"]
    refused(signed(header, good_claims()))


@pytest.mark.parametrize("claim", ["iss", "aud", "sub", "sid", "iat", "nbf", "exp", "jti"])
def test_each_claim_is_required(claim: str) -> None:
    claims = good_claims()
    verify(signed(good_header(), claims))
    del claims[claim]
    refused(signed(good_header(), claims))
    refused(signed(good_header(), good_claims(**{claim: None})))


FAR = 10**30
HOSTILE = [1, 1.5, True, "", "x", [], {}, ["limena"], [str(USER)], "9" * 200, -1, "\0", "\ud800", FAR]


@pytest.mark.parametrize("claim", ["iss", "aud", "sub", "sid", "tid"])
@pytest.mark.parametrize("value", HOSTILE)
def test_a_claim_of_the_wrong_form_is_refused_even_under_our_own_signature(claim: str, value: object) -> None:
    refused(signed(good_header(), good_claims(**{claim: value})))


@pytest.mark.parametrize("value", [1, True, "", "a b", "x" * 129, "é", "id\n", ["id"]])
def test_an_id_of_another_form_is_refused(value: object) -> None:
    verify(signed(good_header(), good_claims(jti="x" * 128)))
    refused(signed(good_header(), good_claims(jti=value)))


@pytest.mark.parametrize("claim", ["iat", "nbf", "exp"])
@pytest.mark.parametrize("kind", [float, str, lambda value: [value], lambda value: value + 0.5, lambda value: True])
def test_a_time_that_is_not_a_whole_number_is_refused(claim: str, kind: Callable[[int], object]) -> None:
    claims = good_claims()
    with pytest.raises(TokenError):
        verify(signed(good_header(), {**claims, claim: kind(claims[claim])}))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "9" * 1500])
@pytest.mark.parametrize("claim", ["iat", "nbf"])
def test_numbers_out_of_range_are_refused(claim: str, number: str) -> None:
    claims = json.dumps(good_claims(**{claim: "@"})).replace('"@"', number)
    refused(signed(good_header(), claims))


def test_uuids_are_taken_in_one_spelling_only() -> None:
    for claim in ("sub", "tid"):
        texts = (
            str(TENANT).upper(),
            TENANT.hex,
            f"{{{TENANT}}}",
            f"urn:uuid:{TENANT}",
            f"{TENANT}\n",
            f" {TENANT}",
        )
        for text in texts:
            if text != str(TENANT):
                refused(signed(good_header(), good_claims(**{claim: text})))
    refused(signed(good_header(), good_claims(tid=None)))


def test_session_secrets_are_taken_in_one_spelling_only() -> None:
    sid = "A" * 43
    verify(signed(good_header(), good_claims(sid=sid)))
    for text in ("A" * 42 + "B", "A" * 42 + "=", "A" * 44, "A" * 42, "A" * 43 + "\n", "A" * 42 + "+", "A" * 42 + "Ａ"):
        refused(signed(good_header(), good_claims(sid=text)))


def test_another_issuer_or_audience_is_refused() -> None:
    for issuer in (ISSUER + "/", ISSUER.upper(), "https://evil.example", [ISSUER]):
        refused(signed(good_header(), good_claims(iss=issuer)))
    for audience in ("limena-refresh", "LIMENA", ["limena"], ["limena", "other"], {"limena": 1}):
        refused(signed(good_header(), good_claims(aud=audience)))


def test_time_and_leeway() -> None:
    now = int(time.time())
    # A margin of 60 s on the far side of each limit: the test does not depend on how fast it runs.
    verify(signed(good_header(), good_claims(exp=now + 60)))
    with pytest.raises(TokenExpired):
        verify(signed(good_header(), good_claims(exp=now - LEEWAY_SECONDS)))
    for claim in ("nbf", "iat"):
        refused(signed(good_header(), good_claims(**{claim: now + LEEWAY_SECONDS + 60})))
    assert LEEWAY_SECONDS <= 10


def test_only_a_genuine_token_is_called_expired() -> None:
    old = int(time.time()) - 3600
    with pytest.raises(TokenExpired):
        verify(signed(good_header(), good_claims(exp=old)))
    refused(signed(good_header(), good_claims(exp=old), STRANGER))
    refused(signed(good_header(typ="JWT"), good_claims(exp=old)))


# malformed tokens


@pytest.mark.parametrize(
    "token",
    [
        None, 1, 1.5, True, b"", b"a.b.c", [], {}, object(),
        "", ".", "..", "...", "a", "a.b", "a.b.c", "a.b.c.d", "....", "é.é.é", "\ud800", "\0", " ", "a b c",
        "A" * 4096, "." * 4096, "=.=.=", "e30.e30.e30", "bnVsbA.e30.e30", "W10.W10.W10",
        b64('{"alg":"RS256"') + ".e30.e30",
        b64("[" * 3000) + ".e30.e30",
        b64('{"a":' * 500) + ".e30.e30",
        b64("\ufeff{}") + ".e30.e30",
        b64(b"\xff\xfe") + ".e30.e30",
        b64('{"alg":' + "9" * 2500 + "}") + ".e30.e30",
    ],
)  # fmt: skip
def test_malformed_tokens_are_refused(token: object) -> None:
    refused(token)


def test_an_oversized_token_is_refused_though_it_is_genuine() -> None:
    verify(signed(good_header(), good_claims(more="x" * 1000)))
    refused(signed(good_header(), good_claims(more="x" * 4000)))


def test_a_genuine_token_in_another_spelling_is_refused() -> None:
    token = signed(good_header(), good_claims())
    header, payload, signature = token.split(".")
    verify(token)
    for other in (
        token + "\n", "\n" + token, token + ".", "." + token, f"{header}.{payload}.", f"{header}.{payload}",
        f"{header}.{payload}.{signature}\n", f"{header}.{payload} .{signature}", f"{header}..{signature}",
        f"{header}.{payload}.{signature[:-1]}", f"{header}.{payload}.A{signature}",
        f"{header}.{payload}.{signature[:-2]}{signature[-1]}{signature[-2]}AA", token.replace(".", "\u3002"),
    ):  # fmt: skip
        refused(other)


def test_payloads_that_are_no_claims_are_refused_though_they_are_signed() -> None:
    payloads: list[str | bytes] = ["", "null", "[]", '"x"', "1", "{", b"\xff", "[" * 2000, '{"a":' * 400, "{}" * 2]
    for payload in payloads:
        refused(signed(good_header(), payload))


def test_random_damage_never_raises_anything_but_a_token_error() -> None:
    """20,000 mutations of the text, and 500 of the claims under a genuine signature, from a fixed seed."""
    rng = random.Random(20_301)
    token = signed(good_header(), good_claims())
    alphabet = "ABCxyz019-_.=+/ \n\0é\ud800{}\"'"
    for _ in range(20_000):
        characters = list(token)
        for _ in range(rng.choice((1, 1, 1, 2, 5, 40))):
            position = rng.randrange(len(characters))
            action = rng.randrange(4)
            if action == 0:
                characters[position] = rng.choice(alphabet)
            elif action == 1:
                characters.insert(position, rng.choice(alphabet))
            elif action == 2:
                del characters[position]
            else:
                del characters[position : position + rng.randrange(200)]
            if not characters:
                break
        mutated = "".join(characters)
        if mutated != token:
            refused(mutated)

    for _ in range(500):
        claims = bytearray(json.dumps(good_claims()).encode())
        for _ in range(rng.choice((1, 2, 5))):
            claims[rng.randrange(len(claims))] = rng.randrange(256)
        with contextlib.suppress(TokenError):
            verify(signed(good_header(), bytes(claims)))


def test_verification_is_bound_to_the_issuer_it_is_given() -> None:
    token = issue_access_token(
        KEYS, issuer=ISSUER, user_id=uuid4(), tenant_id=None, session_secret=new_session_secret()
    )
    with pytest.raises(TokenInvalid):
        verify_access_token(KEYS, token, issuer="https://other.example")
