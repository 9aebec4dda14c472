"""The command line: exit codes, and that what is expected to go wrong is a sentence on stderr and never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import psycopg
import pytest

from limena import cli, demo
from support.databases import Database
from support.live import Live

MakeDatabase = Callable[[], Database]
Output = tuple[int, str, str]
Run = Callable[..., Output]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs a command in an empty folder and with no other LIMENA_* than those given: exit code, stdout, stderr."""
    for name in list(os.environ):
        if name.startswith("LIMENA_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, **environment: str) -> Output:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        try:
            code = cli.main(arguments)
        except SystemExit as ended:  # argparse
            code = ended.code if isinstance(ended.code, int) else -1
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return run


def test_the_console_script_is_this() -> None:
    (script,) = entry_points(group="console_scripts", name="limena")
    assert script.load() is cli.main


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["unknown"],
        ["dev", "--port", "x"],
        ["dev", "--port", "-1"],
        ["dev", "--port", "65536"],
        ["dev", "--port", "٣"],
        ["dev", "somewhere"],
        ["deploy", "--plan", "--print"],
        ["user"],
        ["user", "promote"],
    ],
)
def test_wrong_arguments_end_with_2(run: Run, arguments: list[str]) -> None:
    code, out, err = run(*arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("usage: limena")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["dev", "--help"], ["user", "promote", "--help"]])
def test_help_and_version(run: Run, arguments: list[str]) -> None:
    code, out, err = run(*arguments)
    assert (code, err) == (0, "")
    assert out


# deploy


def test_deploy_plans_does_and_has_nothing_left_to_do(run: Run, empty_database: MakeDatabase) -> None:
    database = empty_database()
    configured = {"LIMENA_DEPLOY_DSN": database.dsn(), "LIMENA_ENV": "development"}
    code, planned, err = run("deploy", "--plan", **configured)
    assert (code, err) == (0, "")
    files = planned.splitlines()
    assert files[0] == "schema/0001_roles.sql"
    with database.connect() as connection:
        assert connection.execute("select to_regnamespace('limena')").fetchone() == (None,)

    code, done, err = run("deploy", **configured)
    assert (code, err) == (0, "")
    assert [line for line in done.splitlines() if line.endswith(".sql")] == files
    assert done.endswith(f"Deployed {len(files)} files.\n")

    assert run("deploy", **configured) == (0, "The database was at this version already.\n", "")
    assert run("deploy", "--plan", **configured) == (0, "Nothing to do: the database is at this version.\n", "")


def test_deploy_prints_a_script_with_and_without_a_database(run: Run, database: Database) -> None:
    code, for_empty, err = run("deploy", "--print")
    assert (code, err) == (0, "")
    assert "-- For an empty database." in for_empty
    assert "create schema limena" in for_empty
    code, for_deployed, err = run("deploy", "--print", LIMENA_DEPLOY_DSN=database.dsn(), LIMENA_ENV="development")
    assert (code, err) == (0, "")
    assert "create schema limena" not in for_deployed


@pytest.mark.parametrize("arguments", [["deploy"], ["deploy", "--plan"], ["user", "promote", "a@b.example"]])
def test_without_a_dsn_it_says_which(run: Run, arguments: list[str]) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (1, "")
    assert err.startswith("limena: LIMENA_DEPLOY_DSN is not set: ")


@pytest.mark.parametrize(
    "arguments", [["deploy"], ["deploy", "--plan"], ["deploy", "--print"], ["user", "promote", "x"]]
)
def test_a_database_that_cannot_be_reached_is_a_sentence(run: Run, arguments: list[str], tmp_path: Path) -> None:
    dsn = f"postgresql://u:a-password-of-some-length@/limena?host={tmp_path}"
    code, out, err = run(*arguments, LIMENA_DEPLOY_DSN=dsn)
    assert (code, out) == (1, "")
    assert err.startswith("limena: The database cannot be reached: ")
    assert "a-password" not in err


def test_a_malformed_dsn_is_a_sentence(run: Run) -> None:
    code, out, err = run("deploy", LIMENA_DEPLOY_DSN="???")
    assert (code, out) == (1, "")
    assert err.startswith("limena: LIMENA_DEPLOY_DSN is no PostgreSQL DSN")


