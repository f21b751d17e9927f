"""Keeps every job moving: launches what waits, notices what died, starts it again from its last checkpoint.

It keeps nothing in memory that matters. Launch intent is committed before a launch, workers carry their own marks, and
what is active is read from the store at each look: a controller that was killed goes on where it was.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta

from symbiont.common.log import get_logger
from symbiont.training.executors import Executor, WorkerStatus
from symbiont.training.jobs import Jobs
from symbiont.training.notifier import Notifier, first_of
from symbiont.training.store import Store
from symbiont.training.types import Job, now

# A worker that has not left its mark after this long was never started.
START_TIMEOUT = timedelta(seconds=30)


class Controller:
    """The scheduler and the watch over workers."""

    def __init__(
        self,
        store: Store,
        jobs: Jobs,
        notifier: Notifier,
        executor: Executor,
        make_spec: Callable[[Job], str],
        *,
        max_concurrent_jobs: int,
        max_attempts: int,
        heartbeat_timeout: float,
        poll_seconds: float,
    ) -> None:
        """`make_spec` renders what a worker is told; times are in seconds."""
        self._store = store
        self._jobs = jobs
        self._notifier = notifier
        self._executor = executor
        self._make_spec = make_spec
        self._max_concurrent_jobs = max_concurrent_jobs
        self._max_attempts = max_attempts
        self._heartbeat_timeout = heartbeat_timeout
        self._poll_seconds = poll_seconds
        # When each attempt was last heard of, by this process's clock; a new controller gives everyone a fresh start.
        self._last_heard: dict[tuple[str, int], float] = {}

    def heard_from(self, job: str, attempt: int) -> None:
        """Notes that a worker has reported."""
        self._last_heard[job, attempt] = time.monotonic()

    async def run(self, stopping: asyncio.Event) -> None:
        """Looks after jobs until the service stops; workers go on without it."""
        while not stopping.is_set():
            news = self._notifier.subscribe(Notifier.QUEUE)
            try:
                await self.step()
                await first_of(news, stopping, within=self._poll_seconds)
            finally:
                self._notifier.forget(Notifier.QUEUE, news)

    async def step(self) -> None:
        """Looks once: first at those that have workers, then at those that wait for one."""
        active = await asyncio.to_thread(self._store.active)
        for identifier, attempt, launched in active:
            status = await asyncio.to_thread(self._executor.probe, identifier, attempt)
            if status is WorkerStatus.EXITED:
                await self._lost(identifier, attempt, "its process is gone")
            elif status is WorkerStatus.UNKNOWN and now() - launched > START_TIMEOUT:
                await self._lost(identifier, attempt, "it never started")
            elif status is WorkerStatus.ALIVE and self._is_silent(identifier, attempt):
                await asyncio.to_thread(self._executor.kill, identifier, attempt)
                await self._lost(identifier, attempt, f"it was silent for {self._heartbeat_timeout:g} s")
        self._last_heard = {key: at for key, at in self._last_heard.items() if key in {(j, a) for j, a, _ in active}}
        free = self._max_concurrent_jobs - len(await asyncio.to_thread(self._store.active))
        for identifier in await asyncio.to_thread(self._store.waiting, max(free, 0)):
            await self._launch(identifier)

    def _is_silent(self, job: str, attempt: int) -> bool:
        heard = self._last_heard.setdefault((job, attempt), time.monotonic())
        return time.monotonic() - heard > self._heartbeat_timeout

    async def _launch(self, identifier: str) -> None:
        job = await self._jobs.begin_attempt(identifier)
        get_logger().info("launching", job=identifier, attempt=job.attempt)
        await asyncio.to_thread(self._executor.launch, identifier, job.attempt, self._make_spec(job))

    async def _lost(self, identifier: str, attempt: int, why: str) -> None:
        log = self._executor.log_path(identifier, attempt)
        reason = f"the worker of attempt {attempt} was lost: {why}; its log: {log}"
        if await self._jobs.lose_attempt(identifier, attempt, reason, self._max_attempts):
            get_logger().warning("worker lost", job=identifier, attempt=attempt, why=why, log=str(log))
