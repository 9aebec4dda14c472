"""`make bench`: measures on a PostgreSQL of its own, prints ratios with the medians behind them, writes bench/results/.

Every comparison alternates its two sides within one run, A B A B …, and gives the median of the ratios pair by pair.
The server, PostgreSQL and the load generator share this machine's processors; what they take from each other they take
from both sides.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import platform
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from limena import demo
from limena.deploy import deploy
from limena.embedded import PostgresServer

RESULTS: Final = Path(__file__).parent / "results"
KEYS: Final = 20
LOG_INS: Final = 50
BCRYPT_COST: Final = 4
"""Where passwords are not what is measured."""
LOG_IN_BCRYPT_COST: Final = 12
"""As in production."""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _environment(server: PostgresServer, base_url: str, bcrypt_cost: int) -> dict[str, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=3072)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")
    return {
        "LIMENA_ENV": "development",
        "LIMENA_BASE_URL": base_url,
        "LIMENA_JWT_KEY": pem,
        "LIMENA_SECRET_KEY": base64.b64encode(secrets.token_bytes(32)).decode("ascii"),
        "LIMENA_BCRYPT_COST": str(bcrypt_cost),
        "LIMENA_RATE_LIMITS": "off",
        "LIMENA_TRUSTED_PROXIES": "127.0.0.1",
        "LIMENA_DEPLOY_DSN": server.dsn(),
        "LIMENA_APP_DSN": server.dsn("limena_app"),
        "LIMENA_AUTH_DSN": server.dsn("limena_auth"),
        "LIMENA_READONLY_DSN": server.dsn("limena_readonly"),
        "LIMENA_MAINTENANCE_DSN": server.dsn("limena_maintenance"),
    }


@contextmanager
def _api(server: PostgresServer, bcrypt_cost: int = BCRYPT_COST) -> Iterator[int]:
    port = _free_port()
    base_url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.server", str(port)], env=os.environ | _environment(server, base_url, bcrypt_cost)
    )
    try:
        for _ in range(100):
            try:
                urllib.request.urlopen(f"{base_url}/readyz", timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        else:
            raise RuntimeError("the server did not become ready within 10 seconds")
        yield port
    finally:
        process.terminate()
        process.wait(timeout=30)


def _request(port: int, path: str, key: str, body: dict[str, object]) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        data=json.dumps(body).encode("ascii"),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    urllib.request.urlopen(request, timeout=30).close()


def _load(port: int, path: str, *, connections: int, seconds: float, header: str | None = None) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.load", "127.0.0.1", str(port), path]
    command += ["--connections", str(connections), "--seconds", str(seconds)]
    if header is not None:
        command += ["--header", header]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    if set(result["statuses"]) != {"200"}:
        raise RuntimeError(f"{path} answered {result['statuses']}")
    result["per_second"] = result["requests"] / result["seconds"]
    return result


def _compare(rounds: list[tuple[dict[str, Any], dict[str, Any]]]) -> dict[str, Any]:
    def side(index: int) -> dict[str, float]:
        return {
            name: round(statistics.median(pair[index][name] for pair in rounds), 2)
            for name in ("per_second", "p50_ms", "p99_ms")
        }

    ratios = sorted(a["per_second"] / b["per_second"] for a, b in rounds)
    return {
        "measured": side(0),
        "beside": side(1),
        "ratio": {
            "median": round(statistics.median(ratios), 3),
            "min": round(ratios[0], 3),
            "max": round(ratios[-1], 3),
        },
        "rounds": len(rounds),
    }


def list_api_keys_beside_select_1(port: int, key: str, *, rounds: int, seconds: float) -> dict[str, Any]:
    """`GET /api/v1/api-keys?limit=20`, by key, beside a route that runs `SELECT 1` on the same pool; 32 connections."""
    authorization = f"Authorization: Bearer {key}"
    path = f"/api/v1/api-keys?limit={KEYS}"
    _load(port, path, connections=32, seconds=1, header=authorization)  # warm up: statements get prepared
    _load(port, "/bench/select-1", connections=32, seconds=1)
    pairs = []
    for _ in range(rounds):
        a = _load(port, path, connections=32, seconds=seconds, header=authorization)
        b = _load(port, "/bench/select-1", connections=32, seconds=seconds)
        pairs.append((a, b))
    return _compare(pairs)


def healthz_during_log_ins(port: int, *, rounds: int, seconds: float) -> dict[str, Any]:
    """`GET /healthz` over 4 connections while 50 others log in without a pause, beside the same without them. What
    counts is how long one waits, not how many: bcrypt takes the processors that it is given (2)."""
    _load(port, "/healthz", connections=4, seconds=1)
    pairs, statuses = [], Counter[str]()
    for _ in range(rounds):
        command = [
            sys.executable,
            "-m",
            "bench.storm",
            "127.0.0.1",
            str(port),
            "--connections",
            str(LOG_INS),
            "--seconds",
            str(seconds + 1),
        ]
        storm = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        time.sleep(0.7)  # it has begun
        during = _load(port, "/healthz", connections=4, seconds=seconds)
        statuses.update(json.loads(storm.communicate(timeout=120)[0]))
        pairs.append((during, _load(port, "/healthz", connections=4, seconds=seconds)))
    if set(statuses) - {"401", "503"} or not statuses["401"]:
        raise RuntimeError(f"log-ins were answered {dict(statuses)}")
    ratios = sorted(a["p99_ms"] / b["p99_ms"] for a, b in pairs)
    return _compare(pairs) | {
        "p99_ratio": {
            "median": round(statistics.median(ratios), 2),
            "min": round(ratios[0], 2),
            "max": round(ratios[-1], 2),
        },
        "log_ins": dict(statuses),
    }


def _show(title: str, result: dict[str, Any]) -> None:
    print(f"\n{title}")
    for name in ("measured", "beside"):
        side = result[name]
        print(
            f"  {name:9} {side['per_second']:>9.1f}/s   p50 {side['p50_ms']:>7.2f} ms   p99 {side['p99_ms']:>7.2f} ms"
        )
    ratio = result["ratio"]
    print(
        f"  ratio     {ratio['median']:.3f}  ({ratio['min']:.3f} to {ratio['max']:.3f} over {result['rounds']} rounds)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each side of each round")
    options = parser.parse_args()

    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="limena-bench-") as folder:
        os.chmod(folder, 0o755)  # started by root, PostgreSQL runs as someone else and has to pass through
        with PostgresServer(Path(folder) / "postgres") as server:
            deploy(server.dsn(), environment="development", echo=lambda _line: None)
            made = demo.build(
                demo.new_plan(),
                app_dsn=server.dsn("limena_app"),
                auth_dsn=server.dsn("limena_auth"),
                deploy_dsn=server.dsn(),
                bcrypt_cost=BCRYPT_COST,
            )
            with _api(server) as port:
                for number in range(KEYS):
                    _request(
                        port, "/api/v1/api-keys", made["api_key"], {"name": f"key {number}", "scopes": ["members:read"]}
                    )
                results["list_api_keys_beside_select_1"] = list_api_keys_beside_select_1(
                    port, made["api_key"], rounds=options.rounds, seconds=options.seconds
                )
            with _api(server, LOG_IN_BCRYPT_COST) as port:
                results["healthz_during_log_ins"] = healthz_during_log_ins(
                    port, rounds=options.rounds, seconds=options.seconds
                )
        machine = {"cpus": os.cpu_count(), "python": platform.python_version(), "postgres": server.version}

    RESULTS.mkdir(exist_ok=True)
    now = datetime.now(UTC)
    path = RESULTS / f"{now:%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps({"at": now.isoformat(), "machine": machine, "results": results}, indent=2) + "\n")
    _show(
        "List 20 API keys, by key, beside SELECT 1 through the same pool (32 connections)",
        results["list_api_keys_beside_select_1"],
    )
    _show(
        f"/healthz during {LOG_INS} concurrent log-ins, beside /healthz alone (4 connections)",
        results["healthz_during_log_ins"],
    )
    storm = results["healthz_during_log_ins"]
    p99 = storm["p99_ratio"]
    print(f"  p99 ratio {p99['median']:.2f}  ({p99['min']:.2f} to {p99['max']:.2f})   log-ins {storm['log_ins']}")
    print(f"\nWritten to {path.relative_to(Path.cwd())}")


if __name__ == "__main__":
    main()
