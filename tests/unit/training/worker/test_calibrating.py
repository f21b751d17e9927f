"""A temperature that was planted is found, and what it brings is measured on rows that it was not fitted on."""

import numpy as np
import pytest

from symbiont.training.worker.calibrating import LEAST_ROWS, calibrate

ROWS = 20_000


def classes(overconfident: float) -> tuple[list[np.ndarray], np.ndarray]:
    """Logits of a model that is as sure as `overconfident` times what it should be."""
    random = np.random.default_rng(0)
    logits = random.normal(size=(ROWS, 4)) * 2
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    truth = (chances.cumsum(1) > random.random((ROWS, 1))).argmax(1)
    return list(logits * overconfident), truth


@pytest.mark.parametrize("overconfident", [0.4, 1.0, 3.0])
def test_the_temperature_of_classes(overconfident: float) -> None:
    found = calibrate("classification", *classes(overconfident))
    assert found is not None
    assert found.temperature == pytest.approx(overconfident, rel=0.06)
    assert found.error_after < 0.02
    assert (found.error_before > 0.05) == (overconfident != 1.0)


def test_the_temperature_of_labels_that_each_hold() -> None:
    random = np.random.default_rng(1)
    logits = random.normal(size=(ROWS, 3)) * 2
    truth = (random.random((ROWS, 3)) < 1 / (1 + np.exp(-logits))).astype(np.float32)
    found = calibrate("multi_label", list(logits * 2.5), truth)
    assert found is not None
    assert found.temperature == pytest.approx(2.5, rel=0.06)
    assert found.error_after < 0.02 < found.error_before


def test_what_has_no_probabilities_or_too_few_rows_has_none() -> None:
    logits, truth = classes(1.0)
    assert calibrate("score", logits, truth) is None
    assert calibrate("classification", logits[: LEAST_ROWS - 1], truth[: LEAST_ROWS - 1]) is None


def test_a_model_that_is_always_right_is_no_error() -> None:
    logits = [np.array([20.0, -20.0])] * LEAST_ROWS
    found = calibrate("classification", logits, np.zeros(LEAST_ROWS, np.int64))
    assert found is not None
    assert found.error_after == pytest.approx(0.0, abs=1e-6)


def test_rows_of_one_group_are_not_judged_by_each_other() -> None:
    """Of copies of few rows, all of one group, other rows tell less than their own copies would."""
    random = np.random.default_rng(2)
    logits, truth = random.normal(size=(20, 2)) * 4, random.integers(0, 2, 20)
    rows, labels = list(np.repeat(logits, 10, axis=0)), np.repeat(truth, 10)
    alone = calibrate("classification", rows, labels)
    together = calibrate("classification", rows, labels, [str(row // 10) for row in range(200)])
    assert alone is not None
    assert together is not None
    assert together.temperature == alone.temperature
    assert together.error_after != alone.error_after
