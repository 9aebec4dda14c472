"""Runs the tests on the embedded PostgreSQL and, at the same time, on each one that the system has.

The first writes to the terminal as it goes; what the others have to say follows at the end. Refuses to pass over a
server: one that was found and could not be tested fails the whole run. What needs no server runs once, and so do the
files of `ONCE`, which are about processes, sockets and files; everything that SQL decides runs everywhere.
"""

import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import IO

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


def main(arguments: list[str]) -> int:
    servers: list[tuple[str, Path]] = [("embedded", embedded_bin_dir())]
    servers += [(str(bin_dir), bin_dir) for bin_dir in system_bin_dirs()]
    lines: list[str] = []
    failed = 0
    with ExitStack() as stack:
        runs: list[tuple[str, str, subprocess.Popen[str], IO[str] | None]] = []
        for choice, bin_dir in servers:
            version = PostgresServer(CHECKOUT, bin_dir).version
            options = [f"--server={choice}"]
            output: IO[str] | None = None
            if runs:
                options += ["--only-with-server", *(f"--ignore=api/tests/{name}.py" for name in ONCE)]
                output = stack.enter_context(tempfile.TemporaryFile("w+"))
            else:
                print(f"\n=== PostgreSQL {version} ({choice})", flush=True)
            command = [sys.executable, "-m", "pytest", *options, *arguments]
            runs.append((choice, version, subprocess.Popen(command, stdout=output, text=True), output))
        for choice, version, process, output in runs:
            code = process.wait()
            if output is not None:
                print(f"\n=== PostgreSQL {version} ({choice})", flush=True)
                output.seek(0)
                shutil.copyfileobj(output, sys.stdout)
            failed += code != 0
            verdict = "passed" if code == 0 else f"FAILED (exit code {code})"
            lines.append(f"  PostgreSQL {version:<8} {verdict}   {choice}")
    print("\nTested on:", *lines, sep="\n", flush=True)
    if len(servers) == 1:
        print("  (the system has no PostgreSQL from 15 on)")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
