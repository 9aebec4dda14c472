"""The database away, restarting, or full: 503 with Retry-After, never 401, and service again without a restart of ours.

Would fail without the look at the socket before a pooled connection is used (`limena.pools.lend`), and without the
short reconnect timeout, after which a waiting request makes the pool try again at once."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from limena.deploy import deploy
from limena.embedded import PostgresServer
from support.api import Api, make_demo, serve
from support.databases import Database

PATIENCE = 20.0
"""Seconds after which a test gives up. What it takes is far less; `make bench` is where times are measured."""


IMPATIENT = {"LIMENA_POOL_TIMEOUT_SECONDS": "1"}


@pytest.fixture(scope="module")
def breakable(bin_dir: Path, new_folder: Callable[[], Path]) -> Iterator[Api]:
    """An API on a server of its own, which each test leaves running."""
    with PostgresServer(new_folder() / "pg", bin_dir, {"synchronous_commit": "off"}) as server:
        database = Database(server, "limena")
        deploy(database.dsn(), environment="development", echo=lambda line: None)
        with serve(database, make_demo(database), environment=IMPATIENT) as running:
            yield running


def unavailable(response: httpx.Response) -> None:
    assert response.status_code == 503, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == "unavailable"
    assert int(response.headers["retry-after"]) > 0


def until_served(client: httpx.Client, path: str) -> None:
    end = time.monotonic() + PATIENCE
    while (response := client.get(path)).status_code != 200:
        unavailable(response)
        assert time.monotonic() < end, "the API did not come back"


def test_down_and_up_again(breakable: Api) -> None:
    server, person = breakable.database.server, breakable.person()
    with person.client() as session, person.client(person.api_key) as program:
        for client in (session, program):
            assert client.get("/api/v1/me").status_code == 200
        server.stop()
        for client in (session, program):
            unavailable(client.get("/api/v1/me"))
            unavailable(client.post("/api/v1/api-keys", json={"name": "x", "scopes": ["ai:read"]}))
            unavailable(client.get("/api/v1/api-keys?limit=x"))  # who asks cannot be proved
            unavailable(client.get("/readyz"))
            assert client.get("/healthz").status_code == 200
        with breakable.client() as client:
            unavailable(client.post("/api/v1/auth/login", json={"email": person.email, "password": person.password}))
            assert client.get("/api/v1/me").status_code == 401  # shows nothing: no query is needed to refuse it
        server.start()
        for client in (session, program):
            until_served(client, "/api/v1/me")
        person.log_in()


def test_a_restart_while_idle_is_not_noticed_by_any_request(breakable: Api) -> None:
    """Each connection in the pool is dead, and no request fails for it."""
    server, person = breakable.database.server, breakable.person()
    with person.client() as client:
        threads = [threading.Thread(target=client.get, args=["/api/v1/members"]) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for stop in (server.stop, server.kill):
            stop()
            server.start()
            assert [client.get("/api/v1/me").status_code for _ in range(12)] == [200] * 12


def test_terminated_connections_are_replaced(breakable: Api) -> None:
    person = breakable.person()
    with person.client() as client, breakable.database.connect() as connection:
        for _ in range(5):
            assert client.get("/api/v1/me").status_code == 200
            terminated = connection.execute(
                "select array_agg(pid) from pg_stat_activity where usename = 'limena_app'"
            ).fetchone()
            connection.execute("select pg_terminate_backend(pid) from unnest(%s) as pid", terminated)
            there = "select count(*) from pg_stat_activity where pid = any (%s)"
            while connection.execute(there, terminated).fetchone() != (0,):
                time.sleep(0.01)
            assert client.get("/api/v1/me").status_code == 200


def test_started_with_the_database_down(breakable: Api) -> None:
    database = breakable.database
    dsn = {f"LIMENA_{role.upper()}_DSN": database.dsn(f"limena_{role}") for role in ("app", "auth")}
    database.server.stop()
    with ExitStack() as stack:
        late = stack.enter_context(serve(database, breakable.demo, environment=IMPATIENT | dsn))
        client = stack.enter_context(late.person().client(breakable.person().api_key))
        assert client.get("/healthz").status_code == 200
        unavailable(client.get("/readyz"))
        unavailable(client.get("/openapi.json"))
        unavailable(client.get("/api/v1/me"))
        database.server.start()
        for path in ("/api/v1/me", "/readyz", "/openapi.json"):
            until_served(client, path)


def test_an_outage_does_not_collect_waiting_requests(breakable: Api) -> None:
    """Once the pool knows that it can reach nobody, a request is told so long before the time that it would wait for a
    connection is over: 60 seconds here, twice as long as the client waits."""
    database = breakable.database
    dsn = {f"LIMENA_{role.upper()}_DSN": database.dsn(f"limena_{role}") for role in ("app", "auth")}
    database.server.stop()
    with ExitStack() as stack:
        stack.callback(database.server.start)
        patient = stack.enter_context(
            serve(database, breakable.demo, environment={"LIMENA_POOL_TIMEOUT_SECONDS": "60"} | dsn)
        )
        client = stack.enter_context(patient.person().client(breakable.person().api_key))
        end = time.monotonic() + PATIENCE
        while not patient.app.state.services.database.app_pool.is_down:
            assert time.monotonic() < end, "the pool does not notice"
            time.sleep(0.01)
        unavailable(client.get("/api/v1/me"))


def test_requests_at_a_start_without_a_database_do_not_queue(breakable: Api) -> None:
    """Nobody has read the procedures' signatures by then. Ten requests that wait for that one behind the other would
    take ten time-outs."""
    database = breakable.database
    dsn = {f"LIMENA_{role.upper()}_DSN": database.dsn(f"limena_{role}") for role in ("app", "auth")}
    database.server.stop()
    with ExitStack() as stack:
        stack.callback(database.server.start)
        late = stack.enter_context(serve(database, breakable.demo, environment=IMPATIENT | dsn))
        client = stack.enter_context(late.person().client(breakable.person().api_key))
        began = time.monotonic()
        with ThreadPoolExecutor(10) as threads:
            for response in threads.map(client.get, ["/api/v1/me"] * 10):
                unavailable(response)
        assert time.monotonic() - began < 3.5, "ten times half a second, or more"


def test_a_server_that_takes_no_more_connections(breakable: Api) -> None:
    """53300 when connecting: unavailable, not an internal error, and not 401."""
    with ExitStack() as stack:
        admin = stack.enter_context(breakable.database.connect())
        admin.execute("alter role limena_app connection limit 0")
        stack.callback(admin.execute, "alter role limena_app connection limit -1")
        late = stack.enter_context(serve(breakable.database, breakable.demo, environment=IMPATIENT))
        client = stack.enter_context(late.person().client(breakable.person().api_key))
        unavailable(client.get("/api/v1/me"))
        admin.execute("alter role limena_app connection limit -1")
        until_served(client, "/api/v1/me")


def test_a_statement_that_waits_too_long(breakable: Api) -> None:
    """A lock that someone holds: 503 when the statement's time is over, and fine after."""
    body = {"name": "x", "scopes": ["ai:read"]}
    environment = {"LIMENA_STATEMENT_TIMEOUT_MS": "300"}
    with ExitStack() as stack:
        impatient = stack.enter_context(serve(breakable.database, breakable.demo, environment=environment))
        client = stack.enter_context(impatient.person().client(breakable.person().api_key))
        holder = stack.enter_context(breakable.database.connect(autocommit=False))
        holder.execute("lock table limena.api_keys in share mode")
        unavailable(client.post("/api/v1/api-keys", json=body))
        holder.rollback()
        assert client.post("/api/v1/api-keys", json=body).status_code == 201
