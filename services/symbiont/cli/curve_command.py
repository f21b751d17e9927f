"""`symbiont jobs curve`: how the loss of training jobs fell, step by step."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from symbiont.api.training.v1.training_job_pb2 import TrainingEvent
from symbiont.cli.console import make_console
from symbiont.cli.curves.chart import draw
from symbiont.cli.curves.curve import Curve, Measure, curve_of
from symbiont.cli.curves.export import check_export, export_curves
from symbiont.cli.curves.plot import plot_of
from symbiont.cli.target import with_client
from symbiont.client import Client
from symbiont.client.names import full_name, short_name

# Gives the events of a job so far, in their order.
ReadEvents = Callable[[Client, str], Iterable[TrainingEvent]]

# Of a chart in a pipe or a file: what a mail or a log shows without wrapping it.
_PIPED_WIDTH, _PIPED_HEIGHT = 100, 24
_MOST_HEIGHT = 40
_MOST_SMOOTHING = 0.999
_MEASURES = f"What to show: {', '.join(Measure)}."


@with_client
def curve(
    client: Client,
    jobs: Annotated[list[str], typer.Argument(metavar="JOB", help="Ids of one or more jobs, drawn into one chart.")],
    measure: Annotated[Measure, typer.Option(metavar="MEASURE", help=_MEASURES)] = Measure.LOSS,
    smooth: Annotated[
        float,
        typer.Option(
            min=0, max=_MOST_SMOOTHING, help="Draw a moving average over the points; 0.6 is a little, 0.95 a lot."
        ),
    ] = 0.0,
    log: Annotated[bool, typer.Option("--log", help="Space the y axis by factors: small late gains show.")] = False,
    export: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write a picture (.png, .svg) or every point as a table (.csv) instead.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Draws what jobs reported at each step, also while they run: the loss, unless --measure says otherwise.

    A curve that has flattened will not gain from more epochs; one that jumps about wants a lower learning rate. The
    evaluation loss, of jobs that judge their checkpoints, rises again where a job begins to learn its rows by heart.

    Example: symbiont jobs curve j1 j2 --measure evaluation-loss --log --export curves.png
    """
    if export:
        check_export(export)
    curves = read_curves(client, jobs, measure)
    plot = plot_of(curves, smoothing=smooth, log=log)
    _tell_empty(curves)
    console = make_console()
    if export:
        export_curves(curves, plot, export)
        console.print(f"written: {export}", markup=False, soft_wrap=True)
    else:
        console.print(draw(plot, *_size(console)), soft_wrap=True)


def events_so_far(client: Client, job: str) -> Iterable[TrainingEvent]:
    """Returns the events that a job has had, without waiting for more."""
    return client.list_training_events(job)


def read_curves(
    client: Client, jobs: Iterable[str], measure: Measure, read_events: ReadEvents = events_so_far
) -> list[Curve]:
    """Returns a curve for each of the jobs, named once however often they are given."""
    names = dict.fromkeys(full_name("jobs", job) for job in jobs)
    return [curve_of(short_name(name), measure, read_events(client, name)) for name in names]


def _tell_empty(curves: Sequence[Curve]) -> None:
    """Says on stderr which of the jobs are not in the chart."""
    for found in curves:
        if reason := found.emptiness():
            make_console(stderr=True).print(f"not drawn: {reason}", markup=False, soft_wrap=True)


def _size(console: Console) -> tuple[int, int]:
    """Returns columns and lines for a chart: on a terminal so many that the prompt stands below it."""
    if not console.is_terminal:
        return _PIPED_WIDTH, _PIPED_HEIGHT
    return console.width, min(console.height - 2, _MOST_HEIGHT)
