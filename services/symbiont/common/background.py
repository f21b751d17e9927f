"""Work that a service does beside its calls, for as long as it runs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from symbiont.common.log import get_logger

RESTART_SECONDS = 1.0


@asynccontextmanager
async def running(name: str, work: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Runs `work` beside the block and cancels it at its end.

    Work that fails by an error that it did not expect is logged and begun again: a service that still answers must not
    silently stop to follow what happens around it.
    """
    task = asyncio.create_task(_forever(name, work), name=name)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _forever(name: str, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await work()
        except Exception:  # noqa: BLE001, whatever it is, the work must go on
            get_logger().exception("background work failed and begins again", work=name)
        await asyncio.sleep(RESTART_SECONDS)
