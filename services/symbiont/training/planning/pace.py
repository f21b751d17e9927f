"""How long a part takes by its size, learnt from parts that were timed, and how sure that is."""

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LinearRegression  # type: ignore[import-untyped]

from symbiont.training.planning.workload import Floats, Workload

# Speeds are averaged over so many seconds before they are compared: single steps differ by what they compute, too.
BLOCK_SECONDS = 2.0
# Of a machine's speed from one minute to the next, even where the probe saw none: standard deviation, relative.
LEAST_DRIFT = 0.08
# With fewer timed parts than this, all that is learnt is the time of a token.
ENOUGH = 6


@dataclass(frozen=True)
class Pace:
    """Seconds of a part = constant + per token x padded tokens + per pair x (padded tokens x longest row).

    The third term is attention, whose work grows with the square of the length.

    `noise` is the standard deviation of time / fitted time of single parts: the mean of the probe's n parts is wrong by
    `noise / sqrt(n)`. `drift` is that of the machine's speed in blocks of two seconds of the probe. It is taken as it
    is however long the job: speed goes up and down slowly, so neither the probe nor the job averages it away.
    """

    constant: float
    per_token: float
    per_pair: float
    noise: float
    drift: float
    count: int

    def seconds(self, work: Workload) -> Floats:
        """Returns the time of each part, in seconds."""
        seconds: Floats = self.constant + self.per_token * work.padded + self.per_pair * work.attended
        return seconds

    def deviation(self) -> float:
        """Returns by how much a sum may be wrong, relative: what was measured too briefly, and what changes since."""
        return float(np.hypot(self.noise / np.sqrt(max(self.count, 1)), self.drift))


def fit(work: Workload, seconds: Floats) -> Pace:
    """Learns the pace from timed parts by least squares over coefficients that are not negative.

    The sum over the timed parts is made exact: what is asked for later is a sum too.

    Args:
        work: the parts, one at least.
        seconds: [parts], what each took.
    """
    terms = np.stack([np.ones(len(work)), work.padded, work.attended], axis=1)
    if len(work) >= ENOUGH:
        # Columns of one size: tokens squared are millions, and the constant is one.
        scale = terms.max(axis=0)
        found = LinearRegression(fit_intercept=False, positive=True).fit(terms / scale, seconds)
        coefficients = found.coef_ / scale
    else:
        coefficients = np.array([0.0, seconds.sum() / work.padded.sum(), 0.0])
    coefficients *= seconds.sum() / (terms @ coefficients).sum()
    fitted = terms @ coefficients
    noise = float(np.std(seconds / fitted)) if len(work) > 1 else 0.25
    constant, per_token, per_pair = (float(value) for value in coefficients)
    return Pace(constant, per_token, per_pair, noise, _drift(seconds, fitted), len(work))


def _drift(seconds: Floats, fitted: Floats) -> float:
    """Returns the standard deviation of the speed, relative, in blocks of time."""
    blocks = (np.cumsum(seconds) // BLOCK_SECONDS).astype(np.int64)
    taken, expected = (np.bincount(blocks, weights) for weights in (seconds, fitted))
    speeds = taken[expected > 0] / expected[expected > 0]
    return max(float(speeds.std(ddof=1)) if len(speeds) > 1 else 0.0, LEAST_DRIFT)
