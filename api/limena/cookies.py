"""Cookies as they are shown, duplicates included, and their names.

A sibling domain can plant a second cookie of the same name, and which of the two comes first is the browser's business
(RFC 6265 section 5.4). So whoever reads one here sees all, and decides. In production a name begins with `__Host-`
where the cookie is for every path, and then no other host can plant one; else with `__Secure-`, and then no page
without TLS can (RFC 6265bis section 4.1.3). Refuses to decode: ours are base64url and JWTs.
"""

from __future__ import annotations

from starlette.requests import HTTPConnection


def cookie_name(name: str, *, path: str, is_production: bool) -> str:
    """The name that a cookie has for browsers. Without TLS, as in development, they would not take a prefixed one."""
    if not is_production:
        return name
    return f"__Host-{name}" if path == "/" else f"__Secure-{name}"


def values_of(request: HTTPConnection, name: str) -> list[str]:
    """The different values of all cookies with this name, in the order in which they are shown."""
    pairs = (pair.partition("=") for header in request.headers.getlist("cookie") for pair in header.split(";"))
    return list(dict.fromkeys(value.strip() for found, _, value in pairs if found.strip() == name))
