"""What a probe may take, and on what terms it is measured."""

import math
from dataclasses import dataclass

from symbiont.training.planning.pace import Pace, fit
from symbiont.training.planning.trial import Timed
from symbiont.training.planning.types import ONE_IN_TEN


@dataclass(frozen=True)
class Limits:
    """Rows of each side to tokenize, seconds to train and to judge.

    `threads` are those of one rank. `company` is the number of running jobs that leave the probe no place of its own:
    it takes what they leave, so the clock on the wall tells nothing, and what counts is the time of processors. On a
    free machine a step takes between all of it, if only one thread is ever busy, and a share for each thread; the value
    is their geometric mean, and the interval covers both.
    """

    rows: int = 2048
    train_seconds: float = 20.0
    judge_seconds: float = 6.0
    threads: int = 1
    company: int = 0

    def pace(self, timed: Timed) -> Pace:
        """Learns the pace of a job that has a place."""
        if not self.company:
            return fit(timed.workload(), timed.times())
        return fit(timed.workload(), timed.times(busy=True) / math.sqrt(self.threads))

    def deviation(self, pace: Pace) -> float:
        """Returns by how much a sum at this pace may be wrong, relative."""
        guess = math.log(math.sqrt(self.threads)) / ONE_IN_TEN if self.company else 0.0
        return math.hypot(pace.deviation(), guess)
