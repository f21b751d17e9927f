"""From logits to probabilities, and to classes."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from symbiont.bundle import ClassificationHead
from symbiont.common.errors import IntegrityError
from symbiont.inference.results import Classification, ClassProbability
from symbiont.inference.types import BundleInfo, Logits

# Up to here plain numbers are faster than arrays.
_FEW = 32


def softmax(logits: Logits, temperature: float) -> NDArray[np.float64]:
    """Returns softmax(logits / temperature) over the last axis, in fp64 (Guo et al. 2017, arXiv 1706.04599)."""
    scaled = logits.astype(np.float64) / temperature
    weights = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    result: NDArray[np.float64] = weights / weights.sum(axis=-1, keepdims=True)
    return result


def sigmoid(logits: Logits, temperature: float) -> list[float]:
    """Returns the logistic function of each of logits / temperature, [n], in fp64."""
    # By tanh, which overflows on neither side.
    return [0.5 * (1 + math.tanh(value / (2 * temperature))) for value in logits.tolist()]


def probabilities(logits: Logits, bundle: BundleInfo) -> NDArray[np.float64]:
    """Returns the probabilities of a bundle's labels, in their order.

    Raises:
        IntegrityError: the logits are not finite, or not one for each label.
    """
    if logits.shape != (len(bundle.labels),) or not np.isfinite(logits).all():
        raise IntegrityError(
            f"the bundle gave {logits.size} logits for {len(bundle.labels)} labels, or not finite ones"
        )
    return softmax(logits, bundle.temperature)


def classify(logits: Logits, bundle: BundleInfo, top_k: int) -> Classification:
    """Returns the best `top_k` classes (0: all), best first, and the one that is answered; equal ones stay in the order
    of the labels.

    See `probabilities`, also for the errors.
    """
    values = _few(logits, bundle) if len(logits) <= _FEW else probabilities(logits, bundle).tolist()
    order = sorted(range(len(values)), key=lambda index: -values[index])
    chosen = decide(np.array(values), bundle) if _costs(bundle) else order[0]
    best = [ClassProbability(bundle.labels[index], values[index]) for index in order[: top_k or None]]
    return Classification(tuple(best), ClassProbability(bundle.labels[chosen], values[chosen]))


def decide(probable: NDArray[np.float64], bundle: BundleInfo) -> int:
    """Returns the place of the label that is answered for the probabilities of a row, [labels]."""
    head = bundle.head
    assert isinstance(head, ClassificationHead)  # noqa: S101 - of this task only
    return int(head.decide(probable))


def _costs(bundle: BundleInfo) -> bool:
    return isinstance(bundle.head, ClassificationHead) and bool(bundle.head.costs)


def _few(logits: Logits, bundle: BundleInfo) -> Sequence[float]:
    scaled = [value / bundle.temperature for value in logits.tolist()]
    if len(scaled) != len(bundle.labels) or not all(map(math.isfinite, scaled)):
        return probabilities(logits, bundle).tolist()  # type: ignore[no-any-return]  # it raises
    highest = max(scaled)
    weights = [math.exp(value - highest) for value in scaled]
    total = sum(weights)
    return [weight / total for weight in weights]
