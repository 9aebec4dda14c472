"""Members, invitations and the life of a tenant, as a client of the API sees them."""

from typing import Any

import httpx
import psycopg
import pytest

from limena import mail_tokens
from support.api import Api
from support.people import PASSWORD, Newcomer, audited, claims, invite, join, mail_token, new_registration, register

ACCEPT = "/api/v1/auth/invitations/accept"


def refusal(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    document: dict[str, Any] = response.json()
    return document


def accept(api: Api, client: httpx.Client | None = None, **body: str) -> httpx.Response:
    return (client or api.client()).post(ACCEPT, json=body)


def roles(who: Newcomer) -> dict[str, str]:
    items = who.client.get("/api/v1/members?limit=200").json()["items"]
    return {one["email"]: one["role"] for one in items}


@pytest.fixture
def owner(api: Api) -> Newcomer:
    return register(api)


class TestInvitations:
    def test_someone_new_joins_and_is_logged_in(self, api: Api, owner: Newcomer) -> None:
        email, token = invite(api, owner.client, "admin")
        listed = owner.client.get("/api/v1/invitations").json()["items"]
        assert [(one["email"], one["role"]) for one in listed] == [(email, "admin")]
        response = accept(api, token=token, password=PASSWORD, display_name="New")
        joined = response.json()
        assert joined["tenant"]["id"] == owner.tenant_id
        assert joined["user"]["email"] == email
        assert "limena_refresh" in response.headers["set-cookie"]
        with api.client(headers={"Authorization": f"Bearer {joined['access_token']}"}) as client:
            assert client.get("/api/v1/me").json()["role"] == "admin"
        assert owner.client.get("/api/v1/invitations").json()["items"] == []
        refusal(accept(api, token=token, password=PASSWORD, display_name="Again"), 404, "not_found")
        log = audited(api, owner.tenant_id)
        assert log[log.index("membership.created", 3) :][:2] == ["membership.created", "invitation.accepted"]

    def test_someone_new_needs_a_password_that_may_be_set_and_a_name(self, api: Api, owner: Newcomer) -> None:
        email, token = invite(api, owner.client)
        errors = refusal(accept(api, token=token), 422, "validation_failed")["errors"]
        assert {one["field"] for one in errors} == {"password", "display_name"}
        weak = accept(api, token=token, password=email, display_name="New")
        assert refusal(weak, 422, "validation_failed")["errors"][0]["field"] == "password"
        assert accept(api, token=token, password=PASSWORD, display_name="New").status_code == 200

    def test_the_token_alone_does_nothing_to_an_account_that_exists(self, api: Api, owner: Newcomer) -> None:
        other = register(api)
        _, token = invite(api, owner.client, email=other.email)
        refusal(accept(api, token=token), 401, "unauthenticated")
        refusal(accept(api, token=token, password="not the password 1", display_name="Thief"), 401, "unauthenticated")
        assert other.email not in roles(owner)
        joined = accept(api, token=token, password=other.password)
        assert joined.status_code == 200, joined.text
        assert joined.json()["user"]["display_name"] == other.registration["display_name"]
        assert roles(owner)[other.email] == "member"

    def test_someone_who_is_logged_in_accepts_with_that_session(self, api: Api, owner: Newcomer) -> None:
        other = register(api)
        _, token = invite(api, owner.client, email=other.email)
        answer = accept(api, other.client, token=token)
        assert answer.status_code == 200, answer.text
        assert "set-cookie" not in answer.headers, "it is the same session"
        with api.client(headers={"Authorization": f"Bearer {answer.json()['access_token']}"}) as client:
            assert client.get("/api/v1/me").json()["tenant"]["id"] == owner.tenant_id

    def test_another_persons_session_does_not_fit(self, api: Api, owner: Newcomer) -> None:
        other, thief = register(api), register(api)
        for address in (other.email, new_registration()["email"]):
            _, token = invite(api, owner.client, email=address)
            refusal(accept(api, thief.client, token=token, password=PASSWORD, display_name="Thief"), 403, "forbidden")
        ended = register(api)
        _, token = invite(api, owner.client, email=ended.email)
        session = ended.log_in(api)
        assert ended.client.post("/api/v1/auth/logout-all").status_code == 204
        refusal(accept(api, session, token=token), 401, "session_revoked")
        assert set(roles(owner)) == {owner.email}

    def test_guessing_the_password_counts_as_it_does_at_a_log_in(self, api: Api, owner: Newcomer) -> None:
        other = register(api)
        _, token = invite(api, owner.client, email=other.email)
        codes = [accept(api, token=token, password=f"wrong {number}").status_code for number in range(12)]
        assert codes[0] == 401
        assert codes[-1] == 429

    def test_a_member_is_not_invited_and_a_second_link_replaces_the_first(self, api: Api, owner: Newcomer) -> None:
        member = join(api, owner.client)
        again = owner.client.post("/api/v1/invitations", json={"email": member.email, "role": "admin"})
        assert "member already" in refusal(again, 409, "conflict")["detail"]
        email, first = invite(api, owner.client, "viewer")
        _, second = invite(api, owner.client, "member", email=email)
        refusal(accept(api, token=first, password=PASSWORD, display_name="New"), 404, "not_found")
        assert accept(api, token=second, password=PASSWORD, display_name="New").status_code == 200
        assert roles(owner)[email] == "member"

    def test_a_withdrawn_one_counts_no_longer(self, api: Api, owner: Newcomer) -> None:
        email, token = invite(api, owner.client)
        found = owner.client.get("/api/v1/invitations").json()["items"][0]["id"]
        assert owner.client.delete(f"/api/v1/invitations/{found}").status_code == 204
        refusal(owner.client.delete(f"/api/v1/invitations/{found}"), 404, "not_found")
        refusal(accept(api, token=token, password=PASSWORD, display_name="New"), 404, "not_found")
        assert "invitation.withdrawn" in audited(api, owner.tenant_id)
        assert email not in roles(owner)

    def test_those_of_someone_who_was_lowered_count_no_longer(self, api: Api, owner: Newcomer) -> None:
        admin = join(api, owner.client, "admin")
        _, token = invite(api, admin.client)
        path = f"/api/v1/members/{admin.user_id}"
        assert owner.client.patch(path, json={"role": "member"}).status_code == 200
        refusal(accept(api, token=token, password=PASSWORD, display_name="New"), 404, "not_found")

    def test_nobody_invites_above_their_own_role(self, api: Api, owner: Newcomer) -> None:
        admin = join(api, owner.client, "admin")
        body = {"email": "x@example.com", "role": "owner"}
        assert (
            refusal(admin.client.post("/api/v1/invitations", json=body), 403, "forbidden")["permission"] == "tenant:own"
        )

    def test_one_address_gets_five_mails_an_hour(self, api: Api, owner: Newcomer) -> None:
        body = {"email": new_registration()["email"], "role": "viewer"}
        answers = [owner.client.post("/api/v1/invitations", json=body) for _ in range(6)]
        assert [one.status_code for one in answers] == [201] * 5 + [429]
        assert int(answers[-1].headers["retry-after"]) > 0


class TestMembers:
    def test_roles_are_changed_by_those_who_hold_them(self, api: Api, owner: Newcomer) -> None:
        admin, viewer = join(api, owner.client, "admin"), join(api, owner.client, "viewer")
        for role in ("member", "admin", "viewer"):
            changed = admin.client.patch(f"/api/v1/members/{viewer.user_id}", json={"role": role})
            assert changed.json() == {"user_id": viewer.user_id, "role": role}
            assert viewer.client.get("/api/v1/me").json()["role"] == role, "at once"
        for target, role in ((viewer, "owner"), (admin, "owner"), (owner, "viewer")):
            denied = admin.client.patch(f"/api/v1/members/{target.user_id}", json={"role": role})
            assert refusal(denied, 403, "forbidden")["permission"] == "tenant:own"
        assert "access.denied" in audited(api, owner.tenant_id)
        wrong = owner.client.patch(f"/api/v1/members/{viewer.user_id}", json={"role": "king"})
        assert refusal(wrong, 422, "validation_failed")["errors"][0]["field"] == "role"

    def test_a_key_that_may_only_change_roles_raises_nobody(self, api: Api, owner: Newcomer) -> None:
        viewer = join(api, owner.client, "viewer")
        body = {"name": "x", "scopes": ["members:write"]}
        key = owner.client.post("/api/v1/api-keys", json=body).json()["key"]
        with api.client(headers={"Authorization": f"Bearer {key}"}) as program:
            path = f"/api/v1/members/{viewer.user_id}"
            assert refusal(program.patch(path, json={"role": "member"}), 403, "forbidden")["permission"] == "ai:use"
            refusal(program.delete(f"/api/v1/members/{owner.user_id}"), 403, "forbidden")
            assert program.delete(path).status_code == 204

    def test_the_last_owner_stays(self, api: Api, owner: Newcomer) -> None:
        path = f"/api/v1/members/{owner.user_id}"
        assert "owner" in refusal(owner.client.delete(path), 409, "conflict")["detail"]
        refusal(owner.client.patch(path, json={"role": "admin"}), 409, "conflict")
        second = join(api, owner.client, "owner")
        assert owner.client.patch(path, json={"role": "viewer"}).status_code == 200
        refusal(second.client.delete(f"/api/v1/members/{second.user_id}"), 409, "conflict")

    def test_ownership_passes_in_one_step(self, api: Api, owner: Newcomer) -> None:
        member = join(api, owner.client)
        body = {"user_id": member.user_id}
        moved = owner.client.post("/api/v1/tenant/transfer-ownership", json=body)
        assert moved.json() == {"user_id": member.user_id, "role": "owner"}
        assert roles(member) == {owner.email: "admin", member.email: "owner"}
        refusal(owner.client.post("/api/v1/tenant/transfer-ownership", json=body), 403, "forbidden")
        refusal(member.client.post("/api/v1/tenant/transfer-ownership", json=body), 422, "validation_failed")

    def test_whoever_goes_is_refused_at_once_and_elsewhere_stays_who_they_are(self, api: Api, owner: Newcomer) -> None:
        other = register(api)
        _, token = invite(api, owner.client, email=other.email)
        here = accept(api, other.client, token=token).json()
        with api.client(headers={"Authorization": f"Bearer {here['access_token']}"}) as client:
            assert client.get("/api/v1/me").status_code == 200
            assert owner.client.delete(f"/api/v1/members/{other.user_id}").status_code == 204
            refusal(client.get("/api/v1/me"), 401, "session_revoked")
        assert other.client.get("/api/v1/me").json()["tenant"]["id"] == other.tenant_id
        refusal(owner.client.delete(f"/api/v1/members/{other.user_id}"), 404, "not_found")

    def test_anyone_leaves_by_themselves_and_their_keys_end(self, api: Api, owner: Newcomer) -> None:
        admin, viewer = join(api, owner.client, "admin"), join(api, owner.client, "viewer")
        body = {"name": "x", "scopes": ["api_keys:read", "members:write"]}
        key = admin.client.post("/api/v1/api-keys", json=body).json()["key"]
        with api.client(headers={"Authorization": f"Bearer {key}"}) as program:
            refusal(viewer.client.delete(f"/api/v1/members/{admin.user_id}"), 403, "forbidden")
            assert viewer.client.delete(f"/api/v1/members/{viewer.user_id}").status_code == 204
            assert admin.client.delete(f"/api/v1/members/{admin.user_id}").status_code == 204
            refusal(program.get("/api/v1/me"), 401, "invalid_api_key")
        assert roles(owner) == {owner.email: "owner"}

    def test_keys_pass_to_an_owner_with_what_their_maker_could_do(self, api: Api, owner: Newcomer) -> None:
        """A key with tenant:own, of someone who is an admin by now, must not wake up again in an owner's name."""
        second = join(api, owner.client, "owner")
        made = {}
        for name, scopes in {"both": ["tenant:own", "members:read"], "own": ["tenant:own"]}.items():
            body = {"name": name, "scopes": scopes}
            made[name] = second.client.post("/api/v1/api-keys", json=body).json()["key"]
        path = f"/api/v1/members/{second.user_id}"
        assert owner.client.patch(path, json={"role": "admin"}).status_code == 200
        assert owner.client.delete(f"{path}?api_keys=transfer").status_code == 204
        keys = {one["name"]: one for one in owner.client.get("/api/v1/api-keys").json()["items"]}
        assert keys["both"]["created_by"] == owner.user_id
        assert keys["both"]["scopes"] == ["members:read"]
        assert keys["own"]["revoked_at"] is not None
        with api.client(headers={"Authorization": f"Bearer {made['both']}"}) as program:
            assert program.get("/api/v1/me").json()["permissions"] == ["members:read"]
        with api.client(headers={"Authorization": f"Bearer {made['own']}"}) as program:
            refusal(program.get("/api/v1/me"), 401, "invalid_api_key")
        assert "api_key.transferred" in audited(api, owner.tenant_id)
        wrong = owner.client.delete(f"/api/v1/members/{owner.user_id}?api_keys=keep")
        assert refusal(wrong, 422, "validation_failed")["errors"][0]["field"] == "api_keys"


class TestTheTenant:
    def test_its_name_and_settings_change(self, api: Api, owner: Newcomer) -> None:
        assert owner.client.patch("/api/v1/tenant", json={"name": "Renamed"}).json()["name"] == "Renamed"
        assert owner.client.get("/api/v1/tenant").json()["name"] == "Renamed"
        admin = join(api, owner.client, "admin").client
        assert admin.patch("/api/v1/tenant", json={"name": "By an admin"}).json()["audit_retention_days"] == 730
        shorter = {"audit_retention_days": 30}
        assert refusal(admin.patch("/api/v1/tenant", json=shorter), 403, "forbidden")["permission"] == "tenant:own"
        assert owner.client.patch("/api/v1/tenant", json=shorter).json()["audit_retention_days"] == 30
        assert owner.client.get("/api/v1/tenant").json()["name"] == "By an admin", "what is not given stays"
        refusal(owner.client.patch("/api/v1/tenant", json={"audit_retention_days": 29}), 422, "validation_failed")
        wrong = owner.client.patch("/api/v1/tenant", json={"name": " "})
        assert refusal(wrong, 422, "validation_failed")["errors"][0]["field"] == "name"

    def test_it_is_deleted_in_two_steps_and_restored_in_between(self, api: Api, owner: Newcomer) -> None:
        admin = join(api, owner.client, "admin")
        wrong = owner.client.request("DELETE", "/api/v1/tenant", json={"name": "another"})
        assert refusal(wrong, 422, "validation_failed")["errors"][0]["field"] == "name"
        name = {"name": owner.registration["tenant_name"]}
        assert refusal(admin.client.request("DELETE", "/api/v1/tenant", json=name), 403, "forbidden")
        refusal(owner.client.post("/api/v1/tenant/restore"), 409, "conflict")
        deleted = owner.client.request("DELETE", "/api/v1/tenant", json=name).json()
        assert deleted["state"] == "deleting"
        with api.database.connect() as connection:
            days = connection.execute(
                "select extract(epoch from %s::timestamptz - now()) / 86400", [deleted["deletion_due_at"]]
            ).fetchone()
        assert days is not None
        assert 29.9 < days[0] <= 30
        assert owner.client.get("/api/v1/members").status_code == 200, "it can be read and exported"
        refusal(owner.client.patch("/api/v1/tenant", json={"name": "x"}), 403, "tenant_frozen")
        refusal(owner.client.request("DELETE", "/api/v1/tenant", json=name), 403, "tenant_frozen")
        notices = owner.client.get("/api/v1/me").json()["notices"]
        assert [(one["code"], one["until"]) for one in notices] == [("tenant_deleting", deleted["deletion_due_at"])]
        assert refusal(admin.client.post("/api/v1/tenant/restore"), 403, "forbidden")["permission"] == "tenant:own"
        assert owner.client.post("/api/v1/tenant/restore").json()["state"] == "active"
        assert owner.client.patch("/api/v1/tenant", json={"name": "x"}).status_code == 200
        log = audited(api, owner.tenant_id)
        assert [one for one in log if one in ("tenant.deletion_requested", "tenant.restored")] == [
            "tenant.deletion_requested",
            "tenant.restored",
        ]

    def test_a_frozen_one_is_not_restored_by_its_owner(self, api: Api, owner: Newcomer) -> None:
        with api.database.connect() as connection:
            connection.execute("select limena_private.freeze_tenant(%s, 'abuse')", [owner.tenant_id])
        refusal(owner.client.post("/api/v1/tenant/restore"), 409, "conflict")
        assert [one["code"] for one in owner.client.get("/api/v1/me").json()["notices"]] == ["tenant_frozen"]
        # What works all the same.
        body = {"current_password": PASSWORD, "new_password": "seven violet umbrellas hum"}
        assert owner.client.post("/api/v1/auth/password", json=body).status_code == 204
        assert owner.client.post("/api/v1/auth/logout").status_code == 204

    def test_a_frozen_one_is_joined_by_nobody_and_left_by_nobody(self, api: Api, owner: Newcomer) -> None:
        viewer = join(api, owner.client, "viewer")
        _, token = invite(api, owner.client)
        with api.database.connect() as connection:
            connection.execute("select limena_private.freeze_tenant(%s, 'abuse')", [owner.tenant_id])
        refusal(accept(api, token=token, password=PASSWORD, display_name="New"), 403, "tenant_frozen")
        refusal(viewer.client.delete(f"/api/v1/members/{viewer.user_id}"), 403, "tenant_frozen")

    def test_a_right_password_is_no_guess_where_something_else_is_wrong(self, api: Api, owner: Newcomer) -> None:
        """A frozen tenant, an invitation that is spent. Would fail if the attempts stayed counted: 429 after six."""
        other = register(api)
        _, token = invite(api, owner.client, email=other.email)
        with api.database.connect() as connection:
            connection.execute("select limena_private.freeze_tenant(%s, 'abuse')", [owner.tenant_id])
        for _ in range(8):
            refusal(accept(api, token=token, password=other.password), 403, "tenant_frozen")


def test_a_token_that_somebody_chose_opens_nothing(api: Api, owner: Newcomer) -> None:
    """With SQL as limena_app one writes an invitation with the hash of a token that one knows: it shows no mailbox, and
    tells nothing of the address."""
    with api.database.connect("limena_app") as connection:
        for number, email in enumerate(("ceo@victim.example", register(api).email)):
            token = f"{'chosen':x<42}{number}"
            connection.execute(
                """select limena.create_invitation(%s, 'viewer', sha256(convert_to(%s, 'UTF8')))
                from limena.enter_session(sha256(convert_to(%s, 'UTF8')), %s)""",
                [email, token, claims(owner.access_token)["sid"], owner.tenant_id],
            )
            refused = accept(api, token=token, password=PASSWORD, display_name="Mallory")
            refusal(refused, 404, "not_found")
            assert "account" not in refused.text


def test_the_id_of_anothers_mail_brings_its_token_to_nobody(api: Api, owner: Newcomer) -> None:
    """With SQL as limena_app one may choose the id of an invitation, which is its mail's."""
    email, token = invite(api, owner.client, "owner")
    services = api.app.state.services
    mallory = register(api)
    with api.database.connect() as connection:
        row = connection.execute("select id from limena.outbox where recipient = %s", [email]).fetchone()
    assert row is not None
    with api.database.connect("limena_app") as connection, pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute(
            """select limena.create_invitation('mallory@evil.example', 'viewer', sha256('x'), %s)
            from limena.enter_session(sha256(convert_to(%s, 'UTF8')), %s)""",
            [row[0], claims(mallory.access_token)["sid"], mallory.tenant_id],
        )
    assert mail_tokens.token(services.mail_key, row[0], "invitation", email) == token
    assert mail_tokens.token(services.mail_key, row[0], "invitation", "mallory@evil.example") != token


def test_how_often_someone_is_invited_elsewhere_is_not_told(api: Api, owner: Newcomer) -> None:
    """Five mails an hour from each tenant; from all together some, and later ones are sent later."""
    other, email = register(api), new_registration()["email"]
    for who in (owner, other):
        codes = [
            who.client.post("/api/v1/invitations", json={"email": email, "role": "viewer"}).status_code
            for _ in range(6)
        ]
        assert codes == [201] * 5 + [429]
    late = register(api)
    with api.database.connect() as connection:
        connection.execute(
            """insert into limena.outbox (tenant_id, id, template, recipient)
            select %s, gen_random_uuid(), 'invitation', %s from generate_series(1, 20)""",
            [other.tenant_id, email],
        )
        assert late.client.post("/api/v1/invitations", json={"email": email, "role": "viewer"}).status_code == 201
        row = connection.execute(
            "select due_at > now() + interval '50 minutes' from limena.outbox where recipient = %s and tenant_id = %s",
            [email, late.tenant_id],
        ).fetchone()
    assert row == (True,)


def test_the_mail_of_an_invitation_is_the_invitations(api: Api, owner: Newcomer) -> None:
    """The id of one is the id of the other, so that the token can be derived; no token is in the outbox."""
    email, token = invite(api, owner.client)
    assert mail_token(api, email, "invitation") == token
    with api.database.connect() as connection:
        row = connection.execute(
            "select o.parameters::text from limena.outbox as o join limena.invitations as i using (tenant_id, id) "
            "where o.recipient = %s",
            [email],
        ).fetchone()
    assert row is not None
    assert token not in row[0]
