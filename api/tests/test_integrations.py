"""Integrations over HTTP: API keys, and OAuth 2 against an authorization server that is not ours (support.oauth), with
all that goes wrong on the way."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, LiteralString
from uuid import UUID

import httpx
import psycopg
import pytest
from starlette.requests import Request

from limena import (
    ApiKeyCredential,
    NotConnected,
    api_key_format,
    create_tenant_pool,
    open_credential,
    tenant_transaction,
)
from limena.integrations import Credential
from limena.oauth import OAuthClient, _metadata, _tokens
from limena.outbound import Guard
from limena.providers import Endpoints, OAuthProvider, OAuthRegistration
from limena.services import Services
from limena.vault import Place, Sealed, Secret, TextSource, Vault
from support.api import MASTER_KEYS, Api
from support.oauth import Provider
from support.people import Newcomer, audited, register

OIDC = "/api/v1/integrations/oidc"


@pytest.fixture
def someone(api: Api) -> Iterator[Newcomer]:
    new = register(api)
    yield new
    new.client.close()


def begin(client: httpx.Client) -> str:
    answer = client.post(f"{OIDC}/authorize")
    assert answer.status_code == 200, answer.text
    url: str = answer.json()["authorization_url"]
    return url


def connect(client: httpx.Client, provider: Provider) -> dict[str, Any]:
    answer = client.post(f"{OIDC}/callback", json=provider.consent(begin(client)))
    assert answer.status_code == 200, answer.text
    connected: dict[str, Any] = answer.json()
    return connected


def listed(client: httpx.Client) -> dict[str, dict[str, Any]]:
    return {item["provider"]: item for item in client.get("/api/v1/integrations").json()["items"]}


def in_database(api: Api, statement: LiteralString, *values: object) -> list[tuple[Any, ...]]:
    with api.database.connect() as connection:
        cursor = connection.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


def expire(api: Api, tenant_id: str) -> None:
    in_database(
        api,
        "update limena.integration_credentials set expires_at = now() where tenant_id = %s and field = 'access_token'",
        tenant_id,
    )


def failures(api: Api, tenant_id: str) -> list[str]:
    rows = in_database(
        api,
        "select details ->> 'reason' from limena.audit_logs where tenant_id = %s and action = 'integration.failed'"
        " order by seq",
        tenant_id,
    )
    return [row[0] for row in rows]


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


# API keys


def test_a_key_is_connected_replaced_and_disconnected(api: Api, someone: Newcomer) -> None:
    client = someone.client
    first = client.put("/api/v1/integrations/anthropic", json={"secret": "sk-marked-1", "label": "Production"})
    assert first.status_code == 200, first.text
    again = client.put("/api/v1/integrations/anthropic", json={"secret": "sk-marked-2"})
    assert again.json()["id"] == first.json()["id"]
    assert again.json()["label"] is None
    assert listed(client)["anthropic"]["state"] == "connected"
    assert client.delete("/api/v1/integrations/anthropic").status_code == 204
    assert listed(client) == {}
    assert code_of(client.delete("/api/v1/integrations/anthropic")) == (404, "not_found")
    assert [action for action in audited(api, someone.tenant_id) if action.startswith("integration.")] == [
        "integration.created",
        "integration.connected",
        "integration.connected",
        "integration.disconnected",
        "integration.revocation_recorded",
    ]


def test_what_can_be_connected_is_told(someone: Newcomer) -> None:
    providers = {one["provider"]: one for one in someone.client.get("/api/v1/integrations").json()["providers"]}
    assert list(providers) == ["anthropic", "openai", "openai-compatible", "google", "microsoft", "oidc"]
    assert providers["openai-compatible"]["takes_base_url"] is True
    assert providers["oidc"]["is_available"] is True
    assert providers["google"]["is_available"] is False


@pytest.mark.parametrize(
    ("provider", "body", "field"),
    [
        ("openai", {"secret": ""}, "secret"),
        ("openai", {"secret": "sk-1\r\nX-Evil: 1"}, "secret"),
        ("openai", {"secret": "sk 1"}, "secret"),
        ("openai", {"secret": "schlüssel"}, "secret"),
        ("openai", {"secret": "x" * 4097}, "secret"),
        ("openai", {"secret": "x", "label": " x"}, "label"),
        ("openai", {"secret": "x", "base_url": "https://api.example.com"}, "base_url"),
        ("openai-compatible", {"secret": "x"}, "base_url"),
    ],
)
def test_bad_input_is_refused_by_name(someone: Newcomer, provider: str, body: dict[str, str], field: str) -> None:
    answer = someone.client.put(f"/api/v1/integrations/{provider}", json=body)
    assert code_of(answer) == (422, "validation_failed")
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert body["secret"] == "" or body["secret"] not in answer.text or len(body["secret"]) == 1
    assert listed(someone.client) == {}


def test_who_may_do_what(api: Api, someone: Newcomer, provider: Provider) -> None:
    """Roles and scopes; unknown providers are 404 for those who may, and 403 for those who may not."""
    viewer, member = api.person("viewer").token, api.person("member").token
    with api.person("viewer").client(viewer) as client:
        assert client.get("/api/v1/integrations").status_code == 200
        for path in ("openai", "nonsense", "../x"):
            answer = client.put(f"/api/v1/integrations/{path}", json={"secret": "x"})
            assert answer.status_code in (403, 404), answer.text
        refused = client.post(f"{OIDC}/authorize")
        assert (code_of(refused), refused.json()["permission"]) == ((403, "forbidden"), "integrations:write")
        assert client.post(f"{OIDC}/access-token").json()["permission"] == "integrations:use"
    with api.person("member").client(member) as client:
        assert code_of(client.post(f"{OIDC}/access-token")) == (404, "not_found")
        assert code_of(client.delete(OIDC)) == (403, "forbidden")
    assert code_of(someone.client.put("/api/v1/integrations/nonsense", json={"secret": "x"})) == (404, "not_found")
    for odd in ("openai%00", "OpenAI", "openai%20", "%C3%28", "openai;drop"):
        assert code_of(someone.client.put(f"/api/v1/integrations/{odd}", json={"secret": "x"})) == (404, "not_found")
        assert code_of(someone.client.delete(f"/api/v1/integrations/{odd}")) == (404, "not_found")
    assert code_of(someone.client.post("/api/v1/integrations/google/authorize")) == (404, "not_found")
    assert code_of(someone.client.post("/api/v1/integrations/openai/authorize")) == (409, "conflict")
    assert code_of(someone.client.put(OIDC, json={"secret": "x"})) == (409, "conflict")
    key = api.make_key("integrations:write")
    with api.person().client(key) as client:
        assert code_of(client.post(f"{OIDC}/authorize")) == (403, "forbidden"), "a browser's flow needs a session"
        assert client.put("/api/v1/integrations/openai", json={"secret": "x"}).status_code == 200
        assert code_of(client.get("/api/v1/integrations")) == (403, "forbidden")
        assert client.delete("/api/v1/integrations/openai").status_code == 204


def test_another_tenants_integrations_do_not_exist(api: Api, someone: Newcomer, provider: Provider) -> None:
    other = register(api)
    connect(other.client, provider)
    other.client.put("/api/v1/integrations/openai", json={"secret": "x", "label": "theirs"})
    answer = someone.client.get("/api/v1/integrations")
    assert answer.json()["items"] == []
    assert "theirs" not in answer.text
    assert code_of(someone.client.delete(OIDC)) == (404, "not_found")
    assert code_of(someone.client.post(f"{OIDC}/access-token")) == (404, "not_found")
    assert listed(other.client).keys() == {"oidc", "openai"}
    other.client.close()


# Connecting


def test_a_provider_is_connected_used_and_disconnected(api: Api, someone: Newcomer, provider: Provider) -> None:
    connected = connect(someone.client, provider)
    assert connected["state"] == "connected"
    assert connected["scopes"] == "openid offline_access"
    assert provider.landed == f"{api.base_url}/settings/integrations/callback"
    token = someone.client.post(f"{OIDC}/access-token").json()
    assert token["access_token"] == provider.tokens[0].access_token
    assert 3500 < token["expires_in"] <= 3600
    assert someone.client.delete(OIDC).status_code == 204
    assert provider.tokens[0].is_refresh_revoked, "revoked where it was granted (RFC 7009)"
    assert provider.requests == ["authorization_code", "revoke"]
    revocation = in_database(api, "select revocation from limena.integrations where tenant_id = %s", someone.tenant_id)
    assert revocation == [("done",)]
    logged = audited(api, someone.tenant_id)
    for action in ("integration_flow.created", "integration.connected", "integration_credential.created"):
        assert action in logged


def test_the_request_carries_pkce_state_and_the_exact_redirect_uri(api: Api, someone: Newcomer) -> None:
    query = httpx.URL(begin(someone.client)).params
    assert query["code_challenge_method"] == "S256"
    assert len(query["code_challenge"]) == 43
    assert query["response_type"] == "code"
    assert query["redirect_uri"] == f"{api.base_url}/settings/integrations/callback"
    assert query["state"].startswith("oidc.")
    assert len(query["state"]) == 48
    stored = in_database(
        api, "select to_jsonb(f)::text from limena.integration_flows as f where tenant_id = %s", someone.tenant_id
    )
    assert len(stored) == 1
    assert query["state"] not in stored[0][0]


def test_consent_denied(api: Api, someone: Newcomer, provider: Provider) -> None:
    query = provider.consent(begin(someone.client), deny=True)
    assert query["error"] == "access_denied"
    body = {"state": query["state"], "error": query["error"]}
    assert code_of(someone.client.post(f"{OIDC}/callback", json=body)) == (409, "integration_failed")
    assert code_of(someone.client.post(f"{OIDC}/callback", json=body)) == (422, "validation_failed"), "used up"
    assert listed(someone.client) == {}
    assert failures(api, someone.tenant_id) == ["denied", "state"]
    assert provider.requests == []


def test_a_state_is_good_once(api: Api, someone: Newcomer, provider: Provider) -> None:
    query = provider.consent(begin(someone.client))
    assert someone.client.post(f"{OIDC}/callback", json=query).status_code == 200
    replayed = someone.client.post(f"{OIDC}/callback", json=query)
    assert code_of(replayed) == (422, "validation_failed")
    assert replayed.json()["errors"][0]["field"] == "state"
    assert provider.requests == ["authorization_code"], "the code is not even shown to the provider"
    assert failures(api, someone.tenant_id) == ["state"]
    assert listed(someone.client)["oidc"]["state"] == "connected", "and what was connected stays so"


def test_of_two_at_once_one_uses_the_state(api: Api, someone: Newcomer, provider: Provider) -> None:
    query = provider.consent(begin(someone.client))
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: someone.client.post(f"{OIDC}/callback", json=query), range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [422] * 7
    assert provider.requests == ["authorization_code"]


def test_a_state_belongs_to_its_session(api: Api, someone: Newcomer, provider: Provider) -> None:
    """Whoever lures somebody onto the callback page with a code of their own connects nothing."""
    query = provider.consent(begin(someone.client))
    other = register(api)
    second = someone.log_in(api)
    for stranger in (other.client, second):
        assert code_of(stranger.post(f"{OIDC}/callback", json=query)) == (422, "validation_failed")
    assert provider.requests == []
    assert someone.client.post(f"{OIDC}/callback", json=query).status_code == 200, "nobody used it up"
    other.client.close()
    second.close()


def test_a_state_ends(api: Api, someone: Newcomer, provider: Provider) -> None:
    query = provider.consent(begin(someone.client))
    in_database(api, "update limena.integration_flows set expires_at = now() where tenant_id = %s", someone.tenant_id)
    assert code_of(someone.client.post(f"{OIDC}/callback", json=query)) == (422, "validation_failed")


@pytest.mark.parametrize("state", ["", "x", "oidc.", "é", "a b", "x" * 513, "oidc." + "A" * 43])
def test_made_up_states(someone: Newcomer, state: str) -> None:
    answer = someone.client.post(f"{OIDC}/callback", json={"state": state, "code": "x"})
    assert code_of(answer) == (422, "validation_failed")


@pytest.mark.parametrize("body", [{}, {"code": "x", "error": "y"}, {"code": ""}, {"code": "é"}, {"code": "x" * 8193}])
def test_a_callback_has_a_code_or_an_error(someone: Newcomer, body: dict[str, str]) -> None:
    answer = someone.client.post(f"{OIDC}/callback", json={"state": "oidc." + "A" * 43} | body)
    assert code_of(answer) == (422, "validation_failed")
    assert [error["field"] for error in answer.json()["errors"]] == ["code"]


def test_a_code_that_was_used_already(api: Api, someone: Newcomer, provider: Provider) -> None:
    query = provider.consent(begin(someone.client))
    provider.codes.clear()  # somebody redeemed it
    assert code_of(someone.client.post(f"{OIDC}/callback", json=query)) == (409, "integration_failed")
    assert failures(api, someone.tenant_id) == ["refused"]
    assert listed(someone.client) == {}


def test_another_flows_code_is_refused_by_pkce(api: Api, someone: Newcomer, provider: Provider) -> None:
    """A code that was stolen from another browser is worth nothing: its verifier is another one."""
    second = someone.log_in(api)
    stolen = provider.consent(begin(second))["code"]
    second.close()
    mine = provider.consent(begin(someone.client))
    answer = someone.client.post(f"{OIDC}/callback", json={"state": mine["state"], "code": stolen})
    assert code_of(answer) == (409, "integration_failed")
    assert failures(api, someone.tenant_id) == ["refused"]
    assert provider.tokens == []


def test_another_issuers_answer_is_refused(api: Api, someone: Newcomer, provider: Provider) -> None:
    query = provider.consent(begin(someone.client))
    answer = someone.client.post(f"{OIDC}/callback", json=query | {"iss": "https://evil.example"})
    assert code_of(answer) == (409, "integration_failed")
    assert provider.requests == [], "the code is not shown to anyone"
    query = provider.consent(begin(someone.client))
    assert someone.client.post(f"{OIDC}/callback", json=query | {"iss": provider.issuer}).status_code == 200


def test_nothing_is_opened_to_say_where_to_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection is made, so no client: one takes a while to make, on the event loop."""
    registration = OAuthRegistration("me", None, "a b")
    provider = OAuthProvider("x", "X", Endpoints("https://x/a?b=c", "https://x/t", None), "", {"prompt": "consent"})
    client = OAuthClient(provider, registration, Guard(), base_url="https://limena.example")
    monkeypatch.setattr("limena.oauth.AsyncOAuth2Client", None)
    url = httpx.URL(asyncio.run(client.authorization_url("x.state", Secret("v" * 43))))
    assert dict(url.params) == {
        "b": "c",
        "response_type": "code",
        "client_id": "me",
        "redirect_uri": "https://limena.example/settings/integrations/callback",
        "scope": "a b",
        "state": "x.state",
        "code_challenge": "7w_YNF9DSfIdPf_pRjSq646_kPr-2-o9NAl16JGghdM",
        "code_challenge_method": "S256",
        "prompt": "consent",
    }


