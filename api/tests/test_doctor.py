"""The doctor finds what was broken on purpose, each thing by its own line, and nothing where nothing is broken."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from limena import doctor
from limena.deploy_source import read_source, source_dir
from limena.doctor import _FUNCTION, CATALOG_FUNCTIONS, _transport, find_problems
from support.databases import Database

MakeDatabase = Callable[[], Database]
Environment = dict[str, str]


@pytest.fixture(scope="session")
def jwt_key() -> str:
    key = rsa.generate_private_key(65537, 3072)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.fixture
def environment_of(jwt_key: str) -> Callable[[Database], Environment]:
    def make(database: Database) -> Environment:
        roles = ("app", "auth", "readonly", "maintenance")
        return {
            "LIMENA_ENV": "production",
            "LIMENA_BASE_URL": "https://limena.example.com",
            "LIMENA_JWT_KEY": jwt_key,
            "LIMENA_SECRET_KEY": base64.b64encode(bytes(range(32))).decode(),
            "LIMENA_MASTER_KEYS": "1:" + base64.b64encode(bytes(range(100, 132))).decode(),
            "LIMENA_DEPLOY_DSN": database.dsn(),
            **{f"LIMENA_{role.upper()}_DSN": database.dsn(f"limena_{role}") for role in roles},
        }

    return make


@pytest.fixture
def database(fresh_database: MakeDatabase) -> Database:
    return fresh_database()


@pytest.fixture
def env(database: Database, environment_of: Callable[[Database], Environment]) -> Environment:
    return environment_of(database)


def superuser(database: Database, *statements: str) -> None:
    with database.connect() as connection:
        for statement in statements:
            connection.execute(statement.encode())


def test_nothing_is_found_where_nothing_is_broken(env: Environment) -> None:
    assert find_problems(env) == []


def test_mail_is_checked_where_it_is_configured(env: Environment) -> None:
    """The worker may run elsewhere; half of its settings here are a mistake."""
    env["LIMENA_SMTP_URL"] = "smtp://u:p@mx.example.com?verify=no"
    found = find_problems(env)
    assert [finding.split(" ", 2)[:2] for finding in found] == [
        ["configuration:", "LIMENA_SMTP_URL"],
        ["configuration:", "LIMENA_MAIL_FROM"],
    ]
    env |= {"LIMENA_SMTP_URL": "smtp://u:p@mx.example.com", "LIMENA_MAIL_FROM": "no-reply@example.com"}
    assert find_problems(env) == []


def test_open_registration_is_found_in_production(env: Environment) -> None:
    env["LIMENA_REGISTRATION"] = "open"
    assert [finding[:43] for finding in find_problems(env)] == ["configuration: LIMENA_REGISTRATION is open:"]
    assert find_problems(env | {"LIMENA_REGISTRATION": "verified"}) == []


def test_it_changes_nothing(database: Database, env: Environment) -> None:
    def everything() -> object:
        with database.connect() as connection:
            return connection.execute(
                """select (select sum(n_tup_ins + n_tup_upd + n_tup_del) from pg_stat_user_tables),
                    (select max(seq) from limena.audit_logs)"""
            ).fetchone()

    before = everything()
    find_problems(env)
    assert everything() == before


def test_what_the_self_check_finds_is_passed_on(database: Database, env: Environment) -> None:
    superuser(database, "alter table limena.api_keys no force row level security")
    findings = find_problems(env)
    assert findings
    assert all(finding.startswith("isolation: limena.api_keys: ") for finding in findings)


def test_a_tampered_log_is_found(database: Database, env: Environment) -> None:
    superuser(
        database,
        "select limena_private.record_event(p_tenant_id => null, p_action => 'access.denied')",
        *["select limena.seal_audit_log()"] * 3,
    )
    assert find_problems(env) == []
    superuser(database, "update limena.audit_logs set action = 'access.granted' where action = 'access.denied'")
    platform = "audit log: tenant 00000000-0000-4000-8000-000000000000"
    found = find_problems(env)
    assert [line.rsplit(",", 1)[0] for line in found] == [f"{platform}: row altered: seal 1"]
    superuser(
        database,
        "update limena.audit_logs set action = 'access.denied' where action = 'access.granted'",
        "update limena.audit_seals set digest = sha256('x')",
    )
    assert f"{platform}: seal 1 does not follow from the one before: run limena audit verify" in find_problems(env)


def test_what_somebody_put_beside_limena_is_found(database: Database, env: Environment) -> None:
    superuser(database, "create schema product", "create table product.orders (tenant_id uuid, id integer)")
    assert find_problems(env) == ["isolation: product.orders: unprotected: no row-level security"]


def test_an_old_snapshot_is_found(database: Database, env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is old is a second here."""
    with database.connect(autocommit=False) as connection:
        connection.execute("set transaction isolation level repeatable read")
        connection.execute("select 1")
        pid = connection.info.backend_pid
        assert find_problems(env) == []
        monkeypatch.setattr(doctor, "_OLD_SNAPSHOT_SECONDS", 0)
        found = [line for line in find_problems(env) if line.startswith(f"vacuum: process {pid} (postgres, ")]
        assert len(found) == 1
        assert "has held a snapshot for" in found[0]
        connection.rollback()
        assert not [line for line in find_problems(env) if line.startswith(f"vacuum: process {pid} ")]


