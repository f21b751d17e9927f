"""Pictures: their bytes, their texts, and no warning whatever letters they bear."""

import math
import re
import struct
import sys
import warnings
import xml.etree.ElementTree as ET
import zlib
from pathlib import Path

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager, rcParams

from symbiont.cli.curves.curve import Curve, Measure, Point
from symbiont.cli.curves.fonts import DEFAULT, families_for
from symbiont.cli.curves.picture import save_picture
from symbiont.cli.curves.plot import Plot, plot_of
from symbiont.common.errors import FailedPrecondition

SVG = "{http://www.w3.org/2000/svg}"


def falling(job: str, tau: float = 100.0) -> Curve:
    points = tuple(Point(1, step, math.exp(-step / tau)) for step in range(2, 401, 2))
    return Curve(job, Measure.GRADIENT_NORM, points, 400)


@pytest.fixture
def plot() -> Plot:
    return plot_of([falling("j1"), falling("j2", 50)], smoothing=0.5, log=True)


@pytest.fixture
def made_font(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A machine whose only font beside matplotlib's has two Chinese letters, both of them solid squares."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 1000), (1000, 1000), (1000, 0)):
        pen.lineTo(corner)
    pen.closePath()
    square = pen.glyph()
    font = FontBuilder(1000)
    font.setupGlyphOrder([".notdef", "square"])
    font.setupCharacterMap({ord("模"): "square", ord("型"): "square"})
    font.setupGlyf({".notdef": square, "square": square})
    font.setupHorizontalMetrics({".notdef": (1000, 0), "square": (1000, 0)})
    font.setupHorizontalHeader(ascent=1000, descent=0)
    font.setupNameTable({"familyName": "Two Squares", "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    path = tmp_path / "squares.ttf"
    font.save(path)
    broken = tmp_path / "broken.ttf"
    broken.write_text("no font")
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [str(broken), str(path)])
    monkeypatch.setattr(font_manager.fontManager, "ttflist", list(font_manager.fontManager.ttflist))
    return "Two Squares"


def texts(path: Path) -> list[str]:
    return [element.text or "" for element in ET.parse(path).getroot().iter(f"{SVG}text")]


def pixels(path: Path) -> bytes:
    """Returns the filtered rows of a PNG, without its header and its texts."""
    data, at, packed = path.read_bytes(), 8, b""
    while at < len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        if data[at + 4 : at + 8] == b"IDAT":
            packed += data[at + 8 : at + 8 + size]
        at += size + 12
    return zlib.decompress(packed)


def test_a_png_is_one_and_is_large_enough_to_read(plot: Plot, tmp_path: Path) -> None:
    path = tmp_path / "curves.PNG"
    save_picture(plot, path)
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", data[16:24]) == (1440, 800)
    assert len(data) > 20_000
    # Blended edges of lines and letters; a white sheet has two values.
    assert len(set(pixels(path))) > 100


def test_an_svg_has_title_labels_ticks_and_legend_as_words(plot: Plot, tmp_path: Path) -> None:
    path = tmp_path / "curves.svg"
    save_picture(plot, path)
    found = texts(path)
    title = "Gradient norm of 2 jobs, smoothed by 0.5"
    assert {title, "step", "gradient norm", "j1", "j2", "0", "400", "0.01", "1"} <= set(found)
    (heading,) = ET.parse(path).getroot().findall(f"{SVG}title")
    assert heading.text == title
    again = tmp_path / "again.svg"
    save_picture(plot, again)
    assert again.read_bytes() == path.read_bytes()


def test_a_title_with_dollar_signs_is_no_formula(tmp_path: Path) -> None:
    save_picture(plot_of([falling("j1")], title="for $5 and $6"), tmp_path / "a.svg")
    assert "for $5 and $6" in texts(tmp_path / "a.svg")


def test_many_jobs_and_one_point_are_drawn(tmp_path: Path) -> None:
    save_picture(plot_of([falling(f"j{i}", 10.0 + i) for i in range(30)]), tmp_path / "many.svg")
    assert {f"j{i}" for i in range(30)} <= set(texts(tmp_path / "many.svg"))
    one = Curve("j1", Measure.LOSS, (Point(1, 7, 0.5),), 7)
    save_picture(plot_of([one]), tmp_path / "one.svg")
    # The dot in the plot and the one in the legend.
    assert len(re.findall(r"<use [^>]*0072b2", (tmp_path / "one.svg").read_text())) >= 2


def test_chinese_letters_come_from_a_font_that_has_them(
    made_font: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert families_for("loss") == [DEFAULT]
    assert families_for("模型 loss") == [DEFAULT, made_font]
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        save_picture(plot_of([falling("j1")], title="模型 loss"), tmp_path / "a.svg")
        save_picture(plot_of([falling("j1")], title="模型 loss"), tmp_path / "a.png")
    assert seen == []
    assert made_font in (tmp_path / "a.svg").read_text()
    # Without it, these letters and others of their block are the same box.
    save_picture(plot_of([falling("j1")], title="意图 loss"), tmp_path / "b.png")
    assert pixels(tmp_path / "a.png") != pixels(tmp_path / "b.png")
    monkeypatch.setattr(font_manager, "findSystemFonts", list)
    save_picture(plot_of([falling("j1")], title="模型 loss"), tmp_path / "a.png")
    assert pixels(tmp_path / "a.png") == pixels(tmp_path / "b.png")


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_letters_that_no_font_has_raise_no_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ending: str
) -> None:
    monkeypatch.setattr(font_manager, "findSystemFonts", list)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        save_picture(plot_of([falling("意图")], title="模型\n的 loss"), tmp_path / f"a.{ending}")
    assert seen == []
    assert (tmp_path / f"a.{ending}").stat().st_size > 10_000


def test_settings_of_the_program_stay_as_they_were(plot: Plot, tmp_path: Path) -> None:
    before = rcParams.copy()
    save_picture(plot, tmp_path / "a.png")
    assert rcParams.copy() == before


def test_without_matplotlib_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, plot: Plot, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(FailedPrecondition, match=r"pip install 'symbiont\[plots\]'"):
        save_picture(plot, tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()
