"""`limena deploy`: from the files of db/ to a database, in one transaction.

A deploy is a list of steps, made from the files and from what the database's ledger says of them. deploy() runs the
list, plan() returns it, print_script() writes it down for psql: there is one order and one text. What each step does is
SQL that a DBA can read, in db/deploy/; this module only puts it in order, and turns PostgreSQL's errors into sentences
with a file and a line.

Refuses an applied schema file that was edited or is missing, a database newer than the files, a second deploy at the
same time, and to commit what the self-check objects to, such as a policy that somebody has altered by hand. The rules:
docs/decisions/0010-how-a-deploy-runs.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Final, Literal

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus

from limena.deploy_source import (
    ROLES_FILE,
    Source,
    SourceError,
    SourceFile,
    digest,
    expected_digest,
    read_source,
    source_dir,
)
from limena.sql_text import split_statements

__all__ = [
    "DeployError",
    "DeployResult",
    "Step",
    "deploy",
    "expected_digest",
    "owner_connection",
    "plan",
    "print_script",
    "source_dir",
]

Environment = Literal["development", "production"]
Connection = psycopg.Connection[tuple[object, ...]]

LOCK_WAIT_SECONDS: Final = 600.0
_LOCK: Final = "wait for other deploys"
_LONGEST_PAUSE_SECONDS: Final = 5.0

_LEDGER_EXISTS: Final = b"""
    select exists (
        select
        from pg_class as c
        inner join pg_namespace as n on n.oid = c.relnamespace
        where n.nspname = 'limena_private' and c.relname = 'deployed_files'
    )
"""


class DeployError(Exception):
    """Why there was no deploy, in plain sentences: which file and line, what PostgreSQL said, and what was kept."""


@dataclass(frozen=True)
class Step:
    """One step. `path`: the file that it deploys or forgets, below db/; None for what every deploy does.
    `sha256`: the file's, in hex; None where a file is forgotten."""

    label: str
    sql: str
    path: str | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class DeployResult:
    """`changes`: the labels of the steps that changed something, in order; none where all was there. `digest`: of the
    ledger, as limena.deployed_digest() answers it."""

    changes: tuple[str, ...]
    warnings: tuple[str, ...]
    digest: str


def deploy(
    dsn: str,
    *,
    environment: Environment,
    source: Path | None = None,
    echo: Callable[[str], None],
    lock_wait_seconds: float = LOCK_WAIT_SECONDS,
) -> DeployResult:
    """Bring the database to this version, all or nothing; `echo` gets a line for each file and each warning.

    `dsn` is of a superuser, or of a role with CREATEROLE that owns the database, and goes to the server itself: the
    lock belongs to the session, which a pooler would share. Raises DeployError.
    """
    files = _read(source)
    warnings: list[str] = []
    with _connection(dsn) as connection:
        runner = _Runner(connection)

        def warn(diagnostic: psycopg.errors.Diagnostic) -> None:
            if diagnostic.severity_nonlocalized == "WARNING":
                message = diagnostic.message_primary or ""
                warnings.append(message)
                echo(f"warning: {message}")

        connection.add_notice_handler(warn)
        for step in _opening(files, environment):
            if step.label == _LOCK:
                _wait_for_lock(runner, step, echo, lock_wait_seconds)
            else:
                runner.run(step)
        # Only now: another deploy may have changed it while this one waited.
        ledger = _read_ledger(runner, files)
        for step in _work(files, ledger):
            if step.path is not None:
                echo(step.label)
            runner.run(step)
    return DeployResult(tuple(runner.kept), tuple(warnings), digest({file.path: file.sha256 for file in files.files}))


def plan(dsn: str, *, environment: Environment, source: Path | None = None) -> list[Step]:
    """All steps that a deploy would take now; those with a `path` change something. Runs none. Raises DeployError."""
    files = _read(source)
    return _opening(files, environment) + _work(files, _look(dsn, files, environment))


