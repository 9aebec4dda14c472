"""Keys from one root secret: CSRF tokens, links in mails, refresh tokens and device cookies each have one of their own,
so that whoever learns what one of them protects learns nothing of the others.

Refuses to use the root secret itself for anything.
"""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

CSRF: Final = "csrf"
MAIL: Final = "mail"
REFRESH: Final = "refresh"
DEVICE: Final = "device"


def derive(root: bytes, label: str) -> bytes:
    """A key of 32 bytes for one purpose: HKDF-SHA256 (RFC 5869) without salt, which a random root does not need."""
    return HKDF(SHA256(), length=32, salt=None, info=f"limena {label} v1".encode("ascii")).derive(root)
