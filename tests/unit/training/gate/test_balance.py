"""Classes become more even."""

from collections import Counter

import pytest

from symbiont.training.data.rows import LabelKind, Row
from symbiont.training.gate.balance import balance
from symbiont.training.gate.findings import numbered
from symbiont.training.gate.settings import Balance, Sampling

ROWS = numbered([*(Row(f"a{n}", "a") for n in range(10)), *(Row(f"b{n}", "b") for n in range(4)), Row("c", "c")])


@pytest.mark.parametrize(
    ("sampling", "ratio", "sizes"),
    [
        (Sampling.DOWN, 1.0, {"a": 1, "b": 1, "c": 1}),
        (Sampling.DOWN, 5.0, {"a": 5, "b": 4, "c": 1}),
        (Sampling.OVER, 1.0, {"a": 10, "b": 10, "c": 10}),
        (Sampling.OVER, 2.5, {"a": 10, "b": 4, "c": 4}),
    ],
)
def test_sizes(sampling: Sampling, ratio: float, sizes: dict[str, int]) -> None:
    settings = Balance(sampling=sampling, max_ratio=ratio)
    outcome = balance(ROWS, LabelKind.CLASS, settings)
    assert Counter(row.label for row in outcome.rows) == sizes
    assert outcome == balance(ROWS, LabelKind.CLASS, settings)
    # No row of a class is taken twice more than another.
    times = Counter((row.label, row.origin) for row in outcome.rows)
    for name in sizes:
        seen = [count for (label, _), count in times.items() if label == name]
        assert max(seen) - min(seen) <= 1


def test_other_labels_stay() -> None:
    assert balance(ROWS, LabelKind.NONE, Balance()).rows == ROWS
