"""Connections: the pools for the API's fixed calls, and the pool for code of the user's own.

A `CallPool` runs nothing but the composed statements of `limena.procedures`, one prepared statement and one round trip
a call. It is never lent to anyone else's code: that gets `create_tenant_pool`, whose connections are wiped before each
reuse.
"""

from __future__ import annotations

import asyncio
import random
import select
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, LiteralString, TypeAlias, TypeVar

from psycopg import AsyncConnection, OperationalError, generators
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.errors import Diagnostic
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.pq.abc import PGconn, PGresult
from psycopg.rows import TupleRow, tuple_row
from psycopg.waiting import Wait
from psycopg_pool import AsyncConnectionPool

from limena.errors import RETRIED, SqlError
from limena.procedures import Statement
from limena.values import Wire

MAX_RETRIES: Final = 3
"""Of a call that lost against another one (40001, 40P01): its transaction left nothing behind."""

_OUT_OF_STEP: Final = frozenset({"26000", "42P05"})
"""A prepared statement that ought to be there is not, or the other way round: someone else had this connection."""

_SESSION_OPTIONS: Final = {
    "row_security": "on",
    "search_path": "pg_catalog,pg_temp",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "default_transaction_deferrable": "off",
    "jit": "off",
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "bytea_output": "hex",
    "client_encoding": "UTF8",
    # With these a role could lock itself out, or have what others run printed to the server's log.
    "local_preload_libraries": "",
    "idle_session_timeout": "0",
    "client_min_messages": "warning",
    "debug_print_parse": "off",
    "debug_print_rewritten": "off",
    "debug_print_plan": "off",
    "log_parameter_max_length_on_error": "0",
}
"""Start-up options, because those win over what a role may have set for itself with ALTER ROLE."""

_SPACE: Final = "\\ "
_NETWORK: Final = {
    "connect_timeout": "5",
    "keepalives_idle": "30",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
}
"""Seconds, and milliseconds for the last: a server that vanished without a word is noticed."""

_RECONNECT_TIMEOUT_SECONDS: Final = 1.0
"""How long the pool tries on its own to replace a connection. Then the next request that waits makes it try at once,
instead of sitting out a back-off that doubles for minutes."""

_TIMEOUT_WHILE_DOWN_SECONDS: Final = 0.5
"""How long a request waits for a connection once the pool could make none. It makes the pool try, which goes on when
the request is answered; without this, an outage would collect a whole timeout's worth of waiting requests."""

_WAITING_PER_CONNECTION: Final = 20
"""How many may wait for each connection of a pool. The next one is told at once that there is none."""

_COPY_CHUNK_BYTES: Final = 65_536
_CR: Final = 13
_LF: Final = 10

ConnectionT = TypeVar("ConnectionT", bound=AsyncConnection[Any])


class Pool(AsyncConnectionPool[ConnectionT]):
    """A pool that remembers whether it could reach the server when it last tried."""

    is_down = False


CallPool: TypeAlias = "Pool[CallConnection]"
TenantPool: TypeAlias = Pool[AsyncConnection[TupleRow]]
Call: TypeAlias = tuple[Statement, Sequence[Wire]]


