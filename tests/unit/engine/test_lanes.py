"""Of the parts that wait for a lane, one of the smallest request is next."""

import threading

import pytest

from support.waiting import until_sync
from symbiont.engine.lanes import Lanes

TIMEOUT_S = 5


class Parts:
    """Parts of requests in threads of their own, each of which computes until it is let go."""

    def __init__(self, lanes: int) -> None:
        self._lanes = Lanes(lanes)
        self._changed = threading.Lock()
        self.waiting: list[int] = []
        self.computing: dict[int, threading.Event] = {}
        self._threads: list[threading.Thread] = []

    def begin(self, size: int) -> None:
        """Begins a part of a request of so many tokens, and returns when it waits or computes."""
        thread = threading.Thread(target=self._compute, args=(size,), daemon=True)
        self._threads.append(thread)
        before = self._lanes.asked
        thread.start()
        until_sync(lambda: self._lanes.asked > before, TIMEOUT_S)

    def end(self, size: int) -> None:
        self.computing.pop(size).set()

    def computes(self, *sizes: int) -> None:
        """Waits until these compute, and no others."""
        until_sync(lambda: self.computing.keys() == set(sizes), TIMEOUT_S)

    def _compute(self, size: int) -> None:
        with self._lanes.one(size):
            over = threading.Event()
            with self._changed:
                self.computing[size] = over
            over.wait(TIMEOUT_S)


def test_as_many_as_there_are_lanes_compute_beside_each_other() -> None:
    parts = Parts(2)
    for size in (3, 5, 4):
        parts.begin(size)
    parts.computes(3, 5)
    parts.end(3)
    parts.computes(4, 5)
    for size in (4, 5):
        parts.end(size)


def test_the_smallest_that_waits_is_next_whichever_came_first() -> None:
    parts = Parts(1)
    for size in (900, 800, 7, 300):
        parts.begin(size)
    parts.computes(900)
    for ending, following in ((900, 7), (7, 300), (300, 800)):
        parts.end(ending)
        parts.computes(following)
    parts.end(800)


def test_one_that_fails_leaves_its_lane() -> None:
    lanes = Lanes(1)
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"), lanes.one(1):
            raise ValueError("broken")
    with lanes.one(1):
        pass
