"""`limena deploy`: what it does to a server of its own, as a superuser and as a mere CREATEROLE owner of the database.

Roles belong to the server, so these tests have one for themselves and start each time without any of Limena's roles.
Most of them deploy a small source that is made here; the real one is deployed, printed and compared in the first few.
"""

import hashlib
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from limena.deploy import (
    DeployError,
    DeployResult,
    deploy,
    expected_digest,
    owner_connection,
    plan,
    print_script,
    source_dir,
)
from limena.deploy_source import read_source
from limena.embedded import PostgresServer
from support.databases import Database, create_database, drop_database
from support.fixtures import FORGETFUL

ROLES = ("limena_app", "limena_auth", "limena_readonly", "limena_maintenance", "limena_owner")
OURS = ROLES[:4]

# The smallest source that can be deployed. Its self-check objects to what the real one objects to first, so that every
# test here fails if the deployer inherits from limena_owner at the moment of the check.
SMALL = {
    "schema/0002_notes.sql": """
        create table limena.notes (id integer primary key, body text);
    """,
    "functions/audit/ensure_partitions.sql": """
        create or replace function limena.ensure_partitions(p_months_ahead integer default 3) returns integer
        language sql volatile set search_path = pg_catalog, pg_temp as $$ select 0 $$;
    """,
    "functions/platform/self_check.sql": """
        create or replace function limena.self_check() returns table (check_name text, object text, finding text)
        language sql stable set search_path = pg_catalog, pg_temp as $$
            select 'roles', r.rolname::text, 'inherits from limena_owner'
            from pg_roles as r
            where not r.rolsuper and r.rolname <> 'limena_owner' and pg_has_role(r.oid, 'limena_owner', 'USAGE')
        $$;
    """,
    "policies/identity/notes.sql": """
        alter table limena.notes enable row level security;
        alter table limena.notes force row level security;
    """,
}


@dataclass
class Target:
    """A database of which nothing is deployed, and the role that deploys it."""

    database: Database
    deployer: str
    source: Path
    lines: list[str] = field(default_factory=list)

    @property
    def dsn(self) -> str:
        return self.database.dsn(self.deployer)

    def deploy(self, **options: Any) -> DeployResult:
        return deploy(self.dsn, environment="development", source=self.source, echo=self.lines.append, **options)

    def refused(self, **options: Any) -> str:
        with pytest.raises(DeployError) as raised:
            self.deploy(**options)
        return str(raised.value)

    def write(self, path: str, text: str) -> None:
        (self.source / path).parent.mkdir(parents=True, exist_ok=True)
        (self.source / path).write_text(text)

    def row(self, query: str, user: str = "postgres") -> tuple[Any, ...]:
        with self.database.connect(user) as connection:
            found = connection.execute(query.encode()).fetchone()
            assert found is not None
            return found

    def one(self, query: str, user: str = "postgres") -> Any:
        return self.row(query, user)[0]

    def ledger(self) -> dict[str, str]:
        with self.database.connect() as connection:
            return dict(connection.execute("select path, sha256 from limena_private.deployed_files").fetchall())


@pytest.fixture(scope="module")
def own_server(bin_dir: Path, new_folder: Callable[[], Path]) -> Iterator[PostgresServer]:
    with PostgresServer(new_folder() / "pg", bin_dir, FORGETFUL) as running:
        yield running


@pytest.fixture
def make_target(own_server: PostgresServer, tmp_path: Path) -> Iterator[Callable[..., Target]]:
    """make_target("superuser"|"deployer", small=…): a new database; at the end it goes, and with it every role."""
    made: list[Database] = []

    def run(statement: str) -> None:
        with psycopg.connect(own_server.dsn(database="postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())

    def make(who: str, *, small: bool = True) -> Target:
        database = create_database(own_server, f"target_{len(made)}")
        if not made:
            run("create role deployer login createrole")
        made.append(database)
        run(f"alter database {database.name} owner to deployer")
        source = source_dir()
        if small:
            source = tmp_path / "db"
            shutil.copytree(source_dir() / "deploy", source / "deploy", dirs_exist_ok=True)
            target = Target(database, "deployer" if who == "deployer" else "postgres", source)
            target.write("schema/0001_roles.sql", (source_dir() / "schema" / "0001_roles.sql").read_text())
            for path, text in SMALL.items():
                target.write(path, text)
        return Target(database, "deployer" if who == "deployer" else "postgres", source)

    yield make
    for database in made:
        drop_database(database)
    with psycopg.connect(own_server.dsn(database="postgres"), autocommit=True) as connection:
        for (name,) in connection.execute("select rolname from pg_roles where oid >= 16384").fetchall():
            connection.execute(sql.SQL("drop owned by {}").format(sql.Identifier(name)))
        for (name,) in connection.execute("select rolname from pg_roles where oid >= 16384").fetchall():
            connection.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))


@pytest.fixture
def target(request: pytest.FixtureRequest, make_target: Callable[..., Target]) -> Target:
    """The small source, deployed by the one who may do less, or by `both` in turn."""
    return make_target(getattr(request, "param", "deployer"))


both = pytest.mark.parametrize("target", ["superuser", "deployer"], indirect=True)


@pytest.fixture
def deployed(target: Target) -> Target:
    target.deploy()
    target.lines.clear()
    return target


