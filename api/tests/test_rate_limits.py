"""Rate limits: separate budgets, what the headers say, whose address counts, and a storage that fails."""

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Any

import limits
import pytest
from limits.aio.storage import MemoryStorage
from starlette.requests import Request
from starlette.responses import Response

from limena.api_key_format import generate
from limena.config import ConfigError
from limena.front_door import BUDGETS, Budget
from limena.metrics import Metrics
from limena.rate_limits import KNOWN_BROWSERS, BoundedMemory, Limiter, create_storage
from support.door import Door

FEW: Mapping[str, str] = {
    "LIMENA_RATE_LIMIT_LOG_IN": "2/minute",
    "LIMENA_RATE_LIMIT_REGISTRATION": "3/hour",
    "LIMENA_RATE_LIMIT_RESET": "1/hour",
    "LIMENA_RATE_LIMIT_FAILED_KEYS": "2/minute",
    "LIMENA_RATE_LIMIT_OTHER": "6/minute",
}
STATE = re.compile(r'"([a-z-]+)";r=(\d+);t=(\d+)')


class BrokenStorage(MemoryStorage):
    """A storage that answers nothing while it is broken. Known to the library by its scheme, as any other."""

    STORAGE_SCHEME = ["async+broken"]  # noqa: RUF012
    is_broken = False
    secret = "hunter2-hunter2"

    async def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        if self.is_broken:
            raise ConnectionError(f"cannot reach redis://:{self.secret}@x")
        return await super().acquire_entry(key, limit, expiry, amount)


def test_each_budget_is_its_own(start_door: Callable[..., Door]) -> None:
    with start_door(**FEW).client() as client:
        for path, budget, most in [
            ("/api/v1/auth/login", "log-in", 2),
            ("/api/v1/auth/register", "registration", 3),
            ("/api/v1/auth/password/forgot", "reset", 1),
        ]:
            for number in range(most):
                response = client.post(path, json={})
                assert response.status_code == 403  # no CSRF token: but counted
                assert STATE.fullmatch(response.headers["ratelimit"])
                assert response.headers["ratelimit"].startswith(f'"{budget}";r={most - number - 1};t=')
            refused = client.post(path, json={})
            assert refused.status_code == 429
            assert refused.headers["content-type"] == "application/problem+json"
            assert refused.json()["code"] == "rate_limited"
            window = 60 if budget == "log-in" else 3600
            assert refused.headers["ratelimit-policy"] == f'"{budget}";q={most};w={window}'
            state = STATE.fullmatch(refused.headers["ratelimit"])
            assert state is not None
            assert state[2] == "0"
            assert refused.headers["retry-after"] == state[3]
            assert 0 < int(state[3]) <= window
        statuses = [client.get("/.well-known/jwks.json").status_code for _ in range(7)]
        assert statuses == [200] * 6 + [429]
        for _ in range(20):  # restarting the process would not help
            alive = client.get("/healthz")
            assert alive.status_code == 200
            assert "ratelimit" not in alive.headers


def test_a_known_browser_has_log_ins_of_its_own(start_door: Callable[..., Door]) -> None:
    """Whoever shares its address does not use them up; a cookie that we did not sign, and more cookies of the same
    account, bring nothing."""
    door = start_door(**FEW)
    devices = door.app.state.services.devices

    def cookie_for(email: str) -> str:
        response = Response()
        devices.remember(Request({"type": "http", "headers": []}), response, email)
        return response.headers["set-cookie"].partition(";")[0]

    def statuses(cookie: str | None, number: int) -> list[int]:
        headers = {} if cookie is None else {"Cookie": cookie}
        return [client.post("/api/v1/auth/login", json={}, headers=headers).status_code for _ in range(number)]

    with door.client() as client:
        ada, again, grace = cookie_for("ada@x.example"), cookie_for(" ADA@x.example"), cookie_for("grace@x.example")
        assert statuses(None, 3) == [403, 403, 429]
        assert statuses(ada, 3) == [403, 403, 429]
        assert statuses(again, 1) == [429], "an account has one budget"
        assert statuses(grace, 1) == [403]
        assert statuses(grace[:-1], 1) == [429], "what we did not sign counts for the address"
        assert client.post("/api/v1/auth/password/forgot", json={}, headers={"Cookie": ada}).status_code == 403
        assert client.post("/api/v1/auth/password/forgot", json={}, headers={"Cookie": grace}).status_code == 429


def test_accounts_of_ones_own_bring_no_log_ins_without_an_end(start_door: Callable[..., Door]) -> None:
    """Would fail if a known browser counted for its account alone: an address had a budget for each account."""
    door = start_door(**FEW)
    devices = door.app.state.services.devices
    answers = []
    with door.client() as client:
        for number in range(KNOWN_BROWSERS + 1):
            response = Response()
            devices.remember(Request({"type": "http", "headers": []}), response, f"own{number}@x.example")
            headers = {"Cookie": response.headers["set-cookie"].partition(";")[0]}
            for _ in range(2):
                answers.append(client.post("/api/v1/auth/login", json={}, headers=headers))
        assert [answer.status_code for answer in answers] == [403] * 20 + [429] * 2
        assert answers[-1].headers["ratelimit-policy"] == '"log-in";q=20;w=60'
        assert client.post("/api/v1/auth/login", json={}).status_code == 403, "others of the address have their own"


def test_every_path_of_a_budget_shares_it(start_door: Callable[..., Door]) -> None:
    with start_door(**FEW).client() as client:
        assert client.post("/api/v1/auth/verify", json={}).status_code == 403
        assert client.post("/api/v1/auth/password/reset", json={}).status_code == 429


