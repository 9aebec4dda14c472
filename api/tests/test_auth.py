"""How people get in, stay in and get out, over a real socket: sessions, refresh, passwords, registration, and what of
it is on record."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import jwt
import pytest

from limena.tokens import issue_access_token, issue_refresh_token, secret_hash
from support.api import Api
from support.csrf import HEADER, TLS, token_for
from support.databases import Database
from support.people import (
    PASSWORD,
    Newcomer,
    ask_for_reset,
    ask_to_register,
    audited,
    claims,
    invite,
    json_of,
    mail_token,
    new_registration,
    register,
)

AUTH = "/api/v1/auth"
NEW_PASSWORD = "seven violet umbrellas hum"


def code_of(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, json_of(response)["code"]


def refresh_with(api: Api, cookie: str) -> httpx.Response:
    """A refresh that shows this very token, whatever a cookie jar would have made of it."""
    shown = httpx.Headers({"Cookie": f"limena_refresh={cookie}"})
    token = token_for(api.base_url, shown)
    headers = {"Cookie": f"limena_refresh={cookie}; limena_csrf={token}", HEADER: token}
    return httpx.post(f"{api.base_url}{AUTH}/refresh", headers=headers, timeout=30, verify=TLS)


def cookie_of(response: httpx.Response) -> str:
    return response.headers["set-cookie"].split(";")[0].removeprefix("limena_refresh=")


def me(api: Api, access_token: str) -> httpx.Response:
    return httpx.get(f"{api.base_url}/api/v1/me", headers={"Authorization": f"Bearer {access_token}"}, verify=TLS)


def session_of(new: Newcomer) -> bytes:
    import hashlib

    return hashlib.sha256(claims(new.access_token)["sid"].encode()).digest()


# ------------------------------------------------------------------------------------------------------------- refresh


def test_a_refresh_gives_both_tokens_anew(api: Api) -> None:
    new = register(api)
    answer = refresh_with(api, new.refresh_cookie)
    assert answer.status_code == 200, answer.text
    assert json_of(answer).keys() == {"access_token", "token_type", "expires_in"}
    assert me(api, json_of(answer)["access_token"]).json()["tenant"]["id"] == new.tenant_id
    before, after = claims(new.refresh_cookie), claims(cookie_of(answer))
    assert after["jti"] != before["jti"]
    assert (after["sid"], after["sub"]) == (before["sid"], before["sub"])
    assert after["exp"] - after["iat"] == 7 * 24 * 3600
    attributes = {part.strip().lower() for part in answer.headers["set-cookie"].split(";")[1:]}
    assert {"httponly", "samesite=lax", "path=/api/v1/auth/"} <= attributes


def test_200_refreshes_of_one_cookie_at_once_are_one_rotation(api: Api) -> None:
    new = register(api)
    token = token_for(api.base_url, httpx.Headers({"Cookie": f"limena_refresh={new.refresh_cookie}"}))
    headers = {"Cookie": f"limena_refresh={new.refresh_cookie}; limena_csrf={token}", HEADER: token}

    async def all_at_once() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=200)
        async with httpx.AsyncClient(base_url=api.base_url, timeout=120, limits=limits) as client:
            return await asyncio.gather(*(client.post(f"{AUTH}/refresh", headers=headers) for _ in range(200)))

    answers = asyncio.run(all_at_once())
    assert {answer.status_code for answer in answers} == {200}
    assert len({cookie_of(answer) for answer in answers}) == 1, "the same bytes"
    with api.database.connect() as connection:
        rows = connection.execute(
            """select count(*), count(r.spent_at), bool_or(s.ended_at is not null)
            from limena.refresh_tokens as r inner join limena.sessions as s on r.session_id = s.id
            where s.secret_hash = %s""",
            [session_of(new)],
        ).fetchone()
    assert rows == (2, 1, False), "one rotation, and nobody logged out"
    assert refresh_with(api, cookie_of(answers[0])).status_code == 200
    assert me(api, json_of(answers[199])["access_token"]).status_code == 200


def test_200_refreshes_over_two_processes_are_one_rotation(api: Api, start_api: Callable[..., Api]) -> None:
    """With the time-outs that a server has: 200 answers, the same bytes, nobody logged out."""
    others = [start_api(api.database, api.demo, LIMENA_BASE_URL=api.base_url) for _ in range(2)]
    new = register(api)
    token = token_for(api.base_url, httpx.Headers({"Cookie": f"limena_refresh={new.refresh_cookie}"}))
    headers = {"Cookie": f"limena_refresh={new.refresh_cookie}; limena_csrf={token}", HEADER: token}

    async def all_at_once() -> list[httpx.Response]:
        async with httpx.AsyncClient(timeout=120, limits=httpx.Limits(max_connections=200)) as client:
            urls = [f"{others[number % 2].base_url}{AUTH}/refresh" for number in range(200)]
            return await asyncio.gather(*(client.post(url, headers=headers) for url in urls))

    answers = asyncio.run(all_at_once())
    assert [answer.status_code for answer in answers] == [200] * 200
    assert len({cookie_of(answer) for answer in answers}) == 1
    assert audited(api, new.tenant_id).count("refresh_token.spent") == 1
    assert me(api, json_of(answers[199])["access_token"]).status_code == 200


def test_a_planted_refresh_cookie_does_not_lock_the_genuine_one_out(api: Api) -> None:
    """A sibling domain plants cookies: no token, an old one, a genuine one of the attacker's own session. The page's
    CSRF token says which session it means, so none of them takes the place of the person's."""
    new, attacker = register(api), register(api)
    expired = issue_refresh_token(
        api.app.state.services.keys,
        issuer=api.base_url,
        user_id=UUID(claims(new.refresh_cookie)["sub"]),
        session_secret=claims(attacker.refresh_cookie)["sid"],
        token_id="x" * 43,
        issued_at=datetime.fromisoformat("2020-01-01T00:00Z"),
        expires_at=datetime.fromisoformat("2020-01-08T00:00Z"),
    )
    token = token_for(api.base_url, httpx.Headers({"Cookie": f"limena_refresh={new.refresh_cookie}"}))
    mine = new.refresh_cookie
    for planted in ["x", expired, new.access_token, attacker.refresh_cookie]:
        for cookies in ([planted, mine], [mine, planted], [planted, expired, "y", mine, ""]):
            shown = "; ".join(f"limena_refresh={one}" for one in cookies)
            headers = {"Cookie": f"{shown}; limena_csrf={token}", HEADER: token}
            answer = httpx.post(f"{api.base_url}{AUTH}/refresh", headers=headers, timeout=30)
            assert answer.status_code == 200, answer.text
            assert claims(cookie_of(answer))["sid"] == claims(mine)["sid"]
            mine = cookie_of(answer)
    with api.client() as browser:
        browser.headers["Cookie"] = f"limena_refresh={attacker.refresh_cookie}; limena_refresh={mine}"
        kept = f"; limena_csrf={token}"
        answer = httpx.get(f"{api.base_url}{AUTH}/csrf", headers={"Cookie": browser.headers["Cookie"] + kept})
        assert json_of(answer)["csrf_token"] == token, "the token that the browser has stays its own"


