"""The whole evaluation of a version as one value that is kept beside its bundle, and shown by the command."""

from typing import Literal, Self

import numpy as np
from pydantic import Field, ValidationError

from symbiont.bundle.heads import Task
from symbiont.bundle.part import Part
from symbiont.common.errors import IntegrityError
from symbiont.evaluation.bootstrap import DEFAULT, Sampling, estimates
from symbiont.evaluation.calibration import judge_calibration
from symbiont.evaluation.comparison import compare
from symbiont.evaluation.decisions import Costs, judge_decisions
from symbiont.evaluation.figures import (
    CalibrationFigures,
    ClassRow,
    ComparisonFigures,
    Confusion,
    Curve,
    DecisionFigures,
    HardRow,
    Headline,
    Origin,
    Point,
    SliceRow,
    Speed,
    Verdict,
)
from symbiont.evaluation.gate import Evidence, Gate
from symbiont.evaluation.hard_rows import hardest
from symbiont.evaluation.metrics import classification, entities, multi_label, primary
from symbiont.evaluation.outcomes import Classified, MultiLabelled, Outcome, Scored, Tagged
from symbiont.evaluation.slices import slice_table, worst_slices
from symbiont.evaluation.storing import Kind, kind_of

# A larger matrix is not read: its most frequent confusions are.
MOST_IN_MATRIX = 12
MOST_CONFUSIONS = 20
MOST_CURVES = 5
MOST_POINTS = 400
HARDEST = 20


class Report(Part):
    """What is known of a version.

    Attributes:
        outcome: what kind of outcome was judged, as it is stored.
        groups: how many groups the rows belong to; 0 where there are none.
        confidence: of all intervals, two-sided.
        headlines: metrics on all rows, the primary one first.
        worst: the values of slices on which the primary metric is worst, among those with enough rows.
        matrix: rows of each true class (line) that were said to be of each class (column), in the order of `classes`;
            empty where there are too many.
        confusions: the most frequent first.
        scatter: (truth, predicted) of some of the rows.
        comparison: with the version that served when the report was made.
    """

    kind: Literal["evaluation"] = "evaluation"
    format_version: Literal[1] = 1
    task: Task
    outcome: Kind
    rows: int = Field(ge=0)
    groups: int = Field(default=0, ge=0)
    confidence: float
    replicates: int
    seed: int
    primary: str
    headlines: tuple[Headline, ...]
    slices: tuple[SliceRow, ...] = ()
    worst: tuple[SliceRow, ...] = ()
    classes: tuple[ClassRow, ...] = ()
    matrix: tuple[tuple[int, ...], ...] = ()
    confusions: tuple[Confusion, ...] = ()
    curves: tuple[Curve, ...] = ()
    scatter: tuple[Point, ...] = ()
    calibration: CalibrationFigures | None = None
    decisions: DecisionFigures | None = None
    hardest: tuple[HardRow, ...] = ()
    comparison: ComparisonFigures | None = None
    verdict: Verdict | None = None
    speed: Speed | None = None
    origin: Origin = Origin()

    def headline(self, metric: str) -> Headline | None:
        """Returns a metric on all rows; None where it is not defined."""
        return next((line for line in self.headlines if line.metric == metric), None)

    def to_json(self) -> str:
        """Returns the stored form."""
        return self.model_dump_json()

    @classmethod
    def from_json(cls, data: str | bytes) -> Self:
        """Returns what was stored.

        Raises:
            IntegrityError: it is not a report, or not of this version.
        """
        try:
            return cls.model_validate_json(data)
        except ValidationError as exc:
            raise IntegrityError(f"this is not the report of an evaluation: {exc}") from exc


def make_report(
    outcome: Outcome,
    incumbent: Outcome | None = None,
    *,
    gate: Gate | None = None,
    costs: Costs | None = None,
    speed: Speed | None = None,
    origin: Origin | None = None,
    sampling: Sampling = DEFAULT,
    hard_rows: int = HARDEST,
) -> Report:
    """Returns the report of a version.

    Args:
        outcome: what it said on held-out rows.
        incumbent: of the version that serves now.
        gate: rules for taking over; they are judged with `speed`.
        costs: of deciding by classes; of no use to other tasks. Default: the outcome's own.
        speed: of the bundle.
        origin: where the version came from.
        sampling: of all intervals.
        hard_rows: how many of the hardest rows to name.

    Raises:
        InvalidArgument: the versions cannot be compared, or a rule names a metric that the task does not have.
    """
    if costs is None and isinstance(outcome, Classified) and outcome.costs:
        costs = Costs(outcome.costs, outcome.labels)
    table = slice_table(outcome, sampling=sampling)
    evidence = Evidence(outcome, incumbent, speed.p99_ms if speed else None, sampling)
    return Report(
        task=outcome.task,
        outcome=kind_of(outcome),
        rows=len(outcome),
        groups=len(np.unique(outcome.rows.groups)),
        confidence=sampling.confidence,
        replicates=sampling.replicates,
        seed=sampling.seed,
        primary=primary(outcome),
        headlines=tuple(
            Headline(metric=name, estimate=value) for name, value in estimates(outcome, sampling=sampling).items()
        ),
        slices=tuple(table),
        worst=tuple(worst_slices(table)),
        classes=_classes(outcome),
        matrix=_matrix(outcome),
        confusions=tuple(classification.confusions(outcome)[:MOST_CONFUSIONS])
        if isinstance(outcome, Classified)
        else (),
        curves=_curves(outcome),
        scatter=_scatter(outcome),
        calibration=judge_calibration(outcome, seed=sampling.seed),
        decisions=judge_decisions(outcome, costs)
        if costs and isinstance(outcome, Classified) and len(outcome)
        else None,
        hardest=tuple(hardest(outcome, hard_rows)),
        comparison=compare(outcome, incumbent, sampling) if incumbent is not None else None,
        verdict=gate.judge(evidence) if gate else None,
        speed=speed,
        origin=origin or Origin(),
    )


def _classes(outcome: Outcome) -> tuple[ClassRow, ...]:
    if isinstance(outcome, Classified):
        return tuple(classification.classes(outcome))
    if isinstance(outcome, MultiLabelled):
        return tuple(multi_label.classes(outcome))
    return tuple(entities.classes(outcome)) if isinstance(outcome, Tagged) else ()


def _matrix(outcome: Outcome) -> tuple[tuple[int, ...], ...]:
    if not isinstance(outcome, Classified) or len(outcome.labels) > MOST_IN_MATRIX:
        return ()
    return tuple(tuple(line) for line in classification.confusion_matrix(outcome).tolist())


def _curves(outcome: Outcome) -> tuple[Curve, ...]:
    """Returns the curves of the labels with the least average precision."""
    if isinstance(outcome, Classified):
        found = classification.curves(outcome)
    elif isinstance(outcome, MultiLabelled):
        found = multi_label.curves(outcome)
    else:
        return ()
    average = {row.label: row.average_precision or 0.0 for row in _classes(outcome)}
    return tuple(sorted(found, key=lambda curve: average[curve.label])[:MOST_CURVES])


def _scatter(outcome: Outcome) -> tuple[Point, ...]:
    if not isinstance(outcome, Scored):
        return ()
    chosen = np.linspace(0, len(outcome) - 1, min(len(outcome), MOST_POINTS)).astype(np.int64)
    points = np.stack([outcome.truth, outcome.predicted], axis=1)[chosen]
    return tuple((float(f"{true:.5g}"), float(f"{said:.5g}")) for true, said in points)
