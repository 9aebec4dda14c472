"""A rotation of the master key that is killed, again and again, and whose PostgreSQL is killed under it: nothing is
lost, everything opens at every moment, and in the end nothing is left under the old key."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import psycopg

from bench import credentials
from limena.deploy import deploy
from limena.embedded import PostgresServer
from limena.master_key_files import new_entry

CREDENTIALS: Final = 5_000
ROTATIONS: Final = 4
KILLS: Final = 8
"""Of each rotation, at most: it may be done before."""


def main() -> None:
    dice = random.Random(7)
    with tempfile.TemporaryDirectory(prefix="limena-soak-") as folder:
        os.chmod(folder, 0o755)
        server = PostgresServer(Path(folder) / "postgres")
        server.start()
        try:
            deploy(server.dsn(), environment="development", echo=lambda _line: None)
            key = new_entry(1)
            credentials.make(server.dsn(), CREDENTIALS, key)
            for version in range(2, ROTATIONS + 2):
                old, key = key, new_entry(version)
                kills = _kill_again_and_again(server, version, f"{key} {old}", dice)
                before = credentials.check(server.dsn(), f"{key} {old}")
                _rotate(server, f"{key} {old}").wait(timeout=300)
                after = credentials.check(server.dsn(), key)
                if after != {version: CREDENTIALS}:
                    raise RuntimeError(f"after the rotation to version {version}: {after}")
                print(
                    f"version {version}: killed {kills} times, at {before.get(version, 0):,}; all {CREDENTIALS:,} open"
                )
        finally:
            server.stop()


def _kill_again_and_again(server: PostgresServer, version: int, keys: str, dice: random.Random) -> int:
    for number in range(KILLS):
        process = _rotate(server, keys)
        _wait_until_it_works(server, keys, process)
        time.sleep(dice.uniform(0, 0.4))
        is_server_killed = number % 4 == 3
        if is_server_killed:
            server.kill()  # SIGKILL, to all of it
        process.kill()
        process.wait()
        if is_server_killed:
            server.start()
        counts = credentials.check(server.dsn(), keys)
        if sum(counts.values()) != CREDENTIALS:
            raise RuntimeError(f"of {CREDENTIALS} credentials {counts} are left")
        if counts == {version: CREDENTIALS}:
            return number + 1  # it was done
    return KILLS


def _rotate(server: PostgresServer, keys: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {
        "LIMENA_ENV": "development",
        "LIMENA_MAINTENANCE_DSN": server.dsn("limena_maintenance"),
        "LIMENA_MASTER_KEYS": keys,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "limena.cli", "master-key", "rotate"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _wait_until_it_works(server: PostgresServer, keys: str, process: subprocess.Popen[bytes]) -> None:
    """Until it has connected: what comes before is Python's start."""
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        while process.poll() is None:
            found = connection.execute(
                "select from pg_stat_activity where application_name = 'limena master-key rotate'"
            ).fetchone()
            if found is not None:
                return
            time.sleep(0.01)


if __name__ == "__main__":
    main()
