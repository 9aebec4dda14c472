"""The text form of an API key: how one is made, and how a wrong one is refused before any query.

    lmn_ + 43 characters of base62 from the system's CSPRNG (256 bits) + 6 characters of base62: CRC-32 of those 43

For secret scanners, this expression finds every key (then check the CRC-32 to drop false alarms):

    \\blmn_[0-9A-Za-z]{49}\\b

The checksum is no proof of anything: it catches typing errors and truncated copies, and spares the database the guesses
of scanners. The proof is the SHA-256 of the whole text, which the database compares.

Refuses: to keep, log or show a key. `NewApiKey` hides the key in its `repr`; only its hash, prefix and last four may be
stored.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import zlib
from dataclasses import dataclass, field
from typing import Final

PREFIX: Final = "lmn_"
ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

# 62**43 > 2**256: 43 characters hold 256 bits.
_RANDOM_LENGTH: Final = 43
# 62**6 > 2**32: 6 characters hold a CRC-32.
_CHECKSUM_LENGTH: Final = 6
_DISPLAY_PREFIX_LENGTH: Final = len(PREFIX) + 6
_KEY: Final = re.compile(rf"{PREFIX}([0-9A-Za-z]{{{_RANDOM_LENGTH}}})([0-9A-Za-z]{{{_CHECKSUM_LENGTH}}})", re.ASCII)


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """A key that was just made. `key` is shown to its owner once and stored nowhere; the other three are stored."""

    key: str = field(repr=False)
    prefix: str
    """`lmn_` and the first 6 random characters: 10 characters by which people tell keys apart."""
    last_four: str
    """The last 4 characters of the key (of its checksum)."""
    key_hash: bytes = field(repr=False)
    """SHA-256 of the whole key's ASCII text: 32 bytes."""


def generate() -> NewApiKey:
    """A new key with 256 bits of entropy. `secrets.choice` draws uniformly: no modulo bias."""
    random = "".join(secrets.choice(ALPHABET) for _ in range(_RANDOM_LENGTH))
    return describe(PREFIX + random + _checksum(random))


def describe(key: str) -> NewApiKey:
    """What is stored about a well-formed key. Raises `ValueError`, which never repeats the key, for a malformed one."""
    key_hash = parse(key)
    if key_hash is None:
        raise ValueError("not an API key")
    return NewApiKey(key=key, prefix=key[:_DISPLAY_PREFIX_LENGTH], last_four=key[-4:], key_hash=key_hash)


def parse(text: str) -> bytes | None:
    """The SHA-256 (32 bytes) of a well-formed key; None when the form or the checksum is wrong.

    It says nothing about whether the key exists, is revoked or has expired: only the database knows that."""
    match = _KEY.fullmatch(text)
    if match is None or _checksum(match[1]) != match[2]:
        return None
    return hashlib.sha256(text.encode("ascii")).digest()


def _checksum(random: str) -> str:
    """CRC-32 (zlib's, as in ISO 3309) of the random part, base62, most significant digit first, padded with `0`."""
    number = zlib.crc32(random.encode("ascii"))
    digits = ""
    for _ in range(_CHECKSUM_LENGTH):
        number, digit = divmod(number, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return digits
