"""The HTTP side of the contract, through a real socket: headers, authentication, the order of checks, and that each
tenant sees its own."""

import base64
import json
import logging
import re
import socket
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
import pytest

from limena import api_key_format
from limena.errors import CODES
from limena.routing import ProcedureRoute
from limena.tokens import verify_access_token
from support.api import Api
from support.databases import Database
from support.people import register

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
NOWHERE = "/api/v1/api-keys/11111111-1111-4111-8111-111111111111"


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Holds an answer to RFC 9457 and to the contract, and returns it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document.keys() - {"errors", "permission"} == {"type", "title", "status", "detail", "code", "request_id"}
    assert document["status"] == status
    assert document["code"] == code
    assert document["type"].endswith(f"/docs#{code}")
    assert document["title"] == CODES[code].title
    assert document["request_id"] == response.headers["x-request-id"]
    return document


@pytest.mark.parametrize("path", ["/healthz", "/api/v1/me", "/nowhere", "/api/v1/auth/login", "/docs", "/openapi.json"])
def test_every_answer_has_the_headers(api: Api, path: str) -> None:
    with api.client() as client:
        headers = client.get(path, headers={"X-Request-Id": "mine"}).headers
    assert UUID.fullmatch(headers["x-request-id"])
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "server" not in headers
    assert "strict-transport-security" not in headers  # development has no TLS
    if path.startswith("/api/") or path == "/nowhere":
        assert headers["cache-control"] == "no-store"


def test_production_sends_hsts_and_a_secure_cookie(api: Api, start_api: Callable[..., Api]) -> None:
    production = start_api(
        api.database, api.demo, LIMENA_ENV="production", LIMENA_BASE_URL="https://x.example", LIMENA_BCRYPT_COST="10"
    )
    with production.client() as client:
        hsts = client.get("/nowhere").headers["strict-transport-security"]
    match = re.fullmatch(r"max-age=(\d+); includeSubDomains", hsts)
    assert match is not None
    assert int(match[1]) >= 31_536_000
    cookies = production.person().log_in().headers.get_list("set-cookie")
    names = ["__Secure-limena_refresh", "__Host-limena_csrf", "__Secure-limena_device"]
    assert [cookie.partition("=")[0] for cookie in cookies] == names
    assert all("; Secure" in cookie for cookie in cookies)


def test_health_and_readiness(api: Api) -> None:
    with api.client() as client:
        assert client.get("/healthz").json() == {"status": "alive"}
        assert client.get("/readyz").json() == {"status": "ready"}


def test_a_database_of_another_version_is_not_ready(
    fresh_database: Callable[[], Database], api: Api, start_api: Callable[..., Api]
) -> None:
    database = fresh_database()
    with database.connect() as connection:
        connection.execute("update limena_private.deployed_files set sha256 = repeat('0', 64)")
    with start_api(database, {}).client() as client:
        assert "limena deploy" in problem(client.get("/readyz"), 503, "unavailable")["detail"]


def test_a_database_without_limena_is_not_ready_and_needs_no_restart(
    template: Database, empty_database: Callable[[], Database], start_api: Callable[..., Api]
) -> None:
    from limena.deploy import deploy

    database = empty_database()
    with start_api(database, {}).client() as client:
        response = client.get("/readyz")
        problem(response, 503, "unavailable")
        assert int(response.headers["retry-after"]) > 0
        deploy(database.dsn(), environment="development", echo=lambda line: None)
        assert client.get("/readyz").status_code == 200


def test_unknown_paths_and_methods(api: Api) -> None:
    with api.client() as client:
        for path in ["/nowhere", "/api/v1/api-keys/", "/api/v1/api-keys/a/b", "/api", "/docs/"]:
            problem(client.get(path), 404, "not_found")
        response = client.put("/api/v1/api-keys")
        problem(response, 405, "method_not_allowed")
        assert response.headers["allow"] == "GET, HEAD, OPTIONS, POST"
        options = client.options("/api/v1/api-keys/x")
        assert (options.status_code, options.content, options.headers["allow"]) == (204, b"", "DELETE, OPTIONS")


