"""docs/errors.md, limena.errors and the SQL are of one mind."""

import re

import pytest
from psycopg import errors as psycopg_errors

from limena.errors import CODES, CONSTRAINTS, SQLSTATES, SqlError
from support.databases import Database
from support.pgtap import CHECKOUT

REGISTRY = (CHECKOUT / "docs" / "errors.md").read_text()
SQL = {path: path.read_text() for path in (CHECKOUT / "db").rglob("*.sql") if path.parts[-3:-1] != ("db", "tests")}
FUNCTIONS = {path: text for path, text in SQL.items() if "functions" in path.parts}


def table(title: str) -> list[list[str]]:
    """The rows of the table under a heading, without the marks around code."""
    section = REGISTRY.split(f"\n## {title}\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip().strip("`") for cell in row] for row in rows]


def test_the_codes_are_those_of_the_registry() -> None:
    assert [(code, int(status)) for code, status, _ in table("Codes")] == [
        (name, code.status) for name, code in CODES.items()
    ]


def test_the_sqlstates_are_those_of_the_registry() -> None:
    assert [(sqlstate, code) for sqlstate, code, _ in table("SQLSTATEs")] == list(SQLSTATES.items())
    assert set(SQLSTATES.values()) <= set(CODES)


def test_the_constraints_are_those_of_the_registry() -> None:
    assert [(name, (field, sentence)) for name, field, sentence in table("Constraints")] == list(CONSTRAINTS.items())


def test_each_constraint_that_is_mapped_exists(database: Database) -> None:
    with database.connect() as connection:
        rows = connection.execute(
            "select conname from pg_constraint where connamespace = 'limena'::regnamespace"
        ).fetchall()
    assert CONSTRAINTS.keys() <= {name for (name,) in rows}


def test_each_sqlstate_that_procedures_raise_is_in_the_registry() -> None:
    raised = {match for text in FUNCTIONS.values() for match in re.findall(r"errcode\s*=\s*'([^']*)'", text)}
    assert {"28000", "42501", "22023", "P0002"} <= raised, "the expression finds them"
    for sqlstate in raised:
        assert any(sqlstate.startswith(entry) for entry in SQLSTATES), sqlstate


def test_no_procedure_raises_without_a_sqlstate() -> None:
    """A bare RAISE EXCEPTION is P0001, which nothing maps."""
    for path, text in FUNCTIONS.items():
        for statement in re.findall(r"raise exception [^;]*;", text):
            assert "errcode" in statement, (path.name, statement)


def test_each_22023_of_a_procedure_names_a_field() -> None:
    for path, text in FUNCTIONS.items():
        for statement in re.findall(r"raise exception [^;]*'22023'[^;]*;", text):
            assert re.search(r"column\s*=\s*'[a-z_]+'", statement), (path.name, statement)


@pytest.mark.parametrize(
    ("sqlstate", "code"),
    [
        ("22P02", "validation_failed"),
        ("22P05", "validation_failed"),
        ("53300", "unavailable"),
        ("57P01", "unavailable"),
        ("57014", "unavailable"),
        ("57000", "internal_error"),
        ("28000", "unauthenticated"),
        ("28P01", "internal_error"),
        ("42883", "internal_error"),
        ("P0001", "internal_error"),
        ("XX000", "internal_error"),
    ],
)
def test_the_longest_entry_counts(sqlstate: str, code: str) -> None:
    assert SqlError(sqlstate, permission=None, field=None, message=None).code == code


def test_an_error_keeps_nothing_that_a_client_or_a_log_must_not_see(database: Database) -> None:
    """What PostgreSQL says of its own accord is left behind: message, detail, hint, context, statement, values."""
    provoked = [
        "select 'a secret'::uuid",
        "insert into limena.api_keys (tenant_id) values (gen_random_uuid())",
        "do $$ begin raise exception 'a secret' using errcode = '42501', detail = 'a secret: or more'; end $$",
        "do $$ begin raise exception 'a secret' using errcode = '23514', constraint = 'a_secret'; end $$",
        "do $$ begin raise exception 'a secret' using errcode = '22023', detail = 'a secret'; end $$",
        "select * from a_secret",
    ]
    with database.connect() as connection:
        for statement in provoked:
            with pytest.raises(psycopg_errors.DatabaseError) as caught:
                connection.execute(statement.encode())
            error = SqlError.from_diagnostic(caught.value.diag)
            told = f"{error!r} {vars(error)} {error.problem().as_json(request_id='', base_url='')}"
            assert "secret" not in told, statement
            assert "api_keys" not in told, statement
