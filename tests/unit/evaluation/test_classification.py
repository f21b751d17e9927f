"""Metrics of classes against scikit-learn's."""

import numpy as np
import pytest
from sklearn import metrics as oracle

from support.outcomes import classified, some_rows
from symbiont.evaluation.bootstrap import point_values
from symbiont.evaluation.metrics import classification
from symbiont.evaluation.outcomes import Classified


def values(outcome: Classified) -> dict[str, float]:
    return point_values(classification.families(outcome), len(outcome))


@pytest.mark.parametrize("labels", [("a", "b"), ("a", "b", "c"), tuple("abcdefg"), tuple(map(str, range(20)))], ids=len)
def test_the_metrics_are_those_of_sklearn(labels: tuple[str, ...]) -> None:
    outcome = classified(500, labels, seed=3)
    truth, said, given = outcome.truth, outcome.logits.argmax(axis=1), classification.probabilities(outcome)
    found, every = values(outcome), range(len(labels))
    assert found["accuracy"] == pytest.approx(oracle.accuracy_score(truth, said))
    assert found["macro_f1"] == pytest.approx(oracle.f1_score(truth, said, average="macro"))
    assert found["balanced_accuracy"] == pytest.approx(oracle.balanced_accuracy_score(truth, said))
    assert found["mcc"] == pytest.approx(oracle.matthews_corrcoef(truth, said))
    assert found["log_loss"] == pytest.approx(oracle.log_loss(truth, given, labels=list(every)))
    if len(labels) >= 5:
        assert found["top_3"] == pytest.approx(oracle.top_k_accuracy_score(truth, given, k=3, labels=list(every)))
    if len(labels) == 2:
        assert found["roc_auc"] == pytest.approx(oracle.roc_auc_score(truth, given[:, 1]))
        assert found["average_precision"] == pytest.approx(oracle.average_precision_score(truth, given[:, 1]))
    elif len(labels) <= 4:
        auc = oracle.roc_auc_score(truth, given, multi_class="ovr", average="macro", labels=list(every))
        assert found["roc_auc"] == pytest.approx(auc)
        assert found["average_precision"] == pytest.approx(
            oracle.average_precision_score(np.eye(len(labels))[truth], given)
        )


def test_the_table_of_classes_is_that_of_sklearn() -> None:
    outcome = classified(300, tuple("abcde"), seed=4)
    said, given = outcome.logits.argmax(axis=1), classification.probabilities(outcome)
    expected = oracle.precision_recall_fscore_support(outcome.truth, said)
    for place, row in enumerate(classification.classes(outcome)):
        found = (row.precision, row.recall, row.f1, row.support)
        assert found == pytest.approx(tuple(column[place] for column in expected))
        assert row.roc_auc == pytest.approx(oracle.roc_auc_score(outcome.truth == place, given[:, place]))
    matrix = classification.confusion_matrix(outcome)
    assert np.array_equal(matrix, oracle.confusion_matrix(outcome.truth, said))
    worst = classification.confusions(outcome)[0]
    np.fill_diagonal(matrix, 0)
    assert worst.rows == matrix.max()
    assert sum(pair.rows for pair in classification.confusions(outcome)) == matrix.sum()


def test_a_class_that_no_row_has() -> None:
    rows = some_rows(4)
    logits = np.array([[2, 0, 0], [0, 2, 0], [2, 0, 0], [2, 0, 0]], np.float32)
    outcome = Classified(rows, ("a", "b", "never"), logits, np.array([0, 1, 1, 0]))
    found = values(outcome)
    assert found["balanced_accuracy"] == pytest.approx(0.75)
    assert found["macro_f1"] == pytest.approx(oracle.f1_score([0, 1, 1, 0], [0, 1, 0, 0], average="macro"))
    never = classification.classes(outcome)[2]
    assert (never.support, never.predicted, never.precision, never.recall, never.f1, never.roc_auc) == (
        0,
        0,
        *[None] * 4,
    )


def test_a_model_that_says_one_thing_is_worth_nothing() -> None:
    outcome = Classified(some_rows(6), ("a", "b"), np.tile(np.float32([1, 0]), (6, 1)), np.array([0, 1] * 3))
    found = values(outcome)
    assert (found["mcc"], found["roc_auc"], found["accuracy"]) == (0, 0.5, 0.5)


def test_weights_are_as_good_as_copies() -> None:
    outcome = classified(80, ("a", "b", "c"), seed=5)
    random = np.random.default_rng(0)
    weights = random.integers(0, 4, (3, 80)).astype(float)
    for family in classification.families(outcome):
        for name, column in zip(family.names, family.values(weights), strict=True):
            for row, value in zip(weights, column, strict=True):
                copied = outcome.take(np.repeat(np.arange(80), row.astype(int)))
                assert value == pytest.approx(values(copied)[name]), name


def test_the_curve_ends_at_full_recall() -> None:
    outcome = classified(900, ("a", "b"), seed=6)
    (curve,) = classification.curves(outcome)
    assert curve.label == "b"
    assert curve.points[-1][0] == 1
    assert len(curve.points) <= 120
    assert [x for x, _ in curve.points] == sorted(x for x, _ in curve.points)
