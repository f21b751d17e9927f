"""A temperature that was planted is found, and what it brings is measured on rows that it was not fitted on."""

import numpy as np
import pytest

from symbiont.training.costs import BinaryCosts
from symbiont.training.heads import all_heads
from symbiont.training.heads.score import Scale
from symbiont.training.spec import ClassificationHead, MultiLabelHead
from symbiont.training.worker.calibrating import LEAST_ROWS, Calibrated, calibrate, in_words

ROWS = 20_000
ABCD = ("a", "b", "c", "d")


def of_classes(logits: list[np.ndarray], truth: np.ndarray, groups: list[str] | None = None) -> Calibrated | None:
    settings = ClassificationHead(labels=ABCD[: len(logits[0])])
    return calibrate(all_heads()["classification"], settings, logits, truth, groups or [])


def of_labels(logits: list[np.ndarray], truth: np.ndarray, thresholds: str = "THRESHOLDS_UNSPECIFIED") -> Calibrated:
    settings = MultiLabelHead(labels=ABCD[: len(logits[0])], thresholds=thresholds)
    found = calibrate(all_heads()["multi_label"], settings, logits, truth)
    assert found is not None
    return found


def classes(overconfident: float) -> tuple[list[np.ndarray], np.ndarray]:
    """Logits of a model that is as sure as `overconfident` times what it should be."""
    random = np.random.default_rng(0)
    logits = random.normal(size=(ROWS, 4)) * 2
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    truth = (chances.cumsum(1) > random.random((ROWS, 1))).argmax(1)
    return list(logits * overconfident), truth


@pytest.mark.parametrize("overconfident", [0.4, 1.0, 3.0])
def test_the_temperature_of_classes(overconfident: float) -> None:
    found = of_classes(*classes(overconfident))
    assert found is not None
    assert found.rule.temperature == pytest.approx(overconfident, rel=0.06)
    assert found.error_after < 0.02
    assert (found.error_before > 0.05) == (overconfident != 1.0)


def test_the_temperature_of_labels_that_each_hold() -> None:
    random = np.random.default_rng(1)
    logits = random.normal(size=(ROWS, 3)) * 2
    truth = (random.random((ROWS, 3)) < 1 / (1 + np.exp(-logits))).astype(np.float32)
    found = of_labels(list(logits * 2.5), truth)
    assert found.rule.thresholds == ()
    assert found.rule.temperature == pytest.approx(2.5, rel=0.06)
    assert found.error_after < 0.02 < found.error_before


def test_what_has_no_probabilities_or_too_few_rows_has_none() -> None:
    logits, truth = classes(1.0)
    assert calibrate(all_heads()["score"], Scale(0.0, 1.0, limited=False), logits, truth) is None
    assert of_classes(logits[: LEAST_ROWS - 1], truth[: LEAST_ROWS - 1]) is None


def test_a_model_that_is_always_right_is_no_error() -> None:
    logits = [np.array([20.0, -20.0])] * LEAST_ROWS
    found = of_classes(logits, np.zeros(LEAST_ROWS, np.int64))
    assert found is not None
    assert found.error_after == pytest.approx(0.0, abs=1e-6)


def test_rows_of_one_group_are_not_judged_by_each_other() -> None:
    """Of copies of few rows, all of one group, other rows tell less than their own copies would."""
    random = np.random.default_rng(2)
    logits, truth = random.normal(size=(20, 2)) * 4, random.integers(0, 2, 20)
    rows, labels = list(np.repeat(logits, 10, axis=0)), np.repeat(truth, 10)
    alone = of_classes(rows, labels)
    together = of_classes(rows, labels, [str(row // 10) for row in range(200)])
    assert alone is not None
    assert together is not None
    assert together.rule.temperature == alone.rule.temperature
    assert together.error_after != alone.error_after


def test_labels_hold_from_where_f1_is_highest() -> None:
    """Of calibrated probabilities that is half of the F1 that can be had (Lipton et al., arXiv 1402.1892)."""
    random = np.random.default_rng(3)
    logits = random.normal(size=(ROWS, 2)) * 2 - np.array([0.0, 3.0])
    truth = random.random((ROWS, 2)) < 1 / (1 + np.exp(-logits))
    found = of_labels(list(logits), truth.astype(np.float32), "THRESHOLDS_BEST_F1")
    plain = of_labels(list(logits), truth.astype(np.float32))
    for place, least in enumerate(found.rule.thresholds):
        hits = (found.decided[:, place] & truth[:, place]).sum()
        f1 = 2 * hits / (found.decided[:, place].sum() + truth[:, place].sum())
        assert least == pytest.approx(f1 / 2, abs=0.03)
        assert f1 > 2 * (plain.decided & truth)[:, place].sum() / (plain.decided | truth)[:, place].sum() - 1
    assert "labels hold from" in in_words(found)
    assert "labels" not in in_words(plain)


def test_no_row_is_judged_by_a_threshold_that_it_chose() -> None:
    """Of logits that say nothing, tuned thresholds look good on their own rows, and on others they do not."""
    random = np.random.default_rng(4)
    logits, truth = random.normal(size=(LEAST_ROWS, 4)), random.random((LEAST_ROWS, 4)) < 0.1
    found = of_labels(list(logits), truth.astype(np.float32), "THRESHOLDS_BEST_F1")

    def f1(held: np.ndarray) -> float:
        return float(2 * (held & truth).sum() / (held.sum() + truth.sum()))

    seen = 1 / (1 + np.exp(-logits / found.rule.temperature)) >= np.array(found.rule.thresholds)
    assert f1(found.decided) < f1(seen)


def test_costs_are_weighed_with_probabilities_that_hold() -> None:
    """A model that is three times too sure would miss most of what a wrong no costs ten for."""
    random = np.random.default_rng(5)
    logits = np.stack([np.zeros(ROWS), random.normal(size=ROWS) * 2], axis=1)
    chances = 1 / (1 + np.exp(-logits[:, 1]))
    truth = (random.random(ROWS) < chances).astype(np.int64)
    costs = BinaryCosts(positive_label="b", false_positive=1.0, false_negative=10.0)
    settings = ClassificationHead(labels=("a", "b"), binary_costs=costs)
    found = calibrate(all_heads()["classification"], settings, list(logits * 3), truth)
    assert found is not None
    # From a probability of 1/11 on; the temperature is found but for a few percent.
    right = chances >= 1 / 11
    assert (found.decided == right).mean() > 0.97
