"""The labels of rows, counted."""

from collections import Counter
from collections.abc import Sequence

from symbiont.training.data.rows import Mark, Place, Row


def label_counts(rows: Sequence[Row]) -> tuple[tuple[str, int], ...]:
    """Returns how many rows have each label, or a part of that name, by name; numbers and places have no names."""
    counts: Counter[str] = Counter()
    for row in rows:
        counts.update(_names(row))
    return tuple(sorted(counts.items()))


def label_range(rows: Sequence[Row]) -> tuple[float, float]:
    """Returns the least and the greatest label where these are numbers; twice 0 where they are not."""
    numbers = [row.label for row in rows if isinstance(row.label, float)]
    return (min(numbers), max(numbers)) if numbers else (0.0, 0.0)


def _names(row: Row) -> set[str]:
    if isinstance(row.label, str):
        return {row.label}
    if not isinstance(row.label, tuple):
        return set()
    return {name for part in row.label if (name := _name(part))}


def _name(part: str | Mark | Place) -> str:
    """A place of an answer has none."""
    if isinstance(part, str):
        return part
    return part[2] if len(part) == 3 else ""
