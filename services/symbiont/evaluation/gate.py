"""Whether a candidate may take over: rules that it must keep, each answered in words."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field

from symbiont.bundle.part import Part
from symbiont.evaluation.aligning import Aligned, align
from symbiont.evaluation.bootstrap import DEFAULT, Sampling, estimates
from symbiont.evaluation.calibration import judge_calibration
from symbiont.evaluation.comparison import class_differences, differences, slice_differences
from symbiont.evaluation.figures import PartDifference, RuleResult, Verdict
from symbiont.evaluation.metrics import judging, primary
from symbiont.evaluation.metrics.family import choose, direction
from symbiont.evaluation.outcomes import Outcome
from symbiont.evaluation.slices import SUPPORT, slice_table
from symbiont.evaluation.words import EN, ZH, Phrases

# Of the values of slices that break a rule, so many are named.
NAMED = 5
# Whether a rule is kept, and what was found, in any language.
Finding = tuple[bool, Callable[[Phrases], str]]


@dataclass(frozen=True)
class Evidence:
    """What a gate looks at.

    Attributes:
        candidate: on held-out rows.
        incumbent: the version that serves now; None where there is none, and then nothing can be worse.
        p99_ms: of one row's answer, in milliseconds; None where it was not measured.
        sampling: of all intervals; a rule's own confidence goes before its.
    """

    candidate: Outcome
    incumbent: Outcome | None = None
    p99_ms: float | None = None
    sampling: Sampling = DEFAULT

    @cached_property
    def both(self) -> Aligned | None:
        """Both versions on the same rows; None where there is no incumbent."""
        return None if self.incumbent is None else align(self.candidate, self.incumbent)

    def confident(self, confidence: float) -> Sampling:
        """Returns a sampling whose interval has its lower end where the value is above it with so much confidence."""
        return Sampling(self.sampling.replicates, self.sampling.seed, 2 * confidence - 1)


Confidence = Annotated[float, Field(gt=0.5, lt=1)]


class Rule(Part):
    """What a candidate must keep. An empty metric is the primary one of the task."""

    metric: str = ""

    def name(self, evidence: Evidence) -> str:
        """Returns the metric that the rule is about."""
        return self.metric or primary(evidence.candidate)

    def judge(self, evidence: Evidence) -> Finding:
        """Returns whether the rule is kept, and what was found.

        Raises:
            InvalidArgument: the metric is none of the task's.
        """
        if self.metric:
            choose(judging(evidence.candidate).families(evidence.candidate), [self.metric])
        return self._judge(evidence)

    @abstractmethod
    def _judge(self, evidence: Evidence) -> Finding:
        """As `judge`."""


class MinimumGain(Rule):
    """The candidate is better by at least `gain`, with this one-sided confidence; 0 is just better or the same."""

    kind: Literal["minimum_gain"] = "minimum_gain"
    gain: float = 0.0
    confidence: Confidence = 0.95

    def _judge(self, evidence: Evidence) -> Finding:
        return _gain(evidence, self.name(evidence), self.gain, self.confidence)


class NotWorse(Rule):
    """The candidate is not worse by more than `margin`, with this one-sided confidence (non-inferiority)."""

    kind: Literal["not_worse"] = "not_worse"
    margin: float = Field(ge=0)
    confidence: Confidence = 0.95

    def _judge(self, evidence: Evidence) -> Finding:
        return _gain(evidence, self.name(evidence), -self.margin, self.confidence)


class Floor(Rule):
    """The metric is at least `value`, or at most where less is better; if `sure`, so is the end of its interval."""

    kind: Literal["floor"] = "floor"
    value: float
    sure: bool = False

    def _judge(self, evidence: Evidence) -> Finding:
        name = self.name(evidence)
        found = estimates(evidence.candidate, (name,), evidence.sampling).get(name)
        if found is None:
            return False, lambda phrases: phrases.say("undefined", metric=phrases.metric(name))
        worst = found.low if direction(name) > 0 else found.high
        value = worst if self.sure else found.value
        passed = direction(name) * (value - self.value) >= 0
        return passed, lambda phrases: phrases.say(
            "floor_kept" if passed else "floor_broken",
            metric=self._subject(evidence, name, phrases),
            value=phrases.number(name, value),
            floor=phrases.number(name, self.value),
        )

    def _subject(self, evidence: Evidence, name: str, phrases: Phrases) -> str:
        metric = phrases.metric(name)
        # One end of a two-sided interval is surer than both.
        sure = f"{(1 + evidence.sampling.confidence) / 2:.1%}"
        return phrases.say("sure_end", confidence=sure, metric=metric) if self.sure else metric


class SliceFloor(Rule):
    """As Floor, for every value of a slice that has `support` rows or more; of all slices where none is named."""

    kind: Literal["slice_floor"] = "slice_floor"
    value: float
    support: int = Field(default=SUPPORT, ge=1)
    slices: tuple[str, ...] = ()

    def _judge(self, evidence: Evidence) -> Finding:
        name, sign = self.name(evidence), direction(self.name(evidence))
        if unknown := _unknown(self.slices, evidence):
            return unknown
        table = slice_table(evidence.candidate, name, evidence.sampling)
        looked = [row for row in table if row.rows >= self.support and row.slice in (self.slices or (row.slice,))]
        broken = sorted(
            (row for row in looked if sign * (row.estimate.value - self.value) < 0),
            key=lambda row: sign * row.estimate.value,
        )
        if not broken:
            return True, lambda phrases: phrases.say(
                "slices_kept",
                count=len(looked),
                metric=phrases.metric(name),
                floor=phrases.number(name, self.value),
            )
        return False, lambda phrases: phrases.say(
            "slices_broken",
            metric=phrases.metric(name),
            floor=phrases.number(name, self.value),
            named=phrases.join([phrases.below(row) for row in broken], NAMED),
        )


class NoSliceWorse(Rule):
    """On no value of a slice with `support` rows or more is the candidate worse by more than `by`.

    If `sure`, only a fall whose whole interval is below 0 counts; otherwise chance alone may refuse one of many values.
    """

    kind: Literal["no_slice_worse"] = "no_slice_worse"
    by: float = Field(ge=0)
    support: int = Field(default=SUPPORT, ge=1)
    slices: tuple[str, ...] = ()
    sure: bool = False

    def _judge(self, evidence: Evidence) -> Finding:
        if evidence.both is None:
            return True, lambda phrases: phrases.say("no_incumbent")
        if unknown := _unknown(self.slices, evidence):
            return unknown
        found = slice_differences(evidence.both, self.name(evidence), evidence.sampling)
        looked = [part for part in found if part.name in (self.slices or (part.name,))]
        return _falls(looked, self.by, self.support, self.sure)


class NoClassWorse(Rule):
    """The recall of no class, or F1 of no label or type, with `support` rows or more falls by more than `by`."""

    kind: Literal["no_class_worse"] = "no_class_worse"
    by: float = Field(ge=0)
    support: int = Field(default=SUPPORT, ge=1)
    sure: bool = False

    def _judge(self, evidence: Evidence) -> Finding:
        if evidence.both is None:
            return True, lambda phrases: phrases.say("no_incumbent")
        looked = list(class_differences(evidence.both, evidence.sampling))
        if not looked:
            return False, lambda phrases: phrases.say("no_classes")
        return _falls(looked, self.by, self.support, self.sure)


class CalibrationLimit(Rule):
    """The expected calibration error, over bins of equally many decisions, is at most `value`.

    `calibrated` looks at the probabilities after the temperature that would be served with.
    """

    kind: Literal["calibration_limit"] = "calibration_limit"
    value: float = Field(ge=0, le=1)
    calibrated: bool = False

    def _judge(self, evidence: Evidence) -> Finding:
        found = judge_calibration(evidence.candidate, seed=evidence.sampling.seed)
        if found is None:
            return False, lambda phrases: phrases.say("no_probabilities")
        value = (found.after if self.calibrated else found.before).ece_mass
        passed = value <= self.value
        return passed, lambda phrases: phrases.say(
            "calibration_kept" if passed else "calibration_broken",
            value=f"{100 * value:.1f}",
            limit=f"{100 * self.value:.1f}",
        )


class LatencyLimit(Rule):
    """99 of 100 answers take at most so many milliseconds."""

    kind: Literal["latency_limit"] = "latency_limit"
    p99_ms: float = Field(gt=0)

    def _judge(self, evidence: Evidence) -> Finding:
        if evidence.p99_ms is None:
            return False, lambda phrases: phrases.say("no_latency")
        passed = evidence.p99_ms <= self.p99_ms
        return passed, lambda phrases: phrases.say(
            "latency_kept" if passed else "latency_broken", value=f"{evidence.p99_ms:.1f}", limit=f"{self.p99_ms:.1f}"
        )


AnyRule = Annotated[
    MinimumGain | NotWorse | Floor | SliceFloor | NoSliceWorse | NoClassWorse | CalibrationLimit | LatencyLimit,
    Field(discriminator="kind"),
]


class Gate(Part):
    """Rules, all of which a candidate must keep. What cannot be judged is not kept."""

    rules: tuple[AnyRule, ...]

    def judge(self, evidence: Evidence) -> Verdict:
        """Returns whether the candidate may take over, with every rule's result.

        Raises:
            InvalidArgument: a rule names a metric that the task does not have, or the versions cannot be compared.
        """
        results = tuple(self._results(evidence))
        return Verdict(passed=all(result.passed for result in results), results=results)

    def _results(self, evidence: Evidence) -> Iterator[RuleResult]:
        for rule in self.rules:
            passed, say = rule.judge(evidence)
            yield RuleResult(rule=rule.kind, passed=passed, words={"en": say(EN), "zh": say(ZH)})


def _unknown(names: Sequence[str], evidence: Evidence) -> Finding | None:
    """Returns what is to be said where rows do not differ in what is named, which can be a slip of the pen."""
    known = [part.name for part in evidence.candidate.rows.slices]
    if not (missing := [name for name in names if name not in known]):
        return None
    return False, lambda phrases: phrases.say(
        "unknown_slices", names=", ".join(missing), known=", ".join(known) or phrases.say("nothing")
    )


def _gain(evidence: Evidence, name: str, least: float, confidence: float) -> Finding:
    if evidence.both is None:
        return True, lambda phrases: phrases.say("no_incumbent")
    found = next(differences(evidence.both, (name,), evidence.confident(confidence)), None)
    if found is None:
        return False, lambda phrases: phrases.say("undefined", metric=phrases.metric(name))
    passed = found.gain.low >= least
    return passed, lambda phrases: phrases.say(
        "gain_kept" if passed else "gain_broken",
        metric=phrases.metric(name),
        candidate=phrases.number(name, found.candidate),
        incumbent=phrases.number(name, found.incumbent),
        low=phrases.difference(name, found.gain.low),
        least=phrases.difference(name, least),
        confidence=f"{confidence:.0%}",
    )


def _falls(looked: Sequence[PartDifference], by: float, support: int, sure: bool) -> Finding:
    looked = [part for part in looked if part.rows >= support]
    fell = [part for part in looked if part.difference.gain.value < -by]
    fell = [part for part in fell if not sure or part.difference.gain.high < 0]
    fell.sort(key=lambda part: part.difference.gain.value)
    if not fell:
        return True, lambda phrases: phrases.say("falls_kept", count=len(looked), support=support)
    return False, lambda phrases: phrases.say(
        "falls_broken", named=phrases.join([phrases.fall(part) for part in fell], NAMED)
    )
