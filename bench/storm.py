"""A storm of log-ins: N connections that each log in again and again, as strangers with passwords that are wrong.

Each attempt is another person from another address (X-Forwarded-For: the server has to trust this machine as a proxy),
so that neither the brute-force counters nor the rate limits answer in bcrypt's place. Loopback only, bounded in
connections and time. Prints one JSON object: how many answers had which status.

    python -m bench.storm 127.0.0.1 8000 --connections 50 --seconds 6
"""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import itertools
import json
import time
import urllib.request
from collections import Counter

_numbers = itertools.count(1)


def _request(csrf_token: str) -> bytes:
    number = next(_numbers)
    body = json.dumps({"email": f"stranger-{number}@example.com", "password": "a password of nobody"}).encode("ascii")
    lines = [
        "POST /api/v1/auth/login HTTP/1.1",
        "Host: bench",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        f"X-Forwarded-For: {ipaddress.ip_address('198.18.0.0') + number % 100_000}",
        f"X-CSRF-Token: {csrf_token}",
        f"Cookie: limena_csrf={csrf_token}",
        "",
        "",
    ]
    return "\r\n".join(lines).encode("ascii") + body


async def _client(host: str, port: int, csrf_token: str, deadline: float, statuses: Counter[int]) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    while time.monotonic() < deadline:
        writer.write(_request(csrf_token))
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        statuses[int(head[9:12])] += 1
        if b"connection: close" in head:
            break
    writer.close()


def _csrf_token(host: str, port: int) -> str:
    with urllib.request.urlopen(f"http://{host}:{port}/api/v1/auth/csrf", timeout=10) as answer:
        token: str = json.load(answer)["csrf_token"]
    return token


async def run(host: str, port: int, csrf_token: str, *, connections: int, seconds: float) -> dict[int, int]:
    statuses: Counter[int] = Counter()
    deadline = time.monotonic() + seconds
    async with asyncio.timeout(seconds + 60):
        await asyncio.gather(*(_client(host, port, csrf_token, deadline, statuses) for _ in range(connections)))
    return dict(statuses)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("host", type=ipaddress.ip_address)
    parser.add_argument("port", type=int)
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=4.0)
    options = parser.parse_args()
    if not options.host.is_loopback or not 0 < options.connections <= 256 or not 0 < options.seconds <= 60:
        parser.error("loopback only, at most 256 connections, at most 60 seconds")
    host, port = str(options.host), options.port
    storm = run(host, port, _csrf_token(host, port), connections=options.connections, seconds=options.seconds)
    print(json.dumps(asyncio.run(storm)))


if __name__ == "__main__":
    main()
