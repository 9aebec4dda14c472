"""What counting costs: AI reservations beside the least that an exact count can be, one UPDATE a transaction; what
a tenant that is paused and goes on asking costs its neighbour; and what looking at all tenants costs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any, Final

import psycopg

from bench.harness import Bench, Database, alternate, compare, load, request
from limena.embedded import embedded_bin_dir

CLIENTS: Final = 16
TENANTS: Final = 1000
NEIGHBOURS: Final = 4
HAMMERERS: Final = 16
WAITERS: Final = 64

_SETUP: Final = """
insert into limena.users (email, display_name, password_hash)
values ('bench@ai.example', 'bench', '$2b$04$' || repeat('.', 53));
insert into limena.tenants (id, name)
select md5('bench ' || n)::uuid, 'bench ' || n from generate_series(1, 1000) as n;
insert into limena.memberships (tenant_id, user_id, role)
select md5('bench ' || n)::uuid, u.id, 'owner'
from limena.users as u, generate_series(1, 1000) as n where u.email = 'bench@ai.example';
insert into limena.api_keys (tenant_id, id, name, prefix, last_four, scopes, key_hash, created_by)
select m.tenant_id, m.tenant_id, 'bench', 'lmn_abcdef', '0000', '{ai:use}', sha256(uuid_send(m.tenant_id)), m.user_id
from limena.memberships as m inner join limena.users as u on m.user_id = u.id where u.email = 'bench@ai.example';
insert into limena.ai_settings (tenant_id, max_calls_per_hour, max_tokens_per_month)
select t.id, 1000000, 1000000000000000 from limena.tenants as t where t.name like 'bench %';
insert into limena.ai_quotas (tenant_id, as_of)
select t.id, clock_timestamp() from limena.tenants as t where t.name like 'bench %';
create table public.bare (tenant_id uuid primary key, used bigint not null, ceiling bigint not null)
with (fillfactor = 50);
insert into public.bare select t.id, 0, 1000000000000000 from limena.tenants as t where t.name like 'bench %';
analyze;
"""
_RESERVE: Final = """
select limena.reserve_ai_call('bench', 10)
from limena.enter_api_key(sha256(uuid_send(md5('bench ' || :n)::uuid)));
"""
_BARE: Final = """
update public.bare set used = used + 10 where tenant_id = md5('bench ' || :n)::uuid and used + 10 <= ceiling;
"""


@contextmanager
def _tenants(bench: Bench) -> Iterator[Database]:
    with bench.database() as database:
        with psycopg.connect(database.dsn()) as connection:
            connection.execute(_SETUP)
        yield database


def _pgbench(dsn: str, script: str, tenants: int, seconds: float) -> dict[str, float]:
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(f"\\set n random(1, {tenants})\n{script}")
        file.flush()
        command = [str(Path(embedded_bin_dir()) / "pgbench"), "--no-vacuum", "--protocol=prepared", "--jobs=2"]
        command += [f"--client={CLIENTS}", f"--time={max(1, round(seconds))}", f"--file={file.name}", dsn]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode or "number of failed transactions: 0 " not in done.stdout:
        raise RuntimeError(done.stdout + done.stderr)
    tps, latency = re.search(r"tps = ([0-9.]+)", done.stdout), re.search(r"latency average = ([0-9.]+)", done.stdout)
    assert tps is not None
    assert latency is not None
    return {"per_second": float(tps[1]), "average_ms": float(latency[1])}


def _reservations(bench: Bench, tenants: int) -> dict[str, Any]:
    with _tenants(bench) as database:
        app, superuser = database.dsn("limena_app"), database.dsn()
        _pgbench(app, _RESERVE, TENANTS, 2)  # last uses are written, pages are in memory
        result = compare(
            alternate(
                bench.rounds,
                lambda: _pgbench(app, _RESERVE, tenants, bench.seconds),
                lambda: _pgbench(superuser, _BARE, tenants, bench.seconds),
            )
        )
        with psycopg.connect(database.dsn()) as connection:
            if findings := connection.execute("select * from limena.check_ai_quotas()").fetchall():
                raise RuntimeError(f"the counters are not the detail: {findings[:3]}")
        return result


def reservations_of_one_tenant(bench: Bench) -> dict[str, Any]:
    """`reserve_ai_call` for one tenant, entering with a key included, beside one bare `UPDATE … WHERE used + n <=
    ceiling` of one row; 16 clients of pgbench, one transaction each, synchronous commit."""
    return _reservations(bench, 1)


def reservations_of_1000_tenants(bench: Bench) -> dict[str, Any]:
    """The same over 1,000 tenants."""
    return _reservations(bench, TENANTS)


def _reserve(port: int, key: str, connections: int, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bench.load", "127.0.0.1", str(port), "/api/v1/ai/reservations"]
    command += [
        "--connections",
        str(connections),
        "--seconds",
        str(seconds),
        "--header",
        f"Authorization: Bearer {key}",
    ]
    command += ["--body", json.dumps({"model": "bench", "estimated_tokens": 1})]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _answers(load: subprocess.Popen[str], *statuses: str) -> dict[str, float]:
    result = json.loads(load.communicate(timeout=120)[0])
    if not set(result["statuses"]) <= set(statuses):
        raise RuntimeError(f"answered {result['statuses']}")
    return {
        "per_second": result["requests"] / result["seconds"],
        "p50_ms": result["p50_ms"],
        "p99_ms": result["p99_ms"],
    }


def neighbour_of_a_paused_tenant(bench: Bench) -> dict[str, Any]:
    """Reservations of one tenant over 4 connections while another one, which is paused, asks over 16 connections
    without a break, beside the same without it; one API process."""
    with bench.database() as database, database.api() as port:
        key, paused = database.demo["api_key"], database.demo["second_tenant"]["api_key"]
        with psycopg.connect(database.dsn()) as connection:
            connection.execute(
                "insert into limena.ai_settings (tenant_id, max_calls_per_hour) values (%s, 1000000), (%s, 1)",
                [database.demo["tenant_id"], database.demo["second_tenant"]["tenant_id"]],
            )
        request(port, "POST", "/api/v1/ai/reservations", paused, {"model": "bench", "estimated_tokens": 1})
        _answers(_reserve(port, key, NEIGHBOURS, 1), "201")

        def alone() -> dict[str, float]:
            return _answers(_reserve(port, key, NEIGHBOURS, bench.seconds), "201")

        def hammered() -> dict[str, float]:
            hammer = _reserve(port, paused, HAMMERERS, bench.seconds + 1)
            during = alone()
            refused = _answers(hammer, "429")["per_second"]
            return during | {"refused_per_second": refused}

        pairs = alternate(bench.rounds, hammered, lambda: alone() | {"refused_per_second": 0.0})
        return compare(pairs, ratio_of="p99_ms")


@contextmanager
def _held(dsn: str, tenant_id: str) -> Iterator[None]:
    """Somebody with SQL of their own has a tenant's quota, 0.9 seconds at a time."""
    is_over = threading.Event()

    def hold() -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            while not is_over.is_set():
                with connection.transaction():
                    connection.execute("select from limena.ai_quotas where tenant_id = %s for update", [tenant_id])
                    is_over.wait(0.9)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _neighbour(bench: Bench, *, is_held: bool) -> dict[str, Any]:
    with bench.database() as database, database.api() as port:
        key, busy = database.demo["api_key"], database.demo["second_tenant"]["api_key"]
        tenant_ids = [database.demo["tenant_id"], database.demo["second_tenant"]["tenant_id"]]
        with psycopg.connect(database.dsn()) as connection:
            connection.execute(
                "insert into limena.ai_settings (tenant_id, max_calls_per_hour, max_tokens_per_month)"
                " select t.id, 1000000, 1000000000000 from unnest(%s::uuid[]) as t (id)",
                [tenant_ids],
            )
        for one in (key, busy):
            _answers(_reserve(port, one, NEIGHBOURS, 1), "201")

        def alone() -> dict[str, float]:
            return _answers(_reserve(port, key, NEIGHBOURS, bench.seconds), "201")

        def beside() -> dict[str, float]:
            with _held(database.dsn(), tenant_ids[1]) if is_held else nullcontext():
                others = _reserve(port, busy, WAITERS, bench.seconds + 2)
                time.sleep(1)
                during = alone()
                return during | {"others_per_second": _answers(others, "201", "503")["per_second"]}

        pairs = alternate(bench.rounds, beside, lambda: alone() | {"others_per_second": 0.0})
        return compare(pairs, ratio_of="p99_ms")


