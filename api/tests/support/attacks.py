"""Attacks that take more than one transaction, message, connection or log-in, as someone who runs SQL of their own as
limena_app. Each is a function of a database: it raises AssertionError when the attack works.

Functions and not tests, because they also run on databases that were broken on purpose, where they have to fail. What
one transaction can show is in db/tests/attacks.
"""

import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, LiteralString, TypeAlias

import psycopg
from psycopg import sql
from psycopg.errors import Diagnostic, Error, InsufficientPrivilege, UndefinedObject
from psycopg.rows import TupleRow

from support.databases import Database

Connection: TypeAlias = psycopg.Connection[TupleRow]
Attack: TypeAlias = Callable[[Database], None]

ATTACKS: dict[str, Attack] = {}

CONTEXT = """
    select current_setting('app.current_tenant_id'), current_setting('app.context'), current_setting('app.seal')
"""

KEEP = """
    select set_config('attack.tenant_id', current_setting('app.current_tenant_id'), false),
        set_config('attack.context', current_setting('app.context'), false),
        set_config('attack.seal', current_setting('app.seal'), false)
"""
"""An attacker's memory: settings of the session, which outlive a transaction."""

WEAR = """
    select set_config('app.current_tenant_id', current_setting('attack.tenant_id'), true),
        set_config('app.context', current_setting('attack.context'), true),
        set_config('app.seal', current_setting('attack.seal'), true)
"""


def attack(function: Attack) -> Attack:
    ATTACKS[function.__name__] = function
    return function


def prepare(database: Database) -> None:
    """Two tenants, a and b, each with a key; once a database."""
    with database.connect() as superuser:
        if superuser.execute("select from limena.tenants where id = tests.tenant_id('a')").fetchone() is None:
            superuser.execute(
                """
                select tests.make_tenants();
                select tests.make_api_key('a', 'key of a');
                select tests.make_api_key('b', 'key of b')
                """
            )


def log_in(database: Database, *, autocommit: bool = True) -> Connection:
    """The attacker's connection: a real log-in as limena_app."""
    connection = database.connect("limena_app", autocommit=autocommit)
    connection.execute("set search_path = pg_catalog, tests")
    if not autocommit:
        connection.commit()
    return connection


def one(connection: Connection, query: LiteralString, *arguments: object) -> Any:
    """The first column of the first row."""
    row = connection.execute(query, arguments).fetchone()
    return None if row is None else row[0]


def sqlstate(connection: Connection, query: LiteralString, *arguments: object) -> str | None:
    """What a statement fails with; None when it does not."""
    try:
        connection.execute(query, arguments)
    except Error as error:
        return error.sqlstate
    return None


def assert_nothing(connection: Connection, mine: str | None, when: str) -> None:
    """Of what is not `mine`, nothing is to be seen and nothing to be changed."""
    loot, harm = connection.execute("select tests.loot(%s), tests.harm(%s)", [mine, mine]).fetchone() or ("?", "?")
    assert loot == "", f"{when}: {loot} to be seen"
    assert harm == "", f"{when}: {harm}"


def worn(connection: Connection) -> str:
    """What somebody sees who puts a kept context on: '' for nothing."""
    with connection.transaction():
        connection.execute(WEAR)
        return str(one(connection, "select tests.loot()"))


@attack
def a_context_of_another_backend(database: Database) -> None:
    """Copies what a session of b holds while it is open. (Two transactions hardly start at the same microsecond; that
    the backend is in the seal besides is shown by db/tests/attacks/test_seal.sql.)"""
    with log_in(database) as victim, log_in(database) as mallory, victim.transaction(), mallory.transaction():
        victim.execute("select tests.enter_as('b', 'owner')")
        for name in ("tenant_id", "context", "seal"):
            source = "app.current_tenant_id" if name == "tenant_id" else f"app.{name}"
            value = one(victim, "select current_setting(%s)", source)
            mallory.execute("select set_config(%s, %s, false)", [f"attack.{name}", value])
        assert one(victim, "select tests.loot()") != "", "the victim sees nothing, so this shows nothing"
        assert worn(mallory) == "", "a context that was copied from another backend opens its tenant"


