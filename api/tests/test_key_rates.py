"""An API key's calls a minute, its rotation and its end, over HTTP and over real connections."""

import asyncio
import itertools
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, LiteralString
from uuid import uuid4

import httpx
import psycopg
import pytest
from starlette.requests import Request

import limena
from limena import api_key_format
from limena.errors import Problem
from limena.pools import call, create_call_pool, create_tenant_pool, lend
from limena.procedures import read_catalog
from limena.transaction import ApiKeyCredential, RecentKeys
from limena.values import encode
from support.api import Api
from support.people import Newcomer, audited, register

REQUEST = Request({"type": "http", "headers": [], "client": ("192.0.2.1", 1)})


@pytest.fixture(scope="module")
def owner(api: Api) -> Newcomer:
    return register(api)


@pytest.fixture
def make_key(api: Api, owner: Newcomer) -> Iterator[Any]:
    """make_key(*scopes, **fields): the answer, and a client that shows the key."""
    clients: list[httpx.Client] = []

    def make(*scopes: str, **fields: Any) -> tuple[dict[str, Any], httpx.Client]:
        body = {"name": "of a test", "scopes": list(scopes), **fields}
        answer = owner.client.post("/api/v1/api-keys", json=body)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        clients.append(api.client(headers={"Authorization": f"Bearer {made['key']}"}))
        return made, clients[-1]

    yield make
    for client in clients:
        client.close()


def age(api: Api, api_key_id: str, seconds: int) -> None:
    """As if the calls of a key were made so many seconds earlier."""
    with api.database.connect() as connection:
        connection.execute(
            "update limena.api_key_rates set second = second - %s where api_key_id = %s", [seconds, api_key_id]
        )


def counted(api: Api, api_key_id: str) -> int:
    with api.database.connect() as connection:
        row = connection.execute(
            "select sum(c) from limena.api_key_rates as r, unnest(r.calls) as c where r.api_key_id = %s", [api_key_id]
        ).fetchone()
    assert row is not None
    return int(row[0] or 0)


def test_in_any_60_seconds_never_more(api: Api, make_key: Any) -> None:
    made, program = make_key("members:read", calls_per_minute=3)
    assert made["calls_per_minute"] == 3
    statuses = [program.get("/api/v1/members").status_code for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]
    refused = program.get("/api/v1/members")
    assert refused.json()["code"] == "rate_limited"
    assert 58 <= int(refused.headers["retry-after"]) <= 61
    age(api, made["id"], 59)
    assert program.get("/api/v1/members").status_code == 429, "a part of the 60th second may lie within the minute"
    age(api, made["id"], 2)
    assert [program.get("/api/v1/members").status_code for _ in range(4)] == [200, 200, 200, 429]


def test_many_at_once_get_exactly_what_is_left(api: Api, make_key: Any) -> None:
    """Over as many connections as the pool has; more than one process would find the same row."""
    made, program = make_key("members:read", calls_per_minute=25)
    with ThreadPoolExecutor(16) as threads:
        statuses = list(threads.map(lambda _: program.get("/api/v1/members").status_code, range(60)))
    assert sorted(statuses) == [200] * 25 + [429] * 35
    assert counted(api, made["id"]) == 25


def test_a_refused_call_has_no_effect(api: Api, owner: Newcomer, make_key: Any) -> None:
    """Both statements are sent at once: the second one must find out that the first one refused."""
    _, program = make_key("api_keys:write", "ai:read", calls_per_minute=1)
    body = {"name": "by the key", "scopes": ["ai:read"]}
    assert program.post("/api/v1/api-keys", json=body).status_code == 201
    before = len(owner.client.get("/api/v1/api-keys?limit=200").json()["items"])
    for _ in range(3):
        assert program.post("/api/v1/api-keys", json=body).status_code == 429
    assert len(owner.client.get("/api/v1/api-keys?limit=200").json()["items"]) == before


def test_a_denial_counts_once_and_is_on_record(api: Api, owner: Newcomer, make_key: Any) -> None:
    """With the last call of the minute too: else a stolen key could try doors without a trace."""
    made, program = make_key("ai:read", calls_per_minute=2)
    before = audited(api, owner.tenant_id).count("access.denied")
    assert [program.get("/api/v1/members").status_code for _ in range(3)] == [403, 403, 429]
    assert audited(api, owner.tenant_id).count("access.denied") == before + 2
    assert counted(api, made["id"]) == 2


