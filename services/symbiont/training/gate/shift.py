"""Two datasets whose labels have the same names and other meanings: what one calls A the other calls B."""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]

from symbiont.training.data.rows import LabelKind, Row
from symbiont.training.gate.classes import classes_of
from symbiont.training.gate.features import Vectorizer, model, present
from symbiont.training.gate.results import Shift

# Classes of fewer rows are not judged.
_LEAST_ROWS = 5
# Of the rows of a class so many must be taken for the other one, and this much more than for their own.
_SHARE, _MARGIN = 0.4, 0.2


def label_shift(rows: Sequence[Row], other: Sequence[Row], kind: LabelKind, seed: int = 0) -> list[Shift]:
    """Returns the labels of `other` that mean another one of `rows`, by a model that learned from `rows`.

    Only labels that change places are named: a class that is hard to tell from a second one is taken for it, but not
    that one for the first.
    """
    mine, others = classes_of(rows, kind), classes_of(other, kind, least=_LEAST_ROWS)
    shared = [name for name in others.names if name in mine.names]
    if not mine.enough or len(shared) < 2:
        return []
    vectorizer = Vectorizer([rows[place] for place in mine.rows.tolist()])
    columns = present(vectorizer.features)
    said = model(vectorizer.features[:, columns], mine.numbers, seed).predict(
        vectorizer.of([other[place] for place in others.rows.tolist()])[:, columns]
    )
    confusion = np.zeros((len(shared), len(shared)))
    for line, name in enumerate(shared):
        found = said[others.numbers == others.names.index(name)]
        confusion[line] = [float((found == mine.names.index(column)).mean()) for column in shared]
    # The assignment of names to names that most rows agree with.
    lines, columns = linear_sum_assignment(-confusion)
    return [
        Shift(shared[line], shared[column], float(confusion[line, column]))
        for line, column in zip(lines.tolist(), columns.tolist(), strict=True)
        if line != column
        and confusion[line, column] >= _SHARE
        and confusion[line, column] - confusion[line, line] >= _MARGIN
    ]