def test_head_is_get_without_a_body(api: Api) -> None:
    with api.person().client() as client:
        head, get = client.head("/api/v1/me"), client.get("/api/v1/me")
    assert head.status_code == get.status_code == 200
    assert head.content == b""
    assert head.headers["content-length"] == get.headers["content-length"]


def test_log_in(api: Api) -> None:
    person = api.person()
    response = person.log_in()
    answer = response.json()
    assert answer.keys() == {"user", "tenant", "access_token", "token_type", "expires_in"}
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 900)
    assert answer["user"]["email"] == person.email
    assert answer["tenant"]["id"] == person.tenant_id

    token = verify_access_token(api.app.state.services.keys, answer["access_token"], issuer=api.base_url)
    assert str(token.tenant_id) == person.tenant_id
    assert str(token.user_id) == answer["user"]["id"]

    name, _, rest = response.headers.get_list("set-cookie")[0].partition("=")
    assert name == "limena_refresh"
    attributes = {part.strip().lower() for part in rest.split(";")[1:]}
    assert attributes == {"httponly", "samesite=lax", "path=/api/v1/auth/", "max-age=604800"}
    refresh = jwt.decode(rest.split(";")[0], options={"verify_signature": False})
    assert refresh["exp"] - refresh["iat"] == 604_800
    with api.database.connect() as connection:
        stored = connection.execute(
            "select count(*) from limena.refresh_tokens where token_hash = sha256(convert_to(%s, 'UTF8'))",
            [refresh["jti"]],
        ).fetchone()
    assert stored == (1,)


def test_log_in_into_a_tenant_of_choice(api: Api) -> None:
    person, other = api.person(), api.person(tenant=2)
    credentials = {"email": person.email, "password": person.password}
    with api.client() as client:
        mine = client.post("/api/v1/auth/login", json={**credentials, "tenant_id": person.tenant_id})
        assert mine.json()["tenant"]["id"] == person.tenant_id
        theirs = client.post("/api/v1/auth/login", json={**credentials, "tenant_id": other.tenant_id})
        problem(theirs, 401, "unauthenticated")
        nobody = client.post("/api/v1/auth/login", json={**credentials, "tenant_id": str(uuid.uuid4())})
        problem(nobody, 401, "unauthenticated")


def test_a_wrong_log_in_does_not_tell_what_was_wrong(api: Api) -> None:
    person = api.person()
    with api.client() as client:
        answers = [
            client.post("/api/v1/auth/login", json={"email": email, "password": password})
            for email, password in [
                (person.email, "wrong"),
                ("nobody@nowhere.example", "wrong"),
                ("nobody@nowhere.example", person.password),
                ("", ""),
                (person.email, ""),
                (person.email, "x" * 60_000),
            ]
        ]
    told = [problem(answer, 401, "unauthenticated") | {"request_id": ""} for answer in answers]
    assert all(one == told[0] for one in told)
    assert all(answer.headers["www-authenticate"] == 'Bearer realm="limena"' for answer in answers)
    assert all("set-cookie" not in answer.headers for answer in answers)


def test_a_failed_log_in_is_on_record_and_its_password_is_not(api: Api) -> None:
    person = api.person()
    with api.client() as client:
        body = {"email": person.email, "password": "a wrong password"}
        request_id = client.post("/api/v1/auth/login", json=body).headers["x-request-id"]
    with api.database.connect() as connection:
        rows = connection.execute(
            "select action, ip::text, to_jsonb(a)::text from limena.audit_logs as a where request_id = %s", [request_id]
        ).fetchall()
    assert [(action, ip) for action, ip, _ in rows] == [("session.login_failed", "127.0.0.1/32")]
    assert all("a wrong password" not in text for _, _, text in rows)


