"""Finds texts near to a text among many: MinHash (Broder 1997) in bands, and then the very similarity.

The bands only pick whom to compare with, so nothing is found that is not near. Of what is just at the threshold one in
five hundred is missed, above it less.
"""

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from symbiont.training.gate.shingles import Shingles, mixed, similarity

_HASHES = 128
# At most this share of pairs that are just at the threshold may be missed.
_MISSED = 0.002
# Long texts are hashed so many runs at a time.
_PART = 4096
_SEEDS = mixed(np.arange(1, _HASHES + 1, dtype=np.uint64))


class NearIndex:
    """Texts by number, as sets of shingles."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._rows = _rows_of_a_band(threshold)
        self._buckets: defaultdict[bytes, list[int]] = defaultdict(list)
        self._sets: dict[int, Shingles] = {}

    def add(self, number: int, shingles: Shingles) -> None:
        """Adds a text."""
        self._sets[number] = shingles
        for key in self._keys(shingles):
            self._buckets[key].append(number)

    def near(self, shingles: Shingles) -> Iterator[tuple[int, float]]:
        """Yields the texts that are near to one, by number, and how similar they are."""
        candidates = {number for key in self._keys(shingles) for number in self._buckets.get(key, ())}
        for number in sorted(candidates):
            found = similarity(shingles, self._sets[number])
            if found >= self._threshold:
                yield number, found

    def _keys(self, shingles: Shingles) -> Iterator[bytes]:
        if not len(shingles):
            return
        signature = _signature(shingles)
        for band in range(_HASHES // self._rows):
            part = signature[band * self._rows : (band + 1) * self._rows]
            yield bytes([band]) + part.tobytes()


def _signature(shingles: Shingles) -> Shingles:
    least = np.full(_HASHES, np.iinfo(np.uint64).max, np.uint64)
    for start in range(0, len(shingles), _PART):
        part = shingles[start : start + _PART]
        np.minimum(least, mixed(part[:, None] ^ _SEEDS[None, :]).min(axis=0), out=least)
    return least


def _rows_of_a_band(threshold: float) -> int:
    """Returns how many hashes must agree: as many as let no more be missed than may."""
    rows = 1
    while rows < 32 and (1 - threshold ** (rows + 1)) ** (_HASHES // (rows + 1)) <= _MISSED:
        rows += 1
    return rows
