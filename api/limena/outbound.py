"""Requests to addresses that others choose: a provider's endpoints, the base URL of a tenant.

Server-side request forgery is refused where the connection is made, not where the text is read: a name is resolved
once, every address that it has is checked, and the connection goes to the checked address, with the name in the Host
header and in TLS. So no spelling of an address (decimal, octal, hexadecimal, IPv4 in IPv6), no name that points inside,
no second answer of the DNS and no redirect gets further than a plain one. No proxy of the environment is asked.

Refuses every address that is not of the public internet, http, bodies that are large, slow or compressed. An operator
may let networks in for development (LIMENA_OUTBOUND_ALLOW), over http too.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import threading
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

import httpx2

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_BYTES: Final = 1_048_576
SECONDS: Final = 10.0
_CONNECTIONS: Final = 20

_NEVER: Final = tuple(
    map(
        ipaddress.ip_network,
        (
            "0.0.0.0/8",  # this host, on some systems
            "100.64.0.0/10",  # carrier-grade NAT, where clouds put their metadata
            "168.63.129.16/32",  # Azure's host, of public form
            "192.0.0.0/24",  # protocol assignments
            "192.88.99.0/24",  # the retired relays of 6to4
            "::/96",  # IPv4-compatible, retired
            "64:ff9b:1::/48",  # NAT64 of one's own network
            "100::/64",
            "fec0::/10",  # site-local, retired
        ),
    )
)
"""What Python's registry of special networks calls global, or does not know in every version that we run on."""
_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
"""All that IANA has given out of IPv6 for the internet."""
_ISATAP: Final = 0x0000_5EFE
"""RFC 5214: these 32 bits, with or without the universal bit, and then an IPv4 address to tunnel to."""
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


_NOWHERE: Final = "does not lead to the public internet"
"""Also when it cannot be resolved: whoever chose the name learns nothing of what our DNS knows."""
_RESOLVERS: Final = 4
_EACH: Final = 2
"""Look-ups under way on behalf of one tenant: half of the threads."""


class OutboundRefused(Exception):
    """An address that we do not connect to, or an answer that we do not read. Completes "The address …"."""


