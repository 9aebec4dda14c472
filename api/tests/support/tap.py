"""How pgTAP files are run: by pytest-pgtap on a connection from here, or one by one for suites that are to fail."""

import re
from pathlib import Path

import psycopg
from psycopg.abc import Query
from pytest_pgtap.pgtap import Runner
from tap.line import Plan, Result
from tap.parser import Parser

from support.databases import Database

SEARCH_PATH = "tests, pgtap, limena"


# What pgTAP prints. The parser takes more for TAP than that: its plan is any text of a 1, two characters and a digit.
_TAP = re.compile(r"(not )?ok \d|1\.\.\d|#|Bail out!")


class TextRunner(Runner):  # type: ignore[misc]
    """Leaves pytest-pgtap only what pgTAP printed: it takes every first column for TAP, and fixtures return things too.

    Nothing can hide behind that: an assertion that is left out is one too few for the plan.
    """

    def run(self, query: Query) -> list[str]:
        rows: list[object] = super().run(query)
        return [row for row in rows if isinstance(row, str) and _TAP.match(row)]


def connect(database: Database) -> psycopg.Connection[tuple[object, ...]]:
    """The connection that pgTAP files run on: superuser, and the names of fixtures and assertions unqualified."""
    # DISCARD ALL goes back to what was given at the start, so the path outlives it.
    options = f"-c search_path={SEARCH_PATH.replace(' ', '')}"
    return psycopg.connect(database.dsn(), autocommit=True, options=options, application_name="pgtap")


def failures(database: Database, path: Path) -> list[str]:
    """The descriptions of the assertions in `path` that fail on `database`; an error or a wrong plan is one too."""
    with connect(database) as connection:
        try:
            lines = TextRunner(connection).run(path.read_text())
        except psycopg.Error as error:
            return [f"error: {error}"]
    found: list[str] = []
    planned, run = 0, 0
    for line in Parser().parse_text("\n".join(lines)):
        if isinstance(line, Plan):
            planned = line.expected_tests
        elif isinstance(line, Result):
            run += 1
            if not line.ok:
                found.append(line.description)
    if planned == 0 or planned != run:
        found.append(f"{planned} assertions were planned, {run} were made")
    return found
