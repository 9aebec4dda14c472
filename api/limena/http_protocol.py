"""HTTP/1.1 as it is spoken at the door: uvicorn's protocol with an end to everything that a client can draw out.

A request's head and its body each have a time in which they must arrive, the head a size, a connection a number of
others beside it, fewer of its own address, and an answer a time in which it must be taken. What two parsers could read
differently is refused before the application hears of it: both framings at once, transfer codings but `chunked`, no
`Host` or two, fields in a trailer (RFC 9112 sections 3.2, 6.1, 7.1.2; RFC 9110 section 6.5.1). Every refusal is a
problem document with the headers that the application's own answers have.

When the server drains, whatever has begun to arrive is still answered, and each answer is its connection's last.
Refuses to answer anything itself while an earlier request of the same connection waits for its answer.
"""

from __future__ import annotations

import asyncio
import enum
import json
import logging
from asyncio.events import TimerHandle
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import uuid4

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from limena.client_address import network_of, parse_address
from limena.errors import Problem
from limena.front_door import Network
from limena.services import Lifecycle

if TYPE_CHECKING:
    from limena.http_server import ServerConfig

log = logging.getLogger("limena")

MAX_URL_BYTES: Final = 8_192
MAX_HEAD_BYTES: Final = 32_768
"""Of all header fields together, the lines' ends included."""
MAX_FIELDS: Final = 100
LINGER_SECONDS: Final = 1.0
"""For how long what still arrives after a refusal is read and thrown away: a connection that is closed on unread bytes
takes the refusal with it."""
MAX_LINGERING: Final = 64
"""Of those that are over the number of all connections: beside those that were let in, these keep a socket open."""
_ALL_METHODS: Final = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"


@dataclass(slots=True)
class Door:
    """What the protocol keeps to, and whom it has let in."""

    header_timeout_seconds: float
    body_timeout_seconds: float
    max_connections: int
    max_connections_per_address: int | None
    trusted_proxies: Sequence[Network]
    """Everybody comes from their addresses: they are not counted."""
    idle_grace_seconds: float
    """How long a connection without a request stays open at the end of a drain: one may be on its way."""
    headers: Mapping[str, str]
    """On every refusal."""
    base_url: str
    lifecycle: Lifecycle
    admitted: Counter[str | None] = field(default_factory=Counter)
    """Open connections that were let in, by what counts as one client; None is everybody who is not counted apart.
    One that is refused is none of them, or whoever keeps coming would shut out others by being refused."""
    lingering: int = 0
    """Of those that were not."""


