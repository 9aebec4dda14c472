"""The fixtures that all tests share. `--server` picks the PostgreSQL; everything else runs on what it picked.

server          a fresh PostgreSQL for the session, quick and forgetful (no fsync)
database        deployed, with pgTAP and the helpers; shared, so leave it as you found it
fresh_database  makes a copy of it for one test, to change at will
empty_database  makes a database in which nothing is deployed, on the same server (roles are the server's, not its own)
start_server    makes another server with settings of its own, for tests about the server or about roles
live            `limena dev`: a real uvicorn on loopback, a PostgreSQL of its own, the demo data; shared by the session
start_live      starts another one, for tests that stop it or break its database
"""

import itertools
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from pytest_pgtap.plugin import PgTapItem

from limena.embedded import EmbeddedPostgresError, PostgresServer, embedded_bin_dir, system_bin_dirs
from support import live as live_server
from support import tap
from support.databases import Database, create_database, drop_database, load_helpers, load_pgtap
from support.live import Live

# Data that is thrown away needs no disk; the clients of a suite are more than the default allows for.
FORGETFUL = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "max_connections": "200"}

# What can hold back vacuum and the sealer: transactions that are prepared, and slots.
HOLDING = {"max_prepared_transactions": "5", "wal_level": "logical"}

_numbers = itertools.count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("limena")
    group.addoption("--only-with-server", action="store_true", help="leave out the tests that no PostgreSQL is part of")
    group.addoption(
        "--server",
        default="embedded",
        metavar="embedded|system|DIR",
        help="the PostgreSQL to test on: the embedded one, the newest of the system, or the programs in DIR",
    )


def pytest_configure(config: pytest.Config) -> None:
    """SIGTERM ends a run as Ctrl-C does: the servers that it started go with it."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _bin_dir(config: pytest.Config) -> Path:
    choice = str(config.getoption("--server"))
    try:
        if choice == "embedded":
            return embedded_bin_dir()
        if choice == "system":
            found = system_bin_dirs()
            if not found:
                raise pytest.UsageError("--server=system: this machine has no PostgreSQL from 15 on")
            return found[0]
        PostgresServer(Path("unused"), Path(choice)).version  # noqa: B018 - raises when it is no server's folder
    except EmbeddedPostgresError as error:
        raise pytest.UsageError(f"--server={choice}: {error}") from error
    return Path(choice)


def pytest_report_header(config: pytest.Config) -> str:
    bin_dir = _bin_dir(config)
    return f"PostgreSQL: {PostgresServer(Path('unused'), bin_dir).version} ({config.getoption('--server')})"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On a second server, what needs none would only be said twice. All that needs one depends on `bin_dir`."""
    if config.getoption("--only-with-server"):
        needless = [item for item in items if isinstance(item, pytest.Function) and "bin_dir" not in item.fixturenames]
        config.hook.pytest_deselected(items=needless)
        items[:] = [item for item in items if item not in needless]


@pytest.fixture(scope="session")
def bin_dir(pytestconfig: pytest.Config) -> Path:
    """The folder of the programs of the PostgreSQL under test."""
    return _bin_dir(pytestconfig)


def _memory() -> Path | None:
    shared = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
    if "TMPDIR" in os.environ or not os.access(shared, os.W_OK | os.X_OK):
        return None
    return shared if shutil.disk_usage(shared).free > 8 << 30 else None


@pytest.fixture(scope="session")
def new_folder() -> Iterator[Callable[[], Path]]:
    """Makes folders that a server may have: short enough for a socket, and passable for the account it runs as.

    In memory where there is plenty of it and TMPDIR says nothing else: dozens of new clusters are a disk's whole day.
    """
    top = Path(tempfile.mkdtemp(prefix="limena-test-", dir=_memory()))
    top.chmod(0o711)

    def make() -> Path:
        folder = top / str(next(_numbers))
        folder.mkdir(mode=0o711)
        return folder

    yield make
    shutil.rmtree(top)


