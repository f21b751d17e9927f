"""The few names that have a label of their own in metrics, of as many as there are: those that weigh most."""

import heapq
import time
from collections.abc import Callable, Collection, Sequence
from threading import Lock

from prometheus_client import Counter

OTHER = "other"
_CHOOSE_S = 60.0
# A name that has a label keeps it until another weighs so many times as much.
_KEEPS = 1.5
# Names whose weight is known. Of more, the lighter half is forgotten, as in lossy counting (Manku and Motwani, 2002).
_KNOWN = 4096


class Top:
    """Says which label an amount is counted under: a name's own, or `other`.

    An amount is counted once, under the label that its name has then: the counters behind the labels only grow, and a
    label that goes leaves `other` as it was.

    Args:
        most: names with a label of their own, beside those of `always`.
        always: names that have one whatever they weigh.
        left: called with a name that loses its label.
    """

    def __init__(
        self,
        most: int,
        always: Collection[str] = (),
        left: Callable[[str], None] = lambda name: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most
        self._always = frozenset(always)
        self._left = left
        self._clock = clock
        self._weights: dict[str, float] = {}
        self._chosen: set[str] = set()
        self._choose_at = clock() + _CHOOSE_S

    def label(self, name: str, weight: float) -> str:
        """Returns the label for an amount of this weight."""
        if name in self._always:
            return name
        self._weights[name] = self._weights.get(name, 0.0) + weight
        if self._clock() >= self._choose_at or len(self._weights) > _KNOWN:
            self._choose()
        if name not in self._chosen and len(self._chosen) < self._most and name != OTHER:
            self._chosen.add(name)
        return name if name in self._chosen else OTHER

    def _choose(self) -> None:
        """Gives the labels to the heaviest names of the last minutes; what is older weighs half each time."""
        self._choose_at = self._clock() + _CHOOSE_S
        weights = {name: weight * (_KEEPS if name in self._chosen else 1) for name, weight in self._weights.items()}
        weights.pop(OTHER, None)
        chosen = set(heapq.nlargest(self._most, weights, key=weights.__getitem__))
        gone, self._chosen = self._chosen - chosen, chosen
        known = heapq.nlargest(_KNOWN // 2, self._weights, key=self._weights.__getitem__)
        self._weights = {name: self._weights[name] / 2 for name in known}
        for name in gone:
            self._left(name)


class TopCounters:
    """Counters that each have one label, of which there are few: see `Top`, which the first amount weighs for.

    Args:
        most: see `Top`, as for `always`.
        counters: each has exactly that one label.
    """

    def __init__(self, most: int, counters: Sequence[Counter], always: Collection[str] = ()) -> None:
        self._counters = counters
        self._top = Top(most, always, self._leave)
        self._lock = Lock()
        # Held, because looking them up costs more than counting.
        self._held: dict[str, list[Counter]] = {}
        for label in (*always, OTHER):
            self._children(label)

    def add(self, name: str, *amounts: float) -> None:
        """Counts an amount of each counter for a name."""
        with self._lock:
            for counter, amount in zip(self._children(self._top.label(name, amounts[0])), amounts, strict=True):
                counter.inc(amount)

    def _children(self, label: str) -> list[Counter]:
        if label not in self._held:
            self._held[label] = [counter.labels(label) for counter in self._counters]
        return self._held[label]

    def _leave(self, label: str) -> None:
        if self._held.pop(label, None):
            for counter in self._counters:
                counter.remove(label)
