"""The attack suite has to be able to fail. Each test breaks a copy of the deployed database in one way, runs the
attacks on it, and demands that at least one of them works.

`by` names those that are expected to notice, which are run first; when they do not, the others get their chance, and
the test says that the expectation was wrong. An attack that ends in an error has noticed nothing.
"""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest

from support import attacks, tap
from support.breakages import replaced
from support.databases import Database, create_database, drop_database
from support.pgtap import CHECKOUT

FILES = CHECKOUT / "db" / "tests" / "attacks"
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Breakage:
    """One thing undone. `undo` takes back what is not the database's own but the server's."""

    name: str
    sql: str
    by: tuple[str, ...]
    undo: str = ""


VERIFIED = "limena_private.verified_context()"
SEAL = "limena_private.seal(bytea, text, text)"
BACKEND = ("pg_catalog.int4send(pg_catalog.pg_backend_pid())", "''")
TRANSACTION = ("pg_catalog.timestamptz_send(pg_catalog.transaction_timestamp())", "''")
ENTER_SESSION = "limena.enter_session(bytea, uuid, text, inet, text)"
ENTER_API_KEY = "limena.enter_api_key(bytea, text, inet, text, uuid)"

BREAKAGES = [
    # The seal.
    Breakage(
        "a context is believed without its seal",
        replaced(
            VERIFIED, ("raise exception 'the tenant context does not match its seal' using errcode = '42501';", "null;")
        ),
        ("test_forged_context.sql",),
    ),
    Breakage(
        "the seal leaves out the backend",
        replaced(SEAL, BACKEND),
        ("test_seal.sql",),
    ),
    Breakage(
        "the seal leaves out the transaction",
        replaced(SEAL, TRANSACTION),
        ("a_context_of_an_earlier_transaction",),
    ),
    Breakage(
        "the seal leaves out backend and transaction",
        replaced(SEAL, BACKEND, TRANSACTION),
        ("a_context_of_another_backend",),
    ),
    Breakage(
        "the seal leaves out the tenant",
        replaced(SEAL, ("pg_catalog.sha256(pg_catalog.convert_to(p_tenant_id, 'UTF8'))", "''")),
        ("test_forged_context.sql",),
    ),
    Breakage(
        "the seal leaves out the context",
        replaced(SEAL, ("pg_catalog.convert_to(p_context, 'UTF8')", "''")),
        ("test_forged_context.sql",),
    ),
    Breakage(
        "the seal's key is a constant in a plan",
        replaced(
            "limena_private.seal_context"
            "(uuid, text, uuid, text, uuid, limena.member_role, text[], uuid, text, inet, text, text, text, text)",
            (
                "v_tenant_id text :=",
                "v_secret bytea := (select s.secret from limena_private.seal_keys as s); v_tenant_id text :=",
            ),
            ("limena_private.seal(k.secret", "limena_private.seal(v_secret"),
        ),
        ("printed_plans",),
    ),
    Breakage(
        "limena_app reads the seal's key",
        "grant usage on schema limena_private to limena_app;grant select on limena_private.seal_keys to limena_app",
        ("test_definer_functions.sql",),
    ),
    Breakage(
        "limena_app seals",
        f"grant usage on schema limena_private to limena_app; grant execute on function {SEAL} to limena_app",
        ("test_definer_functions.sql",),
    ),
    Breakage(
        "a context holds in any snapshot",
        replaced(VERIFIED, ("operator(pg_catalog.<>) 'read committed'", "operator(pg_catalog.=) ''")),
        ("a_snapshot_after_entering",),
    ),
    # The ways in.
    Breakage(
        "enter_api_key: though its creator has left",
        replaced(
            ENTER_API_KEY,
            (
                "inner join limena.memberships as m on k.tenant_id = m.tenant_id and k.created_by = m.user_id",
                "left join limena.memberships as m on k.tenant_id = m.tenant_id and k.created_by = m.user_id",
            ),
            ("and k.held_since >= m.created_at", ""),
        ),
        ("credentials_that_have_ended",),
    ),
    *(
        Breakage(f"{name}: {what}", replaced(function, (old, new)), by)
        for name, function, what, old, new, by in (
            (
                "enter_session",
                ENTER_SESSION,
                "in any snapshot",
                "<> 'read committed'",
                "= ''",
                ("entering_from_an_old_snapshot",),
            ),
            (
                "enter_api_key",
                ENTER_API_KEY,
                "in any snapshot",
                "<> 'read committed'",
                "= ''",
                ("entering_from_an_old_snapshot",),
            ),
            (
                "enter_session",
                ENTER_SESSION,
                "though it has ended",
                "and s.ended_at is null",
                "",
                ("credentials_that_have_ended",),
            ),
            (
                "enter_session",
                ENTER_SESSION,
                "though it has expired",
                "and s.expires_at > clock_timestamp()",
                "",
                ("credentials_that_have_ended",),
            ),
            (
                "enter_session",
                ENTER_SESSION,
                "into any tenant",
                "or (p_tenant_id is not null and v_session.role is null)",
                "",
                ("test_definer_functions.sql",),
            ),
            (
                "enter_session",
                ENTER_SESSION,
                "into a deleted tenant",
                "and t.state <> 'deleted'",
                "",
                ("credentials_that_have_ended",),
            ),
            (
                "enter_api_key",
                ENTER_API_KEY,
                "though it is revoked",
                "and k.revoked_at is null",
                "",
                ("credentials_that_have_ended",),
            ),
            (
                "enter_api_key",
                ENTER_API_KEY,
                "though it has expired",
                "and (k.expires_at is null or k.expires_at > clock_timestamp())",
                "",
                ("credentials_that_have_ended",),
            ),
            (
                "enter_api_key",
                ENTER_API_KEY,
                "with more than its creator may",
                "where r.role = m.role and r.permission",
                "where r.permission",
                ("a_role_that_was_lowered",),
            ),
            (
                "enter_api_key",
                ENTER_API_KEY,
                "in the transaction that made it",
                "and k.created_at < transaction_timestamp()",
                "",
                ("test_replayed_context.sql",),
            ),
        )
    ),
    # Grants.
    *(
        Breakage(
            f"limena_app reads {column} of {table}",
            f"grant select ({column}) on limena.{table} to limena_app",
            ("test_catalogs.sql",),
        )
        for table, column in (
            ("api_keys", "key_hash"),
            ("invitations", "token_hash"),
            ("sessions", "secret_hash"),
            ("users", "password_hash"),
            ("refresh_tokens", "token_hash"),
        )
    ),
    Breakage(
        "limena_app writes the log",
        "grant insert on limena.audit_logs to limena_app;"
        "create policy audit_logs_insert_app on limena.audit_logs for insert to limena_app with check (true)",
        ("test_no_context.sql",),
    ),
    Breakage(
        "limena_app deletes sessions",
        "grant delete on limena.sessions to limena_app;"
        "create policy sessions_delete_app on limena.sessions for delete to limena_app using (true)",
        ("test_existence.sql",),
    ),
    Breakage("limena_app truncates", "grant truncate on limena.audit_logs to limena_app", ("test_existence.sql",)),
    Breakage(
        "a partition is open",
        "do $$ begin execute format('grant select on %s to limena_app; alter table %1$s disable row"
        " level security', (select c.oid::regclass from pg_class as c where c.relnamespace = 'limena'::regnamespace and"
        " c.relispartition and c.relkind = 'r' and c.relname like 'audit%' order by c.relname limit 1)); end $$",
        ("test_no_context.sql",),
    ),
    Breakage(
        "limena_app looks up log-ins",
        "grant execute on function limena.begin_log_in(text, inet, bytea) to limena_app",
        ("test_definer_functions.sql",),
    ),
    Breakage(
        "a view runs as its owner",
        "set role limena_owner; create view limena.all_keys as select tenant_id, name from"
        " limena.api_keys; grant select on limena.all_keys to limena_app",
        ("test_no_context.sql",),
    ),
    Breakage(
        "limena_app makes temporary tables",
        "do $$ begin execute format('grant temporary on database %I to limena_app', current_database()); end $$",
        ("test_shadowing.sql",),
    ),
    Breakage("limena_app makes functions", "grant create on schema limena to limena_app", ("test_shadowing.sql",)),
    Breakage(
        "PUBLIC makes large objects",
        "grant execute on function lo_from_bytea(oid, bytea) to public",
        ("test_server_functions.sql",),
    ),
    Breakage(
        "limena_auth reads a table",
        "grant select (id, email) on limena.users to limena_auth;"
        "create policy users_select_auth on limena.users for select to limena_auth using (true)",
        ("test_no_context.sql",),
    ),
    Breakage(
        "limena_readonly needs no declaration",
        "alter policy tenants_select_readonly on limena.tenants using (true)",
        ("test_no_context.sql",),
    ),
    # Roles, which belong to the server: taken back at the end.
    Breakage(
        "limena_app is a member of limena_owner",
        "grant limena_owner to limena_app",
        ("test_roles.sql",),
        undo="revoke limena_owner from limena_app",
    ),
    Breakage(
        "limena_app has BYPASSRLS",
        "alter role limena_app bypassrls",
        ("test_no_context.sql",),
        undo="alter role limena_app nobypassrls",
    ),
    Breakage(
        "limena_app reads all data",
        "alter role limena_app inherit; grant pg_read_all_data to limena_app",
        ("test_catalogs.sql",),
        undo="revoke pg_read_all_data from limena_app; alter role limena_app noinherit",
    ),
    # What policies and functions are made of.
    *(
        Breakage(
            f"{function} pins no search_path", f"alter function {signature} reset search_path", ("test_shadowing.sql",)
        )
        for function, signature in (
            ("enter_session", ENTER_SESSION),
            ("tenant_with", "limena.tenant_with(text[])"),
            ("has_permission", "limena.has_permission(text)"),
            ("holds", "limena.holds(uuid, uuid, text[])"),
        )
    ),
    Breakage(
        "a policy asks for the tenant last",
        "drop policy tenants_select_app on limena.tenants;"
        "create policy tenants_select_app on limena.tenants for select to limena_app"
        " using (id = (select limena.current_tenant_id()))",
        ("test_explain.sql",),
    ),
    Breakage(
        "a policy asks two questions",
        "drop policy api_keys_select_app on limena.api_keys;"
        "create policy api_keys_select_app on limena.api_keys for select to limena_app"
        " using (tenant_id = any (array[(select limena.current_tenant_id())]) and (select"
        " limena.has_permission('api_keys:read')))",
        ("test_changed_midway.sql",),
    ),
    Breakage(
        "a name has statistics",
        "alter table limena.api_keys alter column name set statistics 100",
        ("test_explain.sql",),
    ),
    Breakage(
        "addresses can be searched",
        "grant select (id, email) on limena.users to limena_app;"
        "create policy users_select_app on limena.users for select to limena_app using"
        " (id = (select limena.current_user_id()))",
        ("test_explain.sql",),
    ),
    Breakage(
        "an index knows nothing of tenants", "create index on limena.api_keys (created_by)", ("test_explain.sql",)
    ),
    Breakage(
        "the tenant is folded into plans",
        "alter function limena.tenant_with(text[]) immutable",
        ("test_prepared_statements.sql", "test_cursors.sql"),
    ),
    Breakage(
        "a condition is trusted, and a policy dear",
        "alter function pg_catalog.textcat(text, text) leakproof;"
        "alter function pg_catalog.set_config(text, text, boolean) leakproof;"
        "alter function pg_catalog.current_setting(text) leakproof;"
        "drop policy tenants_select_app on limena.tenants;"
        "create policy tenants_select_app on limena.tenants for select to"
        " limena_app using (lower(lower(lower(lower(lower(lower(id::text)))))) ="
        " (select limena.current_tenant_id()::text))",
        ("test_leaky_expressions.sql",),
    ),
]