def neighbour_of_a_busy_tenant(bench: Bench) -> dict[str, Any]:
    """Reservations of one tenant over 4 connections while another one reserves over 64, beside the same without it; one
    API process."""
    return _neighbour(bench, is_held=False)


def neighbour_of_a_tenant_whose_row_is_held(bench: Bench) -> dict[str, Any]:
    """The same while SQL of the other tenant's own keeps its quota locked, 0.9 seconds at a time, so that its 64
    callers wait or get a 503."""
    return _neighbour(bench, is_held=True)


_USED_TENANTS: Final = """
insert into limena.tenants (id, name, created_at)
select md5('used ' || n)::uuid, 'used ' || n, now() - make_interval(mins => n)
from generate_series(1, %(tenants)d) as n;
insert into limena.ai_quotas (tenant_id, as_of, calls, recent_calls, used_tokens)
select t.id, now() - make_interval(mins => n %% 120), array_fill(1, array[61]), 61, n * 1000
from generate_series(1, %(tenants)d) as n inner join limena.tenants as t on t.name = 'used ' || n;
insert into limena.ai_usage_days (
    tenant_id, day, actor_type, actor_id, model, outcome, calls, prompt_tokens, completion_tokens, latency_ms
)
select t.id, current_date - d, 'user', t.id, m, 'succeeded', 10, 1000, 1000, 1000
from generate_series(29, 0, -1) as d, limena.tenants as t, unnest(array['model a', 'model b']) as m
where t.name like 'used %%';
"""


