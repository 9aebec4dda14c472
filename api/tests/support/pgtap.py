"""Where pgTAP's SQL script is, and how to get it.

pgTAP is plain SQL, so one script serves every server, the embedded one too, and nothing is installed into the system:
Debian's package is unpacked into `.venv`. Refuses to guess: without the script the tests fail with a sentence.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
UNPACKED = CHECKOUT / ".venv" / "pgtap"
VARIABLE = "LIMENA_TEST_PGTAP_SQL"
ADVICE = (
    f"pgTAP was not found. Install it (on Debian and Ubuntu: apt-get install postgresql-NN-pgtap), "
    f"or name its script, a file like pgtap--1.3.3.sql, in {VARIABLE}."
)


class PgTapError(Exception):
    """pgTAP is neither here nor to be had; the text says what to do."""


def _version(script: Path) -> tuple[int, ...] | None:
    """The version in a file name like pgtap--1.2.0.sql; None for upgrade scripts and parts."""
    found = re.fullmatch(r"pgtap--(\d+(?:\.\d+)+)\.sql", script.name)
    return tuple(int(part) for part in found[1].split(".")) if found else None


def find_script() -> Path:
    """The newest complete script of pgTAP on this machine, or PgTapError."""
    named = os.environ.get(VARIABLE)
    if named:
        if not Path(named).is_file():
            raise PgTapError(f"{VARIABLE} names {named}, which is no file.")
        return Path(named)
    roots = [Path("/usr/share/postgresql"), UNPACKED / "usr/share/postgresql"]
    scripts = [script for root in roots for script in root.glob("*/extension/pgtap--*.sql")]
    versioned = [(version, script) for script in scripts if (version := _version(script))]
    if not versioned:
        raise PgTapError(ADVICE)
    return max(versioned)[1]


def _run(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PgTapError(f"{ADVICE} ({' '.join(command[:2])} said: {done.stderr.strip()[-300:]})")
    return done.stdout


def _packages(options: list[str]) -> list[str]:
    listed = _run("apt-cache", *options, "search", "--names-only", "^postgresql-[0-9]+-pgtap$").splitlines()
    return sorted((line.split()[0] for line in listed), key=lambda name: int(name.split("-")[1]))


def install() -> Path:
    """find_script(), after fetching Debian's package into `.venv/pgtap` where it is missing. Needs no root."""
    try:
        return find_script()
    except PgTapError:
        if os.environ.get(VARIABLE) or not all(shutil.which(tool) for tool in ("apt-get", "apt-cache", "dpkg-deb")):
            raise
    with tempfile.TemporaryDirectory(prefix="limena-pgtap-") as folder:
        options: list[str] = []
        packages = _packages(options)
        if not packages:
            # No package lists yet, as in a new container: fetch our own, which takes no root.
            for part in ("lists/partial", "cache/archives/partial"):
                (Path(folder) / part).mkdir(parents=True)
            options = ["-o", f"Dir::State::lists={folder}/lists", "-o", f"Dir::Cache={folder}/cache"]
            _run("apt-get", *options, "-o", "APT::Sandbox::User=", "update")
            packages = _packages(options)
        if not packages:
            raise PgTapError(ADVICE)
        _run("apt-get", *options, "-o", "APT::Sandbox::User=", "download", packages[-1], cwd=Path(folder))
        for package in Path(folder).glob("*.deb"):
            _run("dpkg-deb", "-x", str(package), str(UNPACKED))
    return find_script()


if __name__ == "__main__":
    try:
        print(f"pgTAP: {install() if sys.argv[1:] == ['install'] else find_script()}")
    except PgTapError as error:
        sys.exit(str(error))
