"""The whole matrix from outside: each route × each role × session and key, with the scope and without it × ids of one's
own tenant and of another's, and each route in a frozen tenant. What is asked comes from /openapi.json, what is expected
from `limena.permission_matrix`: a new route without a permission fails here until somebody says who may call it."""

import itertools
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from support.api import Api
from support.people import Newcomer, invite, join, register

ROLES = ("owner", "admin", "member", "viewer")
ANYONE = {
    "DELETE /api/v1/auth/sessions/{id}",
    "GET /api/v1/auth/sessions",
    "GET /api/v1/auth/tenants",
    "GET /api/v1/me",
    "GET /api/v1/permissions",
    "POST /api/v1/auth/logout",
    "POST /api/v1/auth/logout-all",
    "POST /api/v1/auth/password",
    "POST /api/v1/auth/tenant",
}
"""What needs a session or a key, and no permission: one's own account, and what is told to everyone."""
LAST = ("POST /api/v1/auth/logout", "POST /api/v1/auth/logout-all", "POST /api/v1/api-keys/revoke-all")
"""What ends sessions or keys is asked with some that nobody needs afterwards."""
EVEN_FROZEN = ANYONE | {
    "DELETE /api/v1/ai/reservations/{id}",
    "POST /api/v1/ai/reservations/{id}/settle",
    "DELETE /api/v1/api-keys/{id}",
    "POST /api/v1/api-keys/revoke-all",
    "POST /api/v1/tenant/restore",
}
"""What changes something, and works in a frozen tenant."""
MORE: Mapping[str, frozenset[str]] = {
    "GET /api/v1/ai/usage.csv": frozenset({"ai:read"}),  # an export is also a reading
    # Nobody gives what they do not hold: here, what a viewer has.
    "POST /api/v1/invitations": frozenset({"tenant:read", "members:read", "integrations:read", "ai:read"}),
    # Asked for as well, before it is said that there is no such member.
    "POST /api/v1/tenant/transfer-ownership": frozenset({"members:write"}),
}
"""Scopes that a key needs besides the documented one, to do what BODIES asks for."""
BODIES: Mapping[str, dict[str, Any]] = {
    "DELETE /api/v1/tenant": {"name": "not its name"},
    "PATCH /api/v1/ai/settings": {"is_enabled": True},  # the example lowers limits, which is the owner's
    "PATCH /api/v1/members/{user_id}": {"role": "viewer"},
    "PUT /api/v1/integrations/{provider}": {"secret": "sk-of-the-matrix", "label": "Matrix"},
    "POST /api/v1/integrations/{provider}/callback": {"state": "x" * 43, "code": "x"},
    "POST /api/v1/invitations": {"email": "matrix@example.com", "role": "viewer"},
}


@dataclass
class Team:
    """A tenant with someone of each role, and something for each kind of path parameter."""

    owner: Newcomer
    people: dict[str, Newcomer]
    ids: dict[str, list[str]]
    """Path parameter → ids of this tenant, of every kind that such a parameter can be of."""

    def marks(self) -> set[str]:
        """What nobody of another tenant may ever read."""
        found = {self.owner.tenant_id, self.owner.registration["tenant_name"]}
        found |= {person.email for person in self.people.values()}
        return found | set(itertools.chain(*self.ids.values()))


def make_team(api: Api) -> Team:
    owner = register(api)
    people = {"owner": owner} | {role: join(api, owner.client, role) for role in ROLES[1:]}
    address, _ = invite(api, owner.client)
    key = owner.client.post("/api/v1/api-keys", json={"name": "of the team", "scopes": ["ai:read"]}).json()
    call = owner.client.post("/api/v1/ai/reservations", json={"model": "m", "estimated_tokens": 1}).json()
    invitation = next(
        one["id"] for one in owner.client.get("/api/v1/invitations").json()["items"] if one["email"] == address
    )
    ids = {
        "id": [key["id"], call["id"], invitation, owner.session_id],
        "user_id": [person.user_id for person in people.values()],
    }
    return Team(owner, people, ids)


@pytest.fixture(scope="module")
def ours(api: Api) -> Team:
    return make_team(api)


@pytest.fixture(scope="module")
def theirs(api: Api) -> Team:
    return make_team(api)


