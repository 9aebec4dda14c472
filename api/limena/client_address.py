"""Whose request it is: the peer of the connection, or what a trusted proxy says.

`X-Forwarded-For` and `Forwarded` (RFC 7239) are lists that each proxy appends to; everything but what our own proxies
wrote is the client's invention. So the configured one of the two is read from the right, and only as long as the
address that said so is trusted. Refuses to read the other header, to follow what is no address, and to believe a peer
that is not in LIMENA_TRUSTED_PROXIES.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from limena.front_door import Network

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_MAX_HOPS: Final = 20
_IPV6_PREFIX: Final = 64
"""What one customer of a provider has, at least: whoever has one address of it has all."""
_QUOTED: Final = r'"(?:[^"\\]|\\.)*"'
_FORWARDED: Final = re.compile(rf'(?:[^"]|{_QUOTED})*')
_ELEMENT: Final = re.compile(rf'(?:[^",]|{_QUOTED})+')
_PAIR: Final = re.compile(rf'([^=;,"\s]+)=({_QUOTED}|[^;,"\s]*)')
_HOST: Final = re.compile(r"\[([0-9a-fA-F:.]+)\](?::[0-9]{1,5})?|([0-9.]+)(?::[0-9]{1,5})?|([0-9a-fA-F:.]+)")


def parse_address(text: str) -> Address | None:
    """An address as sockets and proxies write it: a port or a zone is dropped, an IPv4 one mapped into IPv6 is IPv4."""
    match = _HOST.fullmatch(text.strip().partition("%")[0])
    if match is None:
        return None
    try:
        address = ipaddress.ip_address(match[1] or match[2] or match[3])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def network_of(address: Address) -> str:
    """What counts as one client: an IPv4 address, or the /64 of an IPv6 one."""
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(ipaddress.ip_network((address, _IPV6_PREFIX), strict=False))


def client_address(peer: Address, headers: Headers, *, header: str, trusted: Sequence[Network]) -> Address:
    """The rightmost hop that is no trusted proxy. Where a trusted one names something that is no address, itself."""
    address = peer
    for hop in _hops(headers, header):
        if not _is_in(address, trusted):
            break
        named = parse_address(hop)
        if named is None:
            break
        address = named
    return address


def _hops(headers: Headers, header: str) -> Iterator[str]:
    """From right to left, the nearest proxy's word first."""
    value = ",".join(headers.getlist(header))
    if header != "forwarded":
        yield from reversed(value.rsplit(",", _MAX_HOPS)[-_MAX_HOPS:])
        return
    # A comma or a `for=` inside a quoted string is somebody's text (RFC 7239 section 4). Where quotes do not close, or
    # an element has not exactly one `for`, nobody can tell what is whose: that names no address.
    if _FORWARDED.fullmatch(value) is None:
        return
    for element in reversed(_ELEMENT.findall(value)[-_MAX_HOPS:]):
        named = [text for name, text in _PAIR.findall(element) if name.lower() == "for"]
        yield named[0].strip('"') if len(named) == 1 else ""


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


class ClientAddress:
    """Puts the client's address where the peer's stood, `scope["client"]`, for everything that comes after."""

    def __init__(self, app: ASGIApp, *, header: str, trusted: Sequence[Network]) -> None:
        self._app: Final = app
        self._header: Final = header
        self._trusted: Final = tuple(trusted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["client"] is not None:
            host, port = scope["client"]
            if (peer := parse_address(host)) is not None:
                client = client_address(peer, Headers(scope=scope), header=self._header, trusted=self._trusted)
                scope["client"] = (str(client), port if client == peer else 0)
        await self._app(scope, receive, send)