def vacuum(findings: list[str]) -> list[str]:
    """What holds back vacuum, sessions apart: the server has others."""
    return [line for line in findings if line.startswith("vacuum: ") and " process " not in line]


@pytest.fixture
def prepared(database: Database) -> Iterator[str]:
    """A transaction that its session has left behind."""
    name = "it's mine"
    quoted = name.replace("'", "''")
    with database.connect(autocommit=False) as connection:
        connection.execute("select limena_private.record_event(p_tenant_id => null, p_action => 'access.denied')")
        connection.execute(f"prepare transaction '{quoted}'".encode())
        connection.commit()
    yield name
    superuser(database, f"rollback prepared '{quoted}'")


def test_a_transaction_that_is_prepared_and_stays_is_found(
    database: Database, env: Environment, prepared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert vacuum(find_problems(env)) == [], "not before it is old"
    monkeypatch.setattr(doctor, "_OLD_SNAPSHOT_SECONDS", 0)
    # The log cannot be sealed meanwhile.
    superuser(
        database,
        "select limena_private.record_event(p_tenant_id => null, p_action => 'access.denied')",
        "select limena.seal_audit_log()",
        "update limena_private.audit_fences set made_at = now() - interval '1 hour'",
    )
    found = find_problems(env)
    assert [re.sub(r"\d\d:\d\d:\d\d", "…", line) for line in vacuum(found)] == [
        "vacuum: the transaction 'it''s mine' has been prepared for …: commit it or roll it back"
    ]
    assert [line for line in found if line.startswith("audit log: rows have waited since ")]


@pytest.fixture
def slot(database: Database) -> Iterator[str]:
    """What a subscriber that is gone leaves behind."""
    name = f"forgotten_in_{database.name}"
    superuser(database, f"select pg_create_logical_replication_slot('{name}', 'pgoutput')")
    yield name
    superuser(database, f"select pg_drop_replication_slot('{name}')")


def test_a_slot_that_nobody_reads_is_found(env: Environment, slot: str) -> None:
    assert vacuum(find_problems(env)) == [f"vacuum: the replication slot {slot} holds back vacuum, and nobody reads it"]


def test_an_ai_quota_that_is_not_its_detail_is_found(database: Database, env: Environment) -> None:
    superuser(
        database,
        "select tests.make_tenants()",
        "insert into limena.ai_quotas (tenant_id, as_of, used_tokens) values (tests.tenant_id('a'), now(), 7)",
    )
    (finding,) = find_problems(env)
    assert finding.startswith("ai quotas: tenant ")
    assert finding.endswith(": counts 7 tokens as used, the detail has 0")


def test_a_log_that_nobody_seals_is_found(database: Database, env: Environment) -> None:
    superuser(
        database,
        "select limena_private.record_event(p_tenant_id => null, p_action => 'access.denied')",
        "update limena.audit_logs set occurred_at = occurred_at - interval '25 hours' where action = 'access.denied'",
    )
    assert find_problems(env) == ["audit log: rows of more than a day ago are not sealed: no limena worker runs"]


def test_numbers_that_sealing_cannot_rely_on_are_found(database: Database, env: Environment) -> None:
    superuser(database, "alter sequence limena.audit_logs_seq_seq cache 32")
    found = find_problems(env)
    assert "audit log: the sequence of the log hands out numbers in batches, which sealing does not allow for" in found


def test_a_function_beside_limena_that_anyone_may_use_is_found(database: Database, env: Environment) -> None:
    superuser(
        database,
        "create schema product",
        "create function product.look() returns bigint language sql security definer"
        " as 'select count(*) from limena.users'",
    )
    found = [line for line in find_problems(env) if line.startswith("functions: product.look(): ")]
    assert len(found) == 1


@pytest.fixture
def setting_of_a_role(database: Database) -> Iterator[str]:
    setting = f'alter role limena_app in database "{database.name}"'
    superuser(database, f"{setting} set row_security = off")
    yield setting
    superuser(database, f"{setting} reset all")


def test_settings_of_a_role_are_found(env: Environment, database: Database, setting_of_a_role: str) -> None:
    assert find_problems(env) == [
        f"settings: limena_app has settings of its own in the database {database.name}: row_security=off "
        f"({setting_of_a_role.replace(chr(34), '')} reset all)"
    ]


@pytest.fixture
def common_setting(database: Database, request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    whose, setting = request.param
    whose = whose.format(database.name)
    superuser(database, f"{whose} set {setting}")
    yield whose, setting
    superuser(database, f"{whose} reset {setting.split(' ')[0]}")


@pytest.mark.parametrize(
    "common_setting",
    [
        (whose, setting)
        for whose in ("alter role all", "alter database {}", "alter role all in database {}")
        for setting in ("row_security = off", "search_path = public", "session_replication_role = replica")
    ],
    indirect=True,
)
def test_settings_of_everyone_are_found(database: Database, env: Environment, common_setting: tuple[str, str]) -> None:
    whose, setting = common_setting
    name, value = setting.split(" = ")
    repair = "alter role all" if whose == "alter role all" else f"alter database {database.name}"
    assert f"settings: every session starts with {name}={value} ({repair} reset {name})" in find_problems(env)


@pytest.mark.parametrize("common_setting", [("alter database {}", "work_mem = '8MB'")], indirect=True)
def test_settings_that_change_no_meaning_are_not_found(env: Environment, common_setting: tuple[str, str]) -> None:
    assert find_problems(env) == []


def test_settings_of_everyone_in_another_database_are_not_found(env: Environment, fresh_database: MakeDatabase) -> None:
    other = fresh_database()
    superuser(other, f"alter database {other.name} set row_security = off")
    assert find_problems(env) == []


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        (
            "alter policy tenants_select_app on limena.tenants using (limena.current_tenant_id() is null or true)",
            "policy tenants_select_app on limena.tenants: was altered after the deploy",
        ),
        (
            "alter table limena.users drop constraint users_email_check",
            "constraint users_email_check on limena.users: is missing",
        ),
        (
            "alter function limena.get_me() set row_security = off",
            "function limena.get_me(): was altered after the deploy",
        ),
    ],
)
def test_what_was_altered_by_hand_is_named(database: Database, env: Environment, statement: str, finding: str) -> None:
    superuser(database, statement)
    assert find_problems(env) == [f"definitions: {finding}"]


