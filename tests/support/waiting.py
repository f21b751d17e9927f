"""Waiting for something that another task, thread or process does."""

import asyncio
import time
from collections.abc import Awaitable, Callable


async def until(condition: Callable[[], bool | Awaitable[bool]], seconds: float = 60) -> None:
    """Returns once a condition holds; fails the test when it does not hold in time."""
    deadline = time.monotonic() + seconds
    while not (await holds if isinstance(holds := condition(), Awaitable) else holds):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        await asyncio.sleep(_pause(deadline - seconds))


def until_sync(condition: Callable[[], bool], seconds: float = 60) -> None:
    """As until, for tests that are not asynchronous."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(_pause(deadline - seconds))


def _pause(began: float) -> float:
    """Returns when to look again: soon at first, and the longer it has taken the later, for looking costs time too."""
    return min(max(0.02, (time.monotonic() - began) / 20), 0.1)
