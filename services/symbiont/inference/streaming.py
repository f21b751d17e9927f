"""Many calls over one stream, each answered as soon as it is ready."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

from symbiont.common.errors import Unavailable

Q = TypeVar("Q")
A = TypeVar("A")


async def answered_as_ready(
    requests: AsyncIterator[Q],
    answer: Callable[[Q], Coroutine[Any, Any, A]],
    most: int,
    stopping: asyncio.Event,
) -> AsyncGenerator[A]:
    """Yields answers in the order in which they are ready.

    A request is read only when fewer than `most` are unanswered or their answers not taken: a caller that does not
    read is not read from.

    Args:
        answer: never raises: an error of one request is an answer like any other.
        stopping: ends the stream after the requests that were read.

    Raises:
        Unavailable: `stopping` was set before the caller had sent its last request.
    """
    free, done = asyncio.Semaphore(most), asyncio.Queue[A | None]()
    tasks: set[asyncio.Task[None]] = set()

    async def respond(request: Q) -> None:
        done.put_nowait(await answer(request))

    async def take_in() -> None:
        await free.acquire()
        async for request in requests:
            task = asyncio.create_task(respond(request))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            await free.acquire()

    async def read() -> bool:
        """Returns whether the caller has sent its last request; then all that was read is answered."""
        taking, stop = asyncio.create_task(take_in()), asyncio.create_task(stopping.wait())
        try:
            await asyncio.wait({taking, stop}, return_when=asyncio.FIRST_COMPLETED)
            ended = taking.done()
            if ended:
                # Raises what broke the stream.
                taking.result()
            taking.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            return ended
        finally:
            for task in (taking, stop):
                task.cancel()
            done.put_nowait(None)

    reader = asyncio.create_task(read())
    try:
        while (ready := await done.get()) is not None:
            yield ready
            free.release()
        if not await reader:
            # Not a quiet end: a caller may have sent more than was read, and would wait for its answers for ever.
            raise Unavailable("this process stops: open the stream again, to another one")
    finally:
        for task in (reader, *tasks):
            task.cancel()
        await asyncio.gather(reader, *tasks, return_exceptions=True)
