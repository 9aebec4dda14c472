"""`limena dev`: all that a developer needs on one machine, in one folder, started by one command.

The folder (0700) is the one place where development keeps secrets in files:

    lock              held by the running `limena dev`
    postgres/         the embedded PostgreSQL: its data, its socket and its log
    jwt-key.pem       the key that signs tokens, made at the first start
    secret-key        of which CSRF tokens, links in mails and refresh tokens are made, likewise
    master-keys       that encrypt the credentials of third parties, likewise
    tls-cert.pem      the throwaway certificate of --tls, and tls-key.pem its key
    demo.pending      the demo data that is being made; gone once it is in dev.json
    mail/             the mails that would have been sent, without LIMENA_SMTP_URL
    dev.json          address, DSNs and demo log-ins, for people and programs

Refuses to run on a folder that it did not make, beside a second one on the same folder, on any address but loopback,
with LIMENA_ENV=production, and on a server of your own unless LIMENA_ENV=development says that this is meant.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import fcntl
import json
import logging
import os
import re
import secrets
import shlex
import signal
import socket
import ssl
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Final

from starlette.applications import Starlette

from limena import demo, logs, master_key_files
from limena.app import create_app
from limena.config import VARIABLES, OperatorSettings, SecretFileError, Settings, WorkerSettings, read_secret_file
from limena.deploy import deploy
from limena.embedded import PostgresServer
from limena.http_server import HttpServer, ServerConfig
from limena.private_files import write_private
from limena.tls import create_context, is_fresh, throwaway_certificate
from limena.tokens import new_private_key
from limena.worker import Worker, create_worker

DEFAULT_PORT: Final = 8000
DEFAULT_DATA_DIR: Final = Path(".limena")
HOST: Final = "127.0.0.1"
BCRYPT_COST: Final = "10"
"""A quarter of production's time. LIMENA_BCRYPT_COST overrides it."""

_POLL_SECONDS: Final = 1.0
"""A mail lies in its folder soon after the request that caused it."""

# What a folder of ours can hold: a folder with anything else in it is somebody's, whatever else it holds.
_OWN_FILES: Final = (
    "jwt-key.pem",
    "secret-key",
    "master-keys",
    "tls-cert.pem",
    "tls-key.pem",
    "demo.pending",
    "dev.json",
    ".gitignore",
)
_OWN_NAMES: Final = frozenset({"lock", "postgres", "mail", *_OWN_FILES})
_TEMPORARY: Final = re.compile(rf"\.(?:{'|'.join(map(re.escape, _OWN_FILES))})\.[0-9a-f]{{16}}\.tmp")
_LONGEST_LOCK: Final = 20
_OWN_SETTINGS: Final = {"LIMENA_ENV", "LIMENA_BASE_URL"}

Echo = Callable[[str], None]


class DevError(Exception):
    """Why `limena dev` does not run, as a sentence."""


class AlreadyRunning(DevError):
    """Another process holds the folder."""


def run(
    data_dir: Path, *, port: int, with_demo: bool, env: Mapping[str, str], echo: Echo, with_tls: bool = False
) -> None:
    """Starts everything, serves until Ctrl-C, SIGTERM or SIGHUP, stops everything, and returns.

    `port` 0 takes a free one. Belongs into the main thread, because it handles signals. Raises `DevError`, and what the
    configuration, the embedded PostgreSQL, the deploy and the demo data raise; each text is for whoever started it."""
    if env.get("LIMENA_ENV") == "production":
        raise DevError("LIMENA_ENV is production: limena dev is for development, and keeps secrets in files.")
    logs.configure(sys.stderr, level=logging.WARNING)
    folder = _Folder(data_dir)
    with _signals() as signals, ExitStack() as stack:
        try:
            stack.enter_context(folder.locked())
            listener = stack.enter_context(_listen(port))
            base_url = f"{'https' if with_tls else 'http'}://{HOST}:{listener.getsockname()[1]}"
            dsns = stack.enter_context(_database(folder, env, echo))
            _deploy(dsns, echo)
            settings = _settings(folder, dsns, base_url, env)
            shown = _demo_data(folder, settings, echo) if with_demo else folder.known_demo()
            folder.write_dev({"base_url": base_url, "dsn": asdict(dsns), "demo": shown})
            folder.forget_plan()
            server = _Server(
                create_app(settings),
                tls=folder.tls_context() if with_tls else None,
                announce=lambda: _announce(folder, base_url, shown, echo),
                worker=_worker(folder, dsns, base_url, env),
            )
            signals.then(server.stop)
            server.run(sockets=[listener])
            echo("Stopping.")
        except _Stopped:
            echo("Stopping.")
        finally:
            signals.then(_do_nothing)  # a second Ctrl-C must not leave PostgreSQL behind


