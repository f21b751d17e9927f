"""A replay as a picture: what was counted of each topic, what was usual, and where it alarmed."""

from collections.abc import Sequence

from symbiont.evaluation.drawing.svg import Drawing, ticks
from symbiont.solutions.recipe_serving import Chart
from symbiont.solutions.warning.chart import ControlChart, Judged
from symbiont.solutions.warning.replay import Counts, Surge

_LEFT, _WIDTH, _HEIGHT, _GAP, _TOP = 46.0, 760.0, 84.0, 34.0, 40.0
_LEGEND = (("counted", "var(--a)"), ("average", "var(--i)"), ("limit", "var(--b)"), ("surge put in", "var(--g)"))


def draw(counts: Counts, surges: Sequence[Surge], chart: Chart, title: str) -> str:
    """Returns an SVG with a strip for each topic.

    Bars are rows of the chart's label in a window, a line their moving average, a dashed one the limit. Where the
    ground is green a surge was put in; a red triangle is an alarm.
    """
    alt = f"{title}: counts of {chart.label} by window, of {', '.join(counts)}, with the chart's limit and its alarms"
    drawing = Drawing(_LEFT + _WIDTH + 20, _TOP + len(counts) * (_HEIGHT + _GAP) + 12, title, alt)
    _legend(drawing)
    for place, (topic, line) in enumerate(counts.items()):
        foot = _TOP + place * (_HEIGHT + _GAP) + _HEIGHT
        _strip(drawing, foot, topic, line, [one for one in surges if one.topic == topic], chart)
    return str(drawing)


def _legend(drawing: Drawing) -> None:
    x = _LEFT
    for name, colour in _LEGEND:
        drawing.add("rect", x=x, y=8.0, width=10.0, height=10.0, fill=colour, fill_opacity=0.6)
        drawing.text(x + 15, 17, name)
        x += 30 + 7.0 * len(name)
    _alarm(drawing, x + 5, 18)
    drawing.text(x + 15, 17, "alarm")


def _strip(
    drawing: Drawing, foot: float, topic: str, line: Sequence[float], surges: Sequence[Surge], chart: Chart
) -> None:
    control = ControlChart(chart)
    judged = [control.add(count) for count in line]
    most = max(1.0, *line, *(one.limit for one in judged))
    step, unit = _WIDTH / len(line), _HEIGHT / most
    for surge in surges:
        x, width = _LEFT + step * surge.start, step * surge.length
        drawing.add("rect", x=x, y=foot - _HEIGHT, width=width, height=_HEIGHT, fill="var(--g)", fill_opacity=0.25)
    for value in ticks(0, most, 3):
        drawing.line(_LEFT, foot - unit * value, _LEFT + _WIDTH, foot - unit * value)
        drawing.text(_LEFT - 6, foot - unit * value + 4, f"{value:g}", "end", "quiet")
    for window, count in enumerate(line):
        x, height = _LEFT + step * (window + 0.15), unit * count
        drawing.add("rect", x=x, y=foot - height, width=0.7 * step, height=height, fill="var(--a)", fill_opacity=0.6)
    _curves(drawing, foot, step, unit, judged)
    for window, one in enumerate(judged):
        if one.alarm:
            _alarm(drawing, _LEFT + step * (window + 0.5), foot - unit * line[window] - 2)
    drawing.text(_LEFT, foot - _HEIGHT - 6, topic, "start", "strong")
    for value in ticks(0, len(line), 8):
        drawing.text(_LEFT + step * value, foot + 14, f"{value:g}", "middle", "quiet")


def _curves(drawing: Drawing, foot: float, step: float, unit: float, judged: Sequence[Judged]) -> None:
    for colour, dashes, values in (
        ("var(--i)", "", [one.average for one in judged]),
        ("var(--b)", "5 3", [one.limit for one in judged]),
    ):
        points = " ".join(
            f"{_LEFT + step * (window + 0.5):.1f},{foot - unit * value:.1f}" for window, value in enumerate(values)
        )
        drawing.add("polyline", points=points, class_="curve", stroke=colour, stroke_dasharray=dashes)


def _alarm(drawing: Drawing, x: float, y: float) -> None:
    """Adds a triangle that points down to (x, y)."""
    drawing.add("path", d=f"M{x - 5:.1f} {y - 9:.1f}h10L{x:.1f} {y:.1f}z", fill="var(--r)", class_="alarm")
