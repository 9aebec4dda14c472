"""The HTTP server around the application: uvicorn with our protocol, our TLS, and a drain that drops nothing.

On SIGTERM it first says so: `/readyz` is 503 and every answer closes its connection, while requests and connections are
taken as before. Once load balancers and clients had time to notice, it takes no more connections, answers what has
begun, and ends. A second signal shortens the wait. Refuses to believe proxy headers by itself: `limena.client_address`
decides on them.
"""

from __future__ import annotations

import asyncio
import ctypes
import socket
import ssl
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import uvicorn
import uvloop
from starlette.applications import Starlette

from limena.http_protocol import Door, FrontDoorProtocol
from limena.middleware import security_headers
from limena.services import Services

KEEP_ALIVE_SECONDS: Final = 5
IN_FLIGHT_SECONDS: Final = 30
"""How long a drain waits for the last answers. A statement and a wait for a connection end sooner."""
BACKLOG: Final = 512
_TICK_SECONDS: Final = 0.1
_SO_ATTACH_FILTER: Final = 26
_LAST_CONNECTIONS_SECONDS: Final = 0.2


class _Loop(uvloop.Loop):
    """Whoever opens a connection and does not finish the TLS handshake is cut like one who does not finish a head."""

    handshake_timeout_seconds: float

    async def create_server(self, *args: Any, **options: Any) -> Any:
        if options.get("ssl") is not None:
            options.setdefault("ssl_handshake_timeout", self.handshake_timeout_seconds)
        return await super().create_server(*args, **options)


class ServerConfig(uvicorn.Config):
    """uvicorn's options, which are the same wherever the application is served, and the door's."""

    def __init__(
        self, app: Starlette, *, drain_seconds: float | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        services: Services = app.state.services
        given = services.settings.front_door
        self.drain_seconds: Final = given.drain_seconds if drain_seconds is None else drain_seconds
        self.door: Final = Door(
            header_timeout_seconds=given.header_timeout_seconds,
            body_timeout_seconds=given.body_timeout_seconds,
            max_connections=given.max_connections,
            max_connections_per_address=given.max_connections_per_address,
            trusted_proxies=given.trusted_proxies,
            idle_grace_seconds=min(self.drain_seconds, 1.0),
            headers=security_headers(hsts=services.settings.environment == "production"),
            base_url=services.settings.base_url,
            lifecycle=services.lifecycle,
        )
        super().__init__(
            app,
            http=FrontDoorProtocol,
            ws="none",
            lifespan="on",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=IN_FLIGHT_SECONDS,
            ssl_context_factory=None if tls is None else lambda _config, _default: tls,
        )

    def get_loop_factory(self) -> Callable[[], asyncio.AbstractEventLoop]:
        def make() -> asyncio.AbstractEventLoop:
            loop = _Loop()
            loop.handshake_timeout_seconds = self.door.header_timeout_seconds
            return loop

        return make


class HttpServer(uvicorn.Server):
    """`started` is called once it answers."""

    def __init__(self, config: ServerConfig, *, announce: Callable[[], None] = lambda: None) -> None:
        super().__init__(config)
        self._config: Final = config
        self._announce: Final = announce
        self.owns_port = True
        """Nobody else takes connections from its sockets: they are closed for good at its end."""

    def stop(self) -> None:
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._announce()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._config.door.lifecycle.is_draining = True
        for connection in list(self.server_state.connections):
            if isinstance(connection, FrontDoorProtocol):
                connection.retire()
        if self._config.drain_seconds > 0:
            signals = len(self._captured_signals)
            for tick in range(round(self._config.drain_seconds / _TICK_SECONDS)):
                await asyncio.sleep(_TICK_SECONDS)
                await self.on_tick(tick)  # the Date of the answers
                if len(self._captured_signals) > signals:
                    break
            if self.owns_port:
                for listener in sockets or []:
                    _take_no_more(listener)
            await asyncio.sleep(_LAST_CONNECTIONS_SECONDS)
        await super().shutdown(sockets)


def _take_no_more(listener: socket.socket) -> None:
    """Clients get no further than the first packet of a new connection, while those that the kernel has taken already
    are still fetched: what is in its queue when a socket closes would be reset, with the request in it.

    A packet filter on the socket (Linux, socket(7), needs no privilege) drops what has the SYN flag; the client sends
    it again a second later, and is refused, or reaches whoever has the port by then."""
    if not sys.platform.startswith("linux"):
        listener.listen(0)
        return
    code = ctypes.create_string_buffer(
        b"".join(
            struct.pack("HBBI", *instruction)
            for instruction in (
                (0x30, 0, 0, 13),  # load the byte with the flags of the TCP header
                (0x45, 0, 1, 0x02),  # SYN? then the next, else the one after it
                (0x06, 0, 0, 0),  # drop
                (0x06, 0, 0, 0xFFFFFFFF),  # keep all of it
            )
        )
    )
    program = struct.pack("HL", 4, ctypes.addressof(code))
    with suppress(OSError):  # a kernel that allows no filters: a connection may be reset then
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections at once: they wait until the server answers. Raises `OSError`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and host == "::":
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
