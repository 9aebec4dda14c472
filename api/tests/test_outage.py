"""PostgreSQL killed under load: 503, then service again; no valid credential is ever answered 401 because something
else failed."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from limena.deploy import deploy
from limena.embedded import PostgresServer
from support.api import Api, make_demo, serve
from support.databases import Database

PATIENCE = 60.0


@pytest.fixture
def breakable(bin_dir: Path, new_folder: Callable[[], Path]) -> Iterator[Api]:
    # Commits reach the disk: else the log-in itself might be lost with the server.
    with PostgresServer(new_folder() / "pg", bin_dir) as server:
        database = Database(server, "limena")
        deploy(database.dsn(), environment="development", echo=lambda line: None)
        with serve(database, make_demo(database), environment={"LIMENA_POOL_TIMEOUT_SECONDS": "1"}) as running:
            yield running


class Load:
    """Clients with a session, with a key, and of the pages that need nobody."""

    def __init__(self, api: Api) -> None:
        person = api.person()
        clients = [
            ("session", person.client(), "/api/v1/me"),
            ("key", person.client(person.api_key), "/api/v1/members"),
        ]
        clients += [("nobody", api.client(), "/healthz")]
        self.statuses: dict[str, Counter[int]] = {name: Counter() for name, _, _ in clients}
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(name, client, path)) for name, client, path in clients * 2
        ]
        self._clients = [client for _, client, _ in clients]

    def _ask(self, name: str, client: httpx.Client, path: str) -> None:
        while not self._stop.is_set():
            self.statuses[name][client.get(path).status_code] += 1

    def until(self, status: int, *names: str) -> None:
        """Waits until each of them has had this answer once more."""
        before = {name: self.statuses[name][status] for name in names}
        end = time.monotonic() + PATIENCE
        while any(self.statuses[name][status] == before[name] for name in names):
            assert time.monotonic() < end, f"no {status}: {self.statuses}"
            time.sleep(0.02)

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        for client in self._clients:
            client.close()


def test_postgresql_killed_under_load(breakable: Api) -> None:
    server = breakable.database.server
    with Load(breakable) as load:
        for _ in range(2):
            load.until(200, "session", "key", "nobody")
            server.kill()
            load.until(503, "session", "key")
            load.until(200, "nobody")
            server.start()
            load.until(200, "session", "key")
    assert set(load.statuses["session"]) == {200, 503}
    assert set(load.statuses["key"]) == {200, 503}
    assert set(load.statuses["nobody"]) == {200}
    breakable.person().log_in()
