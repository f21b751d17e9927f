"""Who computes next: of the parts that wait for a lane, one of the smallest request."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from heapq import heappop, heappush


class Lanes:
    """So many parts of requests are computed beside each other. Safe to use from several threads.

    A small request does not wait for all parts of a large one, whichever came first. That keeps no large one waiting
    for long: a host is sent few requests at a time, so few can go before it.
    """

    def __init__(self, lanes: int) -> None:
        self._free = lanes
        self._waiting: list[tuple[int, int]] = []
        self._changed = threading.Condition()
        # How many parts have asked for a lane.
        self.asked = 0

    @contextmanager
    def one(self, size: int) -> Iterator[None]:
        """Holds a lane inside `with`; waits for it behind parts of requests that are smaller, or as small and earlier.

        Args:
            size: tokens of the whole request.
        """
        with self._changed:
            self.asked += 1
            turn = size, self.asked
            heappush(self._waiting, turn)
            self._changed.wait_for(lambda: self._free and self._waiting[0] == turn)
            heappop(self._waiting)
            self._free -= 1
            # The next one may find another lane free.
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._free += 1
                self._changed.notify_all()
