"""What proving an API key costs as their number grows, and what counting its calls adds."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg import Connection

from bench.harness import Bench, alternate, compare, load, request

TENANTS: Final = 1_000
FEW: Final = 1_000
MANY: Final = 100_000

# The last use is of this minute, so that nothing is written: that is rare, and the same for few and for many.
_SETUP: Final = """
insert into limena.users (email, display_name, password_hash)
values ('bench@keys.example', 'bench', '$2b$04$' || repeat('.', 53));
insert into limena.tenants (id, name)
select md5('bench ' || n)::uuid, 'bench ' || n from generate_series(0, 999) as n;
insert into limena.memberships (tenant_id, user_id, role)
select md5('bench ' || n)::uuid, u.id, 'owner'
from limena.users as u, generate_series(0, 999) as n where u.email = 'bench@keys.example';
insert into limena.api_keys (tenant_id, id, name, prefix, last_four, scopes, key_hash, created_by, created_at)
select
    md5('bench ' || n % 1000)::uuid, md5('key ' || n)::uuid, 'bench', 'lmn_abcdef', '0000', '{members:read}',
    sha256(('key ' || n)::bytea), u.id, now() - interval '1 day'
from limena.users as u, generate_series(0, KEYS - 1) as n where u.email = 'bench@keys.example';
update limena.api_key_uses as u
set last_used_at = now() + interval '1 day'
from limena.api_keys as k
where u.tenant_id = k.tenant_id and u.api_key_id = k.id and k.name = 'bench';
"""
_PROVE: Final = "select true from limena.enter_api_key(sha256(('key ' || %s)::bytea))"


@contextmanager
def _prover(bench: Bench, keys: int) -> Iterator[Callable[[], dict[str, float]]]:
    """Proves keys at random, one after the other, over one connection, as limena_app."""
    with bench.database() as database:
        with psycopg.connect(database.dsn(), autocommit=True) as connection:
            # The triggers of the log would take longer than all the rest, and are not what is measured.
            connection.execute("set session_replication_role = replica")
            connection.execute(_SETUP.replace("KEYS", str(keys)).encode())
            connection.execute("vacuum analyze")
        with psycopg.connect(database.dsn("limena_app"), autocommit=True, prepare_threshold=0) as connection:
            chosen = random.Random(1)

            def prove() -> dict[str, float]:
                return _prove(connection, chosen, keys, bench.seconds)

            prove()
            yield prove


def _prove(connection: Connection[Any], chosen: random.Random, keys: int, seconds: float) -> dict[str, float]:
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        number = str(chosen.randrange(keys))
        started = time.perf_counter()
        connection.execute(_PROVE, [number])
        times.append(time.perf_counter() - started)
    cuts = statistics.quantiles(times, n=100)
    return {"p50_us": cuts[49] * 1e6, "p99_us": cuts[98] * 1e6, "per_second": len(times) / seconds}


def proving_one_of_100_000_keys_beside_one_of_1_000(bench: Bench) -> dict[str, Any]:
    """`select … from limena.enter_api_key(…)` of a key at random, with 100,000 keys over 1,000 tenants, beside the same
    with 1,000 keys over as many tenants; one connection. The ratio is of the medians of times: at most 1.2."""
    with _prover(bench, MANY) as many, _prover(bench, FEW) as few:
        return compare(alternate(bench.rounds, many, few), "p50_us")


def a_counted_key_beside_an_uncounted_one(bench: Bench) -> dict[str, Any]:
    """`GET /api/v1/me` with a key that has a rate, beside one that has none; one connection, so that what is seen is
    the second transaction in the same round trip, and its commit."""
    with bench.database() as database, database.api() as port:
        owner = database.demo["api_key"]
        body = {"name": "bench", "scopes": ["members:read"]}
        plain = request(port, "POST", "/api/v1/api-keys", owner, body)["key"]
        rated = request(port, "POST", "/api/v1/api-keys", owner, body | {"calls_per_minute": 100_000})["key"]

        def ask(key: str) -> dict[str, float]:
            return load(port, "/api/v1/me", connections=1, seconds=bench.seconds, header=f"Authorization: Bearer {key}")

        ask(rated), ask(plain)
        return compare(alternate(bench.rounds, lambda: ask(rated), lambda: ask(plain)), "p50_ms")


MEASUREMENTS: Final = (proving_one_of_100_000_keys_beside_one_of_1_000, a_counted_key_beside_an_uncounted_one)
