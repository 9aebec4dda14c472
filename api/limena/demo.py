"""Demo data: two tenants with people in every role, API keys, and a platform admin, through the public procedures
alone.

No row is written behind the procedures' back: what is shown here is what a client could have made, audited like
theirs. Passwords, keys and tokens are drawn first, as a `Plan`, which the caller keeps in a private file; then `build`
makes what the plan says. Each step looks whether it was taken already, so that a plan that was interrupted anywhere, by
a `kill -9` too, is completed by building it again.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any, Final, LiteralString, Self

import psycopg
from psycopg import errors

from limena import api_key_format
from limena.deploy import owner_connection
from limena.passwords import hash_password
from limena.promotion import promote_user
from limena.tokens import new_session_secret, secret_hash

_USER_AGENT: Final = "limena dev"
_KEY_NAME: Final = "Demo key"

Connection = psycopg.Connection[tuple[Any, ...]]


class DemoError(Exception):
    """Why there is no demo data, as a sentence."""


@dataclass(frozen=True, slots=True)
class Person:
    """`api_key`: for those who may make one (owner and admin), with every permission that they hold as a scope.
    `invitation`: the token with which the person joins a tenant; None for those who come by registration."""

    email: str
    display_name: str
    password: str = field(repr=False)
    api_key: str | None = field(default=None, repr=False)
    invitation: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Team:
    """A tenant with one owner, and one person for each other role."""

    name: str
    owner: Person
    people: Mapping[str, Person]
    """By role: admin, member, viewer."""

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        people = {role: Person(**person) for role, person in data["people"].items()}
        return cls(data["name"], Person(**data["owner"]), people)


@dataclass(frozen=True, slots=True)
class Plan:
    """What there is to make, secrets included."""

    first: Team
    second: Team
    platform_admin: Person

    @property
    def everyone(self) -> list[Person]:
        teams = (self.first, self.second)
        return [p for team in teams for p in (team.owner, *team.people.values())] + [self.platform_admin]

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        data = json.loads(text)
        return cls(Team.from_dict(data["first"]), Team.from_dict(data["second"]), Person(**data["platform_admin"]))


def new_plan() -> Plan:
    """Names that are always the same; passwords (20 characters, 120 bits), keys and tokens that never are."""
    return Plan(
        first=_new_team("Acme", "acme.example", ("Ada Lovelace", "Grace Hopper", "Alan Turing", "Edith Clarke")),
        second=_new_team(
            "Globex", "globex.example", ("Hank Scorpio", "Mary Jackson", "Claude Shannon", "Emmy Noether")
        ),
        platform_admin=Person("operator@limena.example", "Olga Operator", _new_password()),
    )


def build(plan: Plan, *, app_dsn: str, auth_dsn: str, deploy_dsn: str, bcrypt_cost: int) -> dict[str, Any]:
    """Makes what is not there yet, and returns it in the shape of `demo` in dev.json. Raises `DemoError`."""
    hashes = _hash_all(plan, bcrypt_cost)
    try:
        with (
            psycopg.connect(app_dsn, autocommit=True) as app,
            psycopg.connect(auth_dsn, autocommit=True) as auth,
            owner_connection(deploy_dsn) as owner,
        ):
            builder = _Builder(app, auth, owner, hashes)
            first = builder.team(plan.first)
            second = builder.team(plan.second)
            builder.register(plan.platform_admin, tenant_name=None)
    except psycopg.Error as error:
        raise DemoError(f"The demo data could not be made: {str(error).strip()}") from error
    promote_user(deploy_dsn, plan.platform_admin.email)
    admin = {"email": plan.platform_admin.email, "password": plan.platform_admin.password}
    return {**first, "platform_admin": admin, "second_tenant": second}


def is_present(email: str, *, deploy_dsn: str) -> bool:
    """Whether the database knows the address: demo data may have gone with the database in which it was."""
    with owner_connection(deploy_dsn) as owner:
        return _find_user(owner, email) is not None


def _new_team(name: str, domain: str, display_names: tuple[str, str, str, str]) -> Team:
    owner, admin, member, viewer = display_names
    return Team(
        name=name,
        owner=Person(f"owner@{domain}", owner, _new_password(), api_key=api_key_format.generate().key),
        people={
            "admin": Person(
                f"admin@{domain}", admin, _new_password(), api_key_format.generate().key, new_session_secret()
            ),
            "member": Person(f"member@{domain}", member, _new_password(), None, new_session_secret()),
            "viewer": Person(f"viewer@{domain}", viewer, _new_password(), None, new_session_secret()),
        },
    )


def _new_password() -> str:
    return secrets.token_urlsafe(15)


def _hash_all(plan: Plan, cost: int) -> dict[str, str]:
    """One after the other, which takes two seconds: a signal may raise anywhere in here, and threads that are hit by
    one while they start or end can wait for each other for good."""
    return {person.email: hash_password(person.password, cost) for person in plan.everyone}


@dataclass(frozen=True, slots=True)
class _Session:
    """What `enter_session` is shown."""

    secret_hash: bytes = field(repr=False)
    tenant_id: str


@dataclass(frozen=True, slots=True)
class _Builder:
    app: Connection
    auth: Connection
    owner: Connection
    """Looks who is there, and changes nothing: a log-in that is tried out would count as a failure."""
    hashes: Mapping[str, str] = field(repr=False)
    """What to store for a password, by address."""

    def team(self, team: Team) -> dict[str, Any]:
        self.register(team.owner, tenant_name=team.name)
        session = self.log_in(team.owner)
        if team.owner.api_key is not None:
            self.make_api_key(team.owner.api_key, session)
        for role, person in team.people.items():
            if person.invitation is not None:
                self.join(person, role, secret_hash(person.invitation), session)
            if person.api_key is not None:
                self.make_api_key(person.api_key, self.log_in(person))
        people = {role: _shown(person, session) for role, person in team.people.items()}
        return {**_shown(team.owner, session), "people": people}

    def register(self, person: Person, *, tenant_name: str | None) -> None:
        if _find_user(self.owner, person.email) is not None:
            return
        _one(
            self.auth,
            """select limena.register_user(
                p_email => %(email)s, p_password_hash => %(password_hash)s, p_display_name => %(display_name)s,
                p_tenant_name => %(tenant_name)s, p_user_agent => %(user_agent)s
            )""",
            email=person.email,
            password_hash=self.hashes[person.email],
            display_name=person.display_name,
            tenant_name=tenant_name,
            user_agent=_USER_AGENT,
        )

    def log_in(self, person: Person) -> _Session:
        found = _find_user(self.owner, person.email)
        if found is None:
            raise DemoError(f"The demo data is not complete: there is no user {person.email}.")
        user_id, password_hash = found
        secret = secret_hash(new_session_secret())
        answer = _one(
            self.auth,
            """select limena.log_in(
                p_user_id => %(user_id)s, p_password_hash => %(password_hash)s, p_secret_hash => %(secret_hash)s,
                p_refresh_hash => %(refresh_hash)s, p_user_agent => %(user_agent)s
            )""",
            user_id=user_id,
            password_hash=password_hash,
            secret_hash=secret,
            refresh_hash=secret_hash(new_session_secret()),
            user_agent=_USER_AGENT,
        )
        return _Session(secret, answer["tenant"]["id"])

    def join(self, person: Person, role: str, token_hash: bytes, session: _Session) -> None:
        """Invites as the owner, and accepts as the person. Accepting makes user and membership in one transaction, so
        whoever is a user is a member."""
        if _find_user(self.owner, person.email) is not None:
            return
        with suppress(errors.UniqueViolation):  # invited before an interruption, with this same token
            _one(
                self.app,
                """select limena.create_invitation(
                    p_email => %(email)s, p_role => %(role)s, p_token_hash => %(token_hash)s
                ) from limena.enter_session(p_secret_hash => %(secret_hash)s, p_tenant_id => %(tenant_id)s)""",
                email=person.email,
                role=role,
                token_hash=token_hash,
                secret_hash=session.secret_hash,
                tenant_id=session.tenant_id,
            )
        _one(
            self.auth,
            """select limena.accept_invitation(
                p_token_hash => %(token_hash)s, p_password_hash => %(password_hash)s,
                p_display_name => %(display_name)s, p_user_agent => %(user_agent)s
            )""",
            token_hash=token_hash,
            password_hash=self.hashes[person.email],
            display_name=person.display_name,
            user_agent=_USER_AGENT,
        )

    def make_api_key(self, text: str, session: _Session) -> None:
        key = api_key_format.describe(text)
        with suppress(errors.InvalidAuthorizationSpecification):  # not made yet
            _one(self.app, "select limena.enter_api_key(p_key_hash => %(key_hash)s)", key_hash=key.key_hash)
            return
        context: dict[str, object] = {"secret_hash": session.secret_hash, "tenant_id": session.tenant_id}
        me = _one(
            self.app,
            """select limena.get_me()
            from limena.enter_session(p_secret_hash => %(secret_hash)s, p_tenant_id => %(tenant_id)s)""",
            **context,
        )
        _one(
            self.app,
            """select limena.create_api_key(
                p_name => %(name)s, p_scopes => %(scopes)s, p_prefix => %(prefix)s, p_last_four => %(last_four)s,
                p_key_hash => %(key_hash)s
            ) from limena.enter_session(p_secret_hash => %(secret_hash)s, p_tenant_id => %(tenant_id)s)""",
            name=_KEY_NAME,
            scopes=me["permissions"],
            prefix=key.prefix,
            last_four=key.last_four,
            key_hash=key.key_hash,
            **context,
        )


def _shown(person: Person, session: _Session) -> dict[str, Any]:
    return {
        "email": person.email,
        "password": person.password,
        "tenant_id": session.tenant_id,
        "api_key": person.api_key,
    }


def _find_user(owner: Connection, email: str) -> tuple[Any, str] | None:
    row = owner.execute(
        "select u.id, u.password_hash from limena.users as u where u.email = %(email)s", {"email": email}
    ).fetchone()
    return None if row is None else (row[0], row[1])


def _one(connection: Connection, query: LiteralString, **parameters: object) -> Any:
    row = connection.execute(query, parameters).fetchone()
    return None if row is None else row[0]
