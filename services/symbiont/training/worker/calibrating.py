"""Probabilities that say how often they are right: logits divided by a temperature (Guo et al. 2017, arXiv 1706.04599).

The temperature is fitted on the held-out rows. What it brings is measured by cross-fitting: each fifth of them is
judged with the temperature of the others.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from symbiont.evaluation.arrays import log_softmax
from symbiont.evaluation.calibration import reliability_of_classes, reliability_of_labels
from symbiont.evaluation.figures import Reliability
from symbiont.evaluation.temperature import fit_sigmoid_temperature, fit_temperature, folds

# With fewer, a temperature says more of these rows than of the model.
LEAST_ROWS = 100
FOLDS_SEED = 0


@dataclass(frozen=True)
class Calibrated:
    """A temperature, and the expected calibration error without it and with it, 0 to 1."""

    temperature: float
    error_before: float
    error_after: float


@dataclass(frozen=True)
class _Way:
    """How one number is fitted to logits and truth, and how logits are judged against the truth."""

    fit: Callable[[Any, Any], float]
    judge: Callable[[Any, Any], Reliability]


_WAYS = {
    "classification": _Way(fit_temperature, lambda logits, truth: reliability_of_classes(log_softmax(logits), truth)),
    "multi_label": _Way(fit_sigmoid_temperature, reliability_of_labels),
}


def calibrate(
    task: str, outputs: Sequence["np.ndarray[Any, Any]"], targets: Any, groups: Sequence[str] = ()
) -> Calibrated | None:
    """Returns the temperature of a classifier; None for other tasks, and with too few rows to tell.

    Args:
        task: the kind of the head.
        outputs: logits of each row, [labels].
        targets: index of the label of each row; for labels that each hold, [rows, labels] of 0 and 1.
        groups: of each row, whose rows stay together when it is measured; none where no row has one.
    """
    if task not in _WAYS or len(outputs) < LEAST_ROWS:
        return None
    way, logits, truth = _WAYS[task], np.stack(outputs).astype(np.float64), np.asarray(targets)
    truth = truth > 0.5 if task == "multi_label" else truth
    own = np.ones((len(logits), 1))
    for fitted, judged in folds(len(logits), _numbers(groups), FOLDS_SEED):
        own[judged] = way.fit(logits[fitted], truth[fitted])
    before, after = way.judge(logits, truth), way.judge(logits / own, truth)
    return Calibrated(way.fit(logits, truth), before.ece_mass, after.ece_mass)


def _numbers(groups: Sequence[str]) -> "np.ndarray[Any, Any]":
    """Returns a number for each group; a row without one is a group of its own."""
    named = [group or f"\0{row}" for row, group in enumerate(groups)] if any(groups) else []
    return np.unique(named, return_inverse=True)[1].astype(np.int64) if named else np.zeros(0, np.int64)