def run_in_thread(work: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """Starts `work`; its result, or what it raised, is in the list once the thread has ended."""
    outcome: list[object] = []

    def run() -> None:
        try:
            outcome.append(work())
        except DeployError as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited a minute for what should happen at once"
        time.sleep(0.02)


def waits_for_lock(target: Target, query_contains: str) -> Callable[[], bool]:
    def look() -> bool:
        return bool(
            target.one(
                "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
                f" and datname = current_database() and query like '%{query_contains}%'"
            )
        )

    return look


def psql(target: Target, script: str) -> subprocess.CompletedProcess[str]:
    # -X: without the reader's own ~/.psqlrc. Nothing else is set: the script says itself what it needs.
    return subprocess.run(
        [target.database.server.bin_dir / "psql", "-X", "-d", target.dsn],
        input=script,
        capture_output=True,
        text=True,
        check=False,
    )


def dump(target: Target) -> str:
    done = subprocess.run(
        [target.database.server.bin_dir / "pg_dump", "--schema-only", "-d", target.database.dsn()],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "LC_ALL": "C"},
    )
    # Newer pg_dumps wrap the dump in \restrict with a random key.
    return "\n".join(line for line in done.stdout.splitlines() if not line.startswith(("\\restrict", "\\unrestrict")))


# The real source


@pytest.mark.parametrize("who", ["superuser", "deployer"])
def test_the_real_files_deploy_and_a_second_deploy_has_nothing_to_do(
    make_target: Callable[..., Target], who: str
) -> None:
    target = make_target(who, small=False)
    first = target.deploy()
    assert first.changes[0] == "schema/0001_roles.sql"
    assert first.digest == expected_digest() == target.one("select limena.deployed_digest()")
    assert set(target.ledger()) == set(first.changes)

    before = target.one("select xmin::text || deployed_at from limena_private.deployed_files order by path limit 1")
    second = target.deploy()
    assert second.changes == ()
    assert second.warnings == ()
    assert before == target.one(
        "select xmin::text || deployed_at from limena_private.deployed_files order by path limit 1"
    )


@pytest.mark.parametrize("who", ["superuser", "deployer"])
def test_the_printed_script_makes_the_same_database(make_target: Callable[..., Target], who: str) -> None:
    by_deploy = make_target(who, small=False)
    by_deploy.deploy()
    by_psql = make_target(who, small=False)
    script = print_script(None, environment="development")
    done = psql(by_psql, script)
    assert done.returncode == 0, done.stderr
    assert dump(by_psql) == dump(by_deploy)
    assert by_psql.ledger() == by_deploy.ledger()
    assert by_psql.deploy().changes == ()

    # It was printed for an empty database, and this one is no longer empty.
    again = psql(by_psql, script)
    assert again.returncode == 3
    assert "plan it again" in again.stderr


# What is left of the deployer's rights


@both
def test_the_deployer_never_inherits_from_the_owner(deployed: Target) -> None:
    """Fails without the revocation in assume_owner.sql (15) or WITH INHERIT FALSE (16 and later)."""
    assert not deployed.one("select pg_has_role('deployer', 'limena_owner', 'USAGE')")
    if int(deployed.one("show server_version_num")) < 160000:
        assert deployed.one("select count(*) from pg_auth_members where roleid = 'limena_owner'::regrole") == 0


def test_a_server_that_hands_new_roles_to_their_maker_does_not_hand_out_these(
    make_target: Callable[..., Target],
) -> None:
    """createrole_self_grant would make the deployer an inheriting member. Fails without the line that empties it."""
    target = make_target("deployer")
    if int(target.one("show server_version_num")) < 160000:
        assert target.one("select count(*) from pg_settings where name = 'createrole_self_grant'") == 0
        return
    with target.database.connect() as connection:
        connection.execute("alter role deployer set createrole_self_grant = 'set, inherit'")
    target.deploy()
    assert not target.one("select bool_or(pg_has_role('deployer', r.rolname, 'USAGE')) from pg_roles as r"
                          " where r.rolname like 'limena\\_%'")  # fmt: skip


def test_a_deployer_that_has_lost_its_membership_takes_it_again_without_inheriting(deployed: Target) -> None:
    """On 16 and later; on 15 every deploy does it. Fails without WITH INHERIT FALSE in assume_owner.sql."""
    if int(deployed.one("show server_version_num")) >= 160000:
        with deployed.database.connect("deployer") as connection:
            connection.execute("revoke set option for limena_owner from deployer")
        assert not deployed.one("select pg_has_role('deployer', 'limena_owner', 'SET')")
    assert deployed.deploy().changes == ()
    assert not deployed.one("select pg_has_role('deployer', 'limena_owner', 'USAGE')")


@both
def test_owner_connection_acts_as_the_owner_and_leaves_no_inheriting_member(deployed: Target) -> None:
    with owner_connection(deployed.dsn) as connection:
        assert connection.execute("select current_user, session_user").fetchone() == ("limena_owner", deployed.deployer)
        assert not deployed.one("select pg_has_role('deployer', 'limena_owner', 'USAGE')")


def test_nobody_is_the_owner_of_what_is_not_deployed(target: Target) -> None:
    with pytest.raises(DeployError, match="not deployed in this database"), owner_connection(target.dsn):
        pass