def test_an_answer_without_an_issuer_where_there_always_is_one() -> None:
    """RFC 9207 section 2.4: it is another server's."""
    always, never = (
        OAuthClient(
            OAuthProvider(
                "x", "X", Endpoints("https://x/a", "https://x/t", None, issuer="https://x", tells_issuer=tells), ""
            ),
            OAuthRegistration("id", None, ""),
            Guard(),
            base_url="https://limena.example",
        )
        for tells in (True, False)
    )
    assert [asyncio.run(always.is_own_issuer(iss)) for iss in ("https://x", "https://y", None)] == [True, False, False]
    assert [asyncio.run(never.is_own_issuer(iss)) for iss in ("https://x", "https://y", None)] == [True, False, True]


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://y"},
        {"code_challenge_methods_supported": ["plain"]},
        {"code_challenge_methods_supported": None},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "http://x/a"},
        {"token_endpoint": None} | {"issuer": "https://z"},
    ],
)
def test_metadata_that_is_not_believed(document: dict[str, Any]) -> None:
    good = {
        "issuer": "https://x",
        "authorization_endpoint": "https://x/a",
        "token_endpoint": "https://x/t",
        "code_challenge_methods_supported": ["S256"],
    }
    assert _metadata(good, "https://x").token == "https://x/t"
    with pytest.raises(ValueError, match=r"issuer|PKCE|browser"):
        _metadata(good | document, "https://x")


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        (3600, 3600),
        ("3600", 3600),
        (3599.7, 3599),
        (None, 3600),
        (float("inf"), 3600),
        (-1, 3600),
        (True, 3600),
        ("x", 3600),
    ],
)
def test_how_long_a_token_is_good(told: object, seconds: int) -> None:
    """One that can be refreshed is, in the end, whatever the provider says or does not say."""
    answer = {"token_type": "bearer", "access_token": "a", "refresh_token": "r", "expires_in": told}
    assert _tokens(answer).expires_in == seconds
    assert _tokens({"token_type": "Bearer", "access_token": "a"}).expires_in is None


