"""What the audit log costs whoever writes, and whoever reads it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg

from bench.harness import Bench, Database, Sides, compare, free_port

_BULK_ROWS: Final = 1000
_EXPORTED_ROWS: Final = 200_000
_MANY_ROWS: Final = 1_000_000
_CHUNK: Final = 262_144

_INSERT: Final = """
    insert into limena.api_keys (tenant_id, name, prefix, last_four, scopes, key_hash, created_by)
    select m.tenant_id, 'bench', 'lmn_abcdef', '0000', '{tenant:read}',
        sha256(uuid_send(gen_random_uuid()) || int8send(g)), m.user_id
    from generate_series(1, %s) as g
    cross join (select * from limena.memberships where role = 'owner' limit 1) as m
"""


@contextmanager
def _audited(connection: psycopg.Connection[Any], is_on: bool) -> Iterator[None]:
    verb = "enable" if is_on else "disable"
    connection.execute(f"alter table limena.api_keys {verb} trigger audit_insert".encode())
    try:
        yield
    finally:
        connection.execute("alter table limena.api_keys enable trigger audit_insert")


def _inserts(connection: psycopg.Connection[Any], rows: int, seconds: float) -> dict[str, float]:
    """Statements of so many rows, each committed, for so long."""
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        started = time.perf_counter()
        connection.execute(_INSERT.encode(), [rows])
        taken.append(time.perf_counter() - started)
    return {"per_second": rows * len(taken) / sum(taken), "ms": 1000 * sorted(taken)[len(taken) // 2]}


def _beside_unaudited(bench: Bench, rows: int) -> dict[str, Any]:
    sides: list[Sides] = []
    with bench.database() as database, psycopg.connect(database.dsn(), autocommit=True) as connection:
        connection.execute("set synchronous_commit = on")
        for is_on in (True, False):
            with _audited(connection, is_on):
                _inserts(connection, rows, bench.seconds / 4)
        for _ in range(bench.rounds):
            with _audited(connection, True):
                audited = _inserts(connection, rows, bench.seconds)
            with _audited(connection, False):
                unaudited = _inserts(connection, rows, bench.seconds)
            sides.append((audited, unaudited))
    return compare(sides, "per_second")


def audited_insert(bench: Bench) -> dict[str, Any]:
    """An insert of one row with synchronous commit, with the audit trigger on, beside the same with it off."""
    return _beside_unaudited(bench, 1)


def audited_bulk_insert(bench: Bench) -> dict[str, Any]:
    """An insert of 1,000 rows, with the audit trigger on, beside the same with it off."""
    return _beside_unaudited(bench, _BULK_ROWS)


def sealing_beside_writers(bench: Bench) -> dict[str, Any]:
    """Four writers of single audited rows while the sealer runs every second, beside the same without a sealer."""

    def write(database: Database, is_sealed: bool) -> dict[str, float]:
        stop, counts = threading.Event(), [0] * 4

        def writer(number: int) -> None:
            with psycopg.connect(database.dsn(), autocommit=True) as connection:
                while not stop.is_set():
                    connection.execute(_INSERT.encode(), [1])
                    counts[number] += 1

        def sealer() -> None:
            with psycopg.connect(database.dsn("limena_maintenance"), autocommit=True) as connection:
                while not stop.wait(1):
                    connection.execute("select limena.seal_audit_log()")

        threads = [threading.Thread(target=writer, args=(number,)) for number in range(4)]
        threads += [threading.Thread(target=sealer)] if is_sealed else []
        started = time.perf_counter()
        for thread in threads:
            thread.start()
        time.sleep(bench.seconds)
        stop.set()
        for thread in threads:
            thread.join()
        return {"per_second": sum(counts) / (time.perf_counter() - started)}

    with bench.database() as database:
        sides = [(write(database, True), write(database, False)) for _ in range(bench.rounds)]
    return compare(sides, "per_second")


def _fill(database: Database, rows: int) -> None:
    with psycopg.connect(database.dsn(), autocommit=True) as connection:
        connection.execute(
            """
            insert into limena.audit_logs (
                tenant_id, occurred_at, seq, id, action, actor_type, actor_id, actor_label, entity_type, entity_id,
                changes, request_id, ip, user_agent
            )
            select m.tenant_id, clock_timestamp(), nextval('limena.audit_logs_seq_seq'), gen_random_uuid(),
                'api_key.created', 'user', m.user_id, 'somebody@example.com', 'api_key', gen_random_uuid(),
                '{"name": [null, "deploys"], "scopes": [null, ["tenant:read", "members:read"]]}',
                gen_random_uuid(), '192.0.2.1', 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0'
            from generate_series(1, %s)
            cross join (select * from limena.memberships where tenant_id = %s and role = 'owner') as m
            """,
            [rows, database.demo["tenant_id"]],
        )
        connection.execute("vacuum analyze limena.audit_logs")


def _download(port: int, key: str, pause: float = 0.0) -> tuple[float, int]:
    """The export's time and size; with a pause (seconds) after each chunk that was read."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/v1/audit-logs.csv", headers={"Authorization": f"Bearer {key}"}
    )
    started, size = time.perf_counter(), 0
    with urllib.request.urlopen(request, timeout=600) as answer:
        while chunk := answer.read(_CHUNK):
            size += len(chunk)
            if pause:
                time.sleep(pause)
    return time.perf_counter() - started, size