def test_a_spent_token_that_is_over_ends_the_family_too(api: Api) -> None:
    """A thief who waited for a week is a thief; a person who was away for one is told to log in."""
    new, away = register(api), register(api)
    said = claims(new.refresh_cookie)
    second = cookie_of(refresh_with(api, new.refresh_cookie))
    with api.database.connect() as connection:
        connection.execute(
            "update limena.refresh_tokens set spent_at = spent_at - interval '8 days',"
            " expires_at = expires_at - interval '8 days', issued_at = issued_at - interval '8 days'"
            " where token_hash = %s or token_hash = %s",
            [secret_hash(said["jti"]), secret_hash(claims(away.refresh_cookie)["jti"])],
        )

    def over(token: str) -> str:
        told = claims(token)
        return issue_refresh_token(
            api.app.state.services.keys,
            issuer=api.base_url,
            user_id=UUID(told["sub"]),
            session_secret=told["sid"],
            token_id=told["jti"],
            issued_at=datetime.fromtimestamp(told["iat"] - 8 * 24 * 3600, UTC),
            expires_at=datetime.fromtimestamp(told["exp"] - 8 * 24 * 3600, UTC),
        )

    assert code_of(refresh_with(api, over(away.refresh_cookie))) == (401, "unauthenticated")
    assert me(api, away.access_token).status_code == 200, "which ends nothing"
    assert code_of(refresh_with(api, over(new.refresh_cookie))) == (401, "session_revoked")
    assert code_of(refresh_with(api, second)) == (401, "session_revoked")
    assert code_of(me(api, new.access_token)) == (401, "session_revoked")
    assert "session.refresh_reused" in audited(api, new.tenant_id)


def test_a_spent_token_ends_the_family_once_its_grace_is_over(api: Api) -> None:
    new = register(api)
    first = new.refresh_cookie
    second = cookie_of(refresh_with(api, first))
    assert cookie_of(refresh_with(api, first)) == second, "within the grace"
    with api.database.connect() as connection:
        connection.execute(
            "update limena.refresh_tokens set spent_at = spent_at - interval '11 seconds' where spent_at is not null"
            " and session_id = (select id from limena.sessions where secret_hash = %s)",
            [session_of(new)],
        )
    assert code_of(refresh_with(api, first)) == (401, "session_revoked")
    assert code_of(refresh_with(api, second)) == (401, "session_revoked"), "the thief's and the owner's alike"
    assert code_of(me(api, new.access_token)) == (401, "session_revoked"), "access tokens too, at once"
    assert "session.refresh_reused" in audited(api, new.tenant_id)


def test_a_slow_tab_is_given_no_spent_token(api: Api) -> None:
    """Two refreshes while its own was on the way: with the first successor in the cookie, the next refresh after the
    grace would end the session. Would fail if a repeat always gave out its successor."""
    new = register(api)
    first = new.refresh_cookie
    second = cookie_of(refresh_with(api, first))
    third = cookie_of(refresh_with(api, second))
    slow = refresh_with(api, first)
    assert slow.status_code == 200
    assert "set-cookie" not in slow.headers
    assert me(api, json_of(slow)["access_token"]).status_code == 200
    assert refresh_with(api, third).status_code == 200


