"""Whether a candidate does worse than the version that it may replace: samples of both, and what tells them apart."""

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable

# Times fall into buckets that grow by this factor: a ratio of two is right within 2.5 percent.
_GROWTH = math.log(1.05)
_P99 = 0.99

# (what the alias's version did, what the candidate did) -> how much worse the candidate is.
Sample = Counter[Hashable]
Measure = Callable[[Sample, Sample], float]


class Comparison:
    """Samples of two versions, judged whenever there is enough of both.

    The candidate's sample then begins anew, so that old good calls do not outweigh new bad ones; so does the other's,
    whose last full one stands in for as long as the new one is too small: a candidate with nearly all of the calls is
    judged too.
    """

    def __init__(self, limit: float, min_samples: int, measure: Measure) -> None:
        self._limit = limit
        self._enough = min_samples
        self._measure = measure
        self._candidate: Sample = Counter()
        self._baseline: Sample = Counter()
        self._baseline_before: Sample = Counter()

    def add(self, is_candidate: bool, values: Iterable[Hashable]) -> float | None:
        """Takes in what a version did; returns the measure when the candidate was judged and is over the limit."""
        (self._candidate if is_candidate else self._baseline).update(values)
        baseline = self._baseline if self._baseline.total() >= self._enough else self._baseline_before
        if min(self._candidate.total(), baseline.total()) < self._enough:
            return None
        measured = self._measure(baseline, self._candidate)
        self._candidate = Counter()
        if baseline is self._baseline:
            self._baseline_before, self._baseline = baseline, Counter()
        return measured if measured > self._limit else None


def error_rate_increase(baseline: Sample, candidate: Sample) -> float:
    """Returns by how much the share of failures is higher, -1 to 1; a failure is counted under True."""
    return candidate[True] / candidate.total() - baseline[True] / baseline.total()


def total_variation(baseline: Sample, candidate: Sample) -> float:
    """Returns half the sum of the absolute differences of the labels' shares, 0 to 1 (total variation distance)."""
    labels = baseline.keys() | candidate.keys()
    n, m = baseline.total(), candidate.total()
    return sum(abs(candidate[label] / m - baseline[label] / n) for label in labels) / 2


def bucket_of(seconds: float) -> int:
    """Returns the bucket that a time falls into."""
    return round(math.log(max(seconds, 1e-6)) / _GROWTH)


def p99_seconds(times: Sample) -> float:
    """Returns the 99th percentile of times that are counted by bucket, by nearest rank; 0 of none."""
    rank, seen = math.ceil(_P99 * times.total()), 0
    for bucket in sorted(int(bucket) for bucket in times):  # type: ignore[call-overload]  # buckets are ints
        seen += times[bucket]
        if seen >= rank:
            return math.exp(bucket * _GROWTH)
    return 0.0


def p99_ratio(baseline: Sample, candidate: Sample) -> float:
    """Returns how many times the baseline's 99th percentile the candidate's is; times are counted by bucket."""
    return p99_seconds(candidate) / p99_seconds(baseline)