@attack
def a_context_of_an_earlier_transaction(database: Database) -> None:
    """Keeps a context of b's in the session and puts it on in a later transaction of the same backend. Works if the
    seal leaves out transaction_timestamp()."""
    with log_in(database) as mallory:
        for end in ("commit", "rollback"):
            mallory.execute("begin")
            mallory.execute("select tests.enter_as('b', 'owner')")
            kept = mallory.execute(CONTEXT).fetchone()
            assert kept is not None
            mallory.execute(end)
            mallory.execute(
                "select set_config('attack.tenant_id', %s, false), set_config('attack.context', %s, false),"
                " set_config('attack.seal', %s, false)",
                kept,
            )
            assert worn(mallory) == "", f"after {end} the context of the transaction before opens its tenant"
            assert_nothing(mallory, None, f"after {end}")


@attack
def a_context_kept_across_commit_in_do(database: Database) -> None:
    """Commits inside a DO block, where one message of the client has two transactions."""
    with log_in(database) as mallory:
        mallory.execute(
            """
            do $$
            begin
                perform tests.enter_as('b', 'owner');
                perform set_config('attack.tenant_id', current_setting('app.current_tenant_id'), false),
                    set_config('attack.context', current_setting('app.context'), false),
                    set_config('attack.seal', current_setting('app.seal'), false);
                commit;
                perform set_config('attack.left', tests.loot(), false);
                perform set_config('app.current_tenant_id', current_setting('attack.tenant_id'), true),
                    set_config('app.context', current_setting('attack.context'), true),
                    set_config('app.seal', current_setting('attack.seal'), true);
                perform set_config('attack.worn', tests.loot(), false);
            end;
            $$
            """
        )
        assert one(mallory, "select current_setting('attack.left')") == "", "a context outlives COMMIT in a DO block"
        assert one(mallory, "select current_setting('attack.worn')") == "", "it can be put on again after COMMIT"


@attack
def a_context_kept_in_one_message(database: Database) -> None:
    """Several transactions in one simple query have one start, so a seal fits all of them. It is the attacker's own: it
    opens the tenant whose credential this same message proved, and nothing in the next message."""
    with log_in(database) as mallory:
        cursor = mallory.execute(
            f"""
            begin; select tests.enter_as('a', 'owner'); {KEEP}; commit;
            begin; {WEAR}; select tests.loot('a'), tests.harm('a'); commit;
            """
        )
        rows: list[Any] = []
        while True:
            if cursor.description is not None:
                rows = cursor.fetchall()
            if not cursor.nextset():
                break
        assert rows in ([("", "")], []), f"beyond the tenant that was proved: {rows}"
        assert worn(mallory) == "", "the next message can put it on"


@attack
def pipelined_contexts(database: Database) -> None:
    """Sends entering, keeping, COMMIT and putting on again without waiting for an answer, with and without a Sync
    between."""
    for is_synced in (True, False):
        with log_in(database) as mallory, mallory.pipeline() as pipeline:
            mallory.execute("begin")
            mallory.execute("select tests.enter_as('b', 'owner')")
            mallory.execute(KEEP)
            mallory.execute("commit")
            if is_synced:
                pipeline.sync()
            mallory.execute("begin")
            mallory.execute(WEAR)
            seen = mallory.execute("select tests.loot()")
            mallory.execute("commit")
            pipeline.sync()
            assert seen.fetchone() == ("",), f"a pipelined replay opens its tenant (Sync: {is_synced})"


@attack
def planted_session_settings(database: Database) -> None:
    """Sets the parameters for the session, for whoever uses the connection next. Works if entering did not set all
    three."""
    with log_in(database) as connection:
        with connection.transaction():
            connection.execute("select tests.enter_as('b', 'owner')")
            planted = connection.execute(CONTEXT).fetchone()
            assert planted is not None
        for name, value in zip(("app.current_tenant_id", "app.context", "app.seal"), planted, strict=True):
            connection.execute("select set_config(%s, %s, false)", [name, value])
        assert_nothing(connection, None, "in a session with planted parameters")
        with connection.transaction():
            connection.execute("select tests.enter_as('a', 'owner')")
            assert one(connection, "select limena.current_tenant_id() = tests.tenant_id('a')"), (
                "who enters a is not in a"
            )
            assert_nothing(connection, "a", "having entered a in a session with planted parameters of b")
        assert_nothing(connection, None, "after that transaction")


