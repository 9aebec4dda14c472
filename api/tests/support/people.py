"""People who are not of the demo data: whoever ends sessions or changes a password does it with one of these."""

import itertools
import json
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import jwt

from limena import mail_tokens
from limena.services import Services
from support.api import Api

PASSWORD = "quilted marmot sings 47"
_numbers = itertools.count(1)


@dataclass
class Newcomer:
    """`client` has the cookies and the access token of the registration."""

    client: httpx.Client
    email: str
    tenant_id: str
    registration: dict[str, Any]
    access_token: str = field(repr=False)
    password: str = PASSWORD
    user_id: str = ""

    @property
    def session_id(self) -> str:
        items: list[dict[str, Any]] = self.client.get("/api/v1/auth/sessions").json()["items"]
        found: str = next(one["id"] for one in items if one["current"])
        return found

    @property
    def refresh_cookie(self) -> str:
        return self.client.cookies["limena_refresh"]

    def log_in(self, api: Api) -> httpx.Client:
        """Another browser of the same person."""
        client = api.client()
        answer = client.post("/api/v1/auth/login", json={"email": self.email, "password": self.password})
        assert answer.status_code == 200, answer.text
        client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        return client


def new_registration() -> dict[str, Any]:
    number = f"{next(_numbers)}-{uuid4().hex[:8]}"
    return {
        "email": f"newcomer{number}@example.com",
        "password": PASSWORD,
        "display_name": "Nova Comer",
        "tenant_name": f"Newcomers {number}",
    }


def register(api: Api) -> Newcomer:
    """Someone new with a tenant of their own, logged in."""
    client, body = api.client(), new_registration()
    answer = client.post("/api/v1/auth/register", json=body)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    client.headers["Authorization"] = f"Bearer {made['access_token']}"
    who = {"user_id": made["user"]["id"]}
    return Newcomer(client, body["email"], made["tenant"]["id"], body, made["access_token"], **who)


def invite(api: Api, inviter: httpx.Client, role: str = "member", email: str | None = None) -> tuple[str, str]:
    """An invitation as it is made and mailed: the address, and the token in the link."""
    address = email or new_registration()["email"]
    made = inviter.post("/api/v1/invitations", json={"email": address, "role": role})
    assert made.status_code == 201, made.text
    return address, mail_token(api, address, "invitation")


def join(api: Api, inviter: httpx.Client, role: str = "member") -> Newcomer:
    """Someone new in the inviter's tenant, who accepted an invitation and is logged in."""
    email, token = invite(api, inviter, role)
    client = api.client()
    body = {"token": token, "password": PASSWORD, "display_name": "Jo Ined"}
    answer = client.post("/api/v1/auth/invitations/accept", json=body)
    assert answer.status_code == 200, answer.text
    joined = answer.json()
    client.headers["Authorization"] = f"Bearer {joined['access_token']}"
    return Newcomer(client, email, joined["tenant"]["id"], body, joined["access_token"], user_id=joined["user"]["id"])


def claims(token: str) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return found


def mail_token(api: Api, recipient: str, template: str) -> str:
    """What is in the link of the newest mail to someone, as the worker derives it."""
    services: Services = api.app.state.services
    with api.database.connect() as connection:
        row = connection.execute(
            "select id from limena.outbox where recipient = %s and template = %s order by created_at desc limit 1",
            [recipient, template],
        ).fetchone()
    assert row is not None, f"no mail {template} to {recipient}"
    return mail_tokens.token(services.mail_key, row[0], template, recipient)


def ask_for_reset(api: Api, email: str) -> str:
    with api.client() as client:
        answer = client.post("/api/v1/auth/password/forgot", json={"email": email})
    assert answer.status_code == 202, answer.text
    return mail_token(api, email, "password_reset")


def ask_to_register(api: Api) -> str:
    """The token of a registration that waits for its link to be followed, made as the verified mode makes it."""
    outbox_id, body = uuid4(), new_registration()
    services: Services = api.app.state.services
    token = mail_tokens.token(services.mail_key, outbox_id, "registration", body["email"])
    with api.database.connect("limena_auth") as connection:
        connection.execute(
            """select limena.request_registration(
                p_email => %s, p_password_hash => %s, p_display_name => 'Nova Comer', p_tenant_name => 'Waiting',
                p_outbox_id => %s, p_token_hash => %s
            )""",
            [body["email"], "$2b$04$" + "." * 53, outbox_id, mail_tokens.token_hash(token)],
        )
    return token


def audited(api: Api, tenant_id: str) -> list[str]:
    """The actions in a tenant's log, oldest first."""
    with api.database.connect() as connection:
        rows = connection.execute(
            "select action from limena.audit_logs where tenant_id = %s order by occurred_at, seq", [tenant_id]
        ).fetchall()
    return [row[0] for row in rows]


def json_of(response: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(response.content)
    return found
