"""AI limits under concurrency: 64 callers, four API processes, one PostgreSQL. What is granted is exactly what the
limit allows, every refusal is a 429, and PostgreSQL sees no deadlock."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from limena import api_key_format
from support.api import make_demo
from support.databases import Database, create_database
from support.door import door_environment
from support.live import free_port

CALLERS = 64
PROCESSES = 4


@dataclass
class Served:
    base_url: str
    database: Database
    demo: dict[str, Any]

    def one(self, query: str, *parameters: object) -> Any:
        with self.database.connect() as connection:
            row = connection.execute(query.encode(), parameters).fetchone()
        assert row is not None
        return row[0]


@pytest.fixture(scope="module")
def served(template: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    database = create_database(template.server, "ai_races", template)
    demo = make_demo(database)
    port = free_port()
    environment = door_environment(
        base_url=f"http://127.0.0.1:{port}",
        LIMENA_APP_DSN=database.dsn("limena_app"),
        LIMENA_AUTH_DSN=database.dsn("limena_auth"),
        LIMENA_POOL_TIMEOUT_SECONDS="60",
        LIMENA_RATE_LIMITS="off",
    )
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LIMENA_")}
    output = tmp_path_factory.mktemp("served") / "output"
    command = [sys.executable, "-m", "limena.cli", "serve", "--port", str(port), "--workers", str(PROCESSES)]
    with output.open("wb") as file:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=inherited | environment
        )
    try:
        end = time.monotonic() + 60
        while b"Limena serves on" not in output.read_bytes():
            assert process.poll() is None, output.read_text()
            assert time.monotonic() < end, "limena serve did not start"
            time.sleep(0.05)
        yield Served(f"http://127.0.0.1:{port}", database, demo)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


async def _hammer(
    served: Served, key: str, requests: int, call: Callable[[httpx.AsyncClient, int], Any]
) -> list[httpx.Response]:
    """So many calls by 64 callers who start at one moment, over 64 connections."""
    numbers = iter(range(requests))
    answers: list[httpx.Response] = []

    async def caller(client: httpx.AsyncClient) -> None:
        for number in numbers:
            answers.extend(await call(client, number))

    async with httpx.AsyncClient(
        base_url=served.base_url,
        headers={"Authorization": f"Bearer {key}"},
        timeout=60,
        limits=httpx.Limits(max_connections=CALLERS, max_keepalive_connections=CALLERS),
    ) as client:
        await asyncio.gather(*(client.get("/healthz") for _ in range(CALLERS)))  # connected
        await asyncio.gather(*(caller(client) for _ in range(CALLERS)))
    return answers


def hammer(
    served: Served, key: str, requests: int, call: Callable[[httpx.AsyncClient, int], Any]
) -> Counter[tuple[int, str | None]]:
    deadlocks = _deadlocks(served)
    answers = asyncio.run(_hammer(served, key, requests, call))
    assert _deadlocks(served) == deadlocks, "PostgreSQL's log tells of a deadlock"
    with served.database.connect() as connection:
        findings = connection.execute("select c.finding from limena.check_ai_quotas() as c").fetchall()
    assert findings == [], "the counters are not what the detail adds up to"
    return Counter((answer.status_code, answer.json().get("code")) for answer in answers)


def _deadlocks(served: Served) -> int:
    return Path(served.database.server.log_path).read_text(errors="replace").count("deadlock detected")


def _tripped(served: Served, tenant_id: str) -> int:
    query = "select count(*) from limena.audit_logs where tenant_id = %s and action = 'ai_quota.tripped'"
    count: int = served.one(query, tenant_id)
    return count


def test_500_calls_an_hour_are_500(served: Served) -> None:
    async def call(client: httpx.AsyncClient, _number: int) -> list[httpx.Response]:
        return [await client.post("/api/v1/ai/reservations", json={"model": "m", "estimated_tokens": 1})]

    outcomes = hammer(served, served.demo["api_key"], 500 + CALLERS, call)
    assert outcomes == {(201, None): 500, (429, "ai_velocity_exceeded"): CALLERS}
    assert _tripped(served, served.demo["tenant_id"]) == 1


def test_no_grant_takes_the_tokens_above_the_ceiling(served: Served) -> None:
    """The ceiling ends in the middle of a call: 143 times 7 is 1001. What is settled takes what was reserved, so that
    the number of grants is known."""
    team = served.demo["second_tenant"]
    with served.database.connect() as connection:
        connection.execute(
            "insert into limena.ai_settings (tenant_id, tokens_per_month) values (%s, 1003)", [team["tenant_id"]]
        )

    async def call(client: httpx.AsyncClient, number: int) -> list[httpx.Response]:
        made = await client.post("/api/v1/ai/reservations", json={"model": "m", "estimated_tokens": 7})
        if made.status_code != 201 or number % 2:
            return [made]
        took = {"prompt_tokens": 3, "completion_tokens": 4, "latency_ms": 1}
        return [made, await client.post(f"/api/v1/ai/reservations/{made.json()['id']}/settle", json=took)]

    outcomes = hammer(served, team["api_key"], 143 + CALLERS, call)
    assert outcomes[201, None] == 143
    assert outcomes[429, "ai_ceiling_exceeded"] == CALLERS
    assert outcomes.keys() <= {(200, None), (201, None), (429, "ai_ceiling_exceeded")}
    assert _tripped(served, team["tenant_id"]) == 0, "half of the tokens are reserved and not used"
    counted = "select used_tokens + reserved_tokens from limena.ai_quotas where tenant_id = %s"
    assert served.one(counted, team["tenant_id"]) == 143 * 7


def test_retries_at_one_moment_are_one_reservation(served: Served) -> None:
    """64 at once with one Idempotency-Key, in a tenant that nobody has used yet: who comes first makes its row."""
    with served.database.connect() as connection:
        connection.execute("select tests.make_tenants()")
        connection.execute("select tests.make_api_key('a', 'races', '{ai:use}')")
        connection.execute(
            "update limena.api_keys set key_hash = sha256(convert_to(%s, 'UTF8'))"
            " where id = tests.api_key_id('a', 'races')",
            [key := api_key_format.generate().key],
        )

    async def call(client: httpx.AsyncClient, _number: int) -> list[httpx.Response]:
        body = {"model": "m", "estimated_tokens": 5}
        return [await client.post("/api/v1/ai/reservations", json=body, headers={"Idempotency-Key": "one and only"})]

    assert hammer(served, key, CALLERS, call) == {(201, None): CALLERS}
    query = "select (count(*), sum(recent_calls), sum(reserved_tokens))::text from limena.ai_quotas where tenant_id = "
    assert served.one(query + "tests.tenant_id('a')") == "(1,1,5)"


def test_a_retry_does_not_wait_for_the_row_that_others_hold(served: Served) -> None:
    key_hash = api_key_format.parse(served.demo["api_key"])
    with served.database.connect() as connection:  # whatever was counted before
        connection.execute(
            "update limena.ai_quotas set calls = array_fill(0, array[61]), recent_calls = 0, trip_cause = null,"
            " tripped_at = null, trip_ends_at = null where tenant_id = %s",
            [served.demo["tenant_id"]],
        )
    with served.database.connect("limena_app") as app, served.database.connect("limena_app") as holder:

        def reserve(connection: psycopg.Connection[Any], idempotency_key: str) -> Any:
            call = "select limena.reserve_ai_call('m', 1, %s) from limena.enter_api_key(%s)"
            row = connection.execute(call, [idempotency_key, key_hash]).fetchone()
            assert row is not None
            return row[0]

        first = reserve(app, "held-up")
        with holder.transaction():
            reserve(holder, "holds")
            app.execute("set statement_timeout = '500ms'")  # half of what a wait for the row lasts
            assert reserve(app, "held-up")["id"] == first["id"]
            with pytest.raises(psycopg.errors.QueryCanceled):
                reserve(app, "another")