def test_a_provider_that_is_down(api: Api, someone: Newcomer, provider: Provider) -> None:
    query = provider.consent(begin(someone.client))
    provider.settings.fails_with = 503
    answer = someone.client.post(f"{OIDC}/callback", json=query)
    assert code_of(answer) == (503, "provider_unavailable")
    assert answer.headers["retry-after"]
    assert "out of order" not in answer.text
    assert failures(api, someone.tenant_id) == ["unreachable"]
    assert listed(someone.client) == {}


def test_a_session_that_ends_while_the_provider_is_asked(api: Api, someone: Newcomer, provider: Provider) -> None:
    """What was granted and is stored nowhere is given back."""
    query = provider.consent(begin(someone.client))
    provider.settings.delay = 1.0
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(someone.client.post, f"{OIDC}/callback", json=query)
        provider.wait_for("authorization_code")
        in_database(api, "update limena.sessions set ended_at = now() where current_tenant_id = %s", someone.tenant_id)
        assert answer.result().status_code == 401
    assert len(provider.tokens) == 1
    assert provider.tokens[0].is_refresh_revoked


def test_connecting_anew_replaces_the_tokens(api: Api, someone: Newcomer, provider: Provider) -> None:
    first = connect(someone.client, provider)
    assert connect(someone.client, provider)["id"] == first["id"]
    token = someone.client.post(f"{OIDC}/access-token").json()["access_token"]
    assert token == provider.tokens[1].access_token


