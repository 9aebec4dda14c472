"""/openapi.json is what the server does: every route is in it, every answer fits it, every error that can be provoked
is one of those that it lists, and the document keeps the rules of OpenAPI 3.1."""

import datetime
import gc
import re
import uuid
import weakref
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator, FormatChecker
from starlette.routing import Route

from limena.errors import CODES
from limena.pages import ASSETS, PAGES, Static
from limena.routes import ENDPOINTS
from limena.routing import Endpoint, Resource
from support.api import Api, Person
from support.databases import Database
from support.oauth import Provider
from support.people import PASSWORD, ask_for_reset, ask_to_register, invite, join, register

KEY = {"name": "documented", "scopes": ["ai:read"], "calls_per_minute": 10}
INVITATION = {"email": "documented@example.com", "role": "viewer"}
LABELS = [endpoint.label for endpoint in ENDPOINTS]
formats = FormatChecker(formats=())


@formats.checks("uuid", raises=ValueError)
def is_uuid(value: object) -> bool:
    return not isinstance(value, str) or str(uuid.UUID(value)) == value


@formats.checks("date-time", raises=ValueError)
def is_date_time(value: object) -> bool:
    """RFC 3339, in UTC: as the contract has it."""
    return not isinstance(value, str) or datetime.datetime.fromisoformat(value).utcoffset() == datetime.timedelta(0)


@pytest.fixture(scope="module")
def document(api: Api) -> dict[str, Any]:
    with api.client() as client:
        response = client.get("/openapi.json")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    found: dict[str, Any] = response.json()
    return found


@pytest.fixture(scope="module")
def owner(api: Api) -> Iterator[httpx.Client]:
    with api.person().client() as client:
        yield client


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def check(document: dict[str, Any], schema: dict[str, Any], instance: object) -> None:
    whole = {**schema, "components": document["components"]}
    Draft202012Validator(whole, format_checker=formats).validate(instance)


def test_every_route_is_documented_and_the_other_way_round(api: Api, document: dict[str, Any]) -> None:
    served, pages = set(), []
    for route in api.app.routes:
        assert isinstance(route, Route), "a route that is not made from a declaration"
        if isinstance(route.app, Static):
            pages.append(route.path)
            continue
        assert isinstance(route.app, Resource)
        served |= {f"{method} {route.path}" for method in route.app.endpoints}
    assert served == set(LABELS) == set(operations(document))
    assert pages == [*PAGES, f"{ASSETS}{{name:path}}"], "all that is no API"


