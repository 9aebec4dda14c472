"""A gate in front of what callers wait for together, that no caller can fill alone.

Calls that may wait for a row of their tenant's each keep a connection while they do. Behind a plain semaphore, one
tenant's 64 callers, who wait for each other, have every place, and a neighbour waits behind all of them. Here a caller
has at most a share of the places, and those who wait go in by turns, one of each caller. Refuses to know who a caller
is. Nobody may choose to be another one: who could be many callers would have many turns.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager, suppress
from typing import Final


class FairGate:
    """`size` places, of which one caller has `share` at most; who waits for one gives up after `wait_seconds`."""

    def __init__(self, size: int, share: int, wait_seconds: float) -> None:
        self._free = size
        self._share: Final = share
        self._wait_seconds: Final = wait_seconds
        self._inside: Final[Counter[Hashable]] = Counter()
        self._waiting: Final[dict[Hashable, deque[asyncio.Future[None]]]] = {}
        """Whoever comes first is next: a caller of whom one was let in goes to the end."""

    @asynccontextmanager
    async def place(self, caller: Hashable) -> AsyncIterator[None]:
        """Waits for a place, and has it to the end of the block. Raises `TimeoutError`."""
        if self._free and self._inside[caller] < self._share:  # then nobody who waits could have it
            self._take(caller)
        else:
            async with asyncio.timeout(self._wait_seconds):
                await self._wait(caller)
        try:
            yield
        finally:
            self._give_back(caller)

    async def _wait(self, caller: Hashable) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(caller, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._forget(caller, turn)
            else:  # let in at the very moment
                self._give_back(caller)
            raise

    def _forget(self, caller: Hashable, turn: asyncio.Future[None]) -> None:
        """Whoever has given up costs their caller no turn."""
        turns = self._waiting.get(caller, deque())
        with suppress(ValueError):  # _let_in() has come across it
            turns.remove(turn)
            if not turns:
                del self._waiting[caller]

    def _take(self, caller: Hashable) -> None:
        self._free -= 1
        self._inside[caller] += 1

    def _give_back(self, caller: Hashable) -> None:
        self._free += 1
        self._inside[caller] -= 1
        if not self._inside[caller]:
            del self._inside[caller]
        self._let_in()

    def _let_in(self) -> None:
        while self._free:
            caller = next((one for one in self._waiting if self._inside[one] < self._share), None)
            if caller is None:
                return
            turns = self._waiting[caller]
            turn = turns.popleft()
            if not turns:
                del self._waiting[caller]
            if not turn.cancelled():
                if turns:
                    self._waiting[caller] = self._waiting.pop(caller)  # to the end
                self._take(caller)
                turn.set_result(None)