def test_a_family_ends_30_days_after_the_log_in(api: Api) -> None:
    new = register(api)
    with api.database.connect() as connection:
        connection.execute(
            "update limena.sessions set created_at = created_at - interval '29 days',"
            " expires_at = expires_at - interval '29 days' where secret_hash = %s",
            [session_of(new)],
        )
        row = connection.execute(
            "select expires_at - created_at, expires_at from limena.sessions where secret_hash = %s", [session_of(new)]
        ).fetchone()
    assert row is not None
    assert row[0].days == 30
    last = cookie_of(refresh_with(api, new.refresh_cookie))
    assert claims(last)["exp"] <= row[1].timestamp(), "no successor outlives the session"
    assert claims(last)["exp"] - claims(last)["iat"] < 2 * 24 * 3600
    with api.database.connect() as connection:
        connection.execute(
            "update limena.sessions set created_at = created_at - interval '2 days',"
            " expires_at = expires_at - interval '2 days' where secret_hash = %s",
            [session_of(new)],
        )
    assert code_of(refresh_with(api, last)) == (401, "session_revoked")
    assert code_of(me(api, new.access_token)) == (401, "session_revoked")


def test_what_is_no_refresh_token_is_401_and_costs_no_query(api: Api, start_api: Callable[..., Api]) -> None:
    new = register(api)
    good = new.refresh_cookie
    keys = api.app.state.services.keys
    said = claims(good)
    same: dict[str, Any] = {"user_id": said["sub"], "session_secret": said["sid"], "token_id": said["jti"]}
    head, body, signature = good.split(".")
    wrong = {
        "nothing": "",
        "no token": "x",
        "an access token": new.access_token,
        "another issuer's": issue_refresh_token(
            keys,
            issuer="https://evil.example",
            **same,
            issued_at=datetime.fromtimestamp(said["iat"]).astimezone(),
            expires_at=datetime.fromtimestamp(said["exp"]).astimezone(),
        ),
        "another body": f"{head}.{body[:-2]}AA.{signature}",
        "another signature": f"{head}.{body}.{signature[:-4]}AAAA",
        "unsigned": jwt.encode(said, "", algorithm="none", headers={"typ": "limena-refresh+jwt"}),
        "signed with a secret": jwt.encode(said, "x" * 32, algorithm="HS256", headers={"typ": "limena-refresh+jwt"}),
        "too long": good + "A" * 5000,
    }
    down = start_api(
        api.database,
        api.demo,
        LIMENA_BASE_URL=api.base_url,
        LIMENA_APP_DSN="host=127.0.0.1 port=1",
        LIMENA_AUTH_DSN="host=127.0.0.1 port=1",
        LIMENA_POOL_TIMEOUT_SECONDS="0.2",
    )
    for what, token in wrong.items():
        answer = httpx.post(f"{down.base_url}{AUTH}/refresh", headers={"Cookie": f"limena_refresh={token}"})
        assert code_of(answer) == (401, "unauthenticated"), what
    assert code_of(refresh_with(down, good)) == (503, "unavailable"), "a good one is never 401 for that"


def test_a_refresh_token_is_no_access_token(api: Api) -> None:
    new = register(api)
    assert code_of(me(api, new.refresh_cookie)) == (401, "unauthenticated")


# ------------------------------------------------------------------------------------------------------------ sessions


def test_log_out_ends_this_session_at_the_next_request(api: Api) -> None:
    new = register(api)
    elsewhere = new.log_in(api)
    cookie = new.refresh_cookie
    assert new.client.post(f"{AUTH}/logout").status_code == 204
    assert set(new.client.cookies) == {"limena_device"}, "which opens nothing"
    assert code_of(new.client.get("/api/v1/me")) == (401, "session_revoked")
    assert code_of(refresh_with(api, cookie)) == (401, "session_revoked")
    assert elsewhere.get("/api/v1/me").status_code == 200
    assert "session.ended" in audited(api, new.tenant_id)


def test_log_out_everywhere(api: Api) -> None:
    new, bystander = register(api), register(api)
    others = [new.log_in(api) for _ in range(3)]
    assert others[1].post(f"{AUTH}/logout-all").status_code == 204
    for client in [new.client, *others]:
        assert code_of(client.get("/api/v1/me")) == (401, "session_revoked")
    assert bystander.client.get("/api/v1/me").status_code == 200
    assert audited(api, new.tenant_id).count("session.ended") == 4


def test_sessions_are_listed_and_ended_one_by_one(api: Api) -> None:
    new, stranger = register(api), register(api)
    elsewhere = new.log_in(api)
    items = new.client.get(f"{AUTH}/sessions").json()["items"]
    assert [one["current"] for one in items] == [False, True], "newest first"
    assert items[0]["ip"] == "127.0.0.1"
    other = items[0]["id"]
    assert [one["id"] for one in stranger.client.get(f"{AUTH}/sessions").json()["items"]] == [stranger.session_id]
    assert code_of(stranger.client.delete(f"{AUTH}/sessions/{other}")) == (404, "not_found")
    assert elsewhere.get("/api/v1/me").status_code == 200
    assert new.client.delete(f"{AUTH}/sessions/{other}").status_code == 204
    assert new.client.delete(f"{AUTH}/sessions/{other}").status_code == 204, "again"
    assert code_of(elsewhere.get("/api/v1/me")) == (401, "session_revoked")
    assert [one["id"] for one in new.client.get(f"{AUTH}/sessions").json()["items"]] == [new.session_id]


