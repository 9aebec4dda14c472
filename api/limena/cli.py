"""The command line: `limena dev`, `serve`, `worker`, `deploy`, `doctor`, `user promote` and what makes keys.

What is expected to go wrong is told in a plain sentence on stderr, with exit code 1; wrong arguments end with 2.
Refuses to show a traceback for any of it, and to take a secret as an argument, where every process of the machine could
read it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

import psycopg

from limena import (
    __version__,
    audit_commands,
    calibration,
    jwt_key_files,
    logs,
    master_key_files,
    master_key_rotation,
    serve,
    worker,
)
from limena.audit_commands import AuditCommandError
from limena.config import ConfigError, OperatorSettings, WorkerSettings
from limena.demo import DemoError
from limena.deploy import DeployError, deploy, plan, print_script
from limena.dev import DEFAULT_DATA_DIR, DEFAULT_PORT, DevError, development_environment, mail_folder, run
from limena.doctor import describe_master_keys, find_problems
from limena.embedded import EmbeddedPostgresError
from limena.jwt_key_files import JwtKeyError
from limena.master_key_files import MasterKeyFileError
from limena.promotion import PromotionError, promote_user
from limena.serve import DEFAULT_HOST, ServeError
from limena.vault import Vault

EXPECTED_ERRORS = (
    AuditCommandError,
    ConfigError,
    DemoError,
    DeployError,
    DevError,
    EmbeddedPostgresError,
    JwtKeyError,
    MasterKeyFileError,
    PromotionError,
    ServeError,
)


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
    dev.add_argument("--tls", action="store_true", help="speak TLS with a throwaway certificate")
    dev.set_defaults(command=_dev)

    serving = commands.add_parser("serve", help="the production server; configured by the environment")
    serving.add_argument("--host", default=DEFAULT_HOST, help="the address to listen on (%(default)s)")
    serving.add_argument("--port", type=_port, default=DEFAULT_PORT, help="0 takes a free one (%(default)s)")
    serving.add_argument("--workers", type=_workers, default=1, help="processes (%(default)s)")
    serving.set_defaults(command=_serve)

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

    audit = commands.add_parser("audit", help="the audit log")
    audit_commands = audit.add_subparsers(metavar="COMMAND", required=True)
    verifying = audit_commands.add_parser("verify", help="hold the log to its seals; one line a finding")
    verifying.add_argument("--tenant", type=UUID, metavar="ID", help="of one tenant; else of all")
    _add_data_dir(verifying)
    verifying.set_defaults(command=_verify_audit_log)
    exporting = audit_commands.add_parser("export", help="write a tenant's log as CSV; the tenant finds that you did")
    exporting.add_argument("--tenant", type=UUID, metavar="ID", required=True)
    exporting.add_argument("--reason", required=True, help="why; it stands in the tenant's log")
    exporting.add_argument("--out", type=Path, metavar="FILE", help="a new file; else to stdout")
    _add_data_dir(exporting)
    exporting.set_defaults(command=_export_audit_log)

    user = commands.add_parser("user", help="users")
    user_commands = user.add_subparsers(metavar="COMMAND", required=True)
    promote = user_commands.add_parser("promote", help="make a user a platform admin")
    promote.add_argument("email", metavar="EMAIL")
    _add_data_dir(promote)
    promote.set_defaults(command=_promote)

    jwt_key = commands.add_parser("jwt-key", help="the keys that sign tokens")
    jwt_key_commands = jwt_key.add_subparsers(metavar="COMMAND", required=True)
    generating = jwt_key_commands.add_parser("generate", help="write a new key to a file that is not there yet")
    generating.add_argument("--out", type=Path, required=True, metavar="FILE")
    generating.set_defaults(command=_generate_jwt_key)
    rotating = jwt_key_commands.add_parser("rotate", help="let the next key sign, and make the one after it")
    rotating.add_argument("--key", type=Path, required=True, metavar="FILE", help="of LIMENA_JWT_KEY_FILE")
    rotating.add_argument("--next", type=Path, required=True, metavar="FILE", help="of LIMENA_JWT_NEXT_KEY_FILE")
    rotating.add_argument(
        "--previous", type=Path, required=True, metavar="FILE", help="of LIMENA_JWT_PREVIOUS_KEY_FILE"
    )
    rotating.add_argument("--force", action="store_true", help="also within seven days: a key has leaked")
    rotating.set_defaults(command=_rotate_jwt_key)

    master_key = commands.add_parser("master-key", help="the keys that encrypt credentials of third parties")
    master_key_commands = master_key.add_subparsers(metavar="COMMAND", required=True)
    making = master_key_commands.add_parser("generate", help="write a file with a new key, or add a key to one")
    making.add_argument("--out", type=Path, required=True, metavar="FILE", help="of LIMENA_MASTER_KEYS_FILE")
    making.add_argument("--add", action="store_true", help="the file is there: add the next version to it")
    making.set_defaults(command=_generate_master_key)
    resealing = master_key_commands.add_parser("rotate", help="encrypt everything anew with the first master key")
    _add_data_dir(resealing)
    resealing.set_defaults(command=_rotate_master_key)

    bcrypt = commands.add_parser("bcrypt", help="how passwords are hashed")
    bcrypt_commands = bcrypt.add_subparsers(metavar="COMMAND", required=True)
    calibrating = bcrypt_commands.add_parser("calibrate", help="measure which cost suits this machine")
    calibrating.set_defaults(command=_calibrate)
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


def _workers(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= serve.MAX_WORKERS:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to {serve.MAX_WORKERS}")
    return int(text)


def _dev(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    run(
        options.data_dir,
        port=options.port,
        with_demo=not options.no_demo,
        env=env,
        echo=_echo,
        with_tls=options.tls,
    )
    return 0


def _serve(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    logs.configure(sys.stdout)
    return serve.run(env, host=options.host, port=options.port, workers=options.workers, echo=_tell)


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
        environment = _environment(options.data_dir, env, stack)
        findings = find_problems(environment)
        notes = describe_master_keys(environment)
    for finding in findings:
        _echo(finding)
    for note in notes:
        _echo(note)
    if findings:
        return 1
    _echo("no findings")
    return 0


def _worker(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    with ExitStack() as stack:
        settings = WorkerSettings.from_env(_environment(options.data_dir, env, stack))
        logs.configure(sys.stdout)
        worker.run(worker.create_worker(settings, mail_folder=mail_folder(options.data_dir or DEFAULT_DATA_DIR)))
    return 0


def _verify_audit_log(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    with ExitStack() as stack:
        settings = OperatorSettings.from_env(_environment(options.data_dir, env, stack))
        if settings.maintenance_dsn is None:
            raise ConfigError(["LIMENA_MAINTENANCE_DSN is not set: it is the DSN that verifies the log."])
        bar = master_key_rotation.ProgressBar()
        findings = list(audit_commands.verify(settings.maintenance_dsn, options.tenant, progress=bar))
    for finding in findings:
        _echo(str(finding))
    if findings:
        return 1
    _echo("intact: every sealed row is as it was sealed, and none is missing or was added")
    return 0


def _export_audit_log(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    with ExitStack() as stack:
        settings = OperatorSettings.from_env(_environment(options.data_dir, env, stack))
        if settings.readonly_dsn is None:
            raise ConfigError(["LIMENA_READONLY_DSN is not set: it is the DSN of an operator who may read."])
        audit_commands.export(
            settings.readonly_dsn, options.tenant, options.reason, options.out, stdout=sys.stdout.buffer
        )
    return 0


def _promote(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    with ExitStack() as stack:
        settings = OperatorSettings.from_env(_environment(options.data_dir, env, stack))
        promote_user(_deploy_dsn(settings), options.email)
    _echo(f"{options.email} is a platform admin.")
    return 0


def _generate_jwt_key(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    kid = jwt_key_files.generate(options.out)
    _echo(f"Wrote {options.out}, for LIMENA_JWT_KEY_FILE. Its id is {kid}.")
    return 0


def _rotate_jwt_key(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    done = jwt_key_files.rotate(options.key, following=options.next, previous=options.previous, is_forced=options.force)
    variables = f"LIMENA_JWT_KEY_FILE={options.key}\n  LIMENA_JWT_NEXT_KEY_FILE={options.next}"
    if done.is_prepared_only:
        _echo(
            f"Wrote {options.next}, which signs nothing yet. Restart every `limena serve`, one after the other, with\n"
            f"  {variables}\nand then run this again."
        )
    else:
        _echo(
            f"{done.signing} signs from now on. Restart every `limena serve`, one after the other, with\n"
            f"  {variables}\n  LIMENA_JWT_PREVIOUS_KEY_FILE={options.previous}"
        )
    return 0


def _generate_master_key(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    if not options.add:
        version = master_key_files.generate(options.out)
        _echo(f"Wrote {options.out} with version {version}, for LIMENA_MASTER_KEYS_FILE. Keep a copy of it elsewhere.")
        return 0
    version = master_key_files.add(options.out)
    _echo(
        f"Added version {version} to {options.out}; it encrypts nothing yet. Restart every `limena serve`, one after\n"
        f"the other. Then move the line of version {version} to the top, restart them again, and run:\n"
        "  limena master-key rotate"
    )
    return 0


def _rotate_master_key(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    with ExitStack() as stack:
        settings = OperatorSettings.from_env(_environment(options.data_dir, env, stack))
        if settings.maintenance_dsn is None or settings.master_keys is None:
            raise ConfigError(["LIMENA_MAINTENANCE_DSN and LIMENA_MASTER_KEYS are both needed, and one is not set."])
        vault = Vault(settings.master_keys)
        done = master_key_rotation.rotate(settings.maintenance_dsn, vault, progress=master_key_rotation.ProgressBar())
    if not done.resealed and not done.unreadable:
        _echo(f"Nothing to do: version {done.version} encrypts everything that there is.")
        return 0
    _echo(f"{done.resealed:,} encrypted anew with version {done.version}.")
    if done.unreadable:
        _echo(f"{done.unreadable:,} cannot be opened with any key that is configured. They were left as they are.")
        return 1
    return 0


def _calibrate(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    _echo("cost     time")
    table = []
    for measured in calibration.measure():
        table.append(measured)
        _echo(f"{measured.cost:>4} {measured.seconds * 1000:>6.0f} ms")
    _echo(f"\nLIMENA_BCRYPT_COST={calibration.recommend(table)}   comes closest to 250 ms on this machine.")
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


def _tell(text: str) -> None:
    """To people, where the log goes to stdout."""
    print(text, file=sys.stderr, flush=True)


def _echo(text: str) -> None:
    print(text, flush=True)


def _fail(text: str, code: int = 1) -> int:
    for line in text.splitlines():
        print(f"limena: {line}", file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