def test_the_document_keeps_the_rules_of_openapi(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    assert {"title", "version"} <= document["info"].keys()
    assert document.keys() <= {"openapi", "info", "servers", "tags", "paths", "components"}
    for name, schema in document["components"]["schemas"].items():
        assert re.fullmatch(r"[a-zA-Z0-9._-]+", name)
        Draft202012Validator.check_schema(schema)
    references = set(re.findall(r"'\$ref': '([^']+)'", str(document)))
    for reference in references:
        assert reference.removeprefix("#/components/schemas/") in document["components"]["schemas"], reference
    used = {reference.rsplit("/", 1)[1] for reference in references}
    assert used == document["components"]["schemas"].keys(), "a schema that nothing refers to"

    found = operations(document)
    tags = {tag["name"] for tag in document["tags"]}
    assert {tag for operation in found.values() for tag in operation["tags"]} == tags
    assert len({operation["operationId"] for operation in found.values()}) == len(found)
    for label, operation in found.items():
        in_path = set(re.findall(r"\{([a-z_]+)\}", label))
        parameters = operation.get("parameters", [])
        assert in_path == {one["name"] for one in parameters if one["in"] == "path"}
        assert all(one["required"] for one in parameters if one["in"] == "path")
        assert len({(one["name"], one["in"]) for one in parameters}) == len(parameters)
        for one in parameters:
            Draft202012Validator.check_schema(one["schema"])
        for requirement in operation["security"]:
            assert requirement.keys() <= document["components"]["securitySchemes"].keys()
        assert operation["summary"]
        assert operation["description"]
        assert not re.search(r"\bp_|SQLSTATE|42501|22023", operation["description"])
        for status, response in operation["responses"].items():
            assert re.fullmatch(r"[1-5][0-9]{2}", status)
            assert response["description"]
        assert any(status.startswith("2") for status in operation["responses"])


def test_each_example_fits_its_schema(document: dict[str, Any]) -> None:
    for operation in operations(document).values():
        if body := operation.get("requestBody"):
            content = body["content"]["application/json"]
            Draft202012Validator.check_schema(content["schema"])
            check(document, content["schema"], content["example"])
        for status, response in operation["responses"].items():
            for media_type, content in response.get("content", {}).items():
                for code, example in content.get("examples", {}).items():
                    assert media_type == "application/problem+json"
                    assert CODES[code].status == int(status)
                    check(document, content["schema"], example["value"])


def test_fields_have_the_types_and_defaults_of_the_procedures(document: dict[str, Any]) -> None:
    listed = {one["name"]: one for one in operations(document)["GET /api/v1/audit-logs"]["parameters"]}
    assert list(listed) == ["limit", "after", "action", "actor_id", "entity_type", "entity_id", "from", "to"]
    limit = {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}
    assert listed["limit"]["schema"] == limit
    assert not listed["limit"]["required"]
    assert listed["actor_id"]["schema"] == {"type": "string", "format": "uuid"}
    assert listed["from"]["schema"] == {"type": "string", "format": "date-time"}
    made = operations(document)["POST /api/v1/api-keys"]
    schema = made["requestBody"]["content"]["application/json"]["schema"]
    assert schema["required"] == ["name", "scopes"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["expires_at"]["type"] == ["string", "null"]
    assert made["x-permission"] == "api_keys:write"
    assert made["x-procedure"] == "limena.create_api_key"


def test_descriptions_are_the_comments_of_the_procedures(
    fresh_database: Callable[[], Database], start_api: Callable[..., Api]
) -> None:
    database = fresh_database()
    with database.connect() as connection:
        connection.execute("comment on function limena.get_me() is 'Tells p_nothing new. Raises 42501.'")
    with start_api(database, {}).client() as client:
        changed = operations(client.get("/openapi.json").json())["GET /api/v1/me"]
    assert changed["description"] == "Tells nothing new."


def fill(path: str, api_key_id: str) -> str:
    return re.sub(r"\{[a-z_]*id\}", api_key_id, path).replace("{provider}", "openai")


def succeed(api: Api, owner: httpx.Client, provider: Provider, endpoint: Endpoint) -> httpx.Response:
    """A call of a route that works."""
    if endpoint.path.startswith("/api/v1/integrations"):
        return succeed_in_integrations(api, provider, endpoint)
    if endpoint.path.startswith("/api/v1/auth/"):
        return succeed_in_auth(api, endpoint)
    if endpoint.tag == "ai":
        return succeed_in_ai(owner, endpoint)
    if endpoint.tag == "admin":
        return succeed_in_admin(api, endpoint)
    if endpoint.method != "GET" and endpoint.tag in ("identity", "api_keys"):
        return succeed_in_own_tenant(api, endpoint)
    return owner.request(endpoint.method, endpoint.path)


def succeed_in_own_tenant(api: Api, endpoint: Endpoint) -> httpx.Response:
    """As the owner of a tenant that nobody else needs: keys are revoked, members go, the tenant is deleted."""
    new = register(api)
    client, name = new.client, new.registration["tenant_name"]
    path, member = endpoint.path, ""
    if "{user_id}" in path or path.endswith("transfer-ownership"):
        member = join(api, client).user_id
    elif "{id}" in path and endpoint.tag == "identity":
        path = path.replace("{id}", client.post("/api/v1/invitations", json=INVITATION).json()["id"])
    elif "{id}" in path:
        path = path.replace("{id}", client.post("/api/v1/api-keys", json=KEY).json()["id"])
    bodies: dict[str, Any] = {
        "POST /api/v1/api-keys": KEY,
        "POST /api/v1/api-keys/{id}/rotate": {"grace_seconds": 60},
        "POST /api/v1/invitations": INVITATION,
        "PATCH /api/v1/members/{user_id}": {"role": "admin"},
        "PATCH /api/v1/tenant": {"name": "Renamed"},
        "DELETE /api/v1/tenant": {"name": name},
    }
    if "{user_id}" in path:
        path = path.replace("{user_id}", member)
    if path.endswith("transfer-ownership"):
        bodies[endpoint.label] = {"user_id": member}
    if path.endswith("restore"):
        client.request("DELETE", "/api/v1/tenant", json={"name": name})
    return client.request(endpoint.method, path, json=bodies.get(endpoint.label))


def succeed_in_integrations(api: Api, provider: Provider, endpoint: Endpoint) -> httpx.Response:
    client, path = register(api).client, "/api/v1/integrations/oidc"
    if endpoint.method == "PUT":
        return client.put("/api/v1/integrations/openai", json={"secret": "sk-1", "label": "documented"})
    if endpoint.path.endswith("authorize"):
        return client.post(f"{path}/authorize")
    query = provider.consent(client.post(f"{path}/authorize").json()["authorization_url"])
    connected = client.post(f"{path}/callback", json=query)
    if endpoint.path.endswith("callback"):
        return connected
    return client.request(endpoint.method, endpoint.path.replace("{provider}", "oidc"))


def succeed_in_admin(api: Api, endpoint: Endpoint) -> httpx.Response:
    data = api.demo["platform_admin"]
    path = endpoint.path.replace("{id}", register(api).tenant_id).replace("{action}", "disable-ai")
    with Person(api.base_url, data["email"], data["password"], "", None).client() as admin:
        return admin.request(
            endpoint.method, path, json={"reason": "documented"} if endpoint.method == "POST" else None
        )


def succeed_in_ai(owner: httpx.Client, endpoint: Endpoint) -> httpx.Response:
    call = {"model": "documented", "estimated_tokens": 10}
    path = endpoint.path
    if "{id}" in path:
        path = fill(path, owner.post("/api/v1/ai/reservations", json=call).json()["id"])
    bodies: dict[str, dict[str, Any]] = {
        "PATCH": {"is_enabled": True},
        "POST": {"prompt_tokens": 4, "completion_tokens": 3, "latency_ms": 2} if path.endswith("settle") else call,
    }
    body = None if path.endswith("reset") else bodies.get(endpoint.method)
    return owner.request(endpoint.method, path, json=body)


def succeed_in_auth(api: Api, endpoint: Endpoint) -> httpx.Response:
    """As someone who has just registered: a log-out must not end a session that another test has."""
    new = register(api)
    path = endpoint.path.replace("{id}", new.session_id)
    bodies: dict[str, dict[str, Any]] = {
        "register": new.registration | {"email": f"second-{new.email}"},
        "login": {"email": new.email, "password": new.password},
        "password": {"current_password": new.password, "new_password": "seven violet umbrellas hum"},
        "password/forgot": {"email": new.email},
        "tenant": {"tenant_id": new.tenant_id},
    }
    name = path.removeprefix("/api/v1/auth/")
    match name:
        case "link":
            bodies[name] = {"token": ask_to_register(api)}
        case "verify":
            bodies[name] = {"token": ask_to_register(api), "password": "seven violet umbrellas hum"}
        case "invitations/accept":
            _, token = invite(api, new.client)
            return api.client().post(path, json={"token": token, "password": PASSWORD, "display_name": "New"})
        case "password/reset":
            bodies[name] = {"token": ask_for_reset(api, new.email), "new_password": "seven violet umbrellas hum"}
    return new.client.request(endpoint.method, path, json=bodies.get(name))


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=LABELS)
def test_each_answer_is_as_documented(
    api: Api, owner: httpx.Client, provider: Provider, document: dict[str, Any], endpoint: Endpoint
) -> None:
    response = succeed(api, owner, provider, endpoint)
    documented = operations(document)[endpoint.label]["responses"][str(response.status_code)]
    assert response.status_code == endpoint.status, response.text
    if "content" not in documented:
        assert response.content == b""
        return
    media_type = response.headers["content-type"].partition(";")[0]
    schema = documented["content"][media_type]["schema"]
    check(document, schema, response.json() if media_type == "application/json" else response.text)


def test_the_answers_that_have_several_forms(api: Api, document: dict[str, Any]) -> None:
    me = operations(document)["GET /api/v1/me"]["responses"]["200"]["content"]["application/json"]["schema"]
    admin = api.demo["platform_admin"]
    person = api.person()
    with person.client(person.api_key) as program:
        check(document, me, program.get("/api/v1/me").json())
        logs = operations(document)["GET /api/v1/audit-logs"]["responses"]["200"]["content"]["application/json"]
        check(document, logs["schema"], program.get("/api/v1/audit-logs?limit=200").json())
    with api.client() as client:
        body = {"email": admin["email"], "password": admin["password"]}
        log_in = client.post("/api/v1/auth/login", json=body)
        schema = operations(document)["POST /api/v1/auth/login"]["responses"]["200"]["content"]["application/json"]
        check(document, schema["schema"], log_in.json())
        token = log_in.json()["access_token"]
        check(document, me, client.get("/api/v1/me", headers={"Authorization": f"Bearer {token}"}).json())


def test_the_schemas_are_strict(document: dict[str, Any], owner: httpx.Client) -> None:
    """Fails when a schema takes whatever it is given: then the test above would hold nothing."""
    schema = {"$ref": "#/components/schemas/Me"}
    good = owner.get("/api/v1/me").json()
    for wrong in [good | {"more": 1}, {k: v for k, v in good.items() if k != "role"}, good | {"role": "king"}]:
        whole = {**schema, "components": document["components"]}
        assert not Draft202012Validator(whole).is_valid(wrong)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=LABELS)