class _Refusal(Exception):
    """Raised in a callback of the parser, which then stops."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.code)
        self.problem: Final = problem


class _Reading(enum.Enum):
    NOTHING = enum.auto()
    HEAD = enum.auto()
    BODY = enum.auto()


class FrontDoorProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(
        self,
        config: ServerConfig,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._door: Final = config.door
        self._reading = _Reading.NOTHING
        self._is_over = False
        """Nothing more is taken from this connection."""
        self._head_bytes = 0
        self._field_bytes = 0
        self._bytes_without_body = 0
        self._timer: TimerHandle | None = None
        self._write_timer: TimerHandle | None = None
        self._client_network: str | None = None
        self._is_admitted = False
        self._lingers_outside = False

    # The connection
    # --------------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))  # uvloop's is none by inheritance
        self._client_network = self._network()
        if self._has_too_many():
            self._turn_away()
        elif self._door.admitted.total() >= self._door.max_connections:
            self._refuse_outside()
        else:
            self._is_admitted = True
            self._door.admitted[self._client_network] += 1
            self._start_timer(self._door.header_timeout_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._stop_write_timer()
        if self._is_admitted:
            self._door.admitted[self._client_network] -= 1
            if not self._door.admitted[self._client_network]:
                del self._door.admitted[self._client_network]
        if self._lingers_outside:
            self._door.lingering -= 1
        super().connection_lost(exc)

    def _network(self) -> str | None:
        peer = parse_address(self.client[0]) if self.client else None  # a Unix socket has no address
        if peer is None or any(peer in network for network in self._door.trusted_proxies):
            return None
        return network_of(peer)

    def _has_too_many(self) -> bool:
        most, network = self._door.max_connections_per_address, self._client_network
        return most is not None and network is not None and self._door.admitted[network] >= most

    def _refuse_outside(self) -> None:
        """Over the number of all connections. So few may wait for their answer to be read."""
        if self._door.lingering >= MAX_LINGERING:
            self._turn_away()
        else:
            self._lingers_outside = True
            self._door.lingering += 1
            self._refuse(Problem("unavailable"))

    def _turn_away(self) -> None:
        """Answers, and does not wait for the answer to be read: it costs one write, however many come."""
        self._is_over = True
        self._answer(Problem("unavailable"))
        self.transport.close()
        self.loop.call_later(LINGER_SECONDS, self.transport.abort)  # with TLS, the other side is asked to close, too

    def data_received(self, data: bytes) -> None:
        if self._is_over:
            return
        self._unset_keepalive_if_required()
        if self._reading is _Reading.NOTHING:
            self._begin_head()
        self._head_bytes += len(data)
        self._bytes_without_body += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # Answered as if it had not asked for one; what follows may be in any language.
            self._is_over = True
            self._stop_timer()
            self.cycle.keep_alive = False
        except httptools.HttpParserCallbackError as error:
            raised = error.__context__
            self._refuse(raised.problem if isinstance(raised, _Refusal) else Problem("invalid_request", _UNREADABLE))
        except httptools.HttpParserInvalidMethodError:
            self._refuse(Problem("method_not_allowed", headers={"Allow": _ALL_METHODS}))
        except httptools.HttpParserError:
            self._refuse(Problem("invalid_request", _UNREADABLE))
        else:
            if self._reading is _Reading.HEAD and self._head_bytes > MAX_URL_BYTES + MAX_HEAD_BYTES:
                self._refuse(Problem("headers_too_large"))
            elif self._reading is _Reading.BODY and self._bytes_without_body > MAX_HEAD_BYTES:
                self._refuse(Problem("invalid_request", _UNREADABLE))  # chunk extensions, or a trailer without an end

    # The parser's callbacks
    # --------------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._begin_head()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > MAX_URL_BYTES:
            raise _Refusal(Problem("uri_too_long"))

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._reading is _Reading.BODY:
            return  # of a trailer: uvicorn would put it among the headers, which have been looked at
        self._field_bytes += len(name) + len(value) + 4
        if self._field_bytes > MAX_HEAD_BYTES or len(self.headers) >= MAX_FIELDS:
            raise _Refusal(Problem("headers_too_large"))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._check_head()
        super().on_headers_complete()
        self._reading = _Reading.BODY
        if self._door.lifecycle.is_draining:
            self.cycle.keep_alive = False
        self._start_timer(self._door.body_timeout_seconds)

    def on_body(self, body: bytes) -> None:
        self._bytes_without_body = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._stop_timer()
        self._reading = _Reading.NOTHING

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._is_over and not self.pipeline and not self.transport.is_closing():
            self.transport.close()

    def _begin_head(self) -> None:
        if self._reading is not _Reading.HEAD:
            self._reading = _Reading.HEAD
            self._head_bytes = self._field_bytes = self._bytes_without_body = 0
            if self._timer is None:
                self._start_timer(self._door.header_timeout_seconds)

    def _check_head(self) -> None:
        names = [name for name, _ in self.headers]
        hosts = names.count(b"host")
        if hosts > 1 or (hosts == 0 and self.parser.get_http_version() == "1.1"):
            raise _Refusal(Problem("invalid_request", "A request has one Host."))
        codings = [value for name, value in self.headers if name == b"transfer-encoding"]
        if codings and (
            b"content-length" in names
            or self.parser.get_http_version() != "1.1"
            or [coding.strip().lower() for coding in codings] != [b"chunked"]
        ):
            raise _Refusal(Problem("invalid_request", "A body has a Content-Length, or is chunked, and nothing else."))
        if names.count(b"content-length") > 1:
            raise _Refusal(Problem("invalid_request", "A body has one Content-Length."))
        if self.url == b"*" or self.parser.get_method() == b"CONNECT":
            raise _Refusal(Problem("method_not_allowed", headers={"Allow": _ALL_METHODS}))

    # The end of it
    # --------------------------------------------------------------------------------------------------------

    def retire(self) -> None:
        """The server has begun to drain: the answer that is being made is the connection's last."""
        if self._is_answering():
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        """The server takes no more connections. Whatever has begun to arrive is answered; the time-outs see to an
        end."""
        self.retire()
        if self._is_over and not self._is_answering():
            self.transport.close()
        elif not self._is_answering() and self._reading is _Reading.NOTHING:
            self.loop.call_later(self._door.idle_grace_seconds, self._close_if_idle)

    def _close_if_idle(self) -> None:
        if self._reading is _Reading.NOTHING and not self._is_answering() and not self.transport.is_closing():
            self.transport.close()

    def _is_answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _refuse(self, problem: Problem) -> None:
        """The last that happens on this connection."""
        self._stop_timer()
        self._is_over = True
        cycle: RequestResponseCycle | None = self.cycle
        if self._reading is _Reading.BODY and cycle is not None:
            # The application has this request already, or will have it after those that wait before it.
            if self.pipeline and self.pipeline[0][0] is cycle:
                self.pipeline.popleft()
                return  # on_response_complete closes
            has_answered = cycle.response_started
            cycle.disconnected = True
            cycle.message_event.set()
            if has_answered:
                self.transport.close()
                return
        elif self._is_answering():
            self.cycle.keep_alive = False
            return
        self._answer(problem)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self._close)

    def _answer(self, problem: Problem) -> None:
        request_id = str(uuid4())
        document = problem.as_json(request_id=request_id, base_url=self._door.base_url)
        body = json.dumps(document).encode("ascii")
        headers = {
            "content-type": "application/problem+json",
            "content-length": str(len(body)),
            "connection": "close",
            "x-request-id": request_id,
            **self._door.headers,
            **problem.headers,
        }
        status = HTTPStatus(problem.status)
        lines = [f"HTTP/1.1 {status.value} {status.phrase}", *(f"{name}: {value}" for name, value in headers.items())]
        self.transport.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        log.info("refused before the application: %s, request %s", problem.code, request_id)

    def _close(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()

    # Time
    # --------------------------------------------------------------------------------------------------------

    def _start_timer(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(seconds, self._on_timeout, seconds)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timeout(self, seconds: float) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        if self.flow.read_paused:  # it is we who are late
            self._start_timer(seconds)
        elif self._reading is _Reading.NOTHING:
            self.transport.close()
        else:
            self._refuse(Problem("request_timeout"))

    def pause_writing(self) -> None:
        """The client does not take its answer."""
        super().pause_writing()
        self._stop_write_timer()
        self._write_timer = self.loop.call_later(self._door.body_timeout_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        self._stop_write_timer()
        super().resume_writing()

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None


_UNREADABLE: Final = "This is no HTTP request that can be read in only one way."
