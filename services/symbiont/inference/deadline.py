"""How much time a call has left, from the first stage to the last, and what decides its turn until then."""

import asyncio
import copy
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NoReturn, Self

from symbiont.common.errors import DeadlineExceeded
from symbiont.inference.types import ModelVersion, Priority


class Deadline:
    """A moment by which a call must be answered.

    Args:
        seconds: from now.
        tenant: who shares the hosts with others by weight; empty stands for the model that is asked.
        priority: how urgent the call is.
    """

    def __init__(self, seconds: float, tenant: str = "", priority: Priority = Priority.INTERACTIVE) -> None:
        self._end = time.monotonic() + seconds
        self.tenant = tenant
        # Not what a call is on behalf of where the caller has no tenant.
        self.is_named = bool(tenant)
        self.priority = priority

    @property
    def end(self) -> float:
        """The moment, on `time.monotonic`."""
        return self._end

    def tenant_for(self, version: ModelVersion) -> str:
        """Returns for whom a version is asked: the caller's tenant, else whoever owns the model."""
        return self.tenant or version.model or f"bundles/{version.bundle_digest}"

    def on_behalf_of(self, owner: str) -> Self:
        """Returns the same moment, for an owner where the caller named no tenant."""
        made = copy.copy(self)
        made.tenant = self.tenant or owner
        return made

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
