"""What is drawn, in the terminal or in a picture: lines of points, their axes and their names."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from symbiont.cli.curves.axes import Axis, step_axis, value_axis
from symbiont.cli.curves.curve import Curve
from symbiont.cli.curves.smoothing import smoothed
from symbiont.common.errors import FailedPrecondition

# Places on the x axis, steps unless the plot says otherwise, and values; places rising.
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Line:
    """The curve of one job, as it is drawn.

    Attributes:
        name: the job's id.
        points: the line itself.
        raw: what was smoothed, drawn behind the line; empty without smoothing.
    """

    name: str
    points: Points
    raw: Points = ()

    @property
    def reported(self) -> Points:
        """The points before any smoothing."""
        return self.raw or self.points


@dataclass(frozen=True)
class Plot:
    """Lines over their axes; `left_out` points have no place on them, and `across` is what the x axis shows."""

    title: str
    label: str
    lines: Sequence[Line]
    x: Axis
    y: Axis
    left_out: int = 0
    across: str = "step"


def plot_of(curves: Sequence[Curve], *, smoothing: float = 0.0, log: bool = False, title: str = "") -> Plot:
    """Returns a plot of curves of one measure; those without points are left out.

    Args:
        curves: one or more of them.
        smoothing: weight of what came before, 0 (none) to below 1.
        log: a y axis in decades; points at 0 or below are left out.
        title: in place of one that names measure and jobs.

    Raises:
        FailedPrecondition: there is no point to draw.
        ValueError: the smoothing is out of range.
    """
    lines = [line for curve in curves if (line := _line(curve, smoothing, log)).points]
    if not lines:
        raise FailedPrecondition(_why_empty(curves))
    shown = [point for line in lines for point in (*line.points, *line.raw)]
    drawn = sum(len(line.reported) for line in lines)
    return Plot(
        title or _title(curves, lines, smoothing),
        curves[0].measure.words,
        lines,
        step_axis(max(step for step, _ in shown)),
        value_axis([value for _, value in shown], log),
        sum(len(curve.points) for curve in curves) - drawn,
    )


def _line(curve: Curve, smoothing: float, log: bool) -> Line:
    steps, values = [p.step for p in curve.points], [p.value for p in curve.points]
    raw = _drawable(steps, values, log)
    if not smoothing:
        return Line(curve.job, raw)
    return Line(curve.job, _drawable(steps, smoothed(values, smoothing), log), raw)


def _drawable(steps: Sequence[int], values: Sequence[float], log: bool) -> Points:
    pairs = zip(steps, values, strict=True)
    return [(step, value) for step, value in pairs if math.isfinite(value) and (value > 0 or not log)]


def _why_empty(curves: Sequence[Curve]) -> str:
    if reasons := [reason for curve in curves if (reason := curve.emptiness())]:
        return "; ".join(reasons)
    return f"no value of {curves[0].measure.words} can be drawn: none is finite, or on a log scale above 0"


def _title(curves: Sequence[Curve], lines: Sequence[Line], smoothing: float) -> str:
    jobs = lines[0].name if len(lines) == 1 else f"{len(lines)} jobs"
    how = f", smoothed by {smoothing:g}" if smoothing else ""
    return f"{curves[0].measure.words.capitalize()} of {jobs}{how}"
