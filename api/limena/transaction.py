"""Where a request meets the database: prove the credential, seal the context, run one procedure, in one round trip.

`Database.call` is that for the API's own routes; `tenant_transaction` opens a sealed transaction for code of the
user's own. Both go through `limena.enter_session` or `limena.enter_api_key` and nothing else. Refuses to decide
anything: who may do what is PostgreSQL's answer, and what it refuses comes out as a `Problem`.
"""

from __future__ import annotations

import functools
import ipaddress
import logging
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import ClassVar, Final, Generic, LiteralString, TypeAlias, TypeVar
from uuid import UUID, uuid4

import psycopg
from psycopg import AsyncConnection, OperationalError
from psycopg.errors import InFailedSqlTransaction
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow
from starlette.requests import HTTPConnection

from limena.errors import NOT_COUNTED, RETRY_AFTER_SECONDS, Problem, SqlError
from limena.fair_gate import FairGate
from limena.metrics import Metrics
from limena.pools import Call, CallConnection, CallPool, Pool, TenantPool, call, lend
from limena.procedures import Catalog, Statement, read_catalog
from limena.values import Wire, encode

_T = TypeVar("_T")
_MAX_USER_AGENT: Final = 512
log = logging.getLogger("limena")


@dataclass(frozen=True, slots=True)
class SessionCredential:
    """What a verified access token proves: a session (SHA-256 of its secret), and the tenant in which it acts."""

    entry: ClassVar[LiteralString] = "enter_session"
    refusal: ClassVar[str] = "session_revoked"
    secret_hash: bytes = field(repr=False)
    tenant_id: UUID | None

    def arguments(self) -> dict[str, bytes | str | UUID | None]:
        return {"p_secret_hash": self.secret_hash, "p_tenant_id": self.tenant_id}


@dataclass(frozen=True, slots=True)
class ApiKeyCredential:
    """An API key's SHA-256. The key itself gets no further than the `Authorization` header."""

    entry: ClassVar[LiteralString] = "enter_api_key"
    count: ClassVar[LiteralString] = "count_api_key_call"
    refusal: ClassVar[str] = "invalid_api_key"
    key_hash: bytes = field(repr=False)

    def arguments(self) -> dict[str, bytes | str | UUID | None]:
        return {"p_key_hash": self.key_hash}


Credential: TypeAlias = SessionCredential | ApiKeyCredential

_ROW_WAIT_SECONDS: Final = 2.0
"""How long a call that may wait for a row waits for its turn to."""

_ROW_WAITS_OF_ONE_TENANT: Final = 2
"""Calls of one tenant wait for one row: while one has it, another is on its way. More get nothing done sooner."""

_ALWAYS_CALLED: Final = frozenset(
    {
        SessionCredential.entry,
        ApiKeyCredential.entry,
        ApiKeyCredential.count,
        "current_tenant_id",
        "record_denial",
        "open_access_as",
        "resume_access",
    }
)