def _admin_token(port: int, person: Mapping[str, str]) -> str:
    base_url = f"http://127.0.0.1:{port}/api/v1/auth"
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    with browser.open(f"{base_url}/csrf", timeout=30) as answer:
        headers = {"X-CSRF-Token": json.load(answer)["csrf_token"], "Content-Type": "application/json"}
    body = json.dumps({"email": person["email"], "password": person["password"]}).encode("utf-8")
    with browser.open(urllib.request.Request(f"{base_url}/login", body, headers), timeout=30) as answer:
        token: str = json.load(answer)["access_token"]
        return token


def admin_usage_of_10000_tenants(bench: Bench) -> dict[str, Any]:
    """A platform admin's first page of 50 tenants by each of the four sorts in turn, of 10,000 tenants with 30 days of
    usage each, beside the same of 100; p50, declaring the access included, over one connection."""
    with bench.database() as many, bench.database() as few, many.api() as many_port, few.api() as few_port:
        for database, tenants in ((many, 10_000), (few, 100)):
            with psycopg.connect(database.dsn(), autocommit=True) as connection:
                connection.execute((_USED_TENANTS % {"tenants": tenants}).encode("ascii"))
                connection.execute("vacuum analyze")

        def measure(database: Database, port: int) -> dict[str, float]:
            header = f"Authorization: Bearer {_admin_token(port, database.demo['platform_admin'])}"
            found: dict[str, float] = {}
            for sort in ("tokens", "percent", "calls", "created"):
                path = f"/api/v1/admin/usage?sort={sort}"
                figures = load(port, path, connections=1, seconds=bench.seconds / 4, header=header)
                found[f"p50_ms_by_{sort}"] = figures["p50_ms"]
            return found | {"p50_ms": max(found.values())}

        pairs = alternate(bench.rounds, lambda: measure(many, many_port), lambda: measure(few, few_port))
        return compare(pairs, ratio_of="p50_ms")


MEASUREMENTS: Final = (
    reservations_of_one_tenant,
    reservations_of_1000_tenants,
    neighbour_of_a_paused_tenant,
    neighbour_of_a_busy_tenant,
    neighbour_of_a_tenant_whose_row_is_held,
    admin_usage_of_10000_tenants,
)
