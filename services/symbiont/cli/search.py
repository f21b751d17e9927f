"""`symbiont search`: finds hyperparameters by training, and prints the command that reproduces the best."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from symbiont.advisor.bench import Purse, Run
from symbiont.advisor.curve import Curve
from symbiont.advisor.search import Findings, Found, SearchSettings, said
from symbiont.advisor.search import search as run_search
from symbiont.advisor.space import parse_space
from symbiont.advisor.trials import Trial
from symbiont.api.training.v1.training_job_pb2 import TrainingSpec
from symbiont.cli.command_line import train_command
from symbiont.cli.console import make_console
from symbiont.cli.plan import duration
from symbiont.cli.render import metric, table
from symbiont.cli.spec import option, with_spec
from symbiont.cli.studies import (
    STUDY,
    BudgetOption,
    CostOption,
    ExportOption,
    StudyOption,
    check_picture,
    following,
    seconds_of,
    show_curves,
)
from symbiont.cli.target import DEFAULT_HOME_PATH, with_client
from symbiont.client import Client
from symbiont.client.names import short_name

_MOST_CURVES = 6
_SPACE = (
    "A setting that varies, by the name of its option: learning_rate=1e-5..1e-3:log, epochs=2..6, "
    "warmup_fraction=0..0.2:0.05 (a step), rank=4,8,16, method=lora,houlsby; repeat."
)


class Pruner(StrEnum):
    """What ends trials that fall behind."""

    MEDIAN = "median"
    HYPERBAND = "hyperband"
    NONE = "none"


@with_client
@with_spec
def search(
    client: Client,
    spec: TrainingSpec,
    space: Annotated[list[str] | None, option(STUDY, _SPACE, "--search", "-s")] = None,
    trials: Annotated[int, option(STUDY, "Trials in all, those of earlier runs included (default: 20).")] = 20,
    parallel: Annotated[
        int, option(STUDY, "Trials at a time; how many train at once the service says (default: 1).")
    ] = 1,
    pruner: Annotated[
        Pruner,
        option(STUDY, "Cancels trials that are below the median of the others, or by Hyperband (default: median)."),
    ] = Pruner.MEDIAN,
    sampler_seed: Annotated[int, option(STUDY, "Seed of what is tried next (default: 0).")] = 0,
    budget: BudgetOption = "",
    max_cost: CostOption = None,
    study: StudyOption = "",
    storage: Annotated[
        Path | None, option(STUDY, "Optuna's journal (default: studies/STUDY.journal in the home).")
    ] = None,
    tenant: Annotated[str, option(STUDY, "Whose jobs they are (default: default).")] = "",
    priority: Annotated[int, option(STUDY, "Of jobs that wait the higher goes first (default: 0).")] = 0,
    export: ExportOption = None,
    home: Path = DEFAULT_HOME_PATH,
) -> None:
    """Searches hyperparameters: each trial is a training job, and what to try next follows from those before (TPE).

    Trials are judged at about twelve checkpoints, at the same shares of each training, by the measure that says most of
    the task; one that falls behind is cancelled. All other options hold for every trial. At the end stands the command
    that trains the best spec again, to the byte; its version is made already.

    Jobs are kept by the service, trials in the journal: after Ctrl-C or a crash the same command goes on, and makes no
    job twice. More --trials go on, too.

    Example: symbiont search intents --base minilm --dataset intents -s learning_rate=1e-4..1e-2:log -s rank=4,8,16
    """
    check_picture(export)
    name = study or f"{short_name(spec.model)}-search"
    settings = SearchSettings(
        study=name,
        journal=storage or home / "studies" / f"{name}.journal",
        trials=trials,
        parallel=parallel,
        seed=sampler_seed,
        pruner=pruner.value,
        purse=Purse(seconds_of(budget), max_cost),
        tenant=tenant,
        priority=priority,
    )
    dimensions = parse_space(space or (), spec)
    with following(settings.study) as follower:
        findings = run_search(client, spec, dimensions, settings, follower)
    runs = [*findings.runs, *_earlier(client, findings)] if export else findings.runs
    show(make_console(), replace(findings, runs=runs), export)
    if findings.best is None:
        raise typer.Exit(1)


def _earlier(client: Client, findings: Findings) -> Iterator[Run]:
    """Yields the runs of trials that an earlier call followed, as the service has them."""
    followed = {run.job.name for run in findings.runs}
    for one in findings.trials:
        if one.job and one.job not in followed:
            followed.add(one.job)
            curve = Curve(findings.metric)
            for event in client.list_training_events(one.job):
                curve.add(event)
            yield Run(Trial(f"trial-{one.number}", one.spec, ""), client.get_training_job(one.job), curve)


def show(console: Console, findings: Findings, export: Path | None) -> None:
    """Prints the trials, the best ones first, their curves, and the command of the best."""
    best = findings.best
    ordered = sorted(findings.trials, key=lambda one: (one.state != "complete", -(one.value or 0.0)))
    columns = [">TRIAL", f">{findings.metric.upper().replace('_', ' ')}", ">TRAINING", "STATE", "MADE", "SETTINGS"]
    console.print(table(columns, [_row(findings, one, chosen=one is best) for one in ordered]))
    runs = sorted(findings.runs, key=lambda run: -(run.value or 0.0))[:_MOST_CURVES]
    if runs:
        console.print()
        title = f"Best {findings.metric.replace('_', ' ')} so far, by seconds of training"
        show_curves(console, runs, title, export)
    elif export:
        console.print(f"no trial was judged: {export} is not written", markup=False, soft_wrap=True)
    if best:
        console.print()
        console.print(f"[bold green]best: trial {best.number}[/] [dim]({best.version})[/]")
        console.print(f"  {train_command(best.spec)}", markup=False, soft_wrap=True)


def _row(findings: Findings, one: Found, *, chosen: bool) -> Sequence[Any]:
    value = "" if one.value is None else metric(findings.metric, one.value)
    number = Text(str(one.number), "bold green" if chosen else "")
    return number, value, duration(one.seconds), one.state, short_name(one.version), said(one.values)
