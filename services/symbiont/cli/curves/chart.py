"""Draws a plot with characters, for a terminal, a pipe or a log."""

import string
from collections.abc import Iterable, Iterator, Sequence
from itertools import cycle

from rich.cells import cell_len
from rich.text import Text

from symbiont.cli.curves.axes import Tick
from symbiont.cli.curves.canvas import Canvas, Dot, thinned
from symbiont.cli.curves.plot import Line, Plot, Points

MIN_WIDTH, MIN_HEIGHT = 30, 10
_COLOURS = ("cyan", "magenta", "yellow", "green", "blue", "red")
_LETTERS = string.ascii_letters
# Columns from one letter on a line to its next, and from one tick to the next; rows from one tick to the next.
_LETTER_GAP, _COLUMNS_A_TICK, _ROWS_A_TICK = 16, 10, 3
_MIN_ROWS, _MIN_TICKS = 5, 3


def draw(plot: Plot, width: int = 100, height: int = 24) -> Text:
    """Returns a chart of so many columns and lines, but at least 30 by 10, and higher if the legend needs it.

    Lines are told apart by colour where there is any; where there are several, each bears its letter of the legend too.
    """
    width = max(width, MIN_WIDTH)
    below = [*_legend(plot, width), *_note(plot)]
    rows = max(max(height, MIN_HEIGHT) - 3 - len(below), _MIN_ROWS)
    ticks = plot.y.ticks(max(rows // _ROWS_A_TICK, _MIN_TICKS))
    gutter = max(len(plot.across), *(len(tick.label) for tick in ticks))
    canvas = Canvas(width - gutter - 2, rows)
    _draw_lines(canvas, plot)
    title = Text(" " * (gutter + 2) + plot.title, "bold")
    lines = [title, *_rows(canvas, plot, ticks, gutter), *_across(canvas, plot, gutter), *below]
    for line in lines:
        line.rstrip()
    return Text("\n").join(lines)


def _draw_lines(canvas: Canvas, plot: Plot) -> None:
    styles = _styles(plot)
    for line, style in zip(plot.lines, styles, strict=True):
        for x, y in _dots(canvas, plot, line.raw):
            canvas.dot(x, y, f"dim {style}")
    drawn = [_dots(canvas, plot, line.points) for line in plot.lines]
    for dots, style in zip(drawn, styles, strict=True):
        canvas.path(thinned(dots), style)
        # Few points are seen as such, and one alone is seen at all.
        if len(dots) <= canvas.columns // 6:
            for x, y in dots:
                canvas.cross(x, y, style)
    if len(drawn) > 1:
        for index, (dots, style) in enumerate(zip(drawn, styles, strict=True)):
            first = index * _LETTER_GAP // len(drawn)
            for column, row in _letter_cells(dots, first):
                canvas.letter(column, row, _letter(index), style)


def _dots(canvas: Canvas, plot: Plot, points: Points) -> list[Dot]:
    """Returns where points stand on the canvas."""
    right, bottom = canvas.width - 1, canvas.height - 1
    return [(round(plot.x.place(x) * right), round((1 - plot.y.place(y)) * bottom)) for x, y in points]


def _letter_cells(dots: Sequence[Dot], first: int) -> Iterator[Dot]:
    """Yields column and row of the cells of a line that bear its letter: the last one, and some at even distances."""
    due = first
    for x, y in dots[:-1]:
        if x // 2 >= due:
            yield x // 2, y // 4
            due = x // 2 + _LETTER_GAP
    yield dots[-1][0] // 2, dots[-1][1] // 4


def _rows(canvas: Canvas, plot: Plot, ticks: Iterable[Tick], gutter: int) -> Iterator[Text]:
    bottom = canvas.height - 1
    labels = {round((1 - plot.y.place(tick.value)) * bottom) // 4: tick.label for tick in ticks}
    for row, line in enumerate(canvas.lines()):
        edge = "┤" if row in labels else "│"
        yield Text(f"{labels.get(row, ''):>{gutter}} {edge}").append_text(line)


def _across(canvas: Canvas, plot: Plot, gutter: int) -> Iterator[Text]:
    """Yields the line below the canvas, and the one with the places on the x axis."""
    edge, labels = ["─"] * canvas.columns, ""
    for tick in plot.x.ticks(max(canvas.columns // _COLUMNS_A_TICK, _MIN_TICKS)):
        column = round(plot.x.place(tick.value) * (canvas.width - 1)) // 2
        edge[column] = "┬"
        start = max(0, min(column - len(tick.label) // 2, canvas.columns - len(tick.label)))
        if not labels or start > len(labels):
            labels = labels.ljust(start) + tick.label
    yield Text(" " * (gutter + 1) + "└" + "".join(edge))
    yield Text(f"{plot.across:>{gutter}}  {labels}")


def _legend(plot: Plot, width: int) -> Iterator[Text]:
    """Yields the names with their letters and last values, as many on a line as fit."""
    row = Text()
    for entry in _entries(plot):
        if row and cell_len(row.plain) + 3 + cell_len(entry.plain) > width:
            yield row
            row = Text()
        row = (row.append("   ") if row else row).append_text(entry)
    yield row


def _entries(plot: Plot) -> Iterator[Text]:
    for index, (line, style) in enumerate(zip(plot.lines, _styles(plot), strict=True)):
        mark = f"{_letter(index)} " if len(plot.lines) > 1 else ""
        yield Text(f"{mark}{line.name}", style).append(f" {_last(line)}", "dim")


def _last(line: Line) -> str:
    step, value = line.reported[-1]
    return f"{value:.4g} at {step:,}"


def _note(plot: Plot) -> Iterator[Text]:
    if plot.left_out:
        why = "not finite, or not above 0" if plot.y.log else "not finite"
        yield Text(f"{plot.left_out} {'point' if plot.left_out == 1 else 'points'} not drawn: {why}", "dim")


def _styles(plot: Plot) -> list[str]:
    return [colour for _, colour in zip(plot.lines, cycle(_COLOURS), strict=False)]


def _letter(index: int) -> str:
    return _LETTERS[index % len(_LETTERS)]