def test_a_reader_who_goes_away_ends_it_quietly(tmp_path: Path) -> None:
    program = f"{sys.executable} -m limena.cli deploy --print | head -n 1; exit ${{PIPESTATUS[0]}}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LIMENA_")}
    # With it, Python drops what a short write leaves over, and never hears that the reader has gone.
    environment.pop("PYTHONUNBUFFERED", None)
    done = subprocess.run(
        ["bash", "-c", program], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == "-- Made by: limena deploy --print\n"


# user promote


@pytest.fixture
def populated(fresh_database: MakeDatabase) -> Database:
    database = fresh_database()
    demo.build(
        demo.new_plan(),
        app_dsn=database.dsn("limena_app"),
        auth_dsn=database.dsn("limena_auth"),
        deploy_dsn=database.dsn(),
        bcrypt_cost=4,
    )
    return database


def is_admin(database: Database, email: str) -> bool:
    with database.connect() as connection:
        row = connection.execute("select is_platform_admin from limena.users where email = %s", [email]).fetchone()
    assert row is not None
    return bool(row[0])


def test_promote_makes_an_admin_of_that_user_and_twice_is_once(run: Run, populated: Database) -> None:
    for _ in range(2):
        code, out, err = run("user", "promote", "viewer@acme.example", LIMENA_DEPLOY_DSN=populated.dsn())
        assert (code, out, err) == (0, "viewer@acme.example is a platform admin.\n", "")
    assert is_admin(populated, "viewer@acme.example")
    assert not is_admin(populated, "viewer@globex.example")
    with populated.connect() as connection:
        logged = connection.execute(
            """select distinct l.actor_type, l.changes ->> 'is_platform_admin' from limena.audit_logs as l
            inner join limena.users as u on l.entity_id = u.id::text
            where l.action = 'user.platform_admin_changed' and u.email = 'viewer@acme.example'"""
        ).fetchall()
    assert logged == [("system", "[false, true]")]


@pytest.mark.parametrize("role", ["limena_app", "limena_auth", "limena_readonly", "limena_maintenance"])
def test_no_role_of_the_api_can_promote(run: Run, populated: Database, role: str) -> None:
    code, out, err = run("user", "promote", "viewer@acme.example", LIMENA_DEPLOY_DSN=populated.dsn(role))
    assert (code, out) == (1, "")
    assert err.startswith("limena: ")
    assert not is_admin(populated, "viewer@acme.example")
    with populated.connect(role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("select limena.promote_user(p_email => 'viewer@acme.example')")


def test_promote_where_limena_is_not_deployed(run: Run, empty_database: MakeDatabase) -> None:
    code, out, err = run("user", "promote", "a@b.example", LIMENA_DEPLOY_DSN=empty_database().dsn())
    assert (code, out, err) == (1, "", "limena: Limena is not deployed in this database: run limena deploy first.\n")


# doctor


def test_doctor_prints_its_findings_and_ends_with_1(run: Run) -> None:
    code, out, err = run("doctor")
    assert (code, err) == (1, "")
    lines = out.splitlines()
    assert len(lines) == 7
    assert all(line.startswith("configuration: LIMENA_") for line in lines)


def test_doctor_finds_the_dev_server_of_the_folder_it_is_called_in(
    run: Run, live_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(live_folder)
    assert run("doctor") == (0, "no findings\n", "")
    assert run("user", "promote", "nobody@acme.example")[2] == "limena: No user has the address nobody@acme.example.\n"
    # A DSN of one's own wins over the folder that happens to lie here.
    code, out, _ = run("doctor", LIMENA_MAINTENANCE_DSN="postgresql:///none?host=/nowhere")
    assert code == 1
    assert "connection: LIMENA_MAINTENANCE_DSN: " in out


@pytest.fixture
def live_folder(live: Live, tmp_path: Path) -> Path:
    """A folder in which `.limena` is that of the running server."""
    (tmp_path / ".limena").symlink_to(live.data_dir)
    return tmp_path


def test_a_folder_that_is_none_of_limena_dev(run: Run, tmp_path: Path) -> None:
    code, out, err = run("doctor", "--data-dir", str(tmp_path))
    assert (code, out) == (1, "")
    assert err.startswith("limena: No limena dev has run in ")
