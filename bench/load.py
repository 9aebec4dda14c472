"""A load generator: N connections that each send one prepared request after the other, for some seconds.

Raw sockets and no HTTP library, so that it takes little of the processors that it shares with what it measures.
Loopback only, bounded in connections and time. Prints one JSON object: requests, seconds, p50 and p99 in milliseconds,
and how many answers had which status.

    python -m bench.load 127.0.0.1 8000 /healthz --connections 32 --seconds 4 --header 'Authorization: Bearer …'
"""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import json
import time
from collections import Counter
from typing import Final, cast

import uvloop

_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length: "


class _Client(asyncio.Protocol):
    """One connection. Answers must have a Content-Length, as those of the API have."""

    def __init__(self, request: bytes, deadline: float, times: list[float], statuses: Counter[int]) -> None:
        self._request: Final = request
        self._deadline: Final = deadline
        self._times: Final = times
        self._statuses: Final = statuses
        self._buffer = bytearray()
        self._sent_at = 0.0
        self._transport: asyncio.Transport | None = None
        self.done: Final = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._send()

    def _send(self) -> None:
        assert self._transport is not None
        self._sent_at = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head_end = self._buffer.find(_HEAD_END)
        if head_end < 0:
            return
        head = bytes(self._buffer[:head_end]).lower()
        start = head.index(_LENGTH) + len(_LENGTH)
        stop = head.find(b"\r\n", start)
        length = int(head[start : stop if stop >= 0 else None])
        if len(self._buffer) < head_end + len(_HEAD_END) + length:
            return
        now = time.perf_counter()
        self._times.append(now - self._sent_at)
        self._statuses[int(head[9:12])] += 1
        self._buffer.clear()
        if now < self._deadline:
            self._send()
        else:
            assert self._transport is not None
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(exc)


async def run(host: str, port: int, request: bytes, *, connections: int, seconds: float) -> dict[str, object]:
    """Raises `ConnectionError` when a connection broke before its time."""
    times: list[float] = []
    statuses: Counter[int] = Counter()
    started = time.perf_counter()
    loop = asyncio.get_running_loop()
    clients = []
    for _ in range(connections):
        _, client = await loop.create_connection(
            lambda: _Client(request, started + seconds, times, statuses), host, port
        )
        clients.append(client)
    async with asyncio.timeout(seconds + 10):
        for ended in await asyncio.gather(*(client.done for client in clients)):
            if ended is not None:
                raise ConnectionError("a connection broke") from ended
    elapsed = time.perf_counter() - started
    times.sort()
    return {
        "requests": len(times),
        "seconds": elapsed,
        "p50_ms": times[len(times) // 2] * 1000,
        "p99_ms": times[len(times) * 99 // 100] * 1000,
        "statuses": dict(statuses),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("host", type=ipaddress.ip_address)
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--header", action="append", default=[])
    parser.add_argument("--body", help="JSON, for a POST")
    options = parser.parse_args()
    if not options.host.is_loopback or not 0 < options.connections <= 256 or not 0 < options.seconds <= 60:
        parser.error("loopback only, at most 256 connections, at most 60 seconds")
    body, head = b"", [f"GET {options.path} HTTP/1.1"]
    if options.body is not None:
        body = options.body.encode("utf-8")
        head = [f"POST {options.path} HTTP/1.1", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    request = "\r\n".join([*head, "Host: bench", *options.header, "", ""]).encode("ascii") + body
    uvloop.install()
    print(
        json.dumps(
            asyncio.run(
                run(str(options.host), options.port, request, connections=options.connections, seconds=options.seconds)
            )
        )
    )


if __name__ == "__main__":
    main()
