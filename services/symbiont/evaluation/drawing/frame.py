"""The square of two axes that several pictures stand in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from symbiont.evaluation.drawing.svg import COLOURS, DASHES, Drawing, shortened, ticks
from symbiont.evaluation.figures import Point

# To the right of the axes stands the legend.
LEFT, TOP, RIGHT, BOTTOM = 56.0, 14.0, 220.0, 48.0


@dataclass(frozen=True)
class Span:
    """What an axis shows; `label` writes a value of it."""

    low: float
    high: float
    name: str
    label: Callable[[float], str]


class Frame:
    """A drawing with two axes, and where values stand in it."""

    def __init__(self, x: Span, y: Span, title: str, alt: str, size: float = 340.0) -> None:
        """`size` is the length of both axes, in pixels."""
        self.drawing = Drawing(LEFT + size + RIGHT, TOP + size + BOTTOM, title, alt)
        self._x, self._y, self._size = x, y, size
        foot = TOP + size
        for value in ticks(x.low, x.high):
            self.drawing.line(self.x(value), TOP, self.x(value), foot)
            self.drawing.text(self.x(value), foot + 16, x.label(value), "middle", "quiet")
        for value in ticks(y.low, y.high):
            self.drawing.line(LEFT, self.y(value), LEFT + size, self.y(value))
            self.drawing.text(LEFT - 6, self.y(value) + 4, y.label(value), "end", "quiet")
        self.drawing.line(LEFT, foot, LEFT + size, foot, "axis")
        self.drawing.line(LEFT, TOP, LEFT, foot, "axis")
        self.drawing.text(LEFT + size / 2, foot + 36, x.name, "middle")
        turned = f"translate(14 {TOP + size / 2:.1f}) rotate(-90)"
        self.drawing.text(0, 0, y.name, "middle", transform=turned)

    def x(self, value: float) -> float:
        """Returns where a value stands, in pixels from the left."""
        return LEFT + self._size * (value - self._x.low) / (self._x.high - self._x.low)

    def y(self, value: float) -> float:
        """Returns where a value stands, in pixels from the top."""
        return TOP + self._size * (1 - (value - self._y.low) / (self._y.high - self._y.low))

    def ideal(self) -> None:
        """Adds the line on which both values are the same."""
        low, high = max(self._x.low, self._y.low), min(self._x.high, self._y.high)
        self.drawing.line(self.x(low), self.y(low), self.x(high), self.y(high), "ideal")

    def curve(self, points: Sequence[Point], place: int, dots: bool = False) -> None:
        """Adds the series at this place of the legend."""
        colour = COLOURS[place % len(COLOURS)]
        path = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points)
        dash = DASHES[place % len(DASHES)]
        self.drawing.add("polyline", points=path, class_="curve", stroke=colour, stroke_dasharray=dash)
        for x, y in points if dots else ():
            self.drawing.add("circle", cx=self.x(x), cy=self.y(y), r=3.5, fill=colour)

    def legend(self, names: Sequence[str]) -> None:
        """Adds the names of the series beside the axes."""
        left = LEFT + self._size + 20
        for place, name in enumerate(names):
            y = TOP + 14 + 22 * place
            dash, colour = DASHES[place % len(DASHES)], COLOURS[place % len(COLOURS)]
            self.drawing.line(left, y - 4, left + 22, y - 4, "curve", stroke=colour, stroke_dasharray=dash)
            self.drawing.text(left + 28, y, shortened(name, RIGHT - 56))