@attack
def held_cursors(database: Database) -> None:
    """Declares cursors WITH HOLD: without a context and with a forged one, to be read later."""
    with log_in(database) as mallory:
        with mallory.transaction():
            mallory.execute("declare early cursor with hold for select id from limena.api_keys")
        with mallory.transaction():
            mallory.execute("select tests.enter_as('a', 'owner')")
            assert mallory.execute("fetch all from early").fetchall() == [], "a cursor held from before shows rows"
            mallory.execute("declare late cursor with hold for select tenant_id from limena.memberships")
        rows = mallory.execute("select tests.tenant_id('a')").fetchall()
        assert mallory.execute("fetch all from late").fetchall() == rows * 4, "a's own cursor holds more than a's rows"
        mallory.execute("begin")
        mallory.execute("select set_config('app.current_tenant_id', tests.tenant_id('b')::text, true)")
        mallory.execute("declare forged cursor with hold for select id from limena.api_keys")
        assert sqlstate(mallory, "commit") == "42501", "a cursor in a forged context is held"


@attack
def becoming_someone_else(database: Database) -> None:
    """SET ROLE, SET SESSION AUTHORIZATION and their RESETs, after a real log-in."""
    with log_in(database) as mallory:
        for statement in (
            "set role limena_owner",
            "set role limena_readonly",
            "set role postgres",
            "set session authorization limena_owner",
            "set session authorization postgres",
            "set local role limena_owner",
        ):
            assert sqlstate(mallory, statement) == "42501", f"{statement} is allowed"
        for statement in ("set role none", "reset role", "reset session authorization", "reset all", "discard all"):
            mallory.execute(statement)
            assert one(mallory, "select session_user = 'limena_app' and current_user = 'limena_app'"), statement
        assert_nothing(mallory, None, "after all of this")
    for options in ("-c role=limena_owner", "-c session_authorization=postgres", "-c is_superuser=on"):
        try:
            with psycopg.connect(database.dsn("limena_app"), options=options) as connection:
                assert_nothing(connection, None, f"logged in with {options}")
                assert one(connection, "select current_user = 'limena_app'"), f"logged in with {options}"
        except psycopg.OperationalError:
            pass


@attack
def copying_tables(database: Database) -> None:
    """COPY, which is no SELECT to PostgreSQL before it looks at row-level security."""
    columns = {
        "tenants": "id, name",
        "memberships": "tenant_id, user_id",
        "api_keys": "tenant_id, name",
        "api_key_uses": "tenant_id, api_key_id",
        "invitations": "tenant_id, email",
        "audit_logs": "tenant_id, action",
    }
    with log_in(database) as mallory:
        b = str(one(mallory, "select tests.tenant_id('b')")).encode()
        for mine in (None, "a"):
            with mallory.transaction():
                if mine is not None:
                    mallory.execute("select tests.enter_as(%s, 'owner')", [mine])
                for table, names in columns.items():
                    name = sql.Identifier("limena", table)
                    query = sql.SQL("copy {} ({}) to stdout").format(name, sql.SQL(names))
                    with mallory.cursor().copy(query) as copy:
                        text = b"".join(copy)
                    assert b not in text, f"COPY {table} shows b to {mine}"
                    # A partitioned table is copied without its partitions: nothing.
                    is_empty = mine is None or table in ("invitations", "audit_logs")
                    assert (text == b"") == is_empty, f"COPY {table} as {mine}: {text!r}"
                    query = sql.SQL("copy (select {} from {}) to stdout").format(sql.SQL(names), name)
                    with mallory.cursor().copy(query) as copy:
                        assert b not in b"".join(copy), f"COPY of a SELECT from {table} shows b to {mine}"
        for statement in (
            "copy limena.api_keys (key_hash) to stdout",
            "copy limena.api_keys to stdout",
            "copy limena.users (email) to stdout",
            "copy limena_private.seal_keys to stdout",
            "copy limena.audit_logs (tenant_id, occurred_at, seq, id, action, actor_type) from stdin",
            "copy limena.memberships from stdin",
            "copy limena.api_key_uses (tenant_id, api_key_id) from stdin",
        ):
            assert sqlstate(mallory, statement) == "42501", f"{statement} is allowed"
        for statement in (
            "copy limena.api_keys (tenant_id, id, name, prefix, last_four, scopes, key_hash, created_by) from stdin",
        ):
            assert sqlstate(mallory, statement) == "0A000", f"{statement} goes past row-level security"


