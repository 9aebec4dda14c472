"""No credential of a third party persists in plain text (design.md, promise 5), and a dump without the salts opens
nothing, whoever has the master key (section 6). Searched on disk, after a checkpoint."""

import base64
import logging
import secrets
import subprocess
from collections.abc import Callable
from uuid import UUID

import httpx
import pytest

from limena import master_key_rotation
from limena.deploy import deploy
from limena.embedded import PostgresServer
from limena.master_key_files import new_entry
from limena.vault import Place, Sealed, TextSource, UnreadableCredential, Vault
from support.api import Api
from support.databases import Database
from support.oauth import Provider
from support.traces import dump_of, files_of, spellings, traces
from test_http_secrets import EVERYTHING

OIDC = "/api/v1/integrations/oidc"


def test_the_search_finds_what_is_there() -> None:
    secret = "marked-0123456789"
    for text in (secret.encode(), secret.encode().hex().encode(), *(spellings(secret.encode()))):
        assert list(traces({"it": secret}, {"there": b"x" + text + b"y"})) == ["it is in there"]
    for before in range(6):
        for behind in range(6):
            text = base64.b64encode(b"a" * before + secret.encode() + b"z" * behind)
            assert list(traces({"it": secret}, {"there": text})) == ["it is in there"]
    assert list(traces({"it": secret}, {"there": b"marked-012345678"})) == []


