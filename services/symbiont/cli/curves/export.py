"""Writes curves to a file, whose ending says what it becomes."""

import csv
from collections.abc import Iterable
from pathlib import Path

import typer

from symbiont.cli.curves.curve import Curve
from symbiont.cli.curves.picture import require_matplotlib, save_picture
from symbiont.cli.curves.plot import Plot

TABLE_ENDING = ".csv"
PICTURE_ENDINGS = (".png", ".svg")
OPTION = "--export"
COLUMNS = ("job", "attempt", "step", "measure", "value")


def check_export(path: Path) -> None:
    """Raises an error when curves could not be written there; nothing has to be read before that is known.

    Raises:
        typer.BadParameter: the ending is none of the three, or the folder does not exist.
        FailedPrecondition: it would be a picture, and matplotlib is not installed.
    """
    ending = path.suffix.lower()
    if ending not in (*PICTURE_ENDINGS, TABLE_ENDING):
        raise typer.BadParameter(
            f"{path.name} must end in .png or .svg for a picture, or in .csv for a table", param_hint=OPTION
        )
    if not path.absolute().parent.is_dir():
        raise typer.BadParameter(f"the folder of {path} does not exist", param_hint=OPTION)
    if ending in PICTURE_ENDINGS:
        require_matplotlib()


def export_curves(curves: Iterable[Curve], plot: Plot, path: Path) -> None:
    """Writes the plot as a picture, or every point that was reported, not smoothed, as a table.

    Raises:
        FailedPrecondition: it would be a picture, and matplotlib is not installed.
        OSError: the file cannot be written.
    """
    if path.suffix.lower() == TABLE_ENDING:
        write_table(curves, path)
    else:
        save_picture(plot, path)


def write_table(curves: Iterable[Curve], path: Path) -> None:
    """Writes a CSV file with a row for each point: job, attempt, step, measure and value."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for curve in curves:
            writer.writerows((curve.job, p.attempt, p.step, curve.measure.value, p.value) for p in curve.points)
