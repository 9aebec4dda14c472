"""How often one address may call: a moving window for each budget, before anything else is done for a request.

The brute-force counters in the database protect an account against everyone; these protect the service against one
address. Five budgets, so that a client who polls does not use up its own log-ins, and a storm of log-ins leaves the
rest of the API alone. Every answer that was counted says what is left (draft-ietf-httpapi-ratelimit-headers-11).

The counts are in a storage of the `limits` library. When that fails, the door neither opens nor closes: each process
counts in its own memory with the same budgets until the storage is back. Refuses to count without an address: a Unix
socket has none, and whoever opens it is on this machine.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from limits import RateLimitItem
from limits.aio.storage import MemoryStorage, MovingWindowSupport, Storage
from limits.aio.strategies import MovingWindowRateLimiter
from limits.storage import storage_from_string
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from limena.api_key_format import PREFIX
from limena.client_address import network_of, parse_address
from limena.config import ConfigError
from limena.errors import Problem
from limena.front_door import MEMORY, Budget
from limena.metrics import Metrics
from limena.pages import ASSETS
from limena.services import services_of

log = logging.getLogger("limena")

STORAGE_TIMEOUT_SECONDS: Final = 0.5
STORAGE_PAUSE_SECONDS: Final = 5.0
"""For how long a storage that failed is left alone, so that not every request waits for it."""
MAX_ADDRESSES: Final = 100_000
"""Kept in memory, for each process. The one that was seen the longest time ago makes room for a new one."""

_BUDGETS: Final[Mapping[tuple[str, str], Budget]] = {
    ("POST", "/api/v1/auth/login"): "log-in",
    ("POST", "/api/v1/auth/password"): "log-in",
    ("POST", "/api/v1/auth/register"): "registration",
    ("POST", "/api/v1/auth/invitations/accept"): "registration",
    ("POST", "/api/v1/auth/password/forgot"): "reset",
    ("POST", "/api/v1/auth/password/reset"): "reset",
    ("POST", "/api/v1/auth/verify"): "reset",
}
KNOWN_BROWSERS: Final = 10
"""So many budgets of log-ins has an address for all browsers in which somebody has logged in before, together."""
_UNCOUNTED: Final = frozenset({"/healthz"})
"""Asks nobody, and must not fail because of what others do: its failure restarts the process."""


class BoundedMemory(MemoryStorage):
    """A moving window in this process's memory.

    The library's own walks over every address after each request, with one thread hop for each of them; here a look-up
    costs what it touches, and the number of addresses has an end."""

    STORAGE_SCHEME = ["async+limena-memory"]  # noqa: RUF012 – the library's interface

    def __init__(self, *, max_keys: int = MAX_ADDRESSES, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._max_keys: Final = max_keys
        self._clock: Final = clock
        self._hits: Final[OrderedDict[str, deque[float]]] = OrderedDict()

    async def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        now = self._clock()
        hits = self._window(key, now - expiry)
        if len(hits) + amount > limit:
            return False
        hits.extend([now] * amount)
        self._hits[key] = hits
        self._hits.move_to_end(key)
        while len(self._hits) > self._max_keys:
            self._hits.popitem(last=False)
        return True

    async def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        now = self._clock()
        hits = self._window(key, now - expiry)
        return (hits[0] if hits else now), len(hits)

    def _window(self, key: str, start: float) -> deque[float]:
        hits = self._hits.get(key, deque())
        while hits and hits[0] <= start:
            hits.popleft()
        if not hits:
            self._hits.pop(key, None)
        return hits


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an address stands with one budget, and what the headers say about it."""

    budget: Budget
    limit: RateLimitItem
    is_within: bool
    remaining: int
    seconds: int
    """Until the oldest request leaves the window: when nothing is left, until the next one may come."""

    @property
    def headers(self) -> dict[str, str]:
        headers = {
            "RateLimit-Policy": f'"{self.budget}";q={self.limit.amount};w={self.limit.get_expiry()}',
            "RateLimit": f'"{self.budget}";r={self.remaining};t={self.seconds}',
        }
        return headers if self.is_within else headers | {"Retry-After": str(self.seconds)}