@both
def test_every_object_belongs_to_the_owner(deployed: Target) -> None:
    owners = deployed.one(
        "select array_agg(distinct o::text) from ("
        " select relowner::regrole from pg_class where relnamespace::regnamespace::text like 'limena%'"
        " union select proowner::regrole from pg_proc where pronamespace::regnamespace::text like 'limena%'"
        " union select nspowner::regrole from pg_namespace where nspname like 'limena%') as x (o)"
    )
    assert owners == ["limena_owner"]


# Deny first


@both
def test_public_has_nothing_and_our_roles_have_only_connect(deployed: Target) -> None:
    rights = "select has_database_privilege('{0}', current_database(), '{1}')"
    assert not deployed.one(rights.format("limena_owner", "CONNECT"))
    for right in ("CONNECT", "TEMP", "CREATE"):
        assert not deployed.one(rights.format("public", right))
    for role in OURS:
        assert deployed.one(rights.format(role, "CONNECT"))
        assert not deployed.one(rights.format(role, "TEMP"))
        assert not deployed.one(rights.format(role, "CREATE"))
        assert not deployed.one(f"select has_schema_privilege('{role}', 'public', 'USAGE')")
        assert deployed.one(f"select has_schema_privilege('{role}', 'limena', 'USAGE')")
        assert not deployed.one(f"select has_schema_privilege('{role}', 'limena_private', 'USAGE')")
    assert deployed.row(
        "select bool_or(rolsuper), bool_or(rolbypassrls), bool_or(rolcreatedb), bool_or(rolcreaterole),"
        " bool_or(rolreplication), bool_or(rolinherit), count(*) filter (where rolcanlogin),"
        " bool_or(rolpassword is not null)"
        " from pg_authid where rolname like 'limena\\_%'"
    ) == (False, False, False, False, False, False, 4, False)


def test_a_new_function_is_not_for_public(deployed: Target) -> None:
    """Fails without ALTER DEFAULT PRIVILEGES in 0001_roles.sql, and with its IN SCHEMA form."""
    assert not deployed.one("select has_function_privilege('limena_app', 'limena.self_check()', 'EXECUTE')")


@both
def test_functions_that_reach_other_sessions_are_revoked_where_that_is_possible(deployed: Target) -> None:
    may = deployed.one(
        "select array_agg(distinct p.proname::text order by p.proname::text) from pg_proc as p"
        " where p.pronamespace = 'pg_catalog'::regnamespace and has_function_privilege('limena_app', p.oid, 'EXECUTE')"
        " and p.proname in ('pg_terminate_backend', 'pg_cancel_backend', 'lo_creat', 'lo_create', 'lo_from_bytea',"
        " 'pg_logical_emit_message')"
    )
    assert (may is None) == (deployed.deployer == "postgres")


@both
@pytest.mark.parametrize(
    "opened",
    [
        "grant temp on database {} to public",
        "grant create on database {} to limena_app",
        "grant connect on database {} to limena_owner",
        "revoke connect on database {} from limena_auth",
        "grant create on schema public to public",
        "grant usage on schema public to limena_readonly",
    ],
)
def test_what_was_opened_by_hand_is_closed_by_the_next_deploy(deployed: Target, opened: str) -> None:
    """Rights on a database are lost in a restore. Fails where close_database.sql runs only once."""
    with deployed.database.connect() as connection:
        connection.execute(opened.format(deployed.database.name).encode())
    assert deployed.deploy().changes == ()
    test_public_has_nothing_and_our_roles_have_only_connect(deployed)


def test_roles_that_lose_connect_are_named(target: Target) -> None:
    with target.database.connect() as connection:
        connection.execute("create role product login")
        connection.execute("create role reporting login")
        connection.execute(
            sql.SQL("grant connect on database {} to reporting").format(sql.Identifier(target.database.name))
        )
    (warning,) = target.deploy().warnings
    assert warning.endswith(": product")


# Roles that are there already


@pytest.mark.parametrize(
    ("before", "sentence"),
    [
        ("create role limena_app login superuser", "the role limena_app exists and is a superuser or has BYPASSRLS"),
        ("create role limena_owner bypassrls", "the role limena_owner exists and is a superuser or has BYPASSRLS"),
        (
            "create role limena_app login; grant pg_read_all_data to limena_app",
            "the role limena_app exists and is a member of pg_read_all_data",
        ),
        (
            "create role limena_owner; create role someone login inherit; grant limena_owner to someone",
            "limena_owner has members that inherit from it: someone",
        ),
    ],
)
def test_a_dangerous_role_is_refused_by_name(make_target: Callable[..., Target], before: str, sentence: str) -> None:
    target = make_target("superuser")
    with target.database.connect() as connection:
        connection.execute(before.encode())
    message = target.refused()
    assert message.startswith("schema/0001_roles.sql, line ")
    assert sentence in message
    assert message.endswith("Nothing was changed.")


@both
def test_a_harmless_role_is_taken_over_and_made_safe(target: Target) -> None:
    with target.database.connect() as connection:
        connection.execute("create role limena_app nologin createdb replication")
    if target.deployer == "postgres":
        target.deploy()
        test_public_has_nothing_and_our_roles_have_only_connect(target)
    else:
        assert "A superuser runs: alter role limena_app login noinherit nocreatedb noreplication" in target.refused()


@both
def test_a_second_database_of_the_server_takes_the_roles_over(
    target: Target, make_target: Callable[..., Target]
) -> None:
    target.deploy()
    second = make_target("deployer" if target.deployer == "deployer" else "superuser")
    second.deploy()
    assert second.ledger() == target.ledger()


