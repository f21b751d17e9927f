"""When a call is sent again: after UNAVAILABLE, or when a full service says when to come back.

Only when the call is idempotent, and for a bounded time.
"""

import random
import time
from collections.abc import Callable

import grpc

from symbiont.common.channel import pushback_s

FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 2.0
# A service that ends cancels what reaches it too late to be taken; what a caller cancels itself never comes here.
_AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


class Retry:
    """The delays of one call: they double up to two seconds, with jitter so that callers do not return in step.

    Args:
        patience_s: total time from the first failure, or from the first after an answer, in which the call may be sent
            again. A failure may take long to show: of a machine that vanished, as long as keepalive.
    """

    def __init__(self, patience_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._patience = patience_s
        self._clock = clock
        self._end: float | None = None
        self._next = FIRST_DELAY_S

    def reset(self) -> None:
        """Starts over, because the peer has done what it was asked."""
        self.answered()
        self._next = FIRST_DELAY_S

    def answered(self) -> None:
        """Gives the whole time again, because the peer is there; delays go on growing, so that it is not pressed."""
        self._end = None

    @property
    def left_s(self) -> float:
        """The seconds that are left; to ask for them counts as the first failure."""
        if self._end is None:
            self._end = self._clock() + self._patience
        return self._end - self._clock()

    def delay(self) -> float | None:
        """Returns the seconds to wait before the next try, or None when the time is used up."""
        delay = self._next * random.uniform(0.5, 1.0)  # noqa: S311, it spreads load and guards nothing
        if delay >= self.left_s:
            return None
        self._next = min(2 * self._next, LONGEST_DELAY_S)
        return delay

    def delay_after(self, error: grpc.RpcError) -> float | None:
        """Like `delay`, but None at once for an error that sending again would not mend.

        A full service that names a time is asked again no sooner.
        """
        if error.code() in _AWAY:
            return self.delay()
        asked = pushback_s(error) if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED else None
        if asked is None or (delay := self.delay()) is None or asked >= self.left_s:
            return None
        return max(delay, asked * random.uniform(1.0, 1.5))  # noqa: S311, as above