def test_every_function_that_a_deploy_revokes_is_missed(database: Database, env: Environment) -> None:
    text = (source_dir() / "deploy" / "close_database.sql").read_text()
    listed = re.search(r"p\.proname in \((.*?)\)", text, re.DOTALL)
    assert listed is not None
    assert sorted(re.findall(r"'(\w+)'", listed[1])) == sorted(CATALOG_FUNCTIONS)
    superuser(
        database,
        """do $$
        declare v_function regprocedure;
        begin
            for v_function in select oid from pg_proc where pronamespace = 'pg_catalog'::regnamespace
                and proname in ('pg_terminate_backend', 'pg_cancel_backend', 'lo_creat', 'lo_create', 'lo_from_bytea',
                    'pg_logical_emit_message')
            loop
                execute format('grant execute on function %s to public', v_function);
            end loop;
        end $$""",
    )
    findings = find_problems(env)
    for name in CATALOG_FUNCTIONS:
        assert [finding for finding in findings if finding.startswith(f"catalog: limena_app may call {name}(")]


def test_a_replaced_function_is_found(database: Database, env: Environment) -> None:
    superuser(
        database,
        """create or replace function limena.has_permission(p_permission text) returns boolean language sql stable
        set search_path = pg_catalog, pg_temp as 'select true'""",
    )
    assert [f for f in find_problems(env) if f.startswith("functions: limena.has_permission is not what ")]