class Database:
    """The API's pools, and what it knows of the procedures that it calls through them."""

    def __init__(
        self,
        app_pool: CallPool,
        auth_pool: CallPool,
        procedures: Iterable[str],
        *,
        export_pool: CallPool,
        readonly_pool: CallPool | None = None,
    ) -> None:
        self.app_pool: Final = app_pool
        self._auth_pool: Final = auth_pool
        self._export_pool: Final = export_pool
        self._readonly_pool: Final = readonly_pool
        self._names: Final = frozenset(procedures) | _ALWAYS_CALLED
        self._catalog: Catalog | None = None
        self._rated_keys: Final = RecentKeys[bool]()
        self._tenants_of_keys: Final = RecentKeys[str]()
        self._exporting: Final[set[str]] = set()
        places = max(1, app_pool.max_size // 2)
        share = min(_ROW_WAITS_OF_ONE_TENANT, max(1, places - 1))
        self._row_waits: Final = FairGate(places, share, _ROW_WAIT_SECONDS)

    def note_pools(self, metrics: Metrics) -> None:
        """How full the pools are, at this moment."""
        pools = {
            "app": self.app_pool,
            "auth": self._auth_pool,
            "export": self._export_pool,
            "readonly": self._readonly_pool,
        }
        for name, pool in pools.items():
            if pool is not None:
                metrics.note_pool(name, pool.get_stats())

    async def catalog(self) -> Catalog:
        """The signatures of all procedures that the API calls, read when they are first needed and kept. Raises
        `CatalogError` when the database is of another version, `Problem` 503 when it cannot be reached."""
        # No lock: reading it twice is harmless, and one waiting request must not make the others wait for its time-out.
        if self._catalog is None:
            try:
                async with lend(self.app_pool) as connection:
                    self._catalog = await read_catalog(connection, self._names)
            except OperationalError as error:
                raise Problem("unavailable") from error
        return self._catalog

    async def call(
        self,
        procedure: str,
        arguments: Mapping[str, Wire],
        *,
        credential: Credential,
        request: HTTPConnection,
        route: str,
        waits_for_row: bool = False,
    ) -> bytes | None:
        """The JSON text that a procedure returns in the context that the credential opens.

        One statement, one round trip, one transaction. Raises `Problem`: 401 when PostgreSQL refuses the credential,
        503 when it cannot be reached, else what `limena.errors` makes of the SQLSTATE. A missing permission is put on
        record in the tenant's audit log under `route`, in a second transaction: what the first one wrote is lost.

        `waits_for_row`: the procedure may wait for a row that other calls of its tenant lock. Such calls have half of
        the pool together, and those of one tenant two connections, so that one tenant's row never stops another one's
        requests."""
        try:
            async with self._may_wait_for_row(credential, request) if waits_for_row else nullcontext():
                return await self._enter_and_run(procedure, arguments, credential, request)
        except Problem as problem:
            if problem.permission is not None:
                await self._record_denial(problem.permission, route, credential, request)
            raise

    @asynccontextmanager
    async def _may_wait_for_row(self, credential: Credential, request: HTTPConnection) -> AsyncIterator[None]:
        tenant_id = await self._tenant_of(credential, request)
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self._row_waits.place(tenant_id))
            except TimeoutError:
                raise Problem("unavailable") from None
            yield

    async def _tenant_of(self, credential: Credential, request: HTTPConnection) -> str:
        """A token names its tenant. Whose key it is, PostgreSQL says, once for as long as it is remembered: what is no
        valid key goes no further, and a tenant does not become many by its keys."""
        if isinstance(credential, SessionCredential):
            return str(credential.tenant_id)
        tenant_id = self._tenants_of_keys.get(credential.key_hash)
        if tenant_id is None:
            answer = await self._enter_and_run("current_tenant_id", {}, credential, request, is_counted=True)
            tenant_id = (answer or b"").decode("ascii")
            self._tenants_of_keys.put(credential.key_hash, tenant_id)
        return tenant_id

    async def _record_denial(
        self, permission: str, route: str, credential: Credential, request: HTTPConnection
    ) -> None:
        denial = _encode({"p_permission": permission, "p_route": route})
        try:
            await self._enter_and_run("record_denial", denial, credential, request, is_counted=True)
        except Problem as problem:
            # Revoked in between, or out of reach: that is the answer then, and nothing goes unrecorded.
            if problem.status in (401, 503):
                raise
            log.error("a denial of %s could not be recorded: %s", permission, problem.code)

    async def begin_export(
        self,
        stack: AsyncExitStack,
        record: str,
        begin: str,
        arguments: Mapping[str, Wire],
        *,
        credential: Credential,
        request: HTTPConnection,
    ) -> CallConnection:
        """A connection of the pool for exports, lent until the stack is closed, on which `record` was run and
        committed, in an open transaction in which `begin` was. The credential was proved for each; the call that came
        before counts for these as well. Closing the stack ends what is still under way.

        A tenant has one at a time, and waits with no more than that, so that its downloads, however slow and however
        many, leave connections and places in the queue for the others. Nothing is on record before the place and the
        connection are had. Raises `Problem`: 429 for a second one, else as `call` does."""
        tenant_id = await self._tenant_of(credential, request)
        if tenant_id in self._exporting:
            raise Problem(
                "rate_limited",
                "Another export of this tenant is running. Wait for its end.",
                headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
            )
        self._exporting.add(tenant_id)
        stack.callback(self._exporting.discard, tenant_id)
        catalog = await self.catalog()
        recording, beginning = (catalog.statement(procedure, credential.entry) for procedure in (record, begin))
        entry = _encode(credential.arguments() | origin(request))
        try:
            connection = await stack.enter_async_context(lend(self._export_pool))
            stack.push_async_callback(connection.close_unless_idle)
            if isinstance(credential, ApiKeyCredential):
                entry["p_call_id"] = encode(uuid4())
                count = catalog.statement(ApiKeyCredential.count, None)
                key = {"p_key_hash": entry["p_key_hash"], "p_call_id": entry["p_call_id"], "p_is_counted": b"true"}
                await connection.call(count, count.bind(key, {}))
            await connection.call(recording, recording.bind(arguments, entry))
            await connection.execute("begin isolation level read committed")
            await connection.call(beginning, beginning.bind(arguments, entry))
        except SqlError as error:
            raise _problem(error, credential.refusal) from error
        except OperationalError as error:
            raise Problem("unavailable") from error
        return connection

    async def prove(self, credential: Credential, request: HTTPConnection) -> None:
        """Shows a credential to PostgreSQL and does nothing with the context. Raises `Problem` as `call` does."""
        await self._enter_and_run(None, {}, credential, request)

    async def _enter_and_run(
        self,
        procedure: str | None,
        arguments: Mapping[str, Wire],
        credential: Credential,
        request: HTTPConnection,
        *,
        is_counted: bool = False,
    ) -> bytes | None:
        """`is_counted`: the same request was counted before, for a key that has a rate."""
        catalog = await self.catalog()
        statement = catalog.statement(procedure, credential.entry)
        entry = _encode(credential.arguments() | origin(request))
        if not isinstance(credential, ApiKeyCredential):
            return await _run(self.app_pool, statement, statement.bind(arguments, entry), refusal=credential.refusal)

        # Which keys have a rate, PostgreSQL says when the call was not counted. Then it is, right before the call and
        # in the same round trip.
        if not self._rated_keys.get(credential.key_hash):
            try:
                values = statement.bind(arguments, entry)
                return await _run(self.app_pool, statement, values, refusal=credential.refusal)
            except Problem as problem:
                if not isinstance(problem.__cause__, SqlError) or problem.__cause__.sqlstate != NOT_COUNTED:
                    raise
            self._rated_keys.put(credential.key_hash, True)
        counted = {"p_call_id": encode(uuid4())}
        count = catalog.statement(ApiKeyCredential.count, None)
        key = {"p_key_hash": entry["p_key_hash"], "p_is_counted": b"true" if is_counted else b"false"}
        values = statement.bind(arguments, entry | counted)
        before = (count, count.bind(key | counted, {}))
        return await _run(self.app_pool, statement, values, before, refusal=credential.refusal)

    async def call_auth(
        self, procedure: str, arguments: Mapping[str, Wire], *, request: HTTPConnection
    ) -> bytes | None:
        """The JSON text that a procedure returns which comes before any context, as limena_auth: log-in and its
        like."""
        statement = (await self.catalog()).statement(procedure, None)
        values = statement.bind(_encode(origin(request)) | dict(arguments), {})
        return await _run(self._auth_pool, statement, values)

    async def call_operator(
        self,
        procedure: str,
        arguments: Mapping[str, Wire],
        *,
        credential: SessionCredential,
        reason: str,
        request: HTTPConnection,
        tenant_id: UUID | None = None,
    ) -> bytes | None:
        """The JSON text that a procedure returns which reads across tenants, as limena_readonly, in the name of a
        platform admin. `tenant_id` None: all tenants.

        Two transactions: the first declares the access, in the log of each tenant that it covers, and commits; only
        then has it effect. Raises `Problem`: 401 for the session, 403 for whoever is no platform admin, 503 without
        LIMENA_READONLY_DSN, else as `call` does."""
        if self._readonly_pool is None:
            raise Problem("unavailable", "This server has no log-in for operators: LIMENA_READONLY_DSN is not set.")
        catalog = await self.catalog()
        statement = catalog.statement("open_access_as", None)
        declared = {"p_session_hash": credential.secret_hash, "p_reason": reason, "p_tenant_id": tenant_id}
        values = statement.bind(_encode(declared | origin(request)), {})
        ticket = await _run(self._readonly_pool, statement, values, refusal=credential.refusal)
        statement = catalog.statement(procedure, "resume_access")
        return await _run(self._readonly_pool, statement, statement.bind(arguments, {"p_ticket": ticket}))

    async def ask(self, procedure: str) -> bytes | None:
        """The answer of a procedure without arguments that tells nothing of any tenant, as limena_app."""
        statement = (await self.catalog()).statement(procedure, None)
        return await _run(self.app_pool, statement, [])