# Using


def test_an_expired_token_is_refreshed_and_the_rotated_one_kept(
    api: Api, someone: Newcomer, provider: Provider
) -> None:
    connect(someone.client, provider)
    for number in range(1, 4):
        expire(api, someone.tenant_id)
        token = someone.client.post(f"{OIDC}/access-token")
        assert token.json()["access_token"] == provider.tokens[number].access_token
    assert [one.is_refresh_revoked for one in provider.tokens] == [True, True, True, False]
    assert provider.requests == ["authorization_code", *["refresh_token"] * 3]
    logged = audited(api, someone.tenant_id)
    assert logged.count("integration.refreshing") == 3
    assert logged.count("integration_credential.updated") == 9, "three fields each time"


def test_a_provider_that_does_not_rotate(api: Api, someone: Newcomer, provider: Provider) -> None:
    provider.settings.rotates = False
    connect(someone.client, provider)
    for _ in range(2):
        expire(api, someone.tenant_id)
        assert someone.client.post(f"{OIDC}/access-token").status_code == 200
    assert len(provider.live()) == 3


def test_many_at_once_make_one_refresh(api: Api, someone: Newcomer, provider: Provider) -> None:
    """The provider takes a refresh token back when it is shown: a second one to show it would end the connection."""
    connect(someone.client, provider)
    expire(api, someone.tenant_id)
    provider.settings.delay = 0.5
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda _: someone.client.post(f"{OIDC}/access-token"), range(12)))
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["access_token"] for answer in answers} == {provider.tokens[1].access_token}
    assert provider.requests == ["authorization_code", "refresh_token"]


