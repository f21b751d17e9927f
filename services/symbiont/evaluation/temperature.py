"""One number that makes probabilities honest: logits are divided by it (Guo et al., arXiv 1706.04599)."""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from symbiont.evaluation.arrays import Bools, Ints, log_softmax, sigmoid

LEAST, MOST = 0.05, 20.0
FOLDS = 5
# To a millionth.
_HALVINGS = 24


def fit_temperature(logits: npt.ArrayLike, truth: Ints) -> float:
    """Returns the temperature, 0.05 to 20, of the least cross entropy of softmax(logits / temperature).

    Args:
        logits: [rows, classes].
        truth: places of the true classes, [rows].
    """
    values = np.asarray(logits, np.float64)
    own = np.take_along_axis(values, truth[:, None], axis=1)[:, 0]

    def slope(sharpness: float) -> float:
        mean = (np.exp(log_softmax(values * sharpness)) * values).sum(axis=1)
        return float((mean - own).sum())

    return _fit(slope)


def fit_sigmoid_temperature(logits: npt.ArrayLike, truth: Bools) -> float:
    """Returns the temperature, 0.05 to 20, of the least cross entropy of sigmoid(logits / temperature), any shape."""
    values = np.asarray(logits, np.float64)

    def slope(sharpness: float) -> float:
        return float(((sigmoid(values * sharpness) - truth) * values).sum())

    return _fit(slope)


def folds(rows: int, groups: Ints, seed: int, count: int = FOLDS) -> Iterator[tuple[Ints, Ints]]:
    """Yields numbers of rows to fit on and of rows to judge; rows of one group are on one side.

    There are fewer folds than `count` where there is less to split; a single row, or group, is on both sides.
    """
    units = np.arange(rows) if not len(groups) else np.unique(groups, return_inverse=True)[1]
    kinds = int(units.max()) + 1 if rows else 0
    parts = min(count, kinds)
    if parts < 2:
        yield np.arange(rows), np.arange(rows)
        return
    # Evenly many units in each, whichever they are.
    of_unit = np.random.default_rng(seed).permutation(kinds) % parts
    for part in range(parts):
        judged = of_unit[units] == part
        yield np.flatnonzero(~judged), np.flatnonzero(judged)


def _fit(slope: Callable[[float], float]) -> float:
    """Returns 1 / the sharpness at which the slope of the loss, which grows with sharpness, passes 0."""
    low, high = np.log(1 / MOST), np.log(1 / LEAST)
    if slope(1 / MOST) == slope(1 / LEAST) == 0:
        # Logits that say nothing say it at any temperature.
        return 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if slope(float(np.exp(middle))) > 0 else (middle, high)
    return float(np.exp(-(low + high) / 2))