def print_script(dsn: str | None, *, environment: Environment, source: Path | None = None) -> str:
    """The same steps as one file for psql, for the database as it is now, or for an empty one. Raises DeployError.

    The script refuses to run on a database whose ledger is not the one that it was printed for.
    """
    files = _read(source)
    ledger = None if dsn is None else _look(dsn, files, environment)
    parts = [
        "-- Made by: limena deploy --print\n"
        "-- For psql, as a superuser or a role with CREATEROLE that owns the database, over a direct connection.\n"
        f"-- For {'an empty database' if ledger is None else 'the database with the ledger ' + digest(ledger)}.\n"
        "\\set ON_ERROR_STOP on\n"
        "\\set ON_ERROR_ROLLBACK off\n"
        "\\set AUTOCOMMIT on\n"
        "\\set SINGLELINE off\n"
        "\\set QUIET on\n"
    ]
    for step in _opening(files, environment) + _work(files, ledger):
        rule = "-- " + "=" * 100
        about = f"-- {step.label}" + (f" (SHA-256 {step.sha256})" if step.sha256 else "")
        parts.append(f"{rule}\n{about}\n{rule}\n{step.sql.rstrip()}\n")
    return "\n".join(parts)


@contextmanager
def owner_connection(dsn: str) -> Iterator[Connection]:
    """A connection in autocommit mode that acts as limena_owner, as only a deployer may. Raises DeployError."""
    files = _read(None)
    with _connection(dsn) as connection:
        runner = _Runner(connection)
        if not _has_ledger(connection):
            raise DeployError("Limena is not deployed in this database: run limena deploy first.")
        for name in ("settings", "assume_owner"):
            runner.run(Step(name, files.deploy[name]))
        yield connection


# The list


def _opening(files: Source, environment: Environment) -> list[Step]:
    """Before the ledger is read. Changes nothing."""
    return [
        Step("settings", files.deploy["settings"]),
        Step("environment", f"set limena.deploy_environment = {_literal(environment)};"),
        Step("check the server", files.deploy["check_server"]),
        Step(_LOCK, files.deploy["lock"]),
    ]


def _work(files: Source, ledger: Mapping[str, str] | None) -> list[Step]:
    """From the ledger on (None: there is none) to the end."""
    _refuse(files, ledger)
    applied = ledger or {}
    guard = _check_ledger(files, ledger)
    close_database = Step("close the database", files.deploy["close_database"])
    become_owner = Step("become limena_owner", files.deploy["assume_owner"])
    find_changes = Step("what was altered by hand", files.deploy["find_changes"])
    remember = Step("remember what was made", files.deploy["remember_definitions"])

    pending = [file for file in files.schema if file.path not in applied]
    before = list(takewhile(lambda file: not file.transactional, pending))
    rest = pending[len(before) :]
    inside = [file for file in rest if file.transactional and file.path != ROLES_FILE]
    after = [file for file in rest if not file.transactional]
    functions = [file for file in files.functions if applied.get(file.path) != file.sha256]
    policies = [file for file in files.policies if applied.get(file.path) != file.sha256]

    steps: list[Step] = []
    if before:
        steps += [
            become_owner,
            guard,
            find_changes,
            *_outside(files, before),
            Step("back to the deployer", files.deploy["settings"]),
        ]
    steps.append(Step("begin", "begin isolation level read committed;"))
    if ledger is None:
        roles = next(file for file in files.schema if file.path == ROLES_FILE)
        run_roles, record_roles = _each([roles])
        steps += [guard, find_changes, run_roles, close_database, become_owner, record_roles]
    else:
        steps += [close_database, become_owner] + ([] if before else [guard, find_changes])
    steps += _each(inside)
    steps += [_forget(files, path) for path in sorted(applied) if path not in {file.path for file in files.files}]
    if functions:
        steps += [
            Step("bodies are checked when all functions are there", "set local check_function_bodies = off;"),
            *_each(functions),
            Step("bodies are checked again", "set local check_function_bodies = on;"),
            Step("check the functions", files.deploy["check_functions"]),
        ]
    steps += _each(policies)
    steps += [
        Step("make partitions", "select limena.ensure_partitions();"),
        remember,
        Step("self-check", files.deploy["self_check"]),
        Step("commit", "commit;"),
        *_outside(files, after),
        # The self-check has just passed: what is different now, those files have made.
        *([Step("nothing was altered by hand", "set limena.deploy_changes = '{}';"), remember] if after else []),
        Step("end", files.deploy["unlock"]),
    ]
    return steps


