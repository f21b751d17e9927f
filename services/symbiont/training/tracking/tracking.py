"""Experiment tracking: every tracker is told of every job, whichever controller looks after it."""

import asyncio
from collections.abc import Callable, Mapping

from symbiont.training.notifier import first_of
from symbiont.training.store import Store
from symbiont.training.tracking import Tracker
from symbiont.training.tracking.follower import Follower, Telling


class Tracking:
    """The trackers of a service, each followed by itself."""

    def __init__(
        self,
        store: Store,
        trackers: Mapping[str, Tracker],
        telling: Telling,
        failed: Callable[[str], None] = lambda name: None,
    ) -> None:
        """`failed` is called with a tracker's name whenever it fails."""
        self._store = store
        self._telling = telling
        self._followers = [Follower(name, tracker, store, telling, failed) for name, tracker in trackers.items()]

    async def run(self, stopping: asyncio.Event) -> None:
        """Tells the trackers until the service stops."""
        if stopping.is_set():
            return
        async with asyncio.TaskGroup() as group:
            for follower in self._followers:
                group.create_task(follower.run(stopping), name=f"tracker-{follower.name}")
            if not self._telling.alone:
                group.create_task(self._keep_leases(stopping), name="tracker-leases")

    async def _keep_leases(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            await first_of(stopping, within=self._telling.lease_seconds / 4)
            before = {follower: follower.open_jobs for follower in self._followers}
            kept = await asyncio.to_thread(self._store.keep_telling, self._telling.owner, self._telling.lease_seconds)
            for follower, jobs in before.items():
                follower.check_leases(kept, jobs)
