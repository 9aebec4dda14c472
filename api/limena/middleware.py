"""What every answer has, errors too: a request id, the security headers, and no more than a sentence when something
breaks.

Pure ASGI: an answer passes through as it is made, nothing is buffered. `limena.app` lists them in their order; what
else belongs at the front door (CSRF, rate limits, hosts and TLS) becomes a class of its own beside these.

Refuses to believe a request id that comes from outside: ours is in the audit log. Refuses to log an exception's text,
which may hold values: a log line has its type, its SQLSTATE, where it was raised, and the request id
(`limena.logs.describe`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from limena.errors import Problem
from limena.logs import describe
from limena.services import services_of

log = logging.getLogger("limena")

API_CSP: Final = "default-src 'none'; frame-ancestors 'none'"
HSTS: Final = "max-age=63072000; includeSubDomains"
"""Two years (RFC 6797)."""
PERMISSIONS_POLICY: Final = ", ".join(
    f"{feature}=()"
    for feature in (
        "accelerometer", "camera", "display-capture", "fullscreen", "geolocation", "gyroscope", "hid",
        "magnetometer", "microphone", "midi", "payment", "publickey-credentials-get", "screen-wake-lock", "serial",
        "usb", "xr-spatial-tracking",
    )
)  # fmt: skip


def security_headers(*, hsts: bool) -> dict[str, str]:
    """What every answer has unless it sets one of them itself. (X-Frame-Options says less than frame-ancestors.)"""
    return {
        "Content-Security-Policy": API_CSP,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Permissions-Policy": PERMISSIONS_POLICY,
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
        **({"Strict-Transport-Security": HSTS} if hsts else {}),
    }


class RequestId:
    """Gives each request an id of our own making, in `request.state.request_id` and in the answer's `X-Request-Id`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app: Final = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = str(uuid4())
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        await self._app(scope, receive, send_with_id)


class SecurityHeaders:
    """Sets what an answer has not set itself: a page has a wider CSP, a key set may be cached."""

    def __init__(self, app: ASGIApp, *, hsts: bool) -> None:
        self._app: Final = app
        self._defaults: Final = security_headers(hsts=hsts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._defaults.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)


class ErrorBoundary:
    """Turns whatever was not foreseen into a 500 without details, and into a log line without values."""

    def __init__(self, app: ASGIApp) -> None:
        self._app: Final = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_started = False

        async def note_start(message: Message) -> None:
            nonlocal has_started
            has_started = has_started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, note_start)
        except ClientDisconnect:
            return  # nobody is there to be answered
        except (Exception, asyncio.CancelledError) as error:
            request = Request(scope)
            log.error("%s, request %s", describe(error), request.state.request_id)
            if (
                not has_started
            ):  # else the server breaks the connection off, so that half an answer is not taken for one
                # Cancelled by a server that ends. It would log the whole traceback of what gets out of here.
                code = "unavailable" if isinstance(error, asyncio.CancelledError) else "internal_error"
                response = Problem(code).response(
                    request_id=request.state.request_id, base_url=services_of(request).settings.base_url
                )
                await response(scope, receive, send)


class AllowedHosts:
    """Refuses requests for another host. Checks of whether the service lives come by address, and are let through."""

    _OPEN: Final = frozenset({"/healthz", "/readyz", "/metrics"})

    def __init__(self, app: ASGIApp, *, hosts: Sequence[str]) -> None:
        self._app: Final = app
        self._hosts: Final = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        host = Headers(scope=scope).get("host", "").lower() if scope["type"] == "http" else ""
        if scope["type"] != "http" or host in self._hosts or scope["path"] in self._OPEN:
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        response = Problem("invalid_request", "This host is not served here.").response(
            request_id=request.state.request_id, base_url=services_of(request).settings.base_url
        )
        await response(scope, receive, send)
