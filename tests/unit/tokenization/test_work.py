"""Where work is done, how much is taken on, and what becomes of it when nobody waits."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from support.waiting import until
from symbiont.common.errors import ResourceExhausted
from symbiont.tokenization.metrics import TokenizationMetrics
from symbiont.tokenization.work import INLINE_BYTES, LONE_BYTES, Abandoned, Stop, Work


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def work(executor: ThreadPoolExecutor, registry: CollectorRegistry) -> Work:
    return Work(executor, 1, 1000, TokenizationMetrics(registry))


def where(stop: Stop) -> str:
    return threading.current_thread().name


async def test_small_and_lone_work_is_done_where_it_arrives(work: Work) -> None:
    here = threading.current_thread().name
    assert await work.run(INLINE_BYTES, where) == here
    assert await work.run(LONE_BYTES, where) == here
    assert await work.run(LONE_BYTES + 1, where) != here
    together = await asyncio.gather(*(work.run(LONE_BYTES, where) for _ in range(3)))
    assert here not in together[:2]


async def test_no_more_than_the_slots_is_done_at_a_time(work: Work) -> None:
    running, most = 0, 0

    def count(stop: Stop) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        threading.Event().wait(0.01)
        running -= 1

    await asyncio.gather(*(work.run(1 << 20, count) for _ in range(5)))
    assert (running, most) == (0, 1)


async def test_what_has_no_room_is_turned_away_with_a_time(work: Work, registry: Any) -> None:
    work.admit(5000)
    with pytest.raises(ResourceExhausted) as caught:
        await work.do(1, lambda _: None)
    assert caught.value.reason == "OVERLOADED"
    assert caught.value.retry_after_s
    assert registry.get_sample_value("symbiont_tokenization_held_bytes") == 5000
    waiting = asyncio.create_task(work.room(900))
    await asyncio.sleep(0)
    assert not waiting.done()
    work.hold(-5000)
    await waiting
    assert registry.get_sample_value("symbiont_tokenization_held_bytes") == 0


async def test_work_in_a_thread_is_told_when_its_caller_has_gone(work: Work, registry: Any) -> None:
    begun, told = threading.Event(), threading.Event()

    def wait(stop: Stop) -> None:
        begun.set()
        while True:
            try:
                stop.check()
            except Abandoned:
                told.set()
                raise

    task = asyncio.create_task(work.run(1 << 20, wait))
    queued = asyncio.create_task(work.run(1 << 20, where))
    await until(begun.is_set)
    queued.cancel()
    task.cancel()
    await asyncio.gather(task, queued, return_exceptions=True)
    await until(told.is_set)
    assert registry.get_sample_value("symbiont_tokenization_dropped_batches_total", {"reason": "CANCELLED"}) == 2
    assert await work.run(1 << 20, where)
