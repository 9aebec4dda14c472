"""Runs the tests on the embedded PostgreSQL and on each one that the system has, one after the other.

Refuses to pass over a server: one that was found and could not be tested fails the whole run. What
needs no server runs once.
"""

import subprocess
import sys
from pathlib import Path

from limena.embedded import PostgresServer, embedded_bin_dir, system_bin_dirs
from support.pgtap import CHECKOUT


def main(arguments: list[str]) -> int:
    servers: list[tuple[str, Path]] = [("embedded", embedded_bin_dir())]
    servers += [(str(bin_dir), bin_dir) for bin_dir in system_bin_dirs()]
    lines: list[str] = []
    failed = 0
    for choice, bin_dir in servers:
        version = PostgresServer(CHECKOUT, bin_dir).version
        print(f"\n=== PostgreSQL {version} ({choice})", flush=True)
        options = [f"--server={choice}", *(["--only-with-server"] if lines else [])]
        code = subprocess.run([sys.executable, "-m", "pytest", *options, *arguments], check=False).returncode
        failed += code != 0
        lines.append(f"  PostgreSQL {version:<8} {'passed' if code == 0 else f'FAILED (exit code {code})'}   {choice}")
    print("\nTested on:", *lines, sep="\n", flush=True)
    if len(servers) == 1:
        print("  (the system has no PostgreSQL from 15 on)")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
