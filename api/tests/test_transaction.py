"""Where Python meets PostgreSQL: one round trip a request, connections that nobody can prepare for someone else,
retries, and `tenant_transaction` for code of the user's own."""

import asyncio
import contextlib
import socket
import struct
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import psycopg
import psycopg_pool
import pytest
from psycopg_pool import AsyncConnectionPool
from starlette.requests import HTTPConnection

import limena
from limena import ApiKeyCredential, Credential, SessionCredential, api_key_format, create_tenant_pool
from limena.errors import Problem, SqlError
from limena.pools import CallPool, Pool, call, create_call_pool, lend
from limena.procedures import Catalog, Statement, read_catalog
from limena.transaction import Database as ApiDatabase
from support.api import Api
from support.databases import Database

NOBODY = ApiKeyCredential(b"\x00" * 32)
REQUEST = HTTPConnection({"type": "http", "headers": [(b"user-agent", b"test")], "client": ("127.0.0.1", 1)})


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(coroutine)


def key_of(api: Api, tenant: int = 1) -> ApiKeyCredential:
    key_hash = api_key_format.parse(api.person(tenant=tenant).api_key or "")
    assert key_hash is not None
    return ApiKeyCredential(key_hash)


@contextlib.asynccontextmanager
async def opened(dsn: str, size: int = 1) -> AsyncIterator[CallPool]:
    async with create_call_pool(dsn, name="test", size=size, timeout=10, statement_timeout_ms=5_000) as pool:
        yield pool


async def catalog_of(pool: CallPool) -> Catalog:
    async with lend(pool) as connection:
        return await read_catalog(connection, ["get_me", "enter_api_key", "enter_session"])


def test_start_up_options_win_over_what_a_role_set_for_itself(fresh_database: Callable[[], Database]) -> None:
    """ALTER ROLE … SET is open to the role itself, and would otherwise hold for every connection to come."""
    database = fresh_database()
    own = {
        "row_security": "off",
        "search_path": "public",
        "default_transaction_isolation": "'repeatable read'",
        "default_transaction_read_only": "on",
        "statement_timeout": "0",
        "lock_timeout": "0",
        "timezone": "'Asia/Kathmandu'",
        "bytea_output": "escape",
        "datestyle": "'German'",
    }

    async def shown() -> dict[str, Any]:
        async with opened(database.dsn("limena_app")) as pool, lend(pool) as connection:
            rows = await (await connection.execute("select name, setting from pg_settings")).fetchall()
            return dict(rows)

    with database.connect("limena_app") as app:
        for name, value in own.items():
            app.execute(f"alter role limena_app in database {database.name} set {name} = {value}".encode())
    settings = run(shown())
    expected = {
        "row_security": "on",
        "search_path": "pg_catalog,pg_temp",
        "default_transaction_isolation": "read committed",
        "default_transaction_read_only": "off",
        "default_transaction_deferrable": "off",
        "transaction_isolation": "read committed",
        "statement_timeout": "5000",
        "lock_timeout": "5000",
        "idle_in_transaction_session_timeout": "10000",
        "jit": "off",
        "TimeZone": "UTC",
        "DateStyle": "ISO, YMD",
        "IntervalStyle": "postgres",
        "bytea_output": "hex",
        "client_encoding": "UTF8",
        "application_name": "test",
    }
    assert {name: settings[name] for name in expected} == expected


def test_options_of_the_dsn_are_kept_and_do_not_win(database: Database) -> None:
    async def shown() -> Any:
        dsn = database.dsn("limena_app") + "&options=-c%20row_security%3Doff%20-c%20geqo_seed%3D0.5"
        async with opened(dsn) as pool, lend(pool) as connection:
            return await (
                await connection.execute("select current_setting('row_security'), current_setting('geqo_seed')")
            ).fetchone()

    assert run(shown()) == ("on", "0.5")


def test_refused_credentials_leave_no_prepared_statements_behind(database: Database) -> None:
    """psycopg's own cache would prepare the statement anew each time and never deallocate it: a leak that anyone could
    feed with made-up keys."""

    async def names() -> Any:
        async with opened(database.dsn("limena_app")) as pool:
            statement = (await catalog_of(pool)).statement("get_me", NOBODY.entry)
            for _ in range(20):
                with pytest.raises(SqlError, match="28000"):
                    await call(pool, statement, statement.bind({}, {"p_key_hash": b"\\x00"}))
            async with lend(pool) as connection:
                rows = await connection.execute("select name from pg_prepared_statements order by name")
                return await rows.fetchall()

    assert run(names()) == [("get_me/enter_api_key",)]


