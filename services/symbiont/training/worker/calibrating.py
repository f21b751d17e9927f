"""Probabilities that say how often they are right: logits divided by a temperature (Guo et al. 2017, arXiv 1706.04599),
and from which probability on labels hold.

Both are fitted on the held-out rows. What they bring is measured by cross-fitting: each fifth of them is judged with
what was fitted on the others.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from symbiont.evaluation.arrays import log_softmax
from symbiont.evaluation.calibration import reliability_of_classes, reliability_of_labels
from symbiont.evaluation.figures import Reliability
from symbiont.evaluation.temperature import fit_sigmoid_temperature, fit_temperature, folds
from symbiont.training.heads import Head, Rule

# With fewer, what is fitted says more of these rows than of the model.
LEAST_ROWS = 100
FOLDS_SEED = 0


@dataclass(frozen=True, eq=False)
class Calibrated:
    """What was fitted, and what it brings.

    Attributes:
        rule: fitted on all rows.
        error_before, error_after: expected calibration error without a temperature and with it, 0 to 1.
        decided: what is answered, as `Head.decide` gives it, each row by a rule that it had no part in.
    """

    rule: Rule
    error_before: float
    error_after: float
    decided: "np.ndarray[Any, Any]"


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
    head: Head,
    settings: Any,
    outputs: Sequence["np.ndarray[Any, Any]"],
    targets: Any,
    groups: Sequence[str] = (),
) -> Calibrated | None:
    """Returns the rule of a classifier; None for other tasks, and with too few rows to tell.

    Args:
        head: with its settings.
        settings: as it made them of the rows.
        outputs: logits of each row, [labels].
        targets: index of the label of each row; for labels that each hold, [rows, labels] of 0 and 1.
        groups: of each row, whose rows stay together when it is measured; none where no row has one.
    """
    task = head.entry(settings, 1, "mean").kind
    if task not in _WAYS or len(outputs) < LEAST_ROWS:
        return None
    way, logits, truth = _WAYS[task], np.stack(outputs).astype(np.float64), np.asarray(targets)
    truth = truth > 0.5 if task == "multi_label" else truth

    def fit(rows: Any) -> Rule:
        temperature = way.fit(logits[rows], truth[rows])
        return Rule(temperature, head.thresholds(settings, logits[rows] / temperature, truth[rows]))

    own, decided = np.ones((len(logits), 1)), np.zeros_like(truth)
    for fitted, judged in folds(len(logits), _numbers(groups), FOLDS_SEED):
        rule = fit(fitted)
        own[judged], decided[judged] = rule.temperature, head.decide(settings, logits[judged], rule)
    before, after = way.judge(logits, truth), way.judge(logits / own, truth)
    return Calibrated(fit(slice(None)), before.ece_mass, after.ece_mass, decided)


def in_words(found: Calibrated) -> str:
    """Says what was found, for people."""
    before, after = found.error_before, found.error_after
    said = f"temperature {found.rule.temperature:.3f}: calibration error {before:.2%} before, {after:.2%} after"
    least = [f"{threshold:.3f}" for threshold in found.rule.thresholds]
    return f"{said}; labels hold from {', '.join(least)} on" if least else said


def _numbers(groups: Sequence[str]) -> "np.ndarray[Any, Any]":
    """Returns a number for each group; a row without one is a group of its own."""
    named = [group or f"\0{row}" for row, group in enumerate(groups)] if any(groups) else []
    return np.unique(named, return_inverse=True)[1].astype(np.int64) if named else np.zeros(0, np.int64)