@pytest.fixture(scope="module")
def matrix(api: Api) -> dict[str, set[str]]:
    """Permission → roles."""
    found: dict[str, set[str]] = {}
    with api.database.connect() as connection:
        for role, permission in connection.execute("select role, permission from limena.permission_matrix"):
            found.setdefault(permission, set()).add(role)
    return found


@pytest.fixture(scope="module")
def routes(api: Api) -> dict[str, dict[str, Any]]:
    """Every operation that asks for a session or a key, those that end them last."""
    with api.client() as client:
        document = client.get("/openapi.json").json()
    found = {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if any(scheme in ("session", "apiKey") for one in operation["security"] for scheme in one)
    }
    return dict(sorted(found.items(), key=lambda item: item[0] in LAST))


@pytest.fixture(scope="module")
def door(api: Api) -> Iterator[httpx.Client]:
    """One connection for everything; who asks stands in each request's header."""
    with api.client() as client:
        yield client


def body_of(label: str, operation: dict[str, Any]) -> dict[str, Any] | None:
    if label in BODIES:
        return BODIES[label]
    if "requestBody" not in operation:
        return None
    body: dict[str, Any] = dict(operation["requestBody"]["content"]["application/json"]["example"])
    if "scopes" in body:
        body["scopes"] = [operation["x-permission"]]
    return body


def ask(client: httpx.Client, label: str, operation: dict[str, Any], **ids: str) -> httpx.Response:
    method, path = label.split(" ")
    place = {"id": str(uuid.uuid4()), "user_id": str(uuid.uuid4()), "provider": "openai", "action": "freeze"} | ids
    path = re.sub(r"\{([a-z_]+)\}", lambda found: place[found[1]], path)
    return client.request(method, path, json=body_of(label, operation))


def is_admins(label: str) -> bool:
    """Whether a route is for platform admins, who are none of the people here."""
    return "/api/v1/admin/" in label


def is_denied(response: httpx.Response, permission: str | None) -> bool:
    """403 for the permission that is documented, and for no other reason."""
    if response.status_code != 403:
        assert response.status_code != 401, response.text
        return False
    assert response.json()["code"] == "forbidden", response.text
    assert response.json().get("permission") == permission, response.text
    return True


def test_each_route_has_a_rule(routes: dict[str, dict[str, Any]], matrix: dict[str, set[str]]) -> None:
    without = {label for label, operation in routes.items() if "x-permission" not in operation}
    assert {label for label in without if not is_admins(label)} == ANYONE
    for label, operation in routes.items():
        if label not in without:
            assert operation["x-permission"] in matrix, label


def test_each_route_with_a_session_of_each_role(
    api: Api, ours: Team, theirs: Team, routes: dict[str, dict[str, Any]], matrix: dict[str, set[str]]
) -> None:
    secrets = theirs.marks()
    for role, person in ours.people.items():
        for label, operation in routes.items():
            permission = operation.get("x-permission")
            client = person.log_in(api) if label in LAST else person.client
            response = ask(client, label, operation)
            is_refused = is_admins(label) if permission is None else role not in matrix[permission]
            assert is_denied(response, permission) == is_refused, (
                f"{label} as {role}: {response.status_code} {response.text}"
            )
            assert not any(secret in response.text for secret in secrets), label


def test_nobody_reaches_another_tenant(
    ours: Team, theirs: Team, routes: dict[str, dict[str, Any]], matrix: dict[str, set[str]], api: Api
) -> None:
    """Each id of the other tenant in each place for an id, as each role and with a key that may do everything."""
    scopes = sorted(matrix)
    key = ours.owner.log_in(api).post("/api/v1/api-keys", json={"name": "all", "scopes": scopes}).json()["key"]
    with api.client(headers={"Authorization": f"Bearer {key}"}) as program:
        clients = {role: person.log_in(api) for role, person in ours.people.items()} | {"a key": program}
        for label, operation in routes.items():
            places = [] if is_admins(label) else re.findall(r"\{(id|user_id)\}", label)
            for place in places:
                for identifier in theirs.ids[place]:
                    for role, client in clients.items():
                        response = ask(client, label, operation, **{place: identifier})
                        assert response.status_code in (403, 404), f"{label} as {role}: {response.text}"
    for person in theirs.people.values():
        assert person.client.get("/api/v1/me").status_code == 200, "nothing of theirs has changed"
    keys = theirs.owner.client.get("/api/v1/api-keys").json()["items"]
    assert [one["revoked_at"] for one in keys] == [None]
    assert len(theirs.owner.client.get("/api/v1/members").json()["items"]) == len(ROLES)


