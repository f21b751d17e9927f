"""What the commands that run studies share: their options, what they show of jobs, and how they are left."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from symbiont.advisor.bench import Run
from symbiont.advisor.curve import best_so_far
from symbiont.api.training.v1 import training_job_pb2 as pb
from symbiont.cli.console import make_console
from symbiont.cli.curves.axes import step_axis, value_axis
from symbiont.cli.curves.chart import draw
from symbiont.cli.curves.export import PICTURE_ENDINGS
from symbiont.cli.curves.picture import require_matplotlib, save_picture
from symbiont.cli.curves.plot import Line, Plot
from symbiont.cli.spec import option
from symbiont.cli.watch import JobDisplay, job_display
from symbiont.client.names import short_name

STUDY = "Study"
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[hms])+")

StudyOption = Annotated[
    str,
    option(
        STUDY,
        "Its name, which begins the request ids of its jobs: the same name and options go on with the same jobs "
        "(default: the model's id and what is done).",
    ),
]
BudgetOption = Annotated[
    str, option(STUDY, "Training time of all its jobs together, as 30m, 2h or 1h30m; then the best so far counts.")
]
CostOption = Annotated[float | None, option(STUDY, "The same as a cost, in the currency of the service's price.")]
ExportOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Also write the curves as a picture (.png, .svg).", show_default=False),
]


class Follower:
    """Tells a display what a study does."""

    def __init__(self, display: JobDisplay, study: str) -> None:
        self.open: dict[str, str] = {}
        self._display = display
        self._study = study

    def begin(self, title: str, job: pb.TrainingJob) -> None:
        """Makes room for a job."""
        self.open[title] = job.name
        self._display.add(title)

    def event(self, title: str, event: pb.TrainingEvent) -> None:
        """Shows an event of a job."""
        self._display.show(title, event)

    def say(self, text: str) -> None:
        """Shows a decision."""
        self._display.note(self._study, text)


@contextmanager
def following(study: str) -> Iterator[Follower]:
    """Shows a study while it runs, on stderr; Ctrl-C leaves its jobs as they are, and says how to go on.

    Raises:
        typer.Exit: with status 130, after Ctrl-C.
    """
    console = make_console(stderr=True)
    with job_display(console) as display:
        follower = Follower(display, study)
        try:
            yield follower
        except KeyboardInterrupt:
            _say_left(console, follower)
            raise typer.Exit(130) from None


def _say_left(console: Console, follower: Follower) -> None:
    console.print("left: what trains goes on to its end, and nothing new is begun.", markup=False)
    for title, job in follower.open.items():
        console.print(f"  {title}: {short_name(job)}", markup=False)
    console.print("The same command goes on with the study; symbiont jobs cancel JOB ends a job.", markup=False)


def seconds_of(text: str) -> float | None:
    """Returns the seconds of `1h30m`, None for nothing.

    Raises:
        typer.BadParameter: it is no duration.
    """
    if not text:
        return None
    if not _DURATION.fullmatch(text):
        raise typer.BadParameter(f"{text!r} is no time: say it as 30m, 2h, 1h30m or 90s", param_hint="--budget")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([\d.]+)([hms])", text))
    if not seconds:
        raise typer.BadParameter("it is no time at all: leave it out for no limit", param_hint="--budget")
    return seconds


def check_picture(path: Path | None) -> None:
    """Raises typer.BadParameter, or FailedPrecondition without matplotlib, when no picture could be written there."""
    if path is None:
        return
    if path.suffix.lower() not in PICTURE_ENDINGS or not path.absolute().parent.is_dir():
        raise typer.BadParameter(f"{path} must end in .png or .svg, in a folder that exists", param_hint="--export")
    require_matplotlib()


def show_curves(console: Console, runs: Sequence[Run], title: str, export: Path | None) -> None:
    """Draws the best value so far of each run against its compute; those that judged nothing are left out."""
    plot = _plot(runs, title)
    if plot is None:
        if export:
            console.print(f"nothing was judged: {export} is not written", markup=False, soft_wrap=True)
        return
    console.print(draw(plot, min(console.width, 100), 20), soft_wrap=True)
    if export:
        save_picture(plot, export)
        console.print(f"written: {export}", markup=False, soft_wrap=True)


def _plot(runs: Sequence[Run], title: str) -> Plot | None:
    lines = [
        Line(run.trial.name, [(round(p.seconds, 1), 100 * p.value) for p in best_so_far(run.curve.points)])
        for run in runs
        if run.curve.points
    ]
    if not lines:
        return None
    shown = [point for line in lines for point in line.points]
    x, y = step_axis(max(x for x, _ in shown)), value_axis([y for _, y in shown], log=False)
    return Plot(title, "points", lines, x, y, across="s")


def percentage(value: float | None) -> str:
    """Returns a share as people read it; empty for none."""
    return "" if value is None else f"{100 * value:.1f} %"