def test_one_key_waits_for_no_other(api: Api, make_key: Any) -> None:
    """The counter of one key is locked for as long as the test likes; another key's calls, and those of a key without a
    rate, go through."""
    slow, _ = make_key("members:read", calls_per_minute=10)
    _, quick = make_key("members:read", calls_per_minute=10)
    _, free = make_key("members:read")
    assert quick.get("/api/v1/members").status_code == 200
    with api.client(headers={"Authorization": f"Bearer {slow['key']}"}) as client:
        assert client.get("/api/v1/members").status_code == 200
    with api.database.connect(autocommit=False) as connection:
        connection.execute("select from limena.api_key_rates where api_key_id = %s for update", [slow["id"]])
        assert quick.get("/api/v1/members").status_code == 200
        assert free.get("/api/v1/members").status_code == 200


def test_a_request_that_runs_does_not_hold_the_counter(api: Api, make_key: Any) -> None:
    """A transaction of the key is open, and was counted: its other calls go on."""
    made, program = make_key("members:read", calls_per_minute=10)

    async def use() -> None:
        pool = create_tenant_pool(api.database.dsn("limena_app"))
        key_hash = api_key_format.parse(made["key"])
        assert key_hash is not None
        async with pool, limena.tenant_transaction(pool, ApiKeyCredential(key_hash), REQUEST) as tx:
            await tx.execute("select from limena.memberships")
            answer = await asyncio.to_thread(program.get, "/api/v1/members")
            assert answer.status_code == 200

    asyncio.run(use())
    assert counted(api, made["id"]) == 2


def test_whoever_gives_up_while_a_call_is_counted_leaves_a_connection_that_works(api: Api, make_key: Any) -> None:
    """Two statements are on their way when the wait is cancelled: their answers must be nobody else's."""
    made, program = make_key("members:read", calls_per_minute=10)
    assert program.get("/api/v1/members").status_code == 200
    key_hash = api_key_format.parse(made["key"])
    assert key_hash is not None

    async def use() -> tuple[bytes | None, bytes | None]:
        dsn = api.database.dsn("limena_app")
        async with create_call_pool(dsn, name="gives up", size=1, timeout=10, statement_timeout_ms=5_000) as pool:
            async with lend(pool) as connection:
                catalog = await read_catalog(connection, ["get_me", "enter_api_key", "count_api_key_call"])

            def both() -> Coroutine[Any, Any, bytes | None]:
                call_id = {"p_call_id": encode(uuid4())}
                key = {"p_key_hash": encode(key_hash)}
                count = catalog.statement("count_api_key_call", None)
                me = catalog.statement("get_me", "enter_api_key")
                return call(pool, me, me.bind({}, key | call_id), (count, count.bind(key | call_id, {})))

            first = await both()
            with api.database.connect(autocommit=False) as holder, api.database.connect() as watcher:
                holder.execute("select from limena.api_key_rates where api_key_id = %s for update", [made["id"]])
                waiting = asyncio.ensure_future(both())
                waits: LiteralString = "select from pg_stat_activity where wait_event_type = 'Lock' and query like %s"
                while watcher.execute(waits, ["%count_api_key_call%"]).fetchone() is None:  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(0.01)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
            return first, await both()

    first, second = asyncio.run(use())
    assert first == second
    assert made["id"].encode() in (first or b"")


def test_code_of_ones_own_is_counted_too(api: Api, make_key: Any) -> None:
    made, _ = make_key("members:read", calls_per_minute=2)
    key_hash = api_key_format.parse(made["key"])
    assert key_hash is not None

    async def use() -> list[str]:
        answers = []
        async with create_tenant_pool(api.database.dsn("limena_app"), max_size=1) as pool:
            for _ in range(3):
                try:
                    async with limena.tenant_transaction(pool, ApiKeyCredential(key_hash), REQUEST) as tx:
                        await tx.execute("select from limena.memberships")
                    answers.append("entered")
                except Problem as problem:
                    answers.append(problem.code)
        return answers

    assert asyncio.run(use()) == ["entered", "entered", "rate_limited"]