def test_a_dropped_function_is_found(database: Database, env: Environment) -> None:
    superuser(database, "drop function limena.revoke_api_key(uuid)")
    assert [f for f in find_problems(env) if f.startswith("functions: limena.revoke_api_key is missing ")]


def test_every_function_of_the_files_is_compared(database: Database) -> None:
    for file in read_source(source_dir()).functions:
        found = _FUNCTION.search(file.text)
        assert (found is None) is file.is_view, file.path
        assert found is None or found[1].partition(".")[2] == file.name


def test_other_files_than_the_deployed_ones_are_found(database: Database, env: Environment) -> None:
    superuser(
        database, "update limena_private.deployed_files set sha256 = repeat('0', 64) where path like 'policies/%'"
    )
    assert find_problems(env) == [
        "version: the database has other files than this program: run limena deploy, or update the program"
    ]


def test_a_server_that_a_deploy_would_refuse_is_found(database: Database, env: Environment) -> None:
    superuser(database, f'alter database "{database.name}" set default_transaction_read_only = on')
    findings = [finding for finding in find_problems(env) if finding.startswith("server: ")]
    assert len(findings) == 1
    assert "read only" in findings[0]


def test_who_logs_in_is_checked(database: Database, env: Environment) -> None:
    env["LIMENA_APP_DSN"] = database.dsn()
    env["LIMENA_AUTH_DSN"] = database.dsn("limena_app")
    env["LIMENA_READONLY_DSN"] = database.dsn("limena_maintenance")
    env["LIMENA_DEPLOY_DSN"] = database.dsn("limena_readonly")
    assert find_problems(env) == [
        "log-in: LIMENA_APP_DSN logs in as postgres, a superuser, whom row-level security does not bind",
        "log-in: LIMENA_AUTH_DSN logs in as limena_app, not as limena_auth",
        "log-in: LIMENA_READONLY_DSN logs in as limena_maintenance, not as limena_readonly",
        "log-in: LIMENA_DEPLOY_DSN logs in as limena_readonly, who is no superuser and no owner with CREATEROLE",
    ]


@pytest.fixture
def operator(database: Database) -> Iterator[str]:
    superuser(database, "create role doctor_operator login in role limena_readonly")
    superuser(database, f'grant connect on database "{database.name}" to doctor_operator')
    yield "doctor_operator"
    superuser(database, "drop owned by doctor_operator", "drop role doctor_operator")


def test_an_operator_may_have_a_log_in_of_their_own_and_the_api_may_not(
    database: Database, env: Environment, operator: str
) -> None:
    env["LIMENA_READONLY_DSN"] = database.dsn(operator)
    assert find_problems(env) == []
    env["LIMENA_APP_DSN"] = database.dsn(operator)
    assert find_problems(env) == [f"log-in: LIMENA_APP_DSN logs in as {operator}, not as limena_app"]


def test_dsns_of_two_databases_are_found(env: Environment, fresh_database: MakeDatabase) -> None:
    env["LIMENA_AUTH_DSN"] = fresh_database().dsn("limena_auth")
    assert find_problems(env) == ["log-in: LIMENA_AUTH_DSN reaches another database than LIMENA_APP_DSN"]