def test_another_deployer_goes_on_where_it_may_act_as_the_owner(make_target: Callable[..., Target]) -> None:
    """On 15, CREATEROLE is enough for that; later versions want to be told."""
    target = make_target("superuser")
    target.deploy()
    target.deployer = "deployer"
    if int(target.one("show server_version_num")) >= 160000:
        assert "deployer may not act as limena_owner" in target.refused()
        with target.database.connect() as connection:
            connection.execute("grant limena_owner to deployer with inherit false, set true")
    assert target.deploy().changes == ()
    assert not target.one("select pg_has_role('deployer', 'limena_owner', 'USAGE')")


def test_whoever_may_not_deploy_gets_a_sentence(make_target: Callable[..., Target]) -> None:
    target = make_target("deployer")
    with target.database.connect() as connection:
        connection.execute("create role nobody login")
        connection.execute("create role stranger login createrole")
    target.deployer = "nobody"
    message = target.refused()
    assert "permission denied to create role" in message
    assert "a role with CREATEROLE that owns the database" in message
    target.deployer = "stranger"
    assert "permission denied for database" in target.refused()
    assert target.one("select count(*) from pg_roles where rolname like 'limena\\_%'") == 0


# All or nothing


@both
def test_a_finding_of_the_self_check_rolls_everything_back(target: Target) -> None:
    path = "functions/platform/self_check.sql"
    bad = "select 'isolation', 'limena.notes', 'has no policy' union all select 'a', 'b', '100% c'"
    target.write(path, SMALL[path].replace("as $$", f"as $$ {bad} union all "))
    message = target.refused()
    assert "a: b: 100% c\nisolation: limena.notes: has no policy" in message
    assert message.endswith("Nothing was changed.")
    assert target.one("select count(*) from pg_namespace where nspname like 'limena%'") == 0
    assert target.one("select count(*) from pg_roles where rolname like 'limena\\_%'") == 0
    assert target.one("select has_database_privilege('public', current_database(), 'TEMP')")


@pytest.mark.parametrize(
    ("path", "text", "start"),
    [
        ("schema/0003_x.sql", "select 1;\n\n/* … */ select\n  x\nfrom limena.notes;", "schema/0003_x.sql, line 4:"),
        ("policies/ai/x.sql", "-- one\nalter table limena.x enable row level security;", "policies/ai/x.sql, line 2:"),
    ],
)
def test_an_error_names_the_file_and_the_line(deployed: Target, path: str, text: str, start: str) -> None:
    deployed.write(path, text)
    before = deployed.ledger()
    assert deployed.refused().startswith(start)
    assert deployed.ledger() == before


@pytest.mark.parametrize(
    ("language", "body"), [("plpgsql", "begin retrun 1; end"), ("sql", "select limena.no_such_function()")]
)
def test_a_mistake_in_a_body_stops_the_deploy(deployed: Target, language: str, body: str) -> None:
    """Bodies are not checked when they are made. Fails without check_functions.sql."""
    deployed.write(
        "functions/ai/broken.sql",
        f"create or replace function limena.broken() returns integer language {language} as $$ {body} $$;",
    )
    message = deployed.refused()
    assert message.startswith("check the functions: limena.broken(): ")
    assert message.endswith("Nothing was changed.")


def test_functions_may_call_what_comes_later_and_views_come_last(deployed: Target) -> None:
    deployed.write(
        "functions/context/a.sql",
        "create or replace function limena.a() returns integer language sql as $$ select limena.z() $$;",
    )
    deployed.write(
        "functions/platform/z.sql",
        "create or replace function limena.z() returns integer language sql as $$ select 1 $$;",
    )
    deployed.write("functions/audit/v.sql", "-- a view\ncreate or replace view limena.v as select limena.z() as z;")
    assert deployed.deploy().changes == (
        "functions/context/a.sql",
        "functions/platform/z.sql",
        "functions/audit/v.sql",
    )


@both
def test_a_deploy_that_is_killed_leaves_nothing(deployed: Target) -> None:
    deployed.write("schema/0003_more.sql", "alter table limena.notes add more integer;")
    before = deployed.ledger()
    with deployed.database.connect(autocommit=False) as blocker:
        blocker.execute("lock table limena.notes in access share mode")
        thread, outcome = run_in_thread(deployed.deploy)
        wait_until(waits_for_lock(deployed, "add more"))
        deployed.one(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and query like '%add more%' and wait_event_type = 'Lock'"
        )
        thread.join()
    (error,) = outcome
    assert isinstance(error, DeployError)
    assert "Run the deploy again" in str(error)
    assert deployed.ledger() == before
    assert deployed.deploy().changes == ("schema/0003_more.sql",)


def test_a_table_in_use_is_not_waited_for_long(deployed: Target) -> None:
    settings = (deployed.source / "deploy" / "settings.sql").read_text()
    assert "set lock_timeout = '10s';" in settings
    deployed.write("deploy/settings.sql", settings.replace("'10s'", "'50ms'"))
    deployed.write("policies/identity/notes.sql", SMALL["policies/identity/notes.sql"] + "-- changed")
    with deployed.database.connect(autocommit=False) as blocker:
        blocker.execute("select * from limena.notes")
        message = deployed.refused()
    assert message.startswith("policies/identity/notes.sql, line 2: ")
    assert "run the deploy again when it is done" in message


# The ledger


