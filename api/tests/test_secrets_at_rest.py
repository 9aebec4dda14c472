"""Nothing of a password, token, code or cookie is written anywhere: not in a file of PostgreSQL's data directory, its
write-ahead log and server log included, with everything logged that can be; not in a row, an answer that refuses, a
line of the API's log or a metric.

What is searched for are marked values as they are, in hexadecimal, in base64 at each alignment, and the bytes that they
stand for. That the search finds what is there, the name of a tenant shows.
"""

import base64
import json
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from limena import api_key_format, passwords
from limena.deploy import deploy
from limena.embedded import PostgresServer
from support.api import Api
from support.csrf import HEADER
from support.databases import Database
from support.people import claims, json_of, mail_token

AUTH = "/api/v1/auth"
LOGGING = {
    "log_statement": "all",
    "log_min_duration_statement": "0",
    "log_parameter_max_length": "-1",
    "log_parameter_max_length_on_error": "-1",
    "log_min_error_statement": "debug5",
    "full_page_writes": "on",
    "wal_keep_size": "1GB",
}
PASSWORD, CHANGED, RESET, WRONG = (f"{word} marmot marked 47 quilts" for word in ("violet", "ochre", "indigo", "umber"))


def test_nothing_secret_is_in_the_data_directory_the_logs_the_rows_or_an_error(
    start_server: Callable[..., PostgresServer], start_api: Callable[..., Api], caplog: pytest.LogCaptureFixture
) -> None:
    database = Database(start_server(**LOGGING), "limena")
    deploy(database.dsn(), environment="development", echo=lambda line: None)
    with caplog.at_level(logging.DEBUG):
        api = start_api(database, {}, LIMENA_REGISTRATION="verified")
        began = time.time()
        secrets, answers = a_persons_day(api)
        metrics = httpx.get(f"{api.base_url}/metrics").text
    with database.connect() as connection:
        connection.execute("checkpoint")
        connection.execute("select pg_switch_wal()")
        connection.execute("checkpoint")
        tables = connection.execute(
            "select c.oid::regclass::text from pg_class as c"
            " where c.relkind = 'r' and c.relnamespace::regnamespace::text like 'limena%'"
        ).fetchall()
        rows = {
            name: str(connection.execute(f"select to_jsonb(t)::text from {name} as t".encode()).fetchall()).encode()
            for (name,) in tables
        }
    api_log = "\n".join(caplog.handler.format(one) for one in caplog.records if not one.name.startswith("http"))
    places = {
        **{f"the table {name}": content for name, content in rows.items()},
        "the API's log": api_log.encode(),
        "the metrics": metrics.encode(),
        **{f"the answer {number}: {one.request.url}": one.content for number, one in enumerate(answers)},
        **dict(files_since(database.server.data_dir, began)),
    }

    with_the_marker = [place for place, content in places.items() if b"Marked Tenant" in content]
    assert any("/pg_wal/" in place for place in with_the_marker)
    assert any("/base/" in place for place in with_the_marker)
    assert any(place.endswith("/log") for place in with_the_marker)
    assert "the table limena.audit_logs" in "".join(with_the_marker)
    assert "/api/v1/auth/login" in api_log
    assert len(answers) > 15

    found = [
        (name, place)
        for name, secret in secrets.items()
        for form in forms_of(secret)
        for place, content in places.items()
        if form in content
    ]
    assert not found, sorted({(name, place[-40:]) for name, place in found})


