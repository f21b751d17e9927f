"""What a run of a solution found, as one value that is kept: `run.json`."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict

from symbiont.bundle.part import Part
from symbiont.evaluation import Classified, Estimate, Outcome, compare, estimates, primary, rows_of, slice_table
from symbiont.evaluation.figures import SliceRow
from symbiont.evaluation.metrics.family import direction
from symbiont.solutions.recipe import Recipe
from symbiont.solutions.recipe_evaluation import Bar

HANDED_OVER, KEPT = "handed_over", "kept_"
_OF_KEPT = {"classification": "accuracy", "spans": "f1", "embedding": "recall_at_1"}
IN_SCOPE, OUT_OF_SCOPE = "in_scope_accuracy", "out_of_scope_recall"


class Measured(Part):
    """A metric with its 95 % interval."""

    metric: str
    estimate: Estimate


class Beside(Part):
    """A baseline on the same rows; `gains` are ours above it, by resampling the rows of both together."""

    baseline: str
    measured: tuple[Measured, ...]
    gains: tuple[Measured, ...]
    slices: tuple[SliceRow, ...] = ()


class PublishedFigure(Part):
    """A figure of others; `gap` is ours less theirs, in the metric's own unit, None where we do not measure it."""

    metric: str
    value: float
    source: str
    gap: float | None


class BarResult(Part):
    """A bar, and whether it is held; None where it could not be judged."""

    text: str
    held: bool | None


class Deletion(Part):
    """What taking out the most telling part of each row does to the answer's probability, against a part at random.

    Attributes:
        part: `word`, `sentence` or `field`.
        told, random: how far the probability falls by the one, and by the other.
        win: the share of rows where it falls further by the first.
    """

    part: str
    rows: int
    told: float
    random: float
    win: Estimate


class Latency(Part):
    """Milliseconds of calls of one row, one at a time."""

    p50_ms: float
    p99_ms: float
    calls: int


class Figures(Part):
    """What a run found. Of a run of another version of the suite, what is not known is passed over.

    Attributes:
        sample: whether only some of the rows were taken, for a quick look: no figure of the solution.
        learnt: rows after the data gate, of `uploaded`.
        seconds: with a worker, in training.
    """

    model_config = ConfigDict(extra="ignore")

    solution: str
    title: str
    version: str
    bundle_digest: str
    base: str
    method: str
    sample: bool
    uploaded: int
    learnt: int
    judged: int
    seconds: float
    primary: str
    measured: tuple[Measured, ...]
    baselines: tuple[Beside, ...] = ()
    published: tuple[PublishedFigure, ...] = ()
    bars: tuple[BarResult, ...] = ()
    slices: tuple[SliceRow, ...] = ()
    latency: Latency
    deletions: tuple[Deletion, ...] = ()
    findings: tuple[str, ...] = ()

    def value(self, metric: str) -> Estimate | None:
        """Returns a metric; None where it was not measured."""
        return next((one.estimate for one in self.measured if one.metric == metric), None)


def measure(recipe: Recipe, outcome: Outcome) -> tuple[Measured, ...]:
    """Returns every metric of an outcome, the primary one first; with a reject label those in and out of scope, too."""
    found = [Measured(metric=name, estimate=value) for name, value in estimates(outcome).items()]
    return (*found, *_scopes(recipe, outcome))


def _scopes(recipe: Recipe, outcome: Outcome) -> Iterator[Measured]:
    reject = recipe.serving.reject
    if reject is None or not isinstance(outcome, Classified) or reject.label not in outcome.labels:
        return
    outside = outcome.truth == outcome.labels.index(reject.label)
    for name, chosen in ((IN_SCOPE, ~outside), (OUT_OF_SCOPE, outside)):
        if chosen.any():
            part = outcome.take(np.flatnonzero(chosen))
            yield Measured(metric=name, estimate=estimates(part, ["accuracy"])["accuracy"])


def handed_over(recipe: Recipe, outcome: Outcome, sure: Sequence[float]) -> Iterator[Measured]:
    """Yields the share of rows that a person sees to, and how good the answers to the others are.

    Args:
        sure: of each row, how sure the answer is.
    """
    if (bound := recipe.serving.hand_over) is None or not sure:
        return
    kept = np.array(sure) >= bound.below
    yield Measured(metric=HANDED_OVER, estimate=share_of(~kept))
    metric = _OF_KEPT[outcome.task]
    if kept.any():
        part = outcome.take(np.flatnonzero(kept))
        yield Measured(metric=f"{KEPT}{metric}", estimate=estimates(part, [metric])[metric])


def share_of(wins: "npt.NDArray[np.bool_]") -> Estimate:
    """Returns the share of what is true with its interval, by the code that judges answers."""
    rows = rows_of([str(place) for place in range(len(wins))])
    logits = np.stack([~wins, wins], axis=1).astype(np.float32)
    won = Classified(rows, ("false", "true"), logits, np.ones(len(wins), np.int64))
    return estimates(won, ["accuracy"])["accuracy"]


def beside(recipe: Recipe, name: str, ours: Outcome, theirs: Outcome) -> Beside:
    """Returns a baseline with what we are above it."""
    gains = [Measured(metric=one.metric, estimate=one.gain) for one in compare(ours, theirs).differences]
    return Beside(baseline=name, measured=measure(recipe, theirs), gains=tuple(gains), slices=slices_of(theirs))


def slices_of(outcome: Outcome) -> tuple[SliceRow, ...]:
    """Returns the primary metric on every value of every slice."""
    first = primary(outcome)
    return tuple(row for row in slice_table(outcome) if row.metric == first)


def against_published(recipe: Recipe, measured: Sequence[Measured]) -> tuple[PublishedFigure, ...]:
    """Returns figures of others beside ours."""
    ours = {one.metric: one.estimate.value for one in measured}
    return tuple(
        PublishedFigure(
            metric=one.metric,
            value=one.value,
            source=one.source,
            gap=ours[one.metric] - one.value if one.metric in ours else None,
        )
        for one in recipe.evaluation.published
    )


def judge_bars(recipe: Recipe, measured: Sequence[Measured], baselines: Sequence[Beside]) -> tuple[BarResult, ...]:
    """Returns which bars are held."""
    ours = {one.metric: one.estimate.value for one in measured}
    theirs = {one.baseline: {m.metric: m.estimate.value for m in one.measured} for one in baselines}
    return tuple(_judge(bar, ours, theirs) for bar in recipe.evaluation.bars)


def _judge(bar: Bar, ours: "dict[str, float]", theirs: "dict[str, dict[str, float]]") -> BarResult:
    value, sign = ours.get(bar.metric), direction(bar.metric)
    if bar.at_least is not None:
        text = f"{bar.metric} {'at least' if sign > 0 else 'at most'} {bar.at_least:g}"
        return BarResult(text=text, held=None if value is None else sign * (value - bar.at_least) >= 0)
    other, far = theirs.get(bar.baseline or "", {}).get(bar.metric), bar.above_baseline or 0.0
    by = f"{far:.0%} " if bar.relative else f"{far:g} " if far else ""
    text = f"{bar.metric} {by}better than {bar.baseline}"
    if value is None or other is None:
        return BarResult(text=text, held=None)
    gain, least = sign * (value - other), far * abs(other) if bar.relative else far
    # As good as the baseline is not better.
    return BarResult(text=text, held=gain >= least if least else gain > 0)