class RecentKeys(Generic[_T]):
    """What is known of API keys that were used of late, by their hashes: whether they have a rate, so that their calls
    are counted at once; whose they are. Forgetting it costs the key's next call a round trip."""

    def __init__(self, size: int = 10_000) -> None:
        self._size: Final = size
        self._known: Final[dict[bytes, _T]] = {}

    def get(self, key_hash: bytes) -> _T | None:
        return self._known.get(key_hash)

    def put(self, key_hash: bytes, known: _T) -> None:
        if len(self._known) >= self._size:
            del self._known[next(iter(self._known))]
        self._known[key_hash] = known


async def _run(
    pool: CallPool,
    statement: Statement,
    values: Sequence[Wire],
    before: Call | None = None,
    *,
    refusal: str = "unauthenticated",
) -> bytes | None:
    try:
        return await call(pool, statement, values, before)
    except SqlError as error:
        raise _problem(error, refusal) from error
    except OperationalError as error:
        raise Problem("unavailable") from error


def _problem(error: SqlError, refusal: str) -> Problem:
    """28000 says that the credential is refused; what that is called depends on the credential."""
    return Problem(refusal) if error.code == "unauthenticated" else error.problem()


def origin(request: HTTPConnection) -> dict[str, bytes | str | UUID | None]:
    """Where a request comes from, for the audit log: its id, its address, and the printable ones among the first 512
    characters of what it says of its user agent."""
    ip = _address(request.client.host) if request.client else None
    agent = request.headers.get("user-agent", "")[:_MAX_USER_AGENT]
    if not agent.isprintable():
        agent = "".join(filter(str.isprintable, agent))
    request_id = request.scope.get("state", {}).get("request_id")
    return {"p_request_id": request_id, "p_ip": ip, "p_user_agent": agent or None}