def a_persons_day(api: Api) -> tuple[dict[str, str], list[httpx.Response]]:
    """All that someone does with secrets, and what goes wrong with them: secrets by name, answers that refuse."""
    secrets: dict[str, str] = {"password": PASSWORD, "changed": CHANGED, "reset": RESET, "wrong": WRONG}
    refused: list[httpx.Response] = []
    body = {"email": "marked@example.com", "display_name": "Marked Person", "tenant_name": "Marked Tenant"}
    browser, stranger = api.client(), api.client()

    def note(client: httpx.Client, moment: str) -> None:
        for cookie in client.cookies.jar:
            if cookie.value:
                secrets[f"{cookie.name} {moment}"] = cookie.value
        for name, value in list(secrets.items()):
            if name.startswith(("limena_refresh", "access token")):
                secrets[f"sid of {name}"] = claims(value)["sid"]
                secrets[f"jti of {name}"] = claims(value)["jti"]

    def refuse(client: httpx.Client, method: str, path: str, **options: object) -> None:
        answer = client.request(method, path, **options)  # type: ignore[arg-type]
        assert 400 <= answer.status_code < 500, (path, answer.text)
        refused.append(answer)

    # In: a registration, its link, log-ins that fail and one that does not.
    assert browser.post(f"{AUTH}/register", json=body | {"password": PASSWORD}).status_code == 202
    note(browser, "registered")
    secrets["link of the registration"] = link = mail_token(api, body["email"], "registration")
    refuse(stranger, "POST", f"{AUTH}/verify", json={"token": link})
    verified = browser.post(f"{AUTH}/verify", json={"token": link})
    assert verified.status_code == 200, verified.text
    secrets["access token"] = json_of(verified)["access_token"]
    note(browser, "verified")
    refuse(stranger, "POST", f"{AUTH}/verify", json={"token": link})
    for attempt in ({"email": body["email"], "password": WRONG}, {"email": PASSWORD, "password": WRONG}):
        refuse(stranger, "POST", f"{AUTH}/login", json=attempt)
    logged_in = browser.post(f"{AUTH}/login", json={"email": body["email"], "password": PASSWORD})
    secrets["access token 2"] = token = json_of(logged_in)["access_token"]
    note(browser, "logged in")
    refreshed = browser.post(f"{AUTH}/refresh")
    secrets["access token 3"] = json_of(refreshed)["access_token"]
    note(browser, "refreshed")
    secrets["csrf"] = json_of(browser.get(f"{AUTH}/csrf"))["csrf_token"]

    # Keys, and secrets where they do not belong: paths, queries, fields, names, headers.
    browser.headers["Authorization"] = f"Bearer {token}"
    made = browser.post("/api/v1/api-keys", json={"name": "Marked key", "scopes": ["tenant:read"]})
    assert made.status_code == 201, made.text
    secrets["key"] = key = json_of(made)["key"]
    secrets["unknown key"] = unknown = api_key_format.generate().key
    assert stranger.get("/api/v1/me", headers={"Authorization": f"Bearer {key}"}).status_code == 200
    refuse(stranger, "GET", "/api/v1/me", headers={"Authorization": f"Bearer {unknown}"})
    refuse(stranger, "GET", "/api/v1/api-keys", headers={"Authorization": f"Bearer {key}"})
    for secret in (PASSWORD, token, key, link):
        refuse(stranger, "GET", f"/api/v1/me/{secret}")
        refuse(browser, "GET", "/api/v1/api-keys", params={"access_token": secret})
        refuse(browser, "GET", "/api/v1/api-keys", params={"limit": secret})
        refuse(browser, "DELETE", f"/api/v1/api-keys/{secret}")
        refuse(browser, "POST", "/api/v1/api-keys", json={"name": [secret], "scopes": secret})
        refuse(browser, "POST", f"{AUTH}/tenant", json={"tenant_id": secret})
        refuse(stranger, "POST", f"{AUTH}/login", json=[secret])
        refuse(stranger, "POST", f"{AUTH}/login", content=json.dumps(secret)[:-1])
        refuse(stranger, "POST", f"{AUTH}/verify", json={"token": secret, "password": PASSWORD})
        refuse(stranger, "POST", f"{AUTH}/login", json={}, headers={HEADER: secret.replace("\n", "")})
        refuse(stranger, "GET", "/api/v1/me", headers={"Authorization": f"Basic {secret}"})

    # Passwords.
    refuse(browser, "POST", f"{AUTH}/password", json={"current_password": WRONG, "new_password": CHANGED})
    refuse(browser, "POST", f"{AUTH}/password", json={"current_password": PASSWORD, "new_password": "Marked Tenant"})
    changed = browser.post(f"{AUTH}/password", json={"current_password": PASSWORD, "new_password": CHANGED})
    assert changed.status_code == 204, changed.text
    assert stranger.post(f"{AUTH}/password/forgot", json={"email": body["email"]}).status_code == 202
    secrets["link of the reset"] = link = mail_token(api, body["email"], "password_reset")
    assert stranger.post(f"{AUTH}/password/reset", json={"token": link, "new_password": RESET}).status_code == 204
    note(stranger, "reset")
    refuse(stranger, "POST", f"{AUTH}/password/reset", json={"token": link, "new_password": RESET})
    refuse(browser, "POST", f"{AUTH}/refresh")
    refuse(browser, "GET", "/api/v1/me")
    for name, password in list(secrets.items())[:4]:
        secrets[f"what bcrypt is given of {name}"] = passwords._key(password).decode()
    return secrets, refused


def files_since(folder: Path, moment: float) -> Iterator[tuple[str, bytes]]:
    """Those that were written to since then: what was not, holds nothing of what came after."""
    for path in folder.rglob("*"):
        if path.is_file() and path.stat().st_mtime >= moment - 1:
            yield str(path), path.read_bytes()


def forms_of(secret: str) -> set[bytes]:
    """The text, and the bytes that it stands for where it is base64url, in each way in which they may be written."""
    texts = {secret.encode()}
    if len(secret) % 4 != 1 and len(secret) >= 43 and secret.replace("-", "").replace("_", "").isalnum():
        texts.add(base64.urlsafe_b64decode(secret + "=" * (-len(secret) % 4)))
    forms: set[bytes] = set()
    for text in texts:
        forms |= {text, text.hex().encode(), text.hex().upper().encode(), json.dumps(text.decode("latin-1")).encode()}
        for offset in range(3):
            # The characters of base64 that depend on nothing but the text.
            encoded = base64.b64encode(bytes(offset) + text)
            inner = encoded[-(-offset * 8 // 6) : (offset + len(text)) * 8 // 6]
            forms |= {inner, inner.replace(b"+", b"-").replace(b"/", b"_")}
    return forms