def test_a_statement_planted_under_our_name_is_never_run(api: Api) -> None:
    """A connection on which someone else prepared a statement is given up. Nothing of theirs runs."""

    async def plant() -> tuple[Any, Any]:
        async with opened(api.database.dsn("limena_app")) as pool:
            statement = (await catalog_of(pool)).statement("get_me", NOBODY.entry)
            values = statement.bind({}, {"p_key_hash": b"\\x" + key_of(api).key_hash.hex().encode()})
            async with lend(pool) as connection:
                planted = "prepare \"get_me/enter_api_key\" (bytea, text, inet, text, uuid) as select 'planted'::text"
                await connection.execute(planted)
            with pytest.raises(psycopg.OperationalError):
                await call(pool, statement, values)
            first = await call(pool, statement, values)
            async with lend(pool) as connection:
                await connection.execute("deallocate all")
            with pytest.raises(psycopg.OperationalError):
                await call(pool, statement, values)
            return first, await call(pool, statement, values)

    for answer in run(plant()):
        assert b"lmn_" in answer


def test_a_failure_at_the_commit_is_a_failure(
    fresh_database: Callable[[], Database], start_api: Callable[..., Api]
) -> None:
    """The rows have come by then: whoever looks at the first result alone takes it for a success."""
    own = start_api(fresh_database())
    with own.database.connect() as connection:
        connection.execute(
            """
            create function public.refuse() returns trigger language plpgsql as
            $$ begin raise exception 'no' using errcode = '23514', constraint = 'api_keys_name_check'; end $$
            """
        )
        connection.execute(
            """
            create constraint trigger refuse after insert on limena.api_keys
            deferrable initially deferred for each row execute function public.refuse()
            """
        )
    with own.person().client() as client:
        response = client.post("/api/v1/api-keys", json={"name": "late", "scopes": ["ai:read"]})
        assert response.status_code == 422, response.text
        assert response.json()["errors"][0]["field"] == "name"
        assert "late" not in client.get("/api/v1/api-keys").text


@pytest.mark.parametrize("sqlstate", ["40001", "40P01"])
@pytest.mark.parametrize(("failures", "status", "attempts"), [(3, 200, 4), (4, 503, 4)])
def test_a_call_that_lost_is_tried_again_three_times(
    fresh_database: Callable[[], Database],
    start_api: Callable[..., Api],
    sqlstate: str,
    failures: int,
    status: int,
    attempts: int,
) -> None:
    own = start_api(fresh_database())
    with own.database.connect() as connection:
        connection.execute("create sequence public.attempts; grant usage on sequence public.attempts to limena_app")
        connection.execute("grant usage on schema public to limena_app")
        connection.execute(
            f"""
            create or replace function limena.get_me() returns jsonb language plpgsql stable as $$
            begin
                if nextval('public.attempts') <= {failures} then
                    raise exception 'lost' using errcode = '{sqlstate}';
                end if;
                return '{{}}';
            end $$
            """.encode()
        )
        with own.person().client(own.person().api_key) as client:
            assert client.get("/api/v1/me").status_code == status
        assert connection.execute("select last_value from public.attempts").fetchone() == (attempts,)


def test_a_cancelled_call_costs_no_connection(database: Database) -> None:
    """A client who hangs up must not make the server start a process: psycopg gives a connection up when what it waits
    for raises while it cancels."""
    slow = Statement(b"slow", b"select pg_sleep(30)::text", ())
    quick = Statement(b"quick", b"select pg_backend_pid()::text", ())

    async def cancelled() -> tuple[bytes | None, bytes | None]:
        async with opened(database.dsn("limena_app")) as pool:
            before = await call(pool, quick, [])
            for _ in range(2):
                waiting = asyncio.create_task(call(pool, slow, []))
                await asyncio.sleep(0.3)  # long enough for it to be sent
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
            return before, await call(pool, quick, [])

    before, after = run(cancelled())
    assert before == after


