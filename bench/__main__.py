"""`make bench`: measures on a PostgreSQL of its own, prints ratios with the medians behind them, writes bench/results/.

Each `bench/measure_*.py` has `MEASUREMENTS`: functions of a `Bench` that return what `bench.harness.compare` makes, and
whose docstring says what is compared.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bench.harness import Bench
from limena.embedded import PostgresServer

HERE: Final = Path(__file__).parent
RESULTS: Final = HERE / "results"

Measurement = Callable[[Bench], dict[str, Any]]


def measurements() -> dict[str, Measurement]:
    """Of all modules, by name."""
    found: dict[str, Measurement] = {}
    for path in sorted(HERE.glob("measure_*.py")):
        module = importlib.import_module(f"bench.{path.stem}")
        found |= {measurement.__name__: measurement for measurement in module.MEASUREMENTS}
    return found


def _show(name: str, measurement: Measurement, result: Mapping[str, Any], seconds: float) -> None:
    print(f"\n{name} ({seconds:.0f} s)\n  {' '.join((measurement.__doc__ or '').split())}")
    for side in ("measured", "beside"):
        figures = "   ".join(f"{figure} {value:,.2f}" for figure, value in result[side].items())
        print(f"  {side:9} {figures}")
    ratio = result["ratio"]
    print(
        f"  ratio     {ratio['median']:.3f}  ({ratio['min']:.3f} to {ratio['max']:.3f} over {result['rounds']} rounds)"
        f"  of {result['ratio_of']}"
    )
    shown = {"measured", "beside", "ratio", "ratio_of", "rounds"}
    for figure, value in result.items():
        if figure not in shown:
            print(f"  {figure}: {value}")


def main() -> None:
    known = measurements()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("only", nargs="*", metavar="MEASUREMENT", help=f"one of: {', '.join(known)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each side of each round")
    options = parser.parse_args()
    if unknown := set(options.only) - set(known):
        parser.error(f"there is no measurement {', '.join(sorted(unknown))}")

    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="limena-bench-") as folder:
        os.chmod(folder, 0o755)  # started by root, PostgreSQL runs as someone else and has to pass through
        with PostgresServer(Path(folder) / "postgres", settings={"max_connections": "200"}) as server:
            bench = Bench(server, options.rounds, options.seconds)
            for name, measurement in known.items():
                if not options.only or name in options.only:
                    started = time.monotonic()
                    results[name] = measurement(bench)
                    _show(name, measurement, results[name], time.monotonic() - started)
            machine = {"cpus": os.cpu_count(), "python": platform.python_version(), "postgres": server.version}

    RESULTS.mkdir(exist_ok=True)
    now = datetime.now(UTC)
    path = RESULTS / f"{now:%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps({"at": now.isoformat(), "machine": machine, "results": results}, indent=2) + "\n")
    print(f"\nWritten to {os.path.relpath(path)}")


if __name__ == "__main__":
    main()
