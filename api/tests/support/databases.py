"""Databases to test on: deployed once and then copied, which takes a fraction of a deploy.

Refuses to hide what a copy leaves behind: CREATE DATABASE … TEMPLATE copies neither the rights on the database itself
nor its settings, so they are copied here.
"""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from limena.embedded import PostgresServer
from support.pgtap import CHECKOUT, find_script

HELPERS = CHECKOUT / "db" / "tests" / "helpers.sql"


@dataclass(frozen=True)
class Database:
    """One database of a running server; log in as any role, no password is asked for."""

    server: PostgresServer
    name: str

    def dsn(self, user: str = "postgres") -> str:
        return self.server.dsn(user, self.name)

    def connect(self, user: str = "postgres", *, autocommit: bool = True) -> psycopg.Connection[tuple[Any, ...]]:
        """A new connection; autocommit unless told otherwise, so that a test says itself where a transaction begins."""
        return psycopg.connect(self.dsn(user), autocommit=autocommit)


def run_script(database: Database, script: Path, settings: Mapping[str, str] | None = None) -> None:
    """Runs a file with psql as the superuser, all of it in one transaction; a failure is told with psql's words."""
    psql = database.server.bin_dir / "psql"
    options = " ".join(f"-c {name}={value}" for name, value in (settings or {}).items())
    done = subprocess.run(
        [psql, "-X", "-q", "-1", "-v", "ON_ERROR_STOP=1", "-d", database.dsn(), "-f", script],
        env={"PGOPTIONS": f"-c client_min_messages=warning {options}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{script.name} failed: {done.stderr[-2000:]}")


def load_pgtap(database: Database) -> None:
    """pgTAP in the schema `pgtap`, from the script and not with CREATE EXTENSION, so that each server has the same one.

    Every role may use it, since tests go on after `set local role`.
    """
    with database.connect() as connection:
        connection.execute("create schema pgtap")
        connection.execute("grant usage on schema pgtap to public")
    run_script(database, find_script(), {"search_path": "pgtap"})


def load_helpers(database: Database) -> None:
    """The schema `tests`, which the file makes itself: fixtures that pgTAP files share."""
    run_script(database, HELPERS, {"search_path": "tests,pgtap"})


def create_database(server: PostgresServer, name: str, template: Database | None = None) -> Database:
    """A new database: a copy of `template` with its rights and settings, or an empty one."""
    with psycopg.connect(server.dsn(database="postgres"), autocommit=True) as connection:
        source = "template0" if template is None else template.name
        statement = sql.SQL("create database {} template {}")
        connection.execute(statement.format(sql.Identifier(name), sql.Identifier(source)))
        if template is not None:
            connection.execute(
                """
                update pg_database as new set datacl = old.datacl, datdba = old.datdba
                from pg_database as old where old.datname = %s and new.datname = %s
                """,
                [source, name],
            )
            connection.execute(
                """
                insert into pg_db_role_setting (setdatabase, setrole, setconfig)
                select new.oid, s.setrole, s.setconfig
                from pg_db_role_setting as s
                join pg_database as old on old.oid = s.setdatabase
                cross join pg_database as new
                where old.datname = %s and new.datname = %s
                """,
                [source, name],
            )
    return Database(server, name)


def drop_database(database: Database) -> None:
    """Drops it, whoever is connected."""
    with psycopg.connect(database.server.dsn(database="postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(database.name)))