@attack
def printed_plans(database: Database) -> None:
    """Has PostgreSQL print how it runs the functions that seal: their variables are constants in the plans of their
    queries. Works if the seal's key, or the seal that a forged context would need, is ever such a constant."""
    with database.connect() as superuser:
        secret = one(superuser, "select secret from limena_private.seal_keys")
    printed: list[str] = []

    def note(diagnostic: Diagnostic) -> None:
        printed.append(re.sub(r"\s+", " ", f"{diagnostic.message_primary} {diagnostic.message_detail}"))

    with log_in(database) as mallory:
        mallory.add_notice_handler(note)
        mallory.execute(
            "set client_min_messages = log; set debug_print_parse = on; set debug_print_rewritten = on;"
            "set debug_print_plan = on; set debug_pretty_print = off"
        )
        for mode in ("auto", "force_custom_plan", "force_generic_plan"):
            mallory.execute("select set_config('plan_cache_mode', %s, false)", [mode])
            for parallel in ("debug_parallel_query", "force_parallel_mode"):
                sqlstate(mallory, "select set_config(%s, 'on', false)", parallel)
            with mallory.transaction():
                mallory.execute("select tests.enter_as('a', 'owner')")
                mallory.execute("select limena.current_context(), limena.list_api_keys(), limena.list_members()")
            with mallory.transaction():
                mallory.execute("select tests.enter_as('a', 'viewer')")
                mallory.execute("select limena.record_denial('audit:read', 'GET /x')")
            with mallory.transaction():
                mallory.execute("select tests.enter_with_key('a', 'key of a')")
                mallory.execute("select limena.get_me()")
            mallory.execute("begin")
            mallory.execute("select set_config('app.current_tenant_id', tests.tenant_id('b')::text, true)")
            mallory.execute("select set_config('app.context', '{\"permissions\": [\"api_keys:read\"]}', true)")
            mallory.execute("savepoint forged")
            at = len(printed)
            for _ in range(2):
                assert sqlstate(mallory, "select limena.current_tenant_id()") == "42501"
                mallory.execute("rollback to savepoint forged")
            # Whatever it printed that has the form of a seal is tried as one.
            mallory.execute("set local client_min_messages = warning; savepoint forged")
            for seal in _digests(" ".join(printed[at:])):
                mallory.execute("select set_config('app.seal', %s, true)", [seal])
                assert sqlstate(mallory, "select limena.current_tenant_id()") == "42501", "a plan tells the seal"
                mallory.execute("rollback to savepoint forged")
            mallory.execute("rollback")
    text = " ".join(printed)
    assert len(printed) > 100, "nothing was printed, so this shows nothing"
    for form in (secret.hex(), _as_numbers(secret, True), _as_numbers(secret, False), repr(secret)):
        assert form not in text, "a plan that anyone can have printed holds the seal's key"


def _as_numbers(value: bytes, is_signed: bool) -> str:
    """Bytes as a printed plan has them."""
    return " ".join(str(byte - 256 if is_signed and byte > 127 else byte) for byte in value)


def _digests(text: str) -> Iterator[str]:
    """What in a printed plan could be a SHA-256 or the text of one."""
    yield from set(re.findall(r"\b[0-9a-f]{64}\b", text))
    for numbers in set(re.findall(r"\[((?: -?\d+)+) \]", text)):
        value = bytes(int(number) % 256 for number in numbers.split())[4:]
        if len(value) == 32:
            yield value.hex()
        elif len(value) == 64 and re.fullmatch(rb"[0-9a-f]{64}", value):
            yield value.decode()


@attack
def entering_from_an_old_snapshot(database: Database) -> None:
    """Takes a snapshot, has the credential revoked elsewhere, and enters in the snapshot. Works if enter_… does not ask
    for READ COMMITTED; or if it ran in the snapshot of the statement that calls it."""
    with database.connect() as superuser, log_in(database) as mallory:
        superuser.execute("select tests.make_api_key('b', 'old')")
        for level in ("repeatable read", "serializable", "read uncommitted"):
            mallory.execute(sql.SQL("begin isolation level {}").format(sql.SQL(level)))
            mallory.execute("select count(*) from limena.permissions")
            superuser.execute("update limena.api_keys set revoked_at = now() where name = 'old'")
            for statement in ("select tests.enter_with_key('b', 'old')", "select tests.enter_as('b', 'owner')"):
                mallory.execute("savepoint s")
                assert sqlstate(mallory, statement) == "25001", f"{level}: {statement} is allowed"
                mallory.execute("rollback to savepoint s")
            assert_nothing(mallory, None, level)
            mallory.execute("rollback")
            superuser.execute("update limena.api_keys set revoked_at = null where name = 'old'")
        # A cursor keeps the snapshot of its declaration; what it calls has to look for itself.
        mallory.execute("begin")
        mallory.execute("declare c cursor for select tests.enter_with_key('b', 'old')")
        superuser.execute("update limena.api_keys set revoked_at = now() where name = 'old'")
        assert sqlstate(mallory, "fetch c") == "28000", (
            "a cursor enters with a key that was revoked after its declaration"
        )
        mallory.execute("rollback")


