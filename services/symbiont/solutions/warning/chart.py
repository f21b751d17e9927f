"""A control chart of counts: the moving average of a topic's counts against what is usual of it.

An exponentially weighted moving average of Poisson counts (Borror, Champ and Rigdon, Journal of Quality Technology
30, 1998): of counts with mean m it has the variance m * w / (2 - w), w being the weight of the newest. What is usual is
such an average with a long memory, into which a count goes only up to what is still usual: an alarm does not become
usual at once. `rules` says the same in PromQL; a test holds the two together.
"""

import math
from dataclasses import dataclass

from symbiont.solutions.recipe_serving import Chart


@dataclass(frozen=True)
class Judged:
    """A window of a topic: what its average was, from where it would alarm, and whether it does."""

    average: float
    limit: float
    alarm: bool


class ControlChart:
    """The chart of one topic; told of its windows one by one."""

    def __init__(self, chart: Chart) -> None:
        self._chart = chart
        self._windows = 0
        self._usual = self._average = 0.0
        self._since_alarm = math.inf

    def add(self, count: float) -> Judged:
        """Takes the count of the next window, 0 or more, and judges it by the windows before."""
        chart = self._chart
        self._windows += 1
        if self._windows == 1:
            self._usual = self._average = count
        else:
            self._average = chart.weight * count + (1 - chart.weight) * self._average
        limit = self._usual + chart.sigmas * math.sqrt(max(self._usual, 1.0) * chart.weight / (2 - chart.weight))
        self._since_alarm += 1
        alarm = (
            self._windows > chart.warm_up
            and self._average > limit
            and count >= chart.least
            and self._since_alarm > chart.cool_down
        )
        if alarm:
            self._since_alarm = 0
        most = self._usual + chart.sigmas * math.sqrt(max(self._usual, 1.0))
        self._usual = chart.memory * min(count, most) + (1 - chart.memory) * self._usual
        return Judged(self._average, limit, alarm)
