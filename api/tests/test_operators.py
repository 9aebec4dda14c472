"""Operators over real connections: what they see before, while and after an access is declared, and what tenants find.

Each test names what it takes away when `limena_private.current_access()` loses one of its conditions. Declaring and
reading are different transactions, so pgTAP, which has one, cannot show it.
"""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest

from support.databases import Database, create_database, drop_database

Connection = psycopg.Connection[tuple[Any, ...]]

TABLES = """
    select c.relname::text, array_agg(quote_ident(a.attname) order by a.attnum)
    from pg_class as c
    join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.relnamespace = 'limena'::regnamespace
        and c.relkind in ('r', 'p') and c.relrowsecurity and not c.relispartition
        and has_column_privilege('limena_readonly', c.oid, a.attnum, 'SELECT')
    group by c.relname
"""


@pytest.fixture(scope="module")
def operated(template: Database) -> Iterator[Database]:
    """A database with two tenants, an API key each, and the log-in of a person who is an operator."""
    made = create_database(template.server, "operated", template)
    with made.connect() as connection:
        connection.execute("select tests.make_tenants(), tests.make_api_key('a'), tests.make_api_key('b', 'Zebra')")
        connection.execute(
            "insert into limena.invitations (tenant_id, email, role, token_hash, invited_by) select tests.tenant_id(t),"
            " 'x@x.example', 'viewer', sha256(t::bytea), tests.user_id(t, 'owner') from unnest('{a, b}'::text[]) as t"
        )
        connection.execute("update limena.users set is_platform_admin = true where id = tests.user_id('a', 'owner')")
        for login in ("grace", "edsger"):
            connection.execute(f"create role limena_test_{login} login in role limena_readonly".encode())
    try:
        yield made
    finally:
        drop_database(made)
        with psycopg.connect(template.server.dsn(database="postgres"), autocommit=True) as connection:
            connection.execute("drop role limena_test_grace, limena_test_edsger")


@pytest.fixture
def grace(operated: Database) -> Iterator[Connection]:
    with operated.connect("limena_test_grace") as connection:
        yield connection


def one(connection: Connection, query: str, *values: object) -> Any:
    row = connection.execute(query.encode(), values).fetchone()
    assert row is not None
    return row[0]


def tenant(connection: Connection, name: str) -> UUID:
    found: UUID = one(connection, "select tests.tenant_id(%s)", name)
    return found


def seen(connection: Connection) -> set[str]:
    """The tables that show a row."""
    names = [(name, ", ".join(columns)) for name, columns in connection.execute(TABLES.encode()).fetchall()]
    assert len(names) >= 14
    return {
        name
        for name, columns in names
        if connection.execute(f"select {columns} from limena.{name}".encode()).rowcount  # every column that is granted
    }


def tenants_of(connection: Connection, table: str) -> set[UUID]:
    return {row[0] for row in connection.execute(f"select distinct tenant_id from limena.{table}".encode())}


def test_without_an_access_every_table_is_empty(grace: Connection) -> None:
    assert seen(grace) == set()


def test_an_access_to_one_tenant_shows_that_tenant_alone(grace: Connection) -> None:
    a = tenant(grace, "a")
    grace.execute("select limena.open_access('ticket 4711: locked out', %s)", [a])
    assert seen(grace) == {"tenants", "memberships", "api_keys", "api_key_uses", "audit_logs", "operator_access"} | {
        "invitations"
    }
    assert {table: tenants_of(grace, table) for table in ("memberships", "api_keys", "audit_logs", "invitations")} == {
        table: {a} for table in ("memberships", "api_keys", "audit_logs", "invitations")
    }
    assert [row[0] for row in grace.execute("select id from limena.tenants")] == [a]
    people = grace.execute("select distinct tenant_id, count(*) from limena.covered_people() group by 1").fetchall()
    assert people == [(a, 4)]
    grace.execute("select limena.close_access()")
    assert seen(grace) == set()
    assert grace.execute("select from limena.covered_people()").rowcount == 0


def test_an_access_to_all_shows_all(grace: Connection) -> None:
    grace.execute("select limena.open_access('monthly review')")
    assert {"users", "sessions", "session_uses", "tenants"} <= seen(grace)
    both = {tenant(grace, "a"), tenant(grace, "b")}
    assert both <= tenants_of(grace, "memberships")
    assert both <= tenants_of(grace, "audit_logs")


def test_no_hash_is_granted(grace: Connection) -> None:
    grace.execute("select limena.open_access('monthly review')")
    for column in (
        "users.password_hash",
        "sessions.secret_hash",
        "refresh_tokens.token_hash",
        "api_keys.key_hash",
        "invitations.token_hash",
        "operator_access.ticket_hash",
    ):
        table, name = column.split(".")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            grace.execute(f"select {name} from limena.{table}".encode())