def test_someone_without_a_tenant(api: Api) -> None:
    admin = api.demo["platform_admin"]
    with api.client() as client:
        answer = client.post("/api/v1/auth/login", json={"email": admin["email"], "password": admin["password"]}).json()
        assert answer["tenant"] is None
        client.headers["Authorization"] = f"Bearer {answer['access_token']}"
        assert "tid" not in jwt.decode(answer["access_token"], options={"verify_signature": False})
        me = client.get("/api/v1/me").json()
        assert (me["tenant"], me["role"], me["permissions"]) == (None, None, [])
        denied = client.get("/api/v1/members")
        assert problem(denied, 403, "forbidden")["permission"] == "members:read"


def test_me_with_a_session_and_with_a_key(api: Api) -> None:
    owner = api.person()
    with owner.client() as client:
        me = client.get("/api/v1/me").json()
    assert me["user"]["email"] == owner.email
    assert (me["tenant"]["id"], me["role"]) == (owner.tenant_id, "owner")
    with owner.client(owner.api_key) as client:
        me = client.get("/api/v1/me").json()
    assert me["api_key"]["prefix"] == (owner.api_key or "")[:10]
    assert me["tenant"]["id"] == owner.tenant_id
    with owner.client(api.make_key("members:read")) as client:
        assert client.get("/api/v1/me").json()["permissions"] == ["members:read"]


def test_the_life_of_an_api_key(api: Api) -> None:
    with api.person("admin").client() as admin:
        body = {"name": "Grüße 🔑", "scopes": ["members:read", "ai:use"], "expires_at": "2031-01-31T12:00:00+02:00"}
        response = admin.post("/api/v1/api-keys", json=body)
        assert response.status_code == 201
        made = response.json()
        key = made.pop("key")
        assert api_key_format.parse(key) is not None
        assert (made["name"], made["scopes"]) == ("Grüße 🔑", ["ai:use", "members:read"])
        assert made["expires_at"] == "2031-01-31T10:00:00+00:00"

        listed = admin.get("/api/v1/api-keys", params={"limit": 1}).json()
        assert listed["items"] == [made]
        assert key not in json.dumps(admin.get("/api/v1/api-keys").json())

        with httpx.Client(base_url=api.base_url, headers={"Authorization": f"Bearer {key}"}) as program:
            assert program.get("/api/v1/members").status_code == 200
            assert program.get("/api/v1/api-keys").status_code == 403
            # Revoked, and refused by the very next request on a connection that has just worked.
            revoked = admin.delete(f"/api/v1/api-keys/{made['id']}")
            assert (revoked.status_code, revoked.content) == (204, b"")
            refused = program.get("/api/v1/members")
            problem(refused, 401, "invalid_api_key")
            assert 'error="invalid_token"' in refused.headers["www-authenticate"]
        assert admin.delete(f"/api/v1/api-keys/{made['id']}").status_code == 204
        assert admin.get("/api/v1/api-keys", params={"limit": 1}).json()["items"][0]["revoked_at"] is not None


def test_a_key_cannot_have_a_scope_that_its_maker_lacks(api: Api) -> None:
    with api.person("admin").client() as admin:
        denied = admin.post("/api/v1/api-keys", json={"name": "too much", "scopes": ["tenant:own"]})
    assert problem(denied, 403, "forbidden")["permission"] == "tenant:own"


def test_lists_go_on_where_they_stopped(api: Api) -> None:
    with api.person().client() as client:
        for path in ["/api/v1/members", "/api/v1/audit-logs"]:
            whole = client.get(path, params={"limit": 200}).json()["items"][:7]
            pieces: list[dict[str, Any]] = []
            cursor: dict[str, str] = {}
            while len(pieces) < len(whole):
                page = client.get(path, params={"limit": 2, **cursor}).json()
                pieces += page["items"]
                cursor = {"after": page["next"]} if page["next"] else {}
                if not cursor:
                    break
            assert pieces[: len(whole)] == whole


