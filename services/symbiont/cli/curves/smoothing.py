"""The exponential moving average that TensorBoard smooths its curves with."""

import math
from collections.abc import Iterable


def smoothed(values: Iterable[float], weight: float) -> list[float]:
    """Returns as many values, each drawn towards those before it; 0 changes nothing.

    The mean starts at 0 and is divided by what it would be of ones, `1 - weight ** n`, so that its beginning is not too
    low (Kingma and Ba 2015, arXiv 1412.6980, section 3). Values that are not finite stay as they are and count for
    nothing.

    Raises:
        ValueError: the weight is not at least 0 and below 1.
    """
    if not 0 <= weight < 1:
        raise ValueError(f"a smoothing of {weight:g} is not at least 0 and below 1")
    mean, share, result = 0.0, 1.0, []
    for value in values:
        if math.isfinite(value):
            mean = weight * mean + (1 - weight) * value
            share *= weight
            value = mean / (1 - share)
        result.append(value)
    return result
