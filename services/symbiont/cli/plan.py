"""`symbiont plan`: what a training job would take, from a short trial on its rows."""

from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from symbiont.api.training.v1.training_job_pb2 import Estimate, MethodAdvice, TextReport, TrainingPlan, TrainingSpec
from symbiont.cli.console import make_console
from symbiont.cli.render import facts, share, table
from symbiont.cli.spec import with_spec
from symbiont.cli.target import with_client
from symbiont.client import Client

GIB = 1 << 30
# Of more labels only the most frequent ones are shown.
MOST_LABELS = 10


@with_client
@with_spec
def plan(client: Client, spec: TrainingSpec) -> None:
    """Says how long a job would take, how much memory, at what cost, and what its rows are like; queues nothing.

    A trial on the real rows trains for some twenty seconds. One case in ten is below a range, one in ten above it.

    Example: symbiont plan intents --dataset intents --base minilm --epochs 3
    """
    console = make_console()
    with console.status("asking") as status:

        def tell(stage: str) -> None:
            # Beside the spinner on a terminal, on a line of its own elsewhere.
            if console.is_terminal:
                status.update(stage)
            else:
                console.print(stage, markup=False)

        made = client.plan_training_job(spec, progress=tell)
    show(console, made)


def show(console: Console, made: TrainingPlan) -> None:
    """Prints a plan."""
    console.print(facts([*_costs(made), *_texts(made.texts), ("recommended", _method(made.advice))]))
    for reason in made.advice.reasons:
        console.print(f"  {reason}", markup=False)
    console.print()
    console.print(_labels(made))
    for warning in made.warnings:
        console.print(f"[yellow]{warning.code}[/]", end=" ")
        console.print(warning.text, markup=False)


def _costs(made: TrainingPlan) -> Sequence[tuple[str, str]]:
    parts = sorted(made.seconds_by_part.items(), key=lambda part: -part[1])
    cost = _range(made.cost, lambda value: f"{value:.4g}") if made.HasField("cost") else ""
    return [
        ("training time", _range(made.training_time_seconds, duration)),
        ("of it", ", ".join(f"{name} {duration(seconds)}" for name, seconds in parts)),
        ("memory", _range(made.memory_bytes, lambda value: f"{value / GIB:.2f} GiB")),
        ("cost", cost),
        ("steps", f"{made.total_steps:,}"),
    ]


def _texts(texts: TextReport) -> Sequence[tuple[str, str]]:
    lengths = f"mean {texts.mean_tokens:.0f}, median {texts.median_tokens}, p95 {texts.p95_tokens}"
    return [
        ("rows", f"{texts.row_count:,}"),
        ("tokens of a text", f"{lengths}, longest {texts.max_tokens}; {share(texts.cut_fraction)} are cut"),
        ("repeated texts", f"{share(texts.duplicate_fraction)}; {texts.contradictory_count} with more than one label"),
        ("unknown tokens", share(texts.unknown_fraction)),
        ("languages", ", ".join(f"{found.language} {share(found.fraction)}" for found in texts.languages)),
    ]


def _method(advice: MethodAdvice) -> str:
    return f"lora, rank {advice.lora.rank}" if advice.WhichOneof("method") == "lora" else "head-only"


def _labels(made: TrainingPlan) -> Table:
    ordered = sorted(made.labels, key=lambda found: -found.count)
    rows: list[Sequence[Any]] = [(found.label, found.count, share(found.fraction)) for found in ordered[:MOST_LABELS]]
    if rest := ordered[MOST_LABELS:]:
        rows.append((f"{len(rest)} more", sum(f.count for f in rest), share(sum(f.fraction for f in rest))))
    return table(["LABEL", ">ROWS", ">SHARE"], rows)


def _range(estimate: Estimate, words: Callable[[float], str]) -> str:
    return f"{words(estimate.value)} ({words(estimate.low)} to {words(estimate.high)})"


def duration(seconds: float) -> str:
    """Returns `1 h 05 min`, `2 min 05 s`, `12 s` or `0.4 s`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes_left:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