def test_audit_logs_can_be_filtered(api: Api) -> None:
    with api.person().client() as client:
        made = client.post("/api/v1/api-keys", json={"name": "filtered", "scopes": ["ai:read"]})
        rows = client.get(
            "/api/v1/audit-logs",
            params={"entity_type": "api_key", "entity_id": made.json()["id"], "from": made.json()["created_at"]},
        ).json()["items"]
        assert [(row["action"], row["request_id"]) for row in rows] == [
            ("api_key.created", made.headers["x-request-id"])
        ]
        assert client.get("/api/v1/audit-logs", params={"to": "2001-01-01T00:00:00Z"}).json()["items"] == []


def test_each_tenant_sees_its_own(api: Api) -> None:
    """Every list, asked as one tenant for what the other has."""
    first, second = api.person(), api.person(tenant=2)
    theirs = api.make_key("members:read", tenant=2)
    with first.client() as a, second.client() as b:
        for path, name in [("/api/v1/members", "user_id"), ("/api/v1/api-keys", "id"), ("/api/v1/audit-logs", "id")]:
            # An operator's access to all tenants is announced to all of them.
            of_a, of_b = (
                {
                    row[name]
                    for row in client.get(path, params={"limit": 200}).json()["items"]
                    if row.get("action") != "operator.all_access_opened"
                }
                for client in (a, b)
            )
            assert of_a
            assert of_b
            assert not of_a & of_b
        key = next(row for row in b.get("/api/v1/api-keys").json()["items"] if row["prefix"] == theirs[:10])
        # Another tenant's key does not exist, to the letter.
        theirs_told = problem(a.delete(f"/api/v1/api-keys/{key['id']}"), 404, "not_found")
        nobodys_told = problem(a.delete(NOWHERE), 404, "not_found")
        assert theirs_told | {"request_id": ""} == nobodys_told | {"request_id": ""}
        with second.client(theirs) as program:
            assert program.get("/api/v1/members").status_code == 200
        # A cursor of the other tenant's opens nothing.
        cursor = b.get("/api/v1/api-keys", params={"limit": 1}).json()["next"]
        if cursor:
            assert key["id"] not in a.get("/api/v1/api-keys", params={"after": cursor}).text


def _header(**parts: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).rstrip(b"=").decode()


NO_CREDENTIALS: list[tuple[list[tuple[bytes, bytes]], str]] = [
    ([], "unauthenticated"),
    ([(b"Authorization", b"")], "unauthenticated"),
    ([(b"Authorization", b"Bearer")], "unauthenticated"),
    ([(b"Authorization", b"Basic YTpi")], "unauthenticated"),
    ([(b"Authorization", b"Bearer nonsense")], "unauthenticated"),
    ([(b"Authorization", f"Bearer {_header(alg='none')}.{_header(sub='x')}.".encode())], "unauthenticated"),
    ([(b"Authorization", b"Bearer " + b"a" * 20_000)], "unauthenticated"),
    ([(b"Authorization", b"Bearer a"), (b"Authorization", b"Bearer b")], "unauthenticated"),
    ([(b"Authorization", b"Bearer \xff\xfe")], "unauthenticated"),
    ([(b"Authorization", b"Bearer lmn_short")], "invalid_api_key"),
    ([(b"Authorization", b"Bearer lmn_" + b"0" * 49)], "invalid_api_key"),
    ([(b"Cookie", b"access_token=x; limena_refresh=y")], "unauthenticated"),
]


def test_what_is_no_credential_is_refused_without_a_query(api: Api, start_api: Callable[..., Api]) -> None:
    """The database behind this server does not exist: had anybody asked it, the answer would be 503."""
    nowhere = start_api(Database(api.database.server, "no_such_database"), {})
    with nowhere.client() as client:
        for headers, code in NO_CREDENTIALS:
            for method, path in [("GET", "/api/v1/me"), ("POST", "/api/v1/api-keys"), ("DELETE", NOWHERE)]:
                response = client.request(method, path, headers=headers)
                problem(response, 401, code)
                assert response.headers["www-authenticate"].startswith('Bearer realm="limena"')