@pytest.fixture(scope="module")
def policies(template: Database) -> list[Breakage]:
    """Every policy of limena_app opened, every table without row-level security and without FORCE, as the catalogs have
    them: what comes later is broken, too."""
    with template.connect() as connection:
        opened = connection.execute(
            """
            select p.polname, p.polrelid::regclass::text, p.polqual is not null, p.polwithcheck is not null
            from pg_policy as p
            where 'limena_app'::regrole = any (p.polroles)
            order by p.polname
            """
        ).fetchall()
        tables = connection.execute(
            """
            select c.oid::regclass::text from pg_class as c
            where c.relnamespace = 'limena'::regnamespace and c.relrowsecurity and not c.relispartition
            order by c.relname
            """
        ).fetchall()
    assert len(opened) >= 9
    assert len(tables) >= 10
    by = ("test_no_context.sql", "test_owner.sql", "test_explain.sql")
    found = [
        Breakage(f"{name}: {part} (true)", f"alter policy {name} on {table} {part} (true)", by)
        for name, table, has_using, has_check in opened
        for part, is_there in (("using", has_using), ("with check", has_check))
        if is_there
    ]
    # Where nobody but limena_owner has a right, or its policies let it do everything, nothing changes that an attack
    # could notice: those the exact catalog has to tell.
    catalog = "../platform/test_catalog_relations.sql"
    found += [
        Breakage(f"{table}: no row-level security", f"alter table {table} disable row level security", (*by, catalog))
        for (table,) in tables
    ]
    found += [
        Breakage(
            f"{table}: not forced", f"alter table {table} no force row level security", ("test_owner.sql", catalog)
        )
        for (table,) in tables
    ]
    return found