@attack
def a_snapshot_after_entering(database: Database) -> None:
    """Enters under READ COMMITTED and replays the context in a second transaction of the same message, in a snapshot
    that it keeps."""
    with log_in(database) as mallory:
        failed = False
        try:
            mallory.execute(
                f"""
                begin; select tests.enter_as('b', 'owner'); {KEEP}; commit;
                begin isolation level repeatable read; {WEAR}; select limena.current_tenant_id(); commit;
                """
            )
        except Error:
            failed = True
            mallory.execute("rollback")
        assert failed, "a context holds in a snapshot that does not see revocations"


_ENDINGS: dict[str, tuple[LiteralString, LiteralString]] = {
    "a revoked key": (
        "select tests.enter_with_key('a', 'ending')",
        "update limena.api_keys set revoked_at = now() where name = 'ending'",
    ),
    "an expired key": (
        "select tests.enter_with_key('a', 'ending')",
        "update limena.api_keys set created_at = now() - interval '2 days', expires_at = now() - interval '1 day'"
        " where name = 'ending'",
    ),
    "a key whose creator has left": (
        "select tests.enter_with_key('a', 'ending')",
        "delete from limena.memberships where user_id = tests.user_id('a', 'admin')",
    ),
    "an ended session": (
        "select tests.enter_as('a', 'admin')",
        "update limena.sessions set ended_at = now() where user_id = tests.user_id('a', 'admin')",
    ),
    "an expired session": (
        "select tests.enter_as('a', 'admin')",
        "update limena.sessions set created_at = now() - interval '40 days', expires_at = now() - interval '1 day'"
        " where user_id = tests.user_id('a', 'admin')",
    ),
    "a removed member": (
        "select tests.enter_as('a', 'admin')",
        "delete from limena.memberships where user_id = tests.user_id('a', 'admin')",
    ),
    "a deleted user": (
        "select tests.enter_as('a', 'viewer')",
        "delete from limena.users where id = tests.user_id('a', 'viewer')",
    ),
    "a deleted tenant, with a session": (
        "select tests.enter_as('a', 'owner')",
        "update limena.tenants set state = 'deleted' where id = tests.tenant_id('a')",
    ),
    "a deleted tenant, with a key": (
        "select tests.enter_with_key('a', 'ending')",
        "update limena.tenants set state = 'deleted' where id = tests.tenant_id('a')",
    ),
}


@attack
def credentials_that_have_ended(database: Database) -> None:
    """Goes on with a credential that someone else ends while a transaction of it is open. The open transaction does not
    delay the ending, and the next one is refused."""
    with database.connect() as superuser, log_in(database) as mallory:
        superuser.execute("set lock_timeout = '2s'")
        superuser.execute("select tests.make_api_key('a', 'ending', '{api_keys:read, members:read}', 'admin')")
        for name, (enter, end) in _ENDINGS.items():
            own = secrets.token_bytes(32)
            with mallory.transaction(force_rollback=True):
                mallory.execute(enter)
                assert one(mallory, "select tests.loot('b')") != "", f"{name}: nothing to see before"
                # Whatever locks writing takes: the rows of foreign keys, the last use.
                mallory.execute("savepoint s")
                if sqlstate(
                    mallory, "select limena.create_api_key('x', '{members:read}', 'lmn_abcdef', '0000', %s)", own
                ):
                    mallory.execute("rollback to savepoint s")
                superuser.execute("begin")
                superuser.execute("savepoint s")
                assert sqlstate(superuser, end) is None, f"{name}: an open transaction delays the ending"
            try:
                superuser.execute("commit")
                with mallory.transaction():
                    mallory.execute("savepoint s")
                    assert sqlstate(mallory, enter) == "28000", f"{name} still enters"
                    mallory.execute("rollback to savepoint s")
                    assert_nothing(mallory, None, name)
            finally:
                _restore(superuser)


def _restore(superuser: Connection) -> None:
    """Makes the credentials of tenant a live again."""
    superuser.execute(
        """
        update limena.api_keys set revoked_at = null, expires_at = null, created_at = now() - interval '1 minute',
            held_since = now()
        where name = 'ending';
        update limena.sessions set ended_at = null, created_at = now(), expires_at = now() + interval '1 day';
        insert into limena.memberships (tenant_id, user_id, role)
        select tests.tenant_id('a'), u.id, 'admin' from limena.users as u where u.id = tests.user_id('a', 'admin')
        on conflict do nothing;
        update limena.sessions set current_tenant_id = null where user_id = tests.user_id('a', 'admin');
        update limena.tenants set state = 'active'
        """
    )