def _refuse(files: Source, ledger: Mapping[str, str] | None) -> None:
    if ledger is None:
        return
    problems: list[str] = []
    here = {file.path: file for file in files.schema}
    applied = sorted(path for path in ledger if path.startswith("schema/"))
    for path in applied:
        if path not in here:
            problems.append(
                f"{path}: was applied to this database, and this version has no such file. Is the database newer?"
            )
        elif ledger[path] != here[path].sha256:
            problems.append(
                f"{path}: was edited after it was applied. Put it back, and make the change in a new schema file."
            )
    for file in files.schema:
        if file.path not in ledger and file.transactional and applied and file.path < applied[-1]:
            problems.append(
                f"{file.path}: comes before {applied[-1]}, which is applied already. Give it a higher number."
            )
    if problems:
        raise DeployError("\n".join(problems))


def _each(files: list[SourceFile]) -> list[Step]:
    return [step for file in files for step in (Step(file.path, file.text, file.path, file.sha256), _record(file))]


def _outside(files: Source, chosen: list[SourceFile]) -> list[Step]:
    steps: list[Step] = []
    for file in chosen:
        run, record = _each([file])
        steps += [
            Step("no time limit", files.deploy["patience"]),
            run,
            Step(f"check the indexes after {file.path}", files.deploy["check_indexes"]),
            record,
        ]
    return steps


def _record(file: SourceFile) -> Step:
    return Step(
        f"record {file.path}",
        "insert into limena_private.deployed_files (path, sha256)\n"
        f"values ({_literal(file.path)}, {_literal(file.sha256)})\n"
        "on conflict (path) do update\n"
        "set sha256 = excluded.sha256, deployed_at = excluded.deployed_at, deployed_by = excluded.deployed_by;",
    )


def _forget(files: Source, path: str) -> Step:
    """Take a file that is gone from the ledger, provided that its object is gone from the database."""
    kind, name = path.partition("/")[0], Path(path).stem
    moved = any(file.kind == kind and file.name == name for file in files.files)
    settings = f"set local limena.deploy_forgotten = {_literal(path)};\n"
    settings += f"set local limena.deploy_moved = {'on' if moved else 'off'};\n"
    return Step(f"forget {path}", settings + files.deploy["forget"], path)


def _check_ledger(files: Source, ledger: Mapping[str, str] | None) -> Step:
    expected = "" if ledger is None else digest(ledger)
    setting = f"set limena.deploy_ledger = {_literal(expected)};\n"
    return Step("the ledger is as planned", setting + files.deploy["check_ledger"])


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


# The database


def _read(source: Path | None) -> Source:
    try:
        return read_source(source or source_dir())
    except (SourceError, OSError) as error:
        raise DeployError(str(error)) from error


@contextmanager
def _connection(dsn: str) -> Iterator[Connection]:
    """In autocommit mode; closed, whatever happens, so that an open transaction rolls back and the lock goes."""
    try:
        options = {"connect_timeout": "10", "fallback_application_name": "limena deploy", **conninfo_to_dict(dsn)}
        connection: Connection = psycopg.connect(make_conninfo("", **options), autocommit=True, prepare_threshold=None)
    except psycopg.Error as error:
        raise DeployError(f"The database cannot be reached: {str(error).strip()}") from error
    try:
        yield connection
    finally:
        connection.close()


