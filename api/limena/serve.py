"""`limena serve`: the production server. One supervisor, some worker processes that share a socket.

The supervisor checks everything that can be checked before the first worker starts, replaces a worker that dies, hands
SIGTERM on and waits for the drain, and on SIGHUP replaces one worker after the other, so that new certificates and keys
in files are read without a request being dropped. It answers no request itself.

Refuses to start in production without a certificate of its own or a trusted proxy that has one; with a weak or missing
secret; when a role of ours has settings of its own, which would undo what the API relies on.
"""

from __future__ import annotations

import errno
import logging
import multiprocessing
import os
import shutil
import signal
import socket
import ssl
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import FrameType
from typing import Final

import psycopg
from prometheus_client.multiprocess import mark_process_dead

from limena import logs
from limena.app import create_app
from limena.config import ConfigError, Settings
from limena.doctor import role_settings
from limena.http_server import HttpServer, ServerConfig, listen
from limena.metrics import MULTIPROCESS_DIR
from limena.rate_limits import create_storage
from limena.tls import TlsError, create_context

log = logging.getLogger("limena.serve")

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 8000
MAX_WORKERS: Final = 64
_START_SECONDS: Final = 60.0
_RESTART_PAUSE_SECONDS: Final = 1.0
_TICK_SECONDS: Final = 0.2
_NO_SUCCESSOR: Final = "no successor"
_CANNOT_START: Final = 3
"""The exit code of a worker whose next attempt would end in the same way."""


class ServeError(Exception):
    """Why `limena serve` does not run, a sentence a line."""


def run(env: Mapping[str, str], *, host: str, port: int, workers: int, echo: Callable[[str], None]) -> int:
    """Serves until SIGTERM or Ctrl-C, and returns the exit code. Belongs into the main thread, because it handles
    signals. Raises `ConfigError` and `ServeError` when it refuses to start."""
    settings = Settings.from_env(env)
    tls = check(settings)
    try:
        listener = listen(host, port)
    except OSError as error:
        reason = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be opened ({error.strerror})"
        raise ServeError(f"{host} port {port} {reason}: name another with --host and --port.") from None
    scheme = "http" if tls is None else "https"
    with listener:
        where = f"{host if ':' not in host else f'[{host}]'}:{listener.getsockname()[1]}"
        return _Supervisor(listener, workers).run(lambda: echo(f"Limena serves on {scheme}://{where}"))


def check(settings: Settings) -> ssl.SSLContext | None:
    """Everything that must hold before anybody is served. Raises `ConfigError` and `ServeError`."""
    door = settings.front_door
    if settings.environment == "production" and door.tls_cert is None and not door.trusted_proxies:
        raise ConfigError(
            [
                "Nobody speaks TLS: set LIMENA_TLS_CERT and LIMENA_TLS_KEY to files, or LIMENA_TRUSTED_PROXIES to the "
                "addresses of what stands in front and does."
            ]
        )
    try:
        tls = _context(settings)
    except TlsError as error:
        raise ConfigError([str(error)]) from None
    create_storage(door.rate_limit_storage)
    try:
        with psycopg.connect(settings.app_dsn, connect_timeout=5) as connection:
            findings = role_settings(connection)
    except psycopg.Error as error:
        # It may come later. What the API itself relies on, it passes as start-up options.
        log.warning("the roles' settings could not be checked: %s", logs.describe(error))
        return tls
    if findings and settings.environment == "production":
        raise ServeError("\n".join(findings))
    return tls


def _context(settings: Settings) -> ssl.SSLContext | None:
    door = settings.front_door
    if door.tls_cert is None or door.tls_key is None:
        return None
    return create_context(door.tls_cert, door.tls_key)


# A worker
# ------------------------------------------------------------------------------------------------------------


def _work(listener: socket.socket, supervisor: Connection) -> None:
    """All that a worker does. Its configuration is read anew."""
    logs.configure(sys.stdout)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a closed terminal sends it to all; the supervisor decides
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))  # while there is nothing to drain
    try:
        settings = Settings.from_env(os.environ)
        config = ServerConfig(create_app(settings), tls=_context(settings))
    except (ConfigError, TlsError) as error:
        for line in str(error).splitlines():
            log.error("%s", line)
        sys.exit(_CANNOT_START)
    server = HttpServer(config, announce=lambda: supervisor.send("ready"))
    server.owns_port = False  # a successor may go on with it
    threading.Thread(target=_follow, args=(supervisor, server), name="supervisor", daemon=True).start()
    # Until uvicorn handles it; which raises the signal that ended it again, for whoever handled it before.
    signal.signal(signal.SIGTERM, lambda _number, _frame: server.stop())
    server.run(sockets=[listener])