def test_the_transaction_that_declares_sees_nothing(grace: Connection) -> None:
    with grace.transaction(force_rollback=True):
        grace.execute("select limena.open_access('and now roll it back')")
        assert seen(grace) == set()
        with grace.transaction():  # nor a subtransaction of it
            assert seen(grace) == set()
        ticket = one(grace, "select current_setting('app.operator_ticket')")
    assert seen(grace) == set()
    grace.execute("select set_config('app.operator_ticket', %s, false)", [ticket])  # kept from what was rolled back
    assert seen(grace) == set()


def test_a_savepoint_that_declares_and_is_rolled_back_leaves_nothing(grace: Connection) -> None:
    with grace.transaction(), grace.transaction(force_rollback=True):
        grace.execute("select limena.open_access('a savepoint')")
    assert seen(grace) == set()


def test_an_uncommitted_declaration_is_worth_nothing_elsewhere(operated: Database, grace: Connection) -> None:
    with operated.connect("limena_test_grace") as other, grace.transaction(force_rollback=True):
        grace.execute("select limena.open_access('not yet committed')")
        ticket = one(grace, "select current_setting('app.operator_ticket')")
        other.execute("select set_config('app.operator_ticket', %s, false)", [ticket])
        assert seen(other) == set()


@pytest.mark.parametrize("ticket", ["", "0" * 64, "' or true --", "%", "ticket\u00a0"])
def test_a_forged_ticket_opens_nothing(grace: Connection, ticket: str) -> None:
    grace.execute("select limena.open_access('a genuine one')")
    grace.execute("select set_config('app.operator_ticket', %s, false)", [ticket])
    assert seen(grace) == set()


def test_a_ticket_is_of_one_login(operated: Database, grace: Connection) -> None:
    grace.execute("select limena.open_access('mine alone')")
    ticket = one(grace, "select current_setting('app.operator_ticket')")
    with operated.connect("limena_test_edsger") as edsger:
        edsger.execute("select set_config('app.operator_ticket', %s, false)", [ticket])
        assert seen(edsger) == set()
        with pytest.raises(psycopg.errors.NoDataFound):
            edsger.execute("select limena.close_access()")
    with operated.connect() as superuser:  # SET ROLE does not make one another login
        superuser.execute("set role limena_test_grace")
        superuser.execute("select set_config('app.operator_ticket', %s, false)", [ticket])
        assert seen(superuser) == set()
    assert seen(grace) != set()


def test_an_access_ends_by_itself(operated: Database, grace: Connection) -> None:
    grace.execute("select limena.open_access('short', null, '1 hour')")
    assert seen(grace) != set()
    with operated.connect() as superuser:
        superuser.execute(
            "update limena.operator_access set opened_at = opened_at - interval '2 hours',"
            " expires_at = expires_at - interval '2 hours' where reason = 'short'"
        )
    assert seen(grace) == set()


def test_a_prepared_statement_and_a_parallel_plan_are_asked_anew(grace: Connection) -> None:
    grace.execute("set plan_cache_mode = force_generic_plan")
    grace.execute("set debug_parallel_query = on" if grace.info.server_version >= 160000 else "select 1")
    grace.execute("set parallel_setup_cost = 0; set parallel_tuple_cost = 0; set min_parallel_table_scan_size = 0")
    grace.execute("prepare kept as select count(*) from limena.memberships")
    assert one(grace, "execute kept") == 0
    grace.execute("select limena.open_access('now it is open')")
    assert one(grace, "execute kept") > 0
    grace.execute("select limena.close_access()")
    assert one(grace, "execute kept") == 0