def test_refused_keys_are_counted_and_then_keys_are_not_looked_at(start_door: Callable[..., Door]) -> None:
    malformed = {"Authorization": "Bearer lmn_nonsense"}
    with start_door(**FEW).client() as client:
        for _ in range(2):
            assert client.get("/api/v1/me", headers=malformed).status_code == 401
        refused = client.get("/api/v1/me", headers={"Authorization": f"Bearer {generate().key}"})
        assert refused.status_code == 429
        assert refused.headers["ratelimit-policy"] == '"failed-keys";q=2;w=60'
        assert client.get("/api/v1/me").status_code == 401  # who shows no key goes on
    with start_door(**FEW).client() as client:
        for _ in range(4):  # the database is away: no key has been refused
            response = client.get("/api/v1/me", headers={"Authorization": f"Bearer {generate().key}"})
            assert response.status_code == 503


def test_a_client_cannot_choose_its_address(start_door: Callable[..., Door]) -> None:
    with start_door(**FEW).client() as client:
        statuses = [
            client.get("/nowhere", headers={"X-Forwarded-For": f"1.2.3.{number}", "Forwarded": f"for=1.2.3.{number}"})
            for number in range(7)
        ]
    assert [response.status_code for response in statuses] == [404] * 6 + [429]


def test_behind_a_trusted_proxy_each_client_has_its_own(start_door: Callable[..., Door]) -> None:
    with start_door(LIMENA_TRUSTED_PROXIES="127.0.0.0/8", **FEW).client() as client:

        def ask(forwarded: str) -> int:
            return client.get("/nowhere", headers={"X-Forwarded-For": forwarded}).status_code

        assert [ask("203.0.113.1") for _ in range(7)] == [404] * 6 + [429]
        assert ask("9.9.9.9, 203.0.113.1") == 429  # what stands before it is invented
        assert ask("203.0.113.2") == 404
        assert [ask(f"2001:db8:0:1::{number}") for number in range(1, 8)] == [404] * 6 + [429]
        assert ask("2001:db8:0:2::1") == 404


def test_off_in_development(start_door: Callable[..., Door]) -> None:
    with start_door(LIMENA_RATE_LIMITS="off", **FEW).client() as client:
        responses = [client.get("/nowhere") for _ in range(10)]
    assert {response.status_code for response in responses} == {404}
    assert "ratelimit" not in responses[-1].headers


def _limiter(storage: Any, rate: str = "2/minute") -> Limiter:
    budgets: dict[Budget, limits.RateLimitItem] = {name: limits.parse(rate) for name in BUDGETS}
    return Limiter(budgets, storage, Metrics())


def test_a_storage_that_fails_neither_opens_nor_closes_the_door(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    storage = create_storage("async+broken://")
    assert isinstance(storage, BrokenStorage)
    limiter = _limiter(storage)

    async def scenario() -> None:
        assert (await limiter.hit("other", "x")).is_within
        monkeypatch.setattr(BrokenStorage, "is_broken", True)
        within = [(await limiter.hit("other", "x")).is_within for _ in range(4)]
        assert within == [True, True, False, False]  # counted in memory, with the same budget
        monkeypatch.setattr(BrokenStorage, "is_broken", False)
        monkeypatch.setattr(limiter, "_paused_until", 0.0)
        assert (await limiter.hit("other", "x")).is_within  # the storage's own count goes on: one and one
        assert not (await limiter.hit("other", "x")).is_within

    asyncio.run(scenario())
    assert "fails (ConnectionError): counting in memory" in caplog.text
    assert "works again" in caplog.text
    assert BrokenStorage.secret not in caplog.text


def test_a_storage_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(*_arguments: object) -> bool:
        await asyncio.Event().wait()
        return True

    storage = BoundedMemory()
    monkeypatch.setattr(storage, "acquire_entry", hang)
    limiter = _limiter(storage)

    async def scenario() -> list[bool]:
        async with asyncio.timeout(10):
            return [(await limiter.hit("other", "x")).is_within for _ in range(3)]

    assert asyncio.run(scenario()) == [True, True, False]


def test_a_storage_without_its_driver_stops_the_start() -> None:
    with pytest.raises(ConfigError, match="LIMENA_RATE_LIMIT_STORAGE") as error:
        create_storage("async+redis://:hunter2-hunter2@127.0.0.1:1")
    assert "hunter2" not in str(error.value)


def test_the_window_moves() -> None:
    """Never more than the limit in any window, and the oldest request makes room for the next one."""
    now = [1000.0]
    storage = BoundedMemory(clock=lambda: now[0])

    async def at(moment: float) -> bool:
        now[0] = 1000.0 + moment
        return await storage.acquire_entry("key", 3, 10)

    async def scenario() -> list[bool]:
        return [await at(moment) for moment in (0, 4, 9, 9.5, 10.1, 10.2, 14.1, 19.05, 19.06)]

    assert asyncio.run(scenario()) == [True, True, True, False, True, False, True, True, False]


def test_memory_has_an_end() -> None:
    storage = BoundedMemory(max_keys=100)

    async def scenario() -> None:
        for number in range(1000):
            await storage.acquire_entry(str(number), 5, 60)
            await storage.acquire_entry("busy", 10_000, 60)
        assert len(storage._hits) == 100
        assert (await storage.get_moving_window("busy", 10_000, 60))[1] == 1000  # the busy one is not forgotten

    asyncio.run(scenario())


def test_no_race_lets_one_more_through() -> None:
    limiter = _limiter(BoundedMemory(), "50/minute")

    async def scenario() -> int:
        standings = await asyncio.gather(*(limiter.hit("log-in", "x") for _ in range(200)))
        return sum(standing.is_within for standing in standings)

    assert asyncio.run(scenario()) == 50
