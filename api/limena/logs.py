"""What is logged: one JSON object a line on one stream, and one line for each request.

A request's line has its method, the template of its route, status, duration, id, and the address it came from (an IPv6
one as its /64). Refuses to log what a client wrote: no path, no query string, no header, no body. An exception of any
library is logged as its type, SQLSTATE and place, without its text, which may hold values.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Sequence
from typing import Final, TextIO

import psycopg
import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.typing import EventDict, Processor, WrappedLogger

from limena.client_address import network_of, parse_address
from limena.errors import SqlError
from limena.metrics import method_label, route_label


def describe(error: BaseException) -> str:
    """An exception for the log: its type, SQLSTATE and place, and nothing that it says."""
    sqlstate = error.sqlstate if isinstance(error, SqlError | psycopg.Error) else None
    place = traceback.extract_tb(error.__traceback__)[-1:]
    return "".join(
        [
            type(error).__qualname__,
            f" (SQLSTATE {sqlstate})" if sqlstate else "",
            *(f" at {frame.filename}:{frame.lineno} in {frame.name}" for frame in place),
        ]
    )


def _describe_exception(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    raised = event.pop("exc_info", None)
    if isinstance(raised, tuple):
        raised = raised[1]
    if isinstance(raised, BaseException):
        event["exception"] = describe(raised)
    event.pop("stack_info", None)
    return event


_PROCESSORS: Final[Sequence[Processor]] = (
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)

_access: Final[structlog.stdlib.BoundLogger] = structlog.wrap_logger(
    logging.getLogger("limena.access"),
    processors=[
        structlog.stdlib.filter_by_level,
        *_PROCESSORS,
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ],
    wrapper_class=structlog.stdlib.BoundLogger,
    cache_logger_on_first_use=True,
)


def configure(stream: TextIO, *, level: int = logging.INFO) -> None:
    """Everything that any library of this process logs goes to this stream, from this level on."""
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*_PROCESSORS, structlog.stdlib.ExtraAdder(allow=[])],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _describe_exception,
            structlog.processors.JSONRenderer(),
        ],
        keep_exc_info=True,
        keep_stack_info=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING))
    logging.getLogger("limena").setLevel(level)


class RequestLog:
    """Writes the line, once the answer is complete."""

    def __init__(self, app: ASGIApp) -> None:
        self._app: Final = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), None

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, note_status)
        finally:
            write = _access.warning if status is not None and status >= 500 else _access.info
            write(
                "request",
                method=method_label(scope),
                route=route_label(scope),
                status=status,  # null: the client went away
                duration_ms=round((time.perf_counter() - started) * 1000, 2),
                request_id=scope["state"]["request_id"],
                client=_client(scope),
            )


def _client(scope: Scope) -> str | None:
    address = parse_address(scope["client"][0]) if scope["client"] else None
    return None if address is None else network_of(address)
