import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss

from support.outcomes import classified, multi_labelled, scored
from symbiont.evaluation.arrays import log_softmax, sigmoid
from symbiont.evaluation.calibration import ece, equal_mass, equal_width, judge_calibration
from symbiont.evaluation.outcomes import Classified, MultiLabelled
from symbiont.evaluation.temperature import LEAST, fit_sigmoid_temperature, fit_temperature, folds


@pytest.mark.parametrize("planted", [0.4, 1.0, 2.5])
def test_a_planted_temperature_is_found(planted: float) -> None:
    outcome = classified(6000, seed=2)
    assert fit_temperature(outcome.logits * planted, outcome.truth) == pytest.approx(planted, rel=0.08)
    labels = multi_labelled(4000, seed=2)
    assert fit_sigmoid_temperature(labels.logits * planted, labels.truth) == pytest.approx(planted, rel=0.08)


def test_no_temperature_is_better() -> None:
    outcome = classified(500, seed=3)
    logits = outcome.logits * 3
    best = fit_temperature(logits, outcome.truth)
    every = {t: log_loss(outcome.truth, np.exp(log_softmax(logits / t))) for t in (best, best * 0.95, best * 1.05)}
    assert min(every, key=lambda t: every[t]) == best


def test_logits_without_an_error_or_without_news() -> None:
    truth = np.array([0, 1, 0, 1])
    assert fit_temperature(np.eye(2)[truth], truth) == pytest.approx(LEAST)
    assert fit_temperature(np.zeros((4, 2)), truth) == 1


def test_calibrated_probabilities_have_a_small_error_and_others_not() -> None:
    outcome = classified(5000, seed=4)
    honest = judge_calibration(outcome)
    sure = judge_calibration(Classified(outcome.rows, outcome.labels, outcome.logits * 4, outcome.truth))
    assert honest is not None
    assert sure is not None
    assert honest.before.ece_mass < 0.03
    assert honest.before.ece_width < 0.02
    assert sure.before.ece_mass > 0.15
    assert sure.after.ece_mass < 0.03
    assert sure.temperature == pytest.approx(4, rel=0.1)
    assert sure.after.log_loss < sure.before.log_loss
    assert sum(part.rows for part in sure.before.bins) == 5000
    assert len(sure.before.bins) == 15


def test_few_decisions_are_off_by_chance() -> None:
    found = [judge_calibration(classified(150, seed=seed)) for seed in range(40)]
    errors = [one.before.ece_mass for one in found if one]
    by_chance = [one.before.by_chance for one in found if one]
    assert np.mean(errors) == pytest.approx(np.mean(by_chance), rel=0.1)
    assert np.mean(by_chance) > 0.06


def test_the_temperature_of_serving_is_before() -> None:
    outcome = classified(800, seed=5)
    hot = Classified(outcome.rows, outcome.labels, outcome.logits * 4, outcome.truth, temperature=4.0)
    one, other = judge_calibration(outcome), judge_calibration(hot)
    assert one is not None
    assert other is not None
    assert other.before.ece_mass == pytest.approx(one.before.ece_mass, abs=1e-6)


def test_labels_each_have_a_temperature() -> None:
    outcome = multi_labelled(4000, seed=6)
    sharp = np.array([1, 2, 4, 0.5], np.float32)
    found = judge_calibration(MultiLabelled(outcome.rows, outcome.labels, outcome.logits * sharp, outcome.truth))
    assert found is not None
    assert found.temperatures == pytest.approx(tuple(sharp.tolist()), rel=0.1)
    assert found.after.ece_mass < found.before.ece_mass


def test_scores_of_probabilities() -> None:
    outcome = multi_labelled(300, seed=7)
    found = judge_calibration(outcome)
    assert found is not None
    given = sigmoid(outcome.logits)
    assert found.before.brier == pytest.approx(brier_score_loss(outcome.truth.ravel(), given.ravel()))
    assert found.before.log_loss == pytest.approx(log_loss(outcome.truth.ravel(), given.ravel()), rel=1e-5)


def test_no_row_is_judged_with_what_was_fitted_on_it() -> None:
    groups = np.repeat(np.arange(20), 5)
    seen = []
    for fitted, judged in folds(100, groups, 0):
        assert not set(groups[fitted]) & set(groups[judged])
        seen.extend(judged.tolist())
    assert sorted(seen) == list(range(100))
    ((fitted, judged),) = folds(1, np.zeros(0, int), 0)
    assert fitted.tolist() == judged.tolist() == [0]


def test_bins() -> None:
    given, right = np.array([0.1, 0.1, 0.9, 0.9]), np.array([False, False, True, False])
    assert ece(equal_width(given, right)) == pytest.approx(0.25)
    assert ece(equal_mass(given, right, 2)) == pytest.approx(0.25)
    assert [part.rows for part in equal_width(np.array([0.0, 1.0]), np.array([False, True]))] == [1, 1]


def test_tasks_without_probabilities() -> None:
    assert judge_calibration(scored()) is None
    assert judge_calibration(classified(5).take(np.zeros(0, int))) is None
