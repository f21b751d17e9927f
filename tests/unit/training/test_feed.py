"""The feed: many watchers, one reader; nothing is missed, nothing comes twice."""

import asyncio
from collections.abc import Sequence

import pytest

from symbiont.common.errors import Unavailable
from symbiont.training import feed as feed_module
from symbiont.training.feed import Feed
from symbiont.training.notifier import Notifier
from symbiont.training.types import Event, JobState, LogLine, StateChange, now

END = StateChange(JobState.EVALUATING, JobState.SUCCEEDED, "made it")


class Job:
    """Events as a store keeps them, and how often it was read."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.reads = 0
        self.broken = False
        self.notifier = Notifier()
        self.feed = Feed(self.read, self.notifier)

    def add(self, count: int = 1, *, last: bool = False) -> None:
        for number in range(count):
            identifier = len(self.events) + 1
            ends = last and number == count - 1
            body = END if ends else LogLine(str(identifier))
            self.events.append(Event("j", identifier, now(), 1, body))
        self.notifier.notify("j")

    async def read(self, job: str, after: int) -> Sequence[Event]:
        self.reads += 1
        if self.broken:
            raise OSError("the database is away")
        await asyncio.sleep(0)
        return self.events[after : after + 50]

    async def watch(self, after: int = 0) -> list[int]:
        return [event.id async for event in self.feed.watch("j", after)]


async def test_a_thousand_watchers_cost_few_reads() -> None:
    job = Job()
    job.add(3)
    watchers = [asyncio.create_task(job.watch(after)) for after in (0, 1, 2, 3) for _ in range(250)]
    await asyncio.sleep(0.2)
    before = job.reads
    for _ in range(9):
        job.add()
        await asyncio.sleep(0.01)
    job.add(last=True)
    seen = await asyncio.wait_for(asyncio.gather(*watchers), 60)
    assert seen == [list(range(after + 1, 14)) for after in (0, 1, 2, 3) for _ in range(250)]
    assert job.reads - before <= 2 * 11
    assert job.feed._jobs == {}


async def test_one_who_is_far_behind_reads_for_himself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "TAIL", 5)
    job = Job()
    fast = asyncio.create_task(job.watch())
    await asyncio.sleep(0.01)
    job.add(120)
    await asyncio.sleep(0.05)
    slow = asyncio.create_task(job.watch())
    await asyncio.sleep(0.05)
    job.add(3, last=True)
    assert await asyncio.wait_for(fast, 60) == await asyncio.wait_for(slow, 60) == list(range(1, 124))


async def test_a_store_that_breaks_is_said_and_found_again() -> None:
    job = Job()
    watcher = asyncio.create_task(job.watch())
    await asyncio.sleep(0.01)
    job.broken = True
    job.add()
    with pytest.raises((Unavailable, OSError)):
        await asyncio.wait_for(watcher, 60)
    job.broken = False
    job.add(last=True)
    assert await asyncio.wait_for(job.watch(0), 60) == [1, 2]


async def test_who_leaves_leaves_nothing_behind() -> None:
    job = Job()
    tasks = [asyncio.create_task(job.watch()) for _ in range(3)]
    await asyncio.sleep(0.02)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0.02)
    assert job.feed._jobs == {}
    assert not job.notifier._waiting