def test_each_error_that_can_be_provoked_is_documented(api: Api, document: dict[str, Any], endpoint: Endpoint) -> None:
    path = fill(endpoint.path, "11111111-1111-4111-8111-111111111111")
    viewer = {"Authorization": f"Bearer {api.person('viewer').token}"}
    owner = {"Authorization": f"Bearer {register(api).access_token}"}  # whose session and keys nobody else needs
    json_type = {"Content-Type": "application/json"}
    responses = operations(document)[endpoint.label]["responses"]
    with api.client() as client:
        for headers, suffix, body in [
            ({}, "", None),
            ({"Authorization": "Bearer lmn_x"}, "", None),
            ({"Authorization": "Bearer x"}, "", None),
            (viewer, "", None),
            (viewer | json_type, "", b'{"name": "x", "scopes": ["ai:read"]}'),
            (owner, "?limit=x", None),
            (owner, "", b"x"),
            (owner, "x", None),
            (owner | json_type, "", b"x"),
            (owner | json_type, "", b"{}"),
            (owner | json_type, "", b"x" * 70_000),
            (json_type, "", b'{"email": "x", "password": "x"}'),
        ]:
            target = path + suffix if suffix.startswith("?") or "{" in endpoint.path else path
            response = client.request(endpoint.method, target, headers=headers, content=body)
            if response.is_error:
                content = responses[str(response.status_code)]["content"]["application/problem+json"]
                assert response.json()["code"] in content["examples"], response.text
                check(document, content["schema"], response.json())


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.ids: set[str] = set()
        self.targets: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes |= {name for name, _ in attrs}
        for name, value in attrs:
            if name == "id":
                self.ids.add(value or "")
            if name == "href" and (value or "").startswith("#"):
                self.targets.add((value or "")[1:])


def test_the_page_shows_every_route_and_code_without_scripts(api: Api, document: dict[str, Any]) -> None:
    with api.client() as client:
        response = client.get("/docs")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    page = Tags()
    page.feed(response.text)
    assert not page.seen & {"script", "iframe", "object", "form", "img", "link"}
    assert not page.attributes & {"style", "onclick", "onload", "src"}
    assert {operation["operationId"] for operation in operations(document).values()} <= page.ids
    assert CODES.keys() <= page.ids, "where the `type` of a problem leads"
    assert page.targets <= page.ids
    style = response.text.split("<style>")[1].split("</style>")[0]
    import base64
    import hashlib

    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in response.headers["content-security-policy"]


def test_what_was_made_of_a_catalog_goes_with_it(api: Api, start_api: Callable[..., Api]) -> None:
    """Would fail with a cache of the process: two applications would share it, and it would never let a catalog go."""
    own = start_api(api.database, api.demo)
    services = own.app.state.services
    with own.person().client() as client:
        assert client.get("/openapi.json").status_code == 200
        assert client.get("/api/v1/members").status_code == 200
    catalog = weakref.ref(services.database._catalog)
    services.database._catalog = None
    gc.collect()
    assert catalog() is None
