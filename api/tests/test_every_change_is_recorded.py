"""Walks every route that changes something, and demands a row in the log. (Procedure by procedure:
db/tests/audit/test_every_procedure.sql.)

Whoever adds a route adds a step, or says why it leaves no row.
"""

from typing import Any

import httpx

from limena.routes import ENDPOINTS
from support.api import Api
from support.people import (
    PASSWORD,
    ask_for_reset,
    ask_to_register,
    invite,
    join,
    mail_token,
    new_registration,
    register,
)

NO_ROW = {
    "POST /api/v1/auth/link": "changes nothing; a POST, for no token belongs in a URL",
    "POST /api/v1/auth/tenant": "where a session is, is no event: no tenant may learn of another from it",
    "POST /api/v1/ai/reservations": "a reservation is a record of its own",
    "POST /api/v1/ai/reservations/{id}/settle": "so is what it came to",
    "DELETE /api/v1/ai/reservations/{id}": "and that it was given back",
    "POST /api/v1/integrations/{provider}/authorize": "needs an OAuth 2 server: test_integrations.py",
    "POST /api/v1/integrations/{provider}/callback": "needs an OAuth 2 server: test_integrations.py",
    "POST /api/v1/integrations/{provider}/access-token": "needs an OAuth 2 server: test_integrations.py",
}


class Walk:
    def __init__(self) -> None:
        self.request_ids: dict[str, str] = {}

    def step(self, client: httpx.Client, label: str, path: str = "", **options: Any) -> httpx.Response:
        method, template = label.split()
        response = client.request(method, path or template, **options)
        assert response.status_code < 300, f"{label}: {response.text}"
        self.request_ids[label] = response.headers["x-request-id"]
        return response


def test_every_route_that_changes_something(api: Api) -> None:
    walk = Walk()
    with api.client() as anyone:
        walk.step(anyone, "POST /api/v1/auth/register", json=new_registration())
        anyone.cookies.clear()
        token = ask_to_register(api)
        walk.step(anyone, "POST /api/v1/auth/verify", json={"token": token, "password": PASSWORD})

    owner = register(api)
    with api.client() as invited:
        _, token = invite(api, owner.client)
        body = {"token": token, "password": PASSWORD, "display_name": "In Vited"}
        walk.step(invited, "POST /api/v1/auth/invitations/accept", json=body)
    with api.client() as person:
        credentials = {"email": owner.email, "password": owner.password}
        answer = walk.step(person, "POST /api/v1/auth/login", json=credentials)
        walk.step(person, "POST /api/v1/auth/refresh")
        person.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        walk.step(person, "POST /api/v1/auth/logout")

    other = owner.log_in(api)
    ids = [one["id"] for one in owner.client.get("/api/v1/auth/sessions").json()["items"] if not one["current"]]
    walk.step(owner.client, "DELETE /api/v1/auth/sessions/{id}", f"/api/v1/auth/sessions/{ids[0]}")
    other.close()
    changed = {"current_password": owner.password, "new_password": "lantern orbit fjord 88"}
    walk.step(owner.client, "POST /api/v1/auth/password", json=changed)

    member, admin = join(api, owner.client), join(api, owner.client, "admin")
    members = "/api/v1/members"
    walk.step(owner.client, "PATCH /api/v1/members/{user_id}", f"{members}/{member.user_id}", json={"role": "viewer"})
    walk.step(owner.client, "DELETE /api/v1/members/{user_id}", f"{members}/{member.user_id}")
    invitation = walk.step(
        owner.client, "POST /api/v1/invitations", json={"email": new_registration()["email"], "role": "member"}
    ).json()
    walk.step(owner.client, "DELETE /api/v1/invitations/{id}", f"/api/v1/invitations/{invitation['id']}")
    walk.step(owner.client, "PATCH /api/v1/tenant", json={"audit_retention_days": 365})

    keys = "/api/v1/api-keys"
    key = walk.step(owner.client, f"POST {keys}", json={"name": "walk", "scopes": ["ai:use", "ai:read"]}).json()
    rotated = walk.step(
        owner.client, f"POST {keys}/{{id}}/rotate", f"{keys}/{key['id']}/rotate", json={"grace_seconds": 60}
    ).json()
    walk.step(owner.client, f"DELETE {keys}/{{id}}", f"{keys}/{rotated['id']}")
    owner.client.post(keys, json={"name": "walk again", "scopes": ["ai:use"]})
    walk.step(owner.client, f"POST {keys}/revoke-all", json={})

    walk.step(
        owner.client,
        "PUT /api/v1/integrations/{provider}",
        "/api/v1/integrations/anthropic",
        json={"secret": "sk-walk"},
    )
    walk.step(owner.client, "DELETE /api/v1/integrations/{provider}", "/api/v1/integrations/anthropic")

    walk.step(owner.client, "PATCH /api/v1/ai/settings", json={"calls_per_hour": 1})
    reserve = {"model": "claude-sonnet-4-5", "estimated_tokens": 10}
    assert [owner.client.post("/api/v1/ai/reservations", json=reserve).status_code for _ in range(2)] == [201, 429]
    walk.step(owner.client, "POST /api/v1/ai/quota/reset", json={})

    with api.client() as platform:
        admin_person = api.demo["platform_admin"]
        credentials = {name: admin_person[name] for name in ("email", "password")}
        answer = platform.post("/api/v1/auth/login", json=credentials)
        platform.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        path = f"/api/v1/admin/tenants/{owner.tenant_id}"
        walk.step(platform, "POST /api/v1/admin/tenants/{id}/{action}", f"{path}/freeze", json={"reason": "a walk"})
        assert platform.post(f"{path}/unfreeze", json={"reason": "a walk"}).status_code < 300

    walk.step(owner.client, "POST /api/v1/tenant/transfer-ownership", json={"user_id": admin.user_id})
    name = {"name": owner.registration["tenant_name"]}
    walk.step(admin.client, "DELETE /api/v1/tenant", json=name)
    walk.step(admin.client, "POST /api/v1/tenant/restore")

    with api.client() as anyone:
        walk.step(anyone, "POST /api/v1/auth/password/forgot", json={"email": owner.email})
        token = mail_token(api, owner.email, "password_reset")
        reset = {"token": token, "new_password": "harbor velvet canyon 21"}
        walk.step(anyone, "POST /api/v1/auth/password/reset", json=reset)
    assert ask_for_reset(api, admin.email)
    walk.step(admin.client, "POST /api/v1/auth/logout-all")

    changing = {endpoint.label for endpoint in ENDPOINTS if endpoint.method != "GET"}
    assert set(walk.request_ids) | set(NO_ROW) == changing
    assert set(walk.request_ids).isdisjoint(NO_ROW)
    with api.database.connect() as connection:
        logged = {row[0] for row in connection.execute("select distinct request_id from limena.audit_logs")}
        silent = {label for label, request_id in walk.request_ids.items() if request_id not in logged}
        assert silent == set()
        # And no row of all of these has details of which its action says nothing, or an action that is not registered.
        unknown = connection.execute(
            """
            select distinct l.action, k.name
            from limena.audit_logs as l
            left join lateral jsonb_object_keys(l.details) as k (name) on true
            left join limena.audit_actions as a on a.name = l.action
            where a.name is null or k.name is not null and k.name <> all(a.details)
            """
        ).fetchall()
        assert unknown == []