@contextmanager
def development_environment(data_dir: Path, env: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """The variables with which a command reaches the database of a `limena dev`, whether that runs or not: an embedded
    PostgreSQL that is down is started for as long as this lasts. Raises `DevError`."""
    folder = _Folder(data_dir)
    dev = folder.read_dev()
    if dev is None:
        raise DevError(f"No limena dev has run in {data_dir} yet: it has no dev.json.")
    with ExitStack() as stack:
        dsns = _Dsns(**dev["dsn"])
        try:
            stack.enter_context(folder.locked())
        except AlreadyRunning:
            pass  # then dev.json says how to reach it
        else:
            if folder.postgres.exists() and not _uses_own_server(env):
                dsns = _Dsns.of(stack.enter_context(_embedded_server(folder, env)))
        yield _variables(folder, dsns, dev["base_url"], env)


# What is given to the rest


@dataclass(frozen=True, slots=True)
class _Dsns:
    superuser: str = field(repr=False)
    app: str = field(repr=False)
    auth: str = field(repr=False)
    readonly: str = field(repr=False)
    maintenance: str = field(repr=False)

    @classmethod
    def of(cls, server: PostgresServer) -> _Dsns:
        roles = ("limena_app", "limena_auth", "limena_readonly", "limena_maintenance")
        return cls(server.dsn(), *(server.dsn(role) for role in roles))


def _uses_own_server(env: Mapping[str, str]) -> bool:
    return bool(env.get("LIMENA_DEPLOY_DSN") or env.get("LIMENA_DEPLOY_DSN_FILE"))


@contextmanager
def _database(folder: _Folder, env: Mapping[str, str], echo: Echo) -> Iterator[_Dsns]:
    if _uses_own_server(env):
        yield _own_server(env)
        return
    is_new = not folder.postgres.exists()
    echo("Making a PostgreSQL; this takes a few seconds …" if is_new else "Starting PostgreSQL …")
    with _embedded_server(folder, env) as server:
        yield _Dsns.of(server)


def _embedded_server(folder: _Folder, env: Mapping[str, str]) -> PostgresServer:
    bin_dir = env.get("LIMENA_DEV_BINDIR")
    return PostgresServer(folder.postgres, Path(bin_dir) if bin_dir else None)


def _own_server(env: Mapping[str, str]) -> _Dsns:
    if env.get("LIMENA_ENV") != "development":
        raise DevError(
            "LIMENA_DEPLOY_DSN is set: to deploy and put demo data there, set LIMENA_ENV=development as well; "
            "to have a PostgreSQL started, unset it."
        )
    given = OperatorSettings.from_env(env)
    dsns = {
        "LIMENA_DEPLOY_DSN": given.deploy_dsn,
        "LIMENA_APP_DSN": given.app_dsn,
        "LIMENA_AUTH_DSN": given.auth_dsn,
        "LIMENA_READONLY_DSN": given.readonly_dsn,
        "LIMENA_MAINTENANCE_DSN": given.maintenance_dsn,
    }
    missing = [name for name, dsn in dsns.items() if dsn is None]
    if missing:
        raise DevError(
            f"LIMENA_DEPLOY_DSN is set, and {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing: "
            "a server of your own needs the DSNs of all roles (docs/configuration.md shows how to make them)."
        )
    return _Dsns(*(dsn for dsn in dsns.values() if dsn is not None))


def _variables(folder: _Folder, dsns: _Dsns, base_url: str, env: Mapping[str, str]) -> dict[str, str]:
    """The configuration: address and secrets are the folder's own, the rest may be set from outside."""
    kept = {variable.name for variable in VARIABLES if not variable.is_secret} - _OWN_SETTINGS
    return {
        "LIMENA_BCRYPT_COST": BCRYPT_COST,
        **{name: env[name] for name in kept if name in env},
        **{name: env[name] for name in ("LIMENA_SMTP_URL", "LIMENA_SMTP_URL_FILE") if name in env},
        "LIMENA_ENV": "development",
        "LIMENA_BASE_URL": base_url,
        "LIMENA_JWT_KEY": folder.jwt_key(),
        "LIMENA_SECRET_KEY": folder.secret_key(),
        "LIMENA_MASTER_KEYS": folder.master_keys(),
        "LIMENA_DEPLOY_DSN": dsns.superuser,
        "LIMENA_APP_DSN": dsns.app,
        "LIMENA_AUTH_DSN": dsns.auth,
        "LIMENA_READONLY_DSN": dsns.readonly,
        "LIMENA_MAINTENANCE_DSN": dsns.maintenance,
    }


def _settings(folder: _Folder, dsns: _Dsns, base_url: str, env: Mapping[str, str]) -> Settings:
    return Settings.from_env(_variables(folder, dsns, base_url, env))


def _worker(folder: _Folder, dsns: _Dsns, base_url: str, env: Mapping[str, str]) -> Worker:
    settings = WorkerSettings.from_env(_variables(folder, dsns, base_url, env))
    return create_worker(settings, mail_folder=mail_folder(folder.path), poll_seconds=_POLL_SECONDS)


def mail_folder(data_dir: Path) -> Path:
    """Where mails become files."""
    return data_dir / "mail"


def _deploy(dsns: _Dsns, echo: Echo) -> None:
    def warnings_only(line: str) -> None:
        if line.startswith("warning:"):
            echo(line)

    result = deploy(dsns.superuser, environment="development", echo=warnings_only)
    if result.changes:
        echo(f"Deployed {len(result.changes)} files to the database.")


def _demo_data(folder: _Folder, settings: Settings, echo: Echo) -> dict[str, Any]:
    """Made once. A plan that is still there was interrupted, and is completed."""
    plan, known = folder.read_plan(), folder.known_demo()
    if plan is None:
        if known is not None and demo.is_present(known["email"], deploy_dsn=settings.deploy_dsn or ""):
            return known
        plan = demo.new_plan()
        if demo.is_present(plan.first.owner.email, deploy_dsn=settings.deploy_dsn or ""):
            raise DevError(
                f"The database has the demo data, but {folder.path} no longer has its passwords (they were in "
                "dev.json): start with --no-demo, or on another folder or database."
            )
        folder.write_plan(plan)
    echo("Making demo data …")
    return demo.build(
        plan,
        app_dsn=settings.app_dsn,
        auth_dsn=settings.auth_dsn,
        deploy_dsn=settings.deploy_dsn or "",
        bcrypt_cost=settings.bcrypt_cost,
    )


def _announce(folder: _Folder, base_url: str, shown: dict[str, Any] | None, echo: Echo) -> None:
    trust = f"--cacert {shlex.quote(str(folder.tls_cert))} " if base_url.startswith("https:") else ""
    lines = ["", f"Limena runs on {base_url}", ""]
    if shown is not None:
        lines += [
            f"  Log in     {shown['email']}",
            f"  Password   {shown['password']}",
            f"  API key    {shown['api_key']}",
            "",
            "Try it:",
            f"curl -s {trust}-H 'Authorization: Bearer {shown['api_key']}' {base_url}/api/v1/me",
            "",
        ]
    lines.append(f"Without LIMENA_SMTP_URL, mails become files in {mail_folder(folder.dev_path.parent)}.")
    lines.append(f"{folder.dev_path} has the database's DSNs and everyone who can log in. Ctrl-C stops it.")
    echo("\n".join(lines))


# The folder


class _Folder:
    """What is kept between starts. Everything in it is readable by its owner alone."""

    def __init__(self, path: Path) -> None:
        self.path: Final = path.absolute()
        self.dev_path: Final = path / "dev.json"
        """As it was given, for people to read."""
        self.postgres: Final = self.path / "postgres"
        self._lock: Final = self.path / "lock"
        self._dev: Final = self.path / "dev.json"
        self._plan: Final = self.path / "demo.pending"
        self._jwt_key: Final = self.path / "jwt-key.pem"
        self.tls_cert: Final = self.path / "tls-cert.pem"
        self._tls_key: Final = self.path / "tls-key.pem"
        self._secret_key: Final = self.path / "secret-key"
        self._master_keys: Final = self.path / "master-keys"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Makes the folder if need be, and holds it. The lock ends with the process, however that ends."""
        self._prepare()
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(descriptor, _LONGEST_LOCK, 0).decode("ascii", "replace").strip()
                raise AlreadyRunning(
                    f"A limena dev (process {holder or 'unknown'}) is using {self.path}: stop it, or name another "
                    "folder with --data-dir."
                ) from None
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            for left_over in self.path.iterdir():
                if _TEMPORARY.fullmatch(left_over.name):
                    left_over.unlink()
            write_private(self.path / ".gitignore", "*\n")
            yield
        finally:
            os.close(descriptor)

    def _prepare(self) -> None:
        try:
            self.path.mkdir(mode=0o700, parents=True)
        except FileExistsError:
            pass
        except OSError as error:
            raise DevError(f"{self.path} cannot be made ({error.strerror}).") from None
        try:
            status = self.path.stat()
            names = {entry.name for entry in self.path.iterdir()}
        except OSError as error:
            raise DevError(f"{self.path} cannot be used ({error.strerror}).") from None
        if status.st_uid != os.geteuid():
            raise DevError(f"{self.path} belongs to another user: name another folder with --data-dir.")
        strangers = [name for name in names if name not in _OWN_NAMES and not _TEMPORARY.fullmatch(name)]
        if names and (strangers or not self._has_lock()):
            raise DevError(
                f"{self.path} holds other things, and limena dev did not make it: name another folder with --data-dir."
            )
        if stat.S_IMODE(status.st_mode) != 0o700:
            self.path.chmod(0o700)

    def _has_lock(self) -> bool:
        """The lock is the first thing in a folder of ours, and stays. It holds a process's number or, for a moment,
        nothing."""
        try:
            status = self._lock.lstat()
            return (
                stat.S_ISREG(status.st_mode)
                and status.st_size <= _LONGEST_LOCK
                and re.fullmatch(rb"[0-9]*\n?", self._lock.read_bytes()) is not None
            )
        except FileNotFoundError:
            return False
        except OSError as error:
            raise DevError(f"{self._lock} cannot be used ({error.strerror}).") from None

    def jwt_key(self) -> str:
        """The PEM of this folder's signing key, made when there is none."""
        if (pem := self._read(self._jwt_key)) is not None:
            return pem
        pem = new_private_key()
        write_private(self._jwt_key, pem)
        return pem

    def master_keys(self) -> str:
        """The vault's master keys, made when there are none."""
        if (text := self._read(self._master_keys)) is not None:
            return text
        text = master_key_files.new_entry(1) + "\n"
        write_private(self._master_keys, text)
        return text

    def secret_key(self) -> str:
        """The base64 of this folder's secret key, made when there is none."""
        if (text := self._read(self._secret_key)) is not None:
            return text.strip()
        text = base64.b64encode(secrets.token_bytes(32)).decode("ascii")
        write_private(self._secret_key, text + "\n")
        return text

    def tls_context(self) -> ssl.SSLContext:
        """With a throwaway certificate, made when there is none that is good for another day."""
        certificate = self._read(self.tls_cert)
        if certificate is None or not self._tls_key.exists() or not is_fresh(certificate):
            certificate, key = throwaway_certificate()
            write_private(self._tls_key, key)
            write_private(self.tls_cert, certificate)
        return create_context(self.tls_cert, self._tls_key)

    def read_dev(self) -> dict[str, Any] | None:
        text = self._read(self._dev)
        if text is None:
            return None
        try:
            dev: dict[str, Any] = json.loads(text)
            return {"base_url": dev["base_url"], "dsn": asdict(_Dsns(**dev["dsn"])), "demo": dev["demo"]}
        except (ValueError, TypeError, KeyError):
            raise DevError(f"{self._dev} is not what limena dev wrote: mend or remove it.") from None

    def write_dev(self, dev: dict[str, Any]) -> None:
        write_private(self._dev, json.dumps(dev, indent=2) + "\n")

    def known_demo(self) -> dict[str, Any] | None:
        """The demo data of an earlier start."""
        return (self.read_dev() or {}).get("demo")

    def read_plan(self) -> demo.Plan | None:
        text = self._read(self._plan)
        try:
            return None if text is None else demo.Plan.from_json(text)
        except (ValueError, TypeError, KeyError):
            raise DevError(f"{self._plan} is not what limena dev wrote: remove it.") from None

    def write_plan(self, plan: demo.Plan) -> None:
        write_private(self._plan, plan.to_json())

    def forget_plan(self) -> None:
        """Only after dev.json has what it held."""
        self._plan.unlink(missing_ok=True)

    def _read(self, path: Path) -> str | None:
        if not path.exists():
            return None
        try:
            return read_secret_file(path)
        except SecretFileError as error:
            raise DevError(f"{path} {error}.") from None


# The server


@contextmanager
def _listen(port: int) -> Iterator[socket.socket]:
    """A loopback socket that takes connections at once: they wait until the server answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
            listener.listen(128)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise DevError(f"Port {port} cannot be opened ({error.strerror}): name another with --port.") from None
            raise DevError(f"Port {port} is taken by another program: stop it, or name another with --port.") from None
        yield listener


class _Server(HttpServer):
    """With a worker beside it, so that one process is all there is. It ends at once: nobody balances its load."""

    def __init__(
        self, app: Starlette, announce: Callable[[], None], worker: Worker, *, tls: ssl.SSLContext | None
    ) -> None:
        super().__init__(ServerConfig(app, drain_seconds=0, tls=tls), announce=announce)
        self._worker: Final = worker

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        stop = asyncio.Event()
        working = asyncio.create_task(self._worker.run(stop))
        try:
            await super().serve(sockets)
        finally:
            stop.set()
            await working

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            super().run(sockets)
        except SystemExit:  # its way to say that the application's start failed
            raise DevError("The server could not be started; the lines above say why.") from None


class _Stopped(BaseException):
    """Ctrl-C or SIGTERM before the server runs. Not an Exception, so that nothing on the way takes it for a failure."""


def _raise_stopped() -> None:
    raise _Stopped


def _do_nothing() -> None: ...


class _Signals:
    def __init__(self) -> None:
        self._action: Callable[[], None] = _raise_stopped

    def then(self, action: Callable[[], None]) -> None:
        """What the next signal does."""
        self._action = action

    def handle(self, number: int, frame: FrameType | None) -> None:
        action = self._action
        if action is _raise_stopped:
            self._action = _do_nothing  # once: what unwinds now must be able to finish
        action()


@contextmanager
def _signals() -> Iterator[_Signals]:
    """Takes over SIGINT, SIGTERM and SIGHUP. uvicorn takes the first two over while it serves, and raises them again
    when it has shut down; by then they find `_Server.stop`, which has nothing left to do."""
    signals = _Signals()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signals.handle) for number in numbers}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
