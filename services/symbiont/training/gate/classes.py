"""The classes of rows as numbers."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from symbiont.training.data.rows import LabelKind, Row
from symbiont.training.gate.features import Ints


@dataclass(frozen=True)
class Classes:
    """Rows of classes that have enough of them: `rows` are places in the sequence given, `numbers` index `names`."""

    names: tuple[str, ...]
    rows: Ints
    numbers: Ints

    @property
    def enough(self) -> bool:
        """Whether there is anything to tell apart."""
        return len(self.names) > 1


def classes_of(rows: Sequence[Row], kind: LabelKind, least: int = 2) -> Classes:
    """Returns the classes that have at least so many rows; none where labels are no classes."""
    if kind is not LabelKind.CLASS:
        return Classes((), np.zeros(0, np.int64), np.zeros(0, np.int64))
    counts = Counter(str(row.label) for row in rows)
    names = tuple(sorted(name for name, count in counts.items() if count >= least))
    numbers = {name: number for number, name in enumerate(names)}
    places = [place for place, row in enumerate(rows) if row.label in numbers]
    return Classes(
        names, np.array(places, np.int64), np.array([numbers[str(rows[place].label)] for place in places], np.int64)
    )
