"""The time that a stage takes, and its end when the call's time is over."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from symbiont.inference.deadline import Deadline


@asynccontextmanager
async def stage(name: str, seconds: dict[str, float], deadline: Deadline) -> AsyncIterator[None]:
    """Notes in `seconds` what the block took; DeadlineExceeded names the stage."""
    started = time.perf_counter()
    async with deadline.bound(name):
        yield
    seconds[name] = time.perf_counter() - started
