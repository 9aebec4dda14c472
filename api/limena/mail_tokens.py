"""The token in a mail's link, made of the id of the mail's row in the outbox.

The API derives it to give PostgreSQL its SHA-256, the worker derives it again when it sends the mail, and in between it
is stored nowhere: whoever reads the outbox, its backups or the write-ahead log finds ids, and ids open nothing without
the key. Refuses nothing by itself: whether a token is still good is the database's to say.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final
from uuid import UUID

_LABEL: Final = b"limena mail token 1\x00"
"""Fixed length and a NUL before the id, so that nothing else under this key reads the same."""

LENGTH: Final = 43
"""Characters of a token: 32 bytes in base64url, without padding."""


def token(mail_key: bytes, outbox_id: UUID) -> str:
    """The token of one mail: base64url of HMAC-SHA-256. `mail_key`: 32 bytes, `limena.secrets.derive(root, "mail")`."""
    mac = hmac.new(mail_key, _LABEL + outbox_id.bytes, hashlib.sha256).digest()
    return base64.urlsafe_b64encode(mac).rstrip(b"=").decode("ascii")


def token_hash(text: str) -> bytes:
    """What the database keeps of a token: the SHA-256 of its text, also of a text that is no token of ours."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
