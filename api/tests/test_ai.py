"""AI quotas over HTTP: the life of a reservation, what a refusal looks like and leaves behind, settings, usage."""

import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import httpx
import psycopg
import pytest

from limena.api_key_format import generate
from support.api import Api
from support.people import register

CALL = {"model": "claude-sonnet-4-5", "estimated_tokens": 100}
TOOK = {"prompt_tokens": 40, "completion_tokens": 20, "latency_ms": 900}


@pytest.fixture
def owner(api: Api) -> Iterator[httpx.Client]:
    """The owner of a tenant that nobody has used yet."""
    client = register(api).client
    yield client
    client.close()


def reserve(client: httpx.Client, tokens: int = 100, key: str | None = None) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return client.post("/api/v1/ai/reservations", json=CALL | {"estimated_tokens": tokens}, headers=headers)


def quota(client: httpx.Client) -> dict[str, Any]:
    response = client.get("/api/v1/ai/quota")
    assert response.status_code == 200
    found: dict[str, Any] = response.json()
    return found


def change(client: httpx.Client, **settings: object) -> httpx.Response:
    return client.patch("/api/v1/ai/settings", json=settings)


def actions(client: httpx.Client) -> list[str]:
    rows = client.get("/api/v1/audit-logs", params={"limit": 200}).json()["items"]
    return [row["action"] for row in reversed(rows) if row["action"].startswith("ai_")]


def test_a_tenant_is_one_caller_whatever_keys_it_has_and_holds_up_no_other(api: Api, owner: httpx.Client) -> None:
    """Of five places the calls of a tenant whose row is held have two, and forged keys none."""
    keys = [
        owner.post("/api/v1/api-keys", json={"name": f"key {number}", "scopes": ["ai:use"]}).json()["key"]
        for number in range(6)
    ]
    neighbour = register(api)
    assert reserve(neighbour.client).status_code == 201
    with api.database.connect() as holder, ThreadPoolExecutor(len(keys) + 6) as executor:

        def call(key: str) -> int:
            with api.client(headers={"Authorization": f"Bearer {key}"}) as program:
                return reserve(program).status_code

        assert reserve(owner).status_code == 201
        with holder.transaction():
            tenant_id = owner.get("/api/v1/me").json()["tenant"]["id"]
            holder.execute("select from limena.ai_quotas where tenant_id = %s for update", [tenant_id])
            held = [executor.submit(call, key) for key in keys]
            time.sleep(0.2)
            began = time.monotonic()
            forged = [executor.submit(call, generate().key) for _ in range(6)]
            assert reserve(neighbour.client).status_code == 201
            took = time.monotonic() - began
            assert [answer.result() for answer in forged] == [401] * 6
            assert {answer.result() for answer in held} == {503}
    assert took < 0.8, "a place that waits for a row is free again after a second"
    neighbour.client.close()


def test_the_life_of_a_call(owner: httpx.Client) -> None:
    made = reserve(owner)
    assert made.status_code == 201
    assert made.json().keys() == {"id", "state", "expires_at", "remaining_tokens", "remaining_calls"}
    assert made.json()["remaining_tokens"] == 20_000_000 - 100
    assert made.json()["remaining_calls"] == 499
    assert quota(owner)["tokens"]["reserved"] == 100

    settled = owner.post(f"/api/v1/ai/reservations/{made.json()['id']}/settle", json=TOOK)
    assert settled.status_code == 200
    assert settled.json()["remaining_tokens"] == 20_000_000 - 60
    now = quota(owner)
    assert (now["tokens"]["used"], now["tokens"]["reserved"], now["calls"]["used"]) == (60, 0, 1)
    assert now["state"] == "active"
    assert now["notices"] == []

    released = reserve(owner).json()["id"]
    assert owner.delete(f"/api/v1/ai/reservations/{released}").status_code == 204
    assert owner.delete(f"/api/v1/ai/reservations/{released}").status_code == 204
    assert owner.post(f"/api/v1/ai/reservations/{released}/settle", json=TOOK).status_code == 200, (
        "it was made after all"
    )
    assert owner.delete(f"/api/v1/ai/reservations/{released}").json()["code"] == "conflict"
    assert quota(owner)["tokens"]["reserved"] == 0


