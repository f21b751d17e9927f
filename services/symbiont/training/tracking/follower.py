"""Tells one tracker of every job, each event once and in order."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from symbiont.common.errors import TenantShredded
from symbiont.common.log import get_logger
from symbiont.training.notifier import first_of
from symbiont.training.store import News, Store
from symbiont.training.tracking import Run, Tracker
from symbiont.training.tracking.reading import Steps
from symbiont.training.types import Event, JobState, StateChange

PAGE = 500
RETRY_SECONDS, MOST_RETRY_SECONDS = 5.0, 300.0
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Telling:
    """Who tells. `owner` names this controller among others on the same database, `alone` says that there are none.

    Times in seconds: between two looks, of a lease, and before a tracker that fails is tried again.
    """

    owner: str
    alone: bool
    every: float = 2.0
    lease_seconds: float = 30.0
    retry_seconds: float = RETRY_SECONDS


@dataclass
class Told:
    """A job that a tracker is being told of."""

    run: Run
    steps: Steps
    # Another controller tells of it by now.
    lost: bool = False


@dataclass(frozen=True)
class Trouble:
    """When a job that a tracker failed on is tried again, by the monotonic clock."""

    until: float
    seconds: float


class _TrackerFailed(Exception):
    """What a tracker raised."""


class Follower:
    """One tracker. It works in a thread of its own: one that hangs holds up nobody else."""

    def __init__(
        self, name: str, tracker: Tracker, store: Store, telling: Telling, failed: Callable[[str], None]
    ) -> None:
        """`failed` is called with the tracker's name at each failure."""
        self.name = name
        self._tracker = tracker
        self._store = store
        self._telling = telling
        self._count = failed
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"tracker-{name}")
        self._open: dict[str, Told] = {}
        self._troubles: dict[str, Trouble] = {}

    async def run(self, stopping: asyncio.Event) -> None:
        """Follows the jobs until the service stops."""
        try:
            while not stopping.is_set():
                more = await self.look(stopping)
                await first_of(stopping, within=0 if more else self._telling.every)
        finally:
            await self._leave()

    async def look(self, stopping: asyncio.Event) -> bool:
        """Tells a page of what is new of each job; returns whether there is more."""
        for job in [job for job, told in self._open.items() if told.lost]:
            await self._close(job)
        await asyncio.to_thread(self._store.track_new_jobs, self.name)
        telling = self._telling
        found = await asyncio.to_thread(self._store.untold, self.name, telling.owner, alone=telling.alone)
        # What another controller has taken over troubles this one no more.
        self._troubles = {news.job: self._troubles[news.job] for news in found if news.job in self._troubles}
        more = False
        for news in found:
            if stopping.is_set():
                break
            trouble = self._troubles.get(news.job)
            if trouble is None or trouble.until <= time.monotonic():
                more |= await self._try(news)
        return more

    def check_leases(self, kept: set[tuple[str, str]], open_before: set[str]) -> None:
        """Notices which of the jobs that were `open_before` another controller has by now."""
        for job in open_before & self._open.keys():
            self._open[job].lost = (self.name, job) not in kept

    @property
    def open_jobs(self) -> set[str]:
        """The jobs that this controller tells of."""
        return set(self._open)

    async def _try(self, news: News) -> bool:
        try:
            more = await self._tell(news)
        except TenantShredded:
            # There is nothing left to tell.
            await self._close(news.job)
            await asyncio.to_thread(self._store.told_all, self.name, news.job, self._telling.owner)
            return False
        except _TrackerFailed as exc:
            await self._fail(news.job, exc)
            return False
        if self._troubles.pop(news.job, None) and not self._troubles:
            get_logger().info("the tracker works again", tracker=self.name)
        return more

    async def _tell(self, news: News) -> bool:
        told = self._open.get(news.job) or await self._begin(news)
        if told is None:
            return False
        events = await asyncio.to_thread(self._store.events, news.job, told.run.position, PAGE)
        if events:
            await self._call(_record, told, events)
        args = self.name, news.job, self._telling.owner, told.run.position
        if not await asyncio.to_thread(self._store.told, *args):
            told.lost = True
            return False
        if len(events) == PAGE:
            return True
        if news.ended:
            await self._end(news.job, told)
        elif events and _is_pause(events[-1]):
            # It may last for days.
            await self._close(news.job)
        return False

    async def _begin(self, news: News) -> Told | None:
        telling = self._telling
        args = self.name, news.job, telling.owner, telling.lease_seconds
        if not await asyncio.to_thread(self._store.begin_telling, *args, alone=telling.alone):
            return None
        job = await asyncio.to_thread(self._store.job, news.job)
        run = await self._call(self._tracker.begin, job, news.told)
        steps = await asyncio.to_thread(self._store.steps_at, news.job, run.position)
        told = self._open[news.job] = Told(run, Steps(*steps))
        return told

    async def _end(self, identifier: str, told: Told) -> None:
        job = await asyncio.to_thread(self._store.job, identifier)
        await self._call(told.run.end, job)
        self._open.pop(identifier, None)
        await asyncio.to_thread(self._store.told_all, self.name, identifier, self._telling.owner)

    async def _call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Calls the tracker in its thread."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, lambda: function(*args, **kwargs))
        except Exception as exc:
            raise _TrackerFailed(f"{type(exc).__name__}: {exc}") from exc

    async def _fail(self, job: str, error: _TrackerFailed) -> None:
        self._count(self.name)
        if not self._troubles:
            # Once, however many jobs and attempts there are until it works again.
            get_logger().warning("a tracker fails, and is tried again", tracker=self.name, job=job, why=str(error))
        before = self._troubles.get(job)
        seconds = min(2 * before.seconds, MOST_RETRY_SECONDS) if before else self._telling.retry_seconds
        self._troubles[job] = Trouble(time.monotonic() + seconds, seconds)
        await self._close(job)

    async def _close(self, job: str) -> None:
        told = self._open.pop(job, None)
        if told:
            with suppress(_TrackerFailed):
                await self._call(told.run.close)

    async def _leave(self) -> None:
        for job in list(self._open):
            await self._close(job)
        with suppress(_TrackerFailed):
            await self._call(self._tracker.close)
        await asyncio.to_thread(self._store.stop_telling, self.name, self._telling.owner)


def _record(told: Told, events: list[Event]) -> None:
    for event in events:
        told.run.record(event, told.steps.after(event))
    told.run.flush()


def _is_pause(event: Event) -> bool:
    return isinstance(event.body, StateChange) and event.body.new_state is JobState.PAUSED