@pytest.fixture(scope="session")
def server(bin_dir: Path, new_folder: Callable[[], Path]) -> Iterator[PostgresServer]:
    with PostgresServer(new_folder() / "pg", bin_dir, FORGETFUL | HOLDING) as running:
        yield running


@pytest.fixture
def start_server(bin_dir: Path, new_folder: Callable[[], Path]) -> Iterator[Callable[..., PostgresServer]]:
    """start_server(log_statement="all"): another server, stopped at the test's end."""
    started: list[PostgresServer] = []

    def start(**settings: str) -> PostgresServer:
        running = PostgresServer(new_folder() / "pg", bin_dir, {**FORGETFUL, **settings})
        running.start()
        started.append(running)
        return running

    yield start
    for running in started:
        running.stop()
        shutil.rmtree(running.data_dir)


@pytest.fixture(scope="session")
def template(server: PostgresServer) -> Database:
    """What `database` and `fresh_database` are copies of. Nobody may stay connected to it."""
    from limena.deploy import deploy

    made = create_database(server, "template_deployed")
    deploy(made.dsn(), environment="development", echo=lambda line: None)
    load_pgtap(made)
    load_helpers(made)
    return made


@pytest.fixture(scope="session")
def database(template: Database) -> Database:
    return create_database(template.server, "shared", template)


@pytest.fixture
def fresh_database(template: Database) -> Iterator[Callable[[], Database]]:
    made: list[Database] = []

    def make() -> Database:
        made.append(create_database(template.server, f"copy_{next(_numbers)}", template))
        return made[-1]

    yield make
    for one in made:
        drop_database(one)


@pytest.fixture
def empty_database(server: PostgresServer) -> Iterator[Callable[[], Database]]:
    made: list[Database] = []

    def make() -> Database:
        made.append(create_database(server, f"empty_{next(_numbers)}"))
        return made[-1]

    yield make
    for one in made:
        drop_database(one)


@pytest.fixture(scope="session")
def pgtap_connection(database: Database) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """pytest-pgtap runs every file of db/tests on this one connection; `_leaves_nothing_behind` cleans up between."""
    with tap.connect(database) as connection:
        yield connection


@pytest.fixture(scope="session")
def _pgtap_runner(pgtap_connection: psycopg.Connection[tuple[object, ...]]) -> tap.TextRunner:
    """In place of pytest-pgtap's own, which stumbles over rows that are no text."""
    return tap.TextRunner(pgtap_connection)


@pytest.fixture(autouse=True)
def _leaves_nothing_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """A pgTAP file is one transaction that is rolled back, and no setting of its session outlives it."""
    if not isinstance(request.node, PgTapItem):
        yield
        return
    statements = re.sub(r"--[^\n]*", "", request.node.path.read_text()).split()
    if statements[:1] != ["begin;"] or statements[-1:] != ["rollback;"] or "commit;" in statements:
        pytest.fail("a pgTAP file starts with 'begin;', ends with 'rollback;' and never commits", pytrace=False)
    connection: psycopg.Connection[tuple[object, ...]] = request.getfixturevalue("pgtap_connection")
    yield
    connection.rollback()
    connection.execute("discard all")


@pytest.fixture(scope="session")
def live(bin_dir: Path, new_folder: Callable[[], Path]) -> Iterator[Live]:
    running = live_server.start(new_folder() / "dev", bin_dir)
    yield running
    code = running.stop()
    assert code == 0, f"limena dev ended with {code} on SIGTERM: {running.output.read_text()[-3000:]}"


@pytest.fixture
def start_live(bin_dir: Path, new_folder: Callable[[], Path]) -> Iterator[Callable[..., Live]]:
    """start_live(*arguments, data_dir=…, environment=…): another `limena dev`, stopped at the test's end."""
    started: list[Live] = []

    def start(*arguments: str, data_dir: Path | None = None, environment: dict[str, str] | None = None) -> Live:
        folder = new_folder() / "dev" if data_dir is None else data_dir
        started.append(live_server.start(folder, bin_dir, *arguments, environment=environment))
        return started[-1]

    yield start
    for running in started:
        running.stop()
    for folder in {running.data_dir for running in started}:
        shutil.rmtree(folder)
