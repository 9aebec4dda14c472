"""What a request costs: proving a key and listing under row-level security, beside `SELECT 1`; `/healthz` in a storm of
log-ins."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from typing import Any, Final

from bench.harness import Bench, alternate, compare, load, request, spread

KEYS: Final = 20
LOG_INS: Final = 50
LOG_IN_BCRYPT_COST: Final = 12
"""As in production."""


def list_api_keys_beside_select_1(bench: Bench) -> dict[str, Any]:
    """`GET /api/v1/api-keys?limit=20`, by key, beside a route that runs `SELECT 1` on the same pool; 32 connections."""
    with bench.database() as database, database.api() as port:
        key = database.demo["api_key"]
        for number in range(KEYS):
            request(port, "POST", "/api/v1/api-keys", key, {"name": f"key {number}", "scopes": ["members:read"]})
        authorization = f"Authorization: Bearer {key}"
        path = f"/api/v1/api-keys?limit={KEYS}"
        load(port, path, connections=32, seconds=1, header=authorization)  # warm up: statements get prepared
        load(port, "/bench/select-1", connections=32, seconds=1)
        return compare(
            alternate(
                bench.rounds,
                lambda: load(port, path, connections=32, seconds=bench.seconds, header=authorization),
                lambda: load(port, "/bench/select-1", connections=32, seconds=bench.seconds),
            )
        )


def healthz_during_log_ins(bench: Bench) -> dict[str, Any]:
    """`GET /healthz` over 4 connections while 50 others log in without a pause, beside the same without them. What
    counts is how long one waits, not how many: bcrypt takes the processors that it is given (2)."""
    statuses = Counter[str]()
    with bench.database() as database, database.api(bcrypt_cost=LOG_IN_BCRYPT_COST) as port:
        load(port, "/healthz", connections=4, seconds=1)

        def during() -> dict[str, float]:
            command = [sys.executable, "-m", "bench.storm", "127.0.0.1", str(port)]
            command += ["--connections", str(LOG_INS), "--seconds", str(bench.seconds + 1)]
            storm = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            time.sleep(0.7)  # it has begun
            result = load(port, "/healthz", connections=4, seconds=bench.seconds)
            statuses.update(json.loads(storm.communicate(timeout=120)[0]))
            return result

        pairs = alternate(bench.rounds, during, lambda: load(port, "/healthz", connections=4, seconds=bench.seconds))
    if set(statuses) - {"401", "503"} or not statuses["401"]:
        raise RuntimeError(f"log-ins were answered {dict(statuses)}")
    return compare(pairs, "p99_ms") | {
        "log_ins": dict(statuses),
        "per_second_ratio": spread([a["per_second"] / b["per_second"] for a, b in pairs]),
    }


MEASUREMENTS: Final = (list_api_keys_beside_select_1, healthz_during_log_ins)
