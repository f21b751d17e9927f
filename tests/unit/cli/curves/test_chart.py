"""What a chart shows: its lines, ticks and legend, in the size that was asked for."""

import io
import math

import pytest
from rich.cells import cell_len
from rich.console import Console

from symbiont.cli.curves.chart import draw
from symbiont.cli.curves.curve import Curve, Measure, Point
from symbiont.cli.curves.plot import plot_of
from symbiont.common.errors import FailedPrecondition

BLANK, FULL = "\u2800", "\u28ff"


def falling(job: str, steps: int = 400, tau: float = 100.0) -> Curve:
    points = tuple(Point(1, step, math.exp(-step / tau)) for step in range(2, steps + 1, 2))
    return Curve(job, Measure.LOSS, points, steps)


def rows(*curves: Curve, width: int = 60, height: int = 16, **options: float) -> list[str]:
    return draw(plot_of(curves, **options), width, height).plain.splitlines()  # type: ignore[arg-type]


def test_a_small_chart_line_by_line() -> None:
    points = tuple(Point(1, step, value) for step, value in ((0, 1.0), (10, 0.0), (20, 1.0)))
    assert rows(Curve("j1", Measure.LOSS, points, 20), width=30, height=10) == [
        "      Loss of j1",
        " 1.0 ┤⠷⡀                    ⢀⠾",
        "     │ ⠈⠢⣀                ⢀⠔⠁",
        "     │    ⠑⢄            ⢀⠔⠁",
        " 0.5 ┤      ⠑⢄        ⡠⠊⠁",
        "     │        ⠑⠢⡀   ⡠⠊",
        "   0 ┤          ⠈⢢⣤⠊",
        "     └┬───────────┬──────────┬",
        "step  0          10         20",
        "j1 1 at 20",
    ]


def test_one_line_has_its_ticks_and_its_last_value() -> None:
    lines = rows(falling("j1"))
    assert lines[0].strip() == "Loss of j1"
    assert [line.split()[0] for line in lines if "┤" in line] == ["1.0", "0.5", "0"]
    assert lines[-2].split() == ["step", "0", "100", "200", "300", "400"]
    assert lines[-1] == "j1 0.01832 at 400"
    assert len(lines) == 16
    # It falls: it begins in the first column at the top, and ends in the last one at the bottom.
    assert lines[1][6] > BLANK
    assert lines[-4][59] > BLANK


def test_ticks_of_a_log_scale() -> None:
    lines = rows(falling("j1"), log=True)
    assert [line.split()[0] for line in lines if "┤" in line] == ["1", "0.3", "0.1", "0.03"]
    # The exponential is straight there: the middle of the chart is on the line.
    assert lines[7][32:36].strip()


def test_lines_without_colour_bear_their_letters() -> None:
    lines = rows(falling("fast", tau=40), falling("slow", tau=200), falling("short", 100))
    assert lines[0].strip() == "Loss of 3 jobs"
    assert lines[-2:] == ["a fast 4.54e-05 at 400   b slow 0.1353 at 400", "c short 0.3679 at 100"]
    drawn = "".join(line[6:] for line in lines[1:-4])
    assert [drawn.count(letter) >= 2 for letter in "abc"] == [True, True, True]
    # A line that is over bears its letter where it ends.
    assert "c" in {line.ljust(60)[6 + 53 // 4] for line in lines[1:-4]}


def test_a_legend_that_is_too_long_goes_on_below() -> None:
    lines = rows(*(falling(f"job-{i}") for i in range(6)), width=50, height=20)
    assert len(lines) == 20
    legend = lines[-3:]
    assert [line.split("   ")[0].split()[:2] for line in legend] == [["a", "job-0"], ["c", "job-2"], ["e", "job-4"]]


@pytest.mark.parametrize(("width", "height"), [(30, 10), (80, 24), (200, 60), (1, 1)])
@pytest.mark.parametrize("log", [False, True])
def test_it_fits(width: int, height: int, log: bool) -> None:
    lines = rows(falling("j1"), falling("j2", 300), width=width, height=height, log=log)
    assert max(map(cell_len, lines)) <= max(width, 30)
    assert len(lines) <= max(height, 10)
    assert max(map(cell_len, lines)) > max(width, 30) - 2


def test_one_point_is_seen() -> None:
    lines = rows(Curve("j1", Measure.LOSS, (Point(1, 7, 0.5),), 7))
    assert sum(BLANK < c <= FULL for line in lines for c in line) >= 2
    assert "0.5" in "\n".join(lines)
    assert lines[-1] == "j1 0.5 at 7"


def test_smoothing_is_drawn_over_the_points() -> None:
    points = tuple(Point(1, step, 1.0 + step % 2) for step in range(1, 101))
    curve = Curve("j1", Measure.LOSS, points, 100)
    found = draw(plot_of([curve], smoothing=0.9), 60, 16)
    assert found.plain.splitlines()[0].strip() == "Loss of j1, smoothed by 0.9"
    dots = dict.fromkeys(("cyan", "dim cyan"), "")
    for span in found.spans:
        if span.style in dots:
            dots[str(span.style)] += found.plain[span.start : span.end]
    # The points are at the edges, where the average does not come.
    assert len(dots["dim cyan"]) > 20
    assert len(dots["cyan"]) > 20
    assert found.plain.splitlines()[-1] == "j1 1 at 100"


def test_what_has_no_place_is_counted() -> None:
    values = [0.5, 0.0, math.nan, 1.0]
    curve = Curve("j1", Measure.LEARNING_RATE, tuple(Point(1, i, v) for i, v in enumerate(values)), 3)
    assert rows(curve)[-1] == "1 point not drawn: not finite"
    assert rows(curve, log=True)[-1] == "2 points not drawn: not finite, or not above 0"
    assert rows(curve)[0].strip() == "Learning rate of j1"


def test_colour_is_only_where_the_console_has_it() -> None:
    found = draw(plot_of([falling("j1"), falling("j2")]))
    for system, escapes in (("standard", True), (None, False)):
        out = io.StringIO()
        Console(file=out, width=100, force_terminal=True, color_system=system, no_color=not escapes).print(found)  # type: ignore[arg-type]
        assert ("\x1b[36m" in out.getvalue()) is escapes
    out = io.StringIO()
    Console(file=out, width=100).print(found, soft_wrap=True)
    assert out.getvalue() == found.plain + "\n"


def test_drawing_twice_gives_the_same() -> None:
    plot = plot_of([falling("j1"), falling("j2")])
    assert draw(plot, 80, 20) == draw(plot, 80, 20)


def test_nothing_to_draw_is_an_error_that_says_why() -> None:
    with pytest.raises(FailedPrecondition, match=r"^j1 has not reported a step yet; j2 has done 3 steps and"):
        plot_of([Curve("j1", Measure.LOSS), Curve("j2", Measure.LOSS, (), 3)])
    zero = Curve("j1", Measure.LOSS, (Point(1, 1, 0.0),), 1)
    with pytest.raises(FailedPrecondition, match="no value of loss can be drawn"):
        plot_of([zero], log=True)