def test_a_token_of_another_key_is_refused(api: Api) -> None:
    claims = jwt.decode(api.person().token, options={"verify_signature": False})
    header = jwt.get_unverified_header(api.person().token)
    from cryptography.hazmat.primitives.asymmetric import rsa

    other = rsa.generate_private_key(public_exponent=65537, key_size=3072)
    forged = jwt.encode(claims, other, algorithm="RS256", headers=header)
    with api.client() as client:
        response = client.get("/api/v1/me", headers={"Authorization": f"Bearer {forged}"})
    problem(response, 401, "unauthenticated")


def test_an_expired_token_says_so(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from limena import tokens

    with monkeypatch.context() as past:
        past.setattr("time.time", lambda: 1_000_000_000)
        token = tokens.issue_access_token(
            api.app.state.services.keys,
            issuer=api.base_url,
            user_id=uuid.uuid4(),
            tenant_id=None,
            session_secret=tokens.new_session_secret(),
        )
    with api.client() as client:
        problem(client.get("/api/v1/me", headers={"Authorization": f"Bearer {token}"}), 401, "token_expired")


def test_an_ended_session_is_refused_at_once(api: Api) -> None:
    with api.person("member").client() as client:
        assert client.get("/api/v1/me").status_code == 200
        with api.database.connect() as connection:
            connection.execute(
                "update limena.sessions set ended_at = now() where secret_hash = sha256(convert_to(%s, 'UTF8'))",
                [jwt.decode(client.headers["authorization"][7:], options={"verify_signature": False})["sid"]],
            )
        problem(client.get("/api/v1/me"), 401, "session_revoked")


def test_a_lowered_role_and_a_removed_member_count_at_once(
    api: Api, start_api: Callable[..., Api], fresh_database: Callable[[], Database]
) -> None:
    own = start_api(fresh_database())
    admin = own.person("admin")
    with admin.client() as session, admin.client(admin.api_key) as program, own.database.connect() as connection:
        for client in (session, program):
            assert client.get("/api/v1/audit-logs").status_code == 200
        connection.execute(
            """
            update limena.memberships set role = 'viewer'
            where user_id = (select id from limena.users where email = %s)
            """,
            [admin.email],
        )
        for client in (session, program):
            assert problem(client.get("/api/v1/audit-logs"), 403, "forbidden")["permission"] == "audit:read"
            assert client.get("/api/v1/members").status_code == 200
        connection.execute(
            "delete from limena.memberships where user_id = (select id from limena.users where email = %s)",
            [admin.email],
        )
        problem(session.get("/api/v1/members"), 401, "session_revoked")
        problem(program.get("/api/v1/members"), 401, "invalid_api_key")


def test_a_denial_names_the_permission_and_is_on_record(api: Api) -> None:
    with api.person("viewer").client() as viewer:
        response = viewer.get("/api/v1/audit-logs?limit=3")
        told = problem(response, 403, "forbidden")
    assert told["permission"] == "audit:read"
    assert "audit:read" in told["detail"]
    with api.person().client() as owner:
        rows = owner.get("/api/v1/audit-logs", params={"action": "access.denied"}).json()["items"]
    row = next(row for row in rows if row["request_id"] == response.headers["x-request-id"])
    assert row["details"] == {"permission": "audit:read", "route": "GET /api/v1/audit-logs"}
    assert row["actor_label"] == api.person("viewer").email


def routes_with_permission() -> list[ProcedureRoute]:
    from limena.routes import ENDPOINTS

    return [one for one in ENDPOINTS if isinstance(one, ProcedureRoute) and one.permission is not None]


@pytest.mark.parametrize("route", routes_with_permission(), ids=lambda route: route.label)
def test_the_documented_permission_is_the_one_that_counts(api: Api, route: ProcedureRoute) -> None:
    """With every scope but that one: 403 that names it. With that one alone: anything but 403."""
    assert route.permission is not None
    owner = register(api).client
    everything = set(owner.get("/api/v1/me").json()["permissions"])

    def key_of(scopes: set[str]) -> dict[str, str]:
        key = owner.post("/api/v1/api-keys", json={"name": "x", "scopes": sorted(scopes)}).json()["key"]
        return {"Authorization": f"Bearer {key}"}

    alone = {route.permission}
    if route.procedure == "create_invitation":  # nobody gives what they do not hold
        alone |= everything - {"tenant:own"}
    if route.procedure == "transfer_ownership":
        alone |= everything
    if route.procedure == "export_ai_usage":  # nobody exports what they may not read
        alone |= {"ai:read"}
    without, alone_key = key_of(everything - {route.permission}), key_of(alone)
    body = dict(route.example) if route.example else None
    if body and "scopes" in body:
        body["scopes"] = [route.permission]
    if route.procedure == "update_ai_settings":  # lowering a limit is the owner's
        body = {"is_enabled": True}
    path = re.sub(r"\{[a-z_]+\}", "11111111-1111-4111-8111-111111111111", route.path)
    with api.client() as client:
        denied = client.request(route.method, path, json=body, headers=without)
        assert problem(denied, 403, "forbidden")["permission"] == route.permission
        allowed = client.request(route.method, path, json=body, headers=alone_key)
        assert allowed.status_code in (200, 201, 404, 409, 422), allowed.text


class TestOrderOfChecks:
    """401, 413 and 415, 400 and 422, 403, 404: each request has everything wrong from one point on."""

    def test_a_refused_credential_comes_before_bad_input(self, api: Api) -> None:
        revoked = api_key_format.generate().key  # well formed, and nobody's
        with api.client(headers={"Authorization": f"Bearer {revoked}"}) as client:
            for response in [
                client.post("/api/v1/api-keys", content=b"x" * 70_000),
                client.post("/api/v1/api-keys", content=b"{", headers={"Content-Type": "application/json"}),
                client.post("/api/v1/api-keys", json={"nonsense": 1}),
                client.get("/api/v1/api-keys?limit=x"),
                client.delete("/api/v1/api-keys/no-uuid"),
            ]:
                problem(response, 401, "invalid_api_key")

    def test_size_and_type_come_before_content(self, api: Api) -> None:
        with api.person("viewer").client() as viewer:
            problem(viewer.post("/api/v1/api-keys?x=1", content=b"{"), 415, "unsupported_media_type")
            too_large = viewer.post(
                "/api/v1/api-keys", content=b"{" * 70_000, headers={"Content-Type": "application/json"}
            )
            problem(too_large, 413, "payload_too_large")

    def test_bad_fields_come_before_a_missing_permission(self, api: Api) -> None:
        with api.person("viewer").client() as viewer:
            problem(viewer.post("/api/v1/api-keys", json={"name": "x"}), 422, "validation_failed")
            problem(viewer.get("/api/v1/audit-logs?limit=0"), 422, "validation_failed")
            problem(viewer.get("/api/v1/audit-logs?after=x"), 422, "validation_failed")

    def test_a_missing_permission_comes_before_a_missing_thing(self, api: Api) -> None:
        with api.person("viewer").client() as viewer:
            problem(viewer.delete(NOWHERE), 403, "forbidden")
            problem(viewer.delete("/api/v1/api-keys/no-uuid"), 403, "forbidden")
        with api.person().client() as owner:
            problem(owner.delete("/api/v1/api-keys/no-uuid"), 404, "not_found")


def test_no_body_is_read_before_the_credential_is_checked(api: Api) -> None:
    """The answer comes while the body, of which one byte was sent, is still on its way."""
    with socket.create_connection(("127.0.0.1", urlsplit(api.base_url).port or 0), timeout=10) as connection:
        connection.sendall(
            b"POST /api/v1/api-keys HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Authorization: Bearer lmn_x\r\nContent-Length: 60000\r\n\r\n{"
        )
        assert connection.recv(12) == b"HTTP/1.1 401"


def test_a_route_for_sessions_refuses_keys(api: Api, start_api: Callable[..., Api]) -> None:
    route = ProcedureRoute(
        method="GET",
        path="/api/v1/sessions-only",
        tag="identity",
        summary="For people",
        procedure="get_me",
        permission=None,
        accepts_api_keys=False,
        answer="Me",
    )
    own = start_api(api.database, api.demo, endpoints=[route, *start_endpoints()])
    person = own.person()
    with person.client() as session, person.client(person.api_key) as program:
        assert session.get(route.path).status_code == 200
        problem(program.get(route.path), 403, "forbidden")
        problem(program.get(f"{route.path}?x=1"), 422, "validation_failed")
    with person.client(api_key_format.generate().key) as nobody:
        problem(nobody.get(route.path), 401, "invalid_api_key")


def start_endpoints() -> tuple[Any, ...]:
    from limena.routes import ENDPOINTS

    return ENDPOINTS


def test_what_breaks_is_told_without_details(
    api: Api, start_api: Callable[..., Api], caplog: pytest.LogCaptureFixture
) -> None:
    from limena.routing import HandlerRoute

    async def break_down(_request: object) -> Any:
        raise RuntimeError("a secret that an exception holds")

    route = HandlerRoute(
        method="GET", path="/broken", tag="platform", summary="-", description="-", handler=break_down, answer=None
    )
    own = start_api(api.database, api.demo, endpoints=[route])
    with caplog.at_level(logging.DEBUG), own.client() as client:
        response = client.get("/broken")
    told = problem(response, 500, "internal_error")
    assert "secret" not in json.dumps(told)
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "RuntimeError" in caplog.text
    assert told["request_id"] in caplog.text
    assert "a secret that an exception holds" not in caplog.text


def test_no_secret_gets_into_a_log(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    person = api.person()
    with caplog.at_level(logging.DEBUG):
        token = person.token
        key = api.make_key("members:read")
        with person.client(key) as client:
            client.get("/api/v1/members")
            client.get("/api/v1/audit-logs")
            client.get("/api/v1/members?limit=x")
    for secret in (person.password, token, key, token.split(".")[2]):
        assert secret not in caplog.text


def test_two_headers_of_a_user_agent_that_no_column_would_take(api: Api) -> None:
    agent = b"evil\t\xad \xff\xfe " + b"x" * 3_000
    with api.person().client() as client:
        response = client.get("/api/v1/audit-logs?limit=1", headers={b"User-Agent": agent})
        assert response.status_code == 200
        made = client.post(
            "/api/v1/api-keys", json={"name": "ua", "scopes": ["ai:read"]}, headers={b"User-Agent": agent}
        )
        rows = client.get("/api/v1/audit-logs", params={"entity_id": made.json()["id"]}).json()["items"]
    assert rows[0]["user_agent"].startswith("evil ÿþ xxx")
    assert 500 < len(rows[0]["user_agent"]) <= 512


def test_the_key_set_verifies_tokens_and_has_nothing_private(api: Api) -> None:
    with api.client() as client:
        response = client.get("/.well-known/jwks.json")
    assert response.headers["cache-control"].startswith("public")
    keys = response.json()["keys"]
    assert [key.keys() for key in keys] == [{"kty", "use", "alg", "kid", "n", "e"}]
    token = api.person().token
    key = jwt.PyJWK(keys[0])
    assert jwt.decode(token, key, algorithms=["RS256"], audience="limena")["iss"] == api.base_url