def test_a_key_uses_and_is_revoked_while_the_provider_is_asked(api: Api, someone: Newcomer, provider: Provider) -> None:
    """The key is refused from then on, and the rotated token is not lost."""
    connect(someone.client, provider)
    made = someone.client.post("/api/v1/api-keys", json={"name": "n", "scopes": ["integrations:use"]}).json()
    expire(api, someone.tenant_id)
    provider.settings.delay = 1.0
    with api.client(headers={"Authorization": f"Bearer {made['key']}"}) as program, ThreadPoolExecutor(1) as threads:
        answer = threads.submit(program.post, f"{OIDC}/access-token")
        provider.wait_for("refresh_token")
        assert someone.client.delete(f"/api/v1/api-keys/{made['id']}").status_code == 204
        assert answer.result().status_code == 200
        assert code_of(program.post(f"{OIDC}/access-token")) == (401, "invalid_api_key")
    token = someone.client.post(f"{OIDC}/access-token").json()["access_token"]
    assert token == provider.tokens[1].access_token


def test_revoked_behind_our_back(api: Api, someone: Newcomer, provider: Provider) -> None:
    connect(someone.client, provider)
    provider.revoke_everything()
    expire(api, someone.tenant_id)
    assert code_of(someone.client.post(f"{OIDC}/access-token")) == (409, "integration_failed")
    assert listed(someone.client)["oidc"]["state"] == "failed"
    asked = len(provider.requests)
    assert code_of(someone.client.post(f"{OIDC}/access-token")) == (409, "integration_failed")
    assert len(provider.requests) == asked, "it is not asked again"
    assert "integration.failed" in audited(api, someone.tenant_id)
    connect(someone.client, provider)
    assert listed(someone.client)["oidc"]["state"] == "connected"
    assert someone.client.post(f"{OIDC}/access-token").status_code == 200


