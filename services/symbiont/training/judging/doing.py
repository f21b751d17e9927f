"""Does what an order asks: both versions answer the same rows, are compared, and the report is stored."""

from collections.abc import Callable, Sequence
from importlib.metadata import version

from pydantic import TypeAdapter

from symbiont.bundle import read_manifest
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import NotFound
from symbiont.evaluation import Gate, Origin, make_report
from symbiont.training.data.rows import Row, read_rows
from symbiont.training.environment import environment
from symbiont.training.evaluations import store_evaluation
from symbiont.training.judging.answers import answers
from symbiont.training.judging.work import Contender, Judged, Order
from symbiont.training.promotion.types import JudgementStage
from symbiont.training.spec import TrainingSpec
from symbiont.training.types import Inputs, now
from symbiont.training.worker.dividing import Divided
from symbiont.training.worker.examples import Tokenize
from symbiont.training.worker.task import read_divided

Tell = Callable[[JudgementStage], None]
_INPUTS = TypeAdapter(Inputs)


def do(order: Order, artifacts: ArtifactStore, tokenize: Tokenize, tell: Tell) -> Judged:
    """Judges the candidate.

    Raises:
        InvalidArgument: a rule names a metric that the task does not have, or the versions cannot be compared.
        FailedPrecondition: the rows do not fit the task.
        SymbiontError: something that is needed is missing or damaged.
    """
    tell(JudgementStage.READING)
    digest = order.dataset_digest
    rows = list(read_rows(artifacts, digest)) if digest else _divided(artifacts, order.candidate).held
    tell(JudgementStage.CANDIDATE)
    candidate = answers(artifacts, order.candidate, rows, tokenize, timed=True)
    incumbent = None
    if order.incumbent:
        tell(JudgementStage.INCUMBENT)
        incumbent = answers(artifacts, order.incumbent, rows, tokenize).outcome
    tell(JudgementStage.COMPARING)
    report = make_report(
        candidate.outcome,
        incumbent,
        gate=Gate.model_validate({"rules": order.rules}),
        speed=candidate.speed,
        origin=_origin(artifacts, order.candidate, rows),
    )
    verdict = report.verdict
    assert verdict is not None  # noqa: S101 - there is a gate
    return Judged(
        evaluation_digest=store_evaluation(artifacts, report, candidate.outcome, environment(), incumbent),
        row_count=len(rows),
        seen=_seen(artifacts, order.incumbent, rows) if order.incumbent else 0,
        passed=verdict.passed,
        findings=tuple((r.rule, r.passed, r.words["en"], r.words["zh"]) for r in verdict.results),
    )


def _divided(artifacts: ArtifactStore, version: Contender) -> Divided:
    """Returns what a version learnt from, and what was held out."""
    inputs = _INPUTS.validate_python(version.inputs)
    return read_divided(artifacts, TrainingSpec.model_validate(version.spec), inputs)


def _seen(artifacts: ArtifactStore, incumbent: Contender, rows: Sequence[Row]) -> int:
    """Returns how many rows the incumbent learnt from, as far as its rows are still there."""
    try:
        learnt = _divided(artifacts, incumbent).kept
    except NotFound:
        return 0
    known = {(row.text, row.pair) for row in learnt}
    return sum((row.text, row.pair) in known for row in rows)


def _origin(artifacts: ArtifactStore, candidate: Contender, rows: Sequence[Row]) -> Origin:
    lineage = read_manifest(artifacts, candidate.bundle_digest).lineage
    model, _, number = candidate.name.partition("/versions/")
    return Origin(
        model=model,
        version=number,
        base=candidate.spec["base_model"],
        method=TrainingSpec.model_validate(candidate.spec).method,
        training_dataset=lineage.training_dataset,
        evaluation_dataset=rows[0].place[0],
        seed=str(lineage.seed),
        code_version=version("symbiont"),
        time=now().isoformat(timespec="seconds"),
    )
