"""Metrics of the other tasks against scikit-learn's and scipy's."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as oracle

from support.outcomes import EVERY, compared, multi_labelled, retrieved, scored, some_rows
from symbiont.common.errors import InvalidArgument
from symbiont.evaluation.bootstrap import point_values
from symbiont.evaluation.metrics import embedding, judging, multi_label, primary, score
from symbiont.evaluation.metrics.family import choose
from symbiont.evaluation.outcomes import MultiLabelled, Outcome, Retrieved, Scored, ragged


def values(outcome: Outcome) -> dict[str, float]:
    return point_values(judging(outcome).families(outcome), len(outcome))


@pytest.mark.parametrize("outcome", EVERY.values(), ids=EVERY)
def test_weights_are_as_good_as_copies(outcome: Outcome) -> None:
    weights = np.random.default_rng(99).integers(0, 4, (2, len(outcome))).astype(float)
    families = judging(outcome).families(outcome)
    for family in families:
        for name, column in zip(family.names, family.values(weights), strict=True):
            for row, value in zip(weights, column, strict=True):
                copied = outcome.take(np.repeat(np.arange(len(outcome)), row.astype(int)))
                assert value == pytest.approx(values(copied)[name]), name


@pytest.mark.parametrize("outcome", EVERY.values(), ids=EVERY)
def test_every_task_has_a_primary_metric(outcome: Outcome) -> None:
    assert primary(outcome) in values(outcome)


def test_an_unknown_metric_is_refused() -> None:
    outcome = scored()
    with pytest.raises(InvalidArgument, match="accuracy"):
        choose(score.families(outcome), ("accuracy",))


def test_labels() -> None:
    outcome = multi_labelled(300, seed=2)
    truth, given = outcome.truth, multi_label.probabilities(outcome)
    said, found = given >= 0.5, values(outcome)
    assert found["micro_f1"] == pytest.approx(oracle.f1_score(truth, said, average="micro"))
    assert found["macro_f1"] == pytest.approx(oracle.f1_score(truth, said, average="macro"))
    assert found["samples_f1"] == pytest.approx(oracle.f1_score(truth, said, average="samples", zero_division=1))
    assert found["subset_accuracy"] == pytest.approx(oracle.accuracy_score(truth, said))
    assert found["average_precision"] == pytest.approx(oracle.average_precision_score(truth, given))
    for place, row in enumerate(multi_label.classes(outcome)):
        precision, recall, f1, _ = oracle.precision_recall_fscore_support(
            truth[:, place], said[:, place], average="binary"
        )
        assert (row.precision, row.recall, row.f1) == pytest.approx((precision, recall, f1))


def test_the_best_thresholds_are_the_best() -> None:
    outcome = multi_labelled(200, seed=7)
    given = multi_label.probabilities(outcome)
    for place, threshold in enumerate(multi_label.best_thresholds(outcome)):
        truth, column = outcome.truth[:, place], given[:, place]
        said = column[None] >= np.unique(column)[:, None]
        every = 2 * (said & truth).sum(axis=1) / (said.sum(axis=1) + truth.sum())
        assert oracle.f1_score(truth, column >= threshold) == pytest.approx(every.max())


def test_a_threshold_of_a_label_that_no_row_has_and_of_equal_values() -> None:
    truth = np.array([[True, False], [False, False], [True, False]])
    outcome = MultiLabelled(some_rows(3), ("a", "b"), np.zeros((3, 2), np.float32), truth)
    one, other = multi_label.best_thresholds(outcome)
    assert one <= 0.5
    assert other == 0.5


def test_numbers() -> None:
    outcome = scored(200, seed=3)
    truth, said, found = outcome.truth, outcome.predicted, values(outcome)
    assert found["mae"] == pytest.approx(oracle.mean_absolute_error(truth, said))
    assert found["rmse"] == pytest.approx(oracle.root_mean_squared_error(truth, said))
    assert found["r2"] == pytest.approx(oracle.r2_score(truth, said))
    assert found["pearson"] == pytest.approx(stats.pearsonr(truth, said)[0])
    assert found["spearman"] == pytest.approx(stats.spearmanr(truth, said)[0])
    assert "quadratic_kappa" not in found


def test_grades() -> None:
    outcome = scored(200, seed=3, grades=True)
    said, found = score.grades(outcome), values(outcome)
    assert found["quadratic_kappa"] == pytest.approx(oracle.cohen_kappa_score(outcome.truth, said, weights="quadratic"))
    assert found["within_one"] == pytest.approx((np.abs(said - outcome.truth) <= 1).mean())
    # On rows of one grade kappa says nothing, and how many are right does.
    alone = values(outcome.take(np.flatnonzero(outcome.truth == 5)))
    assert alone["accuracy"] == pytest.approx((said[outcome.truth == 5] == 5).mean())


def test_numbers_that_do_not_differ_have_no_correlation() -> None:
    found = values(Scored(some_rows(5), np.arange(5.0), np.full(5, 0.1)))
    assert np.isnan([found["r2"], found["pearson"], found["spearman"]]).all()


def test_large_numbers_keep_their_digits() -> None:
    outcome = scored(200, seed=3)
    far = Scored(outcome.rows, outcome.predicted + 1e7, outcome.truth + 1e7)
    assert values(far)["r2"] == pytest.approx(values(outcome)["r2"], rel=1e-5)


def test_search() -> None:
    outcome = retrieved(80, seed=1)
    found, k = values(outcome), 10
    gains, scores = np.zeros((2, 80, 50))
    for row in range(80):
        gains[row, outcome.ranks.of(row)[:, 0] - 1] = 1
        scores[row] = np.arange(50)[::-1]
    assert found["ndcg_at_10"] == pytest.approx(oracle.ndcg_score(gains, scores, k=k))
    assert found["recall_at_5"] == pytest.approx((gains[:, :5].sum(axis=1) / gains.sum(axis=1)).mean())
    assert found["mrr"] == pytest.approx((1 / (gains.argmax(axis=1) + 1)).mean())


def test_a_query_needs_something_relevant() -> None:
    with pytest.raises(InvalidArgument, match="relevant"):
        Retrieved(some_rows(2), ragged([[[1]], []], 1), 5)


def test_similarity() -> None:
    outcome = compared(seed=2)
    found = values(outcome)
    assert found["spearman"] == pytest.approx(stats.spearmanr(outcome.truth, outcome.predicted)[0])
    assert embedding.PRIMARY_OF_SIMILARITY == "spearman"
