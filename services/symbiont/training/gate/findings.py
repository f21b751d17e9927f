"""What transforms and reports find: a word, how many rows, and which of them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from symbiont.training.data.rows import Row

# Of the rows that a finding is about only the first are named.
MOST_NAMED = 100


@dataclass(frozen=True)
class Finding:
    """Something that was found or done.

    Attributes:
        code: UPPER_SNAKE.
        count: how many rows, or places in them, it is about.
        rows: numbers of the first rows, from 0, in the dataset that was looked at.
        text: says more, for people; never a value from a row, other than a label or the name of a field.
    """

    code: str
    count: int
    rows: tuple[int, ...] = ()
    text: str = ""


@dataclass(frozen=True)
class Outcome:
    """What is left of rows after a transform, and what it found. `changed` counts rows that stay and are different."""

    rows: list[Row]
    findings: tuple[Finding, ...] = ()
    changed: int = 0


class Notes:
    """Collects findings in the order in which they come first."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._rows: dict[str, list[int]] = {}

    def add(self, code: str, row: Row, count: int = 1) -> None:
        """Notes that something is so of a row, at so many places."""
        self._counts[code] += count
        named = self._rows.setdefault(code, [])
        if len(named) < MOST_NAMED and row.origin not in named[-1:]:
            named.append(row.origin)

    def findings(self) -> tuple[Finding, ...]:
        """Returns what was collected."""
        return tuple(Finding(code, count, tuple(self._rows[code])) for code, count in self._counts.items())


def numbered(rows: Iterable[Row]) -> list[Row]:
    """Returns rows with their own numbers as origin: what is made of them can be traced back."""
    # `replace` of dataclasses costs several times as much, and there may be millions.
    return [
        Row(row.text, row.label, row.pair, row.fields, row.group, row.time, row.subject, number)
        for number, row in enumerate(rows)
    ]