def test_a_session_goes_to_another_tenant_of_the_person_and_to_no_other(api: Api) -> None:
    new, host, stranger = register(api), register(api), register(api)
    with api.database.connect() as connection:
        connection.execute("set session_replication_role = replica")  # no invitation is needed here
        connection.execute(
            "insert into limena.memberships (tenant_id, user_id, role) select %s, id, 'viewer' from limena.users"
            " where email = %s",
            [host.tenant_id, new.email],
        )
    answer = new.client.post(f"{AUTH}/tenant", json={"tenant_id": host.tenant_id})
    assert answer.status_code == 200, answer.text
    assert me(api, json_of(answer)["access_token"]).json()["role"] == "viewer"
    assert me(api, new.access_token).json()["tenant"]["id"] == new.tenant_id, "the old token says where it acts"
    refreshed = json_of(refresh_with(api, new.refresh_cookie))
    assert claims(refreshed["access_token"])["tid"] == host.tenant_id, "refreshes keep to it"
    for nowhere in (stranger.tenant_id, "11111111-1111-4111-8111-111111111111"):
        assert code_of(new.client.post(f"{AUTH}/tenant", json={"tenant_id": nowhere})) == (404, "not_found")
    assert code_of(new.client.post(f"{AUTH}/tenant", json={"tenant_id": "x"})) == (422, "validation_failed")


# ----------------------------------------------------------------------------------------------------------- passwords


def change(client: httpx.Client, current: str, new: str) -> httpx.Response:
    return client.post(f"{AUTH}/password", json={"current_password": current, "new_password": new})


def test_a_new_password_ends_the_other_sessions(api: Api) -> None:
    new = register(api)
    elsewhere = new.log_in(api)
    link = ask_for_reset(api, new.email)
    assert change(new.client, PASSWORD, NEW_PASSWORD).status_code == 204
    assert new.client.get("/api/v1/me").status_code == 200
    assert code_of(elsewhere.get("/api/v1/me")) == (401, "session_revoked")
    with api.client() as client:
        old = client.post(f"{AUTH}/login", json={"email": new.email, "password": PASSWORD})
        assert code_of(old) == (401, "unauthenticated")
        used = client.post(f"{AUTH}/password/reset", json={"token": link, "new_password": NEW_PASSWORD + "!"})
        assert code_of(used) == (404, "not_found"), "links that were out are used up"
    new.password = NEW_PASSWORD
    new.log_in(api).close()
    assert {"user.password_changed", "session.ended"} <= set(audited(api, new.tenant_id))


@pytest.mark.parametrize(
    ("password", "told"),
    [
        ("short", "must have at least 12 characters"),
        ("x" * 257, "must have at most 256 characters"),
        ("password12345", "is too easy to guess"),
        ("Nova Comer 1", "is too easy to guess"),
        ("limenalimena", "is too easy to guess"),
        ("{email}", "is too easy to guess"),
        ("{tenant_name}", "is too easy to guess"),
    ],
)
def test_a_weak_password_is_refused_wherever_one_is_set(api: Api, password: str, told: str) -> None:
    new = register(api)
    body = new_registration()
    body["password"] = password.format(**body)
    mine = password.format(**new.registration)
    with api.client() as client:
        token = ask_for_reset(api, new.email)
        answers = {
            "password": client.post(f"{AUTH}/register", json=body),
            "new_password": change(new.client, PASSWORD, mine),
            "new_password ": client.post(f"{AUTH}/password/reset", json={"token": token, "new_password": mine}),
        }
        for field, answer in answers.items():
            assert code_of(answer) == (422, "validation_failed")
            (error,) = json_of(answer)["errors"]
            assert error["field"] == field.strip()
            assert told in error["message"]
            assert password not in answer.text.replace("Nova Comer", "")
        good = client.post(f"{AUTH}/password/reset", json={"token": token, "new_password": NEW_PASSWORD})
        assert good.status_code == 204, "a password that was refused does not use up the link"


def test_the_current_password_is_asked_for_and_guessing_it_is_slowed_down(api: Api) -> None:
    new = register(api)
    for _ in range(6):  # five are free; the sixth starts the delay
        answer = change(new.client, "not the password", NEW_PASSWORD)
        assert code_of(answer) == (422, "validation_failed")
        assert json_of(answer)["errors"] == [{"field": "current_password", "message": "is wrong"}]
    assert code_of(change(new.client, PASSWORD, NEW_PASSWORD)) == (429, "rate_limited")
    assert audited(api, new.tenant_id).count("session.login_failed") == 6