class Guard:
    """Which addresses may be connected to. `allowed`: networks that are let in although they are not public."""

    def __init__(self, allowed: Sequence[Network] = ()) -> None:
        self._allowed: Final = tuple(allowed)
        # Of its own: names that somebody makes slow keep nobody waiting but those who share this guard with them.
        self._resolvers: Final = ThreadPoolExecutor(_RESOLVERS, thread_name_prefix="limena-dns")
        self._tls: ssl.SSLContext | None = None
        self._under_way: Final[Counter[str]] = Counter()
        self._lock: Final = threading.Lock()

    async def resolve(self, scheme: str, host: str, port: int, *, on_behalf_of: str | None = None) -> str:
        """The address to connect to. Raises `OutboundRefused`."""
        try:
            found = await asyncio.wrap_future(self._look_up(host, port, on_behalf_of))
        except (OSError, UnicodeError):
            raise OutboundRefused(_NOWHERE) from None
        addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
        if not addresses:
            raise OutboundRefused(_NOWHERE)
        # All of them: a name with a public and a private address is somebody's attempt.
        if not all(is_public(address) or self._is_allowed(address) for address in addresses):
            raise OutboundRefused(_NOWHERE)
        if scheme != "https" and not (scheme == "http" and all(map(self._is_allowed, addresses))):
            raise OutboundRefused("must begin with https://")
        return str(addresses[0])

    def _look_up(self, host: str, port: int, tenant: str | None) -> Future[list[Any]]:
        """Counted until the thread is free again, which nobody can make it be: not until its caller gives up."""
        with self._lock:
            if tenant is not None and self._under_way[tenant] >= _EACH:
                raise OutboundRefused("cannot be checked before others of yours have been")
            self._under_way[tenant or ""] += 1
        look_up = self._resolvers.submit(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        look_up.add_done_callback(lambda _: self._is_done(tenant or ""))
        return look_up

    def _is_done(self, tenant: str) -> None:
        with self._lock:
            self._under_way[tenant] -= 1
            if not self._under_way[tenant]:
                del self._under_way[tenant]

    async def check_url(self, text: str, *, on_behalf_of: str | None = None) -> None:
        """For a URL that is to be stored. It is checked again when it is used. `on_behalf_of`: the tenant, which may
        have two under way. Raises `OutboundRefused`."""
        try:
            parts = urlsplit(text)
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError:
            raise OutboundRefused("is no URL") from None
        if not parts.hostname or parts.username is not None or parts.query or parts.fragment or "\\" in text:
            raise OutboundRefused("must be a scheme, a host and a path, and nothing else")
        try:
            async with asyncio.timeout(SECONDS):
                await self.resolve(parts.scheme, parts.hostname, port, on_behalf_of=on_behalf_of)
        except TimeoutError:
            raise OutboundRefused(_NOWHERE) from None

    def client(self, *, seconds: float = SECONDS, max_bytes: int = MAX_BYTES) -> httpx2.AsyncClient:
        """A client whose every connection is checked; for code of one's own too. It follows no redirect unless it is
        asked to, and then each step is checked like the first."""
        transport = self.transport(seconds=seconds, max_bytes=max_bytes)
        return httpx2.AsyncClient(transport=transport, timeout=None, trust_env=False)

    def transport(self, *, seconds: float = SECONDS, max_bytes: int = MAX_BYTES) -> GuardedTransport:
        if self._tls is None:  # reading the authorities takes a while, and is done once
            self._tls = httpx2.create_ssl_context(trust_env=False)
        return GuardedTransport(self, seconds=seconds, max_bytes=max_bytes, tls=self._tls)

    def _is_allowed(self, address: Address) -> bool:
        address = _unwrapped(address)
        return any(address.version == network.version and address in network for network in self._allowed)


class GuardedTransport(httpx2.AsyncBaseTransport):
    """`seconds`: for the whole of a request, from the DNS to the last byte."""

    def __init__(self, guard: Guard, *, seconds: float, max_bytes: int, tls: ssl.SSLContext) -> None:
        self._guard: Final = guard
        self._seconds: Final = seconds
        self._max_bytes: Final = max_bytes
        # Connections are pooled by address here: one that is kept would be used for another name on the same address,
        # whose certificate nobody has seen. So none is kept.
        limits = httpx2.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=0)
        self._inner: Final = httpx2.AsyncHTTPTransport(verify=tls, trust_env=False, limits=limits)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        deadline = asyncio.get_running_loop().time() + self._seconds
        url = request.url
        host = url.raw_host.decode("ascii")
        try:
            async with asyncio.timeout_at(deadline):
                address = await self._guard.resolve(
                    url.scheme, host, url.port or (443 if url.scheme == "https" else 80)
                )
                request.headers["Accept-Encoding"] = "identity"
                pinned = httpx2.Request(
                    request.method,
                    url.copy_with(host=address),
                    headers=request.headers,  # with the name as Host
                    stream=request.stream,
                    extensions={**request.extensions, "sni_hostname": host},  # and the certificate is checked for it
                )
                response = await self._inner.handle_async_request(pinned)
        except TimeoutError:
            raise httpx2.ReadTimeout("too slow", request=request) from None
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            raise OutboundRefused("answers with a compressed body")
        assert isinstance(response.stream, httpx2.AsyncByteStream)  # noqa: S101 – what the asynchronous transport has
        stream = _Bounded(response.stream, deadline=deadline, max_bytes=self._max_bytes)
        return httpx2.Response(
            response.status_code, headers=response.headers, stream=stream, extensions=response.extensions
        )

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, *, deadline: float, max_bytes: int) -> None:
        self._stream: Final = stream
        self._deadline: Final = deadline
        self._max_bytes: Final = max_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks, total = aiter(self._stream), 0
        while True:
            try:
                async with asyncio.timeout_at(self._deadline):
                    chunk = await anext(chunks)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise httpx2.ReadTimeout("too slow") from None
            total += len(chunk)
            if total > self._max_bytes:
                raise OutboundRefused("answers with too large a body")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


def is_public(address: Address) -> bool:
    """Whether an address belongs to the public internet, and so does the IPv4 address inside of it."""
    address = _unwrapped(address)
    if isinstance(address, IPv6Address):
        if address not in _UNICAST:
            return False
        if (int(address) >> 32) & 0xFDFF_FFFF == _ISATAP and not is_public(IPv4Address(int(address) & 0xFFFF_FFFF)):
            return False
    return (
        address.is_global
        and not address.is_multicast
        and not any(address.version == network.version and address in network for network in _NEVER)
    )


def _unwrapped(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for: mapped, 6to4, Teredo, NAT64."""
    if isinstance(address, IPv6Address):
        if inner := address.ipv4_mapped or address.sixtofour:
            return inner
        if address.teredo is not None:
            return address.teredo[1]
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def networks(text: str) -> tuple[Network, ...]:
    """Reads LIMENA_OUTBOUND_ALLOW: CIDR blocks, separated by commas. Raises `ValueError`."""
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError:
        raise ValueError(f"is {text!r}: it is a list of CIDR blocks such as 127.0.0.0/8,::1/128 .") from None
