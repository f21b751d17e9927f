"""Which file a curve becomes, and the exact rows of a table."""

import csv
import sys
from pathlib import Path

import pytest
import typer

from symbiont.cli.curves.curve import Curve, Measure, Point
from symbiont.cli.curves.export import check_export, export_curves
from symbiont.cli.curves.plot import plot_of
from symbiont.common.errors import FailedPrecondition

CURVES = [
    Curve("j1", Measure.LOSS, (Point(1, 10, 0.5), Point(2, 20, 0.1 + 0.2)), 20),
    Curve("j2", Measure.LOSS, (Point(1, 10, 1e-7), Point(1, 20, float("nan"))), 20),
    Curve("j3", Measure.LOSS),
]


def test_a_table_has_every_point_as_it_was_reported(tmp_path: Path) -> None:
    path = tmp_path / "curves.csv"
    export_curves(CURVES, plot_of(CURVES, smoothing=0.9, log=True), path)
    assert path.read_bytes() == (
        b"job,attempt,step,measure,value\n"
        b"j1,1,10,loss,0.5\n"
        b"j1,2,20,loss,0.30000000000000004\n"
        b"j2,1,10,loss,1e-07\n"
        b"j2,1,20,loss,nan\n"
    )
    with path.open(newline="") as file:
        assert float(list(csv.DictReader(file))[1]["value"]) == 0.1 + 0.2


@pytest.mark.parametrize(("ending", "magic"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".CSV", b"job,")])
def test_the_ending_says_what_is_written(tmp_path: Path, ending: str, magic: bytes) -> None:
    path = tmp_path / f"curves{ending}"
    check_export(path)
    export_curves(CURVES, plot_of(CURVES), path)
    assert path.read_bytes().startswith(magic)


@pytest.mark.parametrize("name", ["curves.pdf", "curves", ".png", "curves.png.gz"])
def test_any_other_ending_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"\.png or \.svg .* \.csv") as refused:
        check_export(tmp_path / name)
    assert refused.value.param_hint == "--export"


def test_what_cannot_be_written_is_known_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(typer.BadParameter, match=r"the folder of .* does not exist"):
        check_export(tmp_path / "nowhere" / "curves.csv")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(FailedPrecondition, match="matplotlib"):
        check_export(tmp_path / "curves.svg")
    check_export(tmp_path / "curves.csv")