def test_a_link_says_whose_it_is_for_as_long_as_it_is_good(api: Api) -> None:
    owner = register(api)
    invited, invitation = invite(api, owner.client)
    token = ask_to_register(api)
    with api.client() as client:

        def whose(shown: str) -> str | None:
            answer = client.post(f"{AUTH}/link", json={"token": shown})
            assert answer.status_code == 200, answer.text
            email: str | None = json_of(answer)["email"]
            return email

        assert whose(invitation) == invited
        registered = whose(token)
        made = client.post(f"{AUTH}/verify", json={"token": token, "password": NEW_PASSWORD})
        assert json_of(made)["user"]["email"] == registered
        assert whose(token) is None, "used"
        assert whose("x") is None
    # With SQL as limena_app one writes an invitation with the hash of a token that one knows.
    with api.database.connect("limena_app") as connection:
        connection.execute(
            """select limena.create_invitation('ceo@victim.example', 'viewer', sha256('chosen'))
            from limena.enter_session(%s, %s)""",
            [session_of(owner), owner.tenant_id],
        )
    with api.client() as client:
        assert json_of(client.post(f"{AUTH}/link", json={"token": "chosen"})) == {"email": None}


def test_a_right_password_for_another_tenant_counts_once(api: Api) -> None:
    """As a wrong one does: else it would tell, by the number of attempts that are free, that the password is right."""
    new, host = register(api), register(api)
    body = {"email": new.email, "password": PASSWORD, "tenant_id": host.tenant_id}
    with api.client() as client:
        answers = [client.post(f"{AUTH}/login", json=body) for _ in range(7)]
    assert [answer.status_code for answer in answers] == [401] * 6 + [429]
    assert audited(api, new.tenant_id).count("session.login_failed") == 6


def test_a_reset_is_good_once_and_ends_all_sessions(api: Api) -> None:
    new = register(api)
    token, newer = ask_for_reset(api, new.email), ask_for_reset(api, new.email)
    body = {"token": token, "new_password": NEW_PASSWORD}
    with api.client() as client:
        assert client.post(f"{AUTH}/password/reset", json=body).status_code == 204
        assert code_of(client.post(f"{AUTH}/password/reset", json=body)) == (404, "not_found")
        assert code_of(client.post(f"{AUTH}/password/reset", json=body | {"token": newer})) == (404, "not_found")
        for nonsense in ("", "x", token[:-1], "\u00e9" * 43):
            unknown = client.post(f"{AUTH}/password/reset", json=body | {"token": nonsense})
            assert code_of(unknown) == (404, "not_found")
    assert code_of(new.client.get("/api/v1/me")) == (401, "session_revoked")
    new.password = NEW_PASSWORD
    new.log_in(api).close()
    assert {"user.password_reset_requested", "user.password_reset"} <= set(audited(api, new.tenant_id))


def test_a_reset_is_over_after_an_hour(api: Api) -> None:
    new = register(api)
    token = ask_for_reset(api, new.email)
    with api.database.connect() as connection:
        connection.execute("update limena.password_resets set expires_at = now() where used_at is null")
    with api.client() as client:
        late = client.post(f"{AUTH}/password/reset", json={"token": token, "new_password": NEW_PASSWORD})
    assert code_of(late) == (404, "not_found")


def test_forgot_answers_the_same_for_everyone(api: Api) -> None:
    new = register(api)
    with api.client() as client:
        answers = []
        for email in (new.email, f"nobody-{new.email}", "no address", ""):
            started = time.monotonic()
            answers.append(client.post(f"{AUTH}/password/forgot", json={"email": email}))
            assert time.monotonic() - started >= 0.3, "no sooner than the floor, whatever had to be done"
    assert {(answer.status_code, answer.text) for answer in answers} == {(202, '{"status": "accepted"}')}
    with api.database.connect() as connection:
        rows = connection.execute(
            "select count(*) from limena.outbox where recipient in (%s, %s)", [new.email, f"nobody-{new.email}"]
        ).fetchone()
    assert rows == (1,)


def test_a_log_in_with_another_cost_rehashes_and_leaves_the_password(
    fresh_database: Callable[[], Database], start_api: Callable[..., Api]
) -> None:
    old = start_api(fresh_database(), {})
    new = register(old)
    dearer = start_api(old.database, {}, LIMENA_BCRYPT_COST="5")

    def stored() -> tuple[str, Any]:
        with old.database.connect() as connection:
            row = connection.execute(
                "select password_hash, password_changed_at from limena.users where email = %s", [new.email]
            ).fetchone()
        assert row is not None
        return row[0], row[1]

    before = stored()
    new.log_in(dearer).close()
    after = stored()
    assert (before[0][:7], after[0][:7]) == ("$2b$04$", "$2b$05$")
    assert before[1] == after[1]
    new.log_in(dearer).close()
    assert stored() == after
    assert new.client.get("/api/v1/me").status_code == 200, "a rehash ends no session"


def test_log_ins_that_rehash_at_once_all_succeed(
    fresh_database: Callable[[], Database], start_api: Callable[..., Api]
) -> None:
    """Each finds the old hash; one replaces it, and the others must not be told that their password is wrong."""
    old = start_api(fresh_database(), {})
    new = register(old)
    dearer = start_api(old.database, {}, LIMENA_BCRYPT_COST="5")
    token = token_for(dearer.base_url, httpx.Headers())
    headers = {"Cookie": f"limena_csrf={token}", HEADER: token}
    body = {"email": new.email, "password": new.password}

    async def all_at_once() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=dearer.base_url, timeout=60) as client:
            return await asyncio.gather(*(client.post(f"{AUTH}/login", headers=headers, json=body) for _ in range(5)))

    assert {answer.status_code for answer in asyncio.run(all_at_once())} == {200}