@both
def test_only_what_changed_runs_again(deployed: Target) -> None:
    deployed.write("policies/identity/notes.sql", SMALL["policies/identity/notes.sql"] + "-- changed")
    deployed.write("schema/0003_more.sql", "alter table limena.notes add more integer;")
    steps = plan(deployed.dsn, environment="development", source=deployed.source)
    assert [step.label for step in steps if step.path] == ["schema/0003_more.sql", "policies/identity/notes.sql"]
    assert "schema/0003_more.sql" not in deployed.ledger(), "a plan runs nothing"
    assert deployed.deploy().changes == ("schema/0003_more.sql", "policies/identity/notes.sql")
    assert deployed.lines == ["schema/0003_more.sql", "policies/identity/notes.sql"]


@both
def test_nothing_to_do_takes_no_transaction_id(deployed: Target) -> None:
    """Except on 15 for a deployer that is no superuser, whose membership has to be written and taken back."""
    if deployed.deployer == "deployer" and int(deployed.one("show server_version_num")) < 160000:
        assert deployed.deploy().changes == ()
        return
    before = deployed.one("select pg_snapshot_xmax(pg_current_snapshot())::text")
    assert deployed.deploy().changes == ()
    plan(deployed.dsn, environment="development", source=deployed.source)
    assert deployed.one("select pg_snapshot_xmax(pg_current_snapshot())::text") == before