@pytest.fixture
def broken(template: Database) -> Iterator[Database]:
    made = create_database(template.server, f"broken_{next(_numbers)}", template)
    yield made
    drop_database(made)


def _works(database: Database, name: str) -> list[str]:
    """What an attack of this name achieves: the assertions that fail. Errors are not counted."""
    if name.endswith(".sql"):
        found = tap.failures(database, FILES / name)
        return [
            one for one in found if not one.startswith("error: ") and not re.match(r"\d+ assertions were planned", one)
        ]
    attacks.prepare(database)
    try:
        attacks.ATTACKS[name](database)
    except AssertionError as error:
        return [str(error)]
    except psycopg.Error:
        pass
    return []


def _demand(database: Database, breakage: Breakage) -> None:
    with database.connect() as superuser:
        superuser.execute(breakage.sql.encode())
    try:
        if any(_works(database, name) for name in breakage.by):
            return
        others = [*sorted(file.name for file in FILES.glob("test_*.sql")), *attacks.ATTACKS]
        noticed = [name for name in others if name not in breakage.by and _works(database, name)]
    finally:
        if breakage.undo:
            with database.connect() as superuser:
                superuser.execute(breakage.undo.encode())
    pytest.fail(f"{breakage.name}: not noticed by {', '.join(breakage.by)}; by others: {', '.join(noticed) or 'none'}")


