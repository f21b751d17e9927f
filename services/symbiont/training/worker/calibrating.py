"""Probabilities that say how often they are right: logits divided by a temperature (Guo et al. 2017, arXiv 1706.04599).

The temperature is fitted on the held-out rows. What it brings is measured by cross-fitting: each fifth of them is
judged with the temperature of the others.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar  # type: ignore[import-untyped]
from scipy.special import expit, log_expit, log_softmax, softmax  # type: ignore[import-untyped]

# With fewer, a temperature says more of these rows than of the model.
LEAST_ROWS = 100
RANGE = (0.05, 20.0)
FOLDS, BINS = 5, 15
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Calibrated:
    """A temperature, and the expected calibration error without it and with it, 0 to 1."""

    temperature: float
    error_before: float
    error_after: float


def calibrate(task: str, outputs: Sequence["np.ndarray[Any, Any]"], targets: Any) -> Calibrated | None:
    """Returns the temperature of a classifier; None for other tasks, and with too few rows to tell.

    Args:
        task: the kind of the head.
        outputs: logits of each row, [labels].
        targets: index of the label of each row; for labels that each hold, [rows, labels] of 0 and 1.
    """
    if task not in _LOSSES or len(outputs) < LEAST_ROWS:
        return None
    logits, truth = np.stack(outputs).astype(np.float64), np.asarray(targets)
    temperature = _fit(task, logits, truth)
    # The same folds each time; every fifth row, since rows of a dataset may be in order.
    fold = np.arange(len(logits)) % FOLDS
    own = np.array([_fit(task, logits[fold != number], truth[fold != number]) for number in range(FOLDS)])
    before = expected_error(*_CHANCES[task](logits, truth))
    after = expected_error(*_CHANCES[task](logits / own[fold][:, None], truth))
    return Calibrated(temperature, before, after)


def _fit(task: str, logits: Floats, truth: Any) -> float:
    low, high = np.log(RANGE)
    found = minimize_scalar(lambda t: _LOSSES[task](logits / np.exp(t), truth), bounds=(low, high), method="bounded")
    return float(np.exp(found.x))


def expected_error(chances: Floats, right: npt.NDArray[np.bool_]) -> float:
    """Returns the mean distance between chances and how often they came true, in bins of equal numbers of rows."""
    order = np.argsort(chances, kind="stable")
    bins = [part for part in np.array_split(order, BINS) if len(part)]
    return float(sum(len(part) * abs(chances[part].mean() - right[part].mean()) for part in bins) / len(chances))


def _class_loss(logits: Floats, truth: Any) -> float:
    return float(-log_softmax(logits, axis=1)[np.arange(len(truth)), truth].mean())


def _label_loss(logits: Floats, truth: Any) -> float:
    return float(-(truth * log_expit(logits) + (1 - truth) * log_expit(-logits)).mean())


def _class_chances(logits: Floats, truth: Any) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Of the class that is answered, for each row."""
    chances = softmax(logits, axis=1)
    return chances.max(axis=1), chances.argmax(axis=1) == truth


def _label_chances(logits: Floats, truth: Any) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Of every label, for each row."""
    return expit(logits).ravel(), truth.ravel() > 0.5


_LOSSES: dict[str, Callable[[Floats, Any], float]] = {"classification": _class_loss, "multi_label": _label_loss}
_CHANCES: dict[str, Callable[[Floats, Any], tuple[Floats, npt.NDArray[np.bool_]]]] = {
    "classification": _class_chances,
    "multi_label": _label_chances,
}
