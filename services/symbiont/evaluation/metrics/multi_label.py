"""Metrics of labels that each hold or not."""

from collections.abc import Sequence

import numpy as np

from symbiont.evaluation.arrays import Bools, Floats, defined, mean_defined, ratio, sigmoid
from symbiont.evaluation.figures import ClassRow, Curve
from symbiont.evaluation.metrics.classification import MOST_AREAS, class_row
from symbiont.evaluation.metrics.curves import precision_recall
from symbiont.evaluation.metrics.family import Family, means
from symbiont.evaluation.metrics.ranking import Order, areas
from symbiont.evaluation.outcomes import MultiLabelled

PRIMARY = "micro_f1"


def families(outcome: MultiLabelled) -> list[Family]:
    """Returns F1 over all decisions, over labels and over rows; how many rows are wholly right; average precision."""
    said, truth = predicted(outcome), outcome.truth
    hits = (said & truth).sum(axis=1)
    # A row with nothing to find, of which nothing was said, is right.
    by_row = np.where(said.any(axis=1) | truth.any(axis=1), 0.0, 1.0)
    by_row += np.nan_to_num(ratio(2.0 * hits, (said.sum(axis=1) + truth.sum(axis=1)).astype(np.float64)))
    columns = np.stack([by_row, right(outcome).astype(np.float64)], axis=1)
    found = [_counted(said, truth), means(("samples_f1", "subset_accuracy"), columns)]
    return [*found, _areas(outcome)] if len(outcome.labels) <= MOST_AREAS else found


def probabilities(outcome: MultiLabelled) -> Floats:
    """Returns the probability of each label, [rows, labels]."""
    return sigmoid(outcome.logits / outcome.temperature)


def predicted(outcome: MultiLabelled) -> Bools:
    """Returns which labels were said to hold, [rows, labels]."""
    return probabilities(outcome) >= np.asarray(outcome.thresholds or 0.5)


def right(outcome: MultiLabelled) -> Bools:
    """Returns which rows got all of their labels and no other."""
    found: Bools = (predicted(outcome) == outcome.truth).all(axis=1)
    return found


def confidence(outcome: MultiLabelled) -> Floats:
    """Returns the probability of the least certain decision of each row."""
    given = probabilities(outcome)
    found: Floats = np.where(predicted(outcome), given, 1 - given).min(axis=1)
    return found


def _counted(said: Bools, truth: Bools) -> Family:
    columns = np.concatenate([said & truth, said, truth], axis=1).astype(np.float64)

    def values(weights: Floats) -> Sequence[Floats]:
        hits, said_of, true_of = np.split(weights @ columns, 3, axis=1)
        micro = ratio(2 * hits.sum(axis=1), said_of.sum(axis=1) + true_of.sum(axis=1))
        return [micro, mean_defined(ratio(2 * hits, said_of + true_of))]

    return Family(("micro_f1", "macro_f1"), values)


def _areas(outcome: MultiLabelled) -> Family:
    given = probabilities(outcome)
    parts = [(Order(given[:, place]), outcome.truth[:, place]) for place in range(len(outcome.labels))]

    def values(weights: Floats) -> Sequence[Floats]:
        return [mean_defined(np.stack([areas(order, truth, weights)[1] for order, truth in parts], axis=1))]

    return Family(("average_precision",), values)


def classes(outcome: MultiLabelled) -> list[ClassRow]:
    """Returns the table of labels, in their order, with the threshold that would give each the highest F1."""
    said, truth, given = predicted(outcome), outcome.truth, probabilities(outcome)
    each = np.ones((1, len(outcome)))
    table = []
    for place, (label, threshold) in enumerate(zip(outcome.labels, best_thresholds(outcome), strict=True)):
        own = truth[:, place]
        auc, average = areas(Order(given[:, place]), own, each)
        row = class_row(label, int((said[:, place] & own).sum()), int(said[:, place].sum()), int(own.sum()))
        more = {"roc_auc": defined(auc[0]), "average_precision": defined(average[0]), "best_threshold": threshold}
        table.append(row.model_copy(update=more))
    return table


def best_thresholds(outcome: MultiLabelled) -> tuple[float, ...]:
    """Returns for each label the probability from which on it should hold for the highest F1 on these rows.

    They lie between two rows' probabilities; 0.5 for a label that no row has. On the rows that they were chosen by, F1
    is better than it will be.
    """
    return thresholds_of(probabilities(outcome), outcome.truth)


def thresholds_of(given: Floats, truth: Bools) -> tuple[float, ...]:
    """Returns the same for probabilities and truth [rows, labels]."""
    return tuple(map(_best_threshold, given.T, truth.T))


def _best_threshold(values: Floats, truth: Bools) -> float:
    if not truth.any():
        return 0.5
    order = np.argsort(-values, kind="stable")
    ordered = values[order]
    hits = np.cumsum(truth[order])
    f1 = 2 * hits / (np.arange(1, len(values) + 1) + truth.sum())
    # Rows of equal values hold or not together.
    f1[:-1][ordered[1:] == ordered[:-1]] = -1
    best = int(f1.argmax())
    below = float(ordered[best + 1]) if best + 1 < len(values) else 0.0
    return (float(ordered[best]) + below) / 2


def curves(outcome: MultiLabelled) -> list[Curve]:
    """Returns precision and recall of each label at every threshold."""
    given = probabilities(outcome)
    found = [
        (label, precision_recall(given[:, place], outcome.truth[:, place]))
        for place, label in enumerate(outcome.labels)
    ]
    return [Curve(label=label, points=points) for label, points in found if points]
