"""`symbiont advise`: races tuning methods on a dataset, and says which one is worth its compute."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from symbiont.advisor.advice import Advice, Rung
from symbiont.advisor.bench import Purse
from symbiont.advisor.race import RaceSettings
from symbiont.advisor.race import advise as race
from symbiont.advisor.trials import ALL_METHODS, METHODS, methods_of, word
from symbiont.api.training.v1.training_job_pb2 import TrainingSpec
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
    percentage,
    seconds_of,
    show_curves,
)
from symbiont.cli.target import with_client
from symbiont.client import Client
from symbiont.client.names import short_name

_OTHERS = ", ".join(word(method) for method in ALL_METHODS if method not in METHODS)
_RUNGS = f"Method to race; repeat (default: {', '.join(map(word, METHODS))}). Others: {_OTHERS}."


@with_client
@with_spec
def advise(
    client: Client,
    spec: TrainingSpec,
    rungs: Annotated[list[str] | None, option(STUDY, _RUNGS, "--rung")] = None,
    tolerance: Annotated[
        float, option(STUDY, "Points that a cheaper method may be below the best and still be advised (default: 0.5).")
    ] = 0.5,
    seeds: Annotated[
        int, option(STUDY, "Train methods that are close with so many seeds, and compare the means (default: 1).")
    ] = 1,
    exhaustive: Annotated[bool, option(STUDY, "Climb to the last method, and cut none off.", "--exhaustive")] = False,
    budget: BudgetOption = "",
    max_cost: CostOption = None,
    study: StudyOption = "",
    alias: Annotated[str, option(STUDY, "Alias to point at the advised version, as staging (default: none).")] = "",
    tenant: Annotated[str, option(STUDY, "Whose jobs they are (default: default).")] = "",
    priority: Annotated[int, option(STUDY, "Of jobs that wait the higher goes first (default: 0).")] = 0,
    export: ExportOption = None,
) -> None:
    """Races tuning methods, the cheapest first, and advises the cheapest within a tolerance of the best.

    Every method learns from the same rows and is judged by the same rows, with early stopping, by the measure that says
    most of the task. The ladder ends once two dearer methods in a row bring less than the tolerance; a job that is
    hopelessly behind at half of its steps is cancelled. Each method makes a version of MODEL; none serves until it is
    promoted. Options of a method, as --rank with --method lora, hold for that method; those of the loop for all.

    Jobs are kept by the service: after Ctrl-C or a crash the same command goes on, and makes no job twice.

    Example: symbiont advise intents --base minilm --dataset intents --epochs 5 --budget 30m --export race.svg
    """
    check_picture(export)
    settings = RaceSettings(
        study=study or f"{short_name(spec.model)}-advice",
        methods=methods_of(rungs or ()),
        tolerance=tolerance,
        seeds=seeds,
        exhaustive=exhaustive,
        purse=Purse(seconds_of(budget), max_cost),
        tenant=tenant,
        priority=priority,
    )
    with following(settings.study) as follower:
        advice = race(client, spec, settings, follower)
    console = make_console()
    show(console, advice, export)
    if advice.advised is None:
        raise typer.Exit(1)
    if alias:
        client.promote(advice.version, alias)
        console.print(f"{short_name(advice.model)}@{alias} -> {advice.version}", markup=False)
    else:
        console.print(f"[dim]serve it with[/] symbiont models promote {short_name(advice.version)}")


def show(console: Console, advice: Advice, export: Path | None) -> None:
    """Prints the table, the curves, and the advice with its reasons."""
    columns, priced = (
        ["METHOD", f">{advice.metric.upper().replace('_', ' ')}", "95 % INTERVAL", ">TRAINING"],
        any(rung.cost for rung in advice.rungs),
    )
    columns += [*([">COST"] if priced else []), ">TRAINED", "MADE", ""]
    console.print(table(columns, [_row(advice, rung, priced) for rung in advice.rungs]))
    console.print()
    runs = [rung.runs[0] for rung in advice.rungs if rung.runs]
    show_curves(console, runs, f"Best {advice.metric.replace('_', ' ')} so far, by seconds of training", export)
    console.print()
    if advice.advised:
        console.print(f"[bold green]advised: {word(advice.advised.method)}[/] [dim]({advice.version})[/]")
    for reason in advice.reasons():
        console.print(f"  {reason}", markup=False, soft_wrap=True)


def _row(advice: Advice, rung: Rung, priced: bool) -> Sequence[Any]:
    chosen = advice.advised is rung
    name = Text(word(rung.method), "bold green" if chosen else "")
    if not rung.runs:
        return (name, "", "", "", *([""] * priced), "", "", f"{rung.fate}: {rung.why}")
    value = metric(advice.metric, rung.value) if rung.value is not None else ""
    cost = [f"{rung.cost:.4g}"] if priced else []
    note = "advised" if chosen else f"{rung.fate}: {rung.why}" if rung.value is None else _note(rung)
    made = short_name(rung.best_run.job.model_version)
    return (name, value, _interval(advice, rung), duration(rung.seconds), *cost, _trained(rung), made, note)


def _interval(advice: Advice, rung: Rung) -> str:
    found = rung.interval(advice.metric)
    return f"{percentage(found[0])} to {percentage(found[1])}" if found else ""


def _trained(rung: Rung) -> str:
    """Returns how many parameters are trained, and what share that is, as far as the job has said it."""
    found = rung.runs[0].curve.parameters
    return f"{found[1]:,} ({100 * found[1] / found[0]:.3g} %)" if found else ""


def _note(rung: Rung) -> str:
    seeds = f"mean of {len(rung.measured)} seeds" if len(rung.runs) > 1 else ""
    budget = "ended by the budget" if rung.stopped_by_budget else ""
    return ", ".join(filter(None, (seeds, budget)))
