"""The vault: public test vectors through our functions, ciphertexts that open in their own place alone, a Secret that
shows in nothing, master keys that are refused."""

import base64
import copy
import json
import logging
import pickle
import secrets
import traceback
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.exceptions import InvalidTag

from limena import vault
from limena.vault import MasterKeyError, MasterKeys, Place, Sealed, Secret, TextSource, UnreadableCredential, Vault

TENANT, OTHER_TENANT = UUID(int=1), UUID(int=2)
INTEGRATION = UUID(int=3)
PLACE = Place(TENANT, INTEGRATION, "refresh_token")
SALT = bytes(range(32))
SECRET = Secret("marked-1f0c")


def entry(version: int, key: bytes | None = None) -> str:
    return f"{version}:{base64.b64encode(key or secrets.token_bytes(32)).decode()}"


OLD, NEW = entry(1), entry(2)
two = Vault(TextSource(f"{NEW}\n{OLD}\n"))


# RFC 5869 appendix A; NIST's gcmEncryptExtIV256.rsp and test cases 13 to 16 of "The Galois/Counter Mode of Operation"


@pytest.mark.parametrize(
    ("ikm", "salt", "info", "length", "okm"),
    [
        (
            "0b" * 22,
            "000102030405060708090a0b0c",
            "f0f1f2f3f4f5f6f7f8f9",
            42,
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        ),
        (
            bytes(range(0x00, 0x50)).hex(),
            bytes(range(0x60, 0xB0)).hex(),
            bytes(range(0xB0, 0x100)).hex(),
            82,
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
            "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
        ),
        (
            "0b" * 22,
            "",
            "",
            42,
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
        ),
    ],
)
def test_hkdf_agrees_with_rfc_5869(ikm: str, salt: str, info: str, length: int, okm: str) -> None:
    derived = vault.hkdf_sha256(bytes.fromhex(ikm), bytes.fromhex(salt), bytes.fromhex(info), length)
    assert derived.hex() == okm


KEY = "feffe9928665731c6d6a8f9467308308" * 2
NONCE = "cafebabefacedbaddecaf888"
PLAIN = (
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525"
    "b16aedf5aa0de657ba637b391aafd255"
)
CIPHER = (
    "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838"
    "c5f61e6393ba7a0abcc9f662898015ad"
)


@pytest.mark.parametrize(
    ("key", "nonce", "plain", "aad", "cipher", "tag"),
    [
        ("00" * 32, "00" * 12, "", "", "", "530f8afbc74536b9a963b4f1c4cb738b"),
        ("00" * 32, "00" * 12, "00" * 16, "", "cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919"),
        (KEY, NONCE, PLAIN, "", CIPHER, "b094dac5d93471bdec1a502270e3cc6c"),
        (
            KEY,
            NONCE,
            PLAIN[:-8],
            "feedfacedeadbeeffeedfacedeadbeefabaddad2",
            CIPHER[:-8],
            "76fc6ece0f4e1768cddf8853bb2d551b",
        ),
    ],
)
def test_aes_gcm_agrees_with_public_vectors(key: str, nonce: str, plain: str, aad: str, cipher: str, tag: str) -> None:
    blob = vault.encrypt(*map(bytes.fromhex, (key, nonce, plain, aad)))
    assert blob.hex() == nonce + cipher + tag
    assert vault.decrypt(bytes.fromhex(key), blob, bytes.fromhex(aad)).hex() == plain


# Places


def test_what_was_sealed_opens_in_its_place() -> None:
    sealed = two.seal(SECRET, PLACE, SALT)
    assert sealed.key_version == 2
    assert two.open(sealed, PLACE, SALT) == SECRET
    assert b"marked" not in sealed.ciphertext


def test_no_two_ciphertexts_are_alike() -> None:
    """Random nonces: as many different ones as there are ciphertexts."""
    blobs = {two.seal(SECRET, PLACE, SALT).ciphertext for _ in range(200)}
    assert len({blob[:12] for blob in blobs}) == 200


