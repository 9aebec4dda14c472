"""The token in a mail's link, made of the mail's row in the outbox: its id, its template and its recipient.

The API derives it to give PostgreSQL its SHA-256, the worker derives it again when it sends the mail, and in between it
is stored nowhere: whoever reads the outbox, its backups or the write-ahead log finds ids, and ids open nothing without
the key. Template and recipient are in it because rows can be caused by whoever has a tenant: of an id that somebody
else's mail has, too, nobody gets that mail's token sent to themselves. Whether a token is still good is the database's
to say.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final
from uuid import UUID

_LABEL: Final = b"limena mail token 2\x00"
"""Fixed length. No template and no address has a NUL in it, so nothing else under this key reads the same."""

LENGTH: Final = 43
"""Characters of a token: 32 bytes in base64url, without padding."""


def token(mail_key: bytes, outbox_id: UUID, template: str, recipient: str) -> str:
    """The token of one mail: base64url of HMAC-SHA-256. `mail_key`: 32 bytes, `limena.secrets.derive(root, "mail")`.
    `recipient`: as PostgreSQL keeps it, see `normalise`."""
    row = b"\x00".join((template.encode("utf-8"), recipient.encode("utf-8", "surrogatepass"), outbox_id.bytes))
    mac = hmac.new(mail_key, _LABEL + row, hashlib.sha256).digest()
    return base64.urlsafe_b64encode(mac).rstrip(b"=").decode("ascii")


def is_token(text: str, mail_key: bytes, outbox_id: UUID, template: str, recipient: str) -> bool:
    """Whether this is the token of that mail, in a time that tells nothing of how much of it is."""
    expected = token(mail_key, outbox_id, template, recipient)
    return hmac.compare_digest(text.encode("utf-8", "surrogatepass"), expected.encode("ascii"))


def normalise(address: str) -> str:
    """An address as PostgreSQL keeps it: `lower(btrim(address))`. Of one that is not ASCII the two could differ; no
    table takes such a one."""
    return address.strip(" ").lower()


def token_hash(text: str) -> bytes:
    """What the database keeps of a token: the SHA-256 of its text, also of a text that is no token of ours."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
