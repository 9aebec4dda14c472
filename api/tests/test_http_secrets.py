"""No secret persists (design.md, promise 5): not in any table, not in PostgreSQL's log with everything switched on,
not in the API's log, not in an error."""

import json
import logging
from collections.abc import Callable

import httpx
import jwt
import pytest

from limena import api_key_format
from limena.deploy import deploy
from limena.embedded import PostgresServer
from support.api import Api
from support.databases import Database

EVERYTHING = {
    "log_statement": "all",
    "log_min_duration_statement": "0",
    "log_parameter_max_length": "-1",
    "log_parameter_max_length_on_error": "-1",
    "log_min_error_statement": "debug5",
    "log_min_messages": "debug1",
    "log_error_verbosity": "verbose",
    "debug_print_plan": "on",
}


def test_no_secret_is_written_anywhere(
    start_server: Callable[..., PostgresServer], start_api: Callable[..., Api], caplog: pytest.LogCaptureFixture
) -> None:
    database = Database(start_server(**EVERYTHING), "limena")
    deploy(database.dsn(), environment="development", echo=lambda line: None)
    answers: list[httpx.Response] = []
    with caplog.at_level(logging.DEBUG):
        own = start_api(database)
        person = own.person()
        log_in = person.log_in()
        refresh = log_in.headers["set-cookie"].partition("=")[2].partition(";")[0]
        with person.client() as client, own.client() as stranger:
            made = client.post("/api/v1/api-keys", json={"name": "n", "scopes": ["ai:read"]}).json()["key"]
            unknown = api_key_format.generate().key
            wrong = "a password that is wrong"
            for method, path, key, body in [
                ("GET", "/api/v1/me", made, None),
                ("GET", "/api/v1/audit-logs", made, None),
                ("GET", "/api/v1/me", unknown, None),
                ("POST", "/api/v1/api-keys", made, {"name": "x", "scopes": ["ai:write"]}),
                ("POST", "/api/v1/api-keys", made, {"name": "x", "scopes": ["nonsense"]}),
                ("POST", "/api/v1/api-keys", made, {"name": "x", "scopes": ["ai:read"], "expires_at": made}),
                ("POST", "/api/v1/auth/login", "x", {"email": person.email, "password": wrong}),
                ("POST", "/api/v1/auth/login", "x", {"email": "\u0000", "password": person.password}),
                ("POST", "/api/v1/auth/login", "x", {person.password: wrong}),
                ("POST", "/api/v1/auth/login", "x", [person.password]),
            ]:
                headers = {"Authorization": f"Bearer {key}"}
                answers.append(stranger.request(method, path, json=body, headers=headers))
                assert answers[-1].status_code < 500
    token = jwt.decode(person.token, options={"verify_signature": False})
    secrets = {
        "password": person.password,
        "wrong password": wrong,
        "key": made,
        "unknown key": unknown,
        "access token": person.token,
        "sid": token["sid"],
        "refresh token": refresh,
        "jti of the refresh token": jwt.decode(refresh, options={"verify_signature": False})["jti"],
    }

    server_log = database.server.log_path.read_text(errors="replace")
    assert "enter_api_key" in server_log, "the log has the statements"
    assert api_key_format.describe(made).key_hash.hex() in server_log, "the log has the parameters"
    with database.connect() as connection:
        tables = connection.execute(
            "select c.oid::regclass::text from pg_class as c"
            " where c.relkind = 'r' and c.relnamespace::regnamespace::text like 'limena%'"
        ).fetchall()
        rows = {
            name: str(connection.execute(f"select to_jsonb(t)::text from {name} as t".encode()).fetchall())
            for (name,) in tables
        }
    # Not those of the client that this test is.
    api_log = "\n".join(
        caplog.handler.format(record) for record in caplog.records if not record.name.startswith("http")
    )
    assert "/api/v1/auth/login" in api_log
    assert len(rows) > 10
    # An error repeats the name of a field that it does not know: that is the client's own, and told to nobody else.
    told = [json.dumps(answer.json()) for answer in answers if "field" not in answer.text]
    for name, secret in secrets.items():
        assert secret not in server_log, f"{name} is in PostgreSQL's log"
        assert secret not in api_log, f"{name} is in the API's log"
        for table, content in rows.items():
            assert secret not in content, f"{name} is in {table}"
        assert not any(secret in one for one in told), f"{name} is in an answer"
