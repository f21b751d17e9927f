"""What a plan says, as plain values; the names are those of the proto."""

import math
from dataclasses import dataclass

from symbiont.training.spec import HeadOnlyMethod, LoraMethod, TrainingSpec
from symbiont.training.types import Warning

# Of a normal distribution: one in ten is this many standard deviations above the middle, one in ten as many below.
ONE_IN_TEN = 1.2816


@dataclass(frozen=True)
class Estimate:
    """A number that is not known for sure: one in ten is below `low`, one in ten above `high`."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> "Estimate":
        """Returns the same in another unit."""
        return Estimate(self.value * factor, self.low * factor, self.high * factor)


def estimate(value: float, deviation: float) -> Estimate:
    """Returns a value with its interval; twice as much is as likely as half of it, so that no end is below 0.

    Args:
        deviation: standard deviation of the value's logarithm; of small ones about the relative error.
    """
    reach = math.exp(ONE_IN_TEN * deviation)
    return Estimate(value, value / reach, value * reach)


@dataclass(frozen=True)
class TextReport:
    """What the texts of a dataset are like; lengths in tokens, shares 0 to 1, `languages` by share."""

    row_count: int
    mean_tokens: float
    median_tokens: int
    p95_tokens: int
    max_tokens: int
    cut_fraction: float
    duplicate_fraction: float
    contradictory_count: int
    unknown_fraction: float
    languages: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class LabelShare:
    """How many rows have a label."""

    label: str
    count: int
    fraction: float


@dataclass(frozen=True)
class MethodAdvice:
    """What to train beside the head, and why: a sentence each."""

    method: HeadOnlyMethod | LoraMethod
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class TrainingPlan:
    """What a job would take and what its rows are like; `cost` is None where the service has no price."""

    spec: TrainingSpec
    training_time_seconds: Estimate
    memory_bytes: Estimate
    cost: Estimate | None
    texts: TextReport
    labels: tuple[LabelShare, ...]
    advice: MethodAdvice
    total_steps: int
    # In seconds; (part, seconds) in the order in which the time passes.
    seconds_by_part: tuple[tuple[str, float], ...]
    warnings: tuple[Warning, ...]
