"""A stream's answers come as they are ready, and no more is read than may run."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from symbiont.common.errors import Unavailable
from symbiont.inference.streaming import answered_as_ready


class Caller:
    """Sends numbers, and notes how far it was read."""

    def __init__(self, count: int) -> None:
        self.sent = 0
        self._count = count

    async def requests(self) -> AsyncIterator[int]:
        for number in range(self._count):
            self.sent = number + 1
            yield number


async def test_a_slow_request_holds_up_no_other() -> None:
    slow = asyncio.Event()

    async def answer(number: int) -> int:
        if number == 0:
            await slow.wait()
        return number

    got = []
    async for number in answered_as_ready(Caller(5).requests(), answer, 3, asyncio.Event()):
        got.append(number)
        if len(got) == 4:
            slow.set()
    assert got[-1] == 0
    assert sorted(got) == [0, 1, 2, 3, 4]


async def test_only_so_many_are_read_before_their_answers_are_taken() -> None:
    caller = Caller(100)

    async def answer(number: int) -> int:
        return number

    answers = answered_as_ready(caller.requests(), answer, 4, asyncio.Event())
    assert await anext(answers) == 0
    for _ in range(50):
        await asyncio.sleep(0)
    assert caller.sent <= 5
    assert sorted([0, *[number async for number in answers]]) == list(range(100))


async def test_a_stop_answers_what_was_read_and_says_so() -> None:
    stopping, caller = asyncio.Event(), Caller(100)

    async def answer(number: int) -> int:
        await asyncio.sleep(0.001)
        return number

    answers = answered_as_ready(caller.requests(), answer, 2, stopping)
    got = [await anext(answers) for _ in range(3)]
    stopping.set()

    async def rest() -> None:
        async for number in answers:
            got.append(number)

    with pytest.raises(Unavailable, match="this process stops"):
        await rest()
    # The last that was read may not have begun.
    assert sorted(got) == list(range(len(got)))
    assert len(got) >= caller.sent - 1


async def test_a_caller_that_goes_cancels_what_runs() -> None:
    cancelled = []

    async def answer(number: int) -> int:
        if number == 0:
            return 0
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(number)
            raise
        return number

    answers = answered_as_ready(Caller(3).requests(), answer, 3, asyncio.Event())
    assert await anext(answers) == 0
    await asyncio.sleep(0)
    await answers.aclose()
    assert sorted(cancelled) == [1, 2]


async def test_what_breaks_the_stream_is_raised() -> None:
    async def requests() -> AsyncIterator[int]:
        yield 1
        raise RuntimeError("broken")

    async def answer(number: int) -> int:
        return number

    with pytest.raises(RuntimeError, match="broken"):
        assert [number async for number in answered_as_ready(requests(), answer, 2, asyncio.Event())]