def test_two_tickets_in_one_statement_open_no_more_than_each(operated: Database, grace: Connection) -> None:
    """Swapping tickets in the middle of a statement: bounds from one, the tenant from the other. Without the first
    condition of the policies, the tenants between the two would show."""
    ids = sorted([tenant(grace, "a"), tenant(grace, "b")])
    tickets = []
    for one_tenant in ids:
        grace.execute("select limena.open_access('one of two', %s)", [one_tenant])
        tickets.append(one(grace, "select current_setting('app.operator_ticket')"))
    between = UUID(int=(ids[0].int + ids[1].int) // 2)
    with operated.connect() as superuser:
        superuser.execute("insert into limena.tenants (id, name) values (%s, 'between')", [between])
    for first, second in (tickets, tickets[::-1]):
        grace.execute("select set_config('app.operator_ticket', %s, false)", [first])
        rows = grace.execute(
            """
            select t.id from limena.tenants as t
            where t.name <> set_config('app.operator_ticket', %s, false)
            union all
            select t.id from limena.tenants as t
            """,
            [second],
        ).fetchall()
        assert between not in {row[0] for row in rows}


@pytest.mark.parametrize(
    ("arguments", "sqlstate", "column"),
    [
        ("null", "22023", "reason"),
        ("''", "22023", "reason"),
        ("'   '", "22023", "reason"),
        ("'x'", "22023", "reason"),
        ("repeat('x', 501)", "22023", "reason"),
        ("E'two\\nlines'", "22023", "reason"),
        ("repeat(chr(8203), 9)", "22023", "reason"),
        ("repeat(chr(160), 9)", "22023", "reason"),
        ("'...---'", "22023", "reason"),
        ("'a reason ' || chr(8238) || 'turned round'", "22023", "reason"),
        ("'why', null, '0'", "22023", "duration"),
        ("'why', null, '-1 hour'", "22023", "duration"),
        ("'why', null, '12 hours 1 second'", "22023", "duration"),
        ("'why', null, null", "22023", "duration"),
        ("'why', gen_random_uuid()", "P0002", None),
    ],
)
def test_what_open_access_refuses(grace: Connection, arguments: str, sqlstate: str, column: str | None) -> None:
    with pytest.raises(psycopg.Error) as error:
        grace.execute(f"select limena.open_access({arguments})".encode())
    assert (error.value.sqlstate, error.value.diag.column_name) == (sqlstate, column)
    assert seen(grace) == set()


def test_the_tenant_finds_who_when_and_why(operated: Database, grace: Connection) -> None:
    a = tenant(grace, "a")
    grace.execute("select limena.open_access('ticket 4712: cannot log in', %s, '10 min')", [a])
    grace.execute("select limena.close_access()")
    with operated.connect("limena_app") as app, app.transaction():
        app.execute("select tests.enter_as('a', 'admin')")
        rows = app.execute(
            """
            select action, actor_type, actor_label, details ->> 'reason', details ->> 'login'
            from limena.audit_logs where action like 'operator.%' and details ->> 'reason' like '%4712%'
            """
        ).fetchall()
        assert rows == [
            (
                "operator.access_opened",
                "operator",
                "limena_test_grace",
                "ticket 4712: cannot log in",
                "limena_test_grace",
            )
        ]
        assert one(app, "select count(*) from limena.audit_logs where action = 'operator.access_closed'") >= 1


def test_an_access_to_all_stands_once_and_every_tenant_finds_it(operated: Database, grace: Connection) -> None:
    grace.execute("select limena.open_access('ticket 4713: everybody')")
    with operated.connect() as superuser:
        rows = superuser.execute(
            "select tenant_id = limena_private.platform_tenant_id(), action from limena.audit_logs"
            " where details ->> 'reason' like '%4713%'"
        ).fetchall()
    assert rows == [(True, "operator.all_access_opened")]
    for name, role, found in (("a", "admin", 1), ("b", "owner", 1), ("b", "member", 0)):
        with operated.connect("limena_app") as app, app.transaction():
            app.execute("select tests.enter_as(%s, %s)", [name, role])
            told = "select a.actor_label, a.occurred_at is not null from limena.announcements() as a"
            announced = app.execute(f"{told} where a.details ->> 'reason' like '%4713%'".encode()).fetchall()
            assert announced == [("limena_test_grace", True)] * found
            if found:
                listed = one(app, "select limena.list_audit_logs(p_action => 'operator.all_access_opened')")
                assert sum("4713" in item["details"]["reason"] for item in listed["items"]) == 1


def test_the_api_declares_in_a_persons_name(operated: Database) -> None:
    with operated.connect("limena_readonly") as api:
        ticket = one(api, "select limena.open_access_as(tests.session_hash('a', 'owner'), 'the usage page')")
        assert seen(api) == set(), "the declaration alone opens nothing"
        with api.transaction():
            assert one(api, "select limena.resume_access(%s)", ticket) is True
            assert {"users", "memberships"} <= seen(api)
        assert seen(api) == set(), "a pooled connection keeps nothing"
        with api.transaction(force_rollback=True):
            mine = one(api, "select limena.open_access_as(tests.session_hash('a', 'owner'), 'and roll it back')")
            with pytest.raises(psycopg.errors.InsufficientPrivilege), api.transaction():
                api.execute("select limena.resume_access(%s)", [mine])
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            api.execute("select limena.resume_access(%s)", [mine])
    with operated.connect() as superuser:
        row = superuser.execute(
            "select actor_type, actor_id = tests.user_id('a', 'owner'), actor_label, details ->> 'reason'"
            " from limena.audit_logs where action = 'operator.all_access_opened' and actor_id is not null"
        ).fetchall()
    assert row == [("operator", True, "owner@a.example", "the usage page")]


def test_an_access_in_a_persons_name_ends_with_the_session(operated: Database) -> None:
    with operated.connect("limena_readonly") as api, operated.connect() as superuser:
        ticket = one(api, "select limena.open_access_as(tests.session_hash('a', 'owner'), 'for a while', null, 720)")
        api.execute("select set_config('app.operator_ticket', %s, false)", [ticket])
        assert seen(api) != set()
        session = "where secret_hash = tests.session_hash('a', 'owner')"
        superuser.execute(f"update limena.sessions set ended_at = now() {session}".encode())
        assert seen(api) == set()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            api.execute("select limena.resume_access(%s)", [ticket])
        superuser.execute(f"update limena.sessions set ended_at = null {session}".encode())
        superuser.execute("update limena.users set is_platform_admin = false where id = tests.user_id('a', 'owner')")
        assert seen(api) == set(), "the ticket itself, without resume_access()"
        superuser.execute("update limena.users set is_platform_admin = true where id = tests.user_id('a', 'owner')")


def test_a_declaration_is_on_disk_when_it_is_committed(grace: Connection) -> None:
    """Whoever could have it committed later could read, and bring the server down before."""
    grace.execute("set synchronous_commit = off")
    for _ in range(5):
        with grace.transaction():
            grace.execute("select limena.open_access('a good reason')")
            position = one(grace, "select pg_current_wal_insert_lsn()::text")
        assert one(grace, "select pg_current_wal_flush_lsn() >= %s::pg_lsn", position) is True
    assert seen(grace) != set()
    tables = (
        "select count(*) from pg_class where relnamespace = 'limena_private'::regnamespace and relname ~ '^access_'"
    )
    assert one(grace, tables) == 0


def test_who_may_not_declare_through_the_api(operated: Database) -> None:
    with operated.connect("limena_readonly") as api:
        for session, sqlstate in (("tests.session_hash('b', 'owner')", "42501"), ("sha256('x')", "28000")):
            with pytest.raises(psycopg.Error) as error:
                api.execute(f"select limena.open_access_as({session}, 'a good reason')".encode())
            assert error.value.sqlstate == sqlstate
        ticket = one(api, "select limena.open_access_as(tests.session_hash('a', 'owner'), 'before the fall')")
        with operated.connect() as superuser:
            superuser.execute("update limena.users set is_platform_admin = false where is_platform_admin")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                api.execute("select limena.resume_access(%s)", [ticket])
            superuser.execute("update limena.users set is_platform_admin = true where id = tests.user_id('a', 'owner')")


def test_explain_tells_an_operator_nothing_of_what_is_not_covered(operated: Database, grace: Connection) -> None:
    """Conditions of one's own before the policy's: compared are plans for what exists elsewhere and what does not."""
    a, b = tenant(grace, "a"), tenant(grace, "b")

    def plan(query: str, value: object) -> str:
        options = "analyze, costs off, timing off, summary off"
        lines = grace.execute(f"explain ({options}) {query}".encode(), [value])  # parameters: the same text for both
        return "\n".join(line for (line,) in lines if "Buffers" not in line and "Planning" not in line).replace(
            str(value), "?"
        )

    def compare() -> None:
        for query, there, absent in (
            ("select 1 from limena.users where email = %s", "owner@b.example", "xxxxx@b.example"),
            ("select 1 from limena.users where id = %s", user, UUID(int=7)),
            ("select 1 from limena.sessions where user_id = %s", user, UUID(int=7)),
            ("select 1 from limena.memberships where user_id = %s", user, UUID(int=7)),
            ("select 1 from limena.memberships where tenant_id = %s", b, UUID(int=7)),
            ("select 1 from limena.tenants where id = %s", b, UUID(int=7)),
            ("select 1 from limena.tenants where name = any(array[%s])", "Tenant b", "Tenant q"),
            ("select 1 from limena.api_keys where name = %s", "Zebra", "Zorro"),
        ):
            assert plan(query, there) == plan(query, absent), query

    user = one(grace, "select tests.user_id('b', 'owner')")
    compare()
    grace.execute("select limena.open_access('only a', %s)", [a])
    compare()


def test_a_close_is_seen_by_other_sessions_of_the_login(operated: Database, grace: Connection) -> None:
    grace.execute("select limena.open_access('two windows')")
    ticket = one(grace, "select current_setting('app.operator_ticket')")
    with operated.connect("limena_test_grace") as other:
        other.execute("select set_config('app.operator_ticket', %s, false)", [ticket])
        assert seen(other) != set()
        grace.execute("select limena.close_access()")
        assert seen(other) == set()
