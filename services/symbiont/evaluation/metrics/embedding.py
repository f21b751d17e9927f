"""Metrics of vectors: of what a search finds, and of how similar two texts are said to be."""

from collections.abc import Sequence

import numpy as np

from symbiont.evaluation.arrays import Bools, Floats
from symbiont.evaluation.metrics.family import Family, means
from symbiont.evaluation.metrics.ranking import Order, pearson, spearman
from symbiont.evaluation.outcomes import Compared, Retrieved

PRIMARY_OF_SEARCH = "mrr"
PRIMARY_OF_SIMILARITY = "spearman"
CUTS = (1, 5, 10)


def search_families(outcome: Retrieved) -> list[Family]:
    """Returns the mean reciprocal rank of the first relevant text, recall at 1, 5 and 10, and nDCG at 10."""
    names = ("mrr", *(f"recall_at_{cut}" for cut in CUTS), f"ndcg_at_{CUTS[-1]}")
    columns = [_of_query(outcome.ranks.of(row)[:, 0].astype(np.float64)) for row in range(len(outcome))]
    return [means(names, np.asarray(columns, np.float64).reshape(-1, len(names)))]


def _of_query(ranks: Floats) -> list[float]:
    recalls = [float((ranks <= cut).mean()) for cut in CUTS]
    gains = (1 / np.log2(ranks[ranks <= CUTS[-1]] + 1)).sum()
    # As much as all of them at the front would gain.
    best = (1 / np.log2(np.arange(1, min(len(ranks), CUTS[-1]) + 1) + 1)).sum()
    return [float(1 / ranks.min()), *recalls, float(gains / best)]


def found_first(outcome: Retrieved) -> Bools:
    """Returns which queries have something relevant in the first place."""
    found: Bools = outcome.ranks.values[outcome.ranks.offsets[:-1], 0] == 1
    return found


def similarity_families(outcome: Compared) -> list[Family]:
    """Returns the correlations of similarity and truth, of their ranks first."""
    said, true = Order(outcome.predicted), Order(outcome.truth)

    def values(weights: Floats) -> Sequence[Floats]:
        return [spearman(said, true, weights), pearson(outcome.predicted, outcome.truth, weights)]

    return [Family(("spearman", "pearson"), values)]
