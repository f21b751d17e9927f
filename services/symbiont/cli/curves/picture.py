"""Draws a plot as a picture, with matplotlib."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len

from symbiont.cli.curves.plot import Plot
from symbiont.common.errors import FailedPrecondition

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT = 9.0, 5.0  # inches
_DOTS_AN_INCH = 160
_MOST_TICKS = 8
# Told apart by colour-blind eyes too (Okabe and Ito 2008, without yellow and black); then again with other dashes.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_DASHES = ("-", "--", ":", "-.")
# More names than these stand beside the plot, where they cover no line: so many to a column, which takes so many
# inches for the sample of the line and for each letter.
_NAMES_INSIDE = 6
_NAMES_A_COLUMN = 16
_SAMPLE, _LETTER = 0.8, 0.1
# Up to so many points are shown each.
_FEW_POINTS = 40
# The names are literals to matplotlib's types.
_SETTINGS: dict[Any, Any] = {
    "font.size": 11,
    "axes.titlesize": 14,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "grid.color": "#DDDDDD",
    "legend.frameon": False,
    "figure.constrained_layout.w_pad": 0.12,
    "figure.constrained_layout.h_pad": 0.12,
    # A title is a text, not a formula between dollar signs.
    "text.parse_math": False,
    # Words stay words, for readers and for searches, and the same plot gives the same file.
    "svg.fonttype": "none",
    "svg.hashsalt": "symbiont",
}


def require_matplotlib() -> None:
    """Raises FailedPrecondition when matplotlib is not installed."""
    # What it has to say of its caches and fonts is not for who wants a picture.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    try:
        import matplotlib  # noqa: F401
    except ImportError as exc:
        raise FailedPrecondition("a picture needs matplotlib: pip install 'symbiont[plots]'") from exc


def save_picture(plot: Plot, path: Path) -> None:
    """Writes a plot to a file, as PNG or SVG by its ending.

    Raises:
        FailedPrecondition: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    kind = path.suffix.lower().removeprefix(".")
    # An SVG says when it was made unless told not to.
    metadata: dict[str, str | None] = {"Title": plot.title} | ({"Date": None} if kind == "svg" else {})
    with _settings(plot):
        figure = Figure((_width(plot), _HEIGHT), _DOTS_AN_INCH, layout="constrained")
        _fill(figure, plot)
        figure.savefig(path, format=kind, metadata=metadata)


@contextmanager
def _settings(plot: Plot) -> Iterator[None]:
    """Has fonts for the plot's texts, and no warning where there is none for a letter."""
    from matplotlib import rc_context

    from symbiont.cli.curves.fonts import families_for

    texts = "".join([plot.title, plot.label, *(line.name for line in plot.lines)])
    families = families_for(texts)
    # The generic one is for who opens an SVG without these fonts.
    fonts: dict[Any, Any] = {"font.family": [*families, "sans-serif"], "font.sans-serif": families}
    with rc_context({**_SETTINGS, **fonts}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def _fill(figure: Figure, plot: Plot) -> None:
    axes = figure.add_subplot()
    _draw_lines(axes, plot)
    _scale(axes, plot)
    axes.set_title(plot.title, loc="left", pad=12)
    axes.set_xlabel(plot.across)
    axes.set_ylabel(plot.label)
    axes.grid(True, linewidth=0.8)
    axes.set_axisbelow(True)
    if columns := _columns_beside(plot):
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), ncols=columns)
    else:
        axes.legend(loc="best")


def _columns_beside(plot: Plot) -> int:
    """Returns how many columns of names stand beside the plot; 0 when they stand inside."""
    return math.ceil(len(plot.lines) / _NAMES_A_COLUMN) if len(plot.lines) > _NAMES_INSIDE else 0


def _width(plot: Plot) -> float:
    """Returns the picture's width in inches: names beside the plot take nothing from it."""
    return _WIDTH + _columns_beside(plot) * (_SAMPLE + _LETTER * max(cell_len(line.name) for line in plot.lines))


def _draw_lines(axes: Axes, plot: Plot) -> None:
    styles = cycle((colour, dash) for dash in _DASHES for colour in _COLOURS)
    for line, (colour, dash) in zip(plot.lines, styles, strict=False):
        if line.raw:
            axes.plot(*zip(*line.raw, strict=True), color=colour, alpha=0.25, linewidth=1)
        marker = "o" if len(line.points) <= _FEW_POINTS else ""
        (drawn,) = axes.plot(*zip(*line.points, strict=True), color=colour, linestyle=dash, linewidth=1.8)
        # A point that stands on an axis is whole, too.
        drawn.set(label=line.name, marker=marker, markersize=4, clip_on=False)


def _scale(axes: Axes, plot: Plot) -> None:
    """Gives the axes the spans and the ticks of the plot."""
    steps, values = plot.x.ticks(_MOST_TICKS), plot.y.ticks(_MOST_TICKS)
    axes.set_yscale("log" if plot.y.log else "linear")
    axes.set_xticks([tick.value for tick in steps], [tick.label for tick in steps])
    axes.set_yticks([tick.value for tick in values], [tick.label for tick in values])
    # A log scale has ticks of its own between these.
    axes.minorticks_off()
    axes.set_xlim(plot.x.low, plot.x.high)
    axes.set_ylim(plot.y.low, plot.y.high)
