"""`symbiont jobs`: what trains, what has trained."""

from typing import Annotated

import typer
from rich.table import Table

from symbiont.api.training.v1.training_job_pb2 import JOB_STATE_SUCCEEDED, TrainingJob
from symbiont.cli.console import make_console, print_error
from symbiont.cli.render import (
    confusion,
    facts,
    failure_text,
    progress_text,
    quality,
    state_text,
    state_word,
    table,
    when,
)
from symbiont.cli.target import with_client
from symbiont.cli.watch import job_display
from symbiont.client import Client
from symbiont.client.names import full_name, short_name

app = typer.Typer(no_args_is_help=True, help="Training jobs: list, show, watch, cancel.")
JobArgument = Annotated[str, typer.Argument(help="Id of the job.")]


@app.command("list")
@with_client
def list_all(
    client: Client,
    state: Annotated[list[str] | None, typer.Option(help="Only jobs in this state, as running; repeatable.")] = None,
    model: Annotated[str, typer.Option(help="Only jobs of this model.")] = "",
    oldest_first: Annotated[bool, typer.Option("--oldest-first", help="The oldest first, not the newest.")] = False,
) -> None:
    """Lists the jobs, newest first, all of them or those asked for."""
    rows = (
        (
            short_name(j.name),
            state_text(j.state),
            short_name(j.spec.model),
            progress_text(j),
            f"{100 * j.evaluation.accuracy:.1f} %" if j.evaluation.row_count else "",
            j.attempt or "",
            when(j.create_time),
        )
        for j in client.list_training_jobs(states=state or (), model=model, oldest_first=oldest_first)
    )
    make_console().print(table(["JOB", "STATE", "MODEL", ">STEPS", ">ACCURACY", ">ATTEMPT", "CREATED"], rows))


@app.command()
@with_client
def show(client: Client, job: JobArgument) -> None:
    """Shows one job, with its confusion matrix once it was judged."""
    found = client.get_training_job(job)
    console = make_console()
    console.print(_facts(found))
    if found.evaluation.row_count:
        console.print()
        console.print(confusion(found.evaluation))


@app.command()
@with_client
def watch(
    client: Client,
    job: JobArgument,
    after: Annotated[int, typer.Option(help="Show only events after this one.", metavar="EVENT_ID")] = 0,
) -> None:
    """Shows a job until it ends, past events first; Ctrl-C detaches. Exits with 1 when the job did not succeed."""
    watch_job(client, full_name("jobs", job), after)


@app.command()
@with_client
def cancel(client: Client, job: JobArgument) -> None:
    """Asks a job to stop."""
    cancelled = client.cancel_training_job(job)
    make_console().print(cancelled.name, state_text(cancelled.state))


def watch_job(client: Client, job: str, after_event_id: int = 0) -> None:
    """Shows a job until it ends, and what became of it.

    Raises:
        typer.Exit: with status 1, when the job did not succeed.
    """
    console = make_console()
    try:
        with job_display(console) as display:
            display.follow(short_name(job), client.watch_training_job(job, after_event_id))
    except KeyboardInterrupt:
        console.print(f"detached, the job goes on; watch it again with: symbiont jobs watch {short_name(job)}")
        return
    found = client.get_training_job(job)
    if found.state != JOB_STATE_SUCCEEDED:
        print_error(f"{found.name} {state_word(found.state)} {failure_text(found)}".rstrip())
        raise typer.Exit(1)
    version = short_name(found.model_version)
    console.print(f"[green]succeeded[/]: {found.model_version}; {quality(found.evaluation)}")
    console.print(f"[dim]serve it with[/] symbiont models promote {version}")


def _facts(job: TrainingJob) -> Table:
    spec = job.spec
    return facts(
        [
            ("name", job.name),
            ("state", state_text(job.state)),
            ("failure", failure_text(job)),
            ("model", spec.model),
            ("base", spec.base_model),
            ("dataset", spec.dataset),
            ("judged by", spec.evaluation_dataset or f"{spec.holdout_fraction:g} of the dataset"),
            ("method", (spec.WhichOneof("method") or "").replace("_", "-")),
            ("steps", progress_text(job)),
            ("attempt", job.attempt or ""),
            ("quality", quality(job.evaluation)),
            ("made", job.model_version),
            ("created", when(job.create_time)),
            ("started", when(job.start_time)),
            ("ended", when(job.end_time)),
        ]
    )