@pytest.mark.parametrize("breakage", BREAKAGES, ids=lambda breakage: breakage.name)
def test_the_attacks_notice(broken: Database, breakage: Breakage) -> None:
    _demand(broken, breakage)


def test_the_attacks_notice_each_policy(
    template: Database, policies: list[Breakage], subtests: pytest.Subtests
) -> None:
    for breakage in policies:
        with subtests.test(breakage.name):
            database = create_database(template.server, f"broken_{next(_numbers)}", template)
            try:
                _demand(database, breakage)
            finally:
                drop_database(database)


def test_nothing_is_noticed_where_nothing_is_broken(broken: Database) -> None:
    """Else what is demanded above would be worth nothing."""
    for file in sorted(FILES.glob("test_*.sql")):
        assert tap.failures(broken, file) == [], file.name
    attacks.prepare(broken)
    for one in attacks.ATTACKS.values():
        one(broken)


def test_every_attack_is_one_that_can_fail() -> None:
    """An attack that no breakage lets succeed is listed here with the reason."""
    shown = {name for breakage in BREAKAGES for name in breakage.by} | {"test_no_context.sql", "test_owner.sql"}
    listed = {
        # Their breakages would be PostgreSQL's own.
        "test_settings.sql",
        "test_other_roles.sql",
        "a_context_kept_across_commit_in_do",
        "a_context_kept_in_one_message",
        "pipelined_contexts",
        "planted_session_settings",
        "held_cursors",
        "becoming_someone_else",
        "copying_tables",
        "settings_of_the_role",
        "handing_the_role_on",
    }
    everything = {file.name for file in FILES.glob("test_*.sql")} | set(attacks.ATTACKS)
    assert everything - shown == listed
