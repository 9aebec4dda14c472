"""The demo data: its shape, what its people may do, and that an interruption at any statement leaves something that the
next attempt completes."""

from __future__ import annotations

import asyncio
import gc
import signal
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

import psycopg
import pytest

from limena import demo
from limena.api_key_format import parse
from limena.passwords import PasswordHasher
from support.databases import Database

COST = 4
MakeDatabase = Callable[[], Database]


def build(plan: demo.Plan, database: Database) -> dict[str, Any]:
    return demo.build(
        plan,
        app_dsn=database.dsn("limena_app"),
        auth_dsn=database.dsn("limena_auth"),
        deploy_dsn=database.dsn(),
        bcrypt_cost=COST,
    )


def as_key(database: Database, key: str, call: str) -> Any:
    with database.connect("limena_app") as connection:
        query = f"select limena.{call} from limena.enter_api_key(p_key_hash => %s)"
        row = connection.execute(query.encode(), [parse(key)]).fetchone()
    assert row is not None
    return row[0]


@pytest.fixture
def made(fresh_database: MakeDatabase) -> tuple[Database, demo.Plan, dict[str, Any]]:
    database, plan = fresh_database(), demo.new_plan()
    return database, plan, build(plan, database)


def test_the_shape_is_that_of_the_contract(made: tuple[Database, demo.Plan, dict[str, Any]]) -> None:
    _, _, shown = made
    tenant = {"email", "password", "tenant_id", "api_key", "people"}
    assert set(shown) == tenant | {"platform_admin", "second_tenant"}
    assert set(shown["second_tenant"]) == tenant
    assert set(shown["platform_admin"]) == {"email", "password"}
    for team in (shown, shown["second_tenant"]):
        assert set(team["people"]) == {"admin", "member", "viewer"}
        for role, person in team["people"].items():
            assert set(person) == {"email", "password", "tenant_id", "api_key"}
            assert person["tenant_id"] == team["tenant_id"]
            assert (person["api_key"] is not None) is (role == "admin")  # the others may not make one
    assert shown["tenant_id"] != shown["second_tenant"]["tenant_id"]


def test_everybody_is_in_their_own_tenant_with_their_own_role(made: tuple[Database, demo.Plan, dict[str, Any]]) -> None:
    database, _, shown = made
    for team in (shown, shown["second_tenant"]):
        members = as_key(database, team["api_key"], "list_members()")["items"]
        expected = {person["email"]: role for role, person in team["people"].items()} | {team["email"]: "owner"}
        assert {member["email"]: member["role"] for member in members} == expected


def test_each_key_holds_all_that_its_creator_holds(made: tuple[Database, demo.Plan, dict[str, Any]]) -> None:
    database, _, shown = made
    with database.connect("limena_app") as connection:
        matrix = connection.execute(
            "select role, array_agg(permission order by permission) from limena.permission_matrix group by role"
        ).fetchall()
    permissions: dict[str, list[str]] = dict(matrix)
    for team in (shown, shown["second_tenant"]):
        for key, role in ((team["api_key"], "owner"), (team["people"]["admin"]["api_key"], "admin")):
            me = as_key(database, key, "get_me()")
            assert me["tenant"]["id"] == team["tenant_id"]
            assert sorted(me["permissions"]) == permissions[role]


def test_the_passwords_are_the_ones_that_log_in(made: tuple[Database, demo.Plan, dict[str, Any]]) -> None:
    database, plan, shown = made
    people = [shown, shown["second_tenant"], shown["platform_admin"]]
    people += [person for team in people[:2] for person in team["people"].values()]
    assert len(people) == len(plan.everyone) == 9
    assert len({person["password"] for person in people}) == 9

    async def matches(password: str, stored: str) -> bool:
        hasher = PasswordHasher(COST, 1)
        try:
            return await hasher.verify(password, stored)
        finally:
            hasher.close()

    with database.connect("limena_auth") as connection:
        for person in people:
            row = connection.execute(
                "select password_hash from limena.begin_log_in(p_email => %s)", [person["email"]]
            ).fetchone()
            assert row is not None
            assert asyncio.run(matches(person["password"], row[0]))


