"""The Starlette application: what it is made of, in which order, and what opens and closes with it.

It starts with the database down, answers 503, and serves as soon as the database is there. Refuses to hold anything
that a request could find changed: settings and keys are read once, all state is PostgreSQL's.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response

from limena import secrets
from limena.client_address import ClientAddress
from limena.config import Settings
from limena.csrf import Csrf
from limena.deploy import expected_digest, source_dir
from limena.devices import Devices
from limena.errors import Problem
from limena.export import ExportRoute
from limena.integrations import Integrations
from limena.logs import RequestLog, describe
from limena.metrics import Measure, Metrics
from limena.middleware import AllowedHosts, ErrorBoundary, RequestId, SecurityHeaders
from limena.pages import page_routes
from limena.passwords import HashingBusy, PasswordHasher
from limena.pools import create_call_pool
from limena.procedures import CatalogError
from limena.rate_limits import Limiter, RateLimits, create_storage
from limena.routes import ENDPOINTS
from limena.routing import Endpoint, HandlerRoute, ProcedureRoute, starlette_routes
from limena.services import Lifecycle, Services, services_of
from limena.tokens import KeyRing
from limena.transaction import Database
from limena.vault import MasterKeySource

log = logging.getLogger("limena")

EXPORT_TIMEOUT_MS: Final = 900_000
"""How long one export may take, however slow its client: it holds an old snapshot, which holds back vacuum."""
_OF_STATUS: Final = {404: "not_found", 405: "method_not_allowed", 413: "payload_too_large"}


def create_app(
    settings: Settings, *, endpoints: Sequence[Endpoint] = ENDPOINTS, master_keys: MasterKeySource | None = None
) -> Starlette:
    """The application. Blocks while it loads the keys and makes one password hash; opens no connection before its
    lifespan begins. `master_keys`: where the vault's keys come from, if not from the settings. Raises what
    `KeyRing.from_settings` and `MasterKeySource.load` raise."""
    app_pool = create_call_pool(
        settings.app_dsn,
        name="limena api",
        size=settings.app_pool_size,
        timeout=settings.pool_timeout_seconds,
        statement_timeout_ms=settings.statement_timeout_ms,
    )
    auth_pool = create_call_pool(
        settings.auth_dsn,
        name="limena auth",
        size=settings.auth_pool_size,
        timeout=settings.pool_timeout_seconds,
        statement_timeout_ms=settings.statement_timeout_ms,
    )
    export_pool = create_call_pool(
        settings.app_dsn,
        name="limena export",
        size=settings.export_pool_size,
        timeout=settings.pool_timeout_seconds,
        statement_timeout_ms=EXPORT_TIMEOUT_MS,
    )
    readonly_pool = settings.readonly_dsn and create_call_pool(
        settings.readonly_dsn,
        name="limena operators",
        size=settings.readonly_pool_size,
        timeout=settings.pool_timeout_seconds,
        statement_timeout_ms=settings.statement_timeout_ms,
    )
    hasher = PasswordHasher(settings.bcrypt_cost, settings.password_workers)
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        try:
            async with AsyncExitStack() as pools:
                for pool in (app_pool, auth_pool, export_pool, readonly_pool):
                    if pool:
                        await pools.enter_async_context(pool)  # does not wait: the database may come later
                yield
        finally:
            hasher.close()

    app = Starlette(
        routes=[*starlette_routes(endpoints), *page_routes()],
        middleware=_middleware(settings, metrics),
        exception_handlers={
            Problem: _on_problem,
            CatalogError: _on_catalog_error,
            HashingBusy: _on_hashing_busy,
            HTTPException: _on_http_exception,
        },
        lifespan=lifespan,
    )
    # A redirect to the path with a slash at its end would be built from the Host header.
    app.router.redirect_slashes = False
    app.state.services = Services(
        settings=settings,
        keys=KeyRing.from_settings(settings),
        hasher=hasher,
        database=Database(
            app_pool, auth_pool, procedures_of(endpoints), export_pool=export_pool, readonly_pool=readonly_pool or None
        ),
        csrf=Csrf(
            secrets.derive(settings.secret_key, secrets.CSRF),
            base_url=settings.base_url,
            other_origins=settings.front_door.cors_origins,
            is_production=settings.environment == "production",
        ),
        devices=Devices(
            secrets.derive(settings.secret_key, secrets.DEVICE), is_production=settings.environment == "production"
        ),
        refresh_key=secrets.derive(settings.secret_key, secrets.REFRESH),
        mail_key=secrets.derive(settings.secret_key, secrets.MAIL),
        expected_digest=expected_digest(source_dir()),
        endpoints=tuple(endpoints),
        metrics=metrics,
        integrations=Integrations.from_settings(settings, metrics, master_keys or settings.master_keys),
        lifecycle=Lifecycle(),
    )
    return app


def _middleware(settings: Settings, metrics: Metrics) -> list[Middleware]:
    """From the outside in."""
    door = settings.front_door
    layers = [
        Middleware(RequestId),
        Middleware(ClientAddress, header=door.proxy_header, trusted=door.trusted_proxies),
        Middleware(RequestLog),
        Middleware(Measure, metrics=metrics),
        Middleware(SecurityHeaders, hsts=settings.environment == "production"),
        Middleware(ErrorBoundary),
    ]
    if door.allowed_hosts:
        layers.append(Middleware(AllowedHosts, hosts=door.allowed_hosts))
    if door.cors_origins:
        layers.append(
            Middleware(
                CORSMiddleware,
                allow_origins=door.cors_origins,
                allow_credentials=True,
                allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
                allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "X-CSRF-Token"],
                expose_headers=["RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-Id"],
                max_age=600,
            )
        )
    if door.rate_limits is not None:
        limiter = Limiter(door.rate_limits, create_storage(door.rate_limit_storage), metrics)
        layers.append(Middleware(RateLimits, limiter=limiter, metrics=metrics))
    return layers


def procedures_of(endpoints: Sequence[Endpoint]) -> set[str]:
    """The names of all procedures that routes call."""
    names = {"require"}
    for endpoint in endpoints:
        match endpoint:
            case ExportRoute():
                names |= {endpoint.procedure, endpoint.begin}
            case ProcedureRoute():
                names.add(endpoint.procedure)
            case HandlerRoute():
                names.update(endpoint.procedures)
    return names


async def _on_problem(request: Request, error: Exception) -> Response:
    problem = cast(Problem, error)
    if problem.status >= 500:
        cause = problem.__cause__ or problem
        log.error("%s: %s, request %s", problem.code, describe(cause), request.state.request_id)
    return problem.response(request_id=request.state.request_id, base_url=services_of(request).settings.base_url)


async def _on_catalog_error(request: Request, error: Exception) -> Response:
    log.error("%s", error)  # names of functions and arguments, no values
    return await _on_problem(request, Problem("unavailable"))


async def _on_hashing_busy(request: Request, error: Exception) -> Response:
    problem = Problem("unavailable")
    problem.__cause__ = error
    return await _on_problem(request, problem)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    """Starlette's own: no such path, no such method."""
    raised = cast(HTTPException, error)
    code = _OF_STATUS.get(raised.status_code, "invalid_request" if raised.status_code < 500 else "internal_error")
    return await _on_problem(request, Problem(code, headers=raised.headers))
