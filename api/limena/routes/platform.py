"""The service itself: whether it lives, whether it is ready, its numbers, its public keys, its documentation."""

from __future__ import annotations

import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from limena import docs_page, openapi
from limena.errors import Problem
from limena.metrics import CONTENT_TYPE
from limena.routing import Endpoint, HandlerRoute
from limena.services import services_of
from limena.values import Json

_SECURITY_TXT: Final = "/.well-known/security.txt"
_SECURITY_TXT_VALIDITY: Final = timedelta(days=180)
_PUBLIC: Final = {"Cache-Control": "public, max-age=300"}


def _json(document: object, headers: dict[str, str] | None = None) -> Response:
    return Response(json.dumps(document), headers=headers, media_type="application/json")


async def liveness(_request: Request) -> Response:
    return _json({"status": "alive"})


async def readiness(request: Request) -> Response:
    """Asks PostgreSQL, so that a load balancer sends nobody to a process that cannot reach it or has another schema."""
    services = services_of(request)
    if services.lifecycle.is_draining:
        raise Problem("unavailable", "This process is about to end.")
    deployed = await services.database.ask("deployed_digest")
    if deployed != services.expected_digest.encode("ascii"):
        raise Problem("unavailable", "The database is not of this version. Run limena deploy.")
    return _json({"status": "ready"})


async def metrics(request: Request) -> Response:
    """What Prometheus scrapes. Whoever may read it is settled by LIMENA_METRICS and LIMENA_METRICS_TOKEN."""
    services = services_of(request)
    door = services.settings.front_door
    if not door.metrics:
        raise Problem("not_found")
    if door.metrics_token is not None:
        shown = request.headers.get("authorization", "").encode("latin-1")
        if not hmac.compare_digest(shown, f"Bearer {door.metrics_token}".encode("ascii")):
            raise Problem("unauthenticated", "Show the token of the metrics: Authorization: Bearer …")
    services.database.note_pools(services.metrics)
    return Response(services.metrics.expose(), media_type=CONTENT_TYPE)


async def security_contact(request: Request) -> Response:
    """RFC 9116. The end of its validity moves with the clock: a server that is gone tells nothing."""
    settings = services_of(request).settings
    expires = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + _SECURITY_TXT_VALIDITY
    lines = [
        f"Contact: {settings.front_door.security_contact}",
        f"Expires: {expires:%Y-%m-%dT%H:%M:%SZ}",
        "Preferred-Languages: en",
        f"Canonical: {settings.base_url}{_SECURITY_TXT}",
    ]
    return Response("\r\n".join([*lines, ""]), headers=_PUBLIC, media_type="text/plain")


async def key_set(request: Request) -> Response:
    return _json(services_of(request).keys.jwks(), _PUBLIC)


async def _document(request: Request) -> dict[str, Json]:
    services = services_of(request)
    catalog = await services.database.catalog()
    endpoints, base_url = services.endpoints, services.settings.base_url
    return catalog.derive(
        (openapi.describe, endpoints, base_url), lambda: openapi.describe(endpoints, catalog, base_url)
    )


async def openapi_document(request: Request) -> Response:
    return _json(await _document(request), {"Cache-Control": "no-cache"})


async def documentation(request: Request) -> Response:
    page = docs_page.render(await _document(request))
    headers = {"Content-Security-Policy": docs_page.CSP, "Cache-Control": "no-cache"}
    return Response(page, headers=headers, media_type="text/html")


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    HandlerRoute(
        method="GET",
        path="/healthz",
        tag="platform",
        summary="Liveness",
        description="Answers as long as the process runs. Asks nobody.",
        handler=liveness,
        answer="Liveness",
    ),
    HandlerRoute(
        method="GET",
        path="/readyz",
        tag="platform",
        summary="Readiness",
        description="Whether the database can be reached and is of this version.",
        handler=readiness,
        procedures=("deployed_digest",),
        answer="Readiness",
        errors=("unavailable",),
    ),
    HandlerRoute(
        method="GET",
        path="/metrics",
        tag="platform",
        summary="Metrics",
        description=(
            "Requests by route template, method and status, durations, pools, rate limits and failed log-ins, as "
            "Prometheus reads them. Nothing of any tenant. May need a token, or be switched off."
        ),
        handler=metrics,
        answer=None,
        media_type="text/plain",
        errors=("unauthenticated", "not_found"),
    ),
    HandlerRoute(
        method="GET",
        path=_SECURITY_TXT,
        tag="platform",
        summary="Security contact",
        description="Where to report a vulnerability (RFC 9116).",
        handler=security_contact,
        answer=None,
        media_type="text/plain",
    ),
    HandlerRoute(
        method="GET",
        path="/.well-known/jwks.json",
        tag="platform",
        summary="Public keys",
        description="The keys that verify access tokens (RFC 7517): the current one first, then the previous one.",
        handler=key_set,
        answer="KeySet",
    ),
    HandlerRoute(
        method="GET",
        path="/openapi.json",
        tag="platform",
        summary="This document",
        description="OpenAPI 3.1, made from the routes, the procedures' signatures and their comments.",
        handler=openapi_document,
        answer="OpenApi",
        errors=("unavailable",),
    ),
    HandlerRoute(
        method="GET",
        path="/docs",
        tag="platform",
        summary="Documentation",
        description="This document as a page.",
        handler=documentation,
        answer=None,
        media_type="text/html",
        errors=("unavailable",),
    ),
)
