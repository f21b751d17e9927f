"""What a run found, put together and written."""

from collections.abc import Sequence
from pathlib import Path

from symbiont.api.training.v1.training_job_pb2 import TrainingJob
from symbiont.client import Client
from symbiont.evaluation import Outcome, primary
from symbiont.solutions import figures
from symbiont.solutions.asking import Answers
from symbiont.solutions.figures import Beside, Deletion, Figures, Latency
from symbiont.solutions.page import render
from symbiont.solutions.preparing import Datasets
from symbiont.solutions.recipe import Recipe

RUN, REPORT, EVALUATION = "run.json", "report.html", "evaluation.html"


def figures_of(
    recipe: Recipe,
    datasets: Datasets,
    job: TrainingJob,
    outcome: Outcome,
    beside: Sequence[Beside],
    served: Answers,
    *,
    sample: bool,
    deletions: tuple[Deletion, ...] = (),
) -> Figures:
    """Returns what a run found."""
    measured = (*figures.measure(recipe, outcome), *figures.handed_over(recipe, outcome, served.sure))
    return Figures(
        solution=recipe.solution,
        title=recipe.title,
        version=served.version,
        bundle_digest=served.bundle_digest,
        base=job.spec.base_model,
        method=str(job.spec.WhichOneof("method")).replace("_", "-"),
        sample=sample,
        uploaded=datasets.uploaded,
        learnt=datasets.train.row_count,
        judged=len(outcome),
        seconds=job.usage.training_time.ToNanoseconds() / 1e9,
        primary=primary(outcome),
        measured=measured,
        baselines=tuple(beside),
        published=figures.against_published(recipe, measured),
        bars=figures.judge_bars(recipe, measured, beside),
        slices=figures.slices_of(outcome),
        latency=Latency(p50_ms=served.percentile(0.5), p99_ms=served.percentile(0.99), calls=len(served.seconds)),
        deletions=deletions,
        findings=_findings(datasets),
    )


def write(client: Client, folder: Path, found: Figures) -> None:
    """Writes the figures, their page, and the version's own report into a folder."""
    (folder / RUN).write_text(found.model_dump_json(indent=2), encoding="utf-8")
    (folder / REPORT).write_text(render(found), encoding="utf-8")
    (folder / EVALUATION).write_bytes(client.get_evaluation_report(found.version).content)


def _findings(datasets: Datasets) -> tuple[str, ...]:
    found = [finding for step in datasets.train.transforms for finding in step.findings]
    return tuple(f"{one.code.lower().replace('_', ' ')}: {one.count}" for one in found)