def test_a_database_without_limena_is_told_in_one_line(
    empty_database: MakeDatabase, environment_of: Callable[[Database], Environment]
) -> None:
    # The roles are there: they are the server's, and made by whichever deploy came first.
    env = environment_of(empty_database())
    assert find_problems(env) == ["database: Limena is not deployed here, or is of another version: run limena deploy"]


def test_a_server_that_is_down_is_a_finding_for_each_dsn(env: Environment, tmp_path: Path) -> None:
    names = [name for name in env if name.endswith("_DSN")]
    for name in names:
        env[name] = f"postgresql://u@/limena?host={tmp_path}"
    findings = find_problems(env)
    assert len(findings) == len(names) == 5
    for name in names:
        assert [finding for finding in findings if finding.startswith(f"connection: {name}: ")]


def test_without_the_dsn_that_may_look_it_says_so(env: Environment) -> None:
    del env["LIMENA_MAINTENANCE_DSN"]
    assert find_problems(env) == [
        "configuration: LIMENA_MAINTENANCE_DSN is not set: the database cannot be checked without it."
    ]


def test_what_is_wrong_with_the_configuration_is_found_beside_the_rest(env: Environment, database: Database) -> None:
    del env["LIMENA_JWT_KEY"]
    superuser(database, "drop function limena.revoke_api_key(uuid)")
    findings = find_problems(env)
    assert [finding for finding in findings if finding.startswith("configuration: LIMENA_JWT_KEY is not set")]
    assert [finding for finding in findings if finding.startswith("functions: ")]


@pytest.mark.parametrize(
    ("dsn", "outside", "found"),
    [
        ("host=db.example.com", {}, "goes to db.example.com with sslmode=prefer"),
        ("host=db.example.com sslmode=require", {}, "sslmode=require"),
        ("host=db.example.com sslmode=verify-ca", {}, "sslmode=verify-ca"),
        ("host=db.example.com sslmode=verify-full", {}, None),
        ("host=10.0.0.1", {}, "goes to 10.0.0.1"),
        ("host=localhost hostaddr=10.0.0.1", {}, "goes to 10.0.0.1"),
        ("host=/run/postgresql,db.example.com", {}, "goes to db.example.com"),
        ("dbname=limena", {"PGHOST": "db.example.com"}, "goes to db.example.com"),
        ("host=db.example.com", {"PGSSLMODE": "verify-full"}, None),
        ("dbname=limena", {}, None),
        ("host=/run/postgresql", {}, None),
        ("host=@limena", {}, None),
        ("host=localhost", {}, None),
        ("host=127.0.0.1,::1", {}, None),
        ("host=localhost", {"PGHOSTADDR": "10.0.0.1"}, "goes to 10.0.0.1"),
        ("host=localhost hostaddr=127.0.0.1", {"PGHOSTADDR": "10.0.0.1"}, None),
        ("service=limena", {}, "from a service file (limena)"),
        ("host=localhost", {"PGSERVICE": "limena"}, "from a service file (limena)"),
    ],
)
def test_a_network_needs_a_verified_certificate(dsn: str, outside: Environment, found: str | None) -> None:
    findings = list(_transport("LIMENA_APP_DSN", dsn, outside))
    assert len(findings) == (found is not None)
    assert found is None or found in findings[0]


def test_development_does_not_ask_for_certificates(env: Environment, tmp_path: Path) -> None:
    env["LIMENA_READONLY_DSN"] = "postgresql://limena_readonly@127.0.0.1:1,192.0.2.1:1/limena?connect_timeout=2"
    assert [finding for finding in find_problems(env) if finding.startswith("transport: LIMENA_READONLY_DSN")]
    env["LIMENA_ENV"] = "development"
    assert not [finding for finding in find_problems(env) if finding.startswith("transport: ")]


def test_no_finding_repeats_a_password(env: Environment) -> None:
    secret = "a-password-that-nobody-may-see"
    for name in [name for name in env if name.endswith("_DSN")]:
        env[name] = f"postgresql://u:{secret}@127.0.0.1:1/limena?sslmode=disable"
    assert find_problems(env)
    assert not [finding for finding in find_problems(env) if secret in finding]
