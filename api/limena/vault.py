"""The vault: AES-256-GCM for the credentials of third parties. PostgreSQL gets ciphertexts, and never a key.

    key   = HKDF-SHA256(master key, salt = the tenant's, info = label ‖ tenant id ‖ key version)       RFC 5869
    AAD   = label ‖ tenant id ‖ integration id ‖ key version ‖ field
    blob  = nonce (96 random bits) ‖ ciphertext ‖ tag (128 bits)                        NIST SP 800-38D, 8.2.2

Whoever has the database alone, salts included, lacks the master key; whoever has the master key and ciphertexts of a
tenant whose salt is destroyed lacks that. A ciphertext that is put into another tenant's, integration's, field's or
version's row does not open, nor does one with a bit changed. One tenant's key encrypts a handful of credentials, far
below the 2^32 messages that random nonces allow.

Refuses to say why something does not open: a wrong key, another place and a changed bit are one error, which names the
credential. Refuses master keys that are not 32 random bytes, and to show a `Secret` in text, in a log or in a pickle.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NoReturn, Protocol
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES: Final = 32
SALT_BYTES: Final = 32
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
MAX_VERSION: Final = 2**31 - 1
"""Versions are PostgreSQL integers."""
MAX_SECRET_BYTES: Final = 16_384

_LABEL: Final = b"limena vault v1"
_LEAST_DISTINCT_BYTES: Final = 16
"""Among 32 random bytes there are about 30 distinct ones; fewer than 16 come up once in 10^13 keys."""
_MASTER_KEY: Final = re.compile(r"([1-9][0-9]{0,9}):(\S+)")


class MasterKeyError(ValueError):
    """Why master keys cannot be used; completes a sentence that begins with the variable's or the file's name. Holds
    nothing of a key."""


class UnreadableCredential(Exception):
    """A credential that does not open. Says which one, and never why."""

    def __init__(self, place: Place) -> None:
        super().__init__(f"the {place.field} of integration {place.integration_id} cannot be opened")
        self.place: Final = place


class Secret:
    """Text that must not be shown by accident: `reveal()` is the one way to it.

    It has no text form, no length, no hash, cannot be pickled or copied, and compares in constant time."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value: Final = value

    def reveal(self) -> str:
        """The plain text, to put into a header and nowhere else."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __format__(self, _spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode("utf-8"), other._value.encode("utf-8"))

    __hash__ = None  # type: ignore[assignment]  # a hash of it would be told by dict and set orders

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise TypeError("a Secret cannot be pickled or copied")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a ciphertext belongs, and nowhere else: its row's key."""

    tenant_id: UUID
    integration_id: UUID
    field: str
    """`secret`, `access_token`, `refresh_token`; `code_verifier` of a flow, whose id stands in for an integration's."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """What is stored of a secret."""

    key_version: int
    ciphertext: bytes


@dataclass(frozen=True, slots=True)
class MasterKeys:
    """Every known master key by version, and the version that encrypts. Others only decrypt."""

    current: int
    keys: Mapping[int, bytes] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> MasterKeys:
        """`VERSION:BASE64`, one a line or separated by spaces or commas; the first one encrypts. Raises
        `MasterKeyError`."""
        keys: dict[int, bytes] = {}
        for entry in re.split(r"[\s,]+", text.strip()):
            match = _MASTER_KEY.fullmatch(entry)
            if match is None:
                raise MasterKeyError(
                    "holds something that is not VERSION:BASE64, such as what 'limena master-key generate' writes."
                )
            version = int(match[1])
            if version > MAX_VERSION:
                raise MasterKeyError(f"has a version beyond {MAX_VERSION}.")
            if version in keys:
                raise MasterKeyError(f"names version {version} twice.")
            keys[version] = _master_key(version, match[2])
        if len(set(keys.values())) < len(keys):
            raise MasterKeyError("has the same key under two versions.")
        return cls(next(iter(keys)), MappingProxyType(keys))


class MasterKeySource(Protocol):
    """Where master keys come from. A KMS or an HSM is one more class with this one method; nothing else changes."""

    def load(self) -> MasterKeys:
        """Raises `MasterKeyError`. May block: it is called once, at the start."""


@dataclass(frozen=True, slots=True)
class TextSource:
    """Master keys from the text of an environment variable or a mounted file."""

    text: str = field(repr=False)

    def load(self) -> MasterKeys:
        return MasterKeys.parse(self.text)


class Vault:
    """Seals and opens. Holds the master keys and no state besides; safe to share."""

    def __init__(self, source: MasterKeySource) -> None:
        self._master: Final = source.load()

    @property
    def current_version(self) -> int:
        return self._master.current

    @property
    def versions(self) -> frozenset[int]:
        return frozenset(self._master.keys)

    def seal(self, secret: Secret, place: Place, salt: bytes) -> Sealed:
        """Encrypts under the current version. Two calls never give the same bytes. Raises `ValueError` for a secret of
        no or more than 16,384 bytes."""
        plain = secret.reveal().encode("utf-8")
        if not 0 < len(plain) <= MAX_SECRET_BYTES:
            raise ValueError("a secret has 1 to 16384 bytes")
        version = self._master.current
        key = tenant_key(self._master.keys[version], salt, place.tenant_id, version)
        return Sealed(version, encrypt(key, os.urandom(NONCE_BYTES), plain, associated_data(place, version)))

    def open(self, sealed: Sealed, place: Place, salt: bytes) -> Secret:
        """Raises `UnreadableCredential` when it does not open: another key or salt, another place, another bit."""
        master = self._master.keys.get(sealed.key_version)
        if master is None or len(salt) != SALT_BYTES:
            raise UnreadableCredential(place)
        key = tenant_key(master, salt, place.tenant_id, sealed.key_version)
        try:
            return Secret(decrypt(key, sealed.ciphertext, associated_data(place, sealed.key_version)).decode("utf-8"))
        except (InvalidTag, ValueError):
            raise UnreadableCredential(place) from None

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise TypeError("a Vault cannot be pickled or copied")


def tenant_key(master: bytes, salt: bytes, tenant_id: UUID, version: int) -> bytes:
    """The key of one tenant under one master key."""
    if len(salt) != SALT_BYTES:
        raise ValueError("a salt has 32 bytes")
    return hkdf_sha256(master, salt, _LABEL + b" key\x00" + tenant_id.bytes + version.to_bytes(4, "big"), KEY_BYTES)


def associated_data(place: Place, version: int) -> bytes:
    """Every part but the last one has a fixed length, so that no two places share their bytes."""
    return (
        _LABEL
        + b" aad\x00"
        + place.tenant_id.bytes
        + place.integration_id.bytes
        + version.to_bytes(4, "big")
        + place.field.encode("ascii")
    )


def hkdf_sha256(key_material: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869."""
    return HKDF(SHA256(), length=length, salt=salt, info=info).derive(key_material)


def encrypt(key: bytes, nonce: bytes, plain: bytes, aad: bytes) -> bytes:
    """Nonce, ciphertext, tag. A nonce is used once a key: `Vault.seal` draws it at random."""
    return nonce + AESGCM(key).encrypt(nonce, plain, aad)


def decrypt(key: bytes, blob: bytes, aad: bytes) -> bytes:
    """Raises `InvalidTag`, or `ValueError` for what is too short to be anything."""
    if len(blob) < NONCE_BYTES + TAG_BYTES:
        raise ValueError("too short")
    return AESGCM(key).decrypt(blob[:NONCE_BYTES], blob[NONCE_BYTES:], aad)


def new_master_key() -> bytes:
    return os.urandom(KEY_BYTES)


def _master_key(version: int, encoded: str) -> bytes:
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):  # its text may repeat the key
        raise MasterKeyError(f"has a version {version} that is no base64.") from None
    if len(key) != KEY_BYTES:
        raise MasterKeyError(f"has a version {version} of {len(key)} bytes: a master key has 32.")
    if len(set(key)) < _LEAST_DISTINCT_BYTES or all(0x20 <= byte < 0x7F for byte in key):
        raise MasterKeyError(f"has a version {version} that is plainly not random.")
    return key
