"""Many calls over one stream: a few run at a time, their answers go out in the order of the calls."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

from symbiont.common.errors import Unavailable

Q = TypeVar("Q")
A = TypeVar("A")


async def answered_in_order(
    requests: AsyncIterator[Q],
    answer: Callable[[Q], Coroutine[Any, Any, A]],
    most: int,
    stopping: asyncio.Event,
) -> AsyncGenerator[A]:
    """Yields the answer of each request, in the order of the requests.

    A request is read only when fewer than `most` are unanswered: a caller that sends faster is held up by the flow
    control of its stream, not by our memory.

    Args:
        answer: never raises: an error of one request is an answer like any other.
        stopping: ends the stream after the requests that were read.

    Raises:
        Unavailable: `stopping` was set before the caller had sent its last request.
    """
    free = asyncio.Semaphore(most)
    queue: asyncio.Queue[asyncio.Task[A] | None] = asyncio.Queue()
    tasks: set[asyncio.Task[A]] = set()

    async def read() -> None:
        try:
            await free.acquire()
            async for request in requests:
                task = asyncio.create_task(answer(request))
                tasks.add(task)
                queue.put_nowait(task)
                await free.acquire()
        finally:
            queue.put_nowait(None)

    async def stop(reader: asyncio.Task[None]) -> None:
        await stopping.wait()
        reader.cancel()

    reader = asyncio.create_task(read())
    stopper = asyncio.create_task(stop(reader))
    try:
        while task := await queue.get():
            yield await task
            tasks.discard(task)
            free.release()
        try:
            # Raises what broke the stream.
            await reader
        except asyncio.CancelledError:
            if reader.cancelled() and stopping.is_set():
                # Not a quiet end: a caller may have sent more than was read, and would wait for its answers for ever.
                raise Unavailable("this process stops: open the stream again, to another one") from None
            raise
    finally:
        left = (reader, stopper, *tasks)
        for unfinished in left:
            unfinished.cancel()
        await asyncio.gather(*left, return_exceptions=True)
