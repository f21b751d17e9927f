"""Admission and threads: how much work is taken in, and where it is done.

Small work is done where it arrives: handing it to a thread costs 100 microseconds. So is work of
middling size when there is no other, and hence nothing that would run beside it. Larger work goes to a few threads,
where the library runs outside the interpreter lock.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeVar

from symbiont.common.errors import DeadlineExceeded, ResourceExhausted
from symbiont.tokenization.metrics import TokenizationMetrics

# About what a machine encodes in half a millisecond, and in ten to fifteen.
INLINE_BYTES, LONE_BYTES = 1 << 10, 32 << 10
# Told to callers that are turned away: what is held divided by this is when there is room again.
BYTES_PER_SECOND = 2 << 20
LONGEST_PAUSE_S = 10.0
T = TypeVar("T")


class Abandoned(Exception):
    """The caller has gone, and its work is dropped."""


class Stop:
    """Tells work in a thread that nobody waits for it any more."""

    def __init__(self) -> None:
        self._set = False

    def set(self) -> None:
        """Asks the work to end."""
        self._set = True

    def check(self) -> None:
        """Raises Abandoned when the work was asked to end; called between pieces of it."""
        if self._set:
            raise Abandoned


class Work:
    """The work of a process, of which it holds so many bytes of text at a time.

    Args:
        executor: its threads.
        threads: how many of them.
        max_bytes: most bytes of text held, waiting and in work together; one call alone may be larger.
    """

    def __init__(self, executor: Executor, threads: int, max_bytes: int, metrics: TokenizationMetrics) -> None:
        self._executor = executor
        self._slots = asyncio.Semaphore(threads)
        self._max_bytes = max_bytes
        self._metrics = metrics
        self._held = 0
        self._running = 0
        metrics.held_bytes.set_function(lambda: self._held)
        self._freed = asyncio.Event()

    async def do(self, size: int, work: Callable[[Stop], T], expires: float | None = None) -> T:
        """Takes the work of a call in and does it; see `admit` and `run`."""
        self.admit(size)
        try:
            return await self.run(size, work, expires)
        finally:
            self.hold(-size)

    def admit(self, size: int) -> None:
        """Holds the bytes of a call, until `hold` gives them back.

        Raises:
            ResourceExhausted: there is no room; it says when to come back.
        """
        if self._held and self._held + size > self._max_bytes:
            pause = min(LONGEST_PAUSE_S, max(0.01, self._held / BYTES_PER_SECOND))
            raise ResourceExhausted(
                f"{self._held} bytes of text are waiting here, at most {self._max_bytes} are held: come back later",
                reason="OVERLOADED",
                retry_after_s=pause,
            )
        self.hold(size)

    def hold(self, size: int) -> None:
        """Holds bytes that were waited for with `room`; a negative size gives them back."""
        self._held += size
        if size < 0:
            self._freed.set()

    async def room(self, size: int) -> None:
        """Waits until there is room for so many bytes: what streams do, which can be held back."""
        while self._held and self._held + size > self._max_bytes:
            self._freed.clear()
            await self._freed.wait()

    async def run(self, size: int, work: Callable[[Stop], T], expires: float | None = None) -> T:
        """Does work on so many bytes: at once when it is small, else in a thread in its turn.

        Args:
            expires: `time.monotonic()` after which nobody waits any more.

        Raises:
            DeadlineExceeded: that time came before the work began; nothing was done.
        """
        self._running += 1
        try:
            if INLINE_BYTES < size <= LONE_BYTES:
                # What has arrived in the same moment comes to this point too.
                await asyncio.sleep(0)
            if size <= INLINE_BYTES or (self._running == 1 and size <= LONE_BYTES):
                self._check_time(expires)
                return work(Stop())
            return await self._run_in_thread(work, expires)
        finally:
            self._running -= 1

    async def block(self, work: Callable[[], T]) -> T:
        """Does what reads or writes the disk, in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    async def _run_in_thread(self, work: Callable[[Stop], T], expires: float | None) -> T:
        stop = Stop()
        arrived = time.monotonic()
        try:
            await self._slots.acquire()
            try:
                self._metrics.queue_seconds.observe(time.monotonic() - arrived)
                self._check_time(expires)
                future = asyncio.get_running_loop().run_in_executor(self._executor, work, stop)
            except BaseException:
                self._slots.release()
                raise
            # A thread cannot be ended from outside: its slot is free when it has noticed that nobody waits.
            future.add_done_callback(self._ended)
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            stop.set()
            self._metrics.dropped("CANCELLED")
            raise

    def _check_time(self, expires: float | None) -> None:
        if expires is not None and time.monotonic() >= expires:
            self._metrics.dropped("EXPIRED")
            raise DeadlineExceeded("the deadline passed before the work began; nothing was done")

    def _ended(self, future: "asyncio.Future[Any]") -> None:
        self._slots.release()
        if not future.cancelled():
            # Read here, for a caller that has gone does not.
            future.exception()
