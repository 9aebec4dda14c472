"""`make soak`: runs every `soak_*.py` beside this file, one after the other; the first that does not hold ends it.

Each has `main()`, which starts what it needs, stops by itself, and raises when what it is about does not hold.
"""

from __future__ import annotations

import argparse
import importlib
import time
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent


def main() -> None:
    known = [path.stem.removeprefix("soak_") for path in sorted(HERE.glob("soak_*.py"))]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("only", nargs="*", metavar="CHECK", help=f"one of: {', '.join(known)}")
    options = parser.parse_args()
    if unknown := set(options.only) - set(known):
        parser.error(f"there is no check {', '.join(sorted(unknown))}")
    for name in options.only or known:
        print(f"\n=== {name}", flush=True)
        started = time.monotonic()
        importlib.import_module(f"bench.soak.soak_{name}").main()
        print(f"=== {name}: held, {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