def csv_export(bench: Bench) -> dict[str, Any]:
    """The export over HTTP, in MB a second, beside psql running the same statement to a file."""
    sides: list[Sides] = []
    with bench.database() as database, database.api() as port, tempfile.TemporaryDirectory() as folder:
        _fill(database, _EXPORTED_ROWS)
        script = Path(folder) / "export.sql"
        key = database.demo["api_key"]
        script.write_text(
            "begin;\n"
            f"select limena.enter_api_key('\\x{_hash_of(key)}');\n"
            "select limena.begin_audit_export();\n"
            f"\\copy (select * from limena.audit_export) to '{folder}/log.csv' (format csv, header)\n"
            "commit;\n"
        )
        psql = [str(database.server.bin_dir / "psql"), "-X", "-q", "-d", database.dsn("limena_app"), "-f", str(script)]
        for _ in range(bench.rounds):
            seconds, size = _download(port, key)
            started = time.perf_counter()
            subprocess.run(psql, check=True, capture_output=True)
            beside = time.perf_counter() - started
            written = os.path.getsize(f"{folder}/log.csv")
            # psql ends a record with one byte, the answer with two.
            if abs(written + _EXPORTED_ROWS - size) > 100_000:
                raise RuntimeError(f"the answer has {size} bytes, psql's file {written}")
            sides.append(({"mb_per_second": written / seconds / 1e6}, {"mb_per_second": written / beside / 1e6}))
    return compare(sides, "mb_per_second")


class _Peak(threading.Thread):
    """The most memory of its own that a process had between `start` and `stop`, looked at every 5 milliseconds."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid: Final = pid
        self._is_over: Final = threading.Event()
        self.mib = 0.0

    def run(self) -> None:
        while not self._is_over.wait(0.005):
            self.mib = max(self.mib, _memory(self._pid, "RssAnon"))

    def stop(self) -> float:
        self._is_over.set()
        self.join()
        return self.mib


def _memory(pid: int, field: str) -> float:
    """In MiB, as Linux counts it: `VmRSS` all that is resident, `VmHWM` the most of that since the count was reset,
    `RssAnon` without files and without what is shared with other processes."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) / 1024


def _reset_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def csv_export_memory(bench: Bench) -> dict[str, Any]:
    """The most resident memory of the API's process while it exports 1,000,000 rows, beside the same process before: to
    a client that reads as fast as it can, and to one that reads 256 KiB and pauses. above_idle_mib is the difference;
    postgres_mib is the private memory of the PostgreSQL process that copies, idle and at its most."""
    port = free_port()
    with bench.database() as database:
        _fill(database, _MANY_ROWS)
        api = database.start_api(port)
        try:
            idle = _memory(api.pid, "VmRSS")
            with psycopg.connect(database.dsn(), autocommit=True) as connection:
                found = connection.execute(
                    "select pid from pg_stat_activity"
                    " where datname = current_database() and application_name = 'limena export'"
                ).fetchall()
            backends = [pid for (pid,) in found]
            idle_backends = max(_memory(pid, "RssAnon") for pid in backends)
            size = 0
            peaks: dict[str, float] = {}
            backend_peaks: dict[str, float] = {}
            for reader, pause in (("fast", 0.0), ("slow", 0.02)):
                _reset_peak(api.pid)
                watched = [_Peak(pid) for pid in backends]
                for one in watched:
                    one.start()
                _, size = _download(port, database.demo["api_key"], pause)
                backend_peaks[reader] = max(one.stop() for one in watched)
                peaks[reader] = _memory(api.pid, "VmHWM")
        finally:
            api.terminate()
            api.wait(timeout=30)
    if size < _MANY_ROWS * 300:
        raise RuntimeError(f"the answer has {size} bytes: that is not all of it")
    return {
        **compare([({"mib": max(peaks.values())}, {"mib": idle})], "mib"),
        "above_idle_mib": {reader: round(peak - idle, 1) for reader, peak in peaks.items()},
        "postgres_mib": {"idle": round(idle_backends, 1)}
        | {reader: round(peak, 1) for reader, peak in backend_peaks.items()},
        "exported_mib": round(size / 1024**2, 1),
    }


def _hash_of(key: str) -> str:
    from limena import api_key_format

    parsed = api_key_format.parse(key)
    if parsed is None:
        raise RuntimeError("the demo's key is none")
    return parsed.hex()


MEASUREMENTS: Final = (
    *(audited_insert, audited_bulk_insert, sealing_beside_writers, csv_export),
    *((csv_export_memory,) if sys.platform == "linux" else ()),  # which tells in /proc
)
