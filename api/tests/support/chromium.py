"""Where a Chromium for the console's tests is, and how to get it.

Debian's package where `apt-get` may install it, else whatever browser of its family the machine has. Refuses to skip:
without a browser the tests fail with a sentence.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

VARIABLE = "LIMENA_TEST_CHROMIUM"
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
APPLICATIONS = ("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",)
PACKAGES = ("chromium", "fonts-liberation")
ADVICE = (
    "The console's tests need Chromium. Install it (on Debian and Ubuntu: apt-get install chromium), "
    f"or name a browser of its family in {VARIABLE}."
)
FLAGS = (
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--no-first-run",
)


class ChromiumError(Exception):
    """There is no browser, and none is to be had; the text says what to do."""


def find() -> Path:
    """The browser's program, or ChromiumError."""
    named = os.environ.get(VARIABLE)
    if named:
        if not os.access(named, os.X_OK):
            raise ChromiumError(f"{VARIABLE} names {named}, which is no program.")
        return Path(named)
    candidates = [*filter(None, map(shutil.which, PROGRAMS)), *(one for one in APPLICATIONS if os.access(one, os.X_OK))]
    if not candidates:
        raise ChromiumError(ADVICE)
    return Path(candidates[0])


def flags() -> list[str]:
    """Root has no sandbox in which Chromium would run."""
    return [*FLAGS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]


def install() -> Path:
    """find(), after installing Debian's package where it is missing and we may."""
    try:
        return find()
    except ChromiumError:
        if os.environ.get(VARIABLE) or os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise
    print("Installing Chromium with apt-get …", flush=True)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *PACKAGES]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:  # no package lists yet, or old ones, as in a new container
        subprocess.run(["apt-get", "update"], capture_output=True, check=False)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ChromiumError(f"{ADVICE} (apt-get install said: {done.stderr.strip()[-300:]})")
    return find()


if __name__ == "__main__":
    try:
        print(f"Chromium: {install() if sys.argv[1:] == ['install'] else find()}")
    except ChromiumError as error:
        sys.exit(str(error))
