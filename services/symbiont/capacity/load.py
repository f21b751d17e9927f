"""Loads a host: as fast as it answers, or at a given rate whatever it does."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from symbiont.common.errors import SymbiontError

# Asks one request; raises SymbiontError when it is not answered.
Ask = Callable[[], Awaitable[None]]


@dataclass
class Answers:
    """What came of a load.

    Attributes:
        offered: requests a second; None when each began as another ended.
        wall: seconds from the first request to the last answer.
        seconds: from when a request was due to its answer, for those answered.
        failed: requests that were not answered.
    """

    offered: float | None
    wall: float = 0.0
    seconds: list[float] = field(default_factory=list)
    failed: int = 0

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.seconds) / self.wall if self.wall else 0.0

    def quantile(self, share: float) -> float:
        """Returns the time within which this share of all requests was answered; those that failed count as never."""
        rank = max(0, -int(-share * (len(self.seconds) + self.failed) // 1) - 1)
        ordered = sorted(self.seconds)
        return ordered[rank] if rank < len(ordered) else float("inf")


async def closed_loop(ask: Ask, at_once: int, seconds: float, least: int = 4) -> Answers:
    """Keeps so many requests in flight for so long, and for at least `least` of them."""
    answers, began = Answers(None), time.perf_counter()

    async def worker() -> None:
        while time.perf_counter() - began < seconds or len(answers.seconds) < least:
            await _timed(ask, time.perf_counter(), answers)
            if answers.failed > least and not answers.seconds:
                return

    await asyncio.gather(*(worker() for _ in range(at_once)))
    answers.wall = time.perf_counter() - began
    return answers


async def open_loop(ask: Ask, rate: float, requests: int, seed: int = 0) -> Answers:
    """Sends requests at random moments, `rate` a second on average, without waiting for answers.

    A request's time counts from the moment at which it was due, so that a load that falls behind does not look better
    than it is (coordinated omission).
    """
    answers, source, began = Answers(rate), random.Random(seed), time.perf_counter()  # noqa: S311, no secret
    due, running = began, []
    for _ in range(requests):
        due += source.expovariate(rate)
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        running.append(asyncio.create_task(_timed(ask, due, answers)))
    await asyncio.gather(*running)
    answers.wall = time.perf_counter() - began
    return answers


async def _timed(ask: Ask, due: float, answers: Answers) -> None:
    try:
        await ask()
    except SymbiontError:
        answers.failed += 1
    else:
        answers.seconds.append(time.perf_counter() - due)
