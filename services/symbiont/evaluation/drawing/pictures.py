"""Pictures in a square: reliability, precision at recall, said and true numbers."""

import math
from collections.abc import Sequence

from symbiont.evaluation.drawing.frame import Frame, Span
from symbiont.evaluation.figures import CalibrationFigures, Curve, Point, Reliability
from symbiont.evaluation.words import Phrases


def reliability(found: CalibrationFigures, phrases: Phrases) -> str:
    """Returns how often decisions come true against the probabilities that were said, before and after."""
    series = [_points(found.before), _points(found.after)]
    # Of classes the least probability of the likeliest one is far from 0.
    low = math.floor(10 * min(value for points in series for point in points for value in point)) / 10
    low = min(low, 0.8)
    said = phrases.say("y_holds" if found.temperatures else "y_right")
    alt = phrases.say(
        "reliability_alt", before=f"{100 * found.before.ece_mass:.1f}", after=f"{100 * found.after.ece_mass:.1f}"
    )
    x = Span(low, 1, phrases.say("x_probability"), _percent)
    frame = Frame(x, Span(low, 1, said, _percent), phrases.say("probabilities"), alt)
    frame.ideal()
    # The honest one over the other.
    frame.curve(series[0], 1, dots=True)
    frame.curve(series[1], 0, dots=True)
    frame.legend([phrases.say("after_label"), phrases.say("before_label")])
    return str(frame.drawing)


def precision_recall(curves: Sequence[Curve], phrases: Phrases) -> str:
    """Returns precision against recall of some labels."""
    alt = phrases.say("curves_alt", labels=", ".join(curve.label for curve in curves))
    across, up = (Span(0, 1, phrases.say(name), _percent) for name in ("recall", "precision"))
    frame = Frame(across, up, phrases.say("curves"), alt)
    for place, curve in enumerate(curves):
        frame.curve(curve.points, place)
    frame.legend([curve.label for curve in curves])
    return str(frame.drawing)


def scatter(points: Sequence[Point], phrases: Phrases) -> str:
    """Returns numbers that were said against the true ones."""
    values = [value for point in points for value in point]
    low, high = min(values), max(values)
    room = 0.04 * (high - low) or abs(high) / 4 or 1.0
    names = (phrases.say("x_true"), phrases.say("y_said"))
    across, up = (Span(low - room, high + room, name, lambda value: f"{value:g}") for name in names)
    frame = Frame(across, up, phrases.say("scatter"), phrases.say("scatter_alt", count=len(points)))
    frame.ideal()
    for true, said in points:
        frame.drawing.add("circle", cx=frame.x(true), cy=frame.y(said), r=3.0, fill="var(--a)", fill_opacity=0.45)
    return str(frame.drawing)


def _points(found: Reliability) -> list[Point]:
    return [(part.confidence, part.accuracy) for part in found.bins]


def _percent(value: float) -> str:
    return f"{100 * value:.0f}%"
