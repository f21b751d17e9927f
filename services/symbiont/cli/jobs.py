"""`symbiont jobs`: what trains, what has trained."""

import sys
from collections.abc import Callable
from concurrent.futures import Future, as_completed
from threading import Thread
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from symbiont.api.training.v1.training_job_pb2 import JOB_STATE_SUCCEEDED, JobState, TrainingJob
from symbiont.cli.console import describe, make_console, print_error
from symbiont.cli.curve_command import curve
from symbiont.cli.render import (
    budget_text,
    class_changes,
    confusion,
    facts,
    failure_text,
    headline,
    progress_text,
    quality,
    state_text,
    state_word,
    table,
    usage_text,
    when,
)
from symbiont.cli.target import with_client
from symbiont.cli.watch import JobDisplay, job_display
from symbiont.client import Client, RequestError
from symbiont.client.names import full_name, short_name
from symbiont.client.watching import has_ended

app = typer.Typer(no_args_is_help=True, help="Training jobs: list, show, watch, pause, resume, cancel, logs, curve.")
app.command("curve")(curve)
JobsArgument = Annotated[list[str], typer.Argument(metavar="JOB...", help="Ids of jobs.")]
# States in which something may still happen.
OPEN = tuple(state_word(state) for state in JobState.values() if state and not has_ended(state))
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
            short_name(j.spec.model or j.spec.derived_base),
            _method(j),
            progress_text(j),
            headline(j.evaluation),
            j.attempt or "",
            when(j.create_time),
        )
        for j in client.list_training_jobs(states=state or (), model=model, oldest_first=oldest_first)
    )
    make_console().print(table(["JOB", "STATE", "MAKES", "METHOD", ">STEPS", "QUALITY", ">ATTEMPT", "CREATED"], rows))


@app.command()
@with_client
def show(client: Client, job: JobArgument) -> None:
    """Shows one job, with its confusion matrix once it was judged."""
    found = client.get_training_job(job)
    console = make_console()
    console.print(_facts(found))
    if found.evaluation.confusion_matrix:
        console.print()
        console.print(confusion(found.evaluation))
    if found.evaluation.class_changes:
        console.print()
        console.print(class_changes(found.evaluation))


@app.command()
@with_client
def watch(
    client: Client,
    jobs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[JOB]...", help="Ids of jobs; without any, all that are open."),
    ] = None,
    after: Annotated[int, typer.Option(help="Show only events after this one.", metavar="EVENT_ID")] = 0,
) -> None:
    """Shows jobs until they end, past events first; Ctrl-C detaches. Exits with 1 when one did not succeed.

    Example: symbiont jobs watch job-1a2b3c job-4d5e6f
    """
    names = [full_name("jobs", job) for job in jobs or ()] or [
        job.name for job in client.list_training_jobs(states=OPEN)
    ]
    if not names:
        make_console().print("no job waits or runs")
    elif len(names) == 1:
        watch_job(client, names[0], after)
    else:
        watch_jobs(client, names, after)


@app.command()
@with_client
def pause(client: Client, jobs: JobsArgument) -> None:
    """Asks jobs to stop after a checkpoint, and to wait for `symbiont jobs resume`."""
    _each(jobs, client.pause_training_job)


@app.command()
@with_client
def resume(client: Client, jobs: JobsArgument) -> None:
    """Queues paused jobs again; they go on where they were."""
    _each(jobs, client.resume_training_job)


@app.command()
@with_client
def cancel(
    client: Client,
    jobs: JobsArgument,
    keep: Annotated[bool, typer.Option("--keep", help="Make a model version of the best that was learned.")] = False,
) -> None:
    """Asks jobs to stop for good; what they have learned is dropped, unless it is to be kept."""
    _each(jobs, lambda job: client.cancel_training_job(job, keep_work=keep))


def _each(jobs: list[str], ask: Callable[[str], TrainingJob]) -> None:
    """Asks for every job, whatever became of those before; the status is 1 when one was refused."""
    refused = False
    for job in jobs:
        try:
            changed = ask(job)
        except RequestError as exc:
            if len(jobs) == 1:
                raise
            refused = True
            print_error(f"{job}: {describe(exc)}")
        else:
            make_console().print(changed.name, state_text(changed.state))
    if refused:
        raise typer.Exit(1)