def test_the_platform_admin_is_one_and_nobody_else_is(made: tuple[Database, demo.Plan, dict[str, Any]]) -> None:
    database, _, shown = made
    with database.connect() as connection:
        admins = connection.execute("select email from limena.users where is_platform_admin").fetchall()
        tenants = connection.execute(
            """select count(*) from limena.memberships as m inner join limena.users as u on m.user_id = u.id
            where u.email = %s""",
            [shown["platform_admin"]["email"]],
        ).fetchone()
    assert admins == [(shown["platform_admin"]["email"],)]
    assert tenants == (0,)


def test_building_again_changes_nothing(made: tuple[Database, demo.Plan, dict[str, Any]]) -> None:
    database, plan, shown = made
    assert build(demo.Plan.from_json(plan.to_json()), database) == shown
    assert counts(database) == COMPLETE


COMPLETE = {"users": 9, "tenants": 2, "memberships": 8, "api_keys": 4, "invitations": 6}


def counts(database: Database) -> dict[str, int]:
    """How many rows there are; the reserved tenant `platform` is not one of ours."""
    with database.connect() as connection:
        row = connection.execute(
            """select
                (select count(*) from limena.users), (select count(*) from limena.tenants where name in ('Acme',
                'Globex')), (select count(*) from limena.memberships), (select count(*) from limena.api_keys),
                (select count(*) from limena.invitations)"""
        ).fetchone()
    assert row is not None
    return dict(zip(COMPLETE, row, strict=True))


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("answer_is_lost", [False, True])
def test_an_interruption_at_any_statement_is_made_good(
    answer_is_lost: bool, fresh_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The n-th attempt gets n statements far, each time on what the attempts before it left. With `answer_is_lost`, the
    statement at which it ends was still committed, as when the process is killed while it waits for the answer."""
    database, plan = fresh_database(), demo.new_plan()
    real: Any = psycopg.Connection.execute
    allowed = 0
    done = 0

    def counted(self: psycopg.Connection[Any], query: Any, *arguments: Any, **options: Any) -> Any:
        nonlocal done
        done += 1
        if done == allowed and answer_is_lost:
            real(self, query, *arguments, **options)
        if done >= allowed:
            raise Interrupted
        return real(self, query, *arguments, **options)

    attempts = 0
    shown = None
    while shown is None:
        attempts += 1
        allowed, done = attempts, 0
        with monkeypatch.context() as patched:
            patched.setattr(psycopg.Connection, "execute", counted)
            try:
                shown = build(plan, database)
            except Interrupted:
                continue
    assert attempts > 20
    assert counts(database) == COMPLETE
    assert as_key(database, shown["api_key"], "get_me()")["tenant"]["id"] == shown["tenant_id"]


class Signalled(BaseException):
    pass


def test_a_signal_at_any_moment_of_the_hashing_leaves_nothing_behind() -> None:
    """As `limena dev` raises it on SIGTERM: no coroutine that was never awaited, which Python would report after the
    last line, and no thread that goes on."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise Signalled

    plan = demo.new_plan()
    threads = threading.active_count()
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            for step in range(1, 100):
                with suppress(Signalled):
                    signal.setitimer(signal.ITIMER_REAL, step * 0.000_02)
                    demo.build(plan, app_dsn="", auth_dsn="", deploy_dsn="", bcrypt_cost=6)
            gc.collect()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert [str(one.message) for one in warned] == []
    assert threading.active_count() <= threads


def test_a_database_that_is_down_is_told_in_a_sentence() -> None:
    with pytest.raises(demo.DemoError, match="The demo data could not be made: "):
        demo.build(
            demo.new_plan(),
            app_dsn="host=/nowhere dbname=limena",
            auth_dsn="host=/nowhere dbname=limena",
            deploy_dsn="host=/nowhere dbname=limena",
            bcrypt_cost=COST,
        )


def test_no_repr_of_a_plan_shows_a_secret() -> None:
    plan = demo.new_plan()
    for person in plan.everyone:
        for secret in (person.password, person.api_key, person.invitation):
            assert secret is None or secret not in repr(plan)
