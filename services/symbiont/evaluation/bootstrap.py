"""Intervals by resampling rows with replacement (Efron, Annals of Statistics 7, 1979), all resamplings at once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from symbiont.common.errors import InvalidArgument
from symbiont.evaluation.arrays import Floats, Ints
from symbiont.evaluation.figures import Estimate
from symbiont.evaluation.metrics import judging
from symbiont.evaluation.metrics.family import Family, choose, compute, is_share
from symbiont.evaluation.outcomes import Outcome

# 32 MB of weights at a time.
_CELLS = 4_000_000


@dataclass(frozen=True)
class Sampling:
    """How intervals are made: so many resamplings by a seed; `confidence` is the share of them within an interval."""

    replicates: int = 1000
    seed: int = 0
    confidence: float = 0.95

    def __post_init__(self) -> None:
        if self.replicates < 1 or not 0 < self.confidence < 1:
            raise InvalidArgument("sampling", "needs one replicate or more, and a confidence between 0 and 1")


DEFAULT = Sampling()


def resampled(rows: int, groups: Ints, sampling: Sampling = DEFAULT) -> Iterator[Floats]:
    """Yields how often each row counts in each resampling, [some, rows]; rows of one group come and go together."""
    random = np.random.default_rng(sampling.seed)
    # How many draws there are, and of which draw each row is.
    units = rows
    if len(groups):
        names, groups = np.unique(groups, return_inverse=True)
        units = len(names)
    chunk = max(_CELLS // max(rows, 1), 1)
    for start in range(0, sampling.replicates, chunk):
        count = min(chunk, sampling.replicates - start)
        drawn = random.integers(0, units, (count, units)) + np.arange(count)[:, None] * units
        weights = np.bincount(drawn.ravel(), minlength=count * units).reshape(count, units).astype(np.float64)
        yield weights[:, groups] if len(groups) else weights


def estimates(outcome: Outcome, metrics: Sequence[str] = (), sampling: Sampling = DEFAULT) -> dict[str, Estimate]:
    """Returns metrics with their intervals, the primary one first; those that are not defined are left out.

    Args:
        outcome: with groups, whole groups are resampled.
        metrics: names; none for all of the task.
        sampling: the same one gives the same intervals.

    Raises:
        InvalidArgument: a metric is none of the task's.
    """
    judge = judging(outcome)
    families = choose(judge.families(outcome), metrics) if len(outcome) else []
    wanted = list(dict.fromkeys(metrics or (judge.primary, *(name for family in families for name in family.names))))
    values = point_values(families, len(outcome))
    spread = resampled_values([families], outcome, sampling)[0]
    return {
        name: _estimate(name, values[name], spread[name], units_of(outcome), sampling.confidence)
        for name in wanted
        if name in values and not np.isnan(values[name])
    }


def point_values(families: Sequence[Family], rows: int) -> dict[str, float]:
    """Returns the metrics on all rows, nan where one is not defined."""
    return {name: float(value[0]) for name, value in compute(families, np.ones((1, rows))).items()}


def resampled_values(
    versions: Sequence[Sequence[Family]], outcome: Outcome, sampling: Sampling
) -> list[Mapping[str, Floats]]:
    """Returns for each version the values [replicates] of its metrics on the same resamplings."""
    parts: list[list[dict[str, Floats]]] = [[] for _ in versions]
    for weights in resampled(len(outcome), outcome.rows.groups, sampling) if len(outcome) else ():
        for part, families in zip(parts, versions, strict=True):
            part.append(compute(families, weights))
    return [{name: np.concatenate([one[name] for one in part]) for name in part[0]} if part else {} for part in parts]


def interval(values: Floats, confidence: float) -> tuple[float, float]:
    """Returns the ends between which the middle share of values lies; of what is nan nothing is known."""
    known = values[~np.isnan(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, ((1 - confidence) / 2, (1 + confidence) / 2))
    return float(low), float(high)


def unseen(units: int, confidence: float) -> float:
    """Returns the share that something may have which so many draws did not show once: that it is 0 they do not say."""
    return float(1 - ((1 - confidence) / 2) ** (1 / max(units, 1)))


def units_of(outcome: Outcome) -> int:
    """Returns how many draws a resampling is of: groups where there are any, else rows."""
    return len(np.unique(outcome.rows.groups)) if len(outcome.rows.groups) else len(outcome)


def _estimate(name: str, value: float, values: Floats, units: int, confidence: float) -> Estimate:
    low, high = interval(values, confidence)
    if np.isnan(low):
        low = high = value
    if is_share(name) and low == high and value in (0.0, 1.0):
        far = unseen(units, confidence)
        low, high = (1 - far, 1.0) if value == 1 else (0.0, far)
    return Estimate(value=value, low=min(low, value), high=max(high, value))
