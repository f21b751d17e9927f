"""Waiting for something that another task, thread or process does."""

import asyncio
import time
from collections.abc import Awaitable, Callable


async def until(condition: Callable[[], bool | Awaitable[bool]], seconds: float = 60) -> None:
    """Returns once a condition holds; fails the test when it does not hold in time."""
    deadline = time.monotonic() + seconds
    while not (await holds if isinstance(holds := condition(), Awaitable) else holds):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        await asyncio.sleep(0.02)


def until_sync(condition: Callable[[], bool], seconds: float = 60) -> None:
    """As until, for tests that are not asynchronous."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)
