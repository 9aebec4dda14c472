"""`limena serve` as an operator starts it: what it refuses, TLS, HSTS, workers, and a drain that drops nothing."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from limena.config import ConfigError, Settings
from limena.middleware import HSTS
from limena.serve import ServeError, check
from limena.tls import throwaway_certificate
from support.databases import Database
from support.door import PATIENCE, door_environment, read_answers
from support.live import Live, free_port

PRODUCTION = {"LIMENA_ENV": "production", "LIMENA_BCRYPT_COST": "10"}


@dataclass
class Served:
    process: subprocess.Popen[bytes]
    port: int
    output: Path
    """stdout: JSON lines and nothing else."""

    def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.output.read_text().splitlines()]

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert_pem, key_pem = throwaway_certificate()
    cert.write_text(cert_pem)
    key.write_text(key_pem)
    key.chmod(0o600)
    return cert, key


@pytest.fixture
def tls(certificate: tuple[Path, Path]) -> dict[str, str]:
    cert, key = certificate
    return {"LIMENA_TLS_CERT": str(cert), "LIMENA_TLS_KEY": str(key)}


@pytest.fixture
def start_serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """start_serve(*arguments, **environment): `limena serve`, ended when the test ends."""
    with ExitStack() as stack:

        def start(*arguments: str, **environment: str) -> Served:
            port = free_port()
            output = tmp_path / f"{port}.log"
            base_url = f"https://127.0.0.1:{port}" if environment.get("LIMENA_ENV") == "production" else "http://x"
            environment = {"LIMENA_BASE_URL": base_url, **environment}
            inherited = {name: value for name, value in os.environ.items() if not name.startswith("LIMENA_")}
            command = [sys.executable, "-m", "limena.cli", "serve", "--port", str(port), *arguments]
            with output.open("wb") as log, (tmp_path / f"{port}.err").open("w+b") as errors:
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=errors,
                    env=inherited | door_environment(**{"base_url": base_url, **environment}),
                )  # fmt: skip
            stack.callback(process.wait, 60)
            stack.callback(process.terminate)
            end = time.monotonic() + 60
            while b"Limena serves on" not in (tmp_path / f"{port}.err").read_bytes():
                assert process.poll() is None, output.read_text() + (tmp_path / f"{port}.err").read_text()
                assert time.monotonic() < end, "limena serve did not start"
                time.sleep(0.05)
            return Served(process, port, output)

        yield start


# What it refuses
# ---------------------------------------------------------------------------------------------------------


def settings(**environment: str) -> Settings:
    return Settings.from_env(door_environment("https://limena.example.com", **PRODUCTION, **environment))


def refused(**environment: str) -> str:
    with pytest.raises(ConfigError) as error:
        check(settings(**environment))
    return str(error.value)


def test_production_without_tls_is_refused(tls: dict[str, str]) -> None:
    sentence = refused()
    assert "LIMENA_TLS_CERT" in sentence
    assert "LIMENA_TRUSTED_PROXIES" in sentence
    assert check(settings(**tls)) is not None
    assert check(settings(LIMENA_TRUSTED_PROXIES="10.0.0.0/8")) is None
    assert check(Settings.from_env(door_environment("http://127.0.0.1:8000"))) is None  # development


def test_the_command_tells_it_in_a_sentence() -> None:
    environment = door_environment("https://limena.example.com", **PRODUCTION)
    for changes, sentence in [
        ({}, "limena: Nobody speaks TLS: set LIMENA_TLS_CERT"),
        ({"LIMENA_JWT_KEY": ""}, "limena: LIMENA_JWT_KEY is not set"),
        ({"LIMENA_SECRET_KEY": ""}, "limena: LIMENA_SECRET_KEY is not set"),
        ({"LIMENA_SECRET_KEY": "c2hvcnQ="}, "limena: LIMENA_SECRET_KEY"),
        ({"LIMENA_APP_DSN": "host=x password=short"}, "limena: LIMENA_APP_DSN holds a password"),
    ]:
        done = subprocess.run(
            [sys.executable, "-m", "limena.cli", "serve", "--port", "0"],
            env={"PATH": os.environ["PATH"], **environment, **changes},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 1
        assert sentence in done.stderr
        assert "Traceback" not in done.stderr + done.stdout
        assert "c2hvcnQ=" not in done.stderr + done.stdout


def test_what_is_wrong_with_a_certificate(certificate: tuple[Path, Path], tls: dict[str, str], tmp_path: Path) -> None:
    cert, key = certificate
    key.chmod(0o644)
    assert "everyone on this machine may read" in refused(**tls)
    key.chmod(0o600)
    key.write_text(throwaway_certificate()[1])
    assert "is not the unencrypted key of" in refused(**tls)
    cert.write_text("nonsense")
    assert "no PEM certificate" in refused(**tls)
    assert "cannot be used" in refused(**tls | {"LIMENA_TLS_CERT": str(tmp_path / "nowhere")})
    old, old_key = expired_certificate()
    cert.write_text(old)
    key.write_text(old_key)
    assert "expired on" in refused(**tls)
    with pytest.raises(ConfigError, match="belong together"):
        settings(LIMENA_TLS_CERT=str(cert))


def expired_certificate() -> tuple[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now - timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return made.public_bytes(Encoding.PEM).decode(), pem.decode()


def test_a_role_with_settings_of_its_own_is_refused(fresh_database: Callable[[], Database]) -> None:
    """design.md, section 3: a role may ALTER ROLE itself, and those settings must not win."""
    database = fresh_database()
    environment = {"LIMENA_APP_DSN": database.dsn("limena_app"), "LIMENA_TRUSTED_PROXIES": "10.0.0.0/8"}
    check(settings(**environment))
    with database.connect("limena_app") as connection:
        connection.execute(f"alter role limena_app in database {database.name} set row_security = off")
        try:
            with pytest.raises(ServeError, match="limena_app has settings of its own"):
                check(settings(**environment))
        finally:
            connection.execute(f"alter role limena_app in database {database.name} reset all")


# TLS
# ---------------------------------------------------------------------------------------------------------


def test_tls(start_serve: Callable[..., Served], certificate: tuple[Path, Path], tls: dict[str, str]) -> None:
    """1.0 and 1.1 are refused, 1.2 and 1.3 accepted; 1.2 with forward secrecy and authenticated encryption only; HSTS
    is on every answer."""
    served = start_serve(LIMENA_HEADER_TIMEOUT_SECONDS="1", **PRODUCTION, **tls)

    def context(version: ssl.TLSVersion, ciphers: str | None = None) -> ssl.SSLContext:
        made = ssl.create_default_context(cafile=certificate[0])
        made.set_ciphers(ciphers or "ALL:@SECLEVEL=0")  # so that it is the server that refuses
        made.minimum_version = made.maximum_version = version
        return made

    def knock(client: ssl.SSLContext) -> str | None:
        with served.connect() as plain, client.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
            connection.sendall(b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            (answer,) = read_answers(connection)
            assert answer.status == 404
            assert answer.headers["strict-transport-security"] == HSTS
            return connection.version()

    with pytest.warns(DeprecationWarning, match="TLSVersion"):
        old = [context(ssl.TLSVersion.TLSv1), context(ssl.TLSVersion.TLSv1_1)]
    for client in old:
        with pytest.raises(ssl.SSLError):
            knock(client)
    assert knock(context(ssl.TLSVersion.TLSv1_2)) == "TLSv1.2"
    assert knock(context(ssl.TLSVersion.TLSv1_3)) == "TLSv1.3"
    for weak in ("AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES256-SHA384"):  # no FS, CBC, CBC
        with pytest.raises(ssl.SSLError):
            knock(context(ssl.TLSVersion.TLSv1_2, f"{weak}:@SECLEVEL=0"))

    # Plain HTTP, a handshake that never comes, and errors of the protocol.
    with served.connect() as plain:
        plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert not plain.recv(100).startswith(b"HTTP/")
    with served.connect() as silent:
        assert silent.recv(1) == b""
    for request, status in [(b"GET nonsense\r\n\r\n", 400), (b"BREW / HTTP/1.1\r\n\r\n", 405), (b"GET / HT", 408)]:
        client = context(ssl.TLSVersion.TLSv1_3)
        with served.connect() as plain, client.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
            connection.sendall(request)
            (answer,) = read_answers(connection)
            assert (answer.status, answer.headers["strict-transport-security"]) == (status, HSTS)
    assert served.terminate() == 0


# The drain
# ---------------------------------------------------------------------------------------------------------


class Visitors:
    """Clients that never stop asking: some keep their connection, some open one for each request. What counts is a
    request that was sent on an open connection and got no answer."""

    def __init__(self, port: int) -> None:
        self.address = ("127.0.0.1", port)
        self.statuses: Counter[int] = Counter()
        self.dropped: list[str] = []
        self.refused = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._visit, args=(number % 2 == 0,)) for number in range(8)]

    def __enter__(self) -> "Visitors":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _visit(self, keeps: bool) -> None:
        while not self._stop.is_set():
            try:
                connection = socket.create_connection(self.address, PATIENCE)
            except OSError:
                self.refused += 1  # the listener is gone: nothing was sent
                return
            with connection:
                while not self._stop.is_set():
                    closes = self._ask(connection, keeps)
                    if closes:
                        break

    def _ask(self, connection: socket.socket, keeps: bool) -> bool:
        header = b"" if keeps else b"Connection: close\r\n"
        received = b""
        try:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + header + b"\r\n")
            while b"}" not in received:
                data = connection.recv(65536)
                if not data:
                    raise ConnectionError("closed without an answer")
                received += data
        except OSError as error:
            self.dropped.append(repr(error))
            return True
        self.statuses[int(received[9:12])] += 1
        return b"connection: close" in received.lower()


def test_a_drain_drops_nothing(start_serve: Callable[..., Served]) -> None:
    served = start_serve("--workers", "2", LIMENA_DRAIN_SECONDS="2", LIMENA_POOL_TIMEOUT_SECONDS="3")
    with ExitStack() as stack:
        _drain(served, [stack.enter_context(served.connect()) for _ in range(12)])


def _drain(served: Served, connections: list[socket.socket]) -> None:
    half, unused, *waiting = connections
    with Visitors(served.port) as visitors:
        while sum(visitors.statuses.values()) < 200:
            time.sleep(0.01)
        for connection in waiting:
            connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")
        half.sendall(b"GET /healthz HTTP/1.1\r\nHo")
        time.sleep(0.5)  # those ten wait for a connection to a database that is away
        served.process.send_signal(signal.SIGTERM)
        before = sum(visitors.statuses.values())
        with httpx.Client(base_url=f"http://127.0.0.1:{served.port}", timeout=PATIENCE) as client:
            end = time.monotonic() + PATIENCE
            while (response := client.get("/readyz")).headers.get("connection") != "close":
                assert time.monotonic() < end
        assert response.status_code == 503
        time.sleep(0.3)
        half.sendall(b"st: x\r\n\r\n")
        assert [answer.status for answer in read_answers(half)] == [200]
        assert served.process.wait(60) == 0
        assert unused.recv(1) == b""
        answers = [answer.status for connection in waiting for answer in read_answers(connection)]
    assert visitors.dropped == []
    assert set(visitors.statuses) == {200}
    assert sum(visitors.statuses.values()) > before  # new requests were answered during the drain
    assert visitors.refused == 8
    assert answers == [503] * 10


def test_new_workers_take_over_without_a_dropped_request(start_serve: Callable[..., Served]) -> None:
    """SIGHUP: new certificates and keys are read. A worker that dies is replaced."""
    served = start_serve("--workers", "2", LIMENA_DRAIN_SECONDS="5.5")
    with Visitors(served.port) as visitors:
        served.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + 120
        while "all workers have been replaced" not in served.output.read_text():
            assert time.monotonic() < end
            time.sleep(0.1)
    assert visitors.dropped == []
    assert set(visitors.statuses) == {200}
    assert served.terminate() == 0


# Logs and metrics
# ---------------------------------------------------------------------------------------------------------


def test_logs_and_metrics_tell_nothing_of_what_a_client_wrote(start_serve: Callable[..., Served]) -> None:
    marker = "hunter2-hunter2-hunter2"
    served = start_serve("--workers", "2", LIMENA_METRICS_TOKEN="m" * 32, LIMENA_RATE_LIMIT_LOG_IN="3/minute")
    with httpx.Client(base_url=f"http://127.0.0.1:{served.port}", timeout=PATIENCE) as client:
        for method, path in [
            ("GET", f"/api/v1/me?{marker}={marker}"),
            ("GET", f"/{marker}"),
            ("DELETE", f"/api/v1/api-keys/{marker}"),
            (marker, "/healthz"),
            ("PROPFIND", "/healthz"),
        ]:
            for shown in (f"Bearer {marker}", f"Bearer lmn_{marker}", marker):
                client.request(
                    method,
                    path,
                    headers={
                        "Authorization": shown, "Cookie": f"limena_refresh={marker}", "User-Agent": marker,
                        "X-Request-Id": marker, "X-CSRF-Token": marker, marker: marker, "Referer": marker,
                    },
                    content=marker,
                )  # fmt: skip
        for _ in range(20):
            client.post("/api/v1/auth/login", json={"email": marker, "password": marker})
        assert client.get("/metrics").status_code == 401
        assert client.get("/metrics", headers={"Authorization": f"Bearer {'n' * 32}"}).status_code == 401
        metrics = client.get("/metrics", headers={"Authorization": f"Bearer {'m' * 32}"})
    assert served.terminate() == 0
    assert metrics.headers["content-type"].startswith("text/plain; version=")
    assert marker not in metrics.text
    assert (
        'limena_http_requests_total{method="OTHER",route="/healthz",status="405"} 3.0' in metrics.text
    )  # both workers
    assert 'route="/api/v1/api-keys/{id}"' in metrics.text
    assert 'route="unmatched"' in metrics.text
    refused = sum(
        float(line.rpartition(" ")[2])
        for line in metrics.text.splitlines()
        if line.startswith('limena_rate_limited_requests_total{budget="log-in"}')
    )
    assert 14 <= refused <= 17  # each worker counts for itself: 3 or 6 pass
    log = served.output.read_text()
    assert marker not in log
    requests = [line for line in served.lines() if line["event"] == "request"]
    assert {line["route"] for line in requests} >= {"/api/v1/me", "/api/v1/api-keys/{id}", "/healthz", "unmatched"}
    for line in requests:
        assert set(line) == {
            "event", "level", "logger", "timestamp", "method", "route", "status", "duration_ms", "request_id", "client",
        }  # fmt: skip
        assert line["client"] == "127.0.0.1"


def test_metrics_can_be_switched_off(start_serve: Callable[..., Served]) -> None:
    served = start_serve(LIMENA_METRICS="off")
    assert httpx.get(f"http://127.0.0.1:{served.port}/metrics").status_code == 404


def test_dev_with_a_throwaway_certificate(start_live: Callable[..., Live]) -> None:
    """`limena dev --tls`: the same certificate at the next start, for this machine's names and nothing else."""
    live = start_live("--tls", "--no-demo")
    assert live.dev["base_url"] == live.base_url
    assert live.base_url.startswith("https://127.0.0.1:")
    certificate, key = live.data_dir / "tls-cert.pem", live.data_dir / "tls-key.pem"
    assert key.stat().st_mode & 0o777 == 0o600
    trusting = ssl.create_default_context(cafile=certificate)
    with httpx.Client(base_url=live.base_url, verify=trusting) as client:
        assert client.get("/healthz").json() == {"status": "alive"}
        assert client.get("/openapi.json").json()["servers"] == [{"url": live.base_url}]
    assert f"Limena runs on {live.base_url}" in live.output.read_text()
    first = certificate.read_text()
    live.stop()
    again = start_live("--tls", "--no-demo", data_dir=live.data_dir)
    assert (again.data_dir / "tls-cert.pem").read_text() == first