# --------------------------------------------------------------------------------------------------------- brute force


def wait_of(api: Api) -> float:
    with api.database.connect() as connection:
        row = connection.execute(
            "select max(extract(epoch from blocked_until - clock_timestamp())) from limena.log_in_failures"
            " where blocked_until > clock_timestamp()"
        ).fetchone()
    assert row is not None
    assert row[0] is not None, "nothing is blocked"
    return float(row[0])


def make_time_pass(api: Api, seconds: int) -> None:
    with api.database.connect() as connection:
        connection.execute(
            "update limena.log_in_failures set blocked_until = blocked_until - make_interval(secs => %s)"
            " where blocked_until > '-infinity'",
            [seconds],
        )


@pytest.mark.parametrize("is_known", [True, False])
def test_failures_delay_the_next_attempt_longer_each_time(api: Api, is_known: bool) -> None:
    """The same for an address that nobody has. No permanent lock-out: after the delay the right password opens."""
    new = register(api)
    email = new.email if is_known else f"nobody-{new.email}"
    told = []
    with api.client() as client:
        waits = []
        for attempt in range(9):
            started = time.monotonic()
            answer = client.post(f"{AUTH}/login", json={"email": email, "password": "wrong"})
            assert time.monotonic() - started >= 0.1, "no sooner than the floor, however many tenants it is recorded in"
            assert code_of(answer) == (401, "unauthenticated"), attempt
            told.append(json_of(answer)["detail"])
            if attempt < 5:
                continue
            make_time_pass(api, -10)  # so that a slow machine does not outlast the delay
            left_before = wait_of(api)
            refused = client.post(f"{AUTH}/login", json={"email": email, "password": PASSWORD})
            assert code_of(refused) == (429, "rate_limited"), "the right password too: else it could be told"
            retry_after = int(refused.headers["retry-after"])
            assert wait_of(api) <= retry_after < left_before + 1, "not too soon, and not later than need be"
            waits.append(retry_after)
            make_time_pass(api, retry_after)
        assert waits == sorted(waits)
        assert waits[-1] > waits[0]
        assert len(set(told)) == 1
        if is_known:
            new.log_in(api).close()


def test_a_refused_attempt_does_not_lengthen_the_wait(api: Api) -> None:
    new = register(api)
    with api.client() as client:
        for _ in range(6):
            client.post(f"{AUTH}/login", json={"email": new.email, "password": "wrong"})
        make_time_pass(api, -60)
        before = wait_of(api)
        for _ in range(5):
            assert client.post(f"{AUTH}/login", json={"email": new.email, "password": "wrong"}).status_code == 429
        assert wait_of(api) < before


def test_a_browser_that_is_known_is_not_delayed_by_strangers(api: Api) -> None:
    """By its device cookie. Someone new in the same place waits; a reset of the password makes their browser known.
    Nor does what a known browser does lift the strangers' delay."""
    new, stranger = register(api), api.client()
    known = new.log_in(api)
    device = known.cookies["limena_device"]
    for _ in range(6):
        assert stranger.post(f"{AUTH}/login", json=body_of(new.registration, "wrong")).status_code == 401
    make_time_pass(api, -600)
    with api.client() as elsewhere, api.client() as forgetful:
        assert elsewhere.post(f"{AUTH}/login", json=body_of(new.registration, PASSWORD)).status_code == 429
        assert known.post(f"{AUTH}/login", json=body_of(new.registration, PASSWORD)).status_code == 200
        assert known.cookies["limena_device"] != device, "each log-in brings a new one"

        token = ask_for_reset(api, new.email)
        reset = forgetful.post(f"{AUTH}/password/reset", json={"token": token, "new_password": NEW_PASSWORD})
        assert reset.status_code == 204
        assert forgetful.post(f"{AUTH}/login", json=body_of(new.registration, NEW_PASSWORD)).status_code == 200

    # A cookie of another account, one that was changed, and one that is planted before it do not help or hinder.
    other = register(api)
    for cookie, status in [
        (other.client.cookies["limena_device"], 429),
        (known.cookies["limena_device"][:-1] + "!", 429),
        (f"x; limena_device={other.client.cookies['limena_device']}; limena_device={device}", 200),
    ]:
        with api.client(headers={"Cookie": f"limena_device={cookie}"}) as client:
            answer = client.post(f"{AUTH}/login", json=body_of(new.registration, NEW_PASSWORD))
            assert answer.status_code == status, cookie


def test_a_device_cookie_is_no_way_to_guess(api: Api) -> None:
    new = register(api)
    thief = new.log_in(api)
    for _ in range(6):
        assert thief.post(f"{AUTH}/login", json=body_of(new.registration, "wrong")).status_code == 401
    make_time_pass(api, -600)
    assert thief.post(f"{AUTH}/login", json=body_of(new.registration, PASSWORD)).status_code == 429
    new.log_in(api).close()  # nobody else waits for it


