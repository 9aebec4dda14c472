"""Attacks by someone who runs SQL of their own as limena_app, over real connections.

Each is in support/attacks.py, with what would have to be missing for it to work; that they can fail is shown by
test_attacks_can_fail.py. Here are also those on the pool that the API lends to code of the user's own.
"""

import asyncio

import pytest
from psycopg import sql
from starlette.requests import HTTPConnection

from limena import SessionCredential, create_tenant_pool, tenant_transaction
from support import attacks
from support.databases import Database, create_database

REQUEST = HTTPConnection({"type": "http", "headers": [], "client": ("127.0.0.1", 1)})


@pytest.fixture(scope="module")
def attacked(template: Database) -> Database:
    """A database with two tenants, which the attacks share: each leaves it as it was."""
    made = create_database(template.server, "attacked", template)
    attacks.prepare(made)
    return made


@pytest.mark.parametrize("name", attacks.ATTACKS)
def test_attack(attacked: Database, name: str) -> None:
    attacks.ATTACKS[name](attacked)


def test_what_a_borrower_plants_for_the_next(attacked: Database) -> None:
    """On a connection of the pool that `tenant_transaction` lends from: whoever works for tenant b leaves behind all
    that a session can hold, and the next to come, for tenant a, meets none of it."""
    b, a = (_credential(attacked, tenant) for tenant in ("b", "a"))

    async def plant_and_look() -> None:
        async with create_tenant_pool(attacked.dsn("limena_app"), max_size=1) as pool:
            async with tenant_transaction(pool, b, REQUEST) as tx:
                pid = (await (await tx.execute("select pg_backend_pid()")).fetchone() or (None,))[0]
                for name in ("_pg3_0", "_pg3_1", "_pg3_2"):
                    await tx.execute(f"prepare {name} as select id, name from limena.tenants".encode())
                await tx.execute("prepare limena_get_me as select '{\"planted\": true}'::jsonb")
                await tx.execute("declare planted cursor with hold for select name from limena.tenants")
                await tx.execute("listen planted")
                await tx.execute("select pg_advisory_lock(1), pg_advisory_lock_shared(2)")
                await tx.execute(
                    "select set_config(k, current_setting(k), false)"
                    " from unnest('{app.current_tenant_id, app.context, app.seal}'::text[]) as k"
                )
                await tx.execute("set session search_path = tests, public; set session row_security = off")
                await tx.execute("set session characteristics as transaction isolation level serializable")
                await tx.execute("set statement_timeout = 0; set application_name = 'planted'; set role limena_app")
            async with tenant_transaction(pool, a, REQUEST) as tx:
                assert (await (await tx.execute("select pg_backend_pid()")).fetchone() or (None,))[0] == pid
                for query in (
                    b"select name from pg_prepared_statements",
                    b"select name from pg_cursors where is_holdable",
                    b"select 1 from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()",
                    b"select c from pg_listening_channels() as c",
                    b"select name, setting from pg_settings where source = 'session' and name not in"
                    b" ('transaction_isolation', 'transaction_read_only', 'transaction_deferrable')",
                    b"select name from limena.tenants where id <> limena.current_tenant_id()",
                ):
                    assert await (await tx.execute(query)).fetchall() == [], f"{query.decode()}: left behind"
                cursor = await tx.execute("select name from limena.tenants", prepare=True)
                assert await cursor.fetchall() == [("Tenant a",)], "a statement that was planted is run"
                isolation = await (await tx.execute("show transaction_isolation")).fetchone()
                assert isolation == ("read committed",)
                await tx.commit()
                rows = await (await tx.execute("select name from limena.tenants")).fetchall()
                assert rows == [], "after a commit of one's own a context is left"

    asyncio.run(plant_and_look())


def test_a_role_that_would_lock_itself_out(attacked: Database) -> None:
    """ALTER ROLE limena_app SET, by someone who runs SQL as limena_app, so that nobody can log in or stay logged in, or
    so that the server's log tells what others run. The pools' start-up options win."""
    settings = {
        "local_preload_libraries": "there_is_no_such_library",
        "idle_session_timeout": "1ms",
        "client_min_messages": "log",
        "debug_print_plan": "on",
        "log_parameter_max_length_on_error": "-1",
        "role": "limena_auth",
    }

    async def look() -> list[str]:
        async with create_tenant_pool(attacked.dsn("limena_app"), max_size=1, timeout=5) as pool:
            await pool.wait(5)
            await asyncio.sleep(0.01)
            async with tenant_transaction(pool, _credential(attacked, "a"), REQUEST) as tx:
                rows = await (await tx.execute("select name from limena.tenants")).fetchall()
                assert rows == [("Tenant a",)]
                return [
                    str((await (await tx.execute("select current_setting(%s)", [name])).fetchone() or ("?",))[0])
                    for name in settings
                ]

    with attacks.settings_reset(attacked), attacked.connect("limena_app") as mallory:
        for name, value in settings.items():
            mallory.execute(
                sql.SQL("alter role limena_app set {} = {}").format(sql.Identifier(name), sql.Literal(value))
            )
        assert asyncio.run(look()) == ["", "0", "warning", "off", "0", "none"]


def _credential(database: Database, tenant: str) -> SessionCredential:
    with database.connect() as superuser:
        row = superuser.execute(
            "select tests.session_hash(%(t)s, 'owner'), tests.tenant_id(%(t)s)", {"t": tenant}
        ).fetchone()
    assert row is not None
    return SessionCredential(secret_hash=bytes(row[0]), tenant_id=row[1])