def test_a_statement_that_could_not_be_prepared_is_not_taken_for_prepared(database: Database) -> None:
    wrong = Statement(b"wrong", b"select from limena.nothing", ())

    async def refused() -> None:
        async with opened(database.dsn("limena_app")) as pool:
            for _ in range(2):
                with pytest.raises(SqlError, match="42P01"):
                    await call(pool, wrong, [])

    run(refused())


def test_only_so_many_wait_for_a_connection(database: Database) -> None:
    """A flood is told at once that there is no connection, instead of sitting out the time-out in memory."""
    quick = Statement(b"quick", b"select 'here'", ())

    async def crowd() -> tuple[Any, Any]:
        async with opened(database.dsn("limena_app")) as pool:
            async with lend(pool):
                waiting = [asyncio.create_task(call(pool, quick, [])) for _ in range(20)]
                await asyncio.sleep(0.1)
                with pytest.raises(psycopg_pool.TooManyRequests):
                    await asyncio.wait_for(call(pool, quick, []), 5)
            async with create_tenant_pool(database.dsn("limena_app"), max_size=2) as tenant_pool:
                return await asyncio.gather(*waiting), tenant_pool.max_waiting

    assert run(crowd()) == ([b"here"] * 20, 40)


class Wire:
    """Stands between the API and PostgreSQL and counts ReadyForQuery: one for each round trip."""

    def __init__(self, database: Database) -> None:
        self.round_trips = 0
        self._server_path = f"{psycopg.conninfo.conninfo_to_dict(database.dsn())['host']}/.s.PGSQL.5432"
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def dsn(self, database: Database, user: str) -> str:
        port = self._listener.getsockname()[1]
        return f"host=127.0.0.1 port={port} dbname={database.name} user={user} sslmode=disable gssencmode=disable"

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._server_path)
            self._start(self._forward, client, server)
            self._start(self._count, server, client)

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)
        source.close()

    def _count(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError), source.makefile("rb") as stream:
            while head := stream.read(5):
                kind, length = struct.unpack("!ci", head)
                target.sendall(head + stream.read(length - 4))
                self.round_trips += kind == b"Z"
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)
        source.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()


@pytest.fixture
def wire(api: Api) -> Iterator[Wire]:
    wire = Wire(api.database)
    yield wire
    wire.close()


def test_an_accepted_request_costs_one_round_trip(api: Api, wire: Wire, start_api: Callable[..., Api]) -> None:
    own = start_api(
        api.database,
        api.demo,
        LIMENA_APP_DSN=wire.dsn(api.database, "limena_app"),
        LIMENA_AUTH_DSN=wire.dsn(api.database, "limena_auth"),
        LIMENA_APP_POOL_SIZE="1",
        LIMENA_AUTH_POOL_SIZE="1",
    )
    person = own.person()
    with person.client() as session, person.client(person.api_key) as program:
        for client in (session, program):
            for path in ("/api/v1/me", "/api/v1/members", "/api/v1/api-keys?limit=20", "/api/v1/audit-logs"):
                assert client.get(path).status_code == 200
                before = wire.round_trips
                for _ in range(3):
                    assert client.get(path).status_code == 200
                assert wire.round_trips - before == 3, path
        body = {"name": "round trip", "scopes": ["ai:read"]}
        program.post("/api/v1/api-keys", json=body)
        before = wire.round_trips
        assert program.post("/api/v1/api-keys", json=body).status_code == 201
        assert wire.round_trips - before == 1


