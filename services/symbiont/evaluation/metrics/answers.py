"""Metrics of answers to questions."""

import numpy as np

from symbiont.evaluation.arrays import Bools
from symbiont.evaluation.metrics.family import Family, means
from symbiont.evaluation.outcomes import Answered

PRIMARY = "f1"


def families(outcome: Answered) -> list[Family]:
    """Returns mean F1 and the share of answers that are exactly right."""
    return [means(("f1", "exact_match"), np.stack([outcome.f1, outcome.exact], axis=1))]


def right(outcome: Answered) -> Bools:
    """Returns which rows got exactly a right answer."""
    return outcome.exact >= 1
