"""What the demo prints at its end."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from symbiont.api.training.v1.model_pb2 import ModelVersion
from symbiont.cli.demo.load import CONCURRENCY, TEXTS_A_CALL, Served
from symbiont.cli.demo.quality import accuracy, macro_f1
from symbiont.cli.demo.texts import LabelledSet, Row
from symbiont.cli.render import share, table
from symbiont.client import Prediction

SAMPLES = 6
LONGEST_SAMPLE = 70
BUNDLES = "bundles"


@dataclass(frozen=True)
class ModelResult:
    """How good one model is, beside its baseline."""

    model: str
    accuracy: float
    macro_f1: float
    baseline: float

    @property
    def above_baseline(self) -> bool:
        """Whether training on the host was worth it."""
        return self.accuracy > self.baseline


def result_of(labelled: LabelledSet, served: Served, baseline: float) -> ModelResult:
    """Judges the served answers."""
    truth = [row.label for row in labelled.held_out]
    predicted = [prediction.label for prediction in served.predictions[labelled.model]]
    return ModelResult(labelled.model, accuracy(truth, predicted), macro_f1(truth, predicted), baseline)


def print_samples(console: Console, sets: Sequence[LabelledSet], served: Served) -> None:
    """Prints a few answers of each model."""
    rows = [
        (
            labelled.model,
            Text(answer.label, style="green" if answer.label == row.label else "red"),
            f"{answer.probability:.3f}",
            row.label,
            row.text,
        )
        for labelled in sets
        for row, answer in _samples(labelled, served)
    ]
    console.print(table(["MODEL", "LABEL", ">PROBABILITY", "TRUTH", "TEXT"], rows))


def print_results(console: Console, results: Sequence[ModelResult], served: Served) -> None:
    """Prints quality and speed of each model."""
    rows = [
        (
            result.model,
            Text(share(result.accuracy), style="green" if result.above_baseline else "bold red"),
            share(result.macro_f1),
            share(result.baseline),
            f"{served.percentile(result.model, 0.5):.1f} ms",
            f"{served.percentile(result.model, 0.95):.1f} ms",
        )
        for result in results
    ]
    console.print(table(["MODEL", ">ACCURACY", ">MACRO-F1", ">BASELINE ACCURACY", ">P50", ">P95"], rows))
    console.print(
        "[dim]held-out rows, answered by inference; baseline: TF-IDF of words and word pairs with logistic regression "
        "on the same rows; latency: one text a call, one call at a time[/]"
    )
    console.print(
        f"mixed load of both models on one host: [bold]{served.texts_per_second:,.0f} texts/s[/] "
        f"[dim]({CONCURRENCY} calls of {TEXTS_A_CALL} texts in flight)[/]"
    )


def print_next(
    console: Console, home: Path, metrics_urls: dict[str, str], versions: Sequence[ModelVersion], stays_up: bool
) -> None:
    """Prints where to look and what to try."""
    for version in versions:
        console.print(
            f"bundle of {version.name}: {home / 'artifacts' / BUNDLES / version.bundle_digest}", soft_wrap=True
        )
    console.print(f"logs: {home / 'logs'}, workers' logs: {home / 'jobs'}", soft_wrap=True)
    if metrics_urls:
        console.print(
            f"metrics{'' if stays_up else ' (while the suite is up)'}: {'  '.join(metrics_urls.values())}",
            soft_wrap=True,
        )
    where = f" --home {home}" if home.name != ".symbiont" or home.parent != Path.cwd() else ""
    commands = [] if stays_up else [f"symbiont up{where}"]
    commands += [
        f'symbiont predict sentiment "A joy from start to end."{where} --top-k 2',
        f'symbiont predict question-type "Who wrote Hamlet?"{where}',
        f"symbiont models show sentiment{where}",
        f"symbiont jobs list{where}",
    ]
    console.print("try, in another terminal after `source .venv/bin/activate`:")
    for command in commands:
        console.print(f"  {command}", markup=False, soft_wrap=True)


def _samples(labelled: LabelledSet, served: Served) -> list[tuple[Row, Prediction]]:
    """Picks short texts, as many of each label as fit."""
    pairs = zip(labelled.held_out, served.predictions[labelled.model], strict=True)
    of_label: dict[str, list[tuple[Row, Prediction]]] = {}
    for row, answer in pairs:
        if len(row.text) <= LONGEST_SAMPLE:
            of_label.setdefault(row.label, []).append((row, answer))
    each = max(1, SAMPLES // len(of_label))
    return [pair for label in sorted(of_label) for pair in of_label[label][:each]]
