"""Tables and short forms of what the services answer."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from symbiont.api.training.v1.dataset_pb2 import DatasetFormat
from symbiont.api.training.v1.training_job_pb2 import (
    JOB_STATE_CANCELLED,
    JOB_STATE_FAILED,
    JOB_STATE_PAUSED,
    JOB_STATE_RECOVERING,
    JOB_STATE_SUCCEEDED,
    Budget,
    Evaluation,
    FailureKind,
    JobState,
    TrainingJob,
)

_COLOUR = {
    JOB_STATE_SUCCEEDED: "green",
    JOB_STATE_FAILED: "red",
    JOB_STATE_CANCELLED: "yellow",
    JOB_STATE_RECOVERING: "yellow",
    JOB_STATE_PAUSED: "yellow",
}


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> Table:
    """Returns a plain table; a column whose title begins with `>` is aligned right.

    Cells are shown as they are, since labels and texts are the customer's: colour comes as a rich Text.
    """
    made = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        made.add_column(escape(column.removeprefix(">")), justify="right" if column.startswith(">") else "left")
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else escape(str(cell)) for cell in row))
    return made


def facts(pairs: Iterable[tuple[str, Any]]) -> Table:
    """Returns names and values below one another; empty values are left out."""
    made = Table.grid(padding=(0, 2))
    for name, value in pairs:
        if str(value):
            made.add_row(f"[dim]{name}[/]", value if isinstance(value, Text) else escape(str(value)))
    return made


def state_word(state: JobState.ValueType) -> str:
    """Returns `running` for JOB_STATE_RUNNING."""
    return JobState.Name(state).removeprefix("JOB_STATE_").lower()


def state_text(state: JobState.ValueType) -> Text:
    """Returns the state's word in its colour."""
    return Text(state_word(state), style=_COLOUR.get(state, "cyan"))


def format_word(value: DatasetFormat.ValueType) -> str:
    """Returns `csv` for DATASET_FORMAT_CSV."""
    return DatasetFormat.Name(value).removeprefix("DATASET_FORMAT_").lower()


def enum_words(enum: Any, values: Iterable[int], prefix: str) -> str:
    """Returns enum values as lower-case words."""
    return ", ".join(enum.Name(value).removeprefix(prefix).lower().replace("_", "-") for value in values)


def when(time: Timestamp) -> str:
    """Returns a time in UTC, to the second; empty when it is not set."""
    return time.ToDatetime().isoformat(" ", "seconds") + "Z" if time.seconds else ""


# Measures that are no shares.
_NUMBERS = ("mae", "rmse", "loss", "pearson", "spearman", "perplexity", "masked_tokens")
# Measures that another one says in better words.
_UNSAID = ("loss", "loss_before", "masked_tokens", "uncalibrated_error")
_METRIC_WORDS = {
    "accuracy": "accuracy",
    "accuracy_before": "accuracy before",
    "perplexity_before": "perplexity before",
    "calibration_error": "calibration error",
    "exact_match": "exact match",
    "f1": "F1",
    "macro_f1": "macro-F1",
    "micro_f1": "micro-F1",
    "mae": "mean error",
    "rmse": "root mean squared error",
    "mrr": "MRR",
    "nearest_accuracy": "nearest is alike",
    "recall_at_1": "found first",
    "spearman": "rank correlation",
    "pearson": "correlation",
    "subset_accuracy": "all labels right",
    "word_accuracy": "words right",
}


def share(value: float) -> str:
    """Returns a share between 0 and 1 as the percentage with one decimal."""
    return f"{100 * value:.1f} %"


def quality(evaluation: Evaluation) -> str:
    """Returns what was measured in one line, what says most first; empty when nothing was judged."""
    if not evaluation.row_count:
        return ""
    # Releases before measured nothing else.
    values = dict(evaluation.metrics) or {"accuracy": evaluation.accuracy, "macro_f1": evaluation.macro_f1}
    first = evaluation.primary_metric or "accuracy"
    names = [first, *sorted(name for name in values if name not in (first, *_UNSAID))]
    return ", ".join(f"{_METRIC_WORDS.get(name, name)} {metric(name, values[name])}" for name in names)


def headline(evaluation: Evaluation) -> str:
    """Returns what says most of a model; empty when nothing was judged."""
    return quality(evaluation).partition(",")[0]


def metric(name: str, value: float) -> str:
    """Returns a measure: a share as a percentage, anything else as a number."""
    return f"{value:.4g}" if name.removesuffix("_before") in _NUMBERS else share(value)


def progress_text(job: TrainingJob) -> str:
    """Returns how far a job is."""
    progress = job.progress
    return f"{progress.step}/{progress.total_steps}" if progress.total_steps else ""


def budget_text(budget: Budget) -> str:
    """Returns what a job may use, in one line; empty for no limits."""
    parts = [
        f"{duration_text(budget.training_time)} of training" if budget.HasField("training_time") else "",
        f"cost {budget.cost:g}" if budget.HasField("cost") else "",
        f"within {duration_text(budget.deadline)}" if budget.HasField("deadline") else "",
    ]
    return ", ".join(filter(None, parts))


def usage_text(job: TrainingJob) -> str:
    """Returns what a job has used, and what a plan had said of its time."""
    if not job.usage.training_time.ToNanoseconds():
        return ""
    cost = f", cost {job.usage.cost:.4g}" if job.usage.cost else ""
    planned = f" (planned: {duration_text(job.estimated_time)})" if job.HasField("estimated_time") else ""
    return f"{duration_text(job.usage.training_time)}{cost}{planned}"


def duration_text(duration: Duration) -> str:
    """Returns `1:02:03`, or `12.3 s` under a minute."""
    seconds = duration.ToNanoseconds() / 1e9
    return f"{seconds:.1f} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))


def failure_text(job: TrainingJob) -> str:
    """Returns why a job failed; empty when it did not."""
    if job.state != JOB_STATE_FAILED:
        return ""
    kind = FailureKind.Name(job.failure.kind).removeprefix("FAILURE_KIND_")
    return f"{kind}: {job.failure.message}"


def class_changes(evaluation: Evaluation) -> Table:
    """Returns how each class is known, against the version that the job started from; the most fallen first."""
    changes = sorted(evaluation.class_changes, key=lambda change: change.after - change.before)
    rows = (
        (
            c.label,
            c.row_count,
            c.metric,
            share(c.before),
            share(c.after),
            f"{c.low:+.1%} to {c.high:+.1%}",
            "[red]worse[/]" if c.high < 0 else "",
        )
        for c in changes
    )
    return table(["CLASS", ">ROWS", "METRIC", ">BEFORE", ">AFTER", ">CHANGE, 95 %", ""], rows)


def confusion(evaluation: Evaluation) -> Table:
    """Returns the confusion matrix: rows are true labels, columns predicted ones."""
    labels, cells = list(evaluation.labels), list(evaluation.confusion_matrix)
    width = len(labels)
    rows = [[label, *cells[i * width : (i + 1) * width]] for i, label in enumerate(labels)]
    return table(["true \\ predicted", *(f">{label}" for label in labels)], rows)