@attack
def a_role_that_was_lowered(database: Database) -> None:
    """Goes on with the rights of a role, by session and by key, after someone lowered the role."""
    with database.connect() as superuser, log_in(database) as mallory:
        superuser.execute("select tests.make_api_key('a', 'lowered', '{api_keys:write, members:read}', 'admin')")
        enters: tuple[LiteralString, ...] = (
            "select tests.enter_as('a', 'admin')",
            "select tests.enter_with_key('a', 'lowered')",
        )
        for enter in enters:
            with mallory.transaction():
                mallory.execute(enter)
                assert one(mallory, "select limena.has_permission('api_keys:write')"), "an admin may write keys"
                superuser.execute(
                    "update limena.memberships set role = 'viewer' where user_id = tests.user_id('a', 'admin')"
                )
            try:
                with mallory.transaction():
                    mallory.execute(enter)
                    assert not one(mallory, "select limena.has_permission('api_keys:write')"), (
                        f"{enter}: still an admin"
                    )
                    assert one(mallory, "select limena.has_permission('members:read')"), f"{enter}: no viewer"
                    assert one(mallory, "select tests.outcome('select limena.revoke_all_api_keys()')") == "42501"
            finally:
                superuser.execute(
                    "update limena.memberships set role = 'admin' where user_id = tests.user_id('a', 'admin')"
                )


@attack
def settings_of_the_role(database: Database) -> None:
    """ALTER ROLE limena_app SET, which a role may do to itself: every later log-in begins with these settings."""
    settings: dict[str, str] = {
        "search_path": "tests, public",
        "row_security": "off",
        "default_transaction_isolation": "serializable",
        "plan_cache_mode": "force_generic_plan",
        "transform_null_equals": "on",
        "standard_conforming_strings": "off",
        "datestyle": "SQL, DMY",
        "timezone": "Pacific/Kiritimati",
        "bytea_output": "escape",
    }
    with settings_reset(database), log_in(database) as mallory:
        assert sqlstate(mallory, "alter role limena_app set app.current_tenant_id = 'x'") == "42501"
        for name, value in settings.items():
            query = sql.SQL("alter role limena_app set {} = {}").format(sql.Identifier(name), sql.Literal(value))
            mallory.execute(query)
        with log_in(database) as victim:
            assert one(victim, "select current_setting('row_security')") == "off", "the settings do not hold"
            assert_nothing(victim, None, "with settings of the role")
            victim.execute("begin isolation level read committed; set local row_security = on")
            victim.execute("select tests.enter_as('a', 'owner')")
            assert one(victim, "select limena.current_tenant_id() = tests.tenant_id('a')"), "the context does not hold"
            assert_nothing(victim, "a", "in a, with settings of the role but row_security")
            victim.execute("set local row_security = off")
            assert_nothing(victim, "a", "in a, with all settings of the role")
            victim.execute("rollback")


@contextmanager
def settings_reset(database: Database) -> Iterator[None]:
    """Takes back what an attacker has done to the role, which belongs to the whole server."""
    try:
        yield
    finally:
        with database.connect() as superuser:
            superuser.execute("alter role limena_app reset all")


@attack
def handing_the_role_on(database: Database) -> None:
    """Makes another role a member of limena_app."""
    with database.connect() as superuser, log_in(database) as mallory:
        try:
            for role in ("limena_readonly", "limena_auth", "limena_maintenance", "public"):
                query = sql.SQL("grant limena_app to {}").format(sql.SQL(role))
                with suppress(InsufficientPrivilege, UndefinedObject):
                    mallory.execute(query)
            findings = superuser.execute("select object from limena.self_check() where check_name = 'roles'").fetchall()
            members = superuser.execute(
                "select m.member::regrole::text from pg_auth_members as m where m.roleid = 'limena_app'::regrole"
                " and m.member in (select oid from pg_roles where not rolsuper and rolname like 'limena%')"
            ).fetchall()
            assert not members or findings, f"{members} are members of limena_app, and the self-check says nothing"
            assert not members, f"{members} are members of limena_app"
        finally:
            superuser.execute(
                "revoke limena_app from limena_readonly; revoke limena_app from limena_auth;"
                "revoke limena_app from limena_maintenance"
            )
