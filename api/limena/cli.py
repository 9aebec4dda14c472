"""The command line: `limena dev`, `limena deploy`, `limena doctor`, `limena worker`, `limena user promote`.

What is expected to go wrong is told in a plain sentence on stderr, with exit code 1; wrong arguments end with 2.
Refuses to show a traceback for any of it, and to take a secret as an argument, where every process of the machine could
read it.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import psycopg

from limena import __version__, worker
from limena.config import ConfigError, OperatorSettings, WorkerSettings
from limena.demo import DemoError
from limena.deploy import DeployError, deploy, plan, print_script
from limena.dev import DEFAULT_DATA_DIR, DEFAULT_PORT, DevError, development_environment, mail_folder, run
from limena.doctor import find_problems
from limena.embedded import EmbeddedPostgresError
from limena.promotion import PromotionError, promote_user

EXPECTED_ERRORS = (ConfigError, DemoError, DeployError, DevError, EmbeddedPostgresError, PromotionError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.command(options, os.environ)
        sys.stdout.flush()
    except EXPECTED_ERRORS as error:
        return _fail(str(error))
    except psycopg.Error as error:
        return _fail(f"The database cannot be used: {str(error).strip()}")
    except KeyboardInterrupt:
        return _fail("Interrupted.", 130)
    except BrokenPipeError:
        # Whoever read our output has gone (`| head`). The interpreter must not try to flush to them again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="limena", description="Tenant isolation for PostgreSQL and Starlette.")
    parser.add_argument("--version", action="version", version=f"limena {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    dev = commands.add_parser("dev", help="start Limena with a PostgreSQL and demo data, for development")
    dev.add_argument("--port", type=_port, default=DEFAULT_PORT, help="on 127.0.0.1; 0 takes a free one (%(default)s)")
    dev.add_argument("--data-dir", type=Path, default=DEFAULT_DATA_DIR, help="where everything is kept (%(default)s)")
    dev.add_argument("--no-demo", action="store_true", help="make no demo data")
    dev.set_defaults(command=_dev)

    deploying = commands.add_parser("deploy", help="bring the database at LIMENA_DEPLOY_DSN to this version")
    what = deploying.add_mutually_exclusive_group()
    what.add_argument("--plan", action="store_true", help="list what would be done, and do nothing")
    what.add_argument("--print", action="store_true", help="write the SQL for psql, and do nothing")
    deploying.set_defaults(command=_deploy)

    doctor = commands.add_parser("doctor", help="check the database and the configuration; one line a finding")
    _add_data_dir(doctor)
    doctor.set_defaults(command=_doctor)

    working = commands.add_parser("worker", help="deliver mail and do maintenance; any number may run")
    _add_data_dir(working)
    working.set_defaults(command=_worker)

    user = commands.add_parser("user", help="users")
    user_commands = user.add_subparsers(metavar="COMMAND", required=True)
    promote = user_commands.add_parser("promote", help="make a user a platform admin")
    promote.add_argument("email", metavar="EMAIL")
    _add_data_dir(promote)
    promote.set_defaults(command=_promote)
    return parser


def _add_data_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-dir",
        type=Path,
        help=f"the folder of a limena dev ({DEFAULT_DATA_DIR}, if it is there and no DSN is configured)",
    )


def _port(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 0 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port")
    return int(text)


def _dev(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    run(options.data_dir, port=options.port, with_demo=not options.no_demo, env=env, echo=_echo)
    return 0


def _deploy(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    settings = OperatorSettings.from_env(env)
    if options.print:
        sys.stdout.write(print_script(settings.deploy_dsn, environment=settings.environment))
        return 0
    dsn = _deploy_dsn(settings)
    if options.plan:
        changes = [step.label for step in plan(dsn, environment=settings.environment) if step.path is not None]
        _echo("\n".join(changes) if changes else "Nothing to do: the database is at this version.")
        return 0
    result = deploy(dsn, environment=settings.environment, echo=_echo)
    _echo(f"Deployed {len(result.changes)} files." if result.changes else "The database was at this version already.")
    return 0


def _doctor(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    with ExitStack() as stack:
        findings = find_problems(_environment(options.data_dir, env, stack))
    for finding in findings:
        _echo(finding)
    if findings:
        return 1
    _echo("no findings")
    return 0


def _worker(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    with ExitStack() as stack:
        settings = WorkerSettings.from_env(_environment(options.data_dir, env, stack))
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
        worker.run(worker.create_worker(settings, mail_folder=mail_folder(options.data_dir or DEFAULT_DATA_DIR)))
    return 0


def _promote(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    with ExitStack() as stack:
        settings = OperatorSettings.from_env(_environment(options.data_dir, env, stack))
        promote_user(_deploy_dsn(settings), options.email)
    _echo(f"{options.email} is a platform admin.")
    return 0


def _environment(data_dir: Path | None, env: Mapping[str, str], stack: ExitStack) -> Mapping[str, str]:
    """That of the shell; or that of a `limena dev`, when its folder is named or lies here and no DSN is configured."""
    if data_dir is None:
        is_configured = any(name.startswith("LIMENA_") and "_DSN" in name and value for name, value in env.items())
        if is_configured or not (DEFAULT_DATA_DIR / "dev.json").exists():
            return env
        data_dir = DEFAULT_DATA_DIR
    return stack.enter_context(development_environment(data_dir, env))


def _deploy_dsn(settings: OperatorSettings) -> str:
    if settings.deploy_dsn is None:
        raise ConfigError(
            [
                "LIMENA_DEPLOY_DSN is not set: it is the DSN of a superuser, or of a role with CREATEROLE that owns "
                "the database."
            ]
        )
    return settings.deploy_dsn


def _echo(text: str) -> None:
    print(text, flush=True)


def _fail(text: str, code: int = 1) -> int:
    for line in text.splitlines():
        print(f"limena: {line}", file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
