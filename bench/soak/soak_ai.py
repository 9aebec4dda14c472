"""AI quotas while everything around them is killed: callers between reserve and settle, API processes, and PostgreSQL
as by a power cut. Afterwards nothing that was answered is lost, and, once the reservations have had their time,
counters equal the detail to the token."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Final

import psycopg

from bench.harness import Bench, Database, free_port
from limena.embedded import PostgresServer

SECONDS: Final = 40.0
PROCESSES: Final = 4
CALLERS: Final = 6
THREADS: Final = 4
POWER_CUTS: Final = 2
CEILING: Final = 20_000
"""Of one of the two tenants: it is reached in the middle."""


def main() -> None:
    dice = random.Random(11)
    with tempfile.TemporaryDirectory(prefix="limena-soak-") as folder:
        os.chmod(folder, 0o755)
        server = PostgresServer(Path(folder) / "postgres", settings={"max_connections": "200"})
        server.start()
        try:
            with Bench(server, 1, 1).database() as database:
                _soak(server, database, Path(folder), dice)
        finally:
            server.stop()


def _soak(server: PostgresServer, database: Database, folder: Path, dice: random.Random) -> None:
    with psycopg.connect(database.dsn()) as connection:
        connection.execute(
            "insert into limena.ai_settings (tenant_id, max_calls_per_hour, max_tokens_per_month)"
            " values (%s, 1000000, 1000000000), (%s, 1000000, %s)",
            [database.demo["tenant_id"], database.demo["second_tenant"]["tenant_id"], CEILING],
        )
    keys = [database.demo["api_key"], database.demo["second_tenant"]["api_key"]]
    ports = [free_port() for _ in range(PROCESSES)]
    apis = [database.start_api(port) for port in ports]
    ledgers = [folder / f"ledger-{number}" for number in range(CALLERS)]

    def start_caller(number: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "bench.soak.soak_ai", str(ledgers[number]), *map(str, ports)]
        return subprocess.Popen(command, env=os.environ | {"SOAK_KEY": keys[number % 2]})

    callers = [start_caller(number) for number in range(CALLERS)]
    killed = {"callers": 0, "API processes": 0, "PostgreSQL": 0}
    try:
        begun = time.monotonic()
        while (elapsed := time.monotonic() - begun) < SECONDS:
            time.sleep(dice.uniform(0.3, 0.9))
            number = dice.randrange(CALLERS)
            _kill(callers[number])
            callers[number] = start_caller(number)
            killed["callers"] += 1
            if elapsed > (killed["API processes"] + 1) * SECONDS / 8:
                number = dice.randrange(PROCESSES)
                _kill(apis[number])
                apis[number] = database.start_api(ports[number])
                killed["API processes"] += 1
            if elapsed > (killed["PostgreSQL"] + 1) * SECONDS / (POWER_CUTS + 1) and killed["PostgreSQL"] < POWER_CUTS:
                server.kill()
                server.start()
                killed["PostgreSQL"] += 1
    finally:
        for process in (*callers, *apis):
            _kill(process)
    print("killed: " + ", ".join(f"{what} {count}" for what, count in killed.items()))
    log = server.log_path.read_text(errors="replace")
    if "deadlock detected" in log:
        raise RuntimeError("PostgreSQL's log tells of a deadlock")
    _check(database, ledgers)


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def _check(database: Database, ledgers: list[Path]) -> None:
    settled: dict[str, int] = {}
    statuses: dict[int, int] = {}
    for ledger in ledgers:
        for line in ledger.read_text().splitlines():
            entry = json.loads(line)
            statuses[entry["status"]] = statuses.get(entry["status"], 0) + 1
            if entry.get("settled"):
                settled[entry["id"]] = entry["tokens"]
    print(f"answers: {dict(sorted(statuses.items()))}; {len(settled):,} settlements were confirmed")
    # 503 is the answer while PostgreSQL is away.
    if set(statuses) - {200, 201, 204, 429, 503} or not statuses.get(429):
        raise RuntimeError("an answer that must not be, or the ceiling was not reached")

    with psycopg.connect(database.dsn(), autocommit=True) as connection:
        _expect_none(connection, "right after")
        live = _one(connection, "select count(*) from limena.ai_reservations where state = 'live'")
        # Ten minutes later: what is live is overdue.
        connection.execute("update limena.ai_reservations set expires_at = clock_timestamp() where state = 'live'")
        connection.execute("update limena.ai_quotas set expires_at = clock_timestamp() where expires_at is not null")
        expire = "select count(limena.expire_reservations(d)) from limena.due_ai_quotas() as d"
        while _one(connection, expire):
            pass
        _expect_none(connection, "after the reservations' time")
        reserved = _one(connection, "select sum(reserved_tokens) from limena.ai_quotas")
        if reserved != 0:
            raise RuntimeError(f"{reserved} tokens stay reserved")
        logged: dict[str, int] = dict(
            connection.execute(
                "select id::text, prompt_tokens + completion_tokens from limena.ai_usage_logs"
                " where outcome = 'succeeded'"
            ).fetchall()
        )
        lost = [name for name, tokens in settled.items() if logged.get(name) != tokens]
        if lost:
            raise RuntimeError(f"{len(lost)} settlements were confirmed and are not in the log")
        calls = _one(connection, "select count(*) from limena.ai_usage_logs")
        print(f"{calls:,} calls; {live} were left by the killed and have expired; counters equal the detail")


def _one(connection: psycopg.Connection[Any], query: str) -> Any:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def _expect_none(connection: psycopg.Connection[Any], when: str) -> None:
    if findings := connection.execute("select * from limena.check_ai_quotas()").fetchall():
        raise RuntimeError(f"{when}: {findings[:5]}")


# A caller, as a process of its own


def call_forever(ledger: Path, ports: list[int]) -> None:
    """Reserves, waits, settles what was reserved at most, or releases it, or forgets it, without an end. What it is
    told it writes down before it goes on."""
    lock = threading.Lock()
    headers = {"Authorization": f"Bearer {os.environ['SOAK_KEY']}", "Content-Type": "application/json"}
    with ledger.open("a", buffering=1) as file:

        def ask(port: int, method: str, path: str, body: object, **entry: object) -> Any:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            try:
                connection.request(
                    method, f"/api/v1/ai/reservations{path}", json.dumps(body) if body else None, headers
                )
                answer = connection.getresponse()
                content = answer.read()
            except (OSError, http.client.HTTPException):
                return None  # killed: nobody knows what became of it
            finally:
                connection.close()
            told = {"status": answer.status, **({"settled": True, **entry} if entry and answer.status == 200 else {})}
            with lock:
                file.write(json.dumps(told) + "\n")
            return json.loads(content) if answer.status == 201 else None

        def work() -> None:
            dice = random.Random()
            while True:
                tokens = dice.randint(10, 200)
                made = ask(dice.choice(ports), "POST", "", {"model": "soak", "estimated_tokens": tokens})
                time.sleep(dice.uniform(0, 0.02))
                if made is None:
                    continue
                name, port = made["id"], dice.choice(ports)
                match dice.randrange(10):
                    case 0:
                        ask(port, "DELETE", f"/{name}", None)
                    case 1:
                        pass
                    case _:
                        used = {"prompt_tokens": tokens // 2, "completion_tokens": tokens // 3, "latency_ms": 5}
                        total = tokens // 2 + tokens // 3
                        ask(port, "POST", f"/{name}/settle", used, id=name, tokens=total)

        threads = [threading.Thread(target=work, daemon=True) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    call_forever(Path(sys.argv[1]), [int(port) for port in sys.argv[2:]])
