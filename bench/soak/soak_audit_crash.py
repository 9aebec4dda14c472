"""kill -9 of PostgreSQL at random points under load: afterwards each change that was committed has its row in the log,
each row of the log its change, nothing that a client was told is missing, and the log holds to its seals.

Writers make and revoke API keys through the API's own procedures, some in transactions that are rolled back; a sealer
runs all the time. PostgreSQL writes to disk as in production (fsync, synchronous commit).
"""

from __future__ import annotations

import random
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg

from limena.deploy import deploy
from limena.embedded import PostgresServer, embedded_bin_dir

ROUNDS: Final = 8
WRITERS: Final = 4
SECONDS: Final = (0.3, 2.5)
"""Until the kill, at least and at most."""

_SETUP: Final = """
    with made as (
        select limena.register_user(
            p_email => 'soak@example.com', p_password_hash => '$2b$04$' || repeat('.', 53), p_display_name => 'Soak',
            p_tenant_name => 'Soak'
        ) as answer
    )
    select (answer -> 'user' ->> 'id')::uuid, (answer -> 'tenant' ->> 'id')::uuid from made
"""
_ENTER: Final = "select limena.enter_session(sha256('soak'), %s)"
_CREATE: Final = """
    select limena.create_api_key(
        p_name => 'soak', p_scopes => '{tenant:read}', p_prefix => 'lmn_abcdef', p_last_four => '0000',
        p_key_hash => sha256(uuid_send(%s))
    ) ->> 'id'
"""
_REVOKE: Final = "select limena.revoke_api_key(p_id => %s)"

_CHECKS: Final = {
    "a key without its row in the log": """
        select count(*) from limena.api_keys as k
        where 1 <> (
            select count(*) from limena.audit_logs as l
            where l.tenant_id = k.tenant_id and l.action = 'api_key.created' and l.entity_id = k.id::text
        )
    """,
    "a row in the log without its key": """
        select count(*) from limena.audit_logs as l
        where l.action = 'api_key.created'
            and not exists (
                select from limena.api_keys as k where k.tenant_id = l.tenant_id and k.id::text = l.entity_id
            )
    """,
    "a revocation without its row in the log, or the other way round": """
        select count(*) from limena.api_keys as k
        where (k.revoked_at is not null) <> exists (
            select from limena.audit_logs as l
            where l.tenant_id = k.tenant_id and l.action = 'api_key.revoked' and l.entity_id = k.id::text
        )
    """,
}


class _Load:
    def __init__(self, server: PostgresServer, tenant_id: UUID) -> None:
        self._server: Final = server
        self._tenant_id: Final = tenant_id
        self._stop: Final = threading.Event()
        self.created: Final[list[str]] = []
        self.revoked: Final[list[str]] = []

    def run_until_killed(self, seconds: float) -> None:
        threads = [threading.Thread(target=self._guarded, args=(self._write,)) for _ in range(WRITERS)]
        threads.append(threading.Thread(target=self._guarded, args=(self._seal,)))
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        self._server.kill()
        self._stop.set()
        for thread in threads:
            thread.join()

    def _guarded(self, work: Any) -> None:
        try:
            work()
        except psycopg.OperationalError:
            return  # the server is gone: that is what this is about

    def _write(self) -> None:
        mine: list[str] = []
        with psycopg.connect(self._server.dsn("limena_app")) as connection:
            while not self._stop.is_set():
                connection.execute(_ENTER.encode(), [self._tenant_id])
                row = connection.execute(_CREATE.encode(), [uuid4()]).fetchone()
                if row is None:
                    raise RuntimeError("create_api_key returned nothing")
                gone = mine.pop() if mine and random.random() < 0.5 else None
                if gone is not None:
                    connection.execute(_REVOKE.encode(), [gone])
                if random.random() < 0.2:
                    connection.rollback()
                    continue
                connection.commit()  # raises when nobody knows: then it may be there or not
                mine.append(row[0])
                self.created.append(row[0])
                if gone is not None:
                    self.revoked.append(gone)

    def _seal(self) -> None:
        with psycopg.connect(self._server.dsn("limena_maintenance"), autocommit=True) as connection:
            while not self._stop.wait(0.05):
                connection.execute("select limena.seal_audit_log()")


def main() -> None:
    created = 0
    with tempfile.TemporaryDirectory(prefix="limena-soak-") as folder:
        server = PostgresServer(Path(folder) / "pg", embedded_bin_dir(), {"wal_writer_delay": "200ms"})
        server.start()
        try:
            deploy(server.dsn(), environment="development", echo=lambda _line: None)
            with psycopg.connect(server.dsn(), autocommit=True) as connection:
                row = connection.execute(_SETUP.encode()).fetchone()
                if row is None:
                    raise RuntimeError("register_user returned nothing")
                user_id, tenant_id = row
                connection.execute(
                    "insert into limena.sessions (user_id, secret_hash, current_tenant_id)"
                    " values (%s, sha256('soak'), %s)",
                    [user_id, tenant_id],
                )
            for number in range(ROUNDS):
                load = _Load(server, tenant_id)
                load.run_until_killed(random.uniform(*SECONDS))
                server.start()
                _check(server, load, tenant_id)
                created += len(load.created)
                print(f"  kill {number + 1} of {ROUNDS}: {len(load.created)} keys acknowledged, all there", flush=True)
        finally:
            server.stop()
    if created < 20 * ROUNDS:
        raise RuntimeError(f"only {created} keys were made: that was no load")


def _check(server: PostgresServer, load: _Load, tenant_id: UUID) -> None:
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        for what, query in _CHECKS.items():
            row = connection.execute(query.encode()).fetchone()
            if row != (0,):
                raise RuntimeError(f"{what}: {row}")
        for what, ids, condition in (
            ("an acknowledged key is gone", load.created, "true"),
            ("an acknowledged revocation is gone", load.revoked, "k.revoked_at is not null"),
        ):
            query = f"""
                select count(*) from unnest(%s::uuid[]) as a (id)
                where not exists (
                    select from limena.api_keys as k where k.tenant_id = %s and k.id = a.id and {condition}
                )
            """
            if (row := connection.execute(query.encode(), [ids, tenant_id]).fetchone()) != (0,):
                raise RuntimeError(f"{what}: {row}")
    with psycopg.connect(server.dsn("limena_maintenance"), autocommit=True) as connection:
        for _ in range(3):
            connection.execute("select limena.seal_audit_log()")
        for (tenant,) in connection.execute("select tenant_id from limena.sealed_tenants()").fetchall():
            findings = connection.execute("select * from limena.verify_audit_log(%s)", [tenant]).fetchall()
            if findings:
                raise RuntimeError(f"the log does not hold to its seals: {findings[:3]}")
