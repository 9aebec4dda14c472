"""Runs the tests on the embedded PostgreSQL and, at the same time, on each one that the system has; those of pgTAP also
on the older one that comes with the embedded.

What needs no server runs once, and so do the files of `ONCE`, which are about processes, sockets and files: those are a
run of their own beside the others. The files of `HTTP`, which are about what Python makes of PostgreSQL's answers, or
try all that there is in one place, run on the embedded server; everything that SQL decides runs everywhere. The first
run writes to the terminal as it goes; what the others have to say follows at the end. Refuses to pass over a server:
one that was found and could not be tested fails the whole.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from typing import IO

import pytest

from limena.embedded import PostgresServer, embedded_bin_dir, system_bin_dirs
from support.pgtap import CHECKOUT

ONCE = (
    "test_cli",
    "test_console",
    "test_csrf",
    "test_delivery",
    "test_demo",
    "test_dev",
    "test_embedded",
    "test_front_door",
    "test_input",
    "test_jwt_keys",
    "test_metrics",
    "test_openapi",
    "test_openapi_errors",
    "test_pages",
    "test_rate_limits",
    "test_serve",
    "test_worker",
)
HTTP = (
    "test_admin",
    "test_ai",
    "test_attacks_can_fail",
    "test_auth",
    "test_database_down",
    "test_definer_sweep",
    "test_devices",
    "test_doctor",
    "test_http",
    "test_http_secrets",
    "test_integrations",
    "test_leaving",
    "test_mail",
    "test_master_keys",
    "test_members",
    "test_passwords",
    "test_secrets_at_rest",
)


def _runs() -> Iterator[tuple[str, str, list[str]]]:
    """What is tested, on which PostgreSQL, and pytest's arguments for it."""
    once = [f"api/tests/{name}.py" for name in ONCE]
    without = [f"--ignore={path}" for path in once]
    embedded = PostgresServer(CHECKOUT, embedded_bin_dir()).version
    yield "what SQL decides, and HTTP", f"{embedded} (embedded)", ["--server=embedded", *without]
    yield "processes, sockets and files", f"{embedded} (embedded)", ["--server=embedded", *once]
    older = embedded_bin_dir().parents[1] / "pginstall" / "bin"
    yield "pgTAP", f"{PostgresServer(CHECKOUT, older).version} (embedded)", [f"--server={older}", "db/tests"]
    for bin_dir in system_bin_dirs():
        version = PostgresServer(CHECKOUT, bin_dir).version
        needless = [*without, *(f"--ignore=api/tests/{name}.py" for name in HTTP)]
        yield "what SQL decides", f"{version} ({bin_dir})", [f"--server={bin_dir}", "--only-with-server", *needless]


def main(arguments: list[str]) -> int:
    # The tests start Python some hundred times: bytecode is kept, whatever the environment says of it elsewhere.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    lines: list[str] = []
    failed = 0
    with ExitStack() as stack:
        started: list[tuple[str, subprocess.Popen[str], IO[str] | None]] = []
        for what, server, options in _runs():
            title = f"PostgreSQL {server}: {what}"
            output: IO[str] | None = None
            if started:
                output = stack.enter_context(tempfile.TemporaryFile("w+"))
            else:
                print(f"\n=== {title}", flush=True)
            command = [sys.executable, "-m", "pytest", *options, *arguments]
            started.append((title, subprocess.Popen(command, stdout=output, text=True, env=environment), output))
        for title, process, output in started:
            code = process.wait()
            if output is not None:
                print(f"\n=== {title}", flush=True)
                output.seek(0)
                shutil.copyfileobj(output, sys.stdout)
            # With `-k word` a run may have nothing to do; all of them together have.
            is_empty = code == pytest.ExitCode.NO_TESTS_COLLECTED and bool(arguments)
            failed += code != 0 and not is_empty
            verdict = "nothing to do" if is_empty else "passed" if code == 0 else f"FAILED (exit code {code})"
            lines.append(f"  {title}: {verdict}")
    print("\nTested on:", *lines, sep="\n", flush=True)
    if not system_bin_dirs():
        print("  (the system has no PostgreSQL from 15 on)")
    return 1 if failed or all(line.endswith("nothing to do") for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
