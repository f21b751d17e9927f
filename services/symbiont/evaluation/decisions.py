"""What to do when errors cost differently: the decision of the least expected cost, and what it saves."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from symbiont.common.errors import InvalidArgument
from symbiont.evaluation.arrays import Floats, Ints
from symbiont.evaluation.figures import DecisionFigures
from symbiont.evaluation.metrics.classification import probabilities
from symbiont.evaluation.outcomes import Classified


@dataclass(frozen=True)
class Costs:
    """What a row costs: `matrix[true][decided]`, in any unit; a gain is below 0. `decisions` name the columns."""

    matrix: tuple[tuple[float, ...], ...]
    decisions: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.matrix or any(len(line) != len(self.decisions) for line in self.matrix):
            raise InvalidArgument("costs", f"needs {len(self.decisions)} numbers for each class, one per decision")
        if not np.isfinite(self.array).all():
            raise InvalidArgument("costs", "has values that are not finite")

    @property
    def array(self) -> Floats:
        """The matrix, [classes, decisions]."""
        return np.asarray(self.matrix, np.float64)


def decide(given: npt.ArrayLike, costs: Costs) -> Ints:
    """Returns the decision of the least expected cost for probabilities [rows, classes], as places in `decisions`.

    Of equal ones it is the first.
    """
    found: Ints = (np.asarray(given, np.float64) @ costs.array).argmin(axis=1).astype(np.int64)
    return found


def judge_decisions(outcome: Classified, costs: Costs) -> DecisionFigures:
    """Returns what deciding by costs costs on held-out rows, beside what would be done without.

    Raises:
        InvalidArgument: there is not one line of costs per class, or no row.
    """
    matrix = costs.array
    if len(matrix) != len(outcome.labels):
        raise InvalidArgument("costs", f"has {len(matrix)} lines for {len(outcome.labels)} classes")
    if not len(outcome):
        raise InvalidArgument("outcome", "has no rows")
    given = probabilities(outcome)
    chosen = decide(given, costs)
    each = np.arange(len(outcome))
    always = matrix[outcome.truth].mean(axis=0)
    best = int(always.argmin())
    likeliest = None
    if costs.decisions == outcome.labels:
        likeliest = float(matrix[outcome.truth, given.argmax(axis=1)].mean())
    counts = np.bincount(chosen, minlength=len(costs.decisions)).tolist()
    return DecisionFigures(
        cost=float(matrix[outcome.truth, chosen].mean()),
        expected=float((given @ matrix)[each, chosen].mean()),
        likeliest=likeliest,
        always=costs.decisions[best],
        always_cost=float(always[best]),
        counts=tuple(zip(costs.decisions, counts, strict=True)),
    )


def thresholds(costs: Costs) -> tuple[float, ...]:
    """Returns for each class the probability from which on deciding it is cheapest, however the rest is spread.

    Decisions are the classes, in their order. Of two classes these are the exact thresholds; of more, another decision
    may be cheaper below them, or not. 1 is a class that only certainty makes cheapest, 0 one that always is.

    Raises:
        InvalidArgument: there are not as many decisions as classes.
    """
    matrix = costs.array
    if matrix.shape[0] != matrix.shape[1]:
        raise InvalidArgument("costs", "needs one decision per class")
    return tuple(_threshold(matrix, place) for place in range(len(matrix)))


def _threshold(matrix: Floats, own: int) -> float:
    """Returns the largest, over the other decisions, of the probability at which both cost the same at worst."""
    least = 0.0
    for other in (place for place in range(len(matrix)) if place != own):
        gain = matrix[own, other] - matrix[own, own]
        risk = max(float(matrix[true, own] - matrix[true, other]) for true in range(len(matrix)) if true != own)
        if risk > 0:
            least = max(least, float(risk / (risk + gain)) if gain > 0 else 1.0)
        elif gain < 0:
            # Better for every other class, worse for its own.
            least = 1.0
    return least


def label_thresholds(labels: Sequence[str], missed: Sequence[float], false: Sequence[float]) -> tuple[float, ...]:
    """Returns from which probability on each label should hold, where missing it and saying it wrongly cost so much.

    Raises:
        InvalidArgument: there is not one cost above 0 per label.
    """
    if not len(labels) == len(missed) == len(false) or min((*missed, *false), default=1.0) <= 0:
        raise InvalidArgument("costs", "needs one cost above 0 per label, of a miss and of a false one")
    return tuple(wrong / (wrong + miss) for miss, wrong in zip(missed, false, strict=True))