def test_rotated_behind_our_back(api: Api, someone: Newcomer, provider: Provider) -> None:
    """Somebody else used the refresh token: the provider refuses ours."""
    connect(someone.client, provider)
    provider.tokens[0].refresh_token = "another one"
    expire(api, someone.tenant_id)
    assert code_of(someone.client.post(f"{OIDC}/access-token")) == (409, "integration_failed")


def test_down_while_refreshing_changes_nothing(api: Api, someone: Newcomer, provider: Provider) -> None:
    connect(someone.client, provider)
    expire(api, someone.tenant_id)
    provider.settings.fails_with = 500
    for _ in range(2):  # the lease is given back: the second one does not wait for it
        assert code_of(someone.client.post(f"{OIDC}/access-token")) == (503, "provider_unavailable")
    assert listed(someone.client)["oidc"]["state"] == "connected"
    provider.settings.fails_with = None
    assert someone.client.post(f"{OIDC}/access-token").status_code == 200


def test_what_cannot_be_stored_is_given_back(api: Api, someone: Newcomer, provider: Provider) -> None:
    connect(someone.client, provider)
    expire(api, someone.tenant_id)
    in_database(api, "revoke execute on function limena.settle_refresh from limena_auth")
    try:
        answer = someone.client.post(f"{OIDC}/access-token")
    finally:
        in_database(api, "grant execute on function limena.settle_refresh to limena_auth")
    assert answer.status_code >= 400
    assert provider.requests[-2:] == ["refresh_token", "revoke"]
    assert provider.live() == []