def test_a_retry_gets_the_same_reservation(owner: httpx.Client) -> None:
    key = str(uuid.uuid4())
    first, again = reserve(owner, key=key), reserve(owner, key=key)
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert quota(owner)["calls"]["used"] == 1
    other = reserve(owner, 7, key=key)
    assert (other.status_code, other.json()["errors"][0]["field"]) == (422, "idempotency_key")
    for wrong in (b"", b"x" * 256, "café".encode("latin-1")):
        headers = [(b"Idempotency-Key", wrong)]
        assert owner.post("/api/v1/ai/reservations", json=CALL, headers=headers).status_code == 422
    both = [(b"Idempotency-Key", b"a"), (b"Idempotency-Key", b"b")]
    twice = owner.post("/api/v1/ai/reservations", json=CALL, headers=both)
    assert twice.status_code == 422
    assert quota(owner)["calls"]["used"] == 1
    assert owner.delete(f"/api/v1/ai/reservations/{first.json()['id']}").status_code == 204
    closed = reserve(owner, key=key)
    assert (closed.status_code, closed.json()["code"]) == (409, "conflict"), "it is over"
    assert "released" in closed.json()["detail"]


def test_a_velocity_trip_and_its_reset(owner: httpx.Client) -> None:
    assert change(owner, calls_per_hour=2).json()["calls"]["limit"] == 2
    assert [reserve(owner).status_code for _ in range(2)] == [201, 201]
    refused = reserve(owner)
    assert refused.status_code == 429
    assert refused.headers["content-type"] == "application/problem+json"
    problem = refused.json()
    assert problem["code"] == "ai_velocity_exceeded"
    until = datetime.fromisoformat(problem["notice"]["until"]).timestamp()
    assert 0 <= float(refused.headers["retry-after"]) - (until - time.time()) < 5
    assert reserve(owner).status_code == 429

    now = quota(owner)
    assert now["state"] == "tripped"
    assert now["trip"]["cause"] == "velocity"
    assert now["notices"] == [problem["notice"]] == owner.get("/api/v1/me").json()["notices"]
    assert owner.get("/api/v1/members").status_code == 200, "all else goes on"

    assert owner.post("/api/v1/ai/quota/reset").json()["state"] == "active"
    assert reserve(owner).status_code == 201
    assert actions(owner) == ["ai_settings.created", "ai_settings.updated", "ai_quota.tripped", "ai_quota.reset"]


def test_a_ceiling_trip_is_not_the_owner_s_to_reset(owner: httpx.Client) -> None:
    change(owner, tokens_per_month=1000)
    made = reserve(owner, 1000).json()["id"]
    much = {"prompt_tokens": 950, "completion_tokens": 0, "latency_ms": 1}
    owner.post(f"/api/v1/ai/reservations/{made}/settle", json=much)
    refused = reserve(owner, 51)
    assert (refused.status_code, refused.json()["code"]) == (429, "ai_ceiling_exceeded")
    until = datetime.fromisoformat(refused.json()["notice"]["until"])
    assert (until.astimezone(UTC).day, until.hour, until.minute) == (1, 0, 0)
    assert abs(float(refused.headers["retry-after"]) - (until.timestamp() - time.time())) < 5
    assert owner.post("/api/v1/ai/quota/reset").status_code == 403
    assert quota(owner)["trip"]["cause"] == "ceiling"
    # The limit was the owner's own: with more room there is no cause.
    assert change(owner, tokens_per_month=1000).json()["state"] == "tripped"
    assert change(owner, tokens_per_month=2000).json()["state"] == "active"
    assert reserve(owner, 1).status_code == 201
    assert actions(owner)[-4:] == ["ai_quota.warned", "ai_quota.tripped", "ai_settings.updated", "ai_quota.reset"]


