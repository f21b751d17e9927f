"""Axes whose ticks stand at round values: 1, 2 or 5 times a power of ten."""

import itertools
import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass

# Room around the curves, as a share of what they span.
_MARGIN = 0.04
# A tick that misses an end of its axis by so small a share of a step stands on it.
_ROUNDING = 1e-9
# The powers of ten of steps whose labels are written out; others are written as 2e-05.
_PLAIN = range(-4, 7)


@dataclass(frozen=True)
class Tick:
    """A place on an axis, and what is written beside it."""

    value: float
    label: str


@dataclass(frozen=True)
class Axis:
    """The span of values that is shown, both ends included; on a log scale it is above 0."""

    low: float
    high: float
    log: bool = False

    def place(self, value: float) -> float:
        """Returns where a value stands: 0 at the low end, 1 at the high one."""
        low, high, value = (math.log10(v) if self.log else v for v in (self.low, self.high, value))
        return (value - low) / (high - low)

    def ticks(self, most: int) -> list[Tick]:
        """Returns ticks, at most `most` of them (which is 2 or more), and not many fewer."""
        found = _log_ticks(self.low, self.high, most) if self.log else []
        # Within less than a decade there may be no two round values of a log scale.
        return found if len(found) > 1 else _linear_ticks(self.low, self.high, most)


def step_axis(last: float) -> Axis:
    """Returns an axis from 0, no step, to the last one."""
    return Axis(0, max(last, 1))


def value_axis(values: Collection[float], log: bool) -> Axis:
    """Returns an axis on which finite values, on a log scale above 0, have some room around them."""
    low, high = min(values), max(values)
    if log:
        margin = (high / low) ** _MARGIN if high > low else 2
        return Axis(low / margin, high * margin, log=True)
    margin = _MARGIN * (high - low) if high > low else abs(low) / 4 or 1
    # What cannot be negative gets no room below 0.
    return Axis(max(low - margin, 0) if low >= 0 else low - margin, high + margin)


def _linear_ticks(low: float, high: float, most: int) -> list[Tick]:
    """Returns ticks that are as near to each other as `most` of them may be."""
    for digit, power in _round_steps((high - low) / most):
        step = float(f"{digit}e{power}")
        counts = range(math.ceil(low / step - _ROUNDING), math.floor(high / step + _ROUNDING) + 1)
        if len(counts) <= most:
            break
    # Read from its digits a value is the nearest to what its label says: 3 * 0.1 is not 0.3.
    values = [float(f"{count * digit}e{power}") for count in counts]
    return [Tick(value, _label(value, power)) for value in values]


def _round_steps(least: float) -> Iterator[tuple[int, int]]:
    """Yields round steps as digit and power of ten, the first of them not above `least`."""
    for power in itertools.count(math.floor(math.log10(least))):
        yield from ((digit, power) for digit in (1, 2, 5))


def _label(value: float, power: int) -> str:
    """Returns a value to the power of ten that ticks are apart by."""
    if power in _PLAIN or value == 0:
        return f"{value:,.{max(-power, 0) if value else 0}f}"
    return f"{value:.{max(math.floor(math.log10(abs(value))) - power, 0)}e}"


def _log_ticks(low: float, high: float, most: int) -> list[Tick]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 2, 5), (1, 3), (1,)):
        values = [float(f"{digit}e{power}") for power in powers for digit in digits]
        values = [value for value in values if low <= value <= high]
        if len(values) <= most:
            break
    else:
        values = values[:: -(-len(values) // most)]
    return [Tick(value, f"{value:,g}") for value in values]
