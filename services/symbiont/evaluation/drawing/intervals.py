"""Values with their intervals, one below the other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from symbiont.evaluation.drawing.svg import Drawing, shortened, ticks
from symbiont.evaluation.figures import ComparisonFigures, Estimate, SliceRow
from symbiont.evaluation.words import Phrases

_NAMES, _WIDTH, _COUNTS, _LINE, _TOP = 230.0, 330.0, 90.0, 22.0, 34.0
# What is not read is left out, the best first.
MOST_LINES = 24
# Of fewer rows an interval is drawn shorter than it is: resampling them shows no other ones.
LEAST_ROWS = 10


@dataclass(frozen=True)
class Line:
    """A name, a value, and how many texts it is of."""

    name: str
    rows: int
    estimate: Estimate


def slices(table: Sequence[SliceRow], overall: float, phrases: Phrases, better: int = 1) -> str:
    """Returns the metric of every slice, the worst of each slice first; `better` is -1 where less is."""
    metric = table[0].metric
    known = [row for row in table if row.rows >= LEAST_ROWS] or table
    kept = sorted(known, key=lambda row: better * row.estimate.value)[:MOST_LINES]
    ordered = sorted(kept, key=lambda row: (row.slice, better * row.estimate.value))
    lines = [Line(f"{phrases.slice(row.slice)}: {row.value}", row.rows, row.estimate) for row in ordered]
    alt = phrases.say(
        "slices_alt", metric=phrases.metric(metric), count=len(lines), overall=phrases.number(metric, overall)
    )
    return _draw(lines, overall, lambda value: phrases.number(metric, value), phrases.say("weak"), alt, phrases)


def gains(found: ComparisonFigures, phrases: Phrases) -> str:
    """Returns what changes on every slice, the largest falls first; left of the line the candidate is worse."""
    metric = found.slices[0].difference.metric
    known = [part for part in found.slices if part.rows >= LEAST_ROWS] or found.slices
    kept = sorted(known, key=lambda part: part.difference.gain.value)[:MOST_LINES]
    lines = [Line(f"{phrases.slice(part.name)}: {part.value}", part.rows, part.difference.gain) for part in kept]
    alt = phrases.say("gains_alt", metric=phrases.metric(metric), count=len(lines))

    def label(value: float) -> str:
        return phrases.signed(metric, value)

    return _draw(lines, 0.0, label, phrases.say("gains_by_part"), alt, phrases, signed=True)


def _draw(
    lines: Sequence[Line],
    mark: float,
    label: Callable[[float], str],
    title: str,
    alt: str,
    phrases: Phrases,
    signed: bool = False,
) -> str:
    low = min(mark, *(line.estimate.low for line in lines))
    high = max(mark, *(line.estimate.high for line in lines))
    room = 0.05 * (high - low) or 0.05
    low, high = low - room, high + room
    foot = _TOP + _LINE * len(lines)
    drawing = Drawing(_NAMES + _WIDTH + _COUNTS, foot + 30, title, alt)

    def x(value: float) -> float:
        return _NAMES + _WIDTH * (value - low) / (high - low)

    for value in ticks(low, high, 5):
        drawing.line(x(value), _TOP - 8, x(value), foot)
        drawing.text(x(value), foot + 18, label(value), "middle", "quiet")
    drawing.line(x(mark), _TOP - 8, x(mark), foot, "ideal")
    drawing.text(x(mark), _TOP - 14, label(mark), "middle", "quiet")
    drawing.text(_NAMES + _WIDTH + _COUNTS - 8, _TOP - 14, phrases.say("texts"), "end", "quiet")
    for place, line in enumerate(lines):
        y, found = _TOP + _LINE * (place + 0.5), line.estimate
        colour = _colour(found, mark) if signed else "var(--a)"
        drawing.text(_NAMES - 12, y + 4, shortened(line.name, _NAMES - 24), "end")
        drawing.line(x(found.low), y, x(found.high), y, "", stroke=colour, stroke_width=2)
        drawing.add("circle", cx=x(found.value), cy=y, r=4.5, fill=colour)
        drawing.text(_NAMES + _WIDTH + _COUNTS - 8, y + 4, f"{line.rows:,}", "end", "quiet")
    return str(drawing)


def _colour(found: Estimate, mark: float) -> str:
    """Returns a colour for what is surely above or below."""
    if found.low > mark:
        return "var(--g)"
    return "var(--r)" if found.high < mark else "var(--m)"
