"""What stands between the network and the application: its settings, read and checked.

Each function here reads one variable's text and raises `ValueError` with the rest of a sentence that begins with the
variable's name. Refuses whatever would leave the door open unnoticed: trusting every address as a proxy, a window
without an end, an origin that is no origin.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TypeAlias, cast, get_args

import limits
from limits._storage_scheme import SCHEMES

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Budget = Literal["log-in", "registration", "reset", "failed-keys", "other"]
"""What requests are counted for. The names are those of the `RateLimit` headers and of the metrics' label."""
BUDGETS: Final = cast(tuple[Budget, ...], get_args(Budget))
MEMORY: Final = "memory://"

_ORIGIN: Final = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:]+\])(?::[0-9]{1,5})?")
_HOST: Final = re.compile(r"(?:[a-z0-9.-]+|\[[0-9a-f:]+\])(?::[0-9]{1,5})?")
_LIMIT: Final = re.compile(r"([1-9][0-9]{0,8})/(second|minute|hour|day)")
_CONTACT: Final = re.compile(r"(?:mailto:[^\s@]+@[^\s@]+|https://\S+|tel:\+?[0-9-]+)")
_MINIMUM_TOKEN_LENGTH: Final = 24


@dataclass(frozen=True, slots=True)
class FrontDoor:
    """docs/configuration.md says what each is for."""

    tls_cert: Path | None
    tls_key: Path | None
    trusted_proxies: tuple[Network, ...]
    proxy_header: Literal["x-forwarded-for", "forwarded"]
    allowed_hosts: tuple[str, ...]
    cors_origins: tuple[str, ...]
    rate_limits: Mapping[Budget, limits.RateLimitItem] | None
    """None: switched off, in development."""
    rate_limit_storage: str = field(repr=False)
    header_timeout_seconds: float
    body_timeout_seconds: float
    max_connections: int
    max_connections_per_address: int | None
    """None: no end, where IP limits are switched off."""
    drain_seconds: float
    metrics: bool
    metrics_token: str | None = field(repr=False)
    security_contact: str


def switch(text: str) -> bool:
    if text not in ("on", "off"):
        raise ValueError(f"is {text!r}: it is on or off.")
    return text == "on"


def networks(text: str) -> tuple[Network, ...]:
    """Addresses and CIDR blocks with commas between them."""
    found: list[Network] = []
    for part in _parts(text):
        try:
            network = ipaddress.ip_network(part)
        except ValueError:
            raise ValueError(f"has {part!r}: it is a list of addresses and blocks such as 10.1.0.0/16.") from None
        if network.prefixlen == 0:
            raise ValueError(f"has {part!r}: whoever trusts every address lets every client say who it is.")
        found.append(network)
    return tuple(found)


def proxy_header(text: str) -> Literal["x-forwarded-for", "forwarded"]:
    match text.lower():
        case "x-forwarded-for":
            return "x-forwarded-for"
        case "forwarded":
            return "forwarded"
        case _:
            raise ValueError(f"is {text!r}: it is x-forwarded-for or forwarded.")


def origins(text: str) -> tuple[str, ...]:
    return _all(_ORIGIN, text, "a list of origins such as https://app.example.com , in small letters")


def hosts(text: str) -> tuple[str, ...]:
    return _all(_HOST, text, "a list of hosts such as limena.example.com, in small letters")


def rate_limit(text: str) -> limits.RateLimitItem:
    if _LIMIT.fullmatch(text) is None:
        raise ValueError(f"is {text!r}: it is a number for each second, minute, hour or day, such as 30/minute.")
    return limits.parse(text)


def storage_url(text: str) -> str:
    """A URL of the `limits` library, in its asynchronous form. Its text may hold a password: no sentence repeats it."""
    if text == MEMORY:
        return text
    scheme = text.partition("://")[0].removeprefix("async+")
    if f"async+{scheme}" not in SCHEMES or "://" not in text:
        known = sorted(name.removeprefix("async+") for name in SCHEMES if name.startswith("async+"))
        raise ValueError(f"is no URL of a storage: it begins with one of {', '.join(known)}, then ://")
    return f"async+{text.removeprefix('async+')}"


def contact(text: str, base_url: str) -> str:
    """RFC 9116 section 2.5.3. Without one, the mailbox that RFC 2142 reserves at the API's own host."""
    if not text:
        host = re.sub(r"^https?://|:[0-9]+$", "", base_url)
        is_name = re.fullmatch(r"[a-z0-9.-]*[a-z-][a-z0-9.-]*", host) is not None
        return f"mailto:security@{host if is_name else 'localhost'}"
    if _CONTACT.fullmatch(text) is None:
        raise ValueError(f"is {text!r}: it is a mailto:, https: or tel: URI.")
    return text


def token(text: str) -> str:
    if len(text) < _MINIMUM_TOKEN_LENGTH or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(
            f"has fewer than {_MINIMUM_TOKEN_LENGTH} characters, or others than visible ASCII ones; "
            "make one with: openssl rand -hex 24"
        )
    return text


def _all(pattern: re.Pattern[str], text: str, kind: str) -> tuple[str, ...]:
    parts = _parts(text)
    for part in parts:
        if pattern.fullmatch(part) is None:
            raise ValueError(f"has {part!r}: it is {kind}.")
    return parts


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part for part in (one.strip() for one in text.split(",")) if part)