def test_no_credential_is_written_anywhere(
    start_server: Callable[..., PostgresServer],
    start_api: Callable[..., Api],
    provider: Provider,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """After connecting, using, rotating and failing; with everything in the server's log that can be."""
    database = Database(start_server(**EVERYTHING), "limena")
    deploy(database.dsn(), environment="development", echo=lambda line: None)
    first, second = new_entry(1), new_entry(2)
    api_key = "sk-marked-" + secrets.token_hex(16)
    replaced = "sk-marked-" + secrets.token_hex(16)
    refused = "sk-marked-refused \x7f" + secrets.token_hex(16)
    answers: list[httpx.Response] = []
    with caplog.at_level(logging.DEBUG):
        api = start_api(database, LIMENA_MASTER_KEYS=f"{first} {second}", **provider.environment())
        provider.allow(api.base_url)
        person = api.person()
        with person.client() as client, api.client() as stranger:
            label = "marked-label"
            openai = "/api/v1/integrations/openai"
            answers.append(client.put(openai, json={"secret": replaced, "label": label}))
            answers.append(client.put(openai, json={"secret": api_key, "label": label}))
            answers.append(client.put(openai, json={"secret": refused, "label": label}))
            answers.append(client.put(openai, json={"secret": api_key, "label": " bad"}))
            denied = provider.consent(client.post(f"{OIDC}/authorize").json()["authorization_url"], deny=True)
            answers.append(client.post(f"{OIDC}/callback", json={"state": denied["state"], "error": denied["error"]}))
            query = provider.consent(client.post(f"{OIDC}/authorize").json()["authorization_url"])
            answers.append(client.post(f"{OIDC}/callback", json=query))
            answers.append(client.post(f"{OIDC}/callback", json=query))
            lost = provider.consent(client.post(f"{OIDC}/authorize").json()["authorization_url"])
            provider.codes.clear()
            answers.append(client.post(f"{OIDC}/callback", json=lost))
            assert client.post(f"{OIDC}/access-token").status_code == 200
            for _ in range(2):
                with database.connect() as connection:
                    connection.execute("update limena.integration_credentials set expires_at = now()")
                assert client.post(f"{OIDC}/access-token").status_code == 200
            done = master_key_rotation.rotate(
                database.dsn("limena_maintenance"),
                Vault(TextSource(f"{second} {first}")),
                progress=lambda done, total: None,
            )
            assert (done.resealed, done.unreadable) == (3, 0)
            assert client.post(f"{OIDC}/access-token").status_code == 200
            with database.connect() as connection:
                connection.execute("update limena.integration_credentials set expires_at = now()")
            provider.revoke_everything()
            answers.append(client.post(f"{OIDC}/access-token"))
            answers.append(client.get("/api/v1/integrations"))
            answers.append(client.get("/api/v1/audit-logs?limit=200"))
            answers.append(stranger.get("/metrics"))
            answers.append(client.delete(OIDC))
    marked: dict[str, str | bytes] = {
        "the API key": api_key,
        "the key that was replaced": replaced,
        "the key that was refused": refused,
        "the password": person.password,
        "the client secret": provider.client_secret,
        "the code": query["code"],
        "the code that was refused": lost["code"],
        "the state": query["state"],
        **{f"code verifier {n}": verifier for n, verifier in enumerate(provider.verifiers)},
        **{f"access token {n}": token.access_token for n, token in enumerate(provider.tokens)},
        **{f"refresh token {n}": token.refresh_token or "" for n, token in enumerate(provider.tokens)},
        "master key 1": TextSource(first).load().keys[1],
        "master key 2": TextSource(second).load().keys[2],
    }
    assert len(provider.tokens) == 3
    assert len(provider.verifiers) == 2

    files = files_of(database)
    control = {"the label": label}
    assert any("base/" in found for found in traces(control, files)), "the search sees the heap"
    assert any("pg_wal/" in found for found in traces(control, files)), "and the WAL"
    assert any("log" in found for found in traces(control, files)), "and the server's log"
    # Authlib's and werkzeug's loggers are the provider's: Authlib's client has none. httpcore and httpx are what this
    # test calls with.
    others = ("authlib.", "httpcore.", "httpx", "werkzeug")
    api_log = "\n".join(
        caplog.handler.format(one) for one in caplog.records if one.name == "httpx2" or not one.name.startswith(others)
    )
    assert "/api/v1/integrations/{provider}/callback" in api_log
    texts = {"the dump": dump_of(database), "the API's log": api_log.encode()}
    texts |= {f"answer {n}": answer.content for n, answer in enumerate(answers)}
    assert list(traces(marked, files | texts)) == []


def credentials(database: Database) -> list[tuple[Sealed, Place, bytes]]:
    with database.connect() as connection:
        rows = connection.execute(
            "select c.key_version, c.ciphertext, c.tenant_id, c.integration_id, c.field, s.salt"
            " from limena.integration_credentials as c left join limena_private.tenant_salts as s using (tenant_id)"
        ).fetchall()
    return [
        (Sealed(version, bytes(blob)), Place(UUID(str(tenant)), UUID(str(integration)), field), bytes(salt or b""))
        for version, blob, tenant, integration, field, salt in rows
    ]


def opened(vault: Vault, database: Database) -> int:
    count = 0
    for sealed, place, salt in credentials(database):
        try:
            vault.open(sealed, place, salt)
        except UnreadableCredential:
            continue
        count += 1
    return count


def test_a_dump_without_the_salts_opens_nothing(
    fresh_database: Callable[[], Database],
    empty_database: Callable[[], Database],
    start_api: Callable[..., Api],
    provider: Provider,
) -> None:
    """With the master key. And one with the salts opens: which is why they are kept apart."""
    keys = new_entry(1)
    vault = Vault(TextSource(keys))
    database = fresh_database()
    api = start_api(database, LIMENA_MASTER_KEYS=keys, **provider.environment())
    for tenant in (1, 2):
        with api.person(tenant=tenant).client() as client:
            for name in ("openai", "anthropic"):
                assert client.put(f"/api/v1/integrations/{name}", json={"secret": "sk-marked"}).status_code == 200
    assert opened(vault, database) == 4

    def restored(*options: str) -> Database:
        copy = empty_database()
        subprocess.run(
            [database.server.bin_dir / "psql", "-X", "-q", "-d", copy.dsn()],
            input=dump_of(database, *options),
            capture_output=True,
            check=True,
        )
        assert len(credentials(copy)) == 4, "the ciphertexts are all there"
        return copy

    assert opened(vault, restored()) == 4, "the control: salts and ciphertexts together open"
    assert opened(vault, restored("--exclude-table-data=limena_private.tenant_salts")) == 0

    # One tenant is erased: its salt is gone, the other's credentials open. What an old dump has of it opens no more
    # with the salts that there are.
    before = credentials(database)
    gone = api.person().tenant_id
    with database.connect() as connection:
        connection.execute("set role limena_owner")
        connection.execute("select limena_private.erase_tenant(%s)", [gone])
    assert opened(vault, database) == 2
    assert {str(place.tenant_id) for _, place, _ in credentials(database)} == {api.person(tenant=2).tenant_id}
    with database.connect() as connection:
        salts = dict(connection.execute("select tenant_id::text, salt from limena_private.tenant_salts").fetchall())
    assert gone not in salts
    for sealed, place, _ in before:
        if str(place.tenant_id) == gone:
            for salt in salts.values():
                with pytest.raises(UnreadableCredential):
                    vault.open(sealed, place, bytes(salt))
