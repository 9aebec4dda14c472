"""Metrics: what they count, and that nothing of a tenant is in them, whoever calls what."""

import re

from support.api import Api

SAMPLE = re.compile(r"([a-z_]+)(?:\{(.*)\})? ([0-9.e+-]+|NaN|\+Inf)")
LABELS = {"method", "route", "status", "budget", "pool", "state", "le"}


def test_no_tenants_data_and_bounded_labels(api: Api) -> None:
    people = [api.person(), api.person(tenant=2)]
    with api.client() as stranger:
        for person in people:
            with person.client() as client, person.client(person.api_key) as program:
                for one in (client, program):
                    assert one.get("/api/v1/me").status_code == 200
                    one.get(f"/api/v1/audit-logs?entity_id={person.tenant_id}")
                    one.delete(f"/api/v1/api-keys/{person.tenant_id}")
                    one.get(f"/{person.tenant_id}")
        before = _value(stranger.get("/metrics").text, "limena_failed_log_ins_total")
        wrong = {"email": people[0].email, "password": "it is not this one"}
        assert stranger.post("/api/v1/auth/login", json=wrong).status_code == 401
        text = stranger.get("/metrics").text
    assert _value(text, "limena_failed_log_ins_total") == before + 1
    assert _value(text, 'limena_pool_connections{pool="app",state="idle"}') >= 1
    assert re.search(r'limena_http_requests_total\{method="GET",route="/api/v1/me",status="200"\} [1-9]', text)
    for person in people:
        tokens = (person.tenant_id, person.email, person.password, person.api_key or "-", person.token)
        assert not [secret for secret in tokens if secret in text]
    for line in text.splitlines():
        if line.startswith("limena_"):
            match = SAMPLE.fullmatch(line)
            assert match, line
            assert set(re.findall(r"([a-z_]+)=\"", match[2] or "")) <= LABELS
    routes = set(re.findall(r'route="([^"]*)"', text))
    assert routes <= {"unmatched", *(endpoint.path for endpoint in api.app.state.services.endpoints)}


def _value(text: str, name: str) -> float:
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(f"{name} "))