def test_a_rated_key_is_entered_only_after_it_was_counted(api: Api, make_key: Any) -> None:
    made, _ = make_key("members:read", calls_per_minute=5)
    key_hash = api_key_format.parse(made["key"])
    enter = "select limena.enter_api_key(p_key_hash => %s, p_call_id => %s)"
    with api.database.connect("limena_app") as connection:
        for call_id in (None, uuid4()):
            with pytest.raises(psycopg.DatabaseError) as caught:
                connection.execute(enter, [key_hash, call_id])
            assert caught.value.sqlstate == "LM005"
        mine = uuid4()
        connection.execute("select limena.count_api_key_call(%s, %s)", [key_hash, mine])
        assert connection.execute(enter, [key_hash, mine]).fetchone() == (True,)
        with pytest.raises(psycopg.DatabaseError):
            connection.execute(enter, [key_hash, uuid4()])


def test_an_accepted_call_of_a_rated_key_costs_one_round_trip_more_only_the_first_time() -> None:
    keys = RecentKeys[bool](size=2)
    for number in range(3):
        keys.put(bytes([number]), True)
    assert [keys.get(bytes([number])) for number in range(3)] == [None, True, True]


def test_a_rotated_key_works_on_for_its_grace(api: Api, owner: Newcomer, make_key: Any) -> None:
    old, program = make_key("members:read", calls_per_minute=50, expires_at="2031-01-31T12:00:00Z")
    answer = owner.client.post(f"/api/v1/api-keys/{old['id']}/rotate", json={"grace_seconds": 3600})
    new = answer.json()
    assert answer.status_code == 201, answer.text
    assert new["key"] != old["key"]
    assert [new[name] for name in ("name", "scopes", "calls_per_minute")] == ["of a test", ["members:read"], 50]
    assert new["expires_at"] >= old["expires_at"], "as long a life as the old one had"
    with api.client(headers={"Authorization": f"Bearer {new['key']}"}) as successor:
        assert successor.get("/api/v1/members").status_code == 200
        assert program.get("/api/v1/members").status_code == 200
        assert owner.client.post(f"/api/v1/api-keys/{old['id']}/rotate", json={}).status_code == 409, "once"
        with api.database.connect() as connection:
            connection.execute("update limena.api_keys set retires_at = now() where id = %s", [old["id"]])
        assert program.get("/api/v1/members").status_code == 401
        assert successor.get("/api/v1/members").status_code == 200
    assert audited(api, owner.tenant_id).count("api_key.rotated") == 1
    listed = {one["id"]: one for one in owner.client.get("/api/v1/api-keys?limit=200").json()["items"]}
    assert listed[old["id"]]["retires_at"] is not None
    assert "hash" not in str(listed[new["id"]].keys())


def test_a_rotation_without_grace_ends_the_old_key_at_once(owner: Newcomer, make_key: Any) -> None:
    old, program = make_key("members:read")
    assert owner.client.post(f"/api/v1/api-keys/{old['id']}/rotate", json={"grace_seconds": 0}).status_code == 201
    assert program.get("/api/v1/members").status_code == 401


def test_a_key_in_its_grace_can_be_revoked_and_nobody_rotates_one_into_more_than_they_hold(
    api: Api, owner: Newcomer, make_key: Any
) -> None:
    old, program = make_key("members:read", "tenant:own")
    body = {"name": "weak", "scopes": ["api_keys:write", "members:read"]}
    weak = owner.client.post("/api/v1/api-keys", json=body).json()["key"]
    path = f"/api/v1/api-keys/{old['id']}"
    with api.client(headers={"Authorization": f"Bearer {weak}"}) as rotator:
        denied = rotator.post(f"{path}/rotate", json={})
        assert (denied.status_code, denied.json()["permission"]) == (403, "tenant:own")
    assert program.get("/api/v1/members").status_code == 200
    for grace in (-1, 2_592_001):
        assert owner.client.post(f"{path}/rotate", json={"grace_seconds": grace}).status_code == 422
    assert owner.client.post(f"{path}/rotate", json={"grace_seconds": 600}).status_code == 201
    assert program.get("/api/v1/members").status_code == 200
    assert owner.client.delete(path).status_code == 204
    assert program.get("/api/v1/members").status_code == 401
    assert owner.client.post(f"{path}/rotate", json={}).status_code == 409


