"""The front door without anything behind it: the application whose database is away, and raw sockets to knock with.

start_door  starts one in a thread of this process: start_door(endpoints=…, drain_seconds=…, LIMENA_…="…")
"""

import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from limena.app import create_app
from limena.config import Settings
from limena.http_server import HttpServer, ServerConfig, listen
from limena.routes import ENDPOINTS
from limena.routing import Endpoint
from support.api import MASTER_KEYS, SECRET_KEY, jwt_key
from support.csrf import TLS

NOWHERE = "host=/nonexistent/limena user=limena_app dbname=limena"
PATIENCE = 20.0
"""Seconds after which a test gives up. What it waits for takes far less."""


def door_environment(base_url: str, **environment: str) -> dict[str, str]:
    """What a server needs; nobody listens where its database should be."""
    return {
        "LIMENA_ENV": "development",
        "LIMENA_BASE_URL": base_url,
        "LIMENA_JWT_KEY": jwt_key(),
        "LIMENA_SECRET_KEY": SECRET_KEY,
        "LIMENA_MASTER_KEYS": MASTER_KEYS,
        "LIMENA_BCRYPT_COST": "4",
        "LIMENA_APP_DSN": NOWHERE,
        "LIMENA_AUTH_DSN": NOWHERE,
        "LIMENA_POOL_TIMEOUT_SECONDS": "0.5",
        **environment,
    }


@dataclass
class Answer:
    """What came back on a raw connection."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        code: str = json.loads(self.body)["code"]
        return code


@dataclass
class Door:
    host: str
    port: int
    app: Starlette
    server: HttpServer

    @property
    def base_url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.base_url, timeout=PATIENCE, verify=TLS, **options)

    def connect(self) -> socket.socket:
        return socket.create_connection((self.host, self.port), PATIENCE)

    def send(self, *parts: bytes) -> list[Answer]:
        """Sends bytes on one connection, and reads until the server closes it."""
        with self.connect() as connection:
            for part in parts:
                connection.sendall(part)
            return read_answers(connection)


def read_answers(connection: socket.socket) -> list[Answer]:
    """Everything until the end of the connection. Raises `TimeoutError` when the server does not close it."""
    received = b""
    while data := connection.recv(65536):
        received += data
    answers = []
    while received:
        head, _, rest = received.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        length = int(headers.get("content-length", "0"))
        answers.append(Answer(int(lines[0].split(" ")[1]), headers, rest[:length]))
        received = rest[length:]
    return answers


@pytest.fixture
def start_door() -> Iterator[Callable[..., Door]]:
    with ExitStack() as stack:

        def start(endpoints: Sequence[Endpoint] = ENDPOINTS, *, drain_seconds: float = 0, **environment: str) -> Door:
            listener = listen("127.0.0.1", 0)
            host, port = listener.getsockname()
            settings = Settings.from_env(door_environment(f"http://{host}:{port}", **environment))
            app = create_app(settings, endpoints=endpoints)
            server = HttpServer(ServerConfig(app, drain_seconds=drain_seconds))
            thread = threading.Thread(target=server.run, args=([listener],), name="door")
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.stop)
            while not server.started:
                assert thread.is_alive(), "the server did not start"
                thread.join(0.01)
            return Door(host, port, app, server)

        yield start
