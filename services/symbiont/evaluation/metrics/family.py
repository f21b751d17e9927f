"""What a metric is: a function of how often each row counts, so that resampled rows need no copies."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from symbiont.common.errors import InvalidArgument
from symbiont.evaluation.arrays import Floats

# Of [b, rows], how often each row counts in each of b resamplings, the values [b] of each metric; nan: not defined.
Values = Callable[[Floats], Sequence[Floats]]


@dataclass(frozen=True)
class Family:
    """Metrics that are computed together, because they come from the same sums."""

    names: tuple[str, ...]
    values: Values


# Those of which less is better.
_LESS_IS_BETTER = {"log_loss", "mae", "mean_cost", "rmse"}
# Those that have no end at 0 or at 1.
_UNBOUNDED = {"log_loss", "mae", "mean_cost", "rmse", "r2", "pearson", "spearman", "mcc", "quadratic_kappa"}


def direction(metric: str) -> int:
    """Returns 1 where more is better, -1 where less is."""
    return -1 if metric in _LESS_IS_BETTER else 1


def is_share(metric: str) -> bool:
    """Whether the metric is between 0 and 1."""
    return metric not in _UNBOUNDED


def means(names: Sequence[str], columns: Floats) -> Family:
    """Returns metrics that are means over the rows of `columns` [rows, metrics]."""

    def values(weights: Floats) -> Sequence[Floats]:
        found = weights @ columns / np.maximum(weights.sum(axis=1, keepdims=True), 1e-300)
        return list(found.T)

    return Family(tuple(names), values)


def choose(families: Sequence[Family], names: Sequence[str] = ()) -> list[Family]:
    """Returns the families that have the metrics of these names; all without names.

    Raises:
        InvalidArgument: there is no such metric for the task.
    """
    known = {name for family in families for name in family.names}
    for name in names:
        if name not in known:
            raise InvalidArgument("metric", f"{name!r} is none of this task's: {', '.join(sorted(known))}")
    return [family for family in families if not names or set(family.names) & set(names)]


def compute(families: Sequence[Family], weights: Floats) -> dict[str, Floats]:
    """Returns the values [b] of every metric for weights [b, rows]."""
    return {
        name: values for family in families for name, values in zip(family.names, family.values(weights), strict=True)
    }
