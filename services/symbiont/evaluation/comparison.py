"""A candidate against the version that serves, on the same rows."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from symbiont.evaluation.aligning import Aligned, align
from symbiont.evaluation.arrays import Ints
from symbiont.evaluation.bootstrap import DEFAULT, Sampling, interval, point_values, resampled_values, units_of, unseen
from symbiont.evaluation.figures import ComparisonFigures, Difference, Estimate, McNemar, PartDifference
from symbiont.evaluation.metrics import judging
from symbiont.evaluation.metrics.family import choose, direction, is_share
from symbiont.evaluation.outcomes import Classified, MultiLabelled, Outcome, Ragged, Tagged, ragged
from symbiont.evaluation.slices import parts

# With fewer rows on which the versions differ, the approximation by chi-squared is too rough.
LEAST_FOR_CHI_SQUARED = 25


def compare(candidate: Outcome, incumbent: Outcome, sampling: Sampling = DEFAULT) -> ComparisonFigures:
    """Returns every metric's difference with its interval, and what it is on each slice and class.

    Args:
        candidate: the version that may take over.
        incumbent: the one that serves now, as it was stored when it was judged.
        sampling: both versions get the same resamplings.

    Raises:
        InvalidArgument: they cannot be compared; see `align`.
    """
    both = align(candidate, incumbent)
    judge = judging(both.candidate)
    names = [name for family in judge.families(both.candidate) for name in family.names]
    names = list(dict.fromkeys((judge.primary, *names)))
    return ComparisonFigures(
        rows=len(both.candidate),
        only_candidate_rows=both.only_candidate,
        only_incumbent_rows=both.only_incumbent,
        differences=tuple(differences(both, names, sampling)),
        mcnemar=_mcnemar(both),
        slices=tuple(slice_differences(both, judge.primary, sampling)),
        classes=tuple(class_differences(both, sampling)),
    )


def differences(both: Aligned, metrics: Sequence[str], sampling: Sampling = DEFAULT) -> Iterator[Difference]:
    """Yields each metric's difference by resampling the rows of both together; undefined ones are left out.

    Raises:
        InvalidArgument: a metric is none of the task's.
    """
    versions = [choose(judging(of).families(of), metrics) for of in (both.candidate, both.incumbent)]
    ours, theirs = (point_values(families, len(both.candidate)) for families in versions)
    spread = resampled_values(versions, both.candidate, sampling)
    for name in metrics:
        one, other, sign = ours.get(name, math.nan), theirs.get(name, math.nan), direction(name)
        if math.isnan(one) or math.isnan(other):
            continue
        gain = sign * (one - other)
        low, high = interval(sign * (spread[0][name] - spread[1][name]), sampling.confidence)
        low, high = (gain, gain) if math.isnan(low) else (min(low, gain), max(high, gain))
        if is_share(name) and low == high:
            far = unseen(units_of(both.candidate), sampling.confidence)
            low, high = max(gain - far, -1.0), min(gain + far, 1.0)
        yield Difference(metric=name, candidate=one, incumbent=other, gain=Estimate(value=gain, low=low, high=high))


def slice_differences(both: Aligned, metric: str, sampling: Sampling = DEFAULT) -> Iterator[PartDifference]:
    """Yields a metric's difference on the rows of every value of every slice."""
    for name, value, index in parts(both.candidate):
        some = _take(both, index)
        for difference in differences(some, (metric,), sampling):
            yield PartDifference(name=name, value=value, rows=len(index), difference=difference)


def class_differences(both: Aligned, sampling: Sampling = DEFAULT) -> Iterator[PartDifference]:
    """Yields the difference of recall of every class, or of F1 of every label or type; `rows` have it."""
    for label, rows, some, metric, name in _class_parts(both):
        for difference in differences(some, (metric,), sampling):
            named = difference.model_copy(update={"metric": name})
            yield PartDifference(name="", value=label, rows=rows, difference=named)


def mcnemar(only_candidate: int, only_incumbent: int) -> McNemar:
    """Returns the two-sided test whether both counts come from an even chance (McNemar, Psychometrika 12, 1947).

    Exact where there are fewer than 25 rows on which the versions differ, else by chi-squared with Edwards' correction.
    """
    total, least = only_candidate + only_incumbent, min(only_candidate, only_incumbent)
    if total < LEAST_FOR_CHI_SQUARED:
        tail = sum(math.comb(total, k) for k in range(least + 1)) / 2**total
        p_value = min(2 * tail, 1.0)
    else:
        statistic = max(abs(only_candidate - only_incumbent) - 1, 0) ** 2 / total
        p_value = math.erfc(math.sqrt(statistic / 2))
    return McNemar(only_candidate=only_candidate, only_incumbent=only_incumbent, p_value=p_value)


def _mcnemar(both: Aligned) -> McNemar | None:
    right = judging(both.candidate).right
    ours, theirs = right(both.candidate), right(both.incumbent)
    if ours is None or theirs is None:
        return None
    return mcnemar(int((ours & ~theirs).sum()), int((theirs & ~ours).sum()))


def _take(both: Aligned, index: Ints) -> Aligned:
    return Aligned(both.candidate.take(index), both.incumbent.take(index), 0, 0)


def _class_parts(both: Aligned) -> Iterator[tuple[str, int, Aligned, str, str]]:
    """Yields label, rows that have it, what to compare, the metric to compute there and what it is called."""
    one, other = both.candidate, both.incumbent
    if isinstance(one, Classified):
        for place, label in enumerate(one.labels):
            index = np.flatnonzero(one.truth == place)
            if len(index):
                # The accuracy among the rows of a class is its recall.
                yield label, len(index), _take(both, index), "accuracy", "recall"
    elif isinstance(one, MultiLabelled) and isinstance(other, MultiLabelled):
        for place, label in enumerate(one.labels):
            some = Aligned(_only_label(one, place), _only_label(other, place), 0, 0)
            yield label, int(one.truth[:, place].sum()), some, "micro_f1", "f1"
    elif isinstance(one, Tagged) and isinstance(other, Tagged):
        for place, label in enumerate(one.types):
            some = Aligned(_only_type(one, place), _only_type(other, place), 0, 0)
            yield label, int((np.diff(_filtered(one.truth, place).offsets) > 0).sum()), some, "micro_f1", "f1"


def _only_label(outcome: MultiLabelled, place: int) -> MultiLabelled:
    part = slice(place, place + 1)
    return replace(
        outcome,
        labels=outcome.labels[part],
        logits=outcome.logits[:, part],
        truth=outcome.truth[:, part],
        thresholds=outcome.thresholds[part],
    )


def _only_type(outcome: Tagged, place: int) -> Tagged:
    return replace(outcome, predicted=_filtered(outcome.predicted, place), truth=_filtered(outcome.truth, place))


def _filtered(parts_of: Ragged, place: int) -> Ragged:
    rows = [[part for part in parts_of.of(row).tolist() if part[2] == place] for row in range(len(parts_of))]
    return ragged(rows, 3)