def test_a_browser_is_known_for_several_accounts(api: Api) -> None:
    one, two = register(api), register(api)
    with api.client() as shared, api.client() as stranger:
        for new in (one, two):
            assert shared.post(f"{AUTH}/login", json=body_of(new.registration, PASSWORD)).status_code == 200
        assert len(shared.cookies["limena_device"].split(".")) == 2
        for _ in range(6):
            stranger.post(f"{AUTH}/login", json=body_of(one.registration, "wrong"))
        make_time_pass(api, -600)
        assert shared.post(f"{AUTH}/login", json=body_of(one.registration, PASSWORD)).status_code == 200
        assert len(shared.cookies["limena_device"].split(".")) == 2, "a new token takes the old one's place"


def test_an_attempt_that_ended_in_503_does_not_count(api: Api, start_api: Callable[..., Api]) -> None:
    """Too many passwords wait to be hashed: nothing was compared, so nobody waits for it. What was compared and wrong
    stays counted."""
    new = register(api)
    busy = start_api(api.database, api.demo, LIMENA_BASE_URL=api.base_url)
    hasher = busy.app.state.services.hasher

    def failures() -> int:
        with api.database.connect() as connection:
            row = connection.execute("select coalesce(sum(failures), 0) from limena.log_in_failures").fetchone()
        assert row is not None
        return int(row[0])

    before = failures()
    hasher._calls = hasher._most_calls
    try:
        with busy.client() as client:
            for _ in range(7):
                answer = client.post(f"{AUTH}/login", json=body_of(new.registration, PASSWORD))
                assert code_of(answer) == (503, "unavailable")
    finally:
        hasher._calls = 0
    assert failures() == before
    with busy.client() as client:
        assert client.post(f"{AUTH}/login", json=body_of(new.registration, "wrong")).status_code == 401
    assert failures() == before + 3, "for the account here, for the address, and for the account"


# -------------------------------------------------------------------------------------------------------- registration


def test_who_registers_owns_a_tenant_and_is_logged_in(api: Api) -> None:
    new = register(api)
    found = json_of(new.client.get("/api/v1/me"))
    assert (found["user"]["email"], found["role"], found["tenant"]["id"]) == (new.email, "owner", new.tenant_id)
    assert refresh_with(api, new.refresh_cookie).status_code == 200
    with api.client() as client:
        again = client.post(f"{AUTH}/register", json=new.registration)
        assert code_of(again) == (409, "conflict")
        for field, value in [("email", "x"), ("display_name", " x"), ("tenant_name", "")]:
            answer = client.post(f"{AUTH}/register", json=new_registration() | {field: value})
            assert code_of(answer) == (422, "validation_failed")
            assert [error["field"] for error in json_of(answer)["errors"]] == [field]


def test_a_registration_that_is_verified(fresh_database: Callable[[], Database], start_api: Callable[..., Api]) -> None:
    """Known and unknown get the same answer and a mail each, and only the link of the unknown one opens anything."""
    api = start_api(fresh_database(), {}, LIMENA_REGISTRATION="verified")
    body = new_registration()
    with api.client() as client:
        asked = client.post(f"{AUTH}/register", json=body)
        assert (asked.status_code, asked.text) == (202, '{"status": "accepted"}')
        assert "limena_refresh" not in client.cookies
        wrong = client.post(f"{AUTH}/login", json={"email": body["email"], "password": PASSWORD})
        assert code_of(wrong) == (401, "unauthenticated"), "nothing is there before the link is followed"
        token = mail_token(api, body["email"], "registration")
        verified = client.post(f"{AUTH}/verify", json={"token": token})
        assert verified.status_code == 200, verified.text
        assert json_of(verified).keys() == {"user", "tenant", "access_token", "token_type", "expires_in"}
        assert json_of(verified)["tenant"]["name"] == body["tenant_name"]
        assert refresh_with(api, client.cookies["limena_refresh"]).status_code == 200
        assert code_of(client.post(f"{AUTH}/verify", json={"token": token})) == (404, "not_found")

        started = time.monotonic()
        known = client.post(f"{AUTH}/register", json=body)
        assert time.monotonic() - started >= 0.3
        assert (known.status_code, known.text) == (asked.status_code, asked.text)
        told = mail_token(api, body["email"], "registration_known")
        assert code_of(client.post(f"{AUTH}/verify", json={"token": told})) == (404, "not_found")
        for field, value in [("email", "x"), ("display_name", " x"), ("tenant_name", "")]:
            answer = client.post(f"{AUTH}/register", json=new_registration() | {field: value})
            assert code_of(answer) == (422, "validation_failed")
            assert [error["field"] for error in json_of(answer)["errors"]] == [field]