def _look(dsn: str, files: Source, environment: Environment) -> dict[str, str] | None:
    """The ledger, read without the lock: plans are made while others work."""
    with _connection(dsn) as connection:
        runner = _Runner(connection)
        for step in _opening(files, environment):
            if step.label != _LOCK:
                runner.run(step)
        return _read_ledger(runner, files)


def _has_ledger(connection: Connection) -> bool:
    return _rows(connection, _LEDGER_EXISTS) == [(True,)]


def _rows(connection: Connection, query: bytes) -> list[tuple[object, ...]]:
    try:
        return connection.execute(query).fetchall()
    except psycopg.Error as error:
        raise DeployError(f"The ledger cannot be read: {_explain(error)}") from error


def _read_ledger(runner: _Runner, files: Source) -> dict[str, str] | None:
    """As limena_owner, who alone may; rolled back, so that not even a membership is left of it."""
    if not _has_ledger(runner.connection):
        return None
    runner.run(Step("begin", "begin isolation level read committed;"))
    runner.run(Step("become limena_owner", files.deploy["assume_owner"]))
    rows = _rows(runner.connection, b"select f.path, f.sha256 from limena_private.deployed_files as f")
    runner.run(Step("rollback", "rollback;"))
    return {str(path): str(sha256) for path, sha256 in rows}


def _wait_for_lock(runner: _Runner, step: Step, echo: Callable[[str], None], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    pause = 0.1
    while True:
        try:
            runner.run(step)
        except DeployError as error:
            if not isinstance(error.__cause__, errors.LockNotAvailable):
                raise
            message = error.__cause__.diag.message_primary
            if time.monotonic() >= deadline:
                raise DeployError(f"Gave up after {seconds:.0f} s: {message}. Nothing was changed.") from error
            if pause == 0.1:
                echo(f"waiting: {message}")
            time.sleep(min(pause, max(deadline - time.monotonic(), 0)))
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
        else:
            return


class _Runner:
    """Runs steps over one connection, and knows what the database would keep if the next one failed."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.kept: list[str] = []
        self._uncommitted: list[str] = []

    def run(self, step: Step) -> None:
        """Statement by statement, as psql would. Raises DeployError with the file, the line and what is left."""
        for statement in split_statements(step.sql):
            try:
                self.connection.execute(statement.text.encode())
            except psycopg.Error as error:
                where = step.label
                if step.path is not None:
                    offset = int(error.diag.statement_position or 1) - 1
                    where = f"{step.path}, line {statement.line + statement.text.count(chr(10), 0, offset)}"
                raise DeployError(f"{where}: {_explain(error)}\n{self._left()}") from error
        if step.path is not None:
            self._uncommitted.append(step.label)
        if self.connection.info.transaction_status == TransactionStatus.IDLE:
            self.kept += self._uncommitted
            self._uncommitted.clear()

    def _left(self) -> str:
        if self.connection.closed:
            return "Run the deploy again: it finds out what is there."
        if self.kept:
            return f"Deployed before it, and kept: {len(self.kept)}. Run the deploy again for the rest."
        return "Nothing was changed."


def _explain(error: psycopg.Error) -> str:
    """PostgreSQL's message, and what to do about it where that is known. No detail that could quote a row."""
    diagnostic = error.diag
    text = diagnostic.message_primary or str(error).strip()
    if diagnostic.context and "inline_code_block" not in diagnostic.context:
        text += f" ({diagnostic.context.splitlines()[0]})"
    if isinstance(error, errors.LockNotAvailable):
        text += ". Another session holds the lock: run the deploy again when it is done"
    elif isinstance(error, errors.InsufficientPrivilege) and not diagnostic.message_hint:
        text += ". Deploy as a superuser, or as a role with CREATEROLE that owns the database"
    elif isinstance(error, errors.DependentObjectsStillExist) and diagnostic.message_detail:
        text += f". {'; '.join(diagnostic.message_detail.splitlines())}"
    if diagnostic.message_hint:
        text += f". {diagnostic.message_hint}"
    return text
