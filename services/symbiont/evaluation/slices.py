"""A metric on the rows of each value of each slice."""

from collections.abc import Iterator, Sequence

import numpy as np

from symbiont.evaluation.arrays import Ints
from symbiont.evaluation.bootstrap import DEFAULT, Sampling, estimates
from symbiont.evaluation.figures import SliceRow
from symbiont.evaluation.metrics import primary
from symbiont.evaluation.metrics.family import direction
from symbiont.evaluation.outcomes import Outcome

# With fewer rows, one that is otherwise moves a share by more than three in a hundred.
SUPPORT = 30
WORST = 5


def parts(outcome: Outcome) -> Iterator[tuple[str, str, Ints]]:
    """Yields slice, value and row numbers of every value that some row has."""
    for part in outcome.rows.slices:
        for code, value in enumerate(part.values):
            index = np.flatnonzero(part.codes == code)
            if len(index):
                yield part.name, value, index


def slice_table(outcome: Outcome, metric: str = "", sampling: Sampling = DEFAULT) -> list[SliceRow]:
    """Returns a metric, the primary one where none is named, of every value of every slice, with interval and count.

    Values on whose rows the metric is not defined are left out.
    """
    name = metric or primary(outcome)
    table = []
    for slice_name, value, index in parts(outcome):
        of = outcome.take(index)
        found = estimates(of, (name,), sampling)
        if name in found:
            row = SliceRow(slice=slice_name, value=value, rows=len(of), metric=name, estimate=found[name])
            table.append(row)
    return table


def worst_slices(table: Sequence[SliceRow], *, support: int = SUPPORT, count: int = WORST) -> list[SliceRow]:
    """Returns the values with at least `support` rows on which the metric is worst, the worst first."""
    known = [row for row in table if row.rows >= support]
    return sorted(known, key=lambda row: direction(row.metric) * row.estimate.value)[:count]