def test_estimates_alone_pause_nothing(owner: httpx.Client) -> None:
    change(owner, tokens_per_month=1000)
    above = reserve(owner, 1001)
    assert (above.status_code, above.json()["errors"][0]["field"]) == (422, "estimated_tokens")
    assert reserve(owner, 900).status_code == 201
    refused = reserve(owner, 101)
    assert (refused.status_code, refused.json()["code"]) == (429, "ai_ceiling_exceeded")
    assert "notice" not in refused.json()
    assert 590 <= int(refused.headers["retry-after"]) <= 600, "when the reservation expires"
    assert quota(owner)["state"] == "active"
    assert reserve(owner, 100).status_code == 201, "a smaller one fits"
    assert "ai_quota.tripped" not in actions(owner)


def test_a_held_row_holds_up_its_tenant_alone(api: Api, owner: httpx.Client) -> None:
    tenant_id = owner.get("/api/v1/me").json()["tenant"]["id"]
    reserve(owner)
    other = api.person("owner", tenant=2).client()
    with other, api.database.connect() as connection, connection.transaction():
        connection.execute("select from limena.ai_quotas where tenant_id = %s for update", [tenant_id])
        begun = time.monotonic()
        busy = reserve(owner)
        assert (busy.status_code, busy.json()["code"]) == (503, "unavailable")
        assert int(busy.headers["retry-after"]) >= 1
        assert time.monotonic() - begun < 3
        assert owner.delete(f"/api/v1/ai/reservations/{uuid.uuid4()}").status_code == 404, "an unknown one needs no row"
        assert reserve(other).status_code == 201

        # Of a tenant's sessions two calls wait in PostgreSQL; the neighbour's go on beside all that wait.
        waiting = (
            "select count(*) from pg_stat_activity"
            " where datname = current_database() and usename = 'limena_app' and wait_event_type = 'Lock'"
        )
        with ThreadPoolExecutor(12) as callers:
            answers = [callers.submit(reserve, owner) for _ in range(12)]
            most, neighbours = 0, []
            while not all(answer.done() for answer in answers):
                row = connection.execute(waiting).fetchone()
                most = max(most, row[0] if row else 0)
                neighbours.append(reserve(other).status_code)
                connection.execute("select pg_stat_clear_snapshot(), pg_sleep(0.02)")
        assert {answer.result().status_code for answer in answers} == {503}
        assert 0 < most <= 2, "of ten connections (LIMENA_APP_POOL_SIZE)"
        assert set(neighbours) == {201}


def test_who_gets_no_call_waits_for_nobody(api: Api, owner: httpx.Client) -> None:
    tenant_id = owner.get("/api/v1/me").json()["tenant"]["id"]

    def reserve_while_held() -> httpx.Response:
        with api.database.connect() as connection, connection.transaction():
            connection.execute("update limena.ai_quotas set as_of = as_of where tenant_id = %s", [tenant_id])
            return reserve(owner)

    change(owner, calls_per_hour=1)
    assert [reserve(owner).status_code for _ in range(2)] == [201, 429]
    assert reserve_while_held().status_code == 429, "paused"
    change(owner, is_enabled=False)
    assert reserve_while_held().status_code == 403, "switched off"


