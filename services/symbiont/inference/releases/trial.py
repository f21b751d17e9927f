"""What one process has seen of one release: sums for people to read, and samples for the rules."""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

from symbiont.inference.releases.rules import (
    Comparison,
    Measure,
    Sample,
    bucket_of,
    error_rate_increase,
    p99_ratio,
    total_variation,
)
from symbiont.inference.types import Release

ERROR_RATE, LATENCY, LABEL_SHIFT = "error_rate", "latency", "label_shift"
RULES = (ERROR_RATE, LATENCY, LABEL_SHIFT)


@dataclass
class Seen:
    """The sums of one version. `times` counts buckets of `rules.bucket_of`; `labels` counts rows."""

    calls: int = 0
    failed: int = 0
    times: Sample = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)


@dataclass
class Compared:
    """Rows that both versions answered; `shift` is the sum of the absolute differences of the best probabilities."""

    rows: int = 0
    differing: int = 0
    missed: int = 0
    shift: float = 0.0


@dataclass(frozen=True)
class Breach:
    """A rule that was broken, and how."""

    rule: str
    reason: str


class Trial:
    """One release; `on_breach` is called once, when a first rule is broken."""

    def __init__(self, release: Release, on_breach: Callable[["Trial", Breach], None]) -> None:
        rules, most = release.rules, release.rules.min_samples
        self.release = release
        self.baseline, self.candidate, self.compared = Seen(), Seen(), Compared()
        self._on_breach = on_breach
        self.breach: Breach | None = None
        limits: dict[str, tuple[float | None, Measure]] = {
            ERROR_RATE: (rules.max_error_rate_increase, error_rate_increase),
            LATENCY: (rules.max_p99_latency_ratio, p99_ratio),
            LABEL_SHIFT: (rules.max_label_shift, total_variation),
        }
        self._comparisons = {
            rule: (limit, Comparison(limit, most, measure))
            for rule, (limit, measure) in limits.items()
            if limit is not None
        }

    def note_call(self, is_candidate: bool, failed: bool, seconds: float | None = None) -> None:
        """Counts a call, with the seconds that it took in the host where they can be compared."""
        seen = self.candidate if is_candidate else self.baseline
        seen.calls += 1
        seen.failed += failed
        self._judge(ERROR_RATE, is_candidate, [failed])
        if seconds is not None and not failed:
            bucket = bucket_of(seconds)
            seen.times[bucket] += 1
            self._judge(LATENCY, is_candidate, [bucket])

    def note_labels(self, is_candidate: bool, labels: Sequence[str]) -> None:
        """Counts the labels of a call's rows."""
        (self.candidate if is_candidate else self.baseline).labels.update(labels)
        self._judge(LABEL_SHIFT, is_candidate, labels)

    def _judge(self, rule: str, is_candidate: bool, values: Sequence[Hashable]) -> None:
        if rule not in self._comparisons:
            return
        limit, comparison = self._comparisons[rule]
        measured = comparison.add(is_candidate, values)
        if measured is not None and not self.breach:
            self.breach = Breach(rule, _reason(rule, measured, limit, self.release.rules.min_samples))
            self._on_breach(self, self.breach)


def _reason(rule: str, measured: float, limit: float, samples: int) -> str:
    excess = {
        ERROR_RATE: "the share of failed calls is {} above that of the alias's version",
        LATENCY: "the p99 in the host is {} times that of the alias's version",
        LABEL_SHIFT: "the labels are {} away from those of the alias's version",
    }[rule].format(f"{measured:.3g}")
    return f"{excess}, allowed is {limit:g} (from {samples} or more of each)"
