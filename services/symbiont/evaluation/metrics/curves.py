"""Precision at every recall."""

import numpy as np

from symbiont.evaluation.arrays import Bools, Floats
from symbiont.evaluation.figures import Point

# As many as a picture can show.
MOST_POINTS = 120
LEAST_ROWS = 10


def precision_recall(values: Floats, positive: Bools) -> tuple[Point, ...]:
    """Returns (recall, precision) from the highest threshold to the lowest, thinned; none without positive rows."""
    if not positive.any():
        return ()
    order = np.argsort(-values, kind="stable")
    last = np.append(values[order][1:] != values[order][:-1], True)
    hits = np.cumsum(positive[order])[last]
    said = np.flatnonzero(last) + 1
    recall, precision = hits / hits[-1], hits / said
    # Behind the last positive row precision only falls.
    end = int(np.argmax(recall >= 1))
    # The precision among very few rows jumps.
    start = min(int(np.searchsorted(said, LEAST_ROWS)), end)
    kept = np.unique(np.linspace(start, end, MOST_POINTS).round().astype(int))
    return tuple((round(float(recall[i]), 4), round(float(precision[i]), 4)) for i in kept)
