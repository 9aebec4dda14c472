"""A real uvicorn on loopback with the application on a database of the test's choice, in a thread of this process.

`live` (support.fixtures) is `limena dev` as a user starts it. This is for tests that need other settings or routes,
look at the database behind the API, or take it away. Both have the people of the demo data.

api         the application on a database of its own with the demo data; shared by the session
provider    the OAuth 2 provider with which `api` is registered as oidc; what a test sets in it is put back
start_api   starts another one, stopped at the test's end: start_api(database, endpoints=…, LIMENA_…="…")
"""

import base64
import itertools
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from starlette.applications import Starlette

from limena import demo
from limena.app import create_app
from limena.config import Settings
from limena.http_server import HttpServer, ServerConfig, listen
from limena.master_key_files import new_entry
from limena.routes import ENDPOINTS
from limena.routing import Endpoint
from support.csrf import PageClient
from support.databases import Database, create_database
from support.live import free_port
from support.oauth import Provider, serve_provider

SECRET_KEY = base64.b64encode(secrets.token_bytes(32)).decode()
MASTER_KEYS = new_entry(1)
_numbers = itertools.count(1)


@dataclass
class Person:
    """Someone of the demo data, as a client of the API."""

    base_url: str
    email: str
    password: str
    tenant_id: str
    api_key: str | None
    _token: str | None = field(default=None, repr=False)

    @property
    def token(self) -> str:
        """An access token, of a log-in made when it is first needed."""
        if self._token is None:
            self._token = self.log_in().json()["access_token"]
        return self._token

    def log_in(self) -> httpx.Response:
        credentials = {"email": self.email, "password": self.password}
        with PageClient(base_url=self.base_url, timeout=30) as client:
            response = client.post("/api/v1/auth/login", json=credentials)
        assert response.status_code == 200, response.text
        return response

    def client(self, credential: str | None = None) -> httpx.Client:
        """A client that shows an access token, or the credential that is given."""
        headers = {"Authorization": f"Bearer {credential or self.token}"}
        return PageClient(base_url=self.base_url, headers=headers, timeout=30)


@dataclass
class Api:
    base_url: str
    app: Starlette
    database: Database
    demo: dict[str, Any]

    def client(self, **options: Any) -> httpx.Client:
        return PageClient(base_url=self.base_url, timeout=30, **options)

    def person(self, role: str = "owner", *, tenant: int = 1) -> Person:
        """Someone of the first tenant or of the second one, with a session of their own."""
        team = self.demo if tenant == 1 else self.demo["second_tenant"]
        data = team if role == "owner" else team["people"][role]
        return Person(self.base_url, data["email"], data["password"], data["tenant_id"], data["api_key"])

    def make_key(self, *scopes: str, role: str = "owner", tenant: int = 1) -> str:
        """A new API key with these scopes."""
        with self.person(role, tenant=tenant).client() as client:
            response = client.post("/api/v1/api-keys", json={"name": "made by a test", "scopes": list(scopes)})
        assert response.status_code == 201, response.text
        key: str = response.json()["key"]
        return key


@cache
def jwt_key() -> str:
    """One key for the session: making one takes a while."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=3072)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")


def make_settings(database: Database, base_url: str, environment: Mapping[str, str]) -> Settings:
    if "LIMENA_APP_DSN" not in environment:  # a server that is stopped has no DSN
        dsn = {
            "LIMENA_APP_DSN": database.dsn("limena_app"),
            "LIMENA_AUTH_DSN": database.dsn("limena_auth"),
            "LIMENA_READONLY_DSN": database.dsn("limena_readonly"),
        }
        environment = dsn | dict(environment)
    return Settings.from_env(
        {
            "LIMENA_ENV": "development",
            "LIMENA_BASE_URL": base_url,
            "LIMENA_JWT_KEY": jwt_key(),
            "LIMENA_SECRET_KEY": SECRET_KEY,
            "LIMENA_MASTER_KEYS": MASTER_KEYS,
            "LIMENA_BCRYPT_COST": "4",
            **({} if environment.get("LIMENA_ENV") == "production" else {"LIMENA_RATE_LIMITS": "off"}),
            **environment,
        }
    )


def make_demo(database: Database) -> dict[str, Any]:
    return demo.build(
        demo.new_plan(),
        app_dsn=database.dsn("limena_app"),
        auth_dsn=database.dsn("limena_auth"),
        deploy_dsn=database.dsn(),
        bcrypt_cost=4,
    )


@contextmanager
def serve(
    database: Database,
    data: dict[str, Any],
    endpoints: Sequence[Endpoint] = ENDPOINTS,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Api]:
    port = free_port()
    base_url = f"http://127.0.0.1:{port}"
    app = create_app(make_settings(database, base_url, environment or {}), endpoints=endpoints)
    server = HttpServer(ServerConfig(app, drain_seconds=0))
    thread = threading.Thread(target=server.run, args=([listen("127.0.0.1", port)],), name="uvicorn")
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "uvicorn did not start"
            thread.join(0.01)
        yield Api(base_url, app, database, data)
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def _provider() -> Iterator[Provider]:
    with serve_provider() as running:
        yield running


@pytest.fixture
def provider(_provider: Provider) -> Iterator[Provider]:
    yield _provider
    _provider.reset()


@pytest.fixture(scope="session")
def api(template: Database, _provider: Provider) -> Iterator[Api]:
    database = create_database(template.server, "api", template)
    with serve(database, make_demo(database), environment=_provider.environment()) as running:
        _provider.allow(running.base_url)
        yield running


@pytest.fixture(autouse=True)
def _forget_failed_log_ins(request: pytest.FixtureRequest) -> None:
    """All tests log in from one address: the failures of one must not keep the next one waiting."""
    if "api" in request.fixturenames:
        shared: Api = request.getfixturevalue("api")
        with shared.database.connect() as connection:
            connection.execute("delete from limena.log_in_failures")


@pytest.fixture
def start_api() -> Iterator[Callable[..., Api]]:
    """start_api(database, data=None, endpoints=…, LIMENA_…="…"). Without `data` the demo data is made."""
    running = []

    def start(
        database: Database,
        data: dict[str, Any] | None = None,
        *,
        endpoints: Sequence[Endpoint] = ENDPOINTS,
        **environment: str,
    ) -> Api:
        context = serve(database, make_demo(database) if data is None else data, endpoints, environment)
        running.append(context)
        return context.__enter__()

    yield start
    for context in reversed(running):
        context.__exit__(None, None, None)
