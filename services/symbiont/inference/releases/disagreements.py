"""Rows that a shadow labelled otherwise than the answer that the caller got."""

import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from symbiont.inference.releases.verdict import Verdict
from symbiont.inference.types import ModelVersion


@dataclass(frozen=True)
class Disagreement:
    """One row, by the SHA-256 of its input in hex: no text is kept."""

    release: str
    input_sha256: str
    baseline_version: ModelVersion
    baseline: Verdict
    candidate_version: ModelVersion
    candidate: Verdict
    time: datetime


class Disagreements:
    """The newest of them, of all releases together."""

    def __init__(self, capacity: int) -> None:
        self._kept: deque[tuple[int, Disagreement]] = deque(maxlen=capacity)
        self._numbers = itertools.count(1)

    def add(self, disagreement: Disagreement) -> None:
        """Keeps one; the oldest goes when there are too many."""
        self._kept.append((next(self._numbers), disagreement))

    def of(self, release: str) -> Sequence[tuple[int, Disagreement]]:
        """Returns those of a release, newest first, each with a number that grows with time."""
        return [kept for kept in reversed(self._kept) if kept[1].release == release]