def test_all_keys_at_once(api: Api) -> None:
    other = register(api)
    keys = [
        other.client.post("/api/v1/api-keys", json={"name": str(number), "scopes": ["ai:read"]}).json()["key"]
        for number in range(3)
    ]
    assert other.client.post("/api/v1/api-keys/revoke-all").json() == {"revoked": 3}
    assert other.client.post("/api/v1/api-keys/revoke-all").json() == {"revoked": 0}
    for key in keys:
        with api.client(headers={"Authorization": f"Bearer {key}"}) as program:
            assert program.get("/api/v1/me").status_code == 401
    assert audited(api, other.tenant_id).count("api_key.revoked") == 3


def test_the_platform_revokes_a_tenants_keys(api: Api) -> None:
    other = register(api)
    key = other.client.post("/api/v1/api-keys", json={"name": "x", "scopes": ["ai:read"]}).json()["key"]
    with api.database.connect() as connection:
        row = connection.execute("select limena_private.revoke_api_keys(%s, 'leaked')", [other.tenant_id]).fetchone()
    assert row == (1,)
    with api.client(headers={"Authorization": f"Bearer {key}"}) as program:
        assert program.get("/api/v1/me").status_code == 401
    assert audited(api, other.tenant_id)[-2:] == ["api_key.revoked", "tenant.api_keys_revoked"]


def test_the_catalogue_of_scopes(api: Api, owner: Newcomer) -> None:
    listed = owner.client.get("/api/v1/permissions").json()["items"]
    with api.database.connect() as connection:
        rows = connection.execute("select role, permission from limena.permission_matrix order by 2, 1").fetchall()
    told = {(role, one["name"]) for one in listed for role in one["roles"]}
    assert told == {(role, permission) for role, permission in rows}
    assert all(one["description"] for one in listed)
    assert [one["name"] for one in listed] == sorted({permission for _, permission in rows})


@pytest.mark.parametrize("scopes", [[], ["*"], ["members:*"], ["members:read", "members:read"], ["no:such"]])
def test_scopes_are_named_one_by_one(owner: Newcomer, scopes: list[str]) -> None:
    answer = owner.client.post("/api/v1/api-keys", json={"name": "x", "scopes": scopes})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "scopes"


@pytest.mark.parametrize("rate", [0, -1, 100_001])
def test_a_rate_is_a_number_of_calls(owner: Newcomer, rate: int) -> None:
    body = {"name": "x", "scopes": ["ai:read"], "calls_per_minute": rate}
    answer = owner.client.post("/api/v1/api-keys", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "calls_per_minute"


def test_the_window_never_holds_more_whatever_the_times(api: Api, make_key: Any) -> None:
    """Hundreds of calls at made-up seconds, against what a list of their times says."""
    made, _ = make_key("members:read", calls_per_minute=7)
    key_hash = api_key_format.parse(made["key"])
    steps = itertools.cycle([0, 0, 0, 1, 0, 0, 3, 0, 9, 0, 0, 0, 21, 0, 0, 0, 0, 0, 59, 1, 0, 60, 0, 2, 61, 0, 0])
    granted: list[int] = []
    ahead = 0  # of the clock: the counter is moved into the past instead
    with api.database.connect(autocommit=False) as connection:

        def clock() -> int:
            row = connection.execute("select floor(extract(epoch from clock_timestamp()))::bigint").fetchone()
            assert row is not None
            return int(row[0]) + ahead

        def call() -> str:
            try:
                with connection.transaction():
                    connection.execute("select limena.count_api_key_call(%s, gen_random_uuid())", [key_hash])
            except psycopg.DatabaseError as error:
                return f"{error.sqlstate} {error.diag.message_detail}"
            return "granted"

        for step in itertools.islice(steps, 400):
            ahead += step
            connection.execute("update limena.api_key_rates set second = second - %s", [step])
            before, answer, now = clock(), call(), clock()
            if answer == "granted":
                row = connection.execute(
                    "select second from limena.api_key_rates where api_key_id = %s", [made["id"]]
                ).fetchone()
                assert row is not None
                granted.append(row[0] + ahead)
            elif before == now:
                sqlstate, wait = answer.split()
                assert sqlstate == "LM004"
                # As long as it has to be: one second earlier the window is still full.
                assert sum(at > now + int(wait) - 62 for at in granted) >= 7
                assert sum(at > now + int(wait) - 61 for at in granted) < 7
        connection.rollback()
    assert len(granted) > 50
    for first in granted:
        assert sum(first <= at <= first + 60 for at in granted) <= 7