def test_line_ends_of_another_system_change_nothing(deployed: Target) -> None:
    for path in deployed.source.rglob("*.sql"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert deployed.deploy().changes == ()


def test_an_applied_schema_file_that_was_edited_is_refused(deployed: Target) -> None:
    deployed.write("schema/0002_notes.sql", SMALL["schema/0002_notes.sql"] + "-- a harmless comment")
    assert "schema/0002_notes.sql: was edited after it was applied" in deployed.refused()


def test_an_applied_schema_file_that_is_missing_is_refused(deployed: Target) -> None:
    (deployed.source / "schema/0002_notes.sql").unlink()
    assert (
        "schema/0002_notes.sql: was applied to this database, and this version has no such file" in deployed.refused()
    )


def test_a_schema_file_that_comes_too_late_is_refused(deployed: Target) -> None:
    deployed.write("schema/0004_later.sql", "create table limena.later (id integer);")
    deployed.deploy()
    deployed.write("schema/0003_earlier.sql", "create table limena.earlier (id integer);")
    assert "schema/0003_earlier.sql: comes before schema/0004_later.sql" in deployed.refused()


def test_a_removed_file_needs_its_object_dropped(deployed: Target) -> None:
    deployed.write("functions/ai/gone.sql", "create function limena.gone() returns integer language sql return 1;")
    deployed.deploy()
    (deployed.source / "functions/ai/gone.sql").unlink()
    message = deployed.refused()
    assert "functions/ai/gone.sql is gone, and its object gone is still in the database" in message
    deployed.write("schema/0003_drop_gone.sql", "drop function limena.gone();")
    assert deployed.deploy().changes == ("schema/0003_drop_gone.sql", "forget functions/ai/gone.sql")
    assert "functions/ai/gone.sql" not in deployed.ledger()


def test_the_policies_of_a_table_that_stays_cannot_be_removed(deployed: Target) -> None:
    (deployed.source / "policies/identity/notes.sql").unlink()
    assert "policies/identity/notes.sql is gone, and its object notes is still in the database" in deployed.refused()


def test_a_file_may_move_to_another_domain(deployed: Target) -> None:
    shutil.move(deployed.source / "policies/identity", deployed.source / "policies/platform")
    assert deployed.deploy().changes == ("forget policies/identity/notes.sql", "policies/platform/notes.sql")


# Files that are not transactional

INDEX = """-- Why.
-- transactional: false
set maintenance_work_mem = '2MB';
create index concurrently if not exists notes_body_idx on limena.notes (body);
"""


@both
def test_on_an_empty_database_they_run_after_the_transaction(target: Target) -> None:
    target.write("schema/0003_index.sql", INDEX)
    target.write("schema/0004_more.sql", "alter table limena.notes add more integer;")
    changes = target.deploy().changes
    assert changes[-1] == "schema/0003_index.sql"
    assert changes.index("schema/0004_more.sql") < changes.index("policies/identity/notes.sql")
    assert (
        target.one("select pg_get_userbyid(relowner) from pg_class where relname = 'notes_body_idx'") == "limena_owner"
    )
    assert target.deploy().changes == ()


@both
def test_later_they_run_before_it_and_stay(deployed: Target) -> None:
    deployed.write("schema/0003_index.sql", INDEX)
    deployed.write("schema/0004_wrong.sql", "select no_such_column;")
    message = deployed.refused()
    assert message.startswith("schema/0004_wrong.sql, line 1: ")
    assert message.endswith("Deployed before it, and kept: 1. Run the deploy again for the rest.")
    assert "schema/0003_index.sql" in deployed.ledger()
    deployed.write("schema/0004_wrong.sql", "select 1;")
    assert deployed.deploy().changes == ("schema/0004_wrong.sql",)


def test_one_that_failed_midway_runs_again(target: Target) -> None:
    target.write("schema/0003_index.sql", INDEX + "select no_such_column;")
    target.write("schema/0004_more.sql", "alter table limena.notes add more integer;")
    assert target.refused().startswith("schema/0003_index.sql, line 5: ")
    assert "schema/0004_more.sql" in target.ledger(), "the transaction came first"
    assert "schema/0003_index.sql" not in target.ledger()
    target.write("schema/0003_index.sql", INDEX)
    assert target.deploy().changes == ("schema/0003_index.sql",)


def test_an_index_whose_build_was_cut_off_does_not_pass_for_one(deployed: Target) -> None:
    """Fails without check_indexes.sql: IF NOT EXISTS is content with an index that is not valid."""
    with deployed.database.connect() as connection:
        connection.execute("insert into limena.notes values (1, 'a'), (2, 'a')")
    unique = INDEX.replace("create index", "create unique index")
    deployed.write("schema/0003_index.sql", unique)
    assert "could not create unique index" in deployed.refused()
    with deployed.database.connect() as connection:
        connection.execute("delete from limena.notes where id = 2")
    assert "not valid after a build that was cut off: limena.notes_body_idx" in deployed.refused()
    build = "create unique index concurrently"
    better = unique.replace(build, f"drop index concurrently if exists limena.notes_body_idx;\n{build}")
    deployed.write("schema/0003_index.sql", better)
    assert deployed.deploy().changes == ("schema/0003_index.sql",)


def test_they_have_the_time_they_need_and_nothing_else_has(deployed: Target) -> None:
    names = ("lock_timeout", "statement_timeout", "maintenance_work_mem")
    limits = ", ".join(f"current_setting('{name}') as {name}" for name in names)
    deployed.write("schema/0003_index.sql", INDEX)
    deployed.write("schema/0004_x.sql", f"-- transactional: false\ncreate table limena.outside as select {limits};")
    deployed.write("schema/0005_x.sql", f"create table limena.inside as select {limits};")
    deployed.deploy()
    memory = deployed.one("show maintenance_work_mem")
    assert deployed.row("select * from limena.outside") == ("0", "0", memory)
    assert deployed.row("select * from limena.inside") == ("10s", "15min", memory)


@both
def test_the_printed_script_runs_them_too(deployed: Target) -> None:
    deployed.write("schema/0003_index.sql", INDEX)
    deployed.write("schema/0004_more.sql", "alter table limena.notes add more integer;")
    deployed.write("schema/0005_index.sql", INDEX.replace("notes_body_idx", "notes_more_idx").replace("body", "more"))
    script = print_script(deployed.dsn, environment="development", source=deployed.source)
    done = psql(deployed, script)
    assert done.returncode == 0, done.stderr
    assert deployed.deploy().changes == ()
    made = deployed.one("select count(*) from pg_index where indexrelid::regclass::text ~ '_idx$' and indisvalid")
    assert made == 2
    assert psql(deployed, script).returncode == 3
    assert not deployed.one("select pg_has_role('deployer', 'limena_owner', 'USAGE')")


def test_an_index_build_and_a_waiting_deploy_do_not_wait_for_each_other(deployed: Target) -> None:
    """Such a build waits for every snapshot. Fails where a deploy waits for the lock inside a statement."""
    deployed.write("schema/0003_index.sql", INDEX)
    with deployed.database.connect(autocommit=False) as blocker:
        blocker.execute("lock table limena.notes in row exclusive mode")
        first, first_outcome = run_in_thread(deployed.deploy)
        wait_until(waits_for_lock(deployed, "notes_body_idx"))
        second, second_outcome = run_in_thread(deployed.deploy)
        wait_until(lambda: any(line.startswith("waiting: another deploy") for line in deployed.lines))
    first.join()
    second.join()
    (one,), (other,) = first_outcome, second_outcome
    assert isinstance(one, DeployResult)
    assert one.changes == ("schema/0003_index.sql",)
    assert isinstance(other, DeployResult)
    assert other.changes == ()


# One at a time


@both
def test_of_two_at_once_the_second_finds_nothing_to_do(target: Target) -> None:
    barrier = threading.Barrier(2)

    def work() -> DeployResult:
        barrier.wait()
        return target.deploy()

    threads = [run_in_thread(work) for _ in range(2)]
    for thread, _ in threads:
        thread.join()
    results = [outcome for _, (outcome,) in threads]
    assert all(isinstance(result, DeployResult) for result in results), results
    assert sorted(bool(result.changes) for result in results if isinstance(result, DeployResult)) == [False, True]


def test_the_wait_has_an_end_and_names_the_holder(deployed: Target) -> None:
    script = print_script(deployed.dsn, environment="development", source=deployed.source)
    with deployed.database.connect("limena_app") as holder:
        holder.execute("select pg_advisory_lock(x'6c696d656e61'::bigint)")
        message = deployed.refused(lock_wait_seconds=0.3)
        assert (
            f"another deploy of this database is running (process {holder.info.backend_pid} of limena_app)" in message
        )
        assert psql(deployed, script).returncode == 3


# The server


def test_old_minor_releases_are_refused_in_production_and_warned_about_in_development(deployed: Target) -> None:
    check = (source_dir() / "deploy" / "check_server.sql").read_text()
    real = "current_setting('server_version_num')::integer"
    assert check.count(real) == 1
    outcomes = {}
    with deployed.database.connect() as connection:
        notices: list[str | None] = []
        connection.add_notice_handler(lambda notice: notices.append(notice.message_primary))
        for version in (140020, 150014, 150015, 160010, 160011, 170006, 170007, 180000, 180001, 190000):
            for environment in ("production", "development"):
                notices.clear()
                connection.execute(f"set limena.deploy_environment = {environment}".encode())
                try:
                    connection.execute(check.replace(real, str(version)).encode())
                    outcomes[version, environment] = "warned" if notices else "passed"
                except psycopg.errors.FeatureNotSupported:
                    outcomes[version, environment] = "refused"
    old = (150014, 160010, 170006, 180000)
    assert {version for (version, where), what in outcomes.items() if where == "production" and what == "refused"} == {
        140020,
        *old,
    }
    assert {version for (version, where), what in outcomes.items() if where == "development" and what == "warned"} == {
        190000,
        *old,
    }
    assert outcomes[140020, "development"] == "refused"
    assert outcomes[190000, "production"] == "warned"


def test_this_server_is_fit_for_production(target: Target) -> None:
    target.lines.clear()
    deploy(target.dsn, environment="production", source=target.source, echo=target.lines.append)
    assert not [line for line in target.lines if line.startswith("warning")]


def test_a_read_only_database_gets_a_sentence(target: Target) -> None:
    with target.database.connect() as connection:
        connection.execute(
            sql.SQL("alter database {} set default_transaction_read_only = on").format(
                sql.Identifier(target.database.name)
            )
        )
    assert "the database is set to read only" in target.refused()


def test_a_standby_gets_a_sentence(own_server: PostgresServer) -> None:
    check = (source_dir() / "deploy" / "check_server.sql").read_text()
    assert "pg_is_in_recovery()" in check
    with (
        psycopg.connect(own_server.dsn(database="postgres"), autocommit=True) as connection,
        pytest.raises(psycopg.errors.ReadOnlySqlTransaction, match="deploy to the primary"),
    ):
        connection.execute(check.replace("pg_is_in_recovery()", "true").encode())


def test_another_encoding_is_refused(target: Target) -> None:
    name = sql.Identifier(target.database.name)
    with psycopg.connect(target.database.server.dsn(database="postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("drop database {}").format(name))
        connection.execute(sql.SQL("create database {} template template0 encoding 'LATIN1' locale 'C'").format(name))
    assert "the database's encoding is LATIN1: Limena needs UTF8" in target.refused()


def test_a_server_that_is_not_there_gets_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="The database cannot be reached"):
        deploy(f"postgresql://nobody@/x?host={tmp_path}", environment="production", echo=lambda line: None)


@both
def test_nothing_in_public_stands_in_for_what_postgresql_has(target: Target) -> None:
    """Whoever could create objects before must not run code in a deploy. Fails without search_path in settings.sql."""
    trap = "language plpgsql as $$ begin raise exception 'caught'; end $$"
    with target.database.connect() as connection:
        connection.execute(
            sql.SQL("alter database {} set search_path = public, pg_catalog").format(
                sql.Identifier(target.database.name)
            )
        )
    with target.database.connect() as connection:
        for signature in (
            "public.current_setting(text) returns text",
            "public.set_config(text, text, boolean) returns text",
            "public.pg_try_advisory_lock(bigint) returns boolean",
            "public.now() returns timestamptz",
        ):
            connection.execute(f"create function {signature} {trap}".encode())
        connection.execute("create table public.pg_roles as select 'postgres'::name as rolname, false as rolsuper")
    target.deploy()


# What was altered by hand


@pytest.fixture
def whole(make_target: Callable[..., Target], tmp_path: Path) -> Target:
    """The real files, deployed from a copy that can be changed."""
    made = make_target("deployer", small=False)
    shutil.copytree(source_dir(), tmp_path / "whole")
    target = Target(made.database, made.deployer, tmp_path / "whole")
    target.deploy()
    return target


def by_hand(target: Target, statement: str) -> None:
    with target.database.connect() as connection:
        connection.execute(statement.encode())


HAND_MADE = "alter policy tenants_select_app on limena.tenants using (limena.current_tenant_id() is null or true)"
ALTERED = "definitions: policy tenants_select_app on limena.tenants: was altered after the deploy"


def test_what_was_altered_by_hand_ends_the_deploy(whole: Target) -> None:
    by_hand(whole, HAND_MADE)
    assert ALTERED in whole.refused()


def test_a_deploy_of_other_files_does_not_take_it_for_its_own(whole: Target) -> None:
    by_hand(whole, HAND_MADE)
    by_hand(whole, "alter table limena.users drop constraint users_email_check")
    path = "functions/identity/get_me.sql"
    whole.write(path, (whole.source / path).read_text() + "-- changed")
    told = whole.refused()
    assert ALTERED in told
    assert "definitions: constraint users_email_check on limena.users: is missing" in told
    assert "get_me" not in told


def test_a_file_that_writes_it_anew_ends_the_matter(whole: Target) -> None:
    by_hand(whole, HAND_MADE)
    by_hand(whole, "alter function limena.get_me() cost 50")
    for path in ("policies/identity/tenants.sql", "functions/identity/get_me.sql"):
        whole.write(path, (whole.source / path).read_text() + "-- changed")
    assert len(whole.deploy().changes) == 2
    assert whole.deploy().changes == ()


def test_a_change_that_a_file_brings_later_word_for_word_is_the_file_s(whole: Target) -> None:
    path = "functions/identity/get_me.sql"
    changed = (whole.source / path).read_text().replace("begin\n", "begin\n    -- a hot fix\n", 1)
    by_hand(whole, changed)
    assert "function limena.get_me(): was altered" in whole.refused()
    whole.write(path, changed)
    assert whole.deploy().changes == (path,)


@pytest.mark.parametrize("forget", ["delete from {}", "update {} set server_major = 9"])
def test_a_database_is_taken_as_it_is_where_nothing_can_be_compared(whole: Target, forget: str) -> None:
    by_hand(whole, HAND_MADE)
    by_hand(whole, forget.format("limena_private.deployed_definitions"))
    whole.deploy()
    count = "select count(*) from limena_private.deployed_definitions where server_major <> 9"
    assert whole.one(count) == whole.one("select count(*) from limena_private.definitions")


def test_files_outside_the_transaction_are_remembered_too(whole: Target, make_target: Callable[..., Target]) -> None:
    whole.write(
        "schema/0999_check.sql",
        "-- transactional: false\nalter table limena.users add constraint users_sneak_check check (true);",
    )
    fresh = make_target("deployer", small=False)
    for target in (whole, Target(fresh.database, fresh.deployer, whole.source)):
        assert "schema/0999_check.sql" in target.deploy().changes
        assert target.deploy().changes == ()
        by_hand(target, "alter table limena.users drop constraint users_sneak_check")
        assert "constraint users_sneak_check on limena.users: is missing" in target.refused()


# The files themselves, without a server


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for path, text in {**SMALL, "schema/0001_roles.sql": "select 1;", "deploy/settings.sql": "select 1;"}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("path", "text", "finding"),
    [
        ("schema/0003_x.sql", "select 1;\ncommit;", "line 2: COMMIT is not a file's to say"),
        ("schema/0003_x.sql", "ROLLBACK to a;", "line 1: ROLLBACK is not a file's to say"),
        ("policies/ai/x.sql", "set role postgres;", "line 1: a file runs as limena_owner"),
        ("policies/ai/x.sql", "reset role;", "line 1: a file runs as limena_owner"),
        ("functions/ai/x.sql", "set search_path = public;", "line 1: a setting would outlive the file"),
        ("functions/ai/x.sql", "select 1", "line 1: the last statement has no semicolon"),
        ("functions/ai/x.sql", "select 'a;", "line 1: the text that begins with ' has no end"),
        ("functions/ai/x.sql", "select 1;\nselect $a$ $b$;", "line 2: the text that begins with $a$ has no end"),
        ("functions/ai/x.sql", "select 1; /* /* */", "line 1: the comment that begins with /* has no end"),
        ("functions/ai/x.sql", "\\! true\n", "line 1: psql would read '\\\\' as its own"),
        ("functions/ai/x.sql", "select :name;", "line 1: psql would read ':n' as its own"),
        ("functions/ai/x.sql", "select 1;\n-- a note\rreset role;\rcommit;", "line 2: a carriage return"),
        ("functions/ai/x.sql", "select 'a\rb';", "line 1: a carriage return"),
        ("functions/ai/x.sql", "select e'a'\n -- so\n 'b\\'; commit; --';", "line 3: the literal may go on where"),
        ("functions/ai/x.sql", "select $°$;\n'$°$;\nselect 1", "line 3: the last statement has no semicolon"),
        ("functions/ai/x.sql", "select a°$x$;\ncommit;\nselect 1 as b$x$;", "line 2: COMMIT is not a file's to say"),
        ("functions/ai/x.sql", "select $٣$;\ncommit;\n$٣$", "line 1: the last statement has no semicolon"),
        ("functions/ai/x.sql", "select :°;", "line 1: psql would read ':°' as its own"),
        ("functions/ai/x.sql", "-- nothing\n", "holds no statement"),
        ("functions/unknown/x.sql", "select 1;", "belongs into one of the domains"),
        ("functions/x.sql", "select 1;", "belongs into one of the domains"),
        ("functions/ai/X.sql", "select 1;", "is named after its object"),
        ("functions/ai/self_check.sql", "select 1;", "has the name of functions/"),
        ("schema/0002_again.sql", "select 1;", "has the number of schema/"),
        ("schema/x.sql", "select 1;", "a schema file is named"),
        ("functions/ai/x.sql", "-- transactional: false\nselect 1;", "only a schema file"),
        ("schema/0003_x.sql", "-- transactional: no\nselect 1;", "is followed by true or false"),
    ],
)
def test_what_a_file_may_not_be(source: Path, path: str, text: str, finding: str) -> None:
    (source / path).parent.mkdir(parents=True, exist_ok=True)
    (source / path).write_text(text)
    with pytest.raises(DeployError) as raised:
        print_script(None, environment="production", source=source)
    assert finding in str(raised.value)


def test_what_a_file_may_be(source: Path) -> None:
    text = """
        /* a /* nested */ comment; */ select 'it''s; not'; select E'\\'; not', "a;b""c", x::text, $1;
        create function f() returns int language sql begin atomic; select case when true then 1 end; end;
        create rule r as on insert to t do also (select 1; select 2);
        do $body$ begin commit; perform $$;$$; end $body$; set constraints all deferred; set local x = y;
    """
    (source / "functions/platform/x.sql").write_text(text)
    (file,) = [file for file in read_source(source).functions if file.name == "x"]
    words = [statement.words[0] for statement in file.statements]
    assert words == ["select", "select", "create", "create", "do", "set", "set"]
    assert [statement.line for statement in file.statements] == [2, 2, 3, 4, 5, 5, 5]
    assert file.sha256 == hashlib.sha256(text.encode()).hexdigest()