def test_requests_of_two_tenants_do_not_mix(api: Api, start_api: Callable[..., Api]) -> None:
    """Two connections for eight clients of two tenants, each with a session or a key."""
    own = start_api(api.database, api.demo, LIMENA_APP_POOL_SIZE="2")
    mixed_up: list[str] = []

    def ask(tenant: int, with_key: bool) -> None:
        person = own.person(tenant=tenant)
        with person.client(person.api_key if with_key else None) as client:
            for _ in range(40):
                me = client.get("/api/v1/me").json()
                if me["tenant"]["id"] != person.tenant_id or ("api_key" in me) != with_key:
                    mixed_up.append(str(me))

    threads = [threading.Thread(target=ask, args=(1 + n % 2, n % 4 > 1)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert mixed_up == []


# tenant_transaction


@pytest.fixture
def own_table(api: Api, fresh_database: Callable[[], Database], start_api: Callable[..., Api]) -> Api:
    """A product of the user's own: one table that is isolated with what Limena offers."""
    own = start_api(fresh_database())
    with own.database.connect() as connection:
        connection.execute(
            """
            create table public.documents (
                tenant_id uuid not null default limena.current_tenant_id(),
                title text not null
            );
            alter table public.documents enable row level security, force row level security;
            create policy documents on public.documents to limena_app
                using (tenant_id = (select limena.current_tenant_id()));
            grant usage on schema public to limena_app;
            grant select, insert on public.documents to limena_app;
            """
        )
    return own


async def titles(connection: psycopg.AsyncConnection[Any]) -> list[str]:
    rows = await connection.execute("select title from public.documents order by title")
    return [row[0] for row in await rows.fetchall()]


def test_tenant_transaction(own_table: Api) -> None:
    first, second = key_of(own_table), key_of(own_table, tenant=2)

    async def use() -> None:
        async with create_tenant_pool(own_table.database.dsn("limena_app"), max_size=1) as pool:
            for credential, title in [(first, "of the first"), (second, "of the second")]:
                async with limena.tenant_transaction(pool, credential, REQUEST) as tx:
                    await tx.execute("insert into public.documents (title) values (%s)", [title])
            async with limena.tenant_transaction(pool, first, REQUEST) as tx:
                assert await titles(tx) == ["of the first"]
                row = await (await tx.execute("select limena.current_tenant_id()")).fetchone()
                assert row == (uuid.UUID(own_table.person().tenant_id),)
                assert tx.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
            with pytest.raises(ZeroDivisionError):  # noqa: PT012
                async with limena.tenant_transaction(pool, second, REQUEST) as tx:
                    await tx.execute("insert into public.documents (title) values ('rolled back')")
                    raise ZeroDivisionError
            async with limena.tenant_transaction(pool, second, REQUEST) as tx:
                assert await titles(tx) == ["of the second"]
                await tx.commit()
                assert await titles(tx) == [], "the context ends with the transaction"

    run(use())


def test_tenant_transaction_with_a_session(own_table: Api) -> None:
    import jwt

    from limena.tokens import secret_hash

    person = own_table.person()
    secret = jwt.decode(person.token, options={"verify_signature": False})["sid"]

    async def use() -> None:
        credential = SessionCredential(secret_hash(secret), uuid.UUID(person.tenant_id))
        async with create_tenant_pool(own_table.database.dsn("limena_app")) as pool:
            async with limena.tenant_transaction(pool, credential, REQUEST) as tx:
                assert await titles(tx) == []
            elsewhere = SessionCredential(secret_hash(secret), uuid.UUID(own_table.person(tenant=2).tenant_id))
            assert await refusal(pool, elsewhere) == (401, "session_revoked")

    run(use())


async def refusal(pool: Pool[Any], credential: Credential) -> tuple[int, str]:
    with pytest.raises(Problem) as caught:
        async with limena.tenant_transaction(pool, credential, REQUEST):
            pytest.fail("was let in")
    return caught.value.status, caught.value.code


def test_tenant_transaction_refuses(own_table: Api) -> None:
    dsn = own_table.database.dsn("limena_app")

    async def use() -> None:
        async with create_tenant_pool(dsn) as pool:
            assert await refusal(pool, NOBODY) == (401, "invalid_api_key")
            # Errors of one's own statements are one's own.
            with pytest.raises(psycopg.errors.UndefinedTable):
                async with limena.tenant_transaction(pool, key_of(own_table), REQUEST) as tx:
                    await tx.execute("select from public.nothing")
            with pytest.raises(psycopg.errors.InFailedSqlTransaction):  # noqa: PT012
                async with limena.tenant_transaction(pool, key_of(own_table), REQUEST) as tx:
                    await tx.execute("insert into public.documents (title) values ('lost')")
                    with contextlib.suppress(psycopg.Error):
                        await tx.execute("select from public.nothing")
        async with AsyncConnectionPool(dsn, open=False) as foreign:
            with pytest.raises(TypeError, match="create_tenant_pool"):
                async with limena.tenant_transaction(foreign, key_of(own_table), REQUEST):  # type: ignore[arg-type]
                    pytest.fail("was let in")
        async with create_tenant_pool(dsn + "&port=1", timeout=0.5) as pool:
            assert await refusal(pool, key_of(own_table)) == (503, "unavailable")

    run(use())


def test_a_borrower_leaves_nothing_behind(own_table: Api) -> None:
    """What one tenant's code does to a session must not reach the next one's. Would fail without DISCARD ALL, and
    without what goes with it on psycopg's side."""
    credential = key_of(own_table)

    async def use() -> None:
        async with create_tenant_pool(own_table.database.dsn("limena_app"), max_size=1) as pool:
            async with pool.connection() as before:
                pid = before.info.backend_pid
            for _ in range(3):  # psycopg would notice the first DISCARD ALL on its own, and no other
                async with limena.tenant_transaction(pool, credential, REQUEST) as tx:
                    for _ in range(10):
                        await tx.execute("select %s::text", ["x"], prepare=True)
                    await tx.execute("prepare mine as select 1")
                    await tx.execute("select pg_advisory_lock(42)")
                    await tx.execute("declare held cursor with hold for select 1")
                    await tx.execute("set session statement_timeout = 0")
                    await tx.execute("select set_config('app.current_tenant_id', %s, false)", [str(uuid.uuid4())])
                    await tx.commit()
                    await tx.set_isolation_level(psycopg.IsolationLevel.SERIALIZABLE)
                    await tx.set_read_only(True)
                    tx.row_factory = psycopg.rows.dict_row  # type: ignore[assignment]
            async with pool.connection() as after:
                assert after.info.backend_pid == pid, "it is the same connection"
                row = await (
                    await after.execute(
                        """
                        select
                            (select count(*) from pg_prepared_statements),
                            (select count(*) from pg_cursors where name = 'held'),
                            (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()),
                            current_setting('statement_timeout'),
                            coalesce(current_setting('app.current_tenant_id', true), ''),
                            current_setting('transaction_isolation'),
                            current_setting('transaction_read_only')
                        """
                    )
                ).fetchone()
                assert row == (0, 0, 0, "30s", "", "read committed", "off")

    run(use())


class Planted(psycopg.AsyncCursor[Any]):
    """A cursor of a borrower's own."""


class PlantedServerCursor(psycopg.AsyncServerCursor[Any]):
    """Another one."""


class PlantedLoader(psycopg.adapt.Loader):
    def load(self, data: object) -> str:
        return "planted"


ATTRIBUTES = {
    "_adapters", "_autocommit", "_begin_statement", "_closed", "_created_at", "_deferrable", "_expire_at",
    "_isolation_level", "_notice_handlers", "_notifies_backlog", "_notify_handlers", "_num_transactions", "_pipeline",
    "_pool", "_prepared", "_read_only", "_tpc", "cursor_factory", "lock", "pgconn", "row_factory",
    "server_cursor_factory",
}  # fmt: skip
"""All that a connection of psycopg's and its pool's is made of. When this test fails after an update: whatever is new
must be gone after `limena.pools._wipe`, unless it is the pool's own."""


def test_a_borrower_leaves_nothing_behind_in_python(own_table: Api) -> None:
    """An adapter would read the next tenant's rows, a handler hear its notices and notifications."""
    heard: list[object] = []
    credential, dsn = key_of(own_table), own_table.database.dsn("limena_app")

    def parts(connection: psycopg.AsyncConnection[Any]) -> dict[str, Any]:
        assert vars(connection).keys() == ATTRIBUTES
        made_each_time = {"_created_at", "_expire_at", "_pool", "_prepared", "lock", "pgconn"}
        return {name: value for name, value in vars(connection).items() if name not in made_each_time}

    async def use() -> None:
        async with create_tenant_pool(dsn, max_size=1) as pool:
            async with pool.connection() as untouched:
                pid, fresh = untouched.info.backend_pid, parts(untouched)
                limits = untouched.prepare_threshold, untouched.prepared_max
            async with limena.tenant_transaction(pool, credential, REQUEST) as tx:
                await tx.execute("listen anything")
                await tx.commit()
                tx.adapters.register_loader("text", PlantedLoader)
                tx.add_notice_handler(heard.append)
                tx.add_notify_handler(heard.append)
                tx.pgconn.notice_handler = heard.append
                tx.pgconn.notify_handler = heard.append
                tx.prepared_max = 7
                tx.cursor_factory = Planted
                tx.server_cursor_factory = PlantedServerCursor
                tx.execute = heard.append  # type: ignore[assignment,method-assign]
                tx.mine = "mine"  # type: ignore[attr-defined]
            async with limena.tenant_transaction(pool, key_of(own_table, tenant=2), REQUEST) as tx:
                assert tx.info.backend_pid == pid, "it is the same connection"
                await tx.execute("do $$ begin raise warning 'of the second tenant'; end $$")
                await tx.execute("notify anything, 'of the second tenant'")
                row = await (await tx.execute("select 'of the second tenant'::text")).fetchone()
                assert row == ("of the second tenant",)
            async with pool.connection() as wiped:
                assert wiped.info.backend_pid == pid
                assert parts(wiped) == fresh
                assert (wiped.prepare_threshold, wiped.prepared_max) == limits
        assert heard == []

    run(use())


def test_a_notification_that_nobody_fetched_is_not_the_next_borrowers(own_table: Api) -> None:
    async def use() -> None:
        async with create_tenant_pool(own_table.database.dsn("limena_app"), max_size=1) as pool:
            async with limena.tenant_transaction(pool, key_of(own_table), REQUEST) as tx:
                await tx.execute("listen anything")
                await tx.execute("notify anything, 'of the first tenant'")
            async with limena.tenant_transaction(pool, key_of(own_table, tenant=2), REQUEST) as tx:
                assert [one.payload async for one in tx.notifies(timeout=0.1)] == []

    run(use())


def test_a_connection_of_another_class_is_not_used_again(own_table: Api) -> None:
    class Mine(psycopg.AsyncConnection[Any]):
        pass

    async def use() -> tuple[int, int]:
        async with create_tenant_pool(own_table.database.dsn("limena_app"), max_size=1) as pool:
            async with limena.tenant_transaction(pool, key_of(own_table), REQUEST) as tx:
                first = tx.info.backend_pid
                tx.__class__ = Mine
            async with limena.tenant_transaction(pool, key_of(own_table), REQUEST) as tx:
                return first, tx.info.backend_pid

    first, second = run(use())
    assert first != second


def test_a_connection_that_was_told_to_prepare_statements_is_not_used_again(own_table: Api) -> None:
    async def use() -> tuple[int, int]:
        async with create_tenant_pool(own_table.database.dsn("limena_app"), max_size=1) as pool:
            async with limena.tenant_transaction(pool, key_of(own_table), REQUEST) as tx:
                first = tx.info.backend_pid
                tx.prepare_threshold = 0
                await tx.execute("select %s::text", ["x"])
            async with limena.tenant_transaction(pool, key_of(own_table), REQUEST) as tx:
                await tx.execute("select %s::text", ["x"])
                return first, tx.info.backend_pid

    first, second = run(use())
    assert first != second


def test_begin_and_proof_travel_together(own_table: Api) -> None:
    wire = Wire(own_table.database)
    dsn = wire.dsn(own_table.database, "limena_app")

    async def use() -> tuple[int, int, int]:
        async with create_tenant_pool(dsn, max_size=1) as pool:
            async with lend(pool) as connection:
                pid = connection.info.backend_pid
            before = wire.round_trips
            async with limena.tenant_transaction(pool, key_of(own_table), REQUEST) as tx:
                assert tx.info.backend_pid == pid
                entered = wire.round_trips
                await titles(tx)
                return before, entered, wire.round_trips

    try:
        before, entered, after = run(use())
    finally:
        wire.close()
    assert entered - before == 2, "DISCARD ALL after the connection was lent before, then BEGIN and the proof"
    assert after - entered == 1


def test_a_denial_that_cannot_be_recorded_stays_a_denial(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    """A permission that is in no matrix: a mistake in a procedure, which must not open anything."""

    async def denied() -> Problem:
        async with opened(api.database.dsn("limena_app")) as pool, opened(api.database.dsn("limena_auth")) as auth:
            database = ApiDatabase(pool, auth, ["require"], export_pool=pool)
            with pytest.raises(Problem) as caught:
                await database.call(
                    "require", {"p_permission": b"no:such"}, credential=key_of(api), request=REQUEST, route="GET /x"
                )
            return caught.value

    assert run(denied()).code == "forbidden"
    assert "no:such could not be recorded" in caplog.text
