"""What Prometheus reads at `/metrics`: how much, how long, how full, how often refused.

The labels are route templates, methods, statuses, budgets, pools and providers: sets that are known when the program is
written. Refuses a label that a client could choose, and anything of a tenant, a user, a key or an address.

With several worker processes `limena serve` names a folder in PROMETHEUS_MULTIPROC_DIR, where each writes its numbers;
whichever answers adds all of them up.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MULTIPROCESS_DIR: Final = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
UNMATCHED: Final = "unmatched"
"""The route of a request that no route takes."""
OTHER_METHOD: Final = "OTHER"
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_LOG_IN: Final = "/api/v1/auth/login"


class Metrics:
    """The numbers of one application. Two applications in one process do not share them."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self._registry: Final = registry
        self.requests: Final = Counter(
            "limena_http_requests", "Requests answered.", ["method", "route", "status"], registry=registry
        )
        self.durations: Final = Histogram(
            "limena_http_request_duration_seconds",
            "From the head of a request to the end of its answer.",
            ["method", "route"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self.in_flight: Final = Gauge(
            "limena_http_requests_in_flight",
            "Requests that are being answered.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.rate_limited: Final = Counter(
            "limena_rate_limited_requests", "Requests refused by a rate limit.", ["budget"], registry=registry
        )
        self.rate_limit_storage_failures: Final = Counter(
            "limena_rate_limit_storage_failures", "Times that the rate limits' storage failed.", registry=registry
        )
        self.failed_log_ins: Final = Counter(
            "limena_failed_log_ins", "Log-ins with a wrong password or address.", registry=registry
        )
        self.pool_connections: Final = Gauge(
            "limena_pool_connections",
            "Connections to PostgreSQL.",
            ["pool", "state"],
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.pool_waiting: Final = Gauge(
            "limena_pool_requests_waiting",
            "Requests that wait for a connection to PostgreSQL.",
            ["pool"],
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.unreadable_credentials: Final = Counter(
            "limena_unreadable_credentials",
            "Times that a credential of a third party could not be opened.",
            ["provider"],
            registry=registry,
        )
        self._is_multiprocess: Final = MULTIPROCESS_DIR in os.environ
        if not self._is_multiprocess:
            ProcessCollector(registry=registry)

    def expose(self) -> bytes:
        """In Prometheus' text format."""
        if not self._is_multiprocess:
            return generate_latest(self._registry)
        everyone = CollectorRegistry()
        MultiProcessCollector(everyone)  # type: ignore[no-untyped-call]  # registers itself
        return generate_latest(everyone)

    def note_pool(self, pool: str, stats: Mapping[str, int]) -> None:
        """`stats`: what psycopg's pool says of itself."""
        size, idle = stats.get("pool_size", 0), stats.get("pool_available", 0)
        self.pool_connections.labels(pool, "idle").set(idle)
        self.pool_connections.labels(pool, "busy").set(max(size - idle, 0))
        self.pool_waiting.labels(pool).set(stats.get("requests_waiting", 0))


def method_label(scope: Scope) -> str:
    method: str = scope["method"]
    return method if method in _METHODS else OTHER_METHOD


def route_label(scope: Scope) -> str:
    """The template of the route that took the request."""
    route: str | None = getattr(scope.get("route"), "path", None)
    return route or UNMATCHED


class Measure:
    """Counts and times every request."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app: Final = app
        self._metrics: Final = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._metrics.in_flight.inc()
        try:
            await self._app(scope, receive, note_status)
        finally:
            self._metrics.in_flight.dec()
            method, route = method_label(scope), route_label(scope)
            self._metrics.requests.labels(method, route, str(status or 499)).inc()  # 499: the client went away
            self._metrics.durations.labels(method, route).observe(time.perf_counter() - started)
            if route == _LOG_IN and status == 401:
                self._metrics.failed_log_ins.inc()
