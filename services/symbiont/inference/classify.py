"""From the logits of a classification head to classes with probabilities."""

import numpy as np
from numpy.typing import NDArray

from symbiont.common.errors import IntegrityError
from symbiont.inference.types import BundleInfo, ClassProbability, Logits


def probabilities(logits: Logits, bundle: BundleInfo) -> NDArray[np.float64]:
    """Returns softmax(logits / temperature) in fp64 (Guo et al. 2017, arXiv 1706.04599), in the order of the labels.

    Raises:
        IntegrityError: the logits are not finite, or not one for each label.
    """
    if logits.shape != (len(bundle.labels),) or not np.isfinite(logits).all():
        raise IntegrityError(
            f"the bundle gave {logits.size} logits for {len(bundle.labels)} labels, or not finite ones"
        )
    scaled = logits.astype(np.float64) / bundle.temperature
    weights = np.exp(scaled - scaled.max())
    result: NDArray[np.float64] = weights / weights.sum()
    return result


def classify(logits: Logits, bundle: BundleInfo, top_k: int) -> tuple[ClassProbability, ...]:
    """Returns the best `top_k` classes (0: all), best first; equal ones stay in the order of the labels.

    See `probabilities`, also for the errors.
    """
    values = probabilities(logits, bundle)
    best = np.argsort(-values, kind="stable")[: top_k or None]
    return tuple(ClassProbability(bundle.labels[i], float(values[i])) for i in best)
