"""`limena dev` as a child process: a real uvicorn on a real socket, with a PostgreSQL of its own and the demo data."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from support.csrf import PageClient

START_SECONDS = 120.0
STOP_SECONDS = 60.0


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Live:
    """A running server. `dev` is what it wrote to dev.json; `output` is the file that holds what it printed."""

    data_dir: Path
    output: Path
    process: subprocess.Popen[bytes]
    base_url: str
    dev: dict[str, Any] = field(default_factory=dict)

    def client(self, **options: Any) -> httpx.Client:
        """A new HTTP client with cookies of its own."""
        return PageClient(base_url=self.base_url, timeout=30.0, **options)

    def stop(self) -> int:
        """SIGTERM and the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


def start(data_dir: Path, bin_dir: Path, *arguments: str, environment: dict[str, str] | None = None) -> Live:
    """Starts `limena dev` on `data_dir` with the PostgreSQL of `bin_dir`, and waits until it answers."""
    port = free_port()
    output = data_dir.parent / f"{data_dir.name}.out"
    command = [sys.executable, "-m", "limena.cli", "dev", "--port", str(port), "--data-dir", str(data_dir), *arguments]
    with output.open("wb") as file:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={
                **os.environ,
                "LIMENA_DEV_BINDIR": str(bin_dir),
                "LIMENA_RATE_LIMITS": "off",
                "LIMENA_BCRYPT_COST": "4",
                **(environment or {}),
            },
        )
    scheme = "https" if "--tls" in arguments else "http"
    live = Live(data_dir, output, process, f"{scheme}://127.0.0.1:{port}")
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            # A throwaway certificate may not be there yet; whether it is right is for a test to find out.
            if httpx.get(f"{live.base_url}/readyz", timeout=5.0, verify=False).status_code == 200:  # noqa: S501
                break
        except httpx.TransportError:
            pass
        if process.poll() is not None or time.monotonic() > end:
            if process.poll() is None:
                live.stop()
            raise RuntimeError(
                f"limena dev did not start (exit code {process.returncode}): {output.read_text()[-3000:]}"
            )
        time.sleep(0.05)
    live.dev = json.loads((data_dir / "dev.json").read_text())
    return live