@functools.lru_cache(maxsize=1024)
def _address(host: str) -> str | None:
    """An IP address as PostgreSQL reads it, without the zone of a link-local one; None for a Unix socket."""
    try:
        return str(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        return None


def _encode(values: Mapping[str, bytes | str | UUID | None]) -> dict[str, Wire]:
    return {name: encode(value) for name, value in values.items()}


_ENTER: Final[Mapping[str, LiteralString]] = {
    SessionCredential.entry: """
        select limena.enter_session(
            p_secret_hash => %(p_secret_hash)s::bytea,
            p_tenant_id => %(p_tenant_id)s::uuid,
            p_request_id => %(p_request_id)s::text,
            p_ip => %(p_ip)s::inet,
            p_user_agent => %(p_user_agent)s::text
        )
    """,
    ApiKeyCredential.entry: """
        select limena.enter_api_key(
            p_key_hash => %(p_key_hash)s::bytea,
            p_request_id => %(p_request_id)s::text,
            p_ip => %(p_ip)s::inet,
            p_user_agent => %(p_user_agent)s::text,
            p_call_id => %(p_call_id)s::uuid
        )
    """,
}
_COUNT: Final[LiteralString] = """
    select limena.count_api_key_call(p_key_hash => %(p_key_hash)s::bytea, p_call_id => %(p_call_id)s::uuid)
"""


@asynccontextmanager
async def tenant_transaction(
    pool: TenantPool, credential: Credential, request: HTTPConnection
) -> AsyncIterator[AsyncConnection[TupleRow]]:
    """A psycopg connection inside a transaction that is sealed for one tenant, for code of your own on your own tables:

        async with tenant_transaction(pool, credential, request) as tx:
            rows = await (await tx.execute("select title from app.documents")).fetchall()

    Commits at the end, rolls back on an exception. The pool is one that `create_tenant_pool` made. BEGIN and the proof
    of the credential travel together. Raises `Problem` with status 401 when the credential is refused and 503 when the
    database cannot be reached; what your own statements raise is left as it is. The context ends with the transaction:
    after a commit of your own there is none, and every tenant's table is empty."""
    if not isinstance(pool, Pool):  # another one wipes nothing between two tenants
        raise TypeError("tenant_transaction needs a pool that create_tenant_pool made")
    async with AsyncExitStack() as stack:
        try:
            connection = await stack.enter_async_context(lend(pool))
            proof = credential.arguments() | origin(request) | {"p_call_id": None}
            try:
                await _begin(connection, credential, proof)
            except psycopg.Error as error:
                if error.sqlstate != NOT_COUNTED:
                    raise
                # A key that has a rate: its call is counted in a transaction of its own.
                await connection.execute("rollback")
                proof["p_call_id"] = uuid4()
                await connection.execute(_COUNT, proof)
                await _begin(connection, credential, proof)
        except psycopg.Error as error:
            raise _problem(SqlError.from_diagnostic(error.diag), credential.refusal) from error
        yield connection
        if connection.pgconn.transaction_status == TransactionStatus.INERROR:
            raise InFailedSqlTransaction("a statement failed and its error was swallowed: nothing can be committed")


async def _begin(
    connection: AsyncConnection[TupleRow], credential: Credential, proof: Mapping[str, bytes | str | UUID | None]
) -> None:
    # A BEGIN of psycopg's own, as outside of autocommit, would be waited for.
    async with connection.pipeline():
        await connection.execute("begin isolation level read committed read write")
        await connection.execute(_ENTER[credential.entry], proof)
