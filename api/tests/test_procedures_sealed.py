"""For every procedure of every route: nothing of it runs before the context is sealed, and nothing at all when the
credential is refused.

The plan would have to change for that to break: a procedure that is inlined, or folded into a constant while planning,
or moved below the scan of `enter_…`. So the plans are looked at, of the very statements that the API prepares, as
custom and as generic plans, with parallel query forced. And bodies that leave a trace show what was called.
"""

import asyncio
import secrets
from collections.abc import Callable, Iterator
from typing import Any, LiteralString

import psycopg
import pytest

from limena.app import procedures_of
from limena.procedures import Catalog, CatalogError, Statement, read_catalog
from limena.routes import ENDPOINTS
from limena.routing import ProcedureRoute, fields_of
from limena.transaction import ApiKeyCredential, SessionCredential
from limena.values import Wire, encode
from support.databases import Database

ENTRIES = (SessionCredential.entry, ApiKeyCredential.entry)
ROUTES = [one for one in ENDPOINTS if isinstance(one, ProcedureRoute)]
NAMES = {"require", "record_denial", "current_tenant_id"}
PROCEDURES = sorted({name for route in ROUTES for name in (route.procedure, route.called)} | NAMES)

Connection = psycopg.Connection[tuple[Any, ...]]


def catalog_of(database: Database, names: set[str] | None = None) -> Catalog:
    async def read() -> Catalog:
        async with await psycopg.AsyncConnection.connect(database.dsn("limena_app"), autocommit=True) as connection:
            return await read_catalog(connection, (names or procedures_of(ENDPOINTS)) | {*ENTRIES, *NAMES})

    return asyncio.run(read())


@pytest.fixture(scope="module")
def catalog(database: Database) -> Catalog:
    return catalog_of(database)


@pytest.fixture
def app(database: Database) -> Iterator[Connection]:
    with database.connect("limena_app") as connection:
        yield connection


def values_of(statement: Statement) -> list[Wire]:
    """Something for each parameter, and a credential that nobody has."""
    samples = {
        "uuid": encode("11111111-1111-4111-8111-111111111111"),
        "text[]": b"{ai:read}",
        "bytea": encode(secrets.token_bytes(32)),
        "integer": b"50",
    }
    return [
        samples.get(argument.type.cast, b"x" if argument.required else None)
        for argument in (*statement.arguments, *statement.entry)
    ]


