"""What the measurements share: one PostgreSQL that writes to disk as in production, a database of its own for each of
them, the API as a process, and the arithmetic of comparisons.

Every comparison alternates its two sides within one run, A B A B …, and gives the median of the ratios pair by pair.
The server, PostgreSQL and the load generator share this machine's processors; what they take from each other they take
from both sides.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import secrets
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import psycopg
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from psycopg import sql

from limena import demo
from limena.deploy import deploy
from limena.embedded import PostgresServer
from limena.master_key_files import new_entry

BCRYPT_COST: Final = 4
"""Where passwords are not what is measured."""

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Database:
    """A deployed database; `demo` has what `limena dev` puts into dev.json."""

    server: PostgresServer
    name: str
    demo: Mapping[str, Any] = field(repr=False)

    def dsn(self, user: str = "postgres") -> str:
        return self.server.dsn(user, self.name)

    @contextmanager
    def api(self, *, bcrypt_cost: int = BCRYPT_COST, environment: Mapping[str, str] | None = None) -> Iterator[int]:
        """The API in front of it, as a process; yields its port."""
        port = free_port()
        process = self.start_api(port, bcrypt_cost=bcrypt_cost, environment=environment)
        try:
            yield port
        finally:
            process.terminate()
            process.wait(timeout=30)

    def start_api(
        self, port: int, *, bcrypt_cost: int = BCRYPT_COST, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """The same for a caller that ends it."""
        base_url = f"http://127.0.0.1:{port}"
        variables = os.environ | self._variables(base_url, bcrypt_cost) | dict(environment or {})
        process = subprocess.Popen([sys.executable, "-m", "bench.server", str(port)], env=variables)
        try:
            for _ in range(300):
                try:
                    urllib.request.urlopen(f"{base_url}/readyz", timeout=5).close()
                    return process
                except OSError:
                    time.sleep(0.1)
            raise RuntimeError("the server did not become ready within 30 seconds")
        except BaseException:
            process.kill()
            process.wait()
            raise

    def _variables(self, base_url: str, bcrypt_cost: int) -> dict[str, str]:
        return {
            "LIMENA_ENV": "development",
            "LIMENA_BASE_URL": base_url,
            "LIMENA_JWT_KEY": _jwt_key(),
            "LIMENA_SECRET_KEY": _secret_key(),
            "LIMENA_MASTER_KEYS": _master_keys(),
            "LIMENA_BCRYPT_COST": str(bcrypt_cost),
            "LIMENA_RATE_LIMITS": "off",
            "LIMENA_TRUSTED_PROXIES": "127.0.0.1",
            "LIMENA_DEPLOY_DSN": self.dsn(),
            "LIMENA_APP_DSN": self.dsn("limena_app"),
            "LIMENA_AUTH_DSN": self.dsn("limena_auth"),
            "LIMENA_READONLY_DSN": self.dsn("limena_readonly"),
            "LIMENA_MAINTENANCE_DSN": self.dsn("limena_maintenance"),
        }


@dataclass(frozen=True)
class Bench:
    """What a measurement is given."""

    server: PostgresServer
    rounds: int
    seconds: float
    """Of each side of each round."""

    @contextmanager
    def database(self) -> Iterator[Database]:
        """A database of one's own, deployed, with the demo data; dropped at the end."""
        name = f"bench_{next(_numbers)}"
        with psycopg.connect(self.server.dsn(), autocommit=True) as connection:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        try:
            deploy(self.server.dsn(database=name), environment="development", echo=lambda _line: None)
            made = demo.build(
                demo.new_plan(),
                app_dsn=self.server.dsn("limena_app", name),
                auth_dsn=self.server.dsn("limena_auth", name),
                deploy_dsn=self.server.dsn(database=name),
                bcrypt_cost=BCRYPT_COST,
            )
            yield Database(self.server, name, made)
        finally:
            with psycopg.connect(self.server.dsn(), autocommit=True) as connection:
                connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def load(
    port: int, path: str, *, connections: int, seconds: float, header: str | None = None, statuses: str = "200"
) -> dict[str, float]:
    """GET requests over so many connections, for so long: per_second, p50_ms, p99_ms. Raises when an answer had
    another status than `statuses`."""
    command = [sys.executable, "-m", "bench.load", "127.0.0.1", str(port), path]
    command += ["--connections", str(connections), "--seconds", str(seconds)]
    if header is not None:
        command += ["--header", header]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    if set(result["statuses"]) != {statuses}:
        raise RuntimeError(f"{path} answered {result['statuses']}")
    return {
        "per_second": result["requests"] / result["seconds"],
        "p50_ms": result["p50_ms"],
        "p99_ms": result["p99_ms"],
    }


def request(port: int, method: str, path: str, key: str, body: object = None) -> Any:
    """One request with an API key; returns the answer's JSON."""
    asked = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode("ascii"),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(asked, timeout=30) as answer:
        content = answer.read()
        return json.loads(content) if content else None


Sides = tuple[Mapping[str, float], Mapping[str, float]]


def alternate(
    rounds: int, measured: Callable[[], Mapping[str, float]], beside: Callable[[], Mapping[str, float]]
) -> list[Sides]:
    """The two sides in turn, A B A B …"""
    return [(measured(), beside()) for _ in range(rounds)]


def compare(pairs: Sequence[Sides], ratio_of: str = "per_second") -> dict[str, Any]:
    """The medians of both sides, and the ratio measured/beside of one figure, pair by pair."""

    def side(index: int) -> dict[str, float]:
        return {name: round(statistics.median(pair[index][name] for pair in pairs), 3) for name in pairs[0][index]}

    return {
        "measured": side(0),
        "beside": side(1),
        "ratio_of": ratio_of,
        "ratio": spread([a[ratio_of] / b[ratio_of] for a, b in pairs]),
        "rounds": len(pairs),
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), 3),
        "min": round(min(values), 3),
        "max": round(max(values), 3),
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@cache
def _jwt_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=3072)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")


@cache
def _master_keys() -> str:
    return new_entry(1)


@cache
def _secret_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode("ascii")