@pytest.mark.parametrize(
    "place",
    [
        Place(OTHER_TENANT, INTEGRATION, "refresh_token"),
        Place(TENANT, uuid4(), "refresh_token"),
        Place(TENANT, INTEGRATION, "access_token"),
        Place(TENANT, INTEGRATION, "refresh_toke"),
        Place(INTEGRATION, TENANT, "refresh_token"),
    ],
)
def test_a_ciphertext_that_was_moved_does_not_open(place: Place) -> None:
    with pytest.raises(UnreadableCredential) as error:
        two.open(two.seal(SECRET, PLACE, SALT), place, SALT)
    assert str(error.value) == f"the {place.field} of integration {place.integration_id} cannot be opened"


def test_every_binding_is_tried_alone() -> None:
    """Under one and the same key, so that it is the AAD that refuses; and under one AAD, so that it is the key."""
    key = vault.tenant_key(bytes(32), SALT, TENANT, 1)
    places = [PLACE, Place(OTHER_TENANT, INTEGRATION, "refresh_token"), Place(TENANT, OTHER_TENANT, "refresh_token")]
    aads = [vault.associated_data(place, 1) for place in [*places, Place(TENANT, INTEGRATION, "secret")]]
    aads.append(vault.associated_data(PLACE, 2))
    assert len(set(aads)) == 5
    blob = vault.encrypt(key, bytes(12), b"x", aads[0])
    assert vault.decrypt(key, blob, aads[0]) == b"x"
    for aad in aads[1:]:
        with pytest.raises(InvalidTag):
            vault.decrypt(key, blob, aad)
    others = [
        vault.tenant_key(bytes(32), SALT, OTHER_TENANT, 1),
        vault.tenant_key(bytes(32), SALT, TENANT, 2),
        vault.tenant_key(bytes(32), bytes(32), TENANT, 1),
        vault.tenant_key(bytes(31) + b"\x01", SALT, TENANT, 1),
    ]
    assert len({key, *others}) == 5
    for other in others:
        with pytest.raises(InvalidTag):
            vault.decrypt(other, blob, aads[0])


def test_another_version_does_not_open_it() -> None:
    sealed = two.seal(SECRET, PLACE, SALT)
    for version in (1, 3):
        with pytest.raises(UnreadableCredential):
            two.open(Sealed(version, sealed.ciphertext), PLACE, SALT)


def test_another_salt_or_none_does_not_open_it() -> None:
    sealed = two.seal(SECRET, PLACE, SALT)
    for salt in (bytes(32), SALT[:31], b""):
        with pytest.raises(UnreadableCredential):
            two.open(sealed, PLACE, salt)


def test_a_flipped_bit_anywhere_does_not_open() -> None:
    sealed = two.seal(SECRET, PLACE, SALT)
    for bit in range(len(sealed.ciphertext) * 8):
        changed = bytearray(sealed.ciphertext)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(UnreadableCredential):
            two.open(Sealed(sealed.key_version, bytes(changed)), PLACE, SALT)


def test_a_ciphertext_that_was_cut_or_grew_does_not_open() -> None:
    blob = two.seal(SECRET, PLACE, SALT).ciphertext
    for changed in (b"", blob[:27], blob[:28], blob[:-1], blob[1:], blob + b"\x00"):
        with pytest.raises(UnreadableCredential):
            two.open(Sealed(2, changed), PLACE, SALT)


def test_the_error_does_not_say_why() -> None:
    """A wrong key, another place, a changed bit, an unknown version: one text, and no cause behind it."""
    sealed = two.seal(SECRET, PLACE, SALT)
    told = set()
    for wrong, salt in [
        (sealed, bytes(32)),
        (Sealed(1, sealed.ciphertext), SALT),
        (Sealed(9, sealed.ciphertext), SALT),
        (Sealed(2, sealed.ciphertext[:-1] + bytes([sealed.ciphertext[-1] ^ 1])), SALT),
        (Sealed(2, b""), SALT),
    ]:
        with pytest.raises(UnreadableCredential) as error:
            two.open(wrong, PLACE, salt)
        told.add(str(error.value))
        assert error.value.__cause__ is None
        assert error.value.__suppress_context__ or error.value.__context__ is None
        shown = "".join(traceback.format_exception(error.value))
        assert "InvalidTag" not in shown
        assert "marked" not in shown
    assert len(told) == 1


