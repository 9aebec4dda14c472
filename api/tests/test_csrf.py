"""CSRF, as a matrix over the route table: every state-changing route refuses what does not show the token of its own
session or browser, and an API key needs none. Fails without `Csrf.check` in `HandlerRoute.serve` or
`ProcedureRoute.serve`."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from limena.csrf import SAFE_METHODS
from limena.routes import ENDPOINTS
from limena.routing import Caller, Endpoint, HandlerRoute, ProcedureRoute
from support.api import Api
from support.csrf import HEADER, TLS, token_for
from support.databases import Database
from support.people import Newcomer, json_of, register

CHANGING = [one for one in ENDPOINTS if one.method not in SAFE_METHODS]
READING = [one for one in ENDPOINTS if one.method in SAFE_METHODS]
CSRF = "/api/v1/auth/csrf"
UNKNOWN_ID = "11111111-1111-4111-8111-111111111111"

every_changing_route = pytest.mark.parametrize("endpoint", CHANGING, ids=[one.label for one in CHANGING])


@pytest.fixture(scope="module")
def someone(api: Api) -> Iterator[Newcomer]:
    new = register(api)
    yield new
    new.client.close()


@pytest.fixture(scope="module")
def other(api: Api) -> Iterator[Newcomer]:
    new = register(api)
    yield new
    new.client.close()


def needs(endpoint: Endpoint) -> str:
    match endpoint:
        case HandlerRoute(caller=Caller.CREDENTIAL):
            return Caller.SESSION.value
        case HandlerRoute():
            return endpoint.caller.value
        case _:
            return Caller.SESSION.value


def credential_headers(endpoint: Endpoint, someone: Newcomer) -> tuple[dict[str, str], list[str]]:
    """What the route authenticates by: headers, and cookies."""
    match needs(endpoint):
        case "session":
            return {"Authorization": f"Bearer {someone.access_token}"}, []
        case "refresh cookie":
            return {}, [f"limena_refresh={someone.refresh_cookie}"]
        case _:
            return {}, []


def call(
    api: Api, endpoint: Endpoint, headers: dict[str, str], cookies: list[str], body: bytes = b"no JSON"
) -> httpx.Response:
    """Without a body that could be accepted: what passes the check is refused for its body, or for the id."""
    if cookies:
        headers = headers | {"Cookie": "; ".join(cookies)}
    with httpx.Client(base_url=api.base_url, timeout=30, verify=TLS) as plain:
        return plain.request(
            endpoint.method,
            endpoint.path.replace("{id}", UNKNOWN_ID).replace("{provider}", "none"),
            headers=headers,
            content=body,
        )


def is_refused(response: httpx.Response) -> bool:
    return response.status_code == 403 and response.json()["code"] == "csrf_failed"


def test_there_is_something_to_test() -> None:
    assert {needs(one) for one in CHANGING} == {"anyone", "session", "refresh cookie"}
    assert any(isinstance(one, ProcedureRoute) and one.accepts_api_keys for one in CHANGING)


@every_changing_route
def test_nothing_changes_without_the_token_of_ones_own_session_or_browser(
    api: Api, someone: Newcomer, other: Newcomer, endpoint: Endpoint
) -> None:
    headers, cookies = credential_headers(endpoint, someone)
    mine = token_for(api.base_url, httpx.Headers(headers | ({"Cookie": "; ".join(cookies)} if cookies else {})))
    theirs = token_for(api.base_url, httpx.Headers({"Authorization": f"Bearer {other.access_token}"}))
    strangers = token_for(api.base_url, httpx.Headers())
    forged = base64.urlsafe_b64encode(bytes(48)).decode()
    changed = mine[:-1] + ("A" if mine[-1] != "A" else "B")

    def attempt(header: str | None, cookie: str | None, **more: str) -> httpx.Response:
        shown = headers | ({} if header is None else {HEADER: header}) | more
        return call(api, endpoint, shown, cookies if cookie is None else [*cookies, f"limena_csrf={cookie}"])

    assert is_refused(attempt(None, None)), "nothing"
    assert is_refused(attempt(None, mine)), "the cookie alone, which a browser sends by itself"
    assert is_refused(attempt(mine, None)), "the header alone"
    assert is_refused(attempt("", "")), "both, and empty"
    assert is_refused(attempt(forged, forged)), "a token that nobody signed, twice"
    assert is_refused(attempt(changed, changed)), "a token with one character changed"
    assert is_refused(attempt(mine, changed)), "header and cookie that differ"
    assert is_refused(attempt(theirs, theirs)), "another session's, planted"
    if needs(endpoint) != "anyone":
        assert is_refused(attempt(strangers, strangers)), "a browser's without a session, planted"
    evil = {"Origin": "https://evil.example"}
    assert is_refused(attempt(mine, mine, **evil)), "a page of another origin"
    assert is_refused(attempt(mine, mine, Origin="null")), "a sandboxed page"
    assert is_refused(attempt(mine, mine, **{"Sec-Fetch-Site": "cross-site"}))
    assert is_refused(attempt(mine, mine, **{"Sec-Fetch-Site": "same-site"})), "a sibling domain"


@every_changing_route
def test_ones_own_token_opens(api: Api, endpoint: Endpoint) -> None:
    """Also beside a cookie that a sibling domain has planted, and with what browsers add."""
    someone = register(api)  # whom a log-out may end
    headers, cookies = credential_headers(endpoint, someone)
    mine = token_for(api.base_url, httpx.Headers(headers | ({"Cookie": "; ".join(cookies)} if cookies else {})))
    browser = {"Origin": api.base_url, "Sec-Fetch-Site": "same-origin", HEADER: mine}
    answer = call(api, endpoint, headers | browser, ["limena_csrf=planted", *cookies, f"limena_csrf={mine}"])
    assert not is_refused(answer), answer.text
    assert answer.status_code in (200, 204, 404, 409, 415), answer.text


@every_changing_route
def test_an_api_key_needs_no_token_and_cookies_beside_it_do_not_count(
    api: Api, someone: Newcomer, endpoint: Endpoint
) -> None:
    new = register(api)  # whose keys it may revoke
    scopes = json_of(new.client.get("/api/v1/me"))["permissions"]
    key = json_of(new.client.post("/api/v1/api-keys", json={"name": "n", "scopes": scopes}))["key"]
    headers = {"Authorization": f"Bearer {key}", "Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    answer = call(api, endpoint, headers, [f"limena_refresh={someone.refresh_cookie}", "limena_csrf=x"])
    if needs(endpoint) == "anyone":
        # Nobody shows the key to the database there: it excuses nothing.
        assert is_refused(answer), answer.text
        return
    assert not is_refused(answer), answer.text
    takes_keys = isinstance(endpoint, HandlerRoute) and endpoint.caller is Caller.CREDENTIAL
    if takes_keys or (isinstance(endpoint, ProcedureRoute) and endpoint.accepts_api_keys):
        assert answer.status_code in (200, 404, 409, 415), answer.text
    else:
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), "the key's, not the cookies'"


@every_changing_route
def test_a_credential_that_does_not_hold_is_told_before_the_token(api: Api, endpoint: Endpoint) -> None:
    """401, then CSRF 403."""
    if needs(endpoint) == "anyone":
        return
    ended = register(api)
    headers, cookies = credential_headers(endpoint, ended)
    assert ended.client.post("/api/v1/auth/logout").status_code == 204
    if needs(endpoint) == "session":  # a refresh cookie's session is only looked up by the refresh itself
        assert call(api, endpoint, headers, cookies).json()["code"] == "session_revoked"
    for wrong in [{}, {"Authorization": "Bearer x"}, {"Authorization": "Bearer lmn_x"}, {"Cookie": "limena_refresh=x"}]:
        assert call(api, endpoint, wrong, []).status_code == 401, wrong


def test_what_reads_needs_none(api: Api, someone: Newcomer) -> None:
    headers = {
        "Authorization": f"Bearer {someone.access_token}",
        "Origin": "https://evil.example",
        "Sec-Fetch-Site": "cross-site",
    }
    for endpoint in READING:
        assert not is_refused(call(api, endpoint, headers, [], b"")), endpoint.label


def test_the_token_comes_as_cookie_and_answer(api: Api) -> None:
    with httpx.Client(base_url=api.base_url) as plain:
        answer = plain.get(CSRF)
        token = json_of(answer)["csrf_token"]
        (cookie,) = answer.headers.get_list("set-cookie")
        assert cookie.split("; ")[0] == f"limena_csrf={token}"
        attributes = {part.lower() for part in cookie.split("; ")[1:]}
        assert attributes == {"path=/", "samesite=lax", "max-age=2592000"}, "scripts can read it"
        assert json_of(plain.get(CSRF))["csrf_token"] == token, "another tab gets the same"
        plain.cookies.clear()
        assert json_of(plain.get(CSRF))["csrf_token"] != token, "another browser another"


def test_in_production_no_other_host_can_plant_the_cookie(api: Api, start_api: Callable[..., Api]) -> None:
    """Browsers take a cookie whose name begins with __Host- from the very host alone, and only for every path."""
    production = start_api(
        api.database, api.demo, LIMENA_ENV="production", LIMENA_BASE_URL="https://x.example", LIMENA_BCRYPT_COST="10"
    )
    with production.client() as client:
        (cookie,) = client.get(CSRF).headers.get_list("set-cookie")
        name, *attributes = cookie.split("; ")
        token = name.removeprefix("__Host-limena_csrf=")
        assert name.startswith("__Host-limena_csrf=")
        assert {"Secure", "Path=/"} <= set(attributes)
        assert not [one for one in attributes if one.lower().startswith("domain")]
    for shown, is_taken in [("__Host-limena_csrf", True), ("limena_csrf", False), ("__Secure-limena_csrf", False)]:
        answer = httpx.post(
            f"{production.base_url}/api/v1/auth/login", headers={HEADER: token, "Cookie": f"{shown}={token}"}
        )
        assert is_refused(answer) is not is_taken, shown


def test_a_log_in_brings_a_token_of_its_session_and_a_refresh_keeps_it(api: Api) -> None:
    new = register(api)
    with httpx.Client(base_url=api.base_url, timeout=30) as browser:
        before = json_of(browser.get(CSRF))["csrf_token"]
        body = {"email": new.email, "password": new.password}
        assert browser.post("/api/v1/auth/login", json=body, headers={HEADER: before}).status_code == 200
        token = browser.cookies["limena_csrf"]
        assert token != before
        assert is_refused(browser.post("/api/v1/auth/refresh", headers={HEADER: before})), "the browser's is not it"
        for _ in range(3):
            assert browser.post("/api/v1/auth/refresh", headers={HEADER: token}).status_code == 200
        answer = browser.post("/api/v1/auth/refresh", headers={HEADER: token})
        bearer = {"Authorization": f"Bearer {answer.json()['access_token']}", HEADER: token}
        assert browser.cookies["limena_csrf"] == token
        assert browser.post("/api/v1/auth/logout", headers=bearer).status_code == 204
        assert set(browser.cookies) == {"limena_device"}, "a log-out takes away what opens anything"


def test_another_server_does_not_take_it(fresh_database: Callable[[], Database], start_api: Callable[..., Api]) -> None:
    """The key is the secret's: with another one, nothing that was signed before counts."""
    one = start_api(fresh_database(), {})
    secret: dict[str, Any] = {"LIMENA_SECRET_KEY": base64.b64encode(bytes(range(100, 132))).decode()}
    two = start_api(one.database, {}, **secret)
    token = token_for(one.base_url, httpx.Headers())
    headers = {HEADER: token, "Cookie": f"limena_csrf={token}"}
    assert httpx.post(f"{one.base_url}/api/v1/auth/login", headers=headers).status_code == 415
    assert is_refused(httpx.post(f"{two.base_url}/api/v1/auth/login", headers=headers))