class Limiter:
    """The budgets over a storage, with memory to fall back on."""

    def __init__(self, limits: Mapping[Budget, RateLimitItem], storage: Storage, metrics: Metrics) -> None:
        self._limits: Final = limits
        self._storage: Final = MovingWindowRateLimiter(storage)
        self._memory: Final = MovingWindowRateLimiter(BoundedMemory())
        self._metrics: Final = metrics
        self._paused_until = 0.0
        self._has_failed = False

    async def hit(self, budget: Budget, client: str, *, times: int = 1) -> Standing:
        """Counts one request, if there is room for it in a budget that is so many times as large."""
        return await self._ask(budget, client, times, count=True)

    async def look(self, budget: Budget, client: str) -> Standing:
        """Counts nothing."""
        return await self._ask(budget, client, 1, count=False)

    async def _ask(self, budget: Budget, client: str, times: int, *, count: bool) -> Standing:
        if time.monotonic() >= self._paused_until:
            try:
                async with asyncio.timeout(STORAGE_TIMEOUT_SECONDS):
                    standing = await self._standing(self._storage, budget, client, times, count=count)
            except Exception as error:  # whatever a storage's driver raises
                self._failed(error)
            else:
                if self._has_failed:
                    self._has_failed = False
                    log.warning("the storage of the rate limits works again")
                return standing
        return await self._standing(self._memory, budget, client, times, count=count)

    def _failed(self, error: Exception) -> None:
        self._paused_until = time.monotonic() + STORAGE_PAUSE_SECONDS
        self._has_failed = True
        self._metrics.rate_limit_storage_failures.inc()
        # Its text may hold the storage's URL.
        log.error("the storage of the rate limits fails (%s): counting in memory", type(error).__qualname__)

    async def _standing(
        self, limiter: MovingWindowRateLimiter, budget: Budget, client: str, times: int, *, count: bool
    ) -> Standing:
        base = self._limits[budget]
        limit = base if times == 1 else type(base)(base.amount * times, base.multiples)
        is_within = await (limiter.hit if count else limiter.test)(limit, "limena", budget, client)
        window = await limiter.get_window_stats(limit, "limena", budget, client)
        seconds = min(max(math.ceil(window.reset_time - time.time()), 1), limit.get_expiry())
        return Standing(budget, limit, is_within, max(window.remaining, 0) if is_within else 0, seconds)


def create_storage(url: str) -> Storage:
    """Opens no connection. Raises `ConfigError` when the storage's driver is not installed, or it keeps no moving
    window, as memcached."""
    if url == MEMORY:
        return BoundedMemory()
    try:
        storage = storage_from_string(url)
    except Exception as error:  # whatever a driver says of a URL, which may hold a password
        raise ConfigError(
            [f"LIMENA_RATE_LIMIT_STORAGE cannot be used ({type(error).__qualname__}): is its driver installed?"]
        ) from None
    if not isinstance(storage, Storage) or not isinstance(storage, MovingWindowSupport):
        raise ConfigError(["LIMENA_RATE_LIMIT_STORAGE names a storage that cannot keep a moving window."])
    return storage


class RateLimits:
    """Answers 429 before a request costs anything, and puts the headers on what it lets through."""

    def __init__(self, app: ASGIApp, *, limiter: Limiter, metrics: Metrics) -> None:
        self._app: Final = app
        self._limiter: Final = limiter
        self._metrics: Final = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["client"] is None or _is_uncounted(scope["path"]):
            await self._app(scope, receive, send)
            return
        address = parse_address(scope["client"][0])
        client = network_of(address) if address is not None else scope["client"][0]
        budget = _budget(scope)
        account = _known_account(scope) if budget == "log-in" else None
        standing = await self._limiter.hit(budget, account or client)
        if account is not None and standing.is_within:
            at_address = await self._limiter.hit(budget, f"known browsers at {client}", times=KNOWN_BROWSERS)
            standing = standing if at_address.is_within else at_address
        shows_key = _shows_key(scope)
        if standing.is_within and shows_key:
            failed_keys = await self._limiter.look("failed-keys", client)
            standing = standing if failed_keys.is_within else failed_keys
        if not standing.is_within:
            await self._refuse(standing, scope, receive, send)
            return
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if status == 401 and shows_key:
                    await self._limiter.hit("failed-keys", client)
                headers = MutableHeaders(scope=message)
                for name, value in standing.headers.items():
                    headers[name] = value
            await send(message)

        await self._app(scope, receive, send_with_headers)

    async def _refuse(self, standing: Standing, scope: Scope, receive: Receive, send: Send) -> None:
        self._metrics.rate_limited.labels(standing.budget).inc()
        request = Request(scope)
        response = Problem("rate_limited", headers=standing.headers).response(
            request_id=request.state.request_id, base_url=services_of(request).settings.base_url
        )
        await response(scope, receive, send)


def _known_account(scope: Scope) -> str | None:
    """A browser that is known for an account counts for that account: whoever shares its address, an office or a
    carrier, does not use up its log-ins. An account has one budget, however many browsers are known for it; and whoever
    makes accounts to have more of them has, from one address, KNOWN_BROWSERS times as many."""
    request = HTTPConnection(scope)
    account = services_of(request).devices.account_shown(request)
    return None if account is None else f"account {account}"


def _is_uncounted(path: str) -> bool:
    return path in _UNCOUNTED or path.startswith(ASSETS)


def _budget(scope: Scope) -> Budget:
    return _BUDGETS.get((scope["method"], scope["path"]), "other")


def _shows_key(scope: Scope) -> bool:
    scheme, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and token.strip(" ").startswith(PREFIX)
