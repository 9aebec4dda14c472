"""The platform's administration over HTTP: who may, what each action does, and where it stands afterwards."""

import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from support.api import Api, Person
from support.people import Newcomer, register

CALL = {"model": "m", "estimated_tokens": 100}


@pytest.fixture(scope="module")
def admin(api: Api) -> Iterator[httpx.Client]:
    data = api.demo["platform_admin"]
    person = Person(api.base_url, data["email"], data["password"], "", None)
    with person.client() as client:
        yield client


@pytest.fixture
def customer(api: Api) -> Iterator[Newcomer]:
    made = register(api)
    yield made
    made.client.close()


def act(client: httpx.Client, tenant_id: str, action: str, **body: object) -> httpx.Response:
    return client.post(f"/api/v1/admin/tenants/{tenant_id}/{action}", json={"reason": "because of a test"} | body)


def reserve(customer: Newcomer, tokens: int = 100) -> httpx.Response:
    return customer.client.post("/api/v1/ai/reservations", json=CALL | {"estimated_tokens": tokens})


def events(customer: Newcomer, action: str) -> list[dict[str, Any]]:
    rows = customer.client.get("/api/v1/audit-logs", params={"action": action}).json()["items"]
    return [{key: row[key] for key in ("actor_type", "actor_label", "details")} for row in rows]


def platform_log(api: Api, tenant_id: str) -> list[dict[str, Any]]:
    with api.database.connect() as connection:
        rows = connection.execute(
            "select details from limena.audit_logs where action = 'platform.tenant_administered' and entity_id = %s"
            " and tenant_id = '00000000-0000-4000-8000-000000000000' order by seq",
            [tenant_id],
        ).fetchall()
    return [row[0] for row in rows]


def test_the_kill_switch(api: Api, admin: httpx.Client, customer: Newcomer) -> None:
    made = reserve(customer).json()["id"]
    assert act(admin, customer.tenant_id, "disable-ai").status_code == 204
    assert reserve(customer).json()["code"] == "ai_disabled"
    assert customer.client.patch("/api/v1/ai/settings", json={"is_enabled": True}).json()["state"] == "disabled"
    took = {"prompt_tokens": 1, "completion_tokens": 1, "latency_ms": 1}
    assert customer.client.post(f"/api/v1/ai/reservations/{made}/settle", json=took).status_code == 200
    assert customer.client.get("/api/v1/members").status_code == 200, "all else goes on"
    assert act(admin, customer.tenant_id, "enable-ai").status_code == 204
    assert reserve(customer).status_code == 201

    told = {"actor_type": "operator", "actor_label": api.demo["platform_admin"]["email"]}
    assert events(customer, "ai_settings.administered") == [told | {"details": {"reason": "because of a test"}}] * 2
    reason = {"reason": "because of a test"}
    assert platform_log(api, customer.tenant_id) == [
        {"action": "disable-ai"} | reason,
        {"action": "enable-ai"} | reason,
    ]


def test_limits_go_up_and_down_at_once(admin: httpx.Client, customer: Newcomer) -> None:
    assert act(admin, customer.tenant_id, "set-ai-limits", tokens_per_month=150).status_code == 204
    made = reserve(customer).json()["id"]
    took = {"prompt_tokens": 145, "completion_tokens": 0, "latency_ms": 1}
    customer.client.post(f"/api/v1/ai/reservations/{made}/settle", json=took)
    assert reserve(customer).json()["code"] == "ai_ceiling_exceeded"
    assert customer.client.patch("/api/v1/ai/settings", json={"tokens_per_month": 151}).status_code == 422
    more = {"tokens_per_month": 30_000_000_000, "calls_per_hour": 2}
    assert act(admin, customer.tenant_id, "set-ai-limits", **more).status_code == 204
    assert reserve(customer).status_code == 201, "the cause is gone, and so is the trip"
    assert reserve(customer).json()["code"] == "ai_velocity_exceeded"
    assert customer.client.get("/api/v1/ai/quota").json()["tokens"]["limit"] == 30_000_000_000


def test_a_reset_ends_both_trips(admin: httpx.Client, customer: Newcomer) -> None:
    act(admin, customer.tenant_id, "set-ai-limits", tokens_per_month=1000, calls_per_hour=3)
    made = reserve(customer).json()["id"]
    took = {"prompt_tokens": 1000, "completion_tokens": 0, "latency_ms": 1}
    customer.client.post(f"/api/v1/ai/reservations/{made}/settle", json=took)
    assert reserve(customer).json()["code"] == "ai_ceiling_exceeded"
    assert act(admin, customer.tenant_id, "reset-ai-quota").status_code == 204
    assert reserve(customer, 1).status_code == 201
    assert customer.client.get("/api/v1/ai/quota").json()["tokens"]["used"] == 0
    assert customer.client.get("/api/v1/ai/usage").json()["items"][0]["prompt_tokens"] == 1000
    assert reserve(customer, 1).status_code == 201
    assert reserve(customer, 1).json()["code"] == "ai_velocity_exceeded"
    assert act(admin, customer.tenant_id, "reset-ai-quota").status_code == 204
    assert reserve(customer, 1).status_code == 201
    details = [event["details"] for event in events(customer, "ai_quota.reset")]
    reason = {"by": "manual", "reason": "because of a test"}
    assert details == [{"cause": "velocity"} | reason, {"cause": "ceiling"} | reason]


