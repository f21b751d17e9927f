"""`python tests/observe/trace_picture.py FILE`: runs the suite, traces one Predict, and draws its spans.

The file is a PNG or SVG. Every bar is a span as the collector got it; what hangs below another is indented.
"""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.axes import Axes

from support.collector import Collected
from support.traced_suite import MODEL, calling, traced_suite, whole

TEXTS = ["the film was a joy", "a dull and heavy evening", "good", "a poor copy of a great book"]
# Told apart by colour-blind eyes too (Okabe and Ito 2008).
COLOURS = {"caller": "#999999", "inference": "#0072B2", "tokenization": "#009E73", "triton": "#D55E00"}


def traced() -> Sequence[Collected]:
    """Returns the spans of one Predict of a suite that has answered before."""
    with tempfile.TemporaryDirectory() as folder, traced_suite(Path(folder), sample_ratio=0) as suite:
        with calling(suite) as client:
            for _ in range(5):
                client.predict(MODEL, TEXTS)
        return whole(suite.collector, suite.collector.calls[-1].trace)


def in_order(trace: Sequence[Collected], parent: str = "", depth: int = 0) -> Iterator[tuple[int, Collected]]:
    """Yields the spans with their depth, each before those below it, the earliest first."""
    for span in trace:
        if span.parent == parent:
            yield depth, span
            yield from in_order(trace, span.id, depth + 1)


def draw(trace: Sequence[Collected], axes: Axes) -> None:
    """Draws a line for each span, from the top down."""
    began, lines = trace[0].begin, list(in_order(trace))
    for line, (depth, span) in enumerate(lines):
        begin, length = 1e3 * (span.begin - began), 1e3 * (span.end - span.begin)
        axes.barh(line, length, left=begin, height=0.62, color=COLOURS[span.service])
        axes.text(begin + length, line, f"  {length:.2f} ms", va="center", fontsize=8)
        name = span.name.rpartition(".")[2]
        axes.text(-0.01, line, "    " * depth + name, va="center", ha="left", fontsize=9, transform=_beside(axes))
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.set_xlim(0, 1.12e3 * (trace[0].end - began))
    axes.set_yticks([])
    axes.set_xlabel("milliseconds since the caller began")
    axes.spines[["top", "right", "left"]].set_visible(False)
    shown = [service for service in COLOURS if any(span.service == service for span in trace)]
    bars = [pyplot.Rectangle((0, 0), 1, 1, color=COLOURS[service]) for service in shown]
    axes.legend(bars, shown, loc="lower left", frameon=False)


def _beside(axes: Axes) -> matplotlib.transforms.Transform:
    """Where names stand: across in parts of the room left of the axes, down in lines."""
    left = matplotlib.transforms.Affine2D().translate(-0.36, 0)
    return matplotlib.transforms.blended_transform_factory(left + axes.transAxes, axes.transData)


def main() -> None:
    """Traces and draws."""
    trace = traced()
    figure, axes = pyplot.subplots(figsize=(11, 0.34 * len(trace) + 1.2), dpi=110)
    figure.subplots_adjust(left=0.27, right=0.98, top=0.93, bottom=0.13)
    draw(trace, axes)
    axes.set_title(f"One Predict of {len(TEXTS)} texts: {len(trace)} spans of four processes", loc="left", fontsize=11)
    figure.savefig(sys.argv[1])


if __name__ == "__main__":
    main()