def _follow(supervisor: Connection, server: HttpServer) -> None:
    """Ends the worker when the supervisor is gone, however that ended."""
    with suppress(EOFError, OSError):
        while supervisor.recv() == _NO_SUCCESSOR:
            server.owns_port = True
    os.kill(os.getpid(), signal.SIGTERM)


class _Worker:
    def __init__(self, listener: socket.socket) -> None:
        spawning = multiprocessing.get_context("spawn")  # a fork would inherit our threads' locks
        self._pipe, theirs = spawning.Pipe()
        self.process: Final[SpawnProcess] = spawning.Process(
            target=_work, args=(listener, theirs), name="limena worker"
        )
        self.process.start()
        theirs.close()
        self.is_ready = False

    def poll(self) -> bool:
        """Whether it runs; notes when it has become ready."""
        with suppress(EOFError, OSError):
            if not self.is_ready and self._pipe.poll():
                self.is_ready = self._pipe.recv() == "ready"
        return self.process.is_alive()

    def terminate(self, *, has_successor: bool = False) -> None:
        if not has_successor:
            with suppress(OSError):
                self._pipe.send(_NO_SUCCESSOR)
        if self.process.is_alive():
            self.process.terminate()

    def reap(self) -> None:
        self.process.join()
        self._pipe.close()
        if self.process.pid is not None:
            mark_process_dead(self.process.pid)  # type: ignore[no-untyped-call]


# The supervisor
# ------------------------------------------------------------------------------------------------------------


class _Supervisor:
    def __init__(self, listener: socket.socket, workers: int) -> None:
        self._listener: Final = listener
        self._count: Final = workers
        self._workers: list[_Worker] = []
        self._is_stopping = threading.Event()
        self._is_reloading = threading.Event()

    def run(self, announce: Callable[[], None]) -> int:
        metrics = Path(tempfile.mkdtemp(prefix="limena-metrics-"))
        os.environ[MULTIPROCESS_DIR] = str(metrics)
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        before = {number: signal.signal(number, self._on_signal) for number in numbers}
        try:
            return self._supervise(announce)
        finally:
            for worker in self._workers:
                worker.terminate()
            for worker in self._workers:
                worker.reap()
            for number, handler in before.items():
                signal.signal(number, handler)
            shutil.rmtree(metrics, ignore_errors=True)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        (self._is_reloading if number == signal.SIGHUP else self._is_stopping).set()

    def _supervise(self, announce: Callable[[], None]) -> int:
        self._workers = [_Worker(self._listener) for _ in range(self._count)]
        has_announced = False
        while not self._is_stopping.wait(_TICK_SECONDS):
            for index, worker in enumerate(self._workers):
                if worker.poll():
                    continue
                worker.reap()
                if worker.process.exitcode == _CANNOT_START or not (worker.is_ready or has_announced):
                    log.error("a worker could not start")
                    return 1
                log.error("a worker ended with %s and is replaced", worker.process.exitcode)
                self._is_stopping.wait(_RESTART_PAUSE_SECONDS)
                self._workers[index] = _Worker(self._listener)
            if not has_announced and all(worker.is_ready for worker in self._workers):
                has_announced = True
                announce()
            if self._is_reloading.is_set() and has_announced:
                self._is_reloading.clear()
                self._replace_all()
        return 0

    def _replace_all(self) -> None:
        """One after the other, each only once its successor answers. A successor that cannot start changes nothing."""
        for index, old in enumerate(self._workers):
            new = _Worker(self._listener)
            end = time.monotonic() + _START_SECONDS
            while new.poll() and not new.is_ready and time.monotonic() < end and not self._is_stopping.is_set():
                time.sleep(_TICK_SECONDS)
            if not new.is_ready:
                new.terminate(has_successor=True)
                new.reap()
                log.error("a new worker could not start; those that run go on")
                return
            self._workers[index] = new
            old.terminate(has_successor=True)
            old.reap()
        log.warning("all workers have been replaced")