class CallConnection(AsyncConnection[TupleRow]):
    """A connection that knows which statements it has prepared.

    psycopg's own cache forgets a statement whose first execution fails and prepares it again under another name,
    without deallocating it: whoever shows invalid keys would make the server's memory grow. Here a name stands for one
    text.
    """

    def __init__(self, pgconn: PGconn, row_factory: Any = tuple_row) -> None:
        super().__init__(pgconn, row_factory)
        self._prepared_names: Final[set[bytes]] = set()

    async def call(self, statement: Statement, values: Sequence[Wire], before: Call | None = None) -> bytes | None:
        """The one value of the statement's one row, as PostgreSQL wrote it; None when it is NULL or there is no row.

        `before`: a call in a transaction of its own, which is over when the other one begins. Both are sent at once, so
        the other one runs whatever becomes of the first: it must find out for itself. What the first is refused for is
        told. Raises `SqlError` for what PostgreSQL refused, `psycopg.OperationalError` when the connection broke."""
        calls = [(statement, values)] if before is None else [before, (statement, values)]
        try:
            for one, _ in calls:
                if one.name not in self._prepared_names:
                    _check(await self.wait(self._prepare(one)))
            if before is None:
                results = await self.wait(self._execute(statement, values))
            else:
                first, results = await self.wait(self._execute_both(before, (statement, values)))
                _check(first)
            _check(results)
        except SqlError as error:
            if error.sqlstate not in _OUT_OF_STEP:
                raise
            await self.close()
            raise OperationalError("this connection's prepared statements are not ours") from error
        finally:
            if self.pgconn.pipeline_status:  # whoever waited is gone, and nobody reads the answers any more
                self.pgconn.finish()
        return results[0].get_value(0, 0) if results[0].ntuples else None

    async def copy_out(self, statement: LiteralString) -> AsyncIterator[bytes]:
        """What a `COPY … TO STDOUT (format csv)` writes, in pieces of about 64 KiB, with CR LF at the end of each
        record (RFC 4180); afterwards the transaction is still open. Raises `SqlError`, or `psycopg.OperationalError`
        when the connection broke."""
        _check(await self.wait(self._start(statement.encode("ascii"))))
        is_over = False
        while not is_over:
            chunk, is_over = await self.wait(self._read_copy())
            yield chunk
        _check(await self.wait(generators.fetch_many(self.pgconn)))

    async def finish_copy(self) -> None:
        """Commits the transaction in which something was copied."""
        _check(await self.wait(self._start(b"commit")))

    async def close_unless_idle(self) -> None:
        """What is left of a transaction or a COPY is nobody's: the pool makes a new connection."""
        if self.pgconn.transaction_status != TransactionStatus.IDLE:
            await self.close()

    # Whoever waits for these may be cancelled: psycopg then cancels the statement, reads on until the server is done,
    # and gives a connection up whose generator raised. So they return a refusal, and never raise it.

    def _prepare(self, statement: Statement) -> PQGen[list[PGresult]]:
        self.pgconn.send_prepare(statement.name, statement.text)
        results: list[PGresult] = yield from generators.execute(self.pgconn)
        if not any(map(_is_refusal, results)):
            self._prepared_names.add(statement.name)
        return results

    def _start(self, text: bytes) -> PQGen[list[PGresult]]:
        self.pgconn.send_query_params(text, None)
        results: list[PGresult] = yield from generators.execute(self.pgconn)
        return results

    def _read_copy(self) -> PQGen[tuple[bytes, bool]]:
        """A full chunk, or what is left, and whether that was all. A server that is slower than its reader sends 8 KiB
        at a time, and each piece would have its price on the way out.

        PostgreSQL sends a message a row, and libpq hands over whole messages: the last byte of each is the line feed
        that ends a record, any other one stands within quotes. So nothing of a row need be looked at."""
        chunk = bytearray()
        while len(chunk) < _COPY_CHUNK_BYTES:
            size, data = self.pgconn.get_copy_data(1)
            if size > 0:
                chunk += data
                chunk[-1] = _CR  # in place of the line feed
                chunk.append(_LF)
            elif size < 0:
                return bytes(chunk), True
            else:
                yield Wait.R
                self.pgconn.consume_input()
        return bytes(chunk), False

    def _execute(self, statement: Statement, values: Sequence[Wire]) -> PQGen[list[PGresult]]:
        self.pgconn.send_query_prepared(statement.name, values)
        results: list[PGresult] = yield from generators.execute(self.pgconn)
        return results

    def _execute_both(self, first: Call, second: Call) -> PQGen[tuple[list[PGresult], list[PGresult]]]:
        """In libpq's pipeline mode, with a Sync after each: two transactions, one round trip."""
        self.pgconn.enter_pipeline_mode()
        commands: deque[Callable[[], None]] = deque()
        for statement, values in (first, second):
            commands.append(partial(self.pgconn.send_query_prepared, statement.name, values))
            commands.append(self.pgconn.pipeline_sync)
        fetched = yield from generators.pipeline_communicate(self.pgconn, commands)
        while len(fetched) < 4:  # each call's results, and each Sync's
            fetched.append((yield from generators.fetch_many(self.pgconn)))
        self.pgconn.exit_pipeline_mode()
        return fetched[0], fetched[2]


def _check(results: Sequence[PGresult]) -> None:
    # More than one when the transaction fails at its commit, after the rows.
    for result in results:
        if _is_refusal(result):
            raise SqlError.from_diagnostic(Diagnostic(result))


def _is_refusal(result: PGresult) -> bool:
    return result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COPY_OUT, ExecStatus.COMMAND_OK)


def create_call_pool(dsn: str, *, name: str, size: int, timeout: float, statement_timeout_ms: int) -> CallPool:
    """A pool of `size` connections for fixed calls, not yet open. `timeout`: seconds that a request waits for one."""
    return Pool(
        session_conninfo(dsn, name=name, statement_timeout_ms=statement_timeout_ms),
        connection_class=CallConnection,
        kwargs={"autocommit": True, "prepare_threshold": None},
        min_size=size,
        max_waiting=size * _WAITING_PER_CONNECTION,
        timeout=timeout,
        reconnect_timeout=_RECONNECT_TIMEOUT_SECONDS,
        reconnect_failed=_note_outage,
        name=name,
        open=False,
    )


