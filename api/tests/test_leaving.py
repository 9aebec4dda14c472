"""Somebody leaves before the answer is there: the client, or the server."""

import asyncio
import json
import logging
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import Response

from limena import passwords
from limena.app import create_app
from limena.routing import HandlerRoute
from support.api import Api, make_settings
from support.databases import Database
from support.live import free_port

PATIENCE = 20.0
"""Seconds after which a test gives up."""


def wait_for(condition: Callable[[], bool], otherwise: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, otherwise
        time.sleep(0.01)


def test_who_hangs_up_gives_the_place_in_the_queue_back_and_is_on_record(
    api: Api, start_api: Callable[..., Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One thread that hashes, and it is busy. Whoever sent a password and closed the connection must neither hold up
    the next log-in nor have guessed unseen."""
    release = threading.Event()
    real = passwords._matches
    own = start_api(api.database, api.demo, LIMENA_PASSWORD_WORKERS="1")
    hasher = own.app.state.services.hasher
    person = own.person("viewer")
    bodies = [
        json.dumps({"email": f"{number}@nobody.example", "password": "a guess of someone who hangs up"}).encode()
        for number in range(10)
    ]
    token = httpx.get(f"{own.base_url}/api/v1/auth/csrf").json()["csrf_token"]
    address = "127.0.0.1", urlsplit(own.base_url).port or 0
    head = (
        "POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"X-CSRF-Token: {token}\r\nCookie: limena_csrf={token}\r\n"
    )

    def guesses() -> int:
        with own.database.connect() as connection:
            row = connection.execute(
                "select count(*) from limena.audit_logs where action = 'session.login_failed'"
            ).fetchone()
        return int(row[0]) if row else 0

    before = guesses()
    with monkeypatch.context() as patch:
        patch.setattr(passwords, "_matches", lambda *given, **more: release.wait(PATIENCE) and real(*given, **more))
        connections = [socket.create_connection(address, timeout=PATIENCE) for _ in range(10)]
        try:
            for connection, body in zip(connections, bodies, strict=True):
                connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            wait_for(lambda: hasher._calls == 10, "not everyone waits")
            for connection in connections:
                connection.close()
            wait_for(lambda: hasher._calls == 0, "who hung up still has a place")
            wait_for(lambda: guesses() == before + 10, "who hung up has guessed unseen")
        finally:
            release.set()
    assert person.log_in().status_code == 200


def test_a_server_that_ends_answers_a_request_that_hangs(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    """uvicorn cancels it, and would log the traceback of a cancellation that gets out of the application."""
    is_there = threading.Event()

    async def hang(_request: Request) -> Response:
        is_there.set()
        await asyncio.sleep(3_600)
        raise AssertionError("nobody waits for so long")

    route = HandlerRoute(
        method="GET", path="/hang", tag="platform", summary="", description="", handler=hang, answer=None
    )
    port = free_port()
    app = create_app(make_settings(database, f"http://127.0.0.1:{port}", {}), endpoints=[route])
    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    with caplog.at_level(logging.INFO), ThreadPoolExecutor(2) as threads:
        ended = threads.submit(server.run)
        wait_for(lambda: server.started, "uvicorn did not start")
        answer = threads.submit(httpx.get, f"http://127.0.0.1:{port}/hang", timeout=PATIENCE)
        assert is_there.wait(PATIENCE)
        server.should_exit = True
        response = answer.result(PATIENCE)
        ended.result(PATIENCE)
    assert (response.status_code, response.json()["code"]) == (503, "unavailable")
    assert "CancelledError at " in caplog.text
    assert not any(record.exc_info for record in caplog.records), caplog.text