def test_how_long_another_caller_has_is_told(
    api: Api, someone: Newcomer, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(someone.client, provider)
    expire(api, someone.tenant_id)
    lease = "update limena.integrations set refresh_leased_until = now() + interval '1 minute' where tenant_id = %s"
    in_database(api, lease, someone.tenant_id)
    monkeypatch.setattr("limena.routes.integrations.WAIT_SECONDS", 0.3)
    answer = someone.client.post(f"{OIDC}/access-token")
    assert code_of(answer) == (503, "provider_unavailable")
    assert 50 <= int(answer.headers["retry-after"]) <= 60
    assert "refresh_token" not in provider.requests


def test_the_list_is_opened_on_a_thread(someone: Newcomer, monkeypatch: pytest.MonkeyPatch) -> None:
    someone.client.put("/api/v1/integrations/openai", json={"secret": "sk-marked"})
    really, on_the_loop = Vault.open, []

    def watched(vault: Vault, *arguments: Any) -> Secret:
        on_the_loop.append(asyncio._get_running_loop() is not None)
        return really(vault, *arguments)

    monkeypatch.setattr(Vault, "open", watched)
    assert listed(someone.client)["openai"]["state"] == "connected"
    assert on_the_loop == [False]


def test_disconnected_while_refreshing(api: Api, someone: Newcomer, provider: Provider) -> None:
    """What the refresh brought is stored nowhere, and given back."""
    connect(someone.client, provider)
    expire(api, someone.tenant_id)
    provider.settings.delay = 1.0
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(someone.client.post, f"{OIDC}/access-token")
        provider.wait_for("refresh_token")
        in_database(
            api,
            "update limena.integrations set disconnected_at = now(), refresh_leased_until = null where tenant_id = %s",
            someone.tenant_id,
        )
        assert code_of(answer.result()) == (409, "conflict")
    assert provider.live() == []


def test_disconnecting_does_not_depend_on_the_provider(api: Api, someone: Newcomer, provider: Provider) -> None:
    connect(someone.client, provider)
    provider.settings.fails_with = 503
    assert someone.client.delete(OIDC).status_code == 204
    assert listed(someone.client) == {}
    rows = in_database(
        api, "select i.revocation from limena.integrations as i where i.tenant_id = %s", someone.tenant_id
    )
    assert rows == [("unreachable",)]
    left = in_database(api, "select from limena.integration_credentials where tenant_id = %s", someone.tenant_id)
    assert left == []


def test_it_is_disconnected_before_the_provider_is_asked(api: Api, someone: Newcomer, provider: Provider) -> None:
    """So a process that dies in between leaves nothing that is in use or unaccounted for: what became of the tokens is
    unknown, and that is what stands there."""
    connect(someone.client, provider)
    provider.settings.delay = 1.0
    statement = """select i.disconnected_at is not null, i.revocation, (
        select count(*) from limena.integration_credentials as c where c.tenant_id = i.tenant_id
    ) from limena.integrations as i where i.tenant_id = %s"""
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(someone.client.delete, OIDC)
        provider.wait_for("revoke")
        assert in_database(api, statement, someone.tenant_id) == [(True, None, 0)]
        assert answer.result().status_code == 204
    assert in_database(api, statement, someone.tenant_id) == [(True, "done", 0)]
    assert provider.live() == []


def test_a_key_provider_has_no_access_token(someone: Newcomer) -> None:
    someone.client.put("/api/v1/integrations/openai", json={"secret": "sk-marked"})
    answer = someone.client.post("/api/v1/integrations/openai/access-token")
    assert code_of(answer) == (409, "conflict")
    assert "marked" not in answer.text


# From Python


def test_a_credential_inside_a_tenant_transaction(api: Api, someone: Newcomer, provider: Provider) -> None:
    """What a product's own code does: the secret of its tenant's provider, in a sealed transaction."""
    client = someone.client
    client.put("/api/v1/integrations/anthropic", json={"secret": "sk-marked"})
    connect(client, provider)
    made = client.post("/api/v1/api-keys", json={"name": "n", "scopes": ["integrations:use"]}).json()["key"]
    useless = client.post("/api/v1/api-keys", json={"name": "n", "scopes": ["integrations:read"]}).json()["key"]
    vault = Vault(TextSource(MASTER_KEYS))

    async def find(key: str, name: str) -> Credential:
        credential = ApiKeyCredential(api_key_format.describe(key).key_hash)
        request = Request({"type": "http", "headers": [], "client": None})
        async with (
            create_tenant_pool(api.database.dsn("limena_app")) as pool,
            tenant_transaction(pool, credential, request) as tx,
        ):
            return await open_credential(tx, vault, name)

    found = asyncio.run(find(made, "anthropic"))
    assert found.secret == Secret("sk-marked")
    assert "marked" not in repr(found)
    assert asyncio.run(find(made, "oidc")).secret == Secret(provider.tokens[0].access_token)
    expire(api, someone.tenant_id)
    with pytest.raises(NotConnected):
        asyncio.run(find(made, "oidc"))
    with pytest.raises(NotConnected):
        asyncio.run(find(made, "google"))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        asyncio.run(find(useless, "anthropic"))


def test_whoever_writes_the_base_url_does_not_get_the_key(api: Api, someone: Newcomer) -> None:
    """With SQL of one's own the column can be changed: the key goes to the address that it was sealed with."""
    client = someone.client
    body = {"secret": "sk-marked", "base_url": "https://1.1.1.1/v1"}
    assert client.put("/api/v1/integrations/openai-compatible", json=body).status_code == 200
    assert client.put("/api/v1/integrations/anthropic", json={"secret": "sk-fixed"}).status_code == 200
    assert listed(client)["openai-compatible"]["state"] == "connected"
    in_database(
        api, "update limena.integrations set base_url = 'https://evil.example' where tenant_id = %s", someone.tenant_id
    )
    assert {one["state"] for one in listed(client).values()} == {"unreadable"}
    made = client.post("/api/v1/api-keys", json={"name": "n", "scopes": ["integrations:use"]}).json()["key"]
    vault = Vault(TextSource(MASTER_KEYS))

    async def find(name: str) -> Credential:
        credential = ApiKeyCredential(api_key_format.describe(made).key_hash)
        request = Request({"type": "http", "headers": [], "client": None})
        async with (
            create_tenant_pool(api.database.dsn("limena_app")) as pool,
            tenant_transaction(pool, credential, request) as tx,
        ):
            return await open_credential(tx, vault, name)

    found = asyncio.run(find("openai-compatible"))
    assert (found.secret, found.base_url) == (Secret("sk-marked"), "https://1.1.1.1/v1")
    fixed = asyncio.run(find("anthropic"))
    assert (fixed.secret, fixed.base_url) == (Secret("sk-fixed"), "https://api.anthropic.com")


# What does not open


def test_what_does_not_open_is_shown_counted_and_kept(api: Api, someone: Newcomer, provider: Provider) -> None:
    connect(someone.client, provider)
    in_database(
        api,
        "update limena.integration_credentials set ciphertext = set_bit(ciphertext, 200, 1 - get_bit(ciphertext, 200))"
        " where tenant_id = %s",
        someone.tenant_id,
    )
    before = counted(api)
    assert listed(someone.client)["oidc"]["state"] == "unreadable"
    answer = someone.client.post(f"{OIDC}/access-token")
    assert code_of(answer) == (409, "integration_unreadable")
    assert counted(api) >= before + 2
    assert failures(api, someone.tenant_id) == ["unreadable"]
    kept = in_database(
        api, "select count(*) from limena.integration_credentials where tenant_id = %s", someone.tenant_id
    )
    assert kept == [(2,)]
    assert someone.client.delete(OIDC).status_code == 204, "whoever wants to be rid of it is"


def counted(api: Api) -> float:
    with api.client() as client:
        lines = client.get("/metrics").text.splitlines()
    name = 'limena_unreadable_credentials_total{provider="oidc"} '
    return sum(float(line.removeprefix(name)) for line in lines if line.startswith(name))


@pytest.mark.parametrize(
    "moved",
    [
        "update limena.integration_credentials as t set ciphertext = f.ciphertext"
        " from limena.integration_credentials as f"
        " where t.tenant_id = %(mine)s and f.tenant_id = %(theirs)s and t.field = f.field",
        "update limena.integration_credentials as t set ciphertext = f.ciphertext"
        " from limena.integration_credentials as f"
        " where t.tenant_id = %(mine)s and f.tenant_id = t.tenant_id and t.field <> f.field and f.field <> 'secret'"
        " and t.field <> 'secret'",
        "update limena.integration_credentials set key_version = 2 where tenant_id = %(mine)s",
        "update limena_private.tenant_salts as t set salt = f.salt from limena_private.tenant_salts as f"
        " where t.tenant_id = %(mine)s and f.tenant_id = %(theirs)s",
        "delete from limena_private.tenant_salts where tenant_id = %(mine)s",
    ],
    ids=["another tenant's", "another field's", "another version", "another salt", "no salt"],
)
def test_a_ciphertext_opens_in_its_own_row_alone(
    api: Api, someone: Newcomer, provider: Provider, moved: LiteralString
) -> None:
    other = register(api)
    connect(someone.client, provider)
    connect(other.client, provider)
    with api.database.connect() as connection:
        connection.execute(moved, {"mine": someone.tenant_id, "theirs": other.tenant_id})
    assert listed(someone.client)["oidc"]["state"] == "unreadable"
    assert code_of(someone.client.post(f"{OIDC}/access-token")) == (409, "integration_unreadable")
    assert listed(other.client)["oidc"]["state"] == "connected"
    other.client.close()


def test_another_integrations_ciphertext_does_not_open(api: Api, someone: Newcomer) -> None:
    for provider in ("openai", "anthropic"):
        someone.client.put(f"/api/v1/integrations/{provider}", json={"secret": f"sk-{provider}"})
    in_database(
        api,
        "update limena.integration_credentials as t set ciphertext = f.ciphertext"
        " from limena.integration_credentials as f"
        " where t.tenant_id = f.tenant_id and t.integration_id <> f.integration_id and t.tenant_id = %s",
        someone.tenant_id,
    )
    assert {one["state"] for one in listed(someone.client).values()} == {"unreadable"}


def test_it_is_sealed_with_the_vaults_own_key(api: Api, someone: Newcomer) -> None:
    """Fails where what is stored could be opened without the master key."""
    someone.client.put("/api/v1/integrations/openai", json={"secret": "sk-marked"})
    services: Services = api.app.state.services
    rows = in_database(
        api,
        "select c.integration_id, c.ciphertext, s.salt from limena.integration_credentials as c"
        " inner join limena_private.tenant_salts as s on c.tenant_id = s.tenant_id where c.tenant_id = %s",
        someone.tenant_id,
    )
    place = Place(UUID(someone.tenant_id), rows[0][0], "secret")
    assert services.integrations.vault.open(Sealed(1, rows[0][1]), place, rows[0][2]) == Secret("sk-marked")


def test_two_connections_at_once_store_one_that_opens(api: Api, someone: Newcomer) -> None:
    with ThreadPoolExecutor(8) as threads:
        put: Callable[[int], httpx.Response] = lambda n: someone.client.put(  # noqa: E731
            "/api/v1/integrations/openai", json={"secret": f"sk-{n}"}
        )
        answers = list(threads.map(put, range(8)))
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert any(answer.status_code == 200 for answer in answers)
    assert listed(someone.client)["openai"]["state"] == "connected"