def test_erasing_a_tenant_begins_with_the_lock_of_its_quota(api: Api, owner: httpx.Client) -> None:
    """As each AI call does: two orders would be a deadlock."""
    tenant_id = owner.get("/api/v1/me").json()["tenant"]["id"]
    reserve(owner)
    with api.database.connect() as held, held.transaction(), api.database.connect() as connection:
        held.execute("select from limena.ai_quotas where tenant_id = %s for update", [tenant_id])
        connection.execute("set lock_timeout = '100ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable) as caught:
            connection.execute("select limena_private.erase_tenant(%s)", [tenant_id])
        assert "for update" in str(caught.value.diag.context)


def test_a_notice_tells_of_now(owner: httpx.Client) -> None:
    change(owner, tokens_per_month=1000)
    made = reserve(owner, 960).json()["id"]
    (notice,) = quota(owner)["notices"]
    assert notice["title"].startswith("95 %")
    owner.delete(f"/api/v1/ai/reservations/{made}")
    assert quota(owner)["notices"] == []


def test_more_than_was_reserved_is_seen_by_the_next(owner: httpx.Client) -> None:
    change(owner, tokens_per_month=1000)
    made = reserve(owner, 10).json()["id"]
    much = {"prompt_tokens": 900, "completion_tokens": 99, "latency_ms": 1}
    assert owner.post(f"/api/v1/ai/reservations/{made}/settle", json=much).json()["remaining_tokens"] == 1
    assert owner.post(f"/api/v1/ai/reservations/{made}/settle", json=much).status_code == 200
    assert owner.post(f"/api/v1/ai/reservations/{made}/settle", json=TOOK).json()["code"] == "conflict"
    assert quota(owner)["tokens"]["used"] == 999
    assert reserve(owner, 2).json()["code"] == "ai_ceiling_exceeded"


def test_the_tenant_s_switch(owner: httpx.Client) -> None:
    made = reserve(owner).json()["id"]
    assert change(owner, is_enabled=False).json()["state"] == "disabled"
    refused = reserve(owner)
    assert (refused.status_code, refused.json()["code"]) == (403, "ai_disabled")
    assert owner.get("/api/v1/me").json()["notices"][0]["code"] == "ai_disabled"
    assert owner.post(f"/api/v1/ai/reservations/{made}/settle", json=TOOK).status_code == 200
    change(owner, is_enabled=True)
    assert reserve(owner).status_code == 201


def test_limits_are_lowered_by_the_owner_and_no_further_up_than_the_platform_s(api: Api, owner: httpx.Client) -> None:
    for wrong in ({"calls_per_hour": 501}, {"calls_per_hour": 0}, {"tokens_per_month": 20_000_001}):
        response = change(owner, **wrong)
        assert (response.status_code, response.json()["errors"][0]["field"]) == (422, next(iter(wrong)))
    assert change(owner, tokens_per_month=2**53).status_code == 422
    assert change(owner, tokens_per_month=20_000_000).json()["tokens"]["limit"] == 20_000_000
    with api.person("admin").client() as admin:
        assert change(admin, calls_per_hour=10).status_code == 403
        assert change(admin, is_enabled=True).status_code == 200
    with api.person("member").client() as member:
        assert change(member, is_enabled=False).status_code == 403
        assert member.post("/api/v1/ai/quota/reset").status_code == 403
    with api.person("viewer").client() as viewer:
        assert reserve(viewer).status_code == 403
        assert quota(viewer)["calls"]["limit"] == 500


def test_another_tenant_s_reservation_does_not_exist(api: Api, owner: httpx.Client) -> None:
    made = reserve(owner).json()["id"]
    with api.person("owner", tenant=2).client() as stranger:
        assert stranger.post(f"/api/v1/ai/reservations/{made}/settle", json=TOOK).status_code == 404
        assert stranger.delete(f"/api/v1/ai/reservations/{made}").status_code == 404
        assert stranger.get("/api/v1/ai/usage").json()["items"] == []
    assert owner.delete(f"/api/v1/ai/reservations/{made}").status_code == 204


def test_usage_by_day_model_user_and_key(api: Api, owner: httpx.Client) -> None:
    key = owner.post("/api/v1/api-keys", json={"name": "robot", "scopes": ["ai:use"]}).json()
    robot = {"Authorization": f"Bearer {key['key']}"}
    for model, headers in (("m-1", {}), ("m-2", {}), ("m-2", robot)):
        made = owner.post(
            "/api/v1/ai/reservations", json={"model": model, "estimated_tokens": 5}, headers=headers
        ).json()
        owner.post(f"/api/v1/ai/reservations/{made['id']}/settle", json=TOOK, headers=headers)
    failed = reserve(owner).json()["id"]
    owner.post(f"/api/v1/ai/reservations/{failed}/settle", json=TOOK | {"outcome": "failed", "latency_ms": 100})
    owner.delete(f"/api/v1/ai/reservations/{reserve(owner).json()['id']}")

    def usage(**params: str | int) -> list[dict[str, Any]]:
        response = owner.get("/api/v1/ai/usage", params=params)
        assert response.status_code == 200, response.text
        items: list[dict[str, Any]] = response.json()["items"]
        return items

    (day,) = usage()
    assert day == {
        "key": f"{datetime.now(UTC):%Y-%m-%d}",
        "calls": 5,
        "failed_calls": 1,
        "unfinished_calls": 1,
        "prompt_tokens": 160,
        "completion_tokens": 80,
        "average_latency_ms": 700,
    }
    assert [(one["key"], one["calls"]) for one in usage(by="model")] == [
        ("claude-sonnet-4-5", 2),
        ("m-1", 1),
        ("m-2", 2),
    ]
    assert [(one["key"], one["calls"]) for one in usage(by="api_key")] == [(key["id"], 1)]
    me = owner.get("/api/v1/me").json()["user"]["id"]
    assert [(one["key"], one["calls"]) for one in usage(by="user")] == [(me, 4)]
    assert usage(**{"from": "2999-01-01T00:00:00Z"}) == usage(to="2020-01-01T00:00:00Z") == []

    page = owner.get("/api/v1/ai/usage", params={"by": "model", "limit": 2}).json()
    rest = owner.get("/api/v1/ai/usage", params={"by": "model", "limit": 2, "after": page["next"]}).json()
    assert [one["key"] for one in page["items"] + rest["items"]] == ["claude-sonnet-4-5", "m-1", "m-2"]
    assert rest["next"] is None
    for wrong in ({"by": "tenant"}, {"by": "model", "after": "'; drop"}, {"after": "m-1"}, {"limit": 0}):
        assert owner.get("/api/v1/ai/usage", params=wrong).status_code == 422

    tenant_id = owner.get("/api/v1/me").json()["tenant"]["id"]
    with api.database.connect() as connection:
        connection.execute("update limena.ai_usage_days set day = day - 100 where tenant_id = %s", [tenant_id])
    assert usage() == [], "older than three months"
    assert len(usage(**{"from": "2020-01-01T00:00:00Z"})) == 1, "unless it is asked for"


def test_the_export_has_every_call_and_is_on_record(api: Api, owner: httpx.Client) -> None:
    made = reserve(owner).json()["id"]
    owner.post(f"/api/v1/ai/reservations/{made}/settle", json=TOOK)
    owner.delete(f"/api/v1/ai/reservations/{reserve(owner).json()['id']}")
    answer = owner.get("/api/v1/ai/usage.csv")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/csv")
    head, newest, oldest, nothing = answer.text.split("\r\n")
    assert nothing == "", "each record ends in CR LF"
    assert (
        head == "tenant_id,id,occurred_at,actor_type,actor_id,model,outcome,prompt_tokens,completion_tokens,latency_ms"
    )
    assert newest.endswith(",claude-sonnet-4-5,released,0,0,")
    assert oldest.split(",")[1] == made
    assert oldest.endswith(",claude-sonnet-4-5,succeeded,40,20,900")
    assert owner.get("/api/v1/ai/usage.csv", params={"to": "2020-01-01T00:00:00Z"}).text.splitlines() == [head]
    rows = owner.get("/api/v1/audit-logs", params={"action": "ai_usage.exported"}).json()["items"]
    assert len(rows) == 2
    with api.person("member").client() as member:
        assert member.get("/api/v1/ai/usage.csv").status_code == 403