@pytest.mark.parametrize("length", [1, 16_384])
def test_the_longest_and_the_shortest_secret(length: int) -> None:
    secret = Secret("x" * length)
    sealed = two.seal(secret, PLACE, SALT)
    assert 29 <= len(sealed.ciphertext) <= 16_412, "what the table takes"
    assert two.open(sealed, PLACE, SALT) == secret


@pytest.mark.parametrize("length", [0, 16_385])
def test_no_other_secret_is_taken(length: int) -> None:
    with pytest.raises(ValueError, match="1 to 16384"):
        two.seal(Secret("x" * length), PLACE, SALT)


# Secrets


def test_a_secret_shows_in_nothing(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret("marked-1f0c")
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("x").error("%s %r %s", secret, secret, {"token": secret, "all": [secret]})
        try:
            raise ValueError(secret)
        except ValueError:
            logging.getLogger("x").exception("failed")
    # What a program may do without a thought: old and new formatting, and reading it off the object.
    shown = [str(secret), repr(secret), f"{secret}", f"{secret:>40}", "%s" % secret, caplog.text]  # noqa: UP031
    assert not any("marked" in text for text in shown)
    assert not hasattr(secret, "__dict__")
    attempts: list[Callable[[Any], object]] = [
        pickle.dumps, copy.copy, copy.deepcopy, json.dumps, hash, len, bytes, vars, iter
    ]  # fmt: skip
    for attempt in attempts:
        with pytest.raises(TypeError) as error:
            attempt(secret)
        assert "marked" not in str(error.value)


def test_secrets_are_compared_and_nothing_else() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert Secret("é") == Secret("é")


def test_nobody_pickles_or_prints_a_vault() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(two)
    keys = MasterKeys.parse(OLD)
    encoded = OLD.partition(":")[2]
    for text in (repr(two), repr(keys), repr(TextSource(OLD))):
        assert encoded not in text
        assert base64.b64decode(encoded).hex() not in text
        assert repr(base64.b64decode(encoded)) not in text


# Master keys


def test_the_first_one_encrypts_and_all_decrypt() -> None:
    before = Vault(TextSource(OLD)).seal(SECRET, PLACE, SALT)
    during = Vault(TextSource(f"{OLD},{NEW}"))
    assert during.current_version == 1
    assert during.open(before, PLACE, SALT) == SECRET
    after = two.seal(SECRET, PLACE, SALT)
    assert during.open(after, PLACE, SALT) == SECRET, (
        "in a rolling restart the old process reads what the new one wrote"
    )
    with pytest.raises(UnreadableCredential):
        Vault(TextSource(NEW)).open(before, PLACE, SALT)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds something that is not VERSION:BASE64"),
        ("c2VjcmV0", "holds something that is not VERSION:BASE64"),
        (f"0:{OLD[2:]}", "holds something that is not VERSION:BASE64"),
        (f"-1:{OLD[2:]}", "holds something that is not VERSION:BASE64"),
        (f"9999999999:{OLD[2:]}", "has a version beyond"),
        ("1:c2VjcmV0!", "has a version 1 that is no base64"),
        (entry(1, secrets.token_bytes(31)), "has a version 1 of 31 bytes"),
        (entry(1, secrets.token_bytes(33)), "has a version 1 of 33 bytes"),
        (entry(1, bytes(32)), "has a version 1 that is plainly not random"),
        (entry(1, b"ab" * 16), "has a version 1 that is plainly not random"),
        (entry(1, b"correct horse battery staple 123"), "has a version 1 that is plainly not random"),
        (f"{OLD} {OLD}", "names version 1 twice"),
        (f"{OLD} 2:{OLD[2:]}", "has the same key under two versions"),
    ],
)
def test_weak_and_malformed_master_keys_are_refused(text: str, told: str) -> None:
    with pytest.raises(MasterKeyError) as error:
        MasterKeys.parse(text)
    assert told in str(error.value)
    assert OLD[2:] not in str(error.value)
    assert error.value.__cause__ is None


def test_a_source_of_ones_own_has_one_method() -> None:
    """What a KMS would be."""

    class Kms:
        def load(self) -> MasterKeys:
            return MasterKeys.parse(OLD)

    assert Vault(Kms()).open(Vault(TextSource(OLD)).seal(SECRET, PLACE, SALT), PLACE, SALT) == SECRET
