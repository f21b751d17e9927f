"""A solution from raw files to a served, monitored model and its report; each step finds what is done already."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from symbiont.api.training.v1.training_job_pb2 import TrainingJob
from symbiont.client import Client
from symbiont.evaluation import Classified, Outcome, primary
from symbiont.solutions import baselines, figures
from symbiont.solutions.asking import Answers, ask, wait_for
from symbiont.solutions.cataloguing import entries_of, fill_catalogue, search
from symbiont.solutions.checking import Sides, read_sides
from symbiont.solutions.explaining import deletion_test
from symbiont.solutions.figures import Figures, Latency
from symbiont.solutions.learning import learn, spec_of
from symbiont.solutions.loading import Located, RecipeError
from symbiont.solutions.monitoring import write_rules
from symbiont.solutions.outcomes import found_in_catalogue, outcome_of
from symbiont.solutions.page import render
from symbiont.solutions.preparing import Datasets, Say, ensure_base, upload, with_terms
from symbiont.solutions.promoting import promote
from symbiont.solutions.recipe import Data
from symbiont.solutions.rows import SolutionRow, columns_of_dataset

RUN, REPORT, EVALUATION = "run.json", "report.html", "evaluation.html"


@dataclass(frozen=True)
class Run:
    """What is run.

    Attributes:
        data: folder of the raw files.
        out: folder of what a run writes.
        most: so many rows of each side, for a quick look; None takes all.
    """

    located: Located
    data: Path
    out: Path
    most: int | None = None


@dataclass(frozen=True)
class _Served:
    outcome: Outcome
    version: str
    bundle_digest: str
    seconds: Sequence[float]


def check(run: Run) -> Sides:
    """Checks all of a recipe and its files that can be checked without a service; returns its rows.

    Raises:
        RecipeError: something is wrong; says where, and what to do.
    """
    recipe = run.located.recipe
    sides = read_sides(run.located, run.data, run.most)
    spec_of(run.located, recipe.base.id, "train", "test")
    if recipe.serving.catalogue:
        entries_of(run.located, recipe.serving.catalogue, run.data)
    if missing := baselines.missing_packages(recipe.evaluation.baselines):
        place = run.located.at("evaluation", "baselines")
        raise RecipeError([f"{place}: {', '.join(missing)} is not installed: pip install 'symbiont[solutions]'"])
    return sides


def run(client: Client, asked: Run, say: Say) -> Figures:
    """Runs a solution.

    Raises:
        RecipeError: the recipe or its files are wrong, before anything starts.
        JobFailedError: training made no version.
        NotPromotedError: the gate keeps the version from its alias.
        RequestError: a service refuses.
    """
    sides = check(asked)
    recipe, data = asked.located.recipe, _data(asked.located)
    base = ensure_base(client, recipe, say)
    asked.out.mkdir(parents=True, exist_ok=True)
    datasets = upload(client, recipe, columns_of_dataset(data), (sides.train, sides.test), asked.out / "rows", say)
    trained_on = with_terms(client, recipe, base, datasets.train.name, say)
    job = learn(client, recipe, spec_of(asked.located, trained_on, datasets.train.name, datasets.test.name), say)
    promote(client, recipe, job.model_version, say)
    write_rules(recipe, asked.out)
    served = _serve(client, asked, sides.test, job.model_version, say)
    found = _judge(client, asked, sides, datasets, job, served, say)
    _write(client, asked, found)
    return found


def _data(located: Located) -> Data:
    data = located.recipe.data
    if data is None:
        raise RecipeError([f"{located.path}: it has no section `data`"])
    return data


def _serve(client: Client, asked: Run, rows: Sequence[SolutionRow], version: str, say: Say) -> _Served:
    recipe = asked.located.recipe
    model = f"{recipe.model}@{recipe.serving.alias}"
    say(f"asking {model} about {len(rows)} rows")
    # While a release tries the version, not every call is for it.
    trying = recipe.serving.release is not None
    if recipe.serving.catalogue:
        return _search(client, asked, rows, model, version)
    inputs = [row.asked(recipe.task.head) for row in rows]
    answers: Answers = ask(client, version.removeprefix("models/") if trying else model, inputs, version)
    outcome = outcome_of(recipe, rows, answers.predictions)
    return _Served(outcome, answers.version, answers.bundle_digest, answers.seconds)


def _search(client: Client, asked: Run, rows: Sequence[SolutionRow], model: str, version: str) -> _Served:
    source = asked.located.recipe.serving.catalogue
    assert source is not None  # noqa: S101, the caller looked
    entries = entries_of(asked.located, source, asked.data)
    wait_for(client, model, rows[0].text, version)
    fill_catalogue(client, source.id, model, entries)
    found, seconds = search(client, source.id, [row.text for row in rows])
    digest = client.get_model_version(version).bundle_digest
    return _Served(found_in_catalogue(rows, found), version, digest, seconds)


def _judge(
    client: Client, asked: Run, sides: Sides, datasets: Datasets, job: TrainingJob, served: _Served, say: Say
) -> Figures:
    recipe, outcome = asked.located.recipe, served.outcome
    measured = figures.measure(recipe, outcome)
    beside = []
    for name in recipe.evaluation.baselines:
        say(f"baseline {name}")
        theirs = baselines.baseline(name, recipe, sides.train, sides.test)
        beside.append(figures.beside(recipe, name, outcome, theirs))
    deletion = None
    if recipe.evaluation.deletion_test and isinstance(outcome, Classified):
        model = f"{recipe.model}@{recipe.serving.alias}"
        deletion = deletion_test(client, model, sides.test, recipe.evaluation.deletion_test)
    return Figures(
        solution=recipe.solution,
        title=recipe.title,
        version=served.version,
        bundle_digest=served.bundle_digest,
        base=job.spec.base_model,
        method=str(job.spec.WhichOneof("method")).replace("_", "-"),
        sample=asked.most is not None,
        uploaded=datasets.uploaded,
        learnt=datasets.train.row_count,
        judged=len(sides.test),
        seconds=job.usage.training_time.ToNanoseconds() / 1e9,
        primary=primary(outcome),
        measured=measured,
        baselines=tuple(beside),
        published=figures.against_published(recipe, measured),
        bars=figures.judge_bars(recipe, measured, beside),
        slices=figures.slices_of(outcome),
        latency=_latency(served.seconds),
        deletion=deletion,
        findings=_findings(datasets),
    )


def _latency(seconds: Sequence[float]) -> Latency:
    p50, p99 = (1e3 * seconds[min(int(part * len(seconds)), len(seconds) - 1)] for part in (0.5, 0.99))
    return Latency(p50_ms=p50, p99_ms=p99, calls=len(seconds))


def _findings(datasets: Datasets) -> tuple[str, ...]:
    steps = datasets.train.transforms
    return tuple(
        f"{finding.code.lower().replace('_', ' ')}: {finding.count}" for step in steps for finding in step.findings
    )


def _write(client: Client, asked: Run, found: Figures) -> None:
    (asked.out / RUN).write_text(found.model_dump_json(indent=2), encoding="utf-8")
    (asked.out / REPORT).write_text(render(found), encoding="utf-8")
    page = client.get_evaluation_report(found.version)
    (asked.out / EVALUATION).write_bytes(page.content)
