"""Metrics of named parts of texts: right is a part whose start, end and type are all right, as conlleval counts."""

from collections.abc import Sequence

import numpy as np

from symbiont.evaluation.arrays import Bools, Floats, Ints, mean_defined, ratio
from symbiont.evaluation.figures import ClassRow
from symbiont.evaluation.metrics.classification import class_row
from symbiont.evaluation.metrics.family import Family
from symbiont.evaluation.outcomes import Tagged

PRIMARY = "micro_f1"


def counts(outcome: Tagged) -> tuple[Ints, Ints, Ints]:
    """Returns how many parts of each type were found, said and true in each row, [rows, types] each."""
    found = np.zeros((3, len(outcome), len(outcome.types)), np.int64)
    for row in range(len(outcome)):
        said, true = ({tuple(part) for part in parts.of(row).tolist()} for parts in (outcome.predicted, outcome.truth))
        for table, parts in zip(found, (said & true, said, true), strict=True):
            for _, _, place in parts:
                table[row, place] += 1
    return found[0], found[1], found[2]


def families(outcome: Tagged) -> list[Family]:
    """Returns precision, recall and F1 of all parts, and the mean F1 of types."""
    columns = np.concatenate(counts(outcome), axis=1).astype(np.float64)

    def values(weights: Floats) -> Sequence[Floats]:
        hits, said, true = np.split(weights @ columns, 3, axis=1)
        all_hits, all_said, all_true = hits.sum(axis=1), said.sum(axis=1), true.sum(axis=1)
        return [
            ratio(2 * all_hits, all_said + all_true),
            ratio(all_hits, all_said),
            ratio(all_hits, all_true),
            mean_defined(ratio(2 * hits, said + true)),
        ]

    return [Family(("micro_f1", "precision", "recall", "macro_f1"), values)]


def right(outcome: Tagged) -> Bools:
    """Returns which rows got all of their parts and no other."""
    hits, said, true = (table.sum(axis=1) for table in counts(outcome))
    found: Bools = (hits == said) & (hits == true)
    return found


def classes(outcome: Tagged) -> list[ClassRow]:
    """Returns the table of types, in their order."""
    sums = [table.sum(axis=0).tolist() for table in counts(outcome)]
    return [class_row(name, *numbers) for name, *numbers in zip(outcome.types, *sums, strict=True)]
