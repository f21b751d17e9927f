"""How much time a call has left, from the first stage to the last."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NoReturn

from symbiont.common.errors import DeadlineExceeded


class Deadline:
    """A moment by which a call must be answered."""

    def __init__(self, seconds: float) -> None:
        """Sets it so many seconds from now."""
        self._end = time.monotonic() + seconds

    @property
    def end(self) -> float:
        """The moment, on `time.monotonic`."""
        return self._end

    def remaining(self) -> float:
        """Returns the seconds left; DeadlineExceeded when there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded("the deadline passed before the answer was ready")
        return left

    @staticmethod
    def expired(stage: str) -> NoReturn:
        """Raises what `bound` raises, for whoever else found out that the time is over."""
        raise DeadlineExceeded(f"the deadline passed in the stage {stage!r}")

    @asynccontextmanager
    async def bound(self, stage: str) -> AsyncIterator[None]:
        """Ends the block when the time is over; DeadlineExceeded then names the stage."""
        try:
            async with asyncio.timeout(self.remaining()):
                yield
        except TimeoutError as exc:
            raise DeadlineExceeded(f"the deadline passed in the stage {stage!r}") from exc
