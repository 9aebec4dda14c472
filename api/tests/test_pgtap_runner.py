"""pgTAP files can fail: through pytest-pgtap, which runs db/tests, and through support.tap, for suites seen to fail."""

import subprocess
import sys
from pathlib import Path

import pytest

from limena.embedded import PostgresServer
from support import tap
from support.databases import Database, create_database, load_pgtap

GOOD = "begin;\nselect plan(2);\nselect ok(true, 'one');\nselect ok(true, 'two');\nselect * from finish();\nrollback;\n"
BROKEN = {
    "assertion": GOOD.replace("ok(true, 'two')", "ok(false, 'two')"),
    "too_few": GOOD.replace("plan(2)", "plan(3)"),
    "too_many": GOOD.replace("plan(2)", "plan(1)"),
    "no_plan": "begin;\nselect 1;\nrollback;\n",
    "error": GOOD.replace("select ok(true, 'two')", "select no_such_function()"),
    "error_after_finish": GOOD.replace("rollback;", "select 1 / 0;\nrollback;"),
}


@pytest.fixture(scope="module")
def with_pgtap(server: PostgresServer) -> Database:
    made = create_database(server, "only_pgtap")
    load_pgtap(made)
    return made


@pytest.mark.parametrize("kind", BROKEN)
def test_support_tap_tells_a_failure(with_pgtap: Database, tmp_path: Path, kind: str) -> None:
    (tmp_path / "test_it.sql").write_text(BROKEN[kind])
    assert tap.failures(with_pgtap, tmp_path / "test_it.sql")


@pytest.mark.parametrize("value", ["'1790000000000000_x'", "'ok'", "'not okay'", "null::text", "7", "true"])
def test_what_fixtures_return_is_no_assertion(with_pgtap: Database, tmp_path: Path, value: str) -> None:
    (tmp_path / "test_it.sql").write_text(
        GOOD.replace("select ok(true, 'two')", f"select {value};\nselect ok(true, 'two')")
    )
    assert tap.failures(with_pgtap, tmp_path / "test_it.sql") == []


def test_support_tap_passes_what_is_right(with_pgtap: Database, tmp_path: Path) -> None:
    (tmp_path / "test_it.sql").write_text(GOOD)
    assert tap.failures(with_pgtap, tmp_path / "test_it.sql") == []


def test_pytest_pgtap_fails_each_broken_file_and_passes_the_good_one(with_pgtap: Database, tmp_path: Path) -> None:
    for name, text in {**BROKEN, "good": GOOD}.items():
        (tmp_path / f"test_{name}.sql").write_text(text)
    uri = f"{with_pgtap.dsn()}&options=-csearch_path%3Dpgtap"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-c",
            "/dev/null",
            "-p",
            "no:cacheprovider",
            "-q",
            "-rA",
            "--pgtap-uri",
            uri,
            ".",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    for name in BROKEN:
        assert f"FAILED test_{name}.sql" in done.stdout, done.stdout
    assert "PASSED test_good.sql" in done.stdout
    assert "FAILED test_good.sql" not in done.stdout
