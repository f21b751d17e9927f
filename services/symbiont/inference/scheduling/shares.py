"""Start-time fair queueing: whose turn it is, so that each gets work in proportion to its weight."""

from collections.abc import Hashable
from heapq import heappop, heappush
from itertools import count
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class FairShares(Generic[K]):
    """Turns of keys that wait: start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996).

    Every key that waits has a start tag. The smallest is next, and grows by what is done for it divided by its weight.
    A key that comes begins at virtual time, so that nobody saves up turns by staying away, nor gets new ones by leaving
    and coming back: the tag of one that left is kept until virtual time has passed it. When nobody waits, all is
    forgotten, so memory is bounded by the keys that waited a moment ago.

    Virtual time moves with all work that is done, as in WF2Q+ (Bennett and Zhang, 1997), not only with the tags: else
    keys that are always new would go before those that have waited.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._starts: dict[K, float] = {}
        self._weights: dict[K, float] = {}
        self._ranks: dict[K, int] = {}
        self._turns: list[tuple[float, int, int, K]] = []
        self._left: dict[K, float] = {}
        self._leaving: list[tuple[float, int, K]] = []
        self._numbers = count()
        # Of those that wait.
        self.weight = 0.0

    def __len__(self) -> int:
        return len(self._starts)

    def __contains__(self, key: K) -> bool:
        return key in self._starts

    @property
    def remembered(self) -> int:
        """How many keys are kept that do not wait."""
        return len(self._left)

    def enter(self, key: K, weight: float = 1.0, rank: int = 0) -> None:
        """Has a key wait that did not; of equal tags the smaller rank goes first, then who came first."""
        self._weights[key], self._ranks[key] = weight, rank
        self.weight += weight
        self._put(key, max(self._now, self._left.pop(key, 0.0)), rank)

    def first(self, without: K | None = None) -> K:
        """Returns whose turn it is, or would be without one of them; somebody must wait.

        Looks at all where it is the turn of the one that is left out.
        """
        key = self._first()
        return key if key != without else min((k for k in self._starts if k != without), key=self._starts.__getitem__)

    def _first(self) -> K:
        while True:
            start, _, _, key = self._turns[0]
            if self._starts.get(key) == start:
                return key
            heappop(self._turns)

    def charge(self, key: K, work: float) -> None:
        """Counts work that was done for one that waits."""
        start = self._starts[key]
        self._put(key, start + work / self._weights[key], self._ranks[key])
        self._now = max(self._now, start) + work / self.weight
        while self._leaving and self._leaving[0][0] <= self._now:
            tag, _, gone = heappop(self._leaving)
            if self._left.get(gone) == tag:
                del self._left[gone]

    def leave(self, key: K) -> None:
        """Takes a key out that waits for nothing more."""
        start = self._starts.pop(key)
        self.weight -= self._weights.pop(key)
        del self._ranks[key]
        if not self._starts:
            self._now = self.weight = 0.0
            for kept in (self._turns, self._left, self._leaving):
                kept.clear()
        elif start > self._now:
            self._left[key] = start
            heappush(self._leaving, (start, next(self._numbers), key))

    def _put(self, key: K, start: float, rank: int) -> None:
        self._starts[key] = start
        heappush(self._turns, (start, rank, next(self._numbers), key))
