"""Takes out rows that say again what an earlier row said, or what a row of another dataset says."""

from collections.abc import Callable, Sequence

from symbiont.training.data.rows import Row
from symbiont.training.gate.findings import Notes, Outcome
from symbiont.training.gate.near import NearIndex
from symbiont.training.gate.settings import Deduplicate
from symbiont.training.gate.shingles import Shingles, shingles

Key = tuple[str, str]
# Told now and then how many rows are done.
Tell = Callable[[int], None]
_EVERY = 512


def deduplicate(
    rows: Sequence[Row], settings: Deduplicate, against: Sequence[Row] = (), tell: Tell = lambda _: None
) -> Outcome:
    """Keeps the first of each set of equal or near rows, in order.

    Finds EXACT_DUPLICATE and NEAR_DUPLICATE, rows that are gone; CONTRADICTION, those of them whose label differs from
    that of the row that stays; IN_OTHER_DATASET and NEAR_OTHER_DATASET, rows that are gone for one of `against`. A near
    row with another label stays, since one word may turn the meaning, and is found as NEAR_CONTRADICTION.
    """
    notes, kept = Notes(), list[Row]()
    first: dict[Key, Row] = {}
    others = {key(row) for row in against}
    near = _Near(settings.near_threshold, against)
    for number, row in enumerate(rows):
        if number % _EVERY == 0:
            tell(number)
        if key(row) in others:
            notes.add("IN_OTHER_DATASET", row)
        elif standing := first.get(key(row)):
            notes.add("EXACT_DUPLICATE", row)
            if standing.label != row.label:
                notes.add("CONTRADICTION", row)
        elif code := near.known(row):
            notes.add(code, row)
        else:
            first[key(row)] = row
            if near.disagrees(row):
                notes.add("NEAR_CONTRADICTION", row)
            near.keep(row)
            kept.append(row)
    return Outcome(kept, notes.findings())


def key(row: Row) -> Key:
    """Returns what makes rows equal: both of their texts."""
    return row.text, row.pair


def shingles_of(row: Row) -> Shingles:
    """Returns the shingles of a row's texts."""
    return shingles(f"{row.text}\n{row.pair}" if row.pair else row.text)


class _Near:
    """The rows that are kept, and those of the other dataset; knows nothing without a threshold."""

    def __init__(self, threshold: float, against: Sequence[Row]) -> None:
        self._index = NearIndex(threshold) if threshold else None
        self._others = NearIndex(threshold) if threshold else None
        self._kept: list[Row] = []
        self._last: tuple[Row, Shingles, list[int]] | None = None
        for number, row in enumerate(against if self._others else ()):
            self._others.add(number, shingles_of(row))  # type: ignore[union-attr]

    def known(self, row: Row) -> str:
        """Returns what a row is found as that is to go; empty where it stays."""
        if not self._index or not self._others:
            return ""
        made = shingles_of(row)
        if next(self._others.near(made), None):
            return "NEAR_OTHER_DATASET"
        near = [number for number, _ in self._index.near(made)]
        self._last = row, made, near
        return "NEAR_DUPLICATE" if any(self._kept[number].label == row.label for number in near) else ""

    def disagrees(self, row: Row) -> bool:
        """Whether a row that stays has near ones of another label."""
        return bool(self._last and self._last[0] is row and self._last[2])

    def keep(self, row: Row) -> None:
        """Adds a row that stays."""
        if self._index and self._last:
            self._index.add(len(self._kept), self._last[1])
            self._kept.append(row)
