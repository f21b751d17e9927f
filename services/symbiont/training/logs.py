"""What the workers of a job have printed."""

import asyncio
from collections.abc import AsyncIterator

from symbiont.common.errors import InvalidArgument, NotFound, Unavailable
from symbiont.training.executors import Executor, WorkerName
from symbiont.training.jobs import Jobs

CHUNK_BYTES = 1 << 16
FOLLOW_SECONDS = 0.5


class Logs:
    """Reads the output of workers where their executor keeps it."""

    def __init__(self, jobs: Jobs, executor: Executor, stopping: asyncio.Event) -> None:
        self._jobs = jobs
        self._executor = executor
        self._stopping = stopping

    async def read(
        self, identifier: str, attempt: int, tail_bytes: int, offset: int = 0, *, follow: bool
    ) -> AsyncIterator[tuple[int, int, bytes]]:
        """Yields (attempt, offset, bytes) of an attempt's output, 0 being the current one.

        `tail_bytes` and `offset` pass over what is before; `follow` goes on until the attempt is over.

        Raises:
            NotFound: no such job, or it has had no such attempt.
            InvalidArgument: a number is negative.
            Unavailable: the service ends before the attempt that is followed.
        """
        job = await self._jobs.get(identifier)
        for field, value in (("attempt", attempt), ("tail_bytes", tail_bytes), ("offset", offset)):
            if value < 0:
                raise InvalidArgument(field, f"{value} is negative")
        if attempt > job.attempt or not job.attempt:
            raise NotFound(f"jobs/{identifier} has had {job.attempt} attempts", field="attempt")
        name = WorkerName(identifier, attempt or job.attempt)
        offset = max(offset, await self._start(name, tail_bytes))
        while True:
            # Asked before reading: what is printed up to the end is read.
            over = await self._is_over(name)
            while chunk := await asyncio.to_thread(self._executor.read_log, name, offset, CHUNK_BYTES):
                yield name.attempt, offset, chunk
                offset += len(chunk)
            if over or not follow:
                return
            if self._stopping.is_set():
                raise Unavailable("this process stops: read on after what was read")
            await asyncio.sleep(FOLLOW_SECONDS)

    async def _start(self, name: WorkerName, tail_bytes: int) -> int:
        if not tail_bytes:
            return 0
        size = 0
        while chunk := await asyncio.to_thread(self._executor.read_log, name, size, CHUNK_BYTES):
            size += len(chunk)
        return max(size - tail_bytes, 0)

    async def _is_over(self, name: WorkerName) -> bool:
        job = await self._jobs.get(name.job)
        return job.attempt != name.attempt or job.attempt_time is None
