"""What a rotation of the master key takes: credentials a second, and memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any, Final

from bench import credentials
from bench.harness import Bench, Database, alternate, compare, spread
from limena.master_key_files import new_entry

MANY: Final = 10_000
FEW: Final = 1_000


def rotate_ten_thousand_credentials(bench: Bench) -> dict[str, Any]:
    """`limena master-key rotate` over 10,000 credentials of 1,000 tenants, beside the same over 1,000 of 100: the rate,
    the process's start included, and the most memory that it had. Each change is audited in its tenant's log."""
    with bench.database() as many, bench.database() as few:
        newest = new_entry(1)
        for database, count in ((many, MANY), (few, FEW)):
            credentials.make(database.dsn(), count, newest)
        versions = {many.name: newest, few.name: newest}

        def side(database: Database, count: int) -> dict[str, float]:
            old = versions[database.name]
            new = versions[database.name] = new_entry(int(old.partition(":")[0]) + 1)
            return _rotate(database, f"{new} {old}", count)

        pairs = alternate(bench.rounds, lambda: side(many, MANY), lambda: side(few, FEW))
        for database, count in ((many, MANY), (few, FEW)):
            newest = versions[database.name]
            if credentials.check(database.dsn(), newest) != {int(newest.partition(":")[0]): count}:
                raise RuntimeError("something is left under an old key")
    return compare(pairs) | {"memory_ratio": spread([a["peak_mib"] / b["peak_mib"] for a, b in pairs])}


def _rotate(database: Database, keys: str, count: int) -> dict[str, float]:
    environment = os.environ | {
        "LIMENA_ENV": "development",
        "LIMENA_MAINTENANCE_DSN": database.dsn("limena_maintenance"),
        "LIMENA_MASTER_KEYS": keys,
    }
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "limena.cli", "master-key", "rotate"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"limena master-key rotate ended with {process.returncode}")
    return {"per_second": count / seconds, "seconds": seconds, "peak_mib": usage.ru_maxrss / 1024}


MEASUREMENTS: Final = (rotate_ten_thousand_credentials,)