def explain(connection: Connection, statement: Statement) -> list[str]:
    literals = ", ".join("null" if value is None else f"'{value.decode()}'" for value in values_of(statement))
    connection.execute(b"prepare under_test as " + statement.text)
    rows = connection.execute(f"explain (verbose, costs off) execute under_test ({literals})".encode()).fetchall()
    connection.execute("deallocate under_test")
    return [row[0] for row in rows]


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("procedure", PROCEDURES)
@pytest.mark.parametrize("plan_cache_mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("is_parallel", [False, True])
def test_the_procedure_runs_on_top_of_the_proof(
    app: Connection, catalog: Catalog, procedure: str, entry: str, plan_cache_mode: str, is_parallel: bool
) -> None:
    app.execute(f"set plan_cache_mode = {plan_cache_mode}".encode())
    if is_parallel:
        forced = "debug_parallel_query" if app.info.server_version >= 160000 else "force_parallel_mode"
        app.execute(f"set {forced} = on; set parallel_setup_cost = 0; set parallel_tuple_cost = 0".encode())
    plan = explain(app, catalog.statement(procedure, entry))
    # One node: the scan of enter_…; what it puts out is the procedure's call; what it calls is the proof.
    assert plan[0] == f"Function Scan on limena.{entry}", plan
    assert plan[1].strip().startswith(f"Output: (limena.{procedure}("), plan
    assert plan[2].strip().startswith(f"Function Call: limena.{entry}("), plan
    assert len(plan) == 3, plan


@pytest.mark.parametrize("procedure", [*PROCEDURES, *ENTRIES])
def test_no_procedure_can_be_inlined_or_folded(database: Database, procedure: str) -> None:
    """PostgreSQL inlines SQL functions, folds immutable ones, and skips strict ones. These are none of that."""
    with database.connect() as connection:
        rows = connection.execute(
            """
            select l.lanname, p.provolatile in ('s', 'v'), p.proisstrict, p.prosupport = 0::oid, p.proretset
            from pg_proc as p
            inner join pg_language as l on p.prolang = l.oid
            where p.pronamespace = 'limena'::regnamespace and p.proname = %s
            """,
            [procedure],
        ).fetchall()
    assert rows == [("plpgsql", True, False, True, False)]


def test_with_a_refused_credential_nothing_was_called(fresh_database: Callable[[], Database], catalog: Catalog) -> None:
    """Each procedure, with its own attributes, gets a body that leaves a trace which no rollback takes back: it draws
    from a sequence. (PostgreSQL's own counters of function calls leave out the calls that raised.)"""
    database = fresh_database()
    with database.connect() as owner, database.connect("limena_app") as app:
        owner.execute("create sequence public.trace; grant usage on sequence public.trace to limena_app, limena_owner")
        owner.execute("grant usage on schema public to limena_app, limena_owner")
        owner.execute("select tests.make_tenants(), tests.make_api_key('a')")
        genuine = one(owner, "select tests.key_hash('a')")
        for procedure in PROCEDURES:
            definition = one(
                owner,
                "select pg_get_functiondef(p.oid) from pg_proc as p"
                " where p.pronamespace = 'limena'::regnamespace and p.proname = %s",
                procedure,
            )
            head, quote, _ = definition.partition("AS $function$")
            assert quote
            result = "" if "RETURNS void" in head else "return null;"
            owner.execute(f"{head} as $$ begin perform nextval('public.trace'); {result} end $$".encode())
            untouched = one(owner, TRACE)
            for entry in ENTRIES:
                with pytest.raises(psycopg.errors.InvalidAuthorizationSpecification):
                    run(app, catalog.statement(procedure, entry), secrets.token_bytes(32))
                assert one(owner, TRACE) == untouched, f"{procedure} ran although {entry} refused"
            run(app, catalog.statement(procedure, ApiKeyCredential.entry), genuine)
            assert one(owner, TRACE) > untouched, "the trace traces nothing: this test would prove nothing"


TRACE = "select last_value + is_called::integer from public.trace"


def one(connection: Connection, query: LiteralString, *parameters: object) -> Any:
    row = connection.execute(query, parameters).fetchone()
    assert row is not None
    return row[0]


def run(connection: Connection, statement: Statement, secret: bytes) -> None:
    values = values_of(statement)
    values[len(statement.arguments)] = encode(secret)
    result = connection.pgconn.exec_params(statement.text, values)
    if result.status != psycopg.pq.ExecStatus.TUPLES_OK:
        raise psycopg.errors.error_from_result(result)


def test_every_route_fits_its_procedure(catalog: Catalog) -> None:
    """The contract between Python and pg_proc: no argument is missing, none is there without being declared."""
    for route in ROUTES:
        fields_of(route, catalog)


def test_a_route_that_does_not_fit_is_refused(catalog: Catalog) -> None:
    def route(**fields: Any) -> ProcedureRoute:
        return ProcedureRoute(method="GET", path="/x", tag="x", summary="x", permission=None, answer=None, **fields)

    for wrong in [
        route(procedure="list_members", query=("limit",)),
        route(procedure="list_members", query=("limit", "after", "more")),
        route(procedure="revoke_api_key"),
        route(
            procedure="create_api_key", query=("name", "scopes", "expires_at"), made=("prefix", "last_four", "key_hash")
        ),
        route(procedure="create_api_key", body=("name", "scopes", "expires_at", "prefix", "last_four", "key_hash")),
    ]:
        with pytest.raises(CatalogError):
            fields_of(wrong, catalog)


@pytest.mark.parametrize(
    ("signature", "what"),
    [
        ("made_for_a_test(p_a interval)", "type"),
        ("made_for_a_test(p_a text default 'x'::text || 'y')", "default"),
        ("made_for_a_test(text)", "name"),
    ],
)
def test_what_the_api_cannot_call_is_refused(fresh_database: Callable[[], Database], signature: str, what: str) -> None:
    database = fresh_database()
    with database.connect() as connection:
        connection.execute(
            f"create function limena.{signature} returns jsonb language plpgsql as 'begin return null; end'".encode()
        )
    with pytest.raises(CatalogError, match=what):
        catalog_of(database, {"made_for_a_test"})


def test_two_procedures_of_one_name_are_refused(fresh_database: Callable[[], Database]) -> None:
    database = fresh_database()
    with database.connect() as connection:
        for argument in ("p_a text", "p_a uuid"):
            connection.execute(
                f"create function limena.twin({argument}) returns jsonb language plpgsql"
                " as 'begin return null; end'".encode()
            )
    with pytest.raises(CatalogError, match="more than one"):
        catalog_of(database, {"twin"})


def test_a_missing_procedure_is_named(database: Database) -> None:
    with pytest.raises(CatalogError, match=r"no limena\.not_there"):
        catalog_of(database, {"not_there"})