@app.command()
@with_client
def logs(
    client: Client,
    job: JobArgument,
    attempt: Annotated[int, typer.Option(help="Number of the attempt (default: the current one).")] = 0,
    tail: Annotated[int, typer.Option(help="Only the last so many bytes.", metavar="BYTES")] = 0,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the attempt is over.")] = False,
) -> None:
    """Prints what the worker of a job has printed."""
    for chunk in client.read_training_log(job, attempt=attempt, tail_bytes=tail, follow=follow):
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()


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
    made, succeeded = _made(found), found.state == JOB_STATE_SUCCEEDED
    if not succeeded:
        print_error(f"{found.name} {state_word(found.state)} {failure_text(found)}".rstrip())
    if made:
        # One that its budget ended, or that was cancelled with its work kept, has made something, too.
        verdict = "[green]succeeded[/]" if succeeded else "what it had learnt is kept"
        console.print(f"{verdict}: {made}; {escape(quality(found.evaluation))}", soft_wrap=True)
    if found.derived_base:
        console.print(f"[dim]train on it with[/] symbiont train MODEL --dataset DATASET --base {short_name(made)}")
    elif made:
        console.print(f"[dim]serve it with[/] symbiont models promote {short_name(made)}")
    if not succeeded:
        raise typer.Exit(1)


def _made(job: TrainingJob) -> str:
    return job.model_version or job.derived_base


def watch_jobs(client: Client, jobs: list[str], after_event_id: int = 0) -> None:
    """Shows several jobs at once until all have ended, and what became of each.

    Raises:
        typer.Exit: with status 1, when one of them did not succeed.
    """
    console = make_console()
    for job in jobs:
        # What is not there is said now, not when the others have ended.
        client.get_training_job(job)
    try:
        with job_display(console) as display:
            _follow_all(display, client, jobs, after_event_id)
    except KeyboardInterrupt:
        console.print("detached, the jobs go on; watch them again with: symbiont jobs watch")
        return
    ended = [client.get_training_job(job) for job in jobs]
    console.print(table(["JOB", "STATE", "MADE", "QUALITY"], map(_outcome, ended)))
    if any(job.state != JOB_STATE_SUCCEEDED for job in ended):
        raise typer.Exit(1)


def _follow_all(display: JobDisplay, client: Client, jobs: list[str], after_event_id: int) -> None:
    """Shows jobs until all have ended, or one can be followed no more."""
    following: list[Future[None]] = []
    for job in jobs:
        display.add(short_name(job))
        done: Future[None] = Future()
        following.append(done)
        # No pool: its threads are waited for when the process ends, and these may wait for events that never come.
        Thread(target=_follow, args=(done, display, client, job, after_event_id), daemon=True).start()
    for done in as_completed(following):
        done.result()


def _outcome(job: TrainingJob) -> tuple[object, ...]:
    return short_name(job.name), state_text(job.state), _made(job) or failure_text(job), quality(job.evaluation)


def _follow(done: Future[None], display: JobDisplay, client: Client, job: str, after_event_id: int) -> None:
    try:
        for event in client.watch_training_job(job, after_event_id):
            display.show(short_name(job), event)
    except Exception as exc:  # noqa: BLE001, it is raised where the outcome is asked for
        done.set_exception(exc)
    else:
        done.set_result(None)


def _method(job: TrainingJob) -> str:
    return (job.spec.WhichOneof("method") or "").replace("_", "-")


def _facts(job: TrainingJob) -> Table:
    spec = job.spec
    return facts(
        [
            ("name", job.name),
            ("state", state_text(job.state)),
            ("failure", failure_text(job)),
            ("model", spec.model),
            ("derived base", spec.derived_base),
            ("base", spec.base_model),
            ("dataset", spec.dataset),
            ("starts from", spec.start_from),
            ("judged by", spec.evaluation_dataset or f"{spec.holdout_fraction:g} of the dataset"),
            ("head", (spec.WhichOneof("head") or "").replace("_", "-")),
            ("method", _method(job)),
            ("steps", progress_text(job)),
            ("attempt", job.attempt or ""),
            ("request id", job.request_id),
            ("tenant", job.tenant if job.tenant != "default" else ""),
            ("priority", job.priority or ""),
            ("budget", budget_text(job.budget)),
            ("used", usage_text(job)),
            ("checkpoints", ", ".join(f"{c.step}{' (best)' if c.best else ''}" for c in job.checkpoints)),
            ("quality", quality(job.evaluation)),
            ("made", _made(job)),
            ("created", when(job.create_time)),
            ("started", when(job.start_time)),
            ("ended", when(job.end_time)),
        ]
    )