def test_freeze_unfreeze_and_revoking_keys(api: Api, admin: httpx.Client, customer: Newcomer) -> None:
    key = customer.client.post("/api/v1/api-keys", json={"name": "k", "scopes": ["ai:use"]}).json()["key"]
    assert act(admin, customer.tenant_id, "freeze").status_code == 204
    assert reserve(customer).json()["code"] == "tenant_frozen"
    assert act(admin, customer.tenant_id, "unfreeze").status_code == 204
    assert reserve(customer).status_code == 201
    assert act(admin, customer.tenant_id, "revoke-api-keys").status_code == 204
    headers = {"Authorization": f"Bearer {key}"}
    assert (
        customer.client.post("/api/v1/ai/reservations", json=CALL, headers=headers).json()["code"] == "invalid_api_key"
    )
    assert [one["action"] for one in platform_log(api, customer.tenant_id)] == ["freeze", "unfreeze", "revoke-api-keys"]


def test_what_is_refused(api: Api, admin: httpx.Client, customer: Newcomer) -> None:
    tenant_id = customer.tenant_id
    assert act(admin, tenant_id, "explode").status_code == 404
    assert act(admin, str(uuid.uuid4()), "disable-ai").status_code == 404
    assert act(admin, "nobody", "disable-ai").status_code == 404
    assert act(admin, "00000000-0000-4000-8000-000000000000", "disable-ai").status_code == 404
    for wrong in ({"reason": ""}, {"reason": " "}, {"reason": "x" * 501}, {"reason": 7}, {"calls_per_hour": 5}):
        assert act(admin, tenant_id, "disable-ai", **wrong).status_code == 422
    for wrong in ({}, {"calls_per_hour": 0}, {"calls_per_hour": 1_000_001}, {"tokens_per_month": 10**15 + 1}):
        assert act(admin, tenant_id, "set-ai-limits", **wrong).status_code == 422
    assert admin.post(f"/api/v1/admin/tenants/{tenant_id}/freeze", json={}).status_code == 422
    assert platform_log(api, tenant_id) == []


def test_nobody_else_may(api: Api, customer: Newcomer) -> None:
    for path in (customer.tenant_id, str(uuid.uuid4()), "nobody"):
        assert act(customer.client, path, "freeze").status_code == 403
    assert customer.client.get("/api/v1/admin/usage").status_code == 403
    key = {"Authorization": f"Bearer {api.demo['api_key']}"}
    with api.client() as client:
        url = f"/api/v1/admin/tenants/{customer.tenant_id}/freeze"
        assert client.post(url, json={"reason": "x"}, headers=key).status_code == 403
        assert client.get("/api/v1/admin/usage", headers=key).status_code == 403
        assert client.get("/api/v1/admin/usage").status_code == 401
        assert client.post(url, json={"reason": "x"}).status_code == 401


def test_the_flag_opens_no_tenant(admin: httpx.Client, customer: Newcomer) -> None:
    assert admin.post("/api/v1/auth/tenant", json={"tenant_id": customer.tenant_id}).status_code in (403, 404)
    for path in ("/api/v1/ai/quota", "/api/v1/ai/usage", "/api/v1/audit-logs"):
        answer = admin.get(path)
        if answer.status_code == 200:
            assert customer.tenant_id not in answer.text


def test_usage_is_read_as_an_operator(api: Api, admin: httpx.Client, customer: Newcomer) -> None:
    made = reserve(customer, 9_000_000).json()["id"]
    took = {"prompt_tokens": 5_000_000, "completion_tokens": 4_000_000, "latency_ms": 1}
    customer.client.post(f"/api/v1/ai/reservations/{made}/settle", json=took)
    page = admin.get("/api/v1/admin/usage", params={"limit": 1, "trend": "true"}).json()
    (first,) = page["items"]
    assert first["tenant"]["id"] == customer.tenant_id
    assert first["tokens"] == {"limit": 20_000_000, "used": 9_000_000, "reserved": 0, "percent": 45.0}
    assert first["calls"] == {"limit": 500, "used": 1}
    assert (first["days"][0]["calls"], first["days"][0]["tokens"]) == (1, 9_000_000)
    assert page["days"][0]["tokens"] >= 9_000_000

    seen: list[str] = []
    params: dict[str, str | int] = {"sort": "created", "limit": 2}
    while True:
        page = admin.get("/api/v1/admin/usage", params=params).json()
        assert page["days"] is None, "nobody asked"
        seen += [item["tenant"]["id"] for item in page["items"]]
        if page["next"] is None:
            break
        params["after"] = page["next"]
    assert len(seen) == len(set(seen))
    assert {customer.tenant_id, api.demo["tenant_id"], api.demo["second_tenant"]["tenant_id"]} <= set(seen)
    for wrong in ({"sort": "name; drop"}, {"after": "x"}, {"limit": 0}, {"order": "asc"}):
        assert admin.get("/api/v1/admin/usage", params=wrong).status_code == 422
    with api.database.connect() as connection:
        row = connection.execute(
            "select actor_label, details ->> 'reason' from limena.audit_logs"
            " where action = 'operator.all_access_opened' order by seq desc limit 1"
        ).fetchone()
    assert row == (api.demo["platform_admin"]["email"], "GET /api/v1/admin/usage")
