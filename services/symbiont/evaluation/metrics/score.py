"""Metrics of numbers; of whole numbers, as grades, also how far the nearest grade is off."""

from collections.abc import Sequence

import numpy as np

from symbiont.evaluation.arrays import Bools, Floats, ratio
from symbiont.evaluation.metrics.family import Family, means
from symbiont.evaluation.metrics.ranking import Order, pearson, spearman
from symbiont.evaluation.outcomes import Scored

PRIMARY = "spearman"
# With more different whole numbers they are counts, not grades.
MOST_GRADES = 20


def families(outcome: Scored) -> list[Family]:
    """Returns errors, R2 and correlations; for grades quadratic weighted kappa and how many are within one."""
    found = [_squares(outcome), _correlations(outcome)]
    error = np.abs(outcome.predicted - outcome.truth)
    if not is_ordinal(outcome):
        return [means(("mae",), error[:, None]), *found]
    off = np.abs(grades(outcome) - outcome.truth)
    columns = np.stack([error, off <= 1, off == 0], axis=1).astype(np.float64)
    return [means(("mae", "within_one", "accuracy"), columns), *found, _kappa(outcome)]


def is_ordinal(outcome: Scored) -> bool:
    """Whether the truths are whole numbers, and few different ones."""
    different = np.unique(outcome.truth)
    return bool(0 < len(different) <= MOST_GRADES and (different == np.round(different)).all())


def grades(outcome: Scored) -> Floats:
    """Returns the whole numbers nearest to what was predicted."""
    found: Floats = np.floor(outcome.predicted + 0.5)
    return found


def right(outcome: Scored) -> Bools | None:
    """Returns which rows got their grade; None where the numbers are no grades."""
    return grades(outcome) == outcome.truth if is_ordinal(outcome) else None


def _squares(outcome: Scored) -> Family:
    # Around a middle, so that large numbers that differ little keep their digits.
    centre = outcome.truth.mean() if len(outcome) else 0.0
    truth = outcome.truth - centre
    columns = np.stack([(outcome.predicted - outcome.truth) ** 2, truth, truth**2], axis=1)

    def values(weights: Floats) -> Sequence[Floats]:
        total = weights.sum(axis=1)
        squared, sum_of, squares = (weights @ columns).T
        spread = squares - ratio(sum_of**2, total)
        return [np.sqrt(ratio(squared, total)), 1 - ratio(squared, np.where(spread > 1e-12 * squares, spread, 0.0))]

    return Family(("rmse", "r2"), values)


def _correlations(outcome: Scored) -> Family:
    said, true = Order(outcome.predicted), Order(outcome.truth)

    def values(weights: Floats) -> Sequence[Floats]:
        return [pearson(outcome.predicted, outcome.truth, weights), spearman(said, true, weights)]

    return Family(("pearson", "spearman"), values)


def _kappa(outcome: Scored) -> Family:
    """Returns Cohen's kappa with quadratic weights, which needs no table of grades: only sums and squares."""
    said, true = grades(outcome), outcome.truth
    columns = np.stack([(said - true) ** 2, said, true, said**2, true**2], axis=1)

    def values(weights: Floats) -> Sequence[Floats]:
        total = weights.sum(axis=1)
        off, said_of, true_of, said_2, true_2 = (weights @ columns).T
        by_chance = said_2 + true_2 - ratio(2 * said_of * true_of, total)
        return [1 - ratio(off, by_chance)]

    return Family(("quadratic_kappa",), values)
