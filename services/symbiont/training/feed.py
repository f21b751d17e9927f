"""Feeds the watchers of jobs: each new event is read once, however many watch, and none of them asks the database."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from symbiont.common.errors import Unavailable
from symbiont.common.log import get_logger
from symbiont.training.notifier import Notifier
from symbiont.training.types import Event, StateChange

Read = Callable[[str, int], Awaitable[Sequence[Event]]]
# Events of a job kept for those who watch it; who is further behind reads the store.
TAIL = 1000


class Feed:
    """New events of jobs, to whoever watches them. Lives on one event loop."""

    def __init__(self, read: Read, notifier: Notifier) -> None:
        """`read` returns events of a job after an id, in order, a page at a time."""
        self._read = read
        self._notifier = notifier
        self._jobs: dict[str, JobFeed] = {}
        self._stopped = False

    async def watch(self, job: str, after: int) -> AsyncIterator[Event]:
        """Yields the events of a job after an id, until it has ended or the feed stops.

        Raises:
            Unavailable: the store could not be read; who asks again with the last id misses nothing.
        """
        feed = self._jobs.setdefault(job, JobFeed())
        feed.watchers += 1
        try:
            while not self._stopped:
                news = feed.news
                events: Sequence[Event] | None = feed.after(after)
                if events is None:
                    events = await self._read(job, after)
                for event in events:
                    yield event
                    after = event.id
                    if _is_last(event):
                        return
                if not events:
                    self._ensure_reader(job, feed, after)
                    await news.wait()
        finally:
            feed.watchers -= 1
            if not feed.watchers and self._jobs.get(job) is feed:
                self._drop(job, feed)

    def stop(self) -> None:
        """Sends every watcher home."""
        self._stopped = True
        for job, feed in list(self._jobs.items()):
            self._drop(job, feed)
            feed.wake()

    def _drop(self, job: str, feed: "JobFeed") -> None:
        del self._jobs[job]
        if feed.reader:
            feed.reader.cancel()

    def _ensure_reader(self, job: str, feed: "JobFeed", after: int) -> None:
        if feed.failed:
            raise Unavailable(f"the events of jobs/{job} cannot be read now: watch again from event {after}")
        if feed.reader is None:
            feed.reader = asyncio.create_task(self._follow(job, feed, after), name=f"feed-{job}")

    async def _follow(self, job: str, feed: "JobFeed", after: int) -> None:
        """Reads what is new of one job, as long as anyone watches it."""
        try:
            while True:
                news = self._notifier.subscribe(job)
                try:
                    events = await self._read(job, after)
                    if events:
                        after = events[-1].id
                        feed.publish(events)
                    else:
                        await news.wait()
                finally:
                    self._notifier.forget(job, news)
        except Exception:  # noqa: BLE001, the watchers must hear of it, whatever it is
            get_logger().exception("the events of a job cannot be read", job=job)
            feed.failed = True
            feed.wake()


class JobFeed:
    """The latest events of one job that is watched."""

    def __init__(self) -> None:
        self.watchers = 0
        self.reader: asyncio.Task[None] | None = None
        self.failed = False
        # Set at the next news, and then replaced.
        self.news = asyncio.Event()
        self._tail: deque[Event] = deque(maxlen=TAIL)

    def publish(self, events: Sequence[Event]) -> None:
        """Adds events and wakes the watchers."""
        self._tail.extend(events)
        self.wake()

    def wake(self) -> None:
        """Wakes everyone who waits for news."""
        news, self.news = self.news, asyncio.Event()
        news.set()

    def after(self, identifier: int) -> list[Event] | None:
        """Returns the events after an id, or None where they are not all here."""
        if not self._tail or self._tail[0].id > identifier + 1:
            return None
        missing = self._tail[-1].id - identifier
        if missing <= 0:
            return []
        first = len(self._tail) - missing
        return [self._tail[i] for i in range(first, len(self._tail))]


def _is_last(event: Event) -> bool:
    return isinstance(event.body, StateChange) and event.body.new_state.ended
