"""`FairGate` by itself: who goes in, in which order, and that nobody who gives up keeps a place."""

import asyncio

import pytest

from limena.fair_gate import FairGate


class Visitors:
    """Each waits at the gate, notes that it is in, and stays until it is sent out."""

    def __init__(self, gate: FairGate) -> None:
        self.gate = gate
        self.came_in: list[str] = []
        self._out: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, *names: str) -> None:
        """`a1` and `a2` are two calls of the caller a."""
        for name in names:
            self._out[name] = asyncio.Event()
            self._tasks[name] = asyncio.create_task(self._visit(name))
            await _settled()

    async def _visit(self, name: str) -> None:
        async with self.gate.place(name[0]):
            self.came_in.append(name)
            await self._out[name].wait()

    async def go(self, *names: str) -> None:
        for name in names:
            self._out[name].set()
            await self._tasks[name]
            await _settled()

    def give_up(self, name: str) -> asyncio.Task[None]:
        self._tasks[name].cancel()
        return self._tasks[name]


async def _settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_caller_has_its_share_and_leaves_the_rest_to_others() -> None:
    async def visit() -> None:
        visitors = Visitors(FairGate(size=3, share=2, wait_seconds=60))
        await visitors.come("a1", "a2", "a3", "a4", "b1")
        assert visitors.came_in == ["a1", "a2", "b1"]
        await visitors.go("b1")
        assert visitors.came_in == ["a1", "a2", "b1"], "a place is free, and it is for others"
        await visitors.come("c1")
        assert visitors.came_in[-1] == "c1"
        await visitors.go("a1")
        assert visitors.came_in[-1] == "a3"

    asyncio.run(visit())


def test_callers_take_turns_and_calls_of_one_their_order() -> None:
    async def visit() -> None:
        visitors = Visitors(FairGate(size=2, share=1, wait_seconds=60))
        await visitors.come("x1", "y1", "a1", "a2", "a3", "b1", "b2", "c1")
        await visitors.go("x1", "a1", "b1", "c1", "a2", "b2", "a3", "y1")
        assert visitors.came_in == ["x1", "y1", "a1", "b1", "c1", "a2", "b2", "a3"]

    asyncio.run(visit())


def test_who_gives_up_keeps_no_place() -> None:
    async def visit() -> None:
        visitors = Visitors(FairGate(size=1, share=1, wait_seconds=60))
        await visitors.come("a1", "b1", "b2", "c1")
        gone = visitors.give_up("b1")
        await visitors.go("a1")
        assert visitors.came_in == ["a1", "b2"]
        await visitors.go("b2")
        assert visitors.came_in == ["a1", "b2", "c1"]
        # Inside, too.
        visitors.give_up("c1")
        await visitors.come("d1")
        assert visitors.came_in[-1] == "d1"
        assert gone.cancelled()

    asyncio.run(visit())


def test_who_gives_up_costs_their_caller_no_turn() -> None:
    async def visit() -> None:
        visitors = Visitors(FairGate(size=1, share=1, wait_seconds=60))
        await visitors.come("x1", "a1", "a2", "a3", "b1", "b2", "c1")
        for name in ("a1", "a2", "c1"):
            visitors.give_up(name)
        # One has given up at the very moment when the place is given back, the others before.
        await visitors.go("x1", "a3", "b1", "b2")
        assert visitors.came_in == ["x1", "a3", "b1", "b2"]

    asyncio.run(visit())


def test_who_gives_up_when_their_turn_has_come_passes_it_on() -> None:
    async def visit() -> None:
        visitors = Visitors(FairGate(size=1, share=1, wait_seconds=60))
        async with visitors.gate.place("a"):
            await visitors.come("b1", "b2", "c1", "c2")
            before = visitors.give_up("c1")
        after = visitors.give_up("b1")  # it was let in, and has not heard of it yet
        await _settled()
        assert before.cancelled()
        assert after.cancelled()
        assert visitors.came_in == ["c2"]
        await visitors.go("c2", "b2")
        await visitors.come("d1", "e1")
        assert visitors.came_in == ["c2", "b2", "d1"]

    asyncio.run(visit())


def test_a_wait_has_its_time() -> None:
    async def visit() -> None:
        visitors = Visitors(FairGate(size=1, share=1, wait_seconds=0.05))
        await visitors.come("a1")
        with pytest.raises(TimeoutError):
            async with visitors.gate.place("b"):
                pass
        await visitors.go("a1")
        await visitors.come("b1")
        assert visitors.came_in == ["a1", "b1"]

    asyncio.run(visit())
