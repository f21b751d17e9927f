"""Whether probabilities can be taken at their word, before and after a temperature."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from symbiont.evaluation.arrays import Bools, Floats, Ints, log_loss_of_sigmoid, log_softmax, sigmoid
from symbiont.evaluation.figures import Bin, CalibrationFigures, Reliability
from symbiont.evaluation.outcomes import Classified, MultiLabelled, Outcome
from symbiont.evaluation.temperature import fit_sigmoid_temperature, fit_temperature, folds

BINS = 15


def judge_calibration(outcome: Outcome, *, seed: int = 0) -> CalibrationFigures | None:
    """Returns how honest the probabilities are; None for tasks without any, or without rows.

    Before: with the outcome's own temperature. After: with one fitted by cross-fitting, so that no row is judged with
    what was fitted on it; groups stay together.
    """
    if isinstance(outcome, Classified) and len(outcome) and len(outcome.labels) > 1:
        return _of_classes(outcome, seed)
    if isinstance(outcome, MultiLabelled) and len(outcome):
        return _of_labels(outcome, seed)
    return None


def _of_classes(outcome: Classified, seed: int) -> CalibrationFigures:
    def scaled(temperature: npt.ArrayLike) -> Reliability:
        return reliability_of_classes(log_softmax(outcome.logits / np.asarray(temperature)), outcome.truth)

    after = _cross_fitted(outcome, seed, lambda rows: fit_temperature(outcome.logits[rows], outcome.truth[rows]))
    return CalibrationFigures(
        temperature=fit_temperature(outcome.logits, outcome.truth),
        before=scaled(outcome.temperature),
        after=scaled(after[:, None]),
    )


def _of_labels(outcome: MultiLabelled, seed: int) -> CalibrationFigures:
    def scaled(temperature: npt.ArrayLike) -> Reliability:
        return reliability_of_labels(outcome.logits / np.asarray(temperature), outcome.truth)

    def fit(rows: Ints) -> list[float]:
        logits, truth = outcome.logits[rows], outcome.truth[rows]
        return [fit_sigmoid_temperature(logits[:, place], truth[:, place]) for place in range(len(outcome.labels))]

    return CalibrationFigures(
        temperature=fit_sigmoid_temperature(outcome.logits, outcome.truth),
        temperatures=tuple(fit(np.arange(len(outcome)))),
        before=scaled(outcome.temperature),
        after=scaled(_cross_fitted(outcome, seed, fit)),
    )


def _cross_fitted(outcome: Outcome, seed: int, fit: Callable[[Ints], Any]) -> Floats:
    """Returns for each row what `fit` gives for rows of other folds, [rows, ...]."""
    found: list[tuple[Ints, Any]] = []
    for fitted, judged in folds(len(outcome), outcome.rows.groups, seed):
        found.append((judged, np.asarray(fit(fitted), np.float64)))
    values = np.empty((len(outcome), *found[0][1].shape))
    for judged, value in found:
        values[judged] = value
    return values


def reliability_of_classes(log_probabilities: Floats, truth: Ints) -> Reliability:
    """Judges the probability of the likeliest class, [rows, classes]; Brier's score is over all classes."""
    given = np.exp(log_probabilities)
    one = np.zeros_like(given)
    one[np.arange(len(truth)), truth] = 1
    own = np.take_along_axis(log_probabilities, truth[:, None], axis=1)
    right = given.argmax(axis=1) == truth
    return _reliability(given.max(axis=1), right, ((given - one) ** 2).sum(axis=1).mean(), -own.mean())


def reliability_of_labels(logits: Floats, truth: Bools) -> Reliability:
    """Judges the probability of every label of every row, [rows, labels]; a decision is one label of one row."""
    given = sigmoid(logits)
    return _reliability(
        given.ravel(), truth.ravel(), ((given - truth) ** 2).mean(), log_loss_of_sigmoid(logits, truth).mean()
    )


def _reliability(given: Floats, right: Bools, brier: float, log_loss: float) -> Reliability:
    bins = equal_mass(given, right)
    return Reliability(
        ece_mass=ece(bins),
        ece_width=ece(equal_width(given, right)),
        by_chance=ece_by_chance(bins),
        brier=float(brier),
        log_loss=float(log_loss),
        bins=tuple(bins),
    )


def ece(bins: list[Bin]) -> float:
    """Returns the mean distance, 0 to 1, of probability and what came true, over decisions."""
    total = sum(part.rows for part in bins)
    return sum(part.rows * abs(part.confidence - part.accuracy) for part in bins) / max(total, 1)


def ece_by_chance(bins: list[Bin]) -> float:
    """Returns the error that honest probabilities would show on average, as so few decisions vary by chance.

    The mean distance of a normal variable from its mean is sqrt(2 / pi) of its standard deviation.
    """
    spread = sum(math.sqrt(2 * part.rows * part.confidence * (1 - part.confidence) / math.pi) for part in bins)
    return spread / max(sum(part.rows for part in bins), 1)


def equal_mass(given: Floats, right: Bools, count: int = BINS) -> list[Bin]:
    """Returns bins of equally many decisions, from the least probability on."""
    order = np.argsort(given, kind="stable")
    return [_bin(given[part], right[part]) for part in np.array_split(order, count) if len(part)]


def equal_width(given: Floats, right: Bools, count: int = BINS) -> list[Bin]:
    """Returns the bins of equal width that have any decision."""
    place = np.clip(np.ceil(given * count).astype(np.int64) - 1, 0, count - 1)
    return [_bin(given[place == part], right[place == part]) for part in np.unique(place)]


def _bin(given: Floats, right: Bools) -> Bin:
    return Bin(rows=len(given), confidence=float(given.mean()), accuracy=float(right.mean()))