def test_a_link_that_a_stranger_caused_opens_no_account_with_the_strangers_password(
    fresh_database: Callable[[], Database], start_api: Callable[..., Api]
) -> None:
    """Pre-hijacking. The owner of the mailbox follows the link: without a password of their own there is no account,
    and with one it is theirs alone, whatever cookie the stranger had."""
    api = start_api(fresh_database(), {}, LIMENA_REGISTRATION="verified")
    body = new_registration()
    stranger, owner, other = api.client(), api.client(), api.client()
    assert stranger.post(f"{AUTH}/register", json=body).status_code == 202
    assert other.post(f"{AUTH}/register", json=new_registration()).status_code == 202
    cookie = stranger.cookies["limena_registrant"]
    token = mail_token(api, body["email"], "registration")
    for client in (owner, other):
        refused = client.post(f"{AUTH}/verify", json={"token": token})
        assert code_of(refused) == (422, "validation_failed"), "a browser that did not register this address"
        assert [error["field"] for error in json_of(refused)["errors"]] == ["password"]
    planted = {"Cookie": f"limena_registrant={cookie}; limena_registrant={other.cookies['limena_registrant']}"}
    assert owner.post(f"{AUTH}/verify", json={"token": token}, headers=planted).status_code == 422, "which of the two?"
    for weak in ("short", body["tenant_name"]):
        refused = owner.post(f"{AUTH}/verify", json={"token": token, "password": weak})
        assert code_of(refused) == (422, "validation_failed")
    opened = owner.post(f"{AUTH}/verify", json={"token": token, "password": NEW_PASSWORD})
    assert opened.status_code == 200, "what was refused used nothing up"
    assert json_of(opened)["user"]["email"] == body["email"]
    assert code_of(stranger.post(f"{AUTH}/verify", json={"token": token})) == (404, "not_found")
    assert code_of(stranger.post(f"{AUTH}/login", json=body_of(body, PASSWORD))) == (401, "unauthenticated")
    assert other.post(f"{AUTH}/login", json=body_of(body, NEW_PASSWORD)).status_code == 200


def test_who_registers_and_opens_the_mail_elsewhere_gives_the_password_again(
    fresh_database: Callable[[], Database], start_api: Callable[..., Api]
) -> None:
    api = start_api(fresh_database(), {}, LIMENA_REGISTRATION="verified")
    body = new_registration()
    with api.client() as desk, api.client() as phone:
        attributes = desk.post(f"{AUTH}/register", json=body).headers["set-cookie"].lower().split("; ")[1:]
        assert {"httponly", "path=/", "samesite=lax", "max-age=86400"} == set(attributes)
        token = mail_token(api, body["email"], "registration")
        answer = phone.post(f"{AUTH}/verify", json={"token": token, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        assert desk.post(f"{AUTH}/login", json=body_of(body, PASSWORD)).status_code == 200


def body_of(registration: dict[str, Any], password: str) -> dict[str, str]:
    return {"email": registration["email"], "password": password}


def test_registration_is_closed_in_production_unless_it_is_opened(api: Api, start_api: Callable[..., Api]) -> None:
    production = start_api(
        api.database, api.demo, LIMENA_ENV="production", LIMENA_BASE_URL="https://x.example", LIMENA_BCRYPT_COST="10"
    )
    token = ask_to_register(api)
    with production.client() as client:
        assert code_of(client.post(f"{AUTH}/register", json=new_registration())) == (403, "forbidden")
        assert code_of(client.post(f"{AUTH}/verify", json={"token": token})) == (403, "forbidden")


# ---------------------------------------------------------------------------------------------------------- what it is


def test_an_access_token_that_is_malformed_is_401_on_every_route_of_a_session(api: Api) -> None:
    new = register(api)
    keys = api.app.state.services.keys
    said = claims(new.access_token)
    foreign = issue_access_token(
        keys, issuer="https://evil.example", user_id=said["sub"], tenant_id=None, session_secret=said["sid"]
    )
    for token in [
        "",
        "x",
        "x.y.z",
        "a" * 9000,
        new.access_token[:-8] + "AAAAAAAA",
        foreign,
        new.refresh_cookie,
        "\u00ff",
    ]:
        for method, path in [("POST", "logout"), ("POST", "password"), ("POST", "tenant"), ("GET", "sessions")]:
            headers = {b"Authorization": b"Bearer" + (b" " + token.encode("latin-1") if token else b"")}
            answer = httpx.request(method, f"{api.base_url}{AUTH}/{path}", headers=headers, verify=TLS)
            assert answer.status_code == 401, (token, method, path)


def test_each_event_is_in_the_log_of_the_right_tenant_and_of_no_other(api: Api) -> None:
    new, bystander = register(api), register(api)
    before = audited(api, bystander.tenant_id)
    with api.client() as client:
        client.post(f"{AUTH}/login", json={"email": new.email, "password": "wrong"})
    elsewhere = new.log_in(api)
    elsewhere.post(f"{AUTH}/logout")
    change(new.client, PASSWORD, NEW_PASSWORD)
    ask_for_reset(api, new.email)
    assert {
        "session.created",
        "session.login_failed",
        "session.ended",
        "user.password_changed",
        "user.password_reset_requested",
    } <= set(audited(api, new.tenant_id)), audited(api, new.tenant_id)
    assert audited(api, bystander.tenant_id) == before
    with api.database.connect() as connection:
        rows = connection.execute(
            "select to_jsonb(a)::text from limena.audit_logs as a where tenant_id = %s", [new.tenant_id]
        ).fetchall()
    text = json.dumps([row[0] for row in rows])
    for secret in (PASSWORD, NEW_PASSWORD, "$2b$", claims(new.access_token)["sid"], claims(new.refresh_cookie)["jti"]):
        assert secret not in text
