"""Metrics of a choice of one class."""

from collections.abc import Sequence

import numpy as np

from symbiont.evaluation.arrays import Bools, Floats, Ints, by_code, defined, log_softmax, mean_defined, ratio
from symbiont.evaluation.figures import ClassRow, Confusion, Curve
from symbiont.evaluation.metrics.curves import precision_recall
from symbiont.evaluation.metrics.family import Family, means
from symbiont.evaluation.metrics.ranking import Order, areas
from symbiont.evaluation.outcomes import Classified

PRIMARY = "accuracy"
# With more classes, areas under curves are in the table of classes alone: resampled, they would take long.
MOST_AREAS = 4
# Of fewer classes the best three are no news.
LEAST_FOR_TOP_3 = 5


def families(outcome: Classified) -> list[Family]:
    """Returns accuracy, macro-F1, balanced accuracy and MCC; log loss, top 3, what answers cost where that is known;
    areas where there are few classes.
    """
    log = log_softmax(outcome.logits / outcome.temperature)
    own = np.take_along_axis(log, outcome.truth[:, None], axis=1)
    names, columns = ["log_loss"], [-own[:, 0]]
    if len(outcome.labels) >= LEAST_FOR_TOP_3:
        # A class that is as likely as the true one stands before it.
        before = (log >= own).sum(axis=1)
        names, columns = [*names, "top_3"], [*columns, (before <= 3).astype(np.float64)]
    if outcome.costs:
        names, columns = [*names, "mean_cost"], [*columns, np.asarray(outcome.costs)[outcome.truth, predicted(outcome)]]
    found = [_counted(outcome), means(names, np.stack(columns, axis=1))]
    return [*found, _areas(outcome)] if 2 <= len(outcome.labels) <= MOST_AREAS else found


def probabilities(outcome: Classified) -> Floats:
    """Returns the probability of each class, [rows, labels]."""
    return np.exp(log_softmax(outcome.logits / outcome.temperature))


def predicted(outcome: Classified) -> Ints:
    """Returns the place of the class that was answered for each row."""
    if len(outcome.answered):
        return outcome.answered
    found: Ints = outcome.logits.argmax(axis=1).astype(np.int64)
    return found


def right(outcome: Classified) -> Bools:
    """Returns which rows got their class."""
    found: Bools = predicted(outcome) == outcome.truth
    return found


def confidence(outcome: Classified) -> Floats:
    """Returns the probability of what was said of each row."""
    found: Floats = np.take_along_axis(probabilities(outcome), predicted(outcome)[:, None], axis=1)[:, 0]
    return found


def _counted(outcome: Classified) -> Family:
    count, said = len(outcome.labels), predicted(outcome)
    hit = np.where(said == outcome.truth, said, -1)

    def values(weights: Floats) -> Sequence[Floats]:
        hits, said_of, true_of = (by_code(weights, codes, count) for codes in (hit, said, outcome.truth))
        total, right = weights.sum(axis=1), hits.sum(axis=1)
        # Of a class that neither is nor was said there is nothing to average.
        f1 = ratio(2 * hits, said_of + true_of)
        both = total**2 - (said_of**2).sum(axis=1), total**2 - (true_of**2).sum(axis=1)
        # Gorodkin's R_K (Computational Biology and Chemistry 28, 2004), 0 where one class is all there is.
        mcc = np.nan_to_num(ratio(right * total - (said_of * true_of).sum(axis=1), np.sqrt(both[0] * both[1])))
        return [ratio(right, total), mean_defined(f1), mean_defined(ratio(hits, true_of)), mcc]

    return Family(("accuracy", "macro_f1", "balanced_accuracy", "mcc"), values)


def _areas(outcome: Classified) -> Family:
    """Returns the areas of the second class of two, or the mean of each class against the rest."""
    given, count = probabilities(outcome), len(outcome.labels)
    parts = [(Order(given[:, place]), outcome.truth == place) for place in ([1] if count == 2 else range(count))]

    def values(weights: Floats) -> Sequence[Floats]:
        found = np.array([areas(order, positive, weights) for order, positive in parts])
        return list(mean_defined(np.moveaxis(found, 0, -1)))

    return Family(("roc_auc", "average_precision"), values)


def confusion_matrix(outcome: Classified) -> Ints:
    """Returns how many rows of each class (line) were said to be of each (column)."""
    count = len(outcome.labels)
    cells = np.bincount(outcome.truth * count + predicted(outcome), minlength=count * count)
    return cells.reshape(count, count).astype(np.int64)


def confusions(outcome: Classified) -> list[Confusion]:
    """Returns the pairs of classes that were taken for each other, the most frequent first."""
    matrix = confusion_matrix(outcome)
    np.fill_diagonal(matrix, 0)
    order = np.argsort(-matrix, axis=None, kind="stable")[: np.count_nonzero(matrix)]
    places = [divmod(int(cell), len(matrix)) for cell in order]
    name = outcome.labels
    return [Confusion(truth=name[i], predicted=name[j], rows=int(matrix[i, j])) for i, j in places]


def classes(outcome: Classified) -> list[ClassRow]:
    """Returns the table of classes, in their order."""
    matrix, given = confusion_matrix(outcome), probabilities(outcome)
    hits, said, true = np.diag(matrix), matrix.sum(axis=0), matrix.sum(axis=1)
    each = np.ones((1, len(outcome)))
    table = []
    for place, label in enumerate(outcome.labels):
        auc, average = areas(Order(given[:, place]), outcome.truth == place, each)
        row = class_row(label, int(hits[place]), int(said[place]), int(true[place]))
        table.append(row.model_copy(update={"roc_auc": defined(auc[0]), "average_precision": defined(average[0])}))
    return table


def class_row(label: str, hits: int, said: int, true: int) -> ClassRow:
    """Returns the row of a class of which so many were found, said and true; what is 0 / 0 is left out."""
    return ClassRow(
        label=label,
        support=true,
        predicted=said,
        precision=hits / said if said else None,
        recall=hits / true if true else None,
        f1=2 * hits / (said + true) if said + true else None,
    )


def curves(outcome: Classified) -> list[Curve]:
    """Returns precision and recall at every threshold: of the second class of two, else of each."""
    given = probabilities(outcome)
    places = [1] if len(outcome.labels) == 2 else range(len(outcome.labels))
    found = [(outcome.labels[place], precision_recall(given[:, place], outcome.truth == place)) for place in places]
    return [Curve(label=label, points=points) for label, points in found if points]