async def call(
    pool: CallPool, statement: Statement, values: Sequence[Wire], before: Call | None = None
) -> bytes | None:
    """`CallConnection.call` on a connection of the pool. A call that lost against another one is tried again, at most 3
    times. Raises `SqlError`, or `psycopg.OperationalError` when no working connection could be had or it broke."""
    for attempt in range(MAX_RETRIES + 1):
        try:
            async with lend(pool) as connection:
                return await connection.call(statement, values, before)
        except SqlError as error:
            if error.sqlstate not in RETRIED or attempt == MAX_RETRIES:
                raise
        await asyncio.sleep(random.uniform(0, 0.01 * 2**attempt))  # noqa: S311 – to fall out of step, not to be secret
    raise AssertionError("the last attempt returns or raises")


@asynccontextmanager
async def lend(pool: Pool[ConnectionT]) -> AsyncIterator[ConnectionT]:
    """A connection whose server is still there. After a restart of the server each one in the pool is dead: they are
    thrown away here, where nothing has been sent yet, so that no request fails for them and none runs twice."""
    while True:
        async with pool.connection(_TIMEOUT_WHILE_DOWN_SECONDS if pool.is_down else None) as connection:
            pool.is_down = False
            if not _has_hung_up(connection.pgconn):
                yield connection
                return
            await connection.close()


def _note_outage(pool: AsyncConnectionPool[Any]) -> None:
    if isinstance(pool, Pool):
        pool.is_down = True


def _has_hung_up(pgconn: PGconn) -> bool:
    """Whether the server closed the connection while it lay idle. Costs a system call and no round trip: a server that
    is well sends nothing unasked, but for a rare notice, which then costs a reconnect."""
    poll = select.poll()
    poll.register(pgconn.socket, select.POLLIN)
    return bool(poll.poll(0))


def create_tenant_pool(
    dsn: str,
    *,
    max_size: int = 10,
    timeout: float = 10.0,
    statement_timeout_ms: int = 30_000,
) -> TenantPool:
    """A pool for `tenant_transaction`: logs in as limena_app and lends connections to code of the user's own. Not yet
    open: `async with create_tenant_pool(dsn) as pool:`.

    `timeout`: seconds to wait for a connection. What a borrower leaves behind in a session (settings, prepared
    statements, temporary tables, locks, an isolation level) is gone before the next one gets it. Statements are not
    prepared on the server: they would not outlive the wiping."""
    return Pool(
        session_conninfo(dsn, name="limena tenant code", statement_timeout_ms=statement_timeout_ms),
        kwargs={"autocommit": True, "prepare_threshold": None},
        min_size=1,
        max_size=max_size,
        max_waiting=max_size * _WAITING_PER_CONNECTION,
        timeout=timeout,
        reconnect_timeout=_RECONNECT_TIMEOUT_SECONDS,
        reconnect_failed=_note_outage,
        reset=_wipe,
        open=False,
    )


_KEPT_BY_THE_POOL: Final[tuple[str, ...]] = ("_pool", "_created_at", "_expire_at")
"""What psycopg_pool notes on a connection."""


async def _wipe(connection: AsyncConnection[TupleRow]) -> None:
    """Makes a connection as good as new, in PostgreSQL and in Python. The pool has rolled back what was open, and
    throws the connection away when this raises."""
    if connection.prepare_threshold is not None:
        raise RuntimeError("prepare_threshold was changed: the connection cannot be used again")
    if type(connection) is not AsyncConnection:
        raise RuntimeError("the connection was made one of another class")
    _make_anew(connection)  # first of all: what the borrower left in it must not see how it is wiped
    await connection.execute("discard all")  # and that refuses to run in a transaction, hence autocommit
    _make_anew(connection)  # what arrived meanwhile was meant for the borrower


def _make_anew(connection: AsyncConnection[TupleRow]) -> None:
    """Whatever a borrower may have hung on the object is gone: adapters, handlers, notifications that nobody fetched,
    factories, an isolation level, psycopg's idea of what is prepared, attributes of their own."""
    state = vars(connection)
    pgconn = connection.pgconn
    kept = {name: state[name] for name in _KEPT_BY_THE_POOL if name in state}
    state.clear()
    state.update(kept)
    AsyncConnection.__init__(connection, pgconn)
    connection._autocommit = True  # as create_tenant_pool asks `connect` for it
    connection.prepare_threshold = None


def session_conninfo(dsn: str, *, name: str, statement_timeout_ms: int) -> str:
    """The DSN with the settings and time-outs that every session of ours has. `name`: what the server's lists show."""
    parameters = conninfo_to_dict(dsn)
    options = {
        **_SESSION_OPTIONS,
        "statement_timeout": str(statement_timeout_ms),
        "lock_timeout": str(min(statement_timeout_ms, 5_000)),
        "idle_in_transaction_session_timeout": str(max(statement_timeout_ms, 10_000)),
    }
    # A space ends an option unless a backslash stands before it. Ours come last, and the last one wins.
    settings = [f"-c {key}={value.replace(' ', _SPACE)}" for key, value in options.items()]
    return make_conninfo(
        dsn,
        options=" ".join([str(parameters.get("options") or ""), *settings]).strip(),
        application_name=name,
        **{key: value for key, value in _NETWORK.items() if key not in parameters},
    )
