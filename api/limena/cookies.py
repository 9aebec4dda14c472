"""Cookies as they are shown, duplicates included.

A sibling domain can plant a second cookie of the same name, and which of the two comes first is the browser's business
(RFC 6265 section 5.4). So whoever reads one here sees all, and decides. Refuses to decode: ours are base64url and JWTs.
"""

from __future__ import annotations

from starlette.requests import HTTPConnection


def values_of(request: HTTPConnection, name: str) -> list[str]:
    """The different values of all cookies with this name, in the order in which they are shown."""
    pairs = (pair.partition("=") for header in request.headers.getlist("cookie") for pair in header.split(";"))
    return list(dict.fromkeys(value.strip() for found, _, value in pairs if found.strip() == name))