def test_each_route_with_a_key_that_has_the_scope_and_one_that_has_not(
    api: Api, door: httpx.Client, routes: dict[str, dict[str, Any]], matrix: dict[str, set[str]]
) -> None:
    owner = register(api).client

    def key_of(scopes: set[str]) -> dict[str, str]:
        made = owner.post("/api/v1/api-keys", json={"name": "matrix", "scopes": sorted(scopes)})
        assert made.status_code == 201, made.text
        return {"Authorization": f"Bearer {made.json()['key']}"}

    for label, operation in routes.items():
        permission = operation.get("x-permission")
        takes_keys = any("apiKey" in one for one in operation["security"])
        if permission is None:
            door.headers.update(key_of({"ai:read"}))
            response = ask(door, label, operation)
            assert is_denied(response, None) != (takes_keys and not is_admins(label)), f"{label}: {response.text}"
            continue
        door.headers.update(key_of(set(matrix) - {permission}))
        response = ask(door, label, operation)
        assert is_denied(response, permission if takes_keys else None), f"{label} without the scope: {response.text}"
        door.headers.update(key_of({permission} | MORE.get(label, frozenset())))
        response = ask(door, label, operation)
        assert is_denied(response, None) != takes_keys, f"{label} with the scope: {response.text}"


def test_each_route_with_a_key_whose_creator_was_lowered(
    api: Api, routes: dict[str, dict[str, Any]], matrix: dict[str, set[str]]
) -> None:
    """A key never holds more than its creator does at that moment: with every scope, it is what a viewer is."""
    owner = register(api)
    admin = join(api, owner.client, "admin")
    scopes = sorted(permission for permission, roles in matrix.items() if "admin" in roles)
    key = admin.client.post("/api/v1/api-keys", json={"name": "all", "scopes": scopes}).json()["key"]
    with api.client(headers={"Authorization": f"Bearer {key}"}) as program:
        assert program.get("/api/v1/me").json()["permissions"] == scopes
        lowered = owner.client.patch(f"/api/v1/members/{admin.user_id}", json={"role": "viewer"})
        assert lowered.status_code == 200, lowered.text
        for label, operation in routes.items():
            permission = operation.get("x-permission")
            if permission is not None and any("apiKey" in one for one in operation["security"]):
                response = ask(program, label, operation)
                assert is_denied(response, permission) == ("viewer" not in matrix[permission]), (
                    f"{label}: {response.text}"
                )


def test_each_route_in_a_frozen_tenant(
    api: Api, routes: dict[str, dict[str, Any]], matrix: dict[str, set[str]]
) -> None:
    """Who may change something is told that the tenant is frozen; who may not, what is missing; reading goes on."""
    team = make_team(api)
    with api.database.connect() as connection:
        connection.execute("select limena_private.freeze_tenant(%s, 'the matrix')", [team.owner.tenant_id])
    for role, person in team.people.items():
        for label, operation in routes.items():
            permission = operation.get("x-permission")
            if is_admins(label):
                continue
            client = person.log_in(api) if label in LAST else person.client
            response = ask(client, label, operation)
            told = response.json().get("code") if response.is_error else None
            if permission is not None and role not in matrix[permission]:
                assert is_denied(response, permission), f"{label} as {role}: {response.text}"
            elif label.startswith("GET ") or label in EVEN_FROZEN:
                assert told in (None, "not_found", "conflict", "validation_failed"), (
                    f"{label} as {role}: {response.text}"
                )
            else:
                assert told == "tenant_frozen", f"{label} as {role}: {response.text}"
                assert response.json()["permission"] == permission
    me = team.owner.log_in(api).get("/api/v1/me").json()
    assert me["tenant"]["state"] == "frozen"
    assert all(name.endswith(":read") or name == "audit:export" for name in me["permissions"])
