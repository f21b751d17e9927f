"""Bundles that are not in memory yet, asked for while others are served."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

Ask = Callable[[str], Awaitable[object]]


@dataclass(frozen=True)
class HotLoads:
    """Latencies in seconds: of first calls of new bundles, and of the others' calls meanwhile."""

    asked: Sequence[float]
    others: Sequence[float]


async def ask_beside(ask: Ask, resident: Sequence[str], asked: Sequence[str], pause_s: float) -> HotLoads:
    """Asks for one bundle after another with a pause between, while two callers ask for resident ones all the time."""
    others: list[float] = []
    done = asyncio.Event()

    async def caller(bundle: str) -> None:
        while not done.is_set():
            others.append(await _timed(ask, bundle))

    async with asyncio.TaskGroup() as group:
        for bundle in resident[:2]:
            group.create_task(caller(bundle))
        found = []
        for bundle in asked:
            found.append(await _timed(ask, bundle))
            await asyncio.sleep(pause_s)
        done.set()
    return HotLoads(found, others)


async def _timed(ask: Ask, bundle: str) -> float:
    started = time.perf_counter()
    await ask(bundle)
    return time.perf_counter() - started


def percentile(values: Sequence[float], share: float) -> float:
    """Returns a percentile."""
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]
